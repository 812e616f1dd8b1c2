"""The check of a machine, on machines that are broken in one way each."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from tools import check_your_machine as preflight

SCRIPT = preflight.COURSE / "tools" / "check_your_machine.py"


@pytest.fixture
def row(monkeypatch):
    """Runs one check as the table does; beside its state, it gives both of its texts."""

    def run(name):
        monkeypatch.setattr(preflight, "CHECKS", {name: preflight.CHECKS[name]})
        (row,) = preflight.rows()
        assert not any("\n" in text for text in row.values())
        assert (row["next step"] == "nothing to do") == (row["state"] == "green")
        return row["state"], f"{row['found']} | {row['next step']}"

    return run


def always(value):
    """A function that returns a value, or raises it, whatever it is given."""

    def answer(*args, **kwargs):
        if isinstance(value, Exception):
            raise value
        return value

    return answer


def write_wav_only(file, samples, rate, format, write=soundfile.write):
    if format != "WAV":
        raise ValueError(f"Unknown format: {format!r}")
    write(file, samples, rate, format=format)


def free(gib):
    """A disk, or a memory, with some free space."""
    return always(SimpleNamespace(free=int(gib * 2**30), available=int(gib * 2**30), total=8 * 2**30))


def system(name, machine="x86_64"):
    return {"platform.system": always(name), "platform.machine": always(machine)}


CPU, GPU = ({"helpers.devices.best_device": always(name)} for name in ("cpu", "cuda"))
INSTALLED = "tools.check_your_machine._installed"
NO_HEADERS = CPU | {"shutil.which": always("/usr/bin/g++"), "sysconfig.get_paths": always({"include": "nowhere"})}
NOT_ON_WINDOWS = pytest.mark.skipif(os.name == "nt", reason="there the compiler brings what it needs")
BUSY = "Other processes use 1.0 of 2 cores.\n"
NO_KERNEL = "CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors"
NO_CACHE = "cannot cache function '__o_fold': no locator available for file 'librosa/util/utils.py'"


@pytest.mark.parametrize(
    ("check", "machine", "state", "words"),
    [
        ("Python", system("Darwin"), "red", ["no PyTorch", "Intel Macs"]),
        ("Python", system("Windows", "ARM64"), "red", ["no PyTorch", "Windows on ARM"]),
        ("Python", system("Linux") | {"sys.version_info": (3, 15, 0)}, "red", ["install Python 3.11 to 3.14"]),
        ("Python", system("Linux") | {"sys.version_info": (3, 9, 7)}, "red", ["install Python 3.11 to 3.14"]),
        ("libraries", {"helpers.versions.version": always("0.1")}, "red", ["0.1 is too old", "pip install"]),
        ("device", {"torch.ones": always(RuntimeError(NO_KERNEL))}, "red", ["no kernel image"]),
        ("device", CPU | {"shutil.which": always("/usr/bin/nvidia-smi")}, "amber", ["CPU", "pytorch.org"]),
        ("device", CPU | {"shutil.which": always(None)}, "green", ["CPU", "no GPU"]),
        ("device", CPU | {"torch.backends.mps.is_available": always(True)}, "amber", ["CPU", "macOS to 15.1"]),
        ("other programs", {"helpers.devices.busy_line": always(BUSY)}, "amber", [BUSY.strip()]),
        ("other programs", {"helpers.devices.busy_line": always("")}, "green", []),
        ("memory", CPU | {"psutil.virtual_memory": free(8)}, "green", ["8.0 of 8.0 GiB"]),
        ("memory", CPU | {"psutil.virtual_memory": free(2)}, "amber", ["2.0 of 8.0 GiB", "close other programs"]),
        ("memory", CPU | {"psutil.virtual_memory": free(0.5)}, "red", ["0.5 of 8.0 GiB", "close other programs"]),
        ("disk", {"shutil.disk_usage": free(20)}, "green", ["20.0 GiB"]),
        ("disk", {"shutil.disk_usage": free(2)}, "amber", ["2.0 GiB", "make room"]),
        ("disk", {"shutil.disk_usage": free(0.1)}, "red", ["0.1 GiB", "make room"]),
        ("disk", {"tempfile.TemporaryFile": always(PermissionError(13, "No"))}, "amber", ["No", "folder of your own"]),
        ("half precision", CPU | {"torch.cpu.get_capabilities": always({})}, "amber", ["float32"]),
        ("half precision", CPU | {"torch.cpu.get_capabilities": always({"bf16": True})}, "green", ["bfloat16"]),
        ("compiler", CPU | {"shutil.which": always(None)}, "amber", ["no C++ compiler", "lesson 5 goes on"]),
        pytest.param(
            "compiler", NO_HEADERS, "amber", ["Python.h", "python3-dev", "lesson 5 goes on"], marks=NOT_ON_WINDOWS
        ),
        ("compiler", GPU | {"importlib.util.find_spec": always(None)}, "amber", ["Triton", "lesson 5 goes on"]),
        ("sound", {"soundfile.write": write_wav_only}, "red", ["FLAC"]),
        ("spectrogram", {"helpers.plot_spectrogram": always(RuntimeError(NO_CACHE))}, "red", ["NUMBA_CACHE_DIR"]),
        ("widgets", {INSTALLED: always(None)}, "amber", ["JupyterLab", "jupyterlab_widgets"]),
    ],
)
def test_each_machine_gets_its_row(row, monkeypatch, check, machine, state, words):
    monkeypatch.setattr(preflight, "clip", always((np.zeros(1600), 16000)))
    for target, value in machine.items():
        monkeypatch.setattr(target, value)
    found, text = row(check)
    assert found == state and all(word in text for word in words), (found, text)


def test_a_package_that_is_missing_and_a_checkpoint_that_a_variable_misspells(row, monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    state, text = row("memory")
    assert state == "red" and "psutil" in text and "pip install -r requirements.txt" in text
    monkeypatch.undo()
    monkeypatch.setenv("AUDIOLDM2_CHECKPOINT", "pockett")
    state, text = row("checkpoint")
    assert state == "red" and "pockett" in text


def test_the_command_on_this_machine(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT)])
    status = preflight.main()
    printed = capsys.readouterr().out
    states = [line.split()[1] for line in printed.splitlines()[:-1] if "→" not in line]
    assert len(states) == len(preflight.CHECKS) and status == int("red" in states)
    assert "pocket made a clip" in printed and "cannot be checked" not in printed


def test_the_command_on_a_machine_without_any_package():
    bare = [sys.executable, "-I", "-S", "-X", "utf8", SCRIPT]
    done = subprocess.run(bare, capture_output=True, encoding="utf-8", timeout=60)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert sum(" green " in line for line in lines) >= 2  # Python and the disk
    red = [line for line in lines if line.startswith(preflight.SIGNS["red"])]
    assert len(red) >= 6 and all("cannot be checked" in line for line in red)
    assert sum("pip install -r requirements.txt" in line for line in lines) >= len(red)


def test_the_table_of_the_notebook(monkeypatch):
    checks = {"good": always(("green", "<fine>", "")), "fair": always(("amber", "so so", "do this"))}
    checks["bad"] = always(ZeroDivisionError("division by zero"))
    monkeypatch.setattr(preflight, "CHECKS", checks)
    report = preflight.Report()
    table = report._repr_html_()
    assert "&lt;fine&gt;" in table and "ZeroDivisionError: division by zero" in table
    assert all(f"{preflight.SIGNS[state]} {state}" in table for state in ("green", "amber", "red"))
    assert "Fix the red rows" in table and "Fix the red rows" in repr(report)
    del checks["bad"]
    assert "The lessons will run" in repr(preflight.Report())
    del checks["fair"]
    assert "All is ready" in repr(preflight.Report())


def test_a_report_measures_a_clip_and_tells_no_names_or_paths():
    paths = rf"'{Path.home()}/x/notebooks' '/mnt/data/Jane Doe/notebooks' 'D:\jane\course\notebooks'"
    found = [{"check": "disk", "state": "amber", "found": f"22.1 of 23.5 GiB free, denied: {paths}"}]
    report = preflight.report(found, steps=1, repeats=1)
    assert report["checks"][0]["found"] == "22.1 of 23.5 GiB free, denied: 'notebooks' 'notebooks' 'notebooks'"
    text = json.dumps(report)
    assert set(report["clips"]["stages in seconds"][0]) >= {"text encoding", "denoising", "VAE decoding", "vocoder"}
    assert report["clips"]["checkpoint"] == "pocket" and report["versions"]["torch"]
    assert not any(name in text for name in (str(Path.home()), str(preflight.COURSE), preflight.platform.node()))
    assert "clips" not in preflight.report([{"check": "libraries", "state": "red", "found": "torch is missing"}])
