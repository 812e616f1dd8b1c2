"""Say which library is missing, too old or too new, before one of them fails in words of its own."""

import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

REQUIREMENTS = Path(__file__).parent.parent / "requirements.txt"
# What this folder imports; the rest is for the tests, or belongs to the notebook program.
NEEDED = ("torch diffusers transformers accelerate huggingface_hub safetensors numpy scipy psutil filelock librosa "
          "soundfile matplotlib").split()  # fmt: skip


def check_versions():
    """Compare the installed libraries with requirements.txt.

    Raises
    ------
    ImportError
        If one is missing or too old. One that is newer than the course was tested with gets a warning.
    """
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines() if REQUIREMENTS.is_file() else []
    for wanted in (Requirement(line) for line in lines if line[:1].isalpha()):
        if wanted.name not in NEEDED:
            continue
        cure = f'run %pip install "{wanted}" in a cell, then restart the kernel.'
        try:
            found = version(wanted.name)
        except PackageNotFoundError:
            raise ImportError(f"{wanted.name} is not installed, but the course needs it: {cure}") from None
        if any(s.operator == ">=" and Version(found) < Version(s.version) for s in wanted.specifier):
            raise ImportError(f"{wanted.name} {found} is too old for the course: {cure}")
        if not wanted.specifier.contains(found, prereleases=True):
            warnings.warn(
                f"{wanted.name} {found} is newer than the course was tested with: if it fails, {cure}", stacklevel=2
            )


check_versions()
