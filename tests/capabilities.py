"""What the machine that runs the tests can do: decided here, and nowhere else."""

import functools
import importlib.util
import os
import platform
import shutil
import sys
from pathlib import Path

import pytest
import torch

import helpers
from tools import check_your_machine


@functools.cache
def compiles():
    """Whether torch.compile works: it needs a compiler, and a folder whose files may run."""
    return check_your_machine.check_compiler()[0] == check_your_machine.GREEN


def processes():
    """How many processes lesson 10 shares its work out to."""
    return 1 if platform.system() == "Windows" or helpers.best_device() == "mps" else 2


def lacks(name):
    """Why the change of a notebook makes no difference on this machine, so that nothing can be undone; else None."""
    if name.startswith(("05_", "recompiling")) and not compiles():
        return "torch.compile does not work here, so there is nothing to undo"
    if name.startswith("10_") and processes() == 1:
        return "one process here, so there is nothing to undo"
    return None


HERE = {
    "a CUDA GPU": torch.cuda.is_available(),
    "two processes": processes() == 2,
    "signals and bash": os.name != "nt",
    "a limit on memory": sys.platform == "linux",  # only Linux keeps it reliably
    "git and a clone": shutil.which("git") is not None and (Path(__file__).parents[1] / ".git").exists(),
    "playwright": importlib.util.find_spec("playwright") is not None,  # the tests marked browser and site
}


def needs(what):
    """Mark a test that is skipped where this is missing."""
    return pytest.mark.skipif(not HERE[what], reason=f"needs {what}")


def chromium():
    """Find Debian's or the system's Chromium; None stands for the one that `playwright install chromium` fetched."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
