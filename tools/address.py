"""Write the course's public address where it is needed: `python tools/address.py`.

The address stands in one place, `[project.urls]` in pyproject.toml. From it this script writes the Colab badge and the
set-up cell of each notebook, the links at the top of the README, and the citation; run it after changing the address.
As long as the address is the placeholder, there are no badges, and README and citation hold no link to it.
"""

import re
import tomllib
from pathlib import Path

import nbformat

COURSE = Path(__file__).resolve().parents[1]
NOTEBOOKS = COURSE / "notebooks"
GITHUB, COLAB = "https://github.com/", "https://colab.research.google.com/github"
BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
BEGIN, END = "<!-- links: written by tools/address.py -->", "<!-- end of links -->"
UNKNOWN = "Until it is published, the course runs in Colab, Kaggle or on a hub [from a zip](docs/colab.md)."


def repository():
    """The address in pyproject.toml, such as https://github.com/OWNER/REPOSITORY."""
    project = tomllib.loads((COURSE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"].rstrip("/")


def is_set(address):
    """Whether an address is a real one."""
    return not address.endswith("OWNER/REPOSITORY")


def site(address):
    """Where GitHub Pages shows the site of a repository."""
    owner, name = address.removeprefix(GITHUB).split("/")
    return f"https://{owner.lower()}.github.io/{name}/"


def addressed(notebook, place, address):
    """Put an address into the badge and the set-up cell of a notebook.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        Changed in place.
    place : str
        Its file, relative to the course's folder.
    address : str
        Such as https://github.com/OWNER/REPOSITORY.

    Returns
    -------
    bool
        Whether anything changed.
    """
    before = [cell.source for cell in notebook.cells]
    badge = f"{BADGE}({COLAB}/{address.removeprefix(GITHUB)}/blob/main/{place})\n\n" if is_set(address) else ""
    for cell in notebook.cells:
        if cell.id == "title":
            heading, rest = re.sub(rf"{re.escape(BADGE)}\S*\n\n", "", cell.source).split("\n\n", 1)
            cell.source = f"{heading}\n\n{badge}{rest}"
        if cell.id == "set-up":
            cell.source = re.sub(r'^address = ".*"$', f'address = "{address}"', cell.source, flags=re.MULTILINE)
    return before != [cell.source for cell in notebook.cells]


def with_links(readme, address):
    """Put the links to Colab, Codespaces and the site between their two marks in the README."""
    name = address.removeprefix(GITHUB)
    links = (
        f"[Open the tour in Colab]({COLAB}/{name}/blob/main/notebooks/00_tour.ipynb) · "
        f"[Open it in Codespaces](https://codespaces.new/{name}?quickstart=1) · [Read and hear it]({site(address)})"
    )
    before, after = readme.split(BEGIN)[0], readme.split(END)[1]
    return f"{before}{BEGIN}\n{links if is_set(address) else UNKNOWN}\n{END}{after}"


def with_citation(citation, address):
    """Put the addresses of repository and site into a CITATION.cff."""
    rest = re.sub(r"^(repository-code|url): .*\n", "", citation, flags=re.MULTILINE)
    return rest + (f'repository-code: "{address}"\nurl: "{site(address)}"\n' if is_set(address) else "")


def main():
    """Write the address everywhere."""
    address = repository()
    for name, change in {"README.md": with_links, "CITATION.cff": with_citation}.items():
        file = COURSE / name
        file.write_text(change(file.read_text(encoding="utf-8"), address), encoding="utf-8")
    for path in sorted(NOTEBOOKS.rglob("*.ipynb")):
        notebook = nbformat.read(path, 4)
        if addressed(notebook, path.relative_to(COURSE).as_posix(), address):
            nbformat.write(notebook, path)
            print(f"{path.name}: now points to {address}")


if __name__ == "__main__":
    main()
