"""Build the course as a web site that opens from disk, without a server or a network.

    pip install -e ".[site]"
    python tools/build_site.py

writes docs/_site and says where its first page lies. The lessons are executed on the embedded checkpoint, one after the
other, and what they give is kept in .cache/site: the next build executes only those whose code, helpers, checkpoint or
libraries have changed. `--lessons 01 02` builds some of them, and `--mocked` runs them with the small parameters of
the tests, to try the site itself in a few minutes.
"""

import argparse
import hashlib
import html
import importlib.util
import os
import re
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from tools import address  # noqa: E402

INDEX = """
These pages show one run of each lesson, on *pocket*; what "your own numbers" say there are those of that run.

```{toctree}
:hidden:
:caption: Lessons

LESSONS
```

```{toctree}
:hidden:
:caption: Beside the lessons

DOCUMENTS
```
"""


def execute(path, cache, board, mocked=False):
    """Give a notebook its outputs: from the cache, or else by running it.

    Parameters
    ----------
    path : pathlib.Path
        A lesson.
    cache : pathlib.Path
        Folder of executed lessons, and of the scoreboard that each of them left.
    board : pathlib.Path or None
        The scoreboard that the lesson before left; None for the first.
    mocked : bool
        Run it with the values that stand in the metadata of its parameter cell, for tests.

    Returns
    -------
    notebook : nbformat.NotebookNode
        With outputs, the seconds of each cell (metadata `execution`) and the state of its controls.
    board : pathlib.Path
        The scoreboard after it.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails.
    """
    notebook = nbformat.read(path, 4)
    done = cache / f"{path.stem}-{_fingerprint(notebook, mocked)}.ipynb"
    board_after = done.with_suffix(".json")
    if not done.exists():
        print(f"{path.name}: executing", flush=True)
        running = nbformat.read(path, 4)
        for cell in running.cells:
            values = cell.metadata.get("nbmake", {}).get("mock", {}).items() if mocked else ()
            cell.source = "\n".join([cell.source, *(f"{name} = {value!r}" for name, value in values)])
        working_board = cache / "scoreboard.json"
        working_board.unlink(missing_ok=True)
        if board and board.stat().st_size:
            shutil.copy(board, working_board)
        folders = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        settings = {"AUDIOLDM2_CHECKPOINT": "pocket", "AUDIOLDM2_SCOREBOARD": str(working_board)}
        settings |= {"HF_HUB_OFFLINE": "1", "PYTHONPATH": folders}
        client = NotebookClient(running, timeout=None, resources={"metadata": {"path": str(path.parent)}})
        client.execute(env=os.environ | settings)
        board_after.write_text(working_board.read_text("utf-8") if working_board.exists() else "", "utf-8")
        nbformat.write(running, done)
    executed = nbformat.read(done, 4)
    outputs = {cell.id: cell for cell in executed.cells if cell.cell_type == "code"}
    for cell in notebook.cells:  # the code is the same, the prose may be newer
        if cell.cell_type == "code":
            cell.update({key: outputs[cell.id][key] for key in ("outputs", "execution_count")})
            cell.metadata["execution"] = outputs[cell.id].metadata.get("execution", {})
    notebook.metadata["widgets"] = executed.metadata.get("widgets", {})
    return notebook, board_after


def _fingerprint(notebook, mocked):
    """What an executed lesson depends on, as a short text."""
    digest = hashlib.sha256(
        repr([mocked, *(version(name) for name in ("torch", "diffusers", "transformers"))]).encode()
    )
    for cell in notebook.cells:
        if cell.cell_type == "code":
            digest.update(repr((cell.id, cell.source, mocked and cell.metadata.get("nbmake"))).encode())
    files = [*(ROOT / "notebooks").glob("*.py")]
    for folder in ("helpers", "pocket/checkpoint", "benchmarks/results"):
        files += [file for file in (ROOT / folder).rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    for file in sorted(files):
        digest.update(file.relative_to(ROOT).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def page(notebook):
    """Make of an executed lesson what a page can show: its controls as a picture, its boilerplate folded."""
    state = notebook.metadata.pop("widgets", {}).get("application/vnd.jupyter.widget-state+json", {}).get("state", {})
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.outputs = [output for output in cell.outputs if not _is_progress(output, state)]
        if cell.id == "set-up" or cell.id.endswith("-figure"):
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-input"]
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
    model = state.get(model_id.removeprefix("IPY_MODEL_"))
    if model is None:
        return ""
    kind, own = model["model_name"].removesuffix("Model"), model["state"]
    label, value = html.escape(str(own.get("description") or "")), own.get("value")
    if "children" in own:
        inside = "".join(_control(child, state) for child in own["children"])
        return f'<div class="{"row" if kind == "HBox" else "column"}">{inside}</div>'
    if kind == "HTML":
        return f"<div>{value}</div>"
    if kind == "Label":
        return f"<span>{html.escape(value)}</span>"
    if kind == "Button":
        return f"<button disabled>{label}</button>"
    if kind == "Checkbox":
        return f"<label><input type='checkbox' disabled{' checked' * bool(value)}> {label}</label>"
    if kind.endswith("Progress"):
        return f"<span>{label}</span><progress value='{value}' max='{own['max']}'></progress>"
    if kind == "Output":
        return "".join(
            output.get("data", {}).get("text/html") or f"<pre>{html.escape(output.get('text', ''))}</pre>"
            for output in own["outputs"]
        )
    if "_options_labels" in own:
        chosen = own["_options_labels"][own["index"]] if own.get("index") is not None else ""
        return f"<label>{label} <select disabled><option>{html.escape(chosen)}</option></select></label>"
    if kind.endswith(("Text", "Textarea", "Slider")):
        hint = html.escape(str(own.get("placeholder") or ""))
        text = html.escape("" if value is None else str(value))
        return (
            f'<label>{label} <input disabled aria-label="{label or hint}" value="{text}" placeholder="{hint}"></label>'
        )
    return ""


def localise(text, path, pages, repository):
    """Make the links of a text fit the site.

    What has a page keeps its link, any other file of the repository is linked where the repository is published, and
    pictures from other servers become their alternative text.

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
        target, anchor = found[1], found[2] or ""
        file = Path(os.path.normpath(path.parent / target))
        if file.as_posix() in pages or found[0].endswith((".png)", ".svg)")):
            return found[0]
        kind = "tree" if (ROOT / file).is_dir() else "blob"
        return f"]({repository}/{kind}/main/{file.as_posix()}{anchor})"

    text = re.sub(r"!\[([^\]]*)\]\(https?:[^)]*\)", r"\1", text)
    return re.sub(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)", link, text)


def build(out, cache, lessons, mocked=False):
    """Execute lessons and write the site.

    Parameters
    ----------
    out : pathlib.Path
        Folder for the site; what an earlier build left there is removed.
    cache : pathlib.Path
        Folder of executed lessons.
    lessons : list of pathlib.Path
        In the order of the course.
    mocked : bool
        As in `execute`.

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
    cache.mkdir(parents=True, exist_ok=True)
    documents = sorted(path.relative_to(ROOT) for path in (ROOT / "docs").glob("*.md"))
    documents = [Path("README.md"), Path("pocket/README.md"), *documents]
    pages = {path.as_posix() for path in [*documents, *(lesson.relative_to(ROOT) for lesson in lessons)]}
    repository, board = address.repository(), None
    with tempfile.TemporaryDirectory() as folder:
        source, site = Path(folder) / "source", Path(folder) / "site"  # myst-nb leaves notebooks beside the site
        for document in documents:
            text = localise((ROOT / document).read_text("utf-8"), document, pages, repository)
            for picture in re.findall(r"\]\(((?!https?:)[^)]+\.(?:png|svg))\)", text):
                (source / document.parent / picture).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / document.parent / picture, source / document.parent / picture)
            _write(source / document, text)
        for lesson in lessons:
            notebook, board = execute(lesson, cache, board, mocked)
            notebook = page(notebook)
            for cell in notebook.cells:
                if cell.cell_type == "markdown":
                    cell.source = localise(cell.source, lesson.relative_to(ROOT), pages, repository)
            _write(source / lesson.relative_to(ROOT), nbformat.writes(notebook))
        first = source / "README.md"
        index = INDEX.replace("LESSONS", "\n".join(f"notebooks/{lesson.stem}" for lesson in lessons))
        index = index.replace("DOCUMENTS", "\n".join(path.with_suffix("").as_posix() for path in documents[1:]))
        _write(first, first.read_text("utf-8") + index)
        settings = ["-q", "-D", "root_doc=README", "-c", str(ROOT / "docs" / "site")]
        if sphinx([*settings, "-d", str(source / ".doctrees"), str(source), str(site)]):
            raise RuntimeError("Sphinx could not build the site: its message stands above.")
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(site, out)
    shutil.copy(out / "README.html", out / "index.html")
    return out / "index.html"


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def main():
    """Read the command line, build, and say what was built."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lessons", nargs="+", metavar="NN", help="numbers of the lessons, such as 01 02; default all")
    parser.add_argument("--mocked", action="store_true", help="run them with the small parameters of the tests")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "_site", help="folder for the site")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "site", help="folder for executed lessons")
    arguments = parser.parse_args()
    absent = [name for name in ("sphinx", "myst_nb", "furo", "latex2mathml") if not importlib.util.find_spec(name)]
    if absent:
        parser.error(f"{', '.join(absent)} not installed: run pip install -e ".[site]" first")
    found = sorted(address.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    wanted = arguments.lessons or [path.name[:2] for path in found]
    missing = set(wanted) - {path.name[:2] for path in found}
    if missing:
        parser.error(
            f"there is no lesson {', '.join(sorted(missing))}; there are {', '.join(p.name[:2] for p in found)}"
        )
    lessons = [path for path in found if path.name[:2] in wanted]
    first = build(arguments.out.resolve(), arguments.cache.resolve(), lessons, arguments.mocked)
    size = sum(file.stat().st_size for file in first.parent.rglob("*") if file.is_file())
    print(f"{len(lessons)} lessons, {size / 1e6:.1f} MB: {first}")


if __name__ == "__main__":
    main()
