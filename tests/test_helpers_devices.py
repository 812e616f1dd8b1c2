from importlib.metadata import version

import psutil
import pytest
import torch

import helpers
from helpers import devices


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


@pytest.mark.parametrize(
    ("capabilities", "dtype", "reason"),
    [
        ({"amx_bf16": True}, torch.bfloat16, "amx_bf16"),
        ({"avx512_bf16": True}, torch.bfloat16, "avx512_bf16"),
        ({"bf16": True}, torch.bfloat16, "bf16"),
        ({"avx512_bf16": False, "avx2": True}, torch.float32, "float32 (this CPU has no bfloat16"),
    ],
)
def test_a_cpu_takes_bfloat16_where_it_has_instructions_and_says_why(monkeypatch, capabilities, dtype, reason):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert helpers.half_dtype("cpu") == dtype and reason in helpers.describe("cpu")


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
        helpers.load_pipeline("pocket", device=device)


def test_a_neighbour_is_noticed_and_an_idle_machine_is_not(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)

    def line(cores, *reading):
        monkeypatch.setattr(devices.psutil, "cpu_count", lambda: cores)
        monkeypatch.setattr(devices, "cpu_seconds", lambda: reading)  # elapsed, all processes, this one
        return devices.busy_line((0, 0, 0))

    assert line(2, 0.5, 1, 0.1).startswith("Other processes use 1.8 of 2 cores")
    assert line(2, 0.5, 0.9, 0.8) == ""
    assert line(64, 0.5, 20, 0.1) == ""  # a shared server with cores to spare
