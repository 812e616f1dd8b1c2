"""Make the notebooks with and without their solutions: `python tools/handouts.py FOLDER`.

FOLDER/for_learners holds them without the folded solutions, FOLDER/solved with the solutions in the exercise cells.
Choose a folder inside the course's folder: there they find the helpers.
"""

import argparse
import ast
import re
import sys
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools.execute import notebooks, write  # noqa: E402

SOLUTION = re.compile(r"\s*<details>.*?```python\n(.*?)```.*?</details>", re.DOTALL)


def handout(notebook, solved):
    """Put each solution into its exercise cell, or only take the solutions away; the notebook is changed in place."""
    solution = None
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            found = SOLUTION.search(cell.source)
            solution = found[1] if found else solution
            cell.source = SOLUTION.sub("", cell.source)
        elif solved and cell.id.startswith("exercise-") and solution:
            _, *check = ast.parse(cell.source).body  # the empty stub goes, the check stays
            cell.source, solution = "\n".join([solution.rstrip(), *map(ast.unparse, check)]), None
    return notebook


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args().folder
    for name, solved in {"for_learners": False, "solved": True}.items():
        for path in notebooks():
            write(handout(nbformat.read(path, 4), solved), path, given / name)
        print(given / name)
