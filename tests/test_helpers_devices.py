import os
import subprocess
import sys
from importlib.metadata import version

import psutil
import pytest
import torch

import helpers
from helpers import devices


@pytest.fixture
def cpu_with(monkeypatch):
    """Pretends that the CPU has certain capabilities and no others."""
    return lambda **capabilities: monkeypatch.setattr(
        torch.cpu, "get_capabilities", lambda: capabilities, raising=False
    )


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_the_fastest_device_is_named(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda *version: True)
    assert helpers.best_device() == expected


def test_a_mac_whose_gpu_refuses_long_clips_takes_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda *version: version < (15, 1))
    with pytest.warns(UserWarning, match="macOS 15.1"):
        assert helpers.best_device() == "cpu"


@pytest.mark.parametrize("capability", ["amx_bf16", "avx512_bf16", "bf16"])
def test_a_cpu_with_the_instructions_takes_bfloat16(cpu_with, capability):
    cpu_with(**{capability: True})
    assert helpers.half_dtype("cpu") == torch.bfloat16
    assert capability in helpers.describe("cpu")


def test_a_cpu_without_them_stays_with_float32_and_says_why(cpu_with):
    cpu_with(avx512_bf16=False, avx2=True)
    assert helpers.half_dtype("cpu") == torch.float32
    assert "float32 (this CPU has no bfloat16" in helpers.describe("cpu")


def test_a_torch_that_cannot_tell_stays_with_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert helpers.half_dtype("cpu") == torch.float32


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps", torch.device("cuda")])
def test_gpus_take_float16(device):
    assert helpers.half_dtype(device) == torch.float16


def test_the_description_is_one_line_with_the_true_memory():
    line = helpers.describe("cpu")
    assert "\n" not in line
    assert line.startswith("cpu: ") and f"torch {version('torch')}" in line
    assert f"of {psutil.virtual_memory().total / 2**30:.1f} GiB" in line


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_not_there_is_refused(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match=f"device is '{device}'.*use device='cpu'"):
        devices.check_device(device)


def test_a_name_that_torch_does_not_know_is_refused():
    with pytest.raises(RuntimeError, match="gpu"):
        devices.check_device("gpu")


def test_a_neighbour_is_noticed_and_an_idle_machine_is_not(monkeypatch):
    monkeypatch.setattr(devices.psutil, "cpu_count", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    readings = iter([(0.5, 1, 0.1)])
    monkeypatch.setattr(devices, "cpu_seconds", lambda: next(readings))
    assert devices.busy_line((0, 0, 0)).startswith("Other processes use 1.8 of 2 cores")
    readings = iter([(0.5, 0.9, 0.8)])
    assert devices.busy_line((0, 0, 0)) == ""
    monkeypatch.setattr(devices.psutil, "cpu_count", lambda: 64)  # a shared server with cores to spare
    readings = iter([(0.5, 20, 0.1)])
    assert devices.busy_line((0, 0, 0)) == ""


def test_threads_do_not_spin_for_long_unless_the_user_says_so():
    code = "import os, helpers; print(os.environ['GOMP_SPINCOUNT'])"
    for given, expected in ((None, "1000"), ("7", "7")):
        environment = {k: v for k, v in os.environ.items() if k != "GOMP_SPINCOUNT"} | (
            {"GOMP_SPINCOUNT": given} if given else {}
        )
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert done.stdout.split() == [expected], done.stderr
