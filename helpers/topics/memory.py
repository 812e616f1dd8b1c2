"""Measure how much memory a piece of code needs at its peak."""

import os
import re
import subprocess
import sys
from pathlib import Path

# What the fresh process runs. The peak is that of the whole process, Python and libraries included. Linux: VmHWM begins
# anew with the process, while ru_maxrss may come from the parent; some systems have no VmHWM.
_CHILD = """
import sys
exec(compile(sys.stdin.buffer.read(), "<measured code>", "exec"), {"__name__": "__main__"})
try:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    try:
        with open("/proc/self/status") as status:
            peak = next((int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM")), peak)
    except OSError:
        pass
except ImportError:
    import psutil
    peak = psutil.Process().memory_info().peak_wset
print(f"\\npeak memory: {peak} bytes", flush=True)
"""


def peak_memory(code):
    """Run code in a fresh Python process, and tell the most memory that the process held.

    Only a fresh process tells it: in this one, the peak of all that ran before hides that of what runs now.

    Parameters
    ----------
    code : str
        Python source; `import helpers` works in it. What it prints is dropped.

    Returns
    -------
    int
        Bytes of main memory (resident set size, or working set on Windows) at the peak.

    Raises
    ------
    RuntimeError
        If the code fails; its last line is quoted.
    MemoryError
        If there was not enough memory.
    """
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONUTF8": "1"}
    child = subprocess.run([sys.executable, "-c", _CHILD], input=code.encode(), capture_output=True, env=environment)
    peaks, ended = re.findall(rb"^peak memory: (\d+) bytes", child.stdout, re.MULTILINE), child.returncode
    last = (child.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
    if ended in (-9, 137):
        raise MemoryError("The process was killed, most likely because memory ran out: make the clip shorter.")
    if ended != 0 and re.search("MemoryError|OutOfMemory|allocate memory|not enough memory", last):  # Linux, Windows
        raise MemoryError(f"Memory ran out: make the clip shorter. ({last})")
    if ended != 0 or not peaks:
        raise RuntimeError(f"The code failed in the fresh process (exit status {ended}): {last}")
    return int(peaks[-1])
