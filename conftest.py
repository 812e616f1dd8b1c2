"""Run notebooks as tests: offline, with a failure that names the notebook and the cell, and none that hardly ran."""

import os
import tempfile
from pathlib import Path

import nbformat
import nbmake.nb_run
import nbmake.pytest_items
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbmake.nb_result import NotebookError, NotebookResult
from nbmake.nb_run import NotebookRun

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
if _WORKERS > 1:  # they share the cores
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // _WORKERS)))
_FOLDER = tempfile.TemporaryDirectory()  # as long as this process lives
os.environ["AUDIOLDM2_SCOREBOARD"] = str(Path(_FOLDER.name) / "scoreboard.json")  # lessons leave none in the tree
LEAST_CODE_CELLS = 10  # in a lesson; the one that comes before them only checks the machine


class Client(NotebookClient):
    """Remembers which cell it works on: a kernel that died does not say."""

    cell = 0

    async def async_execute_cell(self, cell, cell_index, *args, **kwargs):
        Client.cell = cell_index + 1
        return await super().async_execute_cell(cell, cell_index, *args, **kwargs)


class NamedRun(NotebookRun):
    """What nbmake runs a notebook with; it says which cell of which notebook failed."""

    def execute(self):
        name = Path(self.filename).name
        try:
            result = super().execute()
        except DeadKernelError as error:
            summary = f"{name}, cell {Client.cell}: the kernel died"
            error = NotebookError(summary, f"{summary}\n{error}", Client.cell - 1)
            return NotebookResult(nb=nbformat.read(self.filename, 4), error=error)
        if result.error:
            place = f"{name}, cell {result.error.failing_cell_index + 1}"
            result.error.summary = f"{place}: {result.error.summary}"
            result.error.trace = f"{place}\n{result.error.trace}"
        else:
            ran = sum(cell.cell_type == "code" and bool(cell.execution_count) for cell in result.nb.cells)
            least = 2 if name.startswith("00_") else LEAST_CODE_CELLS
            if ran < least:
                summary = f"{name}: only {ran} code cells were executed, but it has at least {least}"
                return NotebookResult(nb=result.nb, error=NotebookError(summary, summary, -1))
        return result


nbmake.nb_run.NotebookClient = Client
nbmake.pytest_items.NotebookRun = NamedRun
