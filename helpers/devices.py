"""Which device there is, and which half-precision type it has instructions for."""

import platform
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
        "cuda", "mps" or "cpu".
    """
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def check_device(device):
    """Refuse a device that is not there.

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
    there = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if device.type in there and not there[device.type]():
        raise RuntimeError(
            f"device is {str(device)!r}, but torch sees none here: use device={best_device()!r}, "
            "or choose a runtime with a GPU and a torch that was built for it."
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise RuntimeError(f"device is {str(device)!r}, but torch sees {torch.cuda.device_count()} GPU: use 'cuda:0'.")
    return device


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
        (lesson 4). On any other CPU float32, with a warning that says why: half precision would be emulated there.
    """
    dtype, reason = _half(torch.device(device or best_device()))
    if dtype == torch.float32:
        warnings.warn(f"Staying with float32: {reason}.", stacklevel=2)
    return dtype


def warn_of_slow_half(dtype, device):
    """Warn of a half-precision type that a device has no instructions for."""
    usual, reason = _half(device)
    if device.type == "cpu" and dtype in (torch.float16, torch.bfloat16) and dtype != usual:
        warnings.warn(f"{dtype} will be slow on {device} ({reason}): load with dtype={usual}.", stacklevel=3)


def _half(device):
    """The type for `half_dtype`, and the reason for it."""
    if device.type != "cpu":
        return torch.float16, "the GPU computes in it"
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch cannot tell
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
    dtype, reason = _half(device)
    versions = ", ".join(f"{package} {version(package)}" for package in ("torch", "diffusers", "transformers"))
    return (
        f"{name}: {free / GIB:.1f} of {total / GIB:.1f} GiB memory free; half precision: "
        f"{str(dtype).removeprefix('torch.')} ({reason}); {torch.get_num_threads()} CPU threads; {versions}"
    )
