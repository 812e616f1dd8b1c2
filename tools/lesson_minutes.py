"""Write the minutes of the lessons into docs/teaching.md and the README: `python tools/lesson_minutes.py`.

Reading time is computed from the notebooks. What the cells take is in docs/lesson_seconds.json;
`--measured "two cores of ..."` first renews them from the notebooks that tools/execute.py has executed or now executes.
"""

import argparse
import json
import re
import sys
from datetime import date
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools.execute import ROOT, executed, notebooks, seconds  # noqa: E402

RECORD, TEXT, README = ROOT / "docs" / "lesson_seconds.json", ROOT / "docs" / "teaching.md", ROOT / "README.md"
BEGIN, END = "<!-- minutes: written by tools/lesson_minutes.py -->", "<!-- end of minutes -->"
WORDS, LINES = 130, 20  # read in a minute
PREDICTION, LOOK, STAR = 1, 0.5, 3  # minutes: a prediction, a clip or spectrogram, each star of an exercise


def lessons():
    """The notebooks that have minutes: tour, lessons and the check of the machine, but not the deeper ones."""
    return {path.stem: nbformat.read(path, 4) for path in notebooks() if path.parent.name == "notebooks"}


def minutes(notebook):
    """Minutes of reading (looking, listening and predicting with it), and of the exercises, by their stars."""
    reading = stars = 0
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            stars += cell.source.count("★")
            prose = "" if "★" in cell.source else cell.source
            reading += len(re.findall(r"\w+", prose)) / WORDS
        elif cell.id.startswith("predict"):
            reading += PREDICTION
        elif cell.id != "set-up" and not cell.id.startswith("exercise"):
            reading += len(cell.source.splitlines()) / LINES
            reading += LOOK * len(
                re.findall(r"(?:helpers|listening)\.(?:play|compare|BlindTest|plot_spectrograms?)\(", cell.source)
            )
    return reading, STAR * stars


def measure(notebook):
    """What an executed notebook took: seconds of its cells, seconds of CPU, and GB of memory at the most."""
    used = notebook.metadata["used"]
    numbers = {"cells": seconds(notebook), "cpu": used["cpu"], "memory": used["memory"] / 1e9}
    return {name: round(number, 2) for name, number in numbers.items()}


def whole(stem, notebook, record):
    """Minutes of a whole lesson, its cells included."""
    return sum(minutes(notebook)) + record["lessons"].get(stem, {"cells": 0})["cells"] / 60


def with_table(text, record):
    """Put the table between its two marks."""
    columns = "cells (s)", "CPU (s)", "memory (GB)", "reading (min)", "exercises (min)", "together (min)"
    rows = [f"| notebook | {' | '.join(columns)} |", "|---|---|---|---|---|---|---|"]
    for stem, notebook in lessons().items():
        title = re.search(r"^# (.+)$", notebook.cells[0].source, re.MULTILINE)[1]
        found = record["lessons"].get(stem)
        measured = f"{found['cells']:.0f} | {found['cpu']:.0f} | {found['memory']:.1f}" if found else "– | – | –"
        reading, exercises = minutes(notebook)
        together = whole(stem, notebook, record)
        rows.append(f"| {title} | {measured} | {reading:.0f} | {exercises} | {together:.0f} |")
    said = f"Cells, CPU time and peak memory of the kernel: measured once, {record['date']}, {record['machine']}."
    return "\n".join([text.split(BEGIN)[0] + BEGIN, "", said, "", *rows, "", END]) + text.split(END)[1]


def with_minutes(readme, record):
    """Put the minutes of each lesson into the last column of its row in the README's table."""
    for stem, notebook in lessons().items():
        row = rf"(?m)^(\| .*\(notebooks/{stem}\.ipynb\).*\| )[^|]*( \|)$"
        readme = re.sub(row, rf"\g<1>{whole(stem, notebook, record):.0f}\2", readme)
    return readme


def main():
    """Read the command line, renew the record if asked to, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", metavar="MACHINE", help="renew the cells' seconds, measured on this machine")
    machine = parser.parse_args().measured
    if machine and sys.platform != "linux":
        parser.error("CPU time and memory are measured on Linux only.")
    if machine:
        paths = [path for path in notebooks() if path.stem in lessons()]
        record = {"date": f"{date.today()}", "machine": machine}
        record["lessons"] = {path.stem: measure(executed(path)) for path in paths}
        RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    TEXT.write_text(with_table(TEXT.read_text(encoding="utf-8"), record), encoding="utf-8")
    README.write_text(with_minutes(README.read_text(encoding="utf-8"), record), encoding="utf-8")


if __name__ == "__main__":
    main()
