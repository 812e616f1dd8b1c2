"""Every lesson that makes a change proves it: without the change, its proof fails."""

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from notebooks import address

LESSONS = [path for path in sorted(address.HERE.glob("[0-9][0-9]_*.ipynb")) if path.name[:2] >= "02"]


def without_the_change(notebook):
    """Put into each change cell what its metadata says, and drop all that comes after the last proof."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    changes = [cell for cell in code if cell.id == "change" or cell.id.startswith("change-")]
    assert changes, "no cell has the id change"
    for cell in changes:
        stripped = cell.metadata.get("course", {}).get("without_the_change")
        assert stripped is not None, f"the metadata of {cell.id} do not say what to run without the change"
        assert stripped.strip() != cell.source.strip()
        cell.source = stripped
    parameters = next(i for i, cell in enumerate(notebook.cells) if cell.id == "parameters")
    mock = notebook.cells[parameters].metadata.nbmake.mock
    values = "\n".join(f"{name} = {value!r}" for name, value in mock.items())
    notebook.cells.insert(parameters + 1, nbformat.v4.new_code_cell(values))
    proofs = [i for i, cell in enumerate(notebook.cells) if cell.id.startswith("proof") and cell.cell_type == "code"]
    assert proofs, "no cell has an id that starts with proof"
    notebook.cells = notebook.cells[: proofs[-1] + 1]


def test_there_are_lessons_that_make_a_change():
    assert LESSONS


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_without_the_change_the_proof_fails(path):
    notebook = nbformat.read(path, 4)
    without_the_change(notebook)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": path.parent}})
    with pytest.raises(CellExecutionError) as caught:
        client.execute()
    failed = next(c for c in notebook.cells if any(o.output_type == "error" for o in c.get("outputs", [])))
    assert failed.id.startswith("proof"), f"{path.name}: {failed.id} fails in place of the proof: {caught.value.evalue}"
