"""Write the course's public address into README and notebooks: `python tools/address.py`.

The address stands in one place, `[project.urls]` in pyproject.toml. From it this script writes the Colab badges and the
set-up cell of each lesson; run it after changing the address.
"""

import re
import tomllib
from pathlib import Path

import nbformat

COURSE = Path(__file__).resolve().parents[1]
NOTEBOOKS = COURSE / "notebooks"
COLAB = "https://colab.research.google.com/github"


def repository():
    """The address in pyproject.toml, such as https://github.com/OWNER/REPOSITORY."""
    project = tomllib.loads((COURSE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"].rstrip("/")


def badges(text, address):
    """Make the Colab links of a text lead to the notebooks at an address, such as https://github.com/OWNER/REPOSITORY."""
    place = f"{COLAB}/{address.removeprefix('https://github.com/')}/blob/main/"
    return re.sub(rf"{COLAB}/[^)]*?/blob/main/", lambda _: place, text)


def addressed(notebook, name, address):
    """Put an address into the badge and the set-up cell of a notebook.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        Changed in place.
    name : str
        Its file name.
    address : str
        Such as https://github.com/OWNER/REPOSITORY.

    Returns
    -------
    bool
        Whether anything changed.
    """
    before = [cell.source for cell in notebook.cells]
    for cell in notebook.cells:
        cell.source = badges(re.sub(rf"({COLAB}/[^)]*/)[^)/]*\)", rf"\g<1>{name})", cell.source), address)
        if cell.id == "set-up":
            cell.source = re.sub(r'address = "[^"]*"', lambda _: f'address = "{address}"', cell.source)
    return before != [cell.source for cell in notebook.cells]


if __name__ == "__main__":
    readme = COURSE / "README.md"
    readme.write_text(badges(readme.read_text(encoding="utf-8"), repository()), encoding="utf-8")
    for path in sorted(NOTEBOOKS.rglob("*.ipynb")):
        notebook = nbformat.read(path, 4)
        if addressed(notebook, path.name, repository()):
            nbformat.write(notebook, path)
            print(f"{path.name}: now points to {repository()}")
