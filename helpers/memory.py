"""Measure how much memory a piece of code needs at its peak."""

import os
import re
import subprocess
import sys
import tempfile
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


def peak_memory(code, timeout=None):
    """Run code in a fresh Python process, and tell the most memory that the process held.

    Only a fresh process tells it: in this one, the peak of all that ran before hides that of what runs now.

    Parameters
    ----------
    code : str
        Python source; `import helpers` works in it. What it prints is dropped.
    timeout : float, optional
        Seconds after which to give up.

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
    TimeoutError
        If it took longer than `timeout`.
    """
    paths = [str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONUTF8": "1"}
    # Files, not pipes: a process that the code has left behind could hold a pipe open for ever.
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        source.write(code.encode())
        source.seek(0)
        command = [sys.executable, "-c", _CHILD]
        try:
            ended = subprocess.run(
                command, stdin=source, stdout=output, stderr=errors, env=environment, timeout=timeout
            ).returncode
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"The code took longer than timeout={timeout} s: give it less to do.") from None
        output.seek(0)
        errors.seek(0)
        peaks = re.findall(rb"^peak memory: (\d+) bytes", output.read(), re.MULTILINE)
        last = (errors.read().decode(errors="replace").strip().splitlines() or ["no message"])[-1]
    if ended in (-9, 137):
        raise MemoryError("The process was killed, most likely because memory ran out: make the clip shorter.")
    if ended != 0 and re.search("MemoryError|OutOfMemory|allocate memory", last):
        raise MemoryError(f"Memory ran out: make the clip shorter. ({last})")
    if ended != 0 or not peaks:
        raise RuntimeError(f"The code failed in the fresh process (exit status {ended}): {last}")
    return int(peaks[-1])
