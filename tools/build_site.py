"""Build the course as a web site that opens from disk, without a server or a network.

    pip install -e ".[site]"
    python tools/build_site.py

writes docs/_site and says where its first page is. The notebooks are executed on the embedded checkpoint, one after
the other (tools/execute.py); the next build executes only those for which something has changed that is named
there. `--lessons 01 02` builds some of them, and `--mocked` runs them with the small parameters of the tests, to try
the site itself in a few minutes.
"""

import argparse
import html
import importlib.util
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
import soundfile

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
import helpers  # noqa: E402
from tools import address  # noqa: E402
from tools.execute import CACHE, executed, notebooks  # noqa: E402

PAIR = {"Before": "before.flac", "After": "after.flac"}  # in docs, drawn in the picture of the README
INTRODUCTION = "\nThese pages show one run of each notebook, on *pocket*: the numbers are those of that run.\n"
TOCTREE = """
```{{toctree}}
:hidden:
:caption: {caption}

{pages}
```
"""


def page(notebook):
    """Make of an executed lesson what a page can show: its controls as a picture, its boilerplate folded."""
    state = notebook.metadata.pop("widgets", {}).get("application/vnd.jupyter.widget-state+json", {}).get("state", {})
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.outputs = [output for output in cell.outputs if not _is_progress(output, state)]
        for output in cell.outputs:
            data = output.get("data", {})
            view = data.pop("application/vnd.jupyter.widget-view+json", None)
            if view:
                data["text/html"] = controls(view["model_id"], state)
            for holder, kind in [(output, "text"), *((data, kind) for kind in data if kind.startswith("text/"))]:
                if kind in holder:  # whose machine it was is nobody's business
                    holder[kind] = holder[kind].replace(str(ROOT), "~/course").replace(ROOT.as_posix(), "~/course")
    return notebook


def _is_progress(output, state):
    """Whether an output is nothing but a bar that has filled up."""
    view = output.get("data", {}).get("application/vnd.jupyter.widget-view+json")
    shown = _control(view["model_id"], state) if view else ""
    return "<progress" in shown and "disabled" not in shown or (output.get("name") == "stderr" and "%|" in output.text)


def controls(model_id, state):
    """Show the controls of a notebook as they stood, for reading only.

    Parameters
    ----------
    model_id : str
        Of the outermost one.
    state : dict
        The models by their id, as a notebook stores them.

    Returns
    -------
    str
        HTML.
    """
    shown = _control(model_id, state)
    if "disabled" in shown:
        shown += '<p class="note">You can use these controls when you run the lesson.</p>'
    return f'<div class="controls">{shown}</div>'


def _control(model_id, state):
    """Draw one of the kinds that helpers and notebooks use; any other leaves nothing."""
    model = state.get(model_id.removeprefix("IPY_MODEL_"))
    if model is None:
        return ""
    kind, own = model["model_name"].removesuffix("Model"), model["state"]
    label, value = html.escape(own.get("description") or ""), own.get("value")
    if "children" in own:
        inside = "".join(_control(child, state) for child in own["children"])
        return f'<div class="{"row" if kind == "HBox" else "column"}">{inside}</div>'
    if kind == "HTML":
        return f"<div>{value}</div>"
    if kind == "Label":
        return f"<span>{html.escape(value)}</span>"
    if kind == "Button":
        return f"<button disabled>{label}</button>"
    if kind.endswith("Progress"):
        return f"<span>{label}</span><progress value='{value}' max='{own['max']}'></progress>"
    if kind == "Dropdown":
        chosen = own["_options_labels"][own["index"]] if own["index"] is not None else ""
        return f"<label>{label} <select disabled><option>{html.escape(chosen)}</option></select></label>"
    if kind.endswith("Text"):
        text, hint = html.escape(str(value)), html.escape(own.get("placeholder") or "")
        return f'<label>{label} <input disabled value="{text}" placeholder="{hint}"></label>'
    return ""


def localise(text, path, pages, repository):
    """Make the links of a text fit the site.

    What has a page keeps its link, any other file of the repository is linked where the repository is published (as
    long as it has no public address, the link is only text), and pictures from other servers become their alternative
    text.

    Parameters
    ----------
    text : str
        Markdown.
    path : pathlib.Path
        Where it stands, relative to the repository.
    pages : set of str
        Files that have a page, relative to the repository.
    repository : str
        Its public address.

    Returns
    -------
    str
    """

    def link(found):
        label, target, anchor = found[1], found[2], found[3] or ""
        file = Path(os.path.normpath(path.parent / target))
        if file.as_posix() in pages or found[0].endswith((".png)", ".svg)")):
            return found[0]
        kind = "tree" if (ROOT / file).is_dir() else "blob"
        return f"[{label}]({repository}/{kind}/main/{file.as_posix()}{anchor})" if address.is_set(repository) else label

    text = re.sub(r"!\[([^\]]*)\]\(https?:[^)]*\)", r"\1", text)
    return re.sub(r"(?<!!)\[([^\]]*)\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)", link, text)


def build(out, paths, mocked=False, cache=CACHE):
    """Execute notebooks and write the site.

    Parameters
    ----------
    out : pathlib.Path
        Folder for the site; what an earlier build left there is removed.
    paths : list of pathlib.Path
        The notebooks, in the order of the course.
    mocked, cache
        As in `tools.execute.executed`.

    Returns
    -------
    pathlib.Path
        The first page.

    Raises
    ------
    FileExistsError
        If `out` holds something else than a site.
    RuntimeError
        If Sphinx fails.
    """
    from sphinx.cmd.build import main as sphinx

    if out.exists() and any(out.iterdir()) and not (out / "searchindex.js").exists():
        raise FileExistsError(f"{out} holds something else than a site: name an empty folder with --out.")
    documents = [Path("README.md"), *sorted(path.relative_to(ROOT) for path in (ROOT / "docs").glob("*.md"))]
    documents += [Path("pocket/README.md"), Path("CONTRIBUTING.md")]
    lessons = [path.relative_to(ROOT) for path in paths]
    pages = {path.as_posix() for path in [*documents, *lessons]}
    with tempfile.TemporaryDirectory() as folder:
        source, site = Path(folder) / "source", Path(folder) / "site"  # myst-nb leaves notebooks beside the site
        for document in documents:
            text = localise((ROOT / document).read_text("utf-8"), document, pages, address.repository())
            for picture in re.findall(r"\]\(((?!https?:)[^)]+\.(?:png|svg))\)", text):
                (source / document.parent / picture).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / document.parent / picture, source / document.parent / picture)
            _write(source / document, text)
        for path, lesson in zip(paths, lessons, strict=True):
            notebook = page(executed(path, mocked, cache))
            for cell in notebook.cells:
                if cell.cell_type == "markdown":
                    cell.source = localise(cell.source, lesson, pages, address.repository())
            _write(source / lesson, nbformat.writes(notebook))
        sections = {
            "Lessons": [lesson for lesson in lessons if "deeper" not in lesson.parts],
            "Deeper": [lesson for lesson in lessons if "deeper" in lesson.parts],
            "Beside the lessons": documents[1:],
        }
        first = source / "README.md"
        _write(first, with_players(first.read_text("utf-8")))
        for caption, members in sections.items():
            lines = "\n".join(member.with_suffix("").as_posix() for member in members)
            sections[caption] = TOCTREE.format(caption=caption, pages=lines) if members else ""
        _write(first, "".join([first.read_text("utf-8"), INTRODUCTION, *sections.values()]))
        settings = ["-q", "-D", "root_doc=README", "-c", str(ROOT / "docs" / "site")]
        if sphinx([*settings, "-d", str(source / ".doctrees"), str(source), str(site)]):
            raise RuntimeError("Sphinx could not build the site: its message stands above.")
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(site, out)
    shutil.copy(out / "README.html", out / "index.html")
    return out / "index.html"


def with_players(readme):
    """Put the players of the pair under the title of the README, above the picture of both."""
    clips = {title: soundfile.read(ROOT / "docs" / name, dtype="float32") for title, name in PAIR.items()}
    (rate,) = {rate for _, rate in clips.values()}
    players = helpers.compare({title: clip for title, (clip, _) in clips.items()}, rate).data
    title, rest = readme.split("\n", 1)
    return f"{title}\n\n{players}\n{rest}"


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def main():
    """Read the command line, build, and say what was built."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--lessons", nargs="+", default=[], metavar="NN", help="some of them, such as 01 02; default all"
    )
    parser.add_argument("--mocked", action="store_true", help="run them with the small parameters of the tests")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "_site", help="folder for the site")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for executed notebooks")
    arguments = parser.parse_args()
    absent = [name for name in ("sphinx", "myst_nb", "furo", "latex2mathml") if not importlib.util.find_spec(name)]
    if absent:
        parser.error(f'{", ".join(absent)} not installed: run pip install -e ".[site]" first')
    missing = [beginning for beginning in arguments.lessons if not notebooks(beginning)]
    if missing:
        parser.error(f"there is no lesson {', '.join(missing)}; there are {', '.join(p.stem for p in notebooks())}")
    lessons = notebooks(*arguments.lessons)
    first = build(arguments.out.resolve(), lessons, arguments.mocked, arguments.cache.resolve())
    size = sum(file.stat().st_size for file in first.parent.rglob("*") if file.is_file())
    print(f"{len(lessons)} notebooks, {size / 1e6:.1f} MB: {first}")


if __name__ == "__main__":
    main()
