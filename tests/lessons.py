"""The notebooks as tests want them: by name, cell by cell, and with short parameters."""

import nbformat
import pytest

from tools.execute import notebooks

NOTEBOOKS = notebooks()


def each(paths):
    """Run a test for each of these notebooks, which it gets as `path`."""
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.stem)


def cells(notebook, prefix="", kind="code"):
    return [cell for cell in notebook.cells if cell.cell_type == kind and cell.id.startswith(prefix)]


def shrunk(path, **parameters):
    """Read a notebook with the values that the metadata of its parameter cell hold for tests, and with these."""
    notebook = nbformat.read(path, 4)
    for cell in cells(notebook, "parameters"):
        values = cell.metadata.nbmake.mock | parameters
        cell.source += "".join(f"\n{name} = {value!r}" for name, value in values.items())
    return notebook
