"""Which device there is, what it is good at, and whether other programs take it."""

import platform
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import psutil
import torch

GIB = 2**30


def best_device():
    """Name the fastest kind of device that torch can use here.

    Returns
    -------
    str
        "cuda", "mps" or "cpu". On a Mac before macOS 15.1 it is "cpu", with a warning: there, convolutions on the GPU
        refuse more than 65,536 samples (https://github.com/pytorch/pytorch/issues/144445), and a clip has more.
    """
    if torch.cuda.is_available():
        return "cuda"
    if not torch.backends.mps.is_available():
        return "cpu"
    if not torch.backends.mps.is_macos_or_newer(15, 1):
        warnings.warn("Staying with the CPU: the GPU of a Mac needs macOS 15.1 for clips of this length.", stacklevel=2)
        return "cpu"
    return "mps"


def check_device(device):
    """Refuse a device that is not there, in one line.

    Parameters
    ----------
    device : str or torch.device
        Such as "cuda", "cuda:1", "mps" or "cpu".

    Returns
    -------
    torch.device

    Raises
    ------
    RuntimeError
        If torch sees no such device, or does not know the name.
    """
    device = torch.device(device)
    there = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}.get(device.type)
    if there is not None and (device.index or 0) >= there:
        raise RuntimeError(
            f"device is {str(device)!r}, but torch sees {there or 'none'} of this kind here: use "
            f"device={best_device()!r}, or choose a runtime with a GPU and a torch that was built for it."
        )
    return device


def cpu_seconds():
    """Read the clock, the seconds that all CPU cores have worked so far, and this process's share of them."""
    system, own = psutil.cpu_times(), psutil.Process().cpu_times()
    return time.perf_counter(), system.user + system.system + getattr(system, "nice", 0), sum(own[:4])


def busy_line(start=None):
    """Say in one line, with its line break, whether other processes take cores that torch's threads want.

    Parameters
    ----------
    start : tuple, optional
        What `cpu_seconds` gave at the beginning of the time to judge; by default half a second is watched from now on.

    Returns
    -------
    str
        Empty if enough cores were free.
    """
    if start is None:
        start = cpu_seconds()
        time.sleep(0.5)
    elapsed, system, own = (now - then for now, then in zip(cpu_seconds(), start, strict=True))
    cores, others = psutil.cpu_count(), (system - own) / max(elapsed, 1e-9)
    if elapsed < 0.2 or cores - others > torch.get_num_threads() - 0.5:
        return ""
    return (
        f"Other processes use {others:.1f} of {cores} cores: timings mean little now. Close them and run this again.\n"
    )


def half_dtype(device=None):
    """Name the half-precision type that a device has instructions for.

    Parameters
    ----------
    device : str or torch.device, optional
        By default the one that `best_device` names.

    Returns
    -------
    torch.dtype
        float16 on a GPU, bfloat16 on a CPU that has instructions for it; how fast those are, only a measurement tells
        (lesson 4). On any other CPU float32: half precision would be emulated there. `describe` gives the reason.
    """
    return half_and_reason(torch.device(device or best_device()))[0]


def warn_of_slow_half(dtype, device):
    """Warn of a half-precision type that a CPU has no instructions for; beside a GPU, weights may only wait there."""
    usual, reason = half_and_reason(device)
    if device.type == best_device() == "cpu" and dtype in (torch.float16, torch.bfloat16) and dtype != usual:
        warnings.warn(f"{dtype} will be slow on {device} ({reason}): load with dtype={usual}.", stacklevel=3)


def half_and_reason(device):
    """Give the type of `half_dtype`, and the reason for it."""
    if device.type != "cpu":
        return torch.float16, "the GPU computes in it"
    capabilities = torch.cpu.get_capabilities()
    for name in ("amx_bf16", "avx512_bf16", "sve_bf16", "bf16"):
        if capabilities.get(name):
            return torch.bfloat16, f"this CPU has {name} instructions"
    return torch.float32, "this CPU has no bfloat16 instructions that torch knows of"


def processor():
    """Name the model of the CPU.

    Returns
    -------
    str
        As Linux names it, elsewhere as Python does.
    """
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in cpuinfo if line.startswith("model name"))
    except (OSError, StopIteration):  # no Linux, or another kind of processor
        return platform.processor() or platform.machine()


def describe(device=None):
    """Say in one line what the measurements will run on.

    Parameters
    ----------
    device : str or torch.device, optional
        By default the one that `best_device` names.

    Returns
    -------
    str
        Device, free and total memory in GiB (of the GPU, otherwise of the computer), half-precision type with the
        reason for it, CPU threads, versions.
    """
    device = check_device(device or best_device())
    if device.type == "cuda":
        name = f"{device} ({torch.cuda.get_device_name(device)})"
        free, total = torch.cuda.mem_get_info(device)
    else:
        name = str(device)
        free, total = psutil.virtual_memory().available, psutil.virtual_memory().total
    dtype, reason = half_and_reason(device)
    return (
        f"{name}: {free / GIB:.1f} of {total / GIB:.1f} GiB memory free; half precision: "
        f"{str(dtype).removeprefix('torch.')} ({reason}); {torch.get_num_threads()} CPU threads; {libraries()}"
    )


def libraries():
    """The versions of torch, diffusers and transformers, in words."""
    return ", ".join(f"{package} {version(package)}" for package in ("torch", "diffusers", "transformers"))
