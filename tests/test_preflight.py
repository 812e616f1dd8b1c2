"""The check of a machine, on machines that are broken in one way each."""

import os
import shutil
import subprocess
import sys
import types
from importlib import metadata

import hub
import psutil
import pytest
import soundfile
import torch

from helpers import checkpoints
from notebooks import check_your_machine as preflight

SCRIPT = hub.ROOT / "notebooks" / "check_your_machine.py"


@pytest.fixture
def row(monkeypatch):
    """Runs one check as the table does."""

    def run(name):
        monkeypatch.setattr(preflight, "CHECKS", {name: preflight.CHECKS[name]})
        (row,) = preflight.rows()
        assert row["check"] == name
        assert not any("\n" in text for text in row.values())
        assert (row["next step"] == "nothing to do") == (row["state"] == "green")
        return row

    return run


def expect(row, state, *words):
    assert row["state"] == state, row
    assert all(word in row["found"] + " | " + row["next step"] for word in words), row


def test_the_command_on_this_machine():
    done = subprocess.run([sys.executable, "-X", "utf8", SCRIPT], capture_output=True, encoding="utf-8", timeout=120)
    states = [line.split()[1] for line in done.stdout.splitlines()[:-1] if "→" not in line]
    assert len(states) == len(preflight.CHECKS) == 10, done.stdout + done.stderr
    assert done.returncode == int("red" in states)
    assert "pocket made a sound" in done.stdout and "cannot be checked" not in done.stdout


def test_the_command_on_a_machine_without_any_package():
    bare = subprocess.run(
        [sys.executable, "-I", "-S", "-X", "utf8", SCRIPT], capture_output=True, encoding="utf-8", timeout=60
    )
    assert bare.returncode == 1
    assert "Traceback" not in bare.stdout + bare.stderr
    lines = bare.stdout.splitlines()
    assert sum(" green " in line for line in lines) >= 2  # Python and the disk
    red = [line for line in lines if " red " in line]
    assert len(red) >= 6 and all("No module named" in line for line in red)
    assert sum("pip install -r requirements.txt" in line for line in lines) >= len(red)


@pytest.mark.parametrize(
    ("package", "name", "state"),
    [
        ("torch", "device", "red"),
        ("torch", "half precision", "red"),
        ("psutil", "memory", "red"),
        ("helpers", "checkpoint", "red"),
        ("soundfile", "audio", "red"),
        ("packaging.requirements", "versions", "red"),
        ("ipywidgets", "widgets", "amber"),
    ],
)
def test_a_package_that_is_missing(row, monkeypatch, package, name, state):
    monkeypatch.setitem(sys.modules, package, None)
    expect(row(name), state, package, "pip install -r requirements.txt")


def test_a_package_that_is_broken(row, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("symbol not found\nin a library")

    monkeypatch.setattr(soundfile, "write", broken)
    expect(row("audio"), "red", "RuntimeError: symbol not found", "pip install -r requirements.txt")


def test_an_old_python(row, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 7))
    expect(row("Python"), "red", "3.11 or newer")


@pytest.mark.parametrize(
    ("package", "version", "state"),
    [
        ("torch", None, "red"),
        ("librosa", None, "red"),
        ("ruff", None, "amber"),
        ("diffusers", "0.30.0", "amber"),
        ("transformers", "99.0", "amber"),
    ],
)
def test_versions(row, monkeypatch, package, version, state):
    def found(name, real=metadata.version):
        if name != package:
            return real(name)
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(metadata, "version", found)
    expect(row("versions"), state, package, version or "missing", "pip install -r requirements.txt")


def test_a_gpu_whose_driver_fails(row, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", fail)
    expect(row("device"), "red", "no kernel image")


def test_a_gpu_that_torch_does_not_see(row, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    expect(row("device"), "amber", "NVIDIA", "pytorch.org")


def test_a_laptop_without_gpu_is_fine(row, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    expect(row("device"), "green", "CPU")


@pytest.mark.parametrize(("gib", "state"), [(8, "green"), (2, "amber"), (0.5, "red")])
def test_memory(row, monkeypatch, gib, state):
    memory = types.SimpleNamespace(available=int(gib * 2**30), total=8 * 2**30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(preflight, "_best_device", lambda torch: "cpu")
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


@pytest.mark.parametrize(("slower", "state"), [(100, "amber"), (1, "green")])
def test_half_precision(row, monkeypatch, slower, state):
    ticks = [0, 1] * 3 + [0, slower] * 3  # three tries each
    monkeypatch.setattr(preflight, "time", types.SimpleNamespace(perf_counter=lambda: ticks.pop(0)))
    monkeypatch.setattr(preflight, "SIZE", 8)
    words = ["100 times slower", "float32", "lesson 4"] if state == "amber" else ["works"]
    expect(row("half precision"), state, *words)


@pytest.fixture
def on_a_cpu(monkeypatch):
    monkeypatch.setattr(preflight, "_best_device", lambda torch: "cpu")


def test_no_compiler(row, monkeypatch, on_a_cpu):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    expect(row("compiler"), "amber", "no C++ compiler", "lesson 5 goes on")


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands in for the compiler")
def test_a_compiler_without_the_headers_of_python(row, monkeypatch, tmp_path, on_a_cpu):
    compiler = tmp_path / "g++"
    compiler.write_text(
        "#!/bin/sh\necho 'try.cpp:1:10: fatal error: Python.h: No such file or directory' >&2\nexit 1\n"
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    expect(row("compiler"), "amber", "Python.h", "python3-dev", "lesson 5 goes on")


def test_a_gpu_without_triton(row, monkeypatch):
    monkeypatch.setattr(preflight, "_best_device", lambda torch: "cuda")
    monkeypatch.setattr(preflight.importlib.util, "find_spec", lambda name: None)
    expect(row("compiler"), "amber", "Triton", "lesson 5 goes on")


def test_a_checkpoint_that_was_cut_short(row, monkeypatch, tmp_path):
    damaged = shutil.copytree(checkpoints.POCKET, tmp_path / "damaged")
    weights = damaged / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    monkeypatch.setattr(checkpoints, "POCKET", damaged)
    expect(row("checkpoint"), "red", str(weights), "cut short", "fresh copy")


def test_a_checkpoint_that_a_variable_misspells(row, monkeypatch):
    monkeypatch.setenv("AUDIOLDM2_CHECKPOINT", "pockett")
    expect(row("checkpoint"), "red", "pockett", "Did you mean 'pocket'")


def test_no_mp3(row, monkeypatch):
    def wav_only(file, samples, rate, format, write=soundfile.write):
        if format == "MP3":
            raise ValueError("Unknown format: 'MP3'")
        write(file, samples, rate, format=format)

    monkeypatch.setattr(soundfile, "write", wav_only)
    expect(row("audio"), "amber", "no MP3", "pip install --upgrade soundfile")


def test_widgets_that_jupyterlab_cannot_show(row, monkeypatch):
    monkeypatch.setattr(preflight, "_installed", lambda name: None)
    expect(row("widgets"), "amber", "JupyterLab", "jupyterlab_widgets")


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
    assert "Red rows must be mended" in table and "Red rows must be mended" in repr(report)
    del checks["bad"]
    assert "The lessons will run" in repr(preflight.Report())
    del checks["fair"]
    assert "All is ready" in repr(preflight.Report())
