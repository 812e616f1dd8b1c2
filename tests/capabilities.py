"""What the machine that runs the tests can do: decided here, and nowhere else."""

import functools
import platform

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
