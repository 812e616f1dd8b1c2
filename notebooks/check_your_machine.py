"""Check whether this machine can run the lessons: `python notebooks/check_your_machine.py`.

Each row is green (works), amber (the lessons run, with less) or red (they will not), and says what to do. The exit code
is 1 if a row is red. Only the standard library is imported up here, so that a broken machine gets a red row for what is
broken. Nothing is downloaded or changed.
"""

import contextlib
import html
import importlib
import importlib.metadata
import importlib.util
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
COURSE = HERE.parent
GREEN, AMBER, RED = "green", "amber", "red"
SIGNS = {GREEN: "●", AMBER: "▲", RED: "✖"}  # so that nobody has to tell colours apart
INSTALL = f"{sys.executable} -m pip install -r requirements.txt, in the folder of the course"
OPTIONAL = {
    "ipywidgets",
    "nbmake",
    "nbclient",
    "nbformat",
    "pytest",
    "ruff",
}  # without them the lessons run all the same
GIB = 2**30
SIZE = 512  # rows of the matrices that measure half precision


def check_python():
    """Python is new enough."""
    found = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    if sys.version_info < (3, 11):  # noqa: UP036 -- this file is run to find that out
        return RED, found, "install Python 3.11 or newer, and make the virtual environment anew with it"
    if sys.maxsize < 2**32:
        return RED, f"{found}, 32 bit", "install a 64-bit Python: torch has no other"
    return GREEN, found, ""


def check_versions():
    """The packages of requirements.txt are there, in versions that the course was tested with."""
    from packaging.requirements import Requirement

    lines = (COURSE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    missing, untested = [], []
    for wanted in (Requirement(line) for line in lines if re.match(r"\w", line)):
        try:
            found = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(wanted.name)
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            untested.append(f"{wanted.name} {found} (tested: {wanted.specifier})")
    if set(missing) - OPTIONAL:
        return RED, f"missing: {', '.join(missing)}", INSTALL
    if missing or untested:
        found = [f"missing, though the lessons run without: {', '.join(missing)}"] if missing else []
        return AMBER, "; ".join(found + untested), INSTALL
    shown = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "diffusers", "transformers"))
    return GREEN, shown, ""


def check_device():
    """The device that the lessons will choose computes."""
    import torch

    device = _best_device(torch)
    one = torch.ones(64, 64, device=device)
    if float((one @ one)[0, 0]) != 64:
        return RED, f"{device} computes wrong sums", "restart the computer, then update the driver"
    if device == "cuda":
        return GREEN, f"GPU: {torch.cuda.get_device_name()}", ""
    if device == "mps":
        return GREEN, "GPU of this Mac (mps)", ""
    found = f"CPU, {os.cpu_count()} cores"
    if shutil.which("nvidia-smi"):
        return AMBER, f"{found}; torch does not see the NVIDIA GPU", "install the torch for CUDA: https://pytorch.org"
    return GREEN, f"{found}; no GPU, which the lessons do not need", ""


def check_memory():
    """There is room in memory for a lesson."""
    import psutil
    import torch

    memory = psutil.virtual_memory()
    found, free = f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB free", memory.available
    if _best_device(torch) == "cuda":
        gpu_free, gpu = torch.cuda.mem_get_info()
        found += f"; on the GPU {gpu_free / GIB:.1f} of {gpu / GIB:.1f} GiB free"
        if gpu_free < GIB:
            return AMBER, found, "end other programs on the GPU (nvidia-smi lists them), other notebooks too"
    if free < 1.5 * GIB:
        return RED, found, "close other programs and other notebooks until 1.5 GiB are free"
    if free < 3 * GIB:
        return AMBER, found, "close other programs and other notebooks; open one lesson at a time"
    return GREEN, found, ""


def check_disk():
    """The lessons may write, and there is room to."""
    free = shutil.disk_usage(HERE).free
    found = f"{free / GIB:.1f} GiB free in {HERE}"
    try:
        with tempfile.TemporaryFile(dir=HERE) as probe:
            probe.write(b"x")
    except OSError as error:
        return (
            AMBER,
            f"{_one_line(error)}",
            "copy the course to a folder of your own: scoreboard and sounds are saved there",
        )
    if free < GIB / 2:
        return RED, found, "make room: 0.5 GiB at least"
    if free < 8 * GIB:
        return AMBER, found, "enough for the lessons; make room before you download an official checkpoint"
    return GREEN, found, ""


def check_half_precision():
    """Half precision is fast on this device."""
    import torch

    device = _best_device(torch)
    name = "bfloat16" if device == "cpu" else "float16"
    seconds = {}
    for dtype in (torch.float32, getattr(torch, name)):
        matrix = torch.ones(SIZE, SIZE, device=device, dtype=dtype)
        tries = []
        for _ in range(3):
            start = time.perf_counter()
            float((matrix @ matrix)[0, 0])  # reading a number waits for the GPU
            tries.append(time.perf_counter() - start)
        seconds[dtype] = min(tries)
    full, half = seconds.values()
    if half > 1.5 * full:
        found = f"{name} is {half / full:.0f} times slower than float32 here"
        return AMBER, found, "stay with float32; lesson 4 shows why"
    return GREEN, f"{name} works, at {full / half:.1f} times the speed of float32", ""


def check_compiler():
    """torch.compile finds what it needs for lesson 5."""
    import torch

    without = "lesson 5 goes on without it; to have it, "
    if _best_device(torch) == "cuda":
        if importlib.util.find_spec("triton") is None:
            return AMBER, "no Triton", f"{without}pip install triton (on Windows triton-windows)"
        return GREEN, f"Triton {importlib.metadata.version('triton')}", ""
    names = ["cl"] if os.name == "nt" else [os.environ.get("CXX") or "g++", "clang++"]
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        how = {"nt": "install the Build Tools for Visual Studio, and start Jupyter from their command prompt"}
        unix = "xcode-select --install" if sys.platform == "darwin" else "sudo apt install g++ python3-dev"
        return AMBER, f"no C++ compiler ({' or '.join(names)})", without + how.get(os.name, unix)
    if os.name == "nt":
        return GREEN, found, ""
    with tempfile.TemporaryDirectory() as folder:  # torch compiles against the headers of Python
        source = Path(folder, "try.cpp")
        source.write_text("#include <Python.h>\nint main() { return 0; }\n")
        command = [found, "-fsyntax-only", f"-I{sysconfig.get_paths()['include']}", str(source)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=15)
    if done.returncode:
        problem = (re.findall(r"error: .*", done.stderr) or ["it does not compile"])[0]
        return AMBER, f"{found}: {problem}", f"{without}sudo apt install python3-dev, or the like on your system"
    return GREEN, found, ""


def check_checkpoint():
    """The checkpoint that the lessons will choose is whole, and the small one makes a sound."""
    with _quiet() as said:
        sys.path.insert(0, str(COURSE))
        try:
            import helpers
        finally:
            sys.path.remove(str(COURSE))
        helpers.find_checkpoint("pocket")
        if os.environ.get("AUDIOLDM2_CHECKPOINT", "auto") not in helpers.OFFICIAL:  # which might be downloaded
            helpers.find_checkpoint()
        pipe = helpers.load_pipeline("pocket")
        pipe.set_progress_bar_config(disable=True)
        start = time.perf_counter()
        audio = pipe("church bells", num_inference_steps=1, audio_length_in_s=1.0).audios[0]
    if not abs(audio).max() > 0:
        return RED, "pocket makes no sound", "report it, with this table: it should"
    choice = " ".join(line for line in said.getvalue().splitlines() if line.startswith("Checkpoint:"))
    choice = re.sub(r"\. The .*", "", choice.removeprefix("Checkpoint: "))
    return GREEN, f"{choice or 'pocket'}; pocket made a sound in {time.perf_counter() - start:.1f} s", ""


def check_audio():
    """A player can be made."""
    import numpy
    import soundfile

    samples = numpy.zeros(1600, "float32")
    for kind in ("WAV", "MP3"):
        try:
            soundfile.write(io.BytesIO(), samples, 16000, format=kind)
        except (ValueError, soundfile.SoundFileError) as error:
            if kind == "WAV":
                return (
                    RED,
                    f"soundfile cannot write WAV ({_one_line(error)})",
                    "pip install --force-reinstall soundfile",
                )
            step = "pip install --upgrade soundfile; until then notebooks hold WAV, and grow large"
            return AMBER, "WAV, but no MP3", step
    return GREEN, "MP3 and WAV; put on headphones, and set the volume low at first", ""


def check_widgets():
    """Boxes and buttons can be shown."""
    try:
        importlib.import_module("ipywidgets")
    except ImportError:
        return AMBER, "ipywidgets is missing: no boxes and buttons", f"write guesses into the cells, or {INSTALL}"
    found = f"ipywidgets {importlib.metadata.version('ipywidgets')}"
    fronts = [name for name in ("jupyterlab_widgets", "widgetsnbextension") if _installed(name)]
    if not fronts and "google.colab" not in sys.modules:
        return (
            AMBER,
            f"{found}, but JupyterLab cannot show them",
            "pip install jupyterlab_widgets, then reload the page",
        )
    return GREEN, found, ""


CHECKS = {
    "Python": check_python,
    "versions": check_versions,
    "device": check_device,
    "memory": check_memory,
    "disk": check_disk,
    "half precision": check_half_precision,
    "compiler": check_compiler,
    "checkpoint": check_checkpoint,
    "audio": check_audio,
    "widgets": check_widgets,
}


def rows():
    """Run all checks, one by one.

    Yields
    ------
    dict of str to str
        With the keys "check", "state" ("green", "amber" or "red"), "found" and "next step".
    """
    for name, check in CHECKS.items():
        try:
            state, found, step = check()
        except ImportError as error:
            state, found, step = RED, f"cannot be checked ({_one_line(error)})", INSTALL
        except Exception as error:  # a broken machine may raise anything, and the other rows are still wanted
            state, found, step = RED, _one_line(error), f"mend this first; if nothing helps, {INSTALL}"
        yield {"check": name, "state": state, "found": found, "next step": step or "nothing to do"}


def verdict(states):
    """Sum all rows up in one sentence."""
    states = list(states)
    if RED in states:
        return "Red rows must be mended before lesson 1: begin with the first."
    if AMBER in states:
        return "The lessons will run. What is amber costs time or a part of a lesson."
    return "All is ready: open lesson 1."


class Report:
    """All rows as a table for a notebook; it is filled when it is made."""

    def __init__(self):
        self.rows = list(rows())

    def _repr_html_(self):
        colours = {GREEN: "#1a7f37", AMBER: "#8a5300", RED: "#b3261e"}  # all dark enough to carry white letters
        lines = "".join(
            f"<tr><th scope='row' style='text-align: left'>{row['check']}</th>"
            f"<td style='background: {colours[row['state']]}; color: white; white-space: nowrap'>"
            f"{SIGNS[row['state']]} {row['state']}</td>"
            f"<td style='text-align: left'>{html.escape(row['found'])}</td>"
            f"<td style='text-align: left'>{html.escape(row['next step'])}</td></tr>"
            for row in self.rows
        )
        head = "".join(f"<th scope='col'>{name}</th>" for name in ("check", "state", "found", "next step"))
        return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>" + (
            f"<p><strong>{verdict(row['state'] for row in self.rows)}</strong></p>"
        )

    def __repr__(self):
        return "\n".join([*map(_line, self.rows), verdict(row["state"] for row in self.rows)])


def _line(row, colours=False):
    """One row as text; what there is to do on a line of its own."""
    word = f"{SIGNS[row['state']]} {row['state']:<5}"
    if colours:
        word = f"\033[{dict(green=32, amber=33, red=31)[row['state']]}m{word}\033[0m"
    text = f"{word}  {row['check']}: {row['found']}"
    return text if row["state"] == GREEN else f"{text}\n{'':9}→ {row['next step']}"


def _one_line(error):
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no message'])[0]}"


def _installed(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _best_device(torch):
    """What `helpers.best_device` says; written again, because importing `helpers` may be what is broken."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@contextlib.contextmanager
def _quiet():
    """Catch what libraries print and warn of, so that the table stays readable; yields what was printed."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
        yield said


def main():
    """Print the rows as they come; return 1 if one of them is red."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal may lack the signs
    states = []
    for row in rows():
        print(_line(row, colours=sys.stdout.isatty()), flush=True)
        states.append(row["state"])
    print(verdict(states))
    return int(RED in states)


if __name__ == "__main__":
    sys.exit(main())
