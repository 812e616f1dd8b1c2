"""Check whether this machine can run the lessons: `python tools/check_your_machine.py`.

Each row is green (works), amber (the lessons run, with less) or red (they will not), and says what to do. The exit code
is 1 if a row is red. Nothing is downloaded or changed. `--report FILE` also measures the stages of one clip and writes
what was found as a small JSON file, without names or paths, which you may send in (see benchmarks/results/machines).

Only the standard library is imported up here, so that a broken machine gets a red row for what is broken.
"""

import argparse
import contextlib
import html
import importlib.metadata
import importlib.util
import io
import json
import os
import platform
import re
import shutil
import sys
import sysconfig
import tempfile
import time
import warnings
from pathlib import Path

COURSE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(COURSE))
NOTEBOOKS = COURSE / "notebooks"  # where the lessons write
GREEN, AMBER, RED = "green", "amber", "red"
SIGNS = {GREEN: "●", AMBER: "▲", RED: "✖"}  # so that nobody has to tell colours apart
INSTALL = f"{sys.executable} -m pip install -r requirements.txt, in the folder of the course"
NO_TORCH = {
    ("Darwin", "x86_64"): "Intel Macs",
    ("Windows", "ARM64"): "Windows on ARM",
}  # PyTorch has stopped, or not begun
PYTHONS = (3, 11), (3, 14)  # the oldest and the newest that torch has packages for
GIB = 2**30
PROMPT = "Church bells ringing, high quality"
SHOWN = ("torch", "diffusers", "transformers", "accelerate", "numpy", "librosa", "soundfile", "ipywidgets")


def check_python():
    """Python, the system and the processor are among those that torch has packages for."""
    system, machine = platform.system(), platform.machine()
    found = f"Python {platform.python_version()}, {system} {machine}"
    oldest, newest = (".".join(map(str, numbers)) for numbers in PYTHONS)
    if (system, machine) in NO_TORCH:
        step = "use another computer, or Colab"
        return RED, f"{found}: there is no PyTorch for {NO_TORCH[system, machine]} that the course can use", step
    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        step = f"install Python {oldest} to {newest}, and make the virtual environment anew with it"
        return RED, f"{found}: there is no PyTorch for it that the course can use", step
    if sys.maxsize < 2**32:
        return RED, f"{found}, 32 bit", "install a 64-bit Python: torch has no other"
    return GREEN, found, ""


def check_libraries():
    """The libraries that pyproject.toml names are there, in versions that the course was run with."""
    from helpers import versions  # which raises if one is missing or too old

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        versions.check_versions()
    if caught:
        return AMBER, "; ".join(str(one.message) for one in caught), INSTALL
    return GREEN, ", ".join(f"{name} {_installed(name)}" for name in SHOWN[:3]), ""


def check_quiet():
    """No other program takes the cores."""
    from helpers.devices import busy_line

    line = busy_line().strip()
    if line:
        return AMBER, line, "close other programs and other notebooks before you measure"
    return GREEN, "they leave the cores to you", ""


def check_device():
    """The device that the lessons will choose computes."""
    import torch

    from helpers.devices import best_device

    device = best_device()
    one = torch.ones(64, 64, device=device)
    if float((one @ one)[0, 0]) != 64:
        return RED, f"{device} computes wrong sums", "restart the computer, then update the driver"
    if device == "cuda":
        return GREEN, f"GPU: {torch.cuda.get_device_name()}", ""
    if device == "mps":
        return GREEN, "GPU of this Mac (mps)", ""
    found = f"CPU, {os.cpu_count()} cores"
    if torch.backends.mps.is_available():
        step = "to use the GPU of this Mac, update macOS to 15.1 or newer"
        return AMBER, f"{found}; macOS {platform.mac_ver()[0]} cannot make whole clips on its GPU", step
    if shutil.which("nvidia-smi"):
        return AMBER, f"{found}; torch does not see the NVIDIA GPU", "install the torch for CUDA: https://pytorch.org"
    return GREEN, f"{found}; no GPU, which the lessons do not need", ""


def check_memory():
    """There is room in memory for a lesson."""
    import psutil
    import torch

    from helpers.devices import best_device

    memory = psutil.virtual_memory()
    found = f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB free"
    if best_device() == "cuda":
        gpu_free, gpu = torch.cuda.mem_get_info()
        found += f"; on the GPU {gpu_free / GIB:.1f} of {gpu / GIB:.1f} GiB free"
        if gpu_free < GIB:
            return AMBER, found, "end other programs on the GPU (nvidia-smi lists them), other notebooks too"
    if memory.available < 1.5 * GIB:
        return RED, found, "close other programs and other notebooks until 1.5 GiB are free"
    if memory.available < 3 * GIB:
        return AMBER, found, "close other programs and other notebooks; open one lesson at a time"
    return GREEN, found, ""


def check_disk():
    """The lessons may write, and there is room to."""
    free = shutil.disk_usage(NOTEBOOKS).free
    found = f"{free / GIB:.1f} GiB free"
    try:
        with tempfile.TemporaryFile(dir=NOTEBOOKS) as probe:
            probe.write(b"x")
    except OSError as error:
        step = "copy the course to a folder of your own: scoreboard and sounds are saved there"
        return AMBER, _one_line(error), step
    if free < GIB / 2:
        return RED, found, "make room: 0.5 GiB at least"
    if free < 8 * GIB:
        return AMBER, found, "enough for the lessons; make room before you download an official checkpoint"
    return GREEN, found, ""


def check_half_precision():
    """The device has instructions for half precision."""
    import torch

    from helpers.devices import best_device, half_and_reason

    dtype, reason = half_and_reason(torch.device(best_device()))
    found = f"{str(dtype).removeprefix('torch.')}, because {reason}"
    if dtype == torch.float32:
        return AMBER, found, "nothing that software could do; lesson 4 shows what it means"
    return GREEN, found, ""


def check_compiler():
    """torch.compile finds what it needs for lesson 5."""
    from helpers.devices import best_device

    without = "lesson 5 goes on without it; to have it, "
    if best_device() == "cuda":
        if importlib.util.find_spec("triton") is None:
            return AMBER, "no Triton", f"{without}pip install triton (on Windows triton-windows)"
        return GREEN, f"Triton {_installed('triton') or ''}", ""
    names = ["cl"] if os.name == "nt" else [os.environ.get("CXX") or "g++", "clang++"]
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        how = {"nt": "install the Build Tools for Visual Studio, and start Jupyter from their command prompt"}
        unix = "xcode-select --install" if sys.platform == "darwin" else "sudo apt install g++ python3-dev"
        return AMBER, f"no C++ compiler ({' or '.join(names)})", without + how.get(os.name, unix)
    if os.name != "nt" and not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        step = f"{without}sudo apt install python3-dev, or the like on your system"
        return AMBER, f"{Path(found).name} is there, but not Python.h, which torch compiles against", step
    return GREEN, Path(found).name, ""


def check_checkpoint():
    """The checkpoint that the lessons will choose is whole, and the small one makes a clip of the usual length."""
    import helpers

    with contextlib.redirect_stdout(io.StringIO()) as said:
        helpers.find_checkpoint("pocket")
        if os.environ.get("AUDIOLDM2_CHECKPOINT", "auto") not in helpers.OFFICIAL:  # which might be downloaded
            helpers.find_checkpoint()
        start = time.perf_counter()
        audio, _ = clip()
    choice = " ".join(line for line in said.getvalue().splitlines() if line.startswith("Checkpoint:"))
    choice = re.sub(r"\. The .*", "", choice.removeprefix("Checkpoint: ").removesuffix(".")) or "pocket"
    if not abs(audio).max() > 0:
        return RED, "pocket makes no sound", "report it, with this table: it should"
    return GREEN, f"{choice}; pocket made a clip in {time.perf_counter() - start:.1f} s, loading included", ""


def check_sound():
    """A player can be made of a clip."""
    import helpers

    kinds = re.findall("data:audio/([a-z]+)", helpers.play(*clip(), "bells").data)
    if kinds != ["flac"]:
        return AMBER, f"players hold {' '.join(kinds)} in place of FLAC", "pip install --upgrade soundfile"
    return GREEN, "players hold FLAC; put on headphones, and set the volume low at first", ""


def check_spectrogram():
    """A spectrogram can be drawn of a clip."""
    import helpers

    try:
        helpers.plot_spectrogram(*clip(), "bells")
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        step = "set the environment variable NUMBA_CACHE_DIR to a folder that you may write to, then restart Jupyter"
        return RED, f"numba finds no folder to write to ({_one_line(error)})", step
    return GREEN, "can be drawn", ""


def check_widgets():
    """Boxes and buttons can be shown."""
    found = importlib.metadata.version("ipywidgets")
    if not any(map(_installed, ("jupyterlab_widgets", "widgetsnbextension"))) and "google.colab" not in sys.modules:
        step = "pip install jupyterlab_widgets, then reload the page"
        return AMBER, f"ipywidgets {found}, but JupyterLab cannot show them", step
    return GREEN, f"ipywidgets {found}", ""


CHECKS = {
    "Python": check_python,
    "libraries": check_libraries,
    "other programs": check_quiet,  # before the others: it imports helpers, which has to come before torch
    "device": check_device,
    "memory": check_memory,
    "disk": check_disk,
    "half precision": check_half_precision,
    "compiler": check_compiler,
    "checkpoint": check_checkpoint,
    "sound": check_sound,
    "spectrogram": check_spectrogram,
    "widgets": check_widgets,
}


def rows():
    """Run all checks, one by one.

    Yields
    ------
    dict of str to str
        With the keys "check", "state" ("green", "amber" or "red"), "found" and "next step".
    """
    _clips.clear()
    for name, check in CHECKS.items():
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # what libraries warn of would tear the table apart
                state, found, step = check()
        except ImportError as error:
            state, found, step = RED, f"cannot be checked ({_one_line(error)})", INSTALL
        except Exception as error:  # a broken machine may raise anything, and the other rows are still wanted
            state, found, step = RED, _one_line(error), f"fix this first; if nothing helps, {INSTALL}"
        yield {"check": name, "state": state, "found": found, "next step": step or "nothing to do"}


_clips = []


def clip():
    """One clip of pocket, of the usual length and one step, on the device that the lessons will choose.

    Returns
    -------
    audio : numpy.ndarray, shape (n,)
    sampling_rate : int
    """
    if not _clips:
        import helpers

        pipe = helpers.load_pipeline("pocket")
        pipe.set_progress_bar_config(disable=True)
        _clips.append((pipe(PROMPT, num_inference_steps=1).audios[0], pipe.vocoder.config.sampling_rate))
    return _clips[0]


def verdict(states):
    """Sum all rows up in one sentence."""
    states = list(states)
    if RED in states:
        return "Fix the red rows before you open a lesson: begin with the first."
    if AMBER in states:
        return "The lessons will run. What is amber costs time or leaves something out."
    return "All is ready: open the tour."


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


def report(found, steps=20, repeats=3):
    """Collect what was found, and measure the stages of one clip as lesson 1 does.

    Parameters
    ----------
    found : list of dict
        From `rows`.
    steps, repeats : int
        UNet calls of a clip; clips that are measured after a first one.

    Returns
    -------
    dict
        Without names of people, computers or folders. Where the lessons cannot run, without the stages.
    """
    machine = {
        "system": f"{platform.system()} {platform.mac_ver()[0]}".strip(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }
    versions = {"python": platform.python_version()} | {name: _installed(name) for name in SHOWN}
    whole = {"date": time.strftime("%Y-%m-%d"), "machine": machine, "versions": versions}
    whole["checks"] = [
        {"check": row["check"], "state": row["state"], "found": without_paths(row["found"])} for row in found
    ]
    if RED in [row["state"] for row in found]:
        return whole
    import torch

    import helpers
    from helpers.checkpoints import checkpoint_name
    from helpers.devices import processor

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        pipe = helpers.load_pipeline()
        pipe.set_progress_bar_config(disable=True)
        settings = {"num_inference_steps": steps, "negative_prompt": "Low quality, average quality."}
        runs = [
            helpers.time_stages(pipe, PROMPT, generator=torch.Generator("cpu").manual_seed(0), **settings)
            for _ in range(1 + repeats)
        ][1:]
    device = torch.cuda.get_device_name() if pipe.device.type == "cuda" else pipe.device.type
    machine |= {"processor": processor(), "device": device, "threads": torch.get_num_threads()}
    name = checkpoint_name(pipe)
    checkpoint = name if name in ("pocket", *helpers.OFFICIAL) else "another"
    stages = [{stage: round(seconds, 4) for stage, seconds in run.seconds.items()} for run in runs]
    clips = {"checkpoint": checkpoint, "dtype": str(pipe.unet.dtype), "steps": steps, "stages in seconds": stages}
    return whole | {"clips": clips}


def without_paths(text):
    """Leave of each path in a text only what it ends in."""
    text = text.replace(str(Path.home()), "")
    text = re.sub(r"(['\"])[^'\"]*[\\/]([^'\"\\/]*)\1", r"\1\2\1", text)  # within quotes, spaces belong to a path
    return re.sub(r"(?:[A-Za-z]:)?[\\/](?:[^\s'\"\\/:;,()]+[\\/])+", "", text)


def main():
    """Print the rows as they come, write the report if it is wanted; return 1 if a row is red."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", type=Path, metavar="FILE", help="also measure a clip, and write all of it here")
    file = parser.parse_args().report
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal may lack the signs
    found = []
    for row in rows():
        print(_line(row, colours=sys.stdout.isatty()), flush=True)
        found.append(row)
    states = [row["state"] for row in found]
    print(verdict(states))
    if file:
        file.write_text(json.dumps(report(found), indent=1) + "\n", encoding="utf-8")
        print(f"The report is {file}.")
    return int(RED in states)


if __name__ == "__main__":
    sys.exit(main())
