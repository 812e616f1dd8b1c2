"""Write the minutes of the lessons into docs/teaching.md and the README: `python tools/lesson_minutes.py`.

Reading time is computed from the notebooks. The seconds that the cells take are those of docs/lesson_seconds.json;
`--measured "two cores of ..."` first renews them from the lessons that tools/build_site.py has executed.
"""

import argparse
import json
import re
from datetime import datetime
from pathlib import Path

COURSE = Path(__file__).resolve().parents[1]
DOCS = COURSE / "docs"
RECORD, TEXT, README = DOCS / "lesson_seconds.json", DOCS / "teaching.md", COURSE / "README.md"
CACHE = COURSE / ".cache" / "site"
WORDS, LINES = 130, 20  # read in a minute
PREDICTION, LOOK, STAR = 1, 0.5, 3  # minutes: a guess, a clip or spectrogram, each star of an exercise


def lessons():
    """The notebooks of the course, by file name without its ending."""
    paths = sorted((COURSE / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    return {path.stem: json.loads(path.read_text("utf-8")) for path in paths}


def sections(notebook):
    """Cut a lesson at its headings.

    Returns
    -------
    dict of str to list of dict
        Headings and cells; a cell with a heading in its middle belongs to the section that it ends.
    """
    found, name = {}, "Opening"
    for cell in notebook["cells"]:
        headings = re.findall(r"^## (.+)$", _source(cell), re.M) if cell["cell_type"] == "markdown" else []
        starts = bool(headings) and _source(cell).startswith("## ")
        found.setdefault(headings[0] if starts else name, []).append(cell)
        name = headings[-1] if headings else name
    return found


def reading_minutes(cells):
    """How long it takes to read, look, listen and guess; at an even pace, no rest, no exercises."""
    minutes = 0.0
    for cell in cells:
        source = _source(cell)
        if cell["cell_type"] == "markdown":
            prose = source.split("## Exercises")[0] if cell["id"].startswith("exercise") else source
            minutes += len(re.findall(r"\w+", "" if "★" in prose else prose)) / WORDS
        elif cell["id"] == "predict":
            minutes += PREDICTION
        elif not cell["id"].startswith(("set-up", "exercise")):
            minutes += 0 if cell["id"].endswith(("figure", "picture")) else len(source.splitlines()) / LINES
            minutes += LOOK * len(re.findall(r"helpers\.(?:play|compare|BlindTest|plot_spectrograms?)\(", source))
    return minutes


def exercise_minutes(cells):
    """How long the exercises take, by their stars."""
    return STAR * sum(_source(cell).count("★") for cell in cells if cell["cell_type"] == "markdown")


def measured_seconds(stem, notebook):
    """Seconds of each section, of the newest execution at the lesson's own parameters; None if there is none."""
    runs = [json.loads(path.read_text("utf-8")) for path in sorted(CACHE.glob(f"{stem}-*.ipynb"), key=_modified)]
    code = [_source(cell) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    runs = [run for run in runs if [_source(cell) for cell in run["cells"] if cell["cell_type"] == "code"] == code]
    if not runs:
        return None
    return {name: round(sum(map(_seconds, cells)), 1) for name, cells in sections(runs[-1]).items()}


def _modified(path):
    return path.stat().st_mtime


def _seconds(cell):
    times = cell["metadata"].get("execution", {})
    if "shell.execute_reply" not in times:
        return 0.0
    begin, end = (
        datetime.fromisoformat(times[name].replace("Z", "+00:00"))
        for name in ("iopub.execute_input", "shell.execute_reply")
    )
    return (end - begin).total_seconds()


def _source(cell):
    return "".join(cell["source"])


def lesson_minutes(notebook, measured):
    """Minutes of a whole lesson.

    Parameters
    ----------
    notebook : dict
    measured : dict
        Its entry in the record; empty if its cells were not measured.

    Returns
    -------
    reading, exercises, together : float
        The sum is without the cells' time if that was not measured.
    seconds : float or None
        Of its cells.
    """
    reading = sum(map(reading_minutes, sections(notebook).values()))
    exercises = exercise_minutes(notebook["cells"])
    seconds = sum(measured.get("sections", {}).values()) or measured.get("seconds")
    return reading, exercises, reading + exercises + (seconds or 0) / 60, seconds


def tables(record):
    """The tables as Markdown: all lessons, then section by section."""
    whole, parts = [], []
    for stem, notebook in lessons().items():
        title = re.search(r"^# (.+)$", _source(notebook["cells"][0]), re.M)[1]
        measured = record["lessons"].get(stem, {})
        by_section = measured.get("sections", {})
        for name, cells in sections(notebook).items():
            own = f"{by_section[name]:.0f}" if name in by_section else "–"
            exercises = exercise_minutes(cells) or ""
            parts.append(f"| {title.split(' ')[0]} | {name} | {own} | {reading_minutes(cells):.1f} | {exercises} |")
        reading, exercises, together, seconds = lesson_minutes(notebook, measured)
        own = "–" if seconds is None else f"{seconds:.0f}"
        whole.append(f"| {title} | {own} | {reading:.0f} | {exercises} | {together:.0f} |")
    lines = [f"Cells: measured on {record['date']} on {record['machine']}; a dash stands where none was measured.", ""]
    lines += [
        "| lesson | cells (s) | reading (min) | exercises (min) | together (min) |",
        "|---|---|---|---|---|",
        *whole,
    ]
    lines += ["", "<details><summary>Section by section</summary>", ""]
    lines += ["| lesson | section | cells (s) | reading (min) | exercises (min) |", "|---|---|---|---|---|", *parts]
    return "\n".join([*lines, "", "</details>"])


def with_tables(text, record):
    """Put the tables between their two marks."""
    begin, end = "<!-- minutes: written by tools/lesson_minutes.py -->", "<!-- end of minutes -->"
    before, rest = text.split(begin)
    return f"{before}{begin}\n\n{tables(record)}\n\n{end}{rest.split(end)[1]}"


def with_minutes(readme, record):
    """Put the minutes of each lesson into its row of the README's table, before the badge."""
    for stem, notebook in lessons().items():
        _, _, together, _ = lesson_minutes(notebook, record["lessons"].get(stem, {}))
        row = rf"(?m)^(\| .*\(notebooks/{stem}\.ipynb\).*\| )[^|]*( \| \[!\[Open in Colab)"
        readme = re.sub(row, rf"\g<1>{together:.0f}\2", readme)
    return readme


def main():
    """Read the command line, renew the record if asked to, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--measured", metavar="MACHINE", help="take the cells' seconds from the site's executed lessons"
    )
    machine = parser.parse_args().measured
    record = json.loads(RECORD.read_text("utf-8"))
    if machine:
        found = {stem: measured_seconds(stem, notebook) for stem, notebook in lessons().items()}
        missing = [stem for stem, seconds in found.items() if seconds is None]
        if missing:
            parser.error(f"no execution of {', '.join(missing)} as it stands: run python tools/build_site.py first.")
        record = {"date": f"{datetime.now():%Y-%m-%d}", "machine": machine}
        record["lessons"] = {stem: {"sections": seconds} for stem, seconds in found.items()}
        RECORD.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    TEXT.write_text(with_tables(TEXT.read_text("utf-8"), record), "utf-8")
    README.write_text(with_minutes(README.read_text("utf-8"), record), "utf-8")


if __name__ == "__main__":
    main()
