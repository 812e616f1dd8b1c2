import warnings

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
    assert helpers.best_device() == expected


@pytest.mark.parametrize("capability", ["amx_bf16", "avx512_bf16", "bf16"])
def test_a_cpu_with_the_instructions_takes_bfloat16(cpu_with, capability):
    cpu_with(**{capability: True})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert helpers.half_dtype("cpu") == torch.bfloat16
    assert capability in helpers.describe("cpu")


def test_a_cpu_without_them_stays_with_float32_and_says_why(cpu_with):
    cpu_with(avx512_bf16=False, avx2=True)
    with pytest.warns(UserWarning, match="float32: this CPU has no bfloat16"):
        assert helpers.half_dtype("cpu") == torch.float32


def test_a_torch_that_cannot_tell_stays_with_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    with pytest.warns(UserWarning, match="that torch knows of"):
        assert helpers.half_dtype("cpu") == torch.float32


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps", torch.device("cuda")])
def test_gpus_take_float16(device):
    assert helpers.half_dtype(device) == torch.float16


def test_the_description_is_one_line_with_the_true_memory():
    line = helpers.describe("cpu")
    assert "\n" not in line
    assert line.startswith("cpu: ") and f"torch {torch.__version__}" in line
    assert f"of {psutil.virtual_memory().total / 2**30:.1f} GiB" in line


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match=f"device is '{device}'.*use device='cpu'"):
        devices.check_device(device)


def test_a_name_that_torch_does_not_know_is_refused():
    with pytest.raises(RuntimeError, match="gpu"):
        devices.check_device("gpu")
