"""What tests expect of a machine, on machines that lack something."""

import platform
import shutil

import capabilities
import pytest

import helpers


@pytest.fixture(autouse=True)
def asked_anew():
    capabilities.compiles.cache_clear()
    yield
    capabilities.compiles.cache_clear()


def test_without_a_compiler_lesson_5_has_nothing_to_undo(monkeypatch):
    monkeypatch.setattr(helpers.devices, "best_device", lambda: "cpu")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "torch.compile does not work" in capabilities.lacks("05_torch_compile")
    assert capabilities.lacks("03_sdpa") is None


@pytest.mark.parametrize(("system", "device"), [("Windows", "cpu"), ("Darwin", "mps")])
def test_with_one_process_lesson_10_has_nothing_to_undo(monkeypatch, system, device):
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(helpers, "best_device", lambda: device)
    assert "one process here" in capabilities.lacks("10_many_prompts_many_devices")


def test_on_linux_two_processes_share_the_work(monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(helpers, "best_device", lambda: "cpu")
    assert capabilities.processes() == 2 and capabilities.lacks("10_many_prompts_many_devices") is None
