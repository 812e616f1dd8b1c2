"""Count how much there is to read in each notebook, and of what kind: `python tools/lesson_metrics.py [NOTEBOOK ...]`.

The body is all code but the set-up and the parameters. Lines are counted after `ruff format` without `# fmt: skip`.
"""

import re
import statistics
import subprocess
import sys
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools.execute import notebooks  # noqa: E402

# What the code of a cell is, by the beginning of its id; the longest that fits counts.
KINDS = {
    "aside": ("set-up", "parameters"),
    "subject": (
        "load", "baseline", "change", "prepare", "choose", "default", "rows", "encode", "denoise", "decode", "whole",
        "seeds", "split", "script", "candidates", "kill", "resume", "vanilla",
        "guidance-source", "check", "widgets",
    ),
    "measuring": (
        "measure", "report", "official", "break-even", "curve", "sweep", "weights", "stages", "cost", "pairs", "floors",
        "size", "sound", "distance", "judge", "ladder", "rungs", "grid",
    ),
    "apparatus": (
        "predict", "proof", "exercise", "scoreboard", "listen", "look", "sketch", "table", "chart", "checkpoints",
        "machine", "components", "recorded", "panel", "export", "last", "reveal",
        "best-and-worst",
    ),
}  # fmt: skip
COLUMNS = ("code cells", "body", "median", "longest", "before the change", "% apparatus", "% measuring", "words",
           "longest text")  # fmt: skip


def kind(cell):
    """Tell what the code of a cell is: a key of `KINDS`."""
    fits = [(len(begin), name) for name, begins in KINDS.items() for begin in begins if cell.id.startswith(begin)]
    if not fits:
        raise ValueError(f"The code cell {cell.id!r} is of no known kind: add the beginning of its id to KINDS.")
    return max(fits)[1]


def lines_of(cells):
    """Count the lines of code of cells, formatted alike."""
    border = "\n\n\n# %% border\n"
    source = border.join(
        re.sub(r"\s*# fmt: skip", "", re.sub(r"^( *)[!%]", r"\1pass  # ", c.source, flags=re.M)) for c in cells
    )
    command = [sys.executable, "-m", "ruff", "format", "--line-length", "120", "--stdin-filename", "cell.py", "-"]
    formatted = subprocess.run(
        command, input=source, capture_output=True, text=True, encoding="utf-8", check=True
    ).stdout
    return [sum(bool(line.strip()) for line in part.splitlines()) for part in formatted.split("# %% border")]


def metrics(notebook):
    """Count code cells, lines of the body, and words; see `COLUMNS`."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    kinds = [kind(cell) for cell in code]
    lines = [n for n, what in zip(lines_of(code), kinds, strict=True) if what != "aside"]
    body = [cell for cell, what in zip(code, kinds, strict=True) if what != "aside"]
    share = {what: sum(n for n, cell in zip(lines, body, strict=True) if kind(cell) == what) for what in KINDS}
    change = next((i for i, cell in enumerate(body) if cell.id.startswith("change")), 0)
    before = sum(n for n, cell in zip(lines[:change], body, strict=False) if not cell.metadata.get("jupyter"))
    words = [len(cell.source.split()) for cell in notebook.cells if cell.cell_type == "markdown"]
    percents = (round(100 * share[what] / sum(lines)) for what in ("apparatus", "measuring"))
    return len(code), sum(lines), statistics.median(lines), max(lines), before, *percents, sum(words), max(words)


if __name__ == "__main__":
    print("notebook".ljust(40), *COLUMNS, sep="  ")
    for path in map(Path, sys.argv[1:] or (path for path in notebooks() if path.parent.name != "deeper")):
        found = metrics(nbformat.read(path, 4))
        print(
            path.stem.ljust(40), *(f"{n:g}".rjust(len(name)) for name, n in zip(COLUMNS, found, strict=True)), sep="  "
        )
