"""Run notebooks as tests: offline, with a failure that names the notebook and the cell, and none that hardly ran."""

import os
import tempfile
from pathlib import Path

import nbformat
import nbmake.pytest_items
from nbclient.exceptions import DeadKernelError
from nbmake.nb_result import NotebookError, NotebookResult
from nbmake.nb_run import NotebookRun

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"
_FOLDER = tempfile.TemporaryDirectory()  # as long as this process lives
os.environ["AUDIOLDM2_SCOREBOARD"] = str(Path(_FOLDER.name) / "scoreboard.json")  # lessons leave none in the tree
LEAST_CODE_CELLS = 10


class NamedRun(NotebookRun):
    """What nbmake runs a notebook with; it says which cell of which notebook failed."""

    def execute(self):
        name = Path(self.filename).name
        try:
            result = super().execute()
        except DeadKernelError as error:
            return NotebookResult(
                nb=nbformat.read(self.filename, 4), error=NotebookError(f"{name}: the kernel died", str(error), -1)
            )
        if result.error:
            place = f"{name}, cell {result.error.failing_cell_index + 1}"
            result.error.summary = f"{place}: {result.error.summary}"
            result.error.trace = f"{place}\n{result.error.trace}"
        else:
            ran = sum(cell.cell_type == "code" and bool(cell.execution_count) for cell in result.nb.cells)
            if ran < LEAST_CODE_CELLS:
                summary = f"{name}: only {ran} code cells were executed, a lesson has at least {LEAST_CODE_CELLS}"
                return NotebookResult(nb=result.nb, error=NotebookError(summary, summary, -1))
        return result


nbmake.pytest_items.NotebookRun = NamedRun
