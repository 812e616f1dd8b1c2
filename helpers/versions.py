"""Say which library is missing, too old or too new, before one of them fails in words of its own."""

import sys
import tomllib
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"  # not the installed metadata: Colab has only a clone


def requirements(*extras):
    """Read the libraries that the course needs, with the versions that it was run with.

    Parameters
    ----------
    *extras : str
        Names in `[project.optional-dependencies]`.

    Returns
    -------
    list of packaging.requirements.Requirement

    Raises
    ------
    ValueError
        If pyproject.toml lists none, which would make every check pass.
    """
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    lists = [project.get("dependencies", []), *(project["optional-dependencies"][extra] for extra in extras)]
    if not all(lists):
        raise ValueError(f"{PYPROJECT} lists no libraries: get a fresh copy of it.")
    return [Requirement(line) for lines in lists for line in lines]


def check_versions():
    """Compare the installed libraries with pyproject.toml.

    Raises
    ------
    ImportError
        If one is missing or too old. One that is newer than the course was run with gets a warning.
    """
    for wanted in requirements():
        cure = f'run %pip install "{wanted}" in a cell, then restart the kernel (it runs {sys.executable}).'
        try:
            found = version(wanted.name)
        except PackageNotFoundError:
            raise ImportError(f"{wanted.name} is not installed, but the course needs it: {cure}") from None
        if any(s.operator == ">=" and Version(found) < Version(s.version) for s in wanted.specifier):
            raise ImportError(f"{wanted.name} {found} is too old for the course: {cure}")
        if not wanted.specifier.contains(found, prereleases=True):
            warnings.warn(
                f"{wanted.name} {found} is newer than the course was run with: if it fails, {cure}", stacklevel=2
            )


check_versions()
