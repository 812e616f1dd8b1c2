"""Every lesson keeps its word: exercises refuse the stub and take the solution; without its change a proof fails.

nbmake runs each notebook as a learner does. Here it runs once more, with the solved cell behind each exercise, and
at the end, in the same Jupyter kernel, what undoes each change and then the proofs.
"""

import copy
import hashlib
import os
from pathlib import Path

import capabilities
import nbformat
import official_layout
import pytest
from lessons import NOTEBOOKS, cells, each, shrunk
from nbclient import NotebookClient

from tools.execute import ROOT
from tools.handouts import handout

ON_OFFICIAL_LAYOUT = ("01_", "07_")  # those that look at the components themselves
# Where the full-size layout is kept between runs: 4.5 GB.
KEPT = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "audioldm2-but-faster" / "official"


def solve(notebook):
    """Put behind each exercise its cell of the solved handout; return pairs of these cells."""
    solved = cells(handout(copy.deepcopy(notebook), solved=True), "exercise-")
    pairs = list(zip(cells(notebook, "exercise-"), solved, strict=True))
    for stub, answer in pairs:
        notebook.cells.insert(notebook.cells.index(stub) + 1, answer)
        answer.id = f"solved-{stub.id}"
    return pairs


def undo(notebook):
    """Append what undoes each change, and then the proofs once more, which may fail; return these."""
    changes = [
        cell.metadata.course.without_the_change for cell in cells(notebook, "change") if "course" in cell.metadata
    ]
    again = [
        nbformat.v4.new_code_cell(cell.source, metadata={"tags": ["raises-exception"]})
        for cell in cells(notebook, "proof")
    ]
    notebook.cells += [*map(nbformat.v4.new_code_cell, changes), *again]
    return again


def run(notebook, path, timeout=300):
    NotebookClient(notebook, timeout=timeout, resources={"metadata": {"path": path.parent}}).execute()
    assert all(cell.execution_count for cell in cells(notebook) if cell.source), "a cell did not run"


def outputs(notebook, kind):
    return [output for cell in notebook.cells for output in cell.get("outputs", []) if output.output_type == kind]


def printed(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


def promises(path):
    return cells(nbformat.read(path, 4), "exercise-") or cells(nbformat.read(path, 4), "proof")


@each([path for path in NOTEBOOKS if promises(path)])
def test_exercises_and_proofs(path, request):
    on_official = path.name.startswith(ON_OFFICIAL_LAYOUT)
    notebook = shrunk(path, **{"CHECKPOINT": str(request.getfixturevalue("official_eighth"))} if on_official else {})
    exercises, proofs = solve(notebook), undo(notebook)
    run(notebook, path)
    for stub, solved in exercises:
        assert "Not yet. Hint: " in printed(stub), f"{stub.id}: the stub passes"
        assert "Right." in printed(solved), f"{stub.id}: the solution fails: {printed(solved)}"
    errors = outputs(notebook, "error")
    assert all(error.ename == "AssertionError" for error in errors), "\n".join(errors[0].traceback)
    lacking = None if errors else capabilities.lacks(path.name)
    assert errors or not proofs or lacking, "without the change no proof fails"
    red = "".join(stream.text for stream in outputs(notebook, "stream") if stream.name == "stderr")
    assert "past_key_values" not in red, red
    if lacking:
        pytest.skip(lacking)


# --- the official size ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def full_size():
    folder = KEPT / "checkpoint"
    if not folder.exists():  # complete or not at all
        official_layout.write(KEPT / "unfinished", width=1.0).rename(folder)
    return folder


@pytest.mark.official
@each([path for path in NOTEBOOKS if path.stem != "check_your_machine"])
def test_it_runs_at_the_official_size(path, full_size):
    """Skips what ran before as it stands now: a run that was stopped goes on where it was."""
    sources = [path, *sorted((ROOT / "helpers").rglob("*.py"))]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    done = KEPT / f"{path.stem}-{digest[:16]}"
    if done.exists():
        pytest.skip(f"it ran before; to run it again, delete {done}")
    run(shrunk(path, CHECKPOINT=str(full_size), SECONDS=1.28), path, timeout=1800)
    done.touch()
