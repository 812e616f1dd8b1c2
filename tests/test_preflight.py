"""The check of a machine, on machines that are broken in one way each."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import helpers
from helpers import devices
from tools import check_your_machine as preflight

SCRIPT = preflight.COURSE / "tools" / "check_your_machine.py"


def always(value):
    """A function that returns a value, or raises it, whatever it is given."""

    def answer(*args, **kwargs):
        if isinstance(value, Exception):
            raise value
        return value

    return answer


def free(gib):
    """A disk, or a memory, with some free space."""
    return always(SimpleNamespace(free=int(gib * 2**30), available=int(gib * 2**30), total=8 * 2**30))


def system(name, machine="x86_64"):
    return {"platform.system": always(name), "platform.machine": always(machine)}


CPU = {"helpers.devices.best_device": always("cpu"), "helpers.best_device": always("cpu")}
BUILD = helpers.official_unet
SMALL = {"helpers.official_unet": lambda width: BUILD(device="cpu", width=width / 8)}
GOES_ON = ["compiling fails", "lesson 5 goes on"]
BUSY = "Other processes use 1.0 of 2 cores.\n"
NO_KERNEL = "CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors"
NO_CACHE = RuntimeError("cannot cache function '__o_fold': no locator available for file 'librosa/util/utils.py'")


@pytest.fixture
def asked_anew():
    """What torch said of a device before is forgotten."""
    asked = devices._fault
    asked.cache_clear()
    yield
    asked.cache_clear()


@pytest.fixture
def row(monkeypatch, asked_anew):
    """Runs one check; beside its state, it gives both of its texts."""

    def run(name):
        monkeypatch.setattr(preflight, "CHECKS", {name: preflight.CHECKS[name]})
        (row,) = preflight.check()
        assert not any("\n" in text for text in row.values())
        assert (row["next step"] == "") == (row["state"] == "green")
        return row["state"], f"{row['found']} | {row['next step']}"

    return run


@pytest.mark.parametrize(
    ("check", "machine", "state", "words"),
    [
        ("Python", system("Darwin"), "red", ["no PyTorch", "Intel Mac"]),
        ("Python", system("Windows", "ARM64"), "red", ["no PyTorch", "Windows on ARM"]),
        ("Python", system("Linux") | {"sys.version_info": (3, 15, 0)}, "red", ["Python 3.11 to 3.14"]),
        ("Python", system("Linux") | {"sys.version_info": (3, 9, 7)}, "red", ["Python 3.11 to 3.14"]),
        ("libraries", {"helpers.versions.version": always("0.1")}, "red", ["0.1 is too old", "pip install"]),
        (
            "memory",
            {"psutil.virtual_memory": always(ImportError("psutil is gone"))},
            "red",
            ["psutil", "pip install -r"],
        ),
        ("device", CPU | {"torch.ones": always(RuntimeError(NO_KERNEL))}, "red", ["no kernel image"]),
        (
            "device",
            {"helpers.devices._fault": always("torch sees a GPU, but cannot use it (no kernel image)")},
            "amber",
            ["cpu: ", "no kernel image", "troubleshooting.md"],
        ),
        (
            "device",
            {"torch.backends.mps.is_available": always(True), "torch.backends.mps.is_macos_or_newer": always(False)},
            "amber",
            ["cpu: ", "macOS 15.1", "troubleshooting.md"],
        ),
        ("official step", {"helpers.devices.free_memory": always((1e9, 8e9))}, "amber", ["not tried"]),
        ("official step", SMALL | {"helpers.devices.free_memory": always((3e9, 8e9))}, "green", ["at half width took"]),
        ("official step", SMALL | {"helpers.devices.free_memory": always((5e9, 8e9))}, "green", ["at full width took"]),
        ("official step", {"helpers.official_unet": always(MemoryError("The UNet needs 2.8 GB"))}, "red", ["2.8 GB"]),
        ("device", CPU | {"shutil.which": always("/usr/bin/nvidia-smi")}, "amber", ["cpu: ", "pytorch.org"]),
        ("device", CPU | {"shutil.which": always(None)}, "green", ["cpu: ", "half precision"]),
        ("other programs", {"helpers.devices.busy_line": always(BUSY)}, "amber", [BUSY.strip()]),
        ("other programs", {"helpers.devices.busy_line": always("")}, "green", []),
        ("memory", {"helpers.devices.free_memory": always((1.1e9, 1.5e9))}, "red", ["1.0 of 1.4 GiB free for this"]),
        ("memory", CPU | {"psutil.virtual_memory": free(8)}, "green", ["8.0 of 8.0 GiB"]),
        ("memory", CPU | {"psutil.virtual_memory": free(2)}, "amber", ["2.0 of 8.0 GiB", "close other programs"]),
        ("memory", CPU | {"psutil.virtual_memory": free(0.5)}, "red", ["0.5 of 8.0 GiB", "close other programs"]),
        ("disk", {"shutil.disk_usage": free(20)}, "green", ["20.0 GiB"]),
        ("disk", {"shutil.disk_usage": free(2)}, "amber", ["2.0 GiB", "make room"]),
        ("disk", {"shutil.disk_usage": free(0.1)}, "red", ["0.1 GiB", "make room"]),
        ("disk", {"tempfile.TemporaryFile": always(PermissionError(13, "No"))}, "amber", ["No", "folder of your own"]),
        (
            "compiler",
            CPU
            | {"torch.compile": always(RuntimeError("C++ compile error\n\na.cpp:30:10: fatal error: Python.h: No"))},
            "amber",
            ["compiling fails: Python.h: No", *GOES_ON],
        ),
        (
            "compiler",
            CPU | {"torch.compile": always(OSError("failed to map segment"))},
            "amber",
            ["failed to map segment", "troubleshooting.md", *GOES_ON],
        ),
        ("compiler", CPU | {"torch.compile": always(always(None))}, "green", ["a small function"]),
        ("clip", {"helpers.plot_spectrogram": always(NO_CACHE)}, "red", ["no locator", "troubleshooting.md"]),
        ("clip", {"helpers.checkpoints.POCKET": Path("nowhere")}, "red", ["nowhere", "troubleshooting.md"]),
        ("clip", {"os.environ": os.environ | {"AUDIOLDM2_CHECKPOINT": "pockett"}}, "red", ["pockett"]),
        ("clip", {"os.environ": os.environ | {"AUDIOLDM2_CHECKPOINT": "cvssp/audioldm2"}}, "green", ["made"]),
    ],
)
def test_each_machine_gets_its_row(row, monkeypatch, check, machine, state, words):
    for target, value in machine.items():
        monkeypatch.setattr(target, value)
    found, text = row(check)
    assert found == state and all(word in text for word in words), (found, text)


def test_a_machine_without_a_compiler(row, monkeypatch, no_compiler):
    monkeypatch.setattr(devices, "best_device", lambda: "cpu")
    found, text = row("compiler")
    assert found == "amber" and all(word in text for word in GOES_ON)


def test_the_command_on_this_machine(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT)])
    status = preflight.main()
    printed = capsys.readouterr().out
    states = [line.split()[1] for line in printed.splitlines()[:-1] if "→" not in line]
    assert len(states) == len(preflight.CHECKS) and status == int("red" in states)
    assert "clip: made, drawn" in printed and "cannot be checked" not in printed


def test_the_command_on_a_machine_without_any_package():
    bare = [sys.executable, "-I", "-S", "-X", "utf8", SCRIPT]
    done = subprocess.run(bare, capture_output=True, encoding="utf-8", timeout=60)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert sum(" green " in line for line in lines) >= 2  # Python and the disk
    red = [line for line in lines if line.startswith(preflight.SIGNS["red"])]
    assert len(red) >= 5 and all("cannot be checked" in line for line in red)
    assert sum("pip install -r requirements.txt" in line for line in lines) >= len(red)


def test_a_home_that_nobody_may_write_to(tmp_path):
    (tmp_path / "file").touch()
    home = dict.fromkeys(("HOME", "USERPROFILE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"), str(tmp_path / "file" / "home"))
    code = "from tools import check_your_machine as it; print(*it.check_clip())"
    command = [sys.executable, "-X", "utf8", "-c", code]
    done = subprocess.run(
        command, env=os.environ | home, cwd=preflight.COURSE, capture_output=True, encoding="utf-8", timeout=300
    )
    assert "green made, drawn" in done.stdout, done.stderr


def test_the_rows_and_the_verdict(monkeypatch, capsys):
    checks = {"good": always(("green", "fine", "")), "fair": always(("amber", "so so", "do this"))}
    checks["bad"] = always(ZeroDivisionError("division by zero"))
    monkeypatch.setattr(preflight, "CHECKS", checks)
    preflight.check()
    good, fair, step, bad, look_up, verdict = capsys.readouterr().out.splitlines()
    assert good == "● green  good: fine" and fair == "▲ amber  fair: so so" and step.strip() == "→ do this"
    assert bad == "✖ red    bad: ZeroDivisionError: division by zero" and "docs/troubleshooting.md" in look_up
    assert verdict.startswith("Fix the red rows")
    del checks["bad"]
    preflight.check()
    assert "The lessons will run" in capsys.readouterr().out
    del checks["fair"]
    preflight.check()
    assert "All is ready" in capsys.readouterr().out


def test_a_report_measures_a_clip_and_tells_no_names_or_paths():
    paths = rf"'{Path.home()}/x/notebooks' '/mnt/data/Jane Doe/notebooks' 'D:\jane\course\notebooks'"
    found = [{"check": "disk", "state": "amber", "found": f"22.1 of 23.5 GiB free, denied: {paths}"}]
    report = preflight.report(found, steps=1, repeats=1)
    assert report["checks"][0]["found"] == "22.1 of 23.5 GiB free, denied: 'notebooks' 'notebooks' 'notebooks'"
    text = json.dumps(report)
    assert set(report["stages in seconds"][0]) >= {"text encoding", "denoising", "VAE decoding", "vocoder"}
    assert report["checkpoint"] == "pocket" and report["threads"] and report["versions"]["torch"]
    assert not any(name in text for name in (str(Path.home()), str(preflight.COURSE), preflight.platform.node()))
    assert "stages in seconds" not in preflight.report(
        [{"check": "libraries", "state": "red", "found": "torch is missing"}]
    )
