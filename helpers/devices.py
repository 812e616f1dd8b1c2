"""Which device there is, what it is good at, how much of it we may use, and whether other programs take it."""

import functools
import os
import platform
import re
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import psutil
import torch

GIB = 2**30
_SYSTEM = Path("/")  # where Linux tells of its limits


def best_device():
    """Name the device that the environment variable AUDIOLDM2_DEVICE asks for, or the fastest that torch can use here.

    Returns
    -------
    str
        What the variable says, such as "cuda:1". Without it "cuda", "mps" or "cpu"; it is "cpu", with a warning, where
        the GPU does not compute (its kernels are missing in this torch, or it has no memory), and on a Mac before macOS
        15.1: there, convolutions on the GPU refuse more than 65,536 samples
        (https://github.com/pytorch/pytorch/issues/144445), and a clip has more.

    Raises
    ------
    RuntimeError
        If there is no such device as the variable says.
    """
    if wanted := os.environ.get("AUDIOLDM2_DEVICE", "").strip().lower():
        try:
            return str(check_device(wanted))
        except RuntimeError as error:
            raise RuntimeError(f"AUDIOLDM2_DEVICE: {str(error).splitlines()[0]}") from error
    kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if fault := _fault(kind):
        warnings.warn(f"Staying with the CPU: {fault}.", stacklevel=2)
        return "cpu"
    return kind


@functools.cache
def _fault(kind):
    """Why a device is not used: torch also reports GPUs that are too old for it, and those of virtual Macs."""
    if kind == "mps" and not torch.backends.mps.is_macos_or_newer(15, 1):
        return "the GPU of a Mac needs macOS 15.1 for clips of this length"
    try:
        torch.ones(8, device=kind).add(1).sum().item()
    except RuntimeError as error:
        return f"torch sees a GPU, but cannot use it ({str(error).strip().splitlines()[0]})"
    return ""


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
            f"device is {str(device)!r}, but torch sees {there or 'none'} of this kind here: leave it out for the best "
            "that there is, or choose a runtime with a GPU and a torch that was built for it."
        )
    return device


def _groups(*files):
    """Read files of the control groups (cgroups, which limit containers) that this process is in: texts of each."""
    try:
        lines = (_SYSTEM / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return
    for _, controllers, path in (line.split(":", 2) for line in lines):
        for controller in controllers.split(","):  # of version 1; version 2 names none
            leaf = _SYSTEM / "sys/fs/cgroup" / controller / path.strip("/") / "file"
            for folder in leaf.parents:  # the limits of those above hold, too
                if all((folder / file).is_file() for file in files):
                    yield [(folder / file).read_text().strip() for file in files]


def free_memory(device="cpu"):
    """Tell how much memory this process can still use.

    Parameters
    ----------
    device : str or torch.device
        A CUDA GPU, which has memory of its own; any other device shares main memory.

    Returns
    -------
    int
        Free bytes, with those that torch keeps for itself on a GPU, and within the limit of a container.
    int
        All bytes, within that limit.
    """
    if torch.device(device).type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device), total
    memory = psutil.virtual_memory()
    free, total = memory.available, memory.total
    for names in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        for limit, used, stat in _groups(*names, "memory.stat"):
            if limit != "max":
                cached = max(map(int, re.findall(r"inactive_file (\d+)", stat)), default=0)  # can be dropped
                free, total = min(free, int(limit) - int(used) + cached), min(total, int(limit))
    return max(free, 0), total


def out_of_memory(error):
    """Whether an error says that memory ran out: on CPUs and MPS it may be a plain RuntimeError."""
    said = "allocate memory|not enough memory|out of memory|Invalid buffer size"
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or bool(re.search(said, str(error)))


def cores():
    """Tell how many CPU cores this process may use; a container's quota may leave it a fraction."""
    found = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1]
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        for quota, period in (" ".join(texts).split() for texts in _groups(*names)):
            found += [int(quota) / int(period)] if quota not in ("max", "-1") else []
    return min(found)


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
    every, others, threads = psutil.cpu_count(), (system - own) / max(elapsed, 1e-9), torch.get_num_threads()
    if cores() < threads:
        return f"Only {cores():g} CPU cores are allowed here, and torch runs {threads} threads: timings mean little.\n"
    if elapsed < 0.2 or every - others > threads - 0.5:
        return ""
    return (
        f"Other processes use {others:.1f} of {every} cores: timings mean little now. Close them and run this again.\n"
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
        Device, free and total memory in GiB (of the GPU, otherwise of the computer or container), half-precision type
        with the reason for it, CPU threads, versions.
    """
    device = check_device(device or best_device())
    name = f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
    free, total = free_memory(device)
    dtype, reason = half_and_reason(device)
    return (
        f"{name}: {free / GIB:.1f} of {total / GIB:.1f} GiB memory free; half precision: "
        f"{str(dtype).removeprefix('torch.')} ({reason}); {torch.get_num_threads()} CPU threads; {libraries()}"
    )


def libraries():
    """The versions of torch, diffusers and transformers, in words."""
    return ", ".join(f"{package} {version(package)}" for package in ("torch", "diffusers", "transformers"))


if "OMP_NUM_THREADS" not in os.environ and cores() < torch.get_num_threads():
    torch.set_num_threads(max(1, int(cores())))  # torch counts the cores of the host, not those of a container
