"""Take the outputs out of notebooks: `python -m tools.strip_outputs NOTEBOOK ...` exits with 1 if one had some."""

import sys

import nbformat


def stripped(notebook):
    """Strip a notebook in place; return whether there was anything to strip."""
    found = False
    for cell in notebook.cells:
        if cell.cell_type == "code" and (cell.outputs or cell.execution_count is not None):
            cell.outputs, cell.execution_count, found = [], None, True
        found |= cell.metadata.pop("execution", None) is not None
    return bool(notebook.metadata.pop("widgets", None)) or found


if __name__ == "__main__":
    changed = []
    for path in sys.argv[1:]:
        notebook = nbformat.read(path, 4)
        if stripped(notebook):
            nbformat.write(notebook, path)
            changed.append(path)
            print(f"{path}: stripped")
    sys.exit(bool(changed))
