"""Every exercise refuses its empty stub, and accepts its folded solution."""

import ast
import re

import nbformat
import pytest
from nbclient import NotebookClient

from notebooks import address

LESSONS = [path for path in sorted(address.HERE.glob("[0-9][0-9]_*.ipynb")) if path.name[:2] >= "01"]


def with_solutions(notebook):
    """Insert, behind each exercise cell, the same check after the folded solution; return the notebook's exercises."""
    cells, exercises, text = [], [], ""
    for cell in notebook.cells:
        cells.append(cell)
        if cell.id == "parameters":
            mock = cell.metadata.nbmake.mock
            cells.append(nbformat.v4.new_code_cell("\n".join(f"{name} = {value!r}" for name, value in mock.items())))
        if cell.cell_type == "markdown":
            text = cell.source
        elif cell.id.startswith("exercise-"):
            solution = re.search(r"<details>.*?```python\n(.*?)```.*?</details>", text, re.DOTALL)[1]
            stub, *check = ast.parse(cell.source).body
            assert isinstance(stub, ast.Assign) and check, f"{cell.id}: a stub and a check are wanted"
            solved = nbformat.v4.new_code_cell("\n".join([solution, *map(ast.unparse, check)]))
            cells.append(solved)
            exercises.append((cell, solved))
    notebook.cells = cells
    return exercises


def printed(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_stubs_fail_and_solutions_pass(path):
    notebook = nbformat.read(path, 4)
    exercises = with_solutions(notebook)
    assert len(exercises) >= 2, f"{path.name} has {len(exercises)} exercises"
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": path.parent}}).execute()
    for stub, solved in exercises:
        assert "Not yet. Hint: " in printed(stub), f"{path.name}, {stub.id}: the empty stub passes"
        assert "Right." in printed(solved), f"{path.name}, {stub.id}: the solution fails"
