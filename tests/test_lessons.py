"""Every lesson keeps its word: exercises refuse the stub and take the solution; without its change a proof fails.

nbmake runs each notebook as a learner does. Here it runs once more, with the folded solution behind each exercise, and
at the end, in the same Jupyter kernel, what undoes each change and then the proofs.
"""

import ast
import hashlib
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import official_layout
import pytest
import torch
from nbclient import NotebookClient

from tools.execute import ROOT, notebooks
from tools.handouts import SOLUTION

NOTEBOOKS = notebooks()
ON_OFFICIAL_LAYOUT = ("01_", "07_")  # those that look at the components themselves
# Where the full-size layout and the results on it are kept between runs: 4.5 GB.
KEPT = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "audioldm2-but-faster" / "official"


def name(path):
    return path.relative_to(ROOT / "notebooks").with_suffix("").as_posix()


def code_cells(notebook, prefix=""):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.id.startswith(prefix)]


def read(path, **parameters):
    """Read a notebook, shrunk for tests, and with these parameters where it has them."""
    notebook = nbformat.read(path, 4)
    for cell in code_cells(notebook, "parameters"):
        present = {target.id for node in ast.parse(cell.source).body for target in node.targets}
        shrunk = cell.metadata.nbmake.mock | {key: value for key, value in parameters.items() if key in present}
        cell.source += "".join(f"\n{key} = {value!r}" for key, value in shrunk.items())
    return notebook


def solve(notebook):
    """Put behind each exercise its check after the folded solution; return pairs of these cells."""
    cells, pairs, text = [], [], ""
    for cell in notebook.cells:
        cells.append(cell)
        if cell.cell_type == "markdown":
            text = cell.source
        elif cell.id.startswith("exercise-"):
            solution = SOLUTION.search(text)[1]
            check = "\n".join(cell.source.splitlines()[ast.parse(cell.source).body[0].end_lineno :])
            cells.append(nbformat.v4.new_code_cell(solution + check))
            pairs.append((cell, cells[-1]))
    notebook.cells = cells
    return pairs


def undo(notebook):
    """Append what undoes each change, and then the proofs once more, which may fail; return these."""
    changes = [
        cell.metadata.course.without_the_change for cell in code_cells(notebook, "change") if "course" in cell.metadata
    ]
    proofs = [cell.source for cell in code_cells(notebook, "proof")]
    again = [nbformat.v4.new_code_cell(proof, metadata={"tags": ["raises-exception"]}) for proof in proofs]
    notebook.cells += [nbformat.v4.new_code_cell(change) for change in changes] + again
    return again


def run(notebook, path, timeout=300):
    client = NotebookClient(notebook, timeout=timeout, resources={"metadata": {"path": path.parent}})
    client.execute()
    assert all(cell.execution_count for cell in code_cells(notebook) if cell.source), "a cell did not run"


def printed(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


def promises(path):
    return code_cells(nbformat.read(path, 4), "exercise-") or code_cells(nbformat.read(path, 4), "proof")


@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if promises(path)], ids=name)
def test_exercises_and_proofs(path, request):
    on_official = path.name.startswith(ON_OFFICIAL_LAYOUT)
    notebook = read(path, **{"CHECKPOINT": str(request.getfixturevalue("official_eighth"))} if on_official else {})
    exercises, proofs = solve(notebook), undo(notebook)
    run(notebook, path)
    for stub, solved in exercises:
        assert "Not yet. Hint: " in printed(stub), f"{stub.id}: the stub passes"
        assert "Right." in printed(solved), f"{stub.id}: the solution fails: {printed(solved)}"
    errors = [output for cell in proofs for output in cell.outputs if output.output_type == "error"]
    assert all(error.ename == "AssertionError" for error in errors), "\n".join(errors[0].traceback)
    assert errors or not proofs, "without the change no proof fails"


# --- the official size ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def full_size():
    folder = KEPT / "checkpoint"
    if not folder.exists():  # complete or not at all
        official_layout.write(KEPT / "unfinished", width=1.0).rename(folder)
    return folder


@pytest.mark.official
@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.stem != "check_your_machine"], ids=name)
def test_it_runs_at_the_official_size(path, full_size):
    """Skips what ran before as it stands now: a stopped run goes on where it was."""
    sources = [path, *sorted((ROOT / "helpers").rglob("*.py"))]
    content = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    result = KEPT / "results" / f"{path.stem}.json"
    if result.exists() and json.loads(result.read_text())["content"] == content:
        pytest.skip(f"it ran before; to run it again, delete {result}")
    start = time.monotonic()
    run(read(path, CHECKPOINT=str(full_size), SECONDS=1.28), path, timeout=1800)
    seconds = round(time.monotonic() - start)
    result.parent.mkdir(exist_ok=True)
    found = {
        "content": content,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "seconds": seconds,
        "torch": torch.__version__,
    }
    result.write_text(json.dumps(found, indent=2))
