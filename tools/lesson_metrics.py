"""Count how much there is to read in each notebook: `python tools/lesson_metrics.py [NOTEBOOK ...]`.

Folded cells and the parameter cell do not count as lines before the change.
"""

import statistics
import sys
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools.execute import notebooks  # noqa: E402

COLUMNS = ("code cells", "lines", "median", "longest", "before the change", "words", "longest text")


def metrics(notebook):
    """Count code cells, lines of code (in all, in the median cell, in the longest one, before the change) and words."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    lines = [sum(bool(line.strip()) for line in cell.source.splitlines()) for cell in code]
    words = [len(cell.source.split()) for cell in notebook.cells if cell.cell_type == "markdown"]
    change = next((i for i, cell in enumerate(code) if cell.id.startswith("change")), 0)
    shown = [n for cell, n in zip(code[:change], lines, strict=False) if not _is_aside(cell)]
    return len(code), sum(lines), statistics.median(lines), max(lines), sum(shown), sum(words), max(words)


def _is_aside(cell):
    return cell.id == "parameters" or cell.metadata.get("jupyter", {}).get("source_hidden", False)


if __name__ == "__main__":
    print("notebook".ljust(40), *COLUMNS, sep="  ")
    for path in map(Path, sys.argv[1:] or notebooks()):
        found = metrics(nbformat.read(path, 4))
        print(
            path.stem.ljust(40), *(f"{n:g}".rjust(len(name)) for name, n in zip(COLUMNS, found, strict=True)), sep="  "
        )
