"""Check whether this machine can run the lessons: `python tools/check_your_machine.py`.

Each row is green (works), amber (the lessons run, with less) or red (they will not), and says what to do. The exit code
is 1 if a row is red. Nothing is downloaded or changed. `--report FILE` also measures the stages of one clip and writes
what was found as a small JSON file, without names or paths, which you may send in (see benchmarks/results/machines).

Only the standard library is imported up here, so that a broken machine gets a red row for what is broken.
"""

import argparse
import contextlib
import importlib.metadata
import io
import json
import os
import platform
import re
import shutil
import sys
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
LOOK_UP = f"look the message up in docs/troubleshooting.md; if it is not there, {INSTALL}"
NO_TORCH = ("Darwin", "x86_64"), ("Windows", "ARM64")  # for which PyTorch has stopped, or not begun
PYTHONS = (3, 11), (3, 14)  # the oldest and the newest that torch has packages for
COMPILER = "apt install g++ python3-dev; on a Mac xcode-select --install; on Windows the Build Tools for Visual Studio"
GIB = 2**30
PROMPT, NEGATIVE = "Church bells ringing, high quality", "Low quality, average quality."
SHOWN = ("torch", "diffusers", "transformers", "accelerate", "numpy", "librosa", "soundfile", "ipywidgets")


def check_python():
    """Python, the system and the processor are among those that torch has packages for."""
    system, machine = platform.system(), platform.machine()
    found = f"Python {platform.python_version()}, {system} {machine}"
    right = PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1] and sys.maxsize > 2**32
    if (system, machine) in NO_TORCH or not right:
        oldest, newest = (".".join(map(str, numbers)) for numbers in PYTHONS)
        step = f"use a 64-bit Python {oldest} to {newest}, not on an Intel Mac or Windows on ARM; or Colab"
        return RED, f"{found}: there is no PyTorch for it that the course can use", step
    return GREEN, found, ""


def check_libraries():
    """The libraries that pyproject.toml names are there, in versions that the course was run with."""
    from helpers import devices, versions  # which raises if one is missing or too old

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        versions.check_versions()
    if caught:
        return AMBER, "; ".join(str(one.message) for one in caught), INSTALL
    return GREEN, devices.libraries(), ""


def check_quiet():
    """No other program takes the cores."""
    from helpers.devices import busy_line

    if line := busy_line().strip():
        return AMBER, line, "close other programs and other notebooks before you measure"
    return GREEN, "they leave the cores to you", ""


def check_device():
    """The device that the lessons will choose computes."""
    import helpers  # before torch  # isort: skip
    import torch

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        one = torch.ones(64, 64, device=helpers.best_device())
    found = helpers.describe(one.device)
    if float((one @ one)[0, 0]) != 64:
        return RED, f"wrong sums from {found}", "restart the computer, then update the driver"
    if caught:
        return AMBER, f"{found}. {caught[0].message}", "for the GPU, look the message up in docs/troubleshooting.md"
    if shutil.which("nvidia-smi") and not torch.cuda.is_available():
        return AMBER, found, "torch does not see the NVIDIA GPU: install the torch for CUDA, https://pytorch.org"
    return GREEN, found, ""


def check_memory():
    """There is room in memory for a lesson, within the limit of a container."""
    from helpers.devices import free_memory

    free, total = free_memory()
    found = f"{free / GIB:.1f} of {total / GIB:.1f} GiB free for this process"
    if free < 1.5 * GIB:
        return RED, found, "close other programs and notebooks, or ask for more memory, until 1.5 GiB are free"
    if free < 4e9:
        step = "close other programs and notebooks: lessons 4 and 8 want 4 GB, the tour and lessons 1, 3 and 9 3 GB"
        return AMBER, found, f"{step}; with less, write OFFICIAL_WIDTH = 0.5 among their parameters"
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


def check_compiler():
    """torch.compile works: it finds what it needs, and what it compiled may run."""
    from helpers.devices import best_device  # before torch  # isort: skip
    import torch

    torch.compiler.reset()
    start, factor = time.perf_counter(), time.time() % 1  # no function that was compiled before
    try:
        torch.compile(lambda x: factor * x.sin())(torch.ones(64, device=best_device()))
    except Exception as error:  # what compilers raise has no common kind
        cause = re.search("(?<= error: ).+", str(error))  # of many lines that a compiler says
        step = f"lesson 5 goes on without it; if you want it, see docs/troubleshooting.md ({COMPILER})"
        return AMBER, f"compiling fails: {cause.group() if cause else _one_line(error)}", step
    return GREEN, f"a small function took {time.perf_counter() - start:.0f} s", ""


def check_step():
    """One step at the official size, as the lessons take it with the parameters that `check_memory` recommends."""
    import helpers  # before torch  # isort: skip
    from helpers.devices import free_memory

    free = min(free_memory(device)[0] for device in ("cpu", helpers.best_device()))
    if free < 1.5 * GIB:
        return AMBER, "not tried: it needs 1.5 GiB", "make room in memory (see above)"
    width = 1.0 if free >= 4e9 else 0.5
    step = helpers.unet_step(helpers.official_unet(width=width), 5.12)
    start = time.perf_counter()
    step().cpu()
    found = f"5.12 s of sound at {'full' if width == 1 else 'half'} width took {time.perf_counter() - start:.1f} s"
    return GREEN, f"{found}, the first time", ""


def check_clip():
    """The checkpoint that the lessons will choose is whole; pocket makes a clip, which can be played and drawn."""
    import helpers

    if os.environ.get("AUDIOLDM2_CHECKPOINT") not in helpers.OFFICIAL:  # which might be downloaded
        helpers.find_checkpoint()
    start = time.perf_counter()
    pipe = helpers.load_pipeline("pocket")
    pipe.set_progress_bar_config(disable=True)
    audio = pipe(PROMPT, num_inference_steps=1).audios[0]  # of the natural length
    for show in (helpers.play, helpers.plot_spectrogram):
        show(audio, pipe.vocoder.config.sampling_rate, "bells")
    if not abs(audio).max() > 0:
        return RED, "pocket makes no sound", "report it, with these rows: it should"
    seconds = len(audio) / pipe.vocoder.config.sampling_rate
    found = f"made, drawn and put into a player: {seconds:.2f} s of sound in {time.perf_counter() - start:.1f} s"
    return GREEN, f"{found}; put on headphones, and set the volume low at first", ""


CHECKS = {
    "Python": check_python,
    "libraries": check_libraries,
    "other programs": check_quiet,
    "device": check_device,
    "memory": check_memory,
    "disk": check_disk,
    "clip": check_clip,
    "official step": check_step,
    "compiler": check_compiler,
}


def check():
    """Run all checks; print each row as it comes, then the verdict.

    Returns
    -------
    list of dict of str to str
        The rows, with the keys "check", "state" ("green", "amber" or "red"), "found" and "next step".
    """
    rows = []
    for name, one in CHECKS.items():
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                state, found, step = one()
        except ImportError as error:
            state, found, step = RED, f"cannot be checked ({_one_line(error)})", INSTALL
        except Exception as error:  # a broken machine may raise anything, and the other rows are still wanted
            state, found, step = RED, _one_line(error), LOOK_UP
        rows.append({"check": name, "state": state, "found": found, "next step": step})
        print(_line(rows[-1], colours=sys.stdout.isatty()), flush=True)
    states = {row["state"] for row in rows}
    if RED in states:
        print("Fix the red rows before you open a lesson: begin with the first.")
    elif AMBER in states:
        print("The lessons will run, with what the amber rows say.")
    else:
        print("All is ready: open the tour.")
    return rows


def _line(row, colours=False):
    """One row as text; what there is to do on a line of its own."""
    word = f"{SIGNS[row['state']]} {row['state']:<5}"
    if colours:
        word = f"\033[{dict(green=32, amber=33, red=31)[row['state']]}m{word}\033[0m"
    text = f"{word}  {row['check']}: {row['found']}"
    return text if row["state"] == GREEN else f"{text}\n{'':9}→ {row['next step']}"


def _one_line(error):
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no message'])[0]}"


def report(rows, steps=20, repeats=3):
    """Collect what was found, and measure the stages of one clip as lesson 1 does.

    Parameters
    ----------
    rows : list of dict
        From `check`.
    steps, repeats : int
        UNet calls of a clip; clips that are measured after a first one.

    Returns
    -------
    dict
        Without names of people, computers or folders. Where the lessons cannot run, without the stages.
    """
    found = {one.name: one.version for one in importlib.metadata.distributions() if one.name in SHOWN}
    whole = {
        "date": time.strftime("%Y-%m-%d"),
        "versions": {"python": platform.python_version()} | found,
        "checks": [{key: without_paths(row[key]) for key in ("check", "state", "found")} for row in rows],
    }
    if RED in [row["state"] for row in rows]:
        return whole
    import helpers  # before torch  # isort: skip
    import torch

    from helpers.checkpoints import checkpoint_name
    from helpers.devices import processor

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        pipe = helpers.load_pipeline()
        pipe.set_progress_bar_config(disable=True)

        def clip():
            generator = torch.Generator("cpu").manual_seed(0)
            return pipe(PROMPT, negative_prompt=NEGATIVE, num_inference_steps=steps, generator=generator)

        runs = helpers.measure({"clip": clip}, repeats).variants["clip"].calls
    name = checkpoint_name(pipe)
    return whole | {
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "checkpoint": name if name in ("pocket", *helpers.OFFICIAL) else "another",
        "dtype": str(pipe.unet.dtype),
        "steps": steps,
        "stages in seconds": [{stage: round(s, 4) for stage, s in run.items()} for run in runs],
    }


def without_paths(text):
    """Leave of each path in a text only what it ends in."""
    text = text.replace(str(Path.home()), "")
    text = re.sub(r"(['\"])[^'\"]*[\\/]([^'\"\\/]*)\1", r"\1\2\1", text)  # within quotes, spaces belong to a path
    return re.sub(r"(?:[A-Za-z]:)?[\\/](?:[^\s'\"\\/:;,()]+[\\/])+", "", text)


def main():
    """Check, and write the report if it is wanted; return 1 if a row is red."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", type=Path, metavar="FILE", help="also measure a clip, and write all of it here")
    file = parser.parse_args().report
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal may lack the signs
    rows = check()
    if file:
        file.write_text(json.dumps(report(rows), indent=1) + "\n", encoding="utf-8")
        print(f"The report is {file}.")
    return int(RED in [row["state"] for row in rows])


if __name__ == "__main__":
    sys.exit(main())
