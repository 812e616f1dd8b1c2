"""Run a command as a terminal does, end it with all that it started, and read the clips that it made."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import soundfile


def run(*command, interrupt_at=None):
    """Run Python with some arguments, print what it says, and tell how long it took.

    Parameters
    ----------
    *command : str, int or pathlib.Path
        Arguments of Python, such as a script and its options.
    interrupt_at : str, optional
        When a line holds this, the process and all that it started are ended, as if the machine were taken away.

    Returns
    -------
    float
        Seconds.
    """
    utf8 = {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8"}  # Windows would write in the code page
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8", "errors": "replace"}
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, *map(str, command)], env=os.environ | utf8, **pipes) as process:
        try:
            for line in process.stdout:
                print(line, end="")
                if interrupt_at and interrupt_at in line:
                    break
            else:
                process.wait()
        finally:
            end(process.pid)
    return time.perf_counter() - start


def end(pid):
    """End a process and all that it started: of a launcher alone, the workers would go on and keep their locks."""
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:  # it has ended by itself
        return
    for one in family:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            pass
    psutil.wait_procs(family, timeout=10)


def rows(folder):
    """Read the table of a folder of clips: a list of one dict for each."""
    return [json.loads(line) for line in (Path(folder) / "table.jsonl").read_text(encoding="utf-8").splitlines()]


def clip(folder, line):
    """Read the clip of a line: numpy.ndarray, shape (n,)."""
    return soundfile.read(Path(folder) / f"{line:05}.flac", dtype="float32")[0]


def clips_per_minute(folder):
    """Add up the rates of all processes, each from the median time of its clips, without starting and loading."""
    times = {}
    for row in rows(folder):
        times.setdefault(row["process"], []).append(row["took"])
    return sum(60 / float(np.median(took)) for took in times.values())
