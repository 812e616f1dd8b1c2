"""The check of a machine, on machines that are broken in one way each."""

import json
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

import psutil
import pytest
import soundfile
import torch

import helpers
from helpers import checkpoints, devices, versions
from tools import check_your_machine as preflight

SCRIPT = preflight.COURSE / "tools" / "check_your_machine.py"


@pytest.fixture
def row(monkeypatch):
    """Runs one check as the table does."""

    def run(name):
        monkeypatch.setattr(preflight, "CHECKS", {name: preflight.CHECKS[name]})
        (row,) = preflight.rows()
        assert not any("\n" in text for text in row.values())
        assert (row["next step"] == "nothing to do") == (row["state"] == "green")
        return row

    return run


@pytest.fixture
def on_a_cpu(monkeypatch):
    monkeypatch.setattr(devices, "best_device", lambda: "cpu")


def expect(row, state, *words):
    assert row["state"] == state, row
    assert all(word in row["found"] + " | " + row["next step"] for word in words), row


def test_the_command_on_this_machine():
    done = subprocess.run([sys.executable, "-X", "utf8", SCRIPT], capture_output=True, encoding="utf-8", timeout=280)
    states = [line.split()[1] for line in done.stdout.splitlines()[:-1] if "→" not in line]
    assert len(states) == len(preflight.CHECKS), done.stdout + done.stderr
    assert done.returncode == int("red" in states)
    assert "pocket made a clip" in done.stdout and "cannot be checked" not in done.stdout


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


@pytest.mark.parametrize(
    ("system", "machine", "version", "words"),
    [
        ("Darwin", "x86_64", (3, 12, 1), "Intel Macs"),
        ("Windows", "ARM64", (3, 12, 1), "Windows on ARM"),
        ("Linux", "x86_64", (3, 15, 0), "install Python 3.11 to 3.14"),
        ("Linux", "x86_64", (3, 9, 7), "install Python 3.11 to 3.14"),
    ],
)
def test_where_there_is_no_pytorch(row, monkeypatch, system, machine, version, words):
    monkeypatch.setattr(preflight.platform, "system", lambda: system)
    monkeypatch.setattr(preflight.platform, "machine", lambda: machine)
    monkeypatch.setattr(sys, "version_info", version)
    expect(row("Python"), "red", "no PyTorch", words)


def test_libraries(row, monkeypatch):
    monkeypatch.setattr(versions, "version", lambda name: "99.0")
    expect(row("libraries"), "amber", "torch 99.0 is newer", "diffusers 99.0 is newer", "pip install")
    monkeypatch.setattr(versions, "version", lambda name: "0.1")
    expect(row("libraries"), "red", "0.1 is too old", "pip install")


def test_a_package_that_is_missing(row, monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    expect(row("memory"), "red", "psutil", "pip install -r requirements.txt")


def test_a_gpu_whose_driver_fails(row, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors")

    monkeypatch.setattr(torch, "ones", fail)
    expect(row("device"), "red", "no kernel image")


@pytest.mark.parametrize(("tool", "state"), [("/usr/bin/nvidia-smi", "amber"), (None, "green")])
def test_a_computer_whose_gpu_torch_does_not_see_or_that_has_none(row, monkeypatch, on_a_cpu, tool, state):
    monkeypatch.setattr(shutil, "which", lambda name: tool)
    expect(row("device"), state, "CPU", "pytorch.org" if tool else "no GPU")


def test_a_mac_whose_gpu_the_lessons_do_not_use(row, monkeypatch, on_a_cpu):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    expect(row("device"), "amber", "CPU", "macOS to 15.1")


@pytest.mark.parametrize(("line", "state"), [("Other processes use 1.0 of 2 cores.\n", "amber"), ("", "green")])
def test_other_programs(row, monkeypatch, line, state):
    monkeypatch.setattr(devices, "busy_line", lambda: line)
    expect(row("other programs"), state, line.strip())


@pytest.mark.parametrize(("gib", "state"), [(8, "green"), (2, "amber"), (0.5, "red")])
def test_memory(row, monkeypatch, on_a_cpu, gib, state):
    memory = types.SimpleNamespace(available=int(gib * 2**30), total=8 * 2**30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    expect(row("memory"), state, f"{gib:.1f} of 8.0 GiB", "" if state == "green" else "close other programs")


@pytest.mark.parametrize(("gib", "state"), [(20, "green"), (2, "amber"), (0.1, "red")])
def test_disk(row, monkeypatch, gib, state):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=int(gib * 2**30)))
    expect(row("disk"), state, f"{gib:.1f} GiB", "" if state == "green" else "make room")


def test_a_folder_that_cannot_be_written(row, monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(preflight.tempfile, "TemporaryFile", refuse)
    expect(row("disk"), "amber", str(tmp_path), "a folder of your own")


@pytest.mark.parametrize(("capabilities", "state"), [({}, "amber"), ({"avx512_bf16": True}, "green")])
def test_half_precision(row, monkeypatch, on_a_cpu, capabilities, state):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    expect(row("half precision"), state, "float32" if state == "amber" else "bfloat16")


def test_no_compiler(row, monkeypatch, on_a_cpu):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    expect(row("compiler"), "amber", "no C++ compiler", "lesson 5 goes on")


@pytest.mark.skipif(os.name == "nt", reason="on Windows the compiler brings what it needs")
def test_a_compiler_without_the_headers_of_python(row, monkeypatch, tmp_path, on_a_cpu):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(preflight.sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    expect(row("compiler"), "amber", "Python.h", "python3-dev", "lesson 5 goes on")


def test_a_gpu_without_triton(row, monkeypatch):
    monkeypatch.setattr(devices, "best_device", lambda: "cuda")
    monkeypatch.setattr(preflight.importlib.util, "find_spec", lambda name: None)
    expect(row("compiler"), "amber", "Triton", "lesson 5 goes on")


def test_a_checkpoint_that_was_cut_short(row, monkeypatch, tmp_path):
    damaged = shutil.copytree(checkpoints.POCKET, tmp_path / "damaged")
    weights = damaged / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    monkeypatch.setattr(checkpoints, "POCKET", damaged)
    expect(row("checkpoint"), "red", "unet")


def test_a_checkpoint_that_a_variable_misspells(row, monkeypatch):
    monkeypatch.setenv("AUDIOLDM2_CHECKPOINT", "pockett")
    expect(row("checkpoint"), "red", "pockett")


def test_a_sound_library_without_flac(row, monkeypatch):
    def wav_only(file, samples, rate, format, write=soundfile.write, **settings):
        if format != "WAV":
            raise ValueError(f"Unknown format: {format!r}")
        write(file, samples, rate, format=format, **settings)

    monkeypatch.setattr(soundfile, "write", wav_only)
    row = row("sound")
    assert row["state"] in ("amber", "red") and "FLAC" in row["found"]


def test_numba_without_a_folder_to_write_to(row, monkeypatch):
    def refuse(*args, **kwargs):
        raise RuntimeError("cannot cache function '__o_fold': no locator available for file 'librosa/util/utils.py'")

    monkeypatch.setattr(helpers, "plot_spectrogram", refuse)
    monkeypatch.setattr(preflight, "clip", lambda: ())
    expect(row("spectrogram"), "red", "NUMBA_CACHE_DIR", "cannot cache")


def test_widgets_that_are_missing_or_that_jupyterlab_cannot_show(row, monkeypatch):
    installed = {"ipywidgets": "8.1.0"}
    monkeypatch.setattr(preflight, "_installed", installed.get)
    expect(row("widgets"), "amber", "JupyterLab", "jupyterlab_widgets")
    del installed["ipywidgets"]
    expect(row("widgets"), "amber", "ipywidgets is missing")


def test_the_table_of_the_notebook(monkeypatch):
    checks = {
        "good": lambda: ("green", "<fine>", ""),
        "fair": lambda: ("amber", "so so", "do this"),
        "bad": lambda: 1 / 0,
    }
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
    here = str(Path.home() / "Jane Doe" / "course" / "notebooks")
    found = [{"check": "disk", "state": "amber", "found": f"PermissionError: Permission denied: '{here}'"}]
    report = preflight.report(found, steps=1, repeats=1)
    text = json.dumps(report)
    assert set(report["clips"]["stages in seconds"][0]) >= {"text encoding", "denoising", "VAE decoding", "vocoder"}
    assert report["clips"]["checkpoint"] == "pocket" and report["versions"]["torch"]
    assert not any(name in text for name in (str(Path.home()), str(preflight.COURSE), preflight.platform.node()))


def test_a_report_of_a_machine_that_cannot_run_the_lessons():
    found = [{"check": "libraries", "state": "red", "found": "torch is missing"}]
    assert "clips" not in preflight.report(found)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"denied: '{Path.home()}/x/notebooks'", "denied: 'notebooks'"),
        ("denied: '/mnt/data/jane/notebooks'", "denied: 'notebooks'"),
        (r"denied: 'D:\jane\course\notebooks'", "denied: 'notebooks'"),
        ("22.1 of 23.5 GiB free", "22.1 of 23.5 GiB free"),
    ],
)
def test_paths_are_left_out_of_a_report(text, left):
    assert preflight.without_paths(text) == left
