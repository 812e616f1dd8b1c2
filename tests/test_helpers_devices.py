import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

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
    monkeypatch.setattr(devices, "_fault", lambda kind: "")
    assert helpers.best_device() == expected


@pytest.fixture
def fails(monkeypatch):
    """Gives torch a GPU of a kind, or both, that it reports, and that raises an error when it is used."""

    def stage(kind, message):
        def ones(*size, device):
            raise RuntimeError(message) if device == kind else AssertionError("another device was asked")

        monkeypatch.setattr(torch.cuda, "is_available", lambda: kind == "cuda")
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: kind == "mps")
        monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda *version: True)
        monkeypatch.setattr(torch, "ones", ones)
        devices._fault.cache_clear()

    yield stage
    devices._fault.cache_clear()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("cuda", "CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors might be"),
        ("cuda", "CUDA error: CUDA-capable device(s) is/are busy or unavailable\nCUDA kernel errors might be"),
        (
            "mps",
            "MPS backend out of memory (MPS allocated: 0 bytes, max allowed: 7.93 GB). Tried to allocate 256 bytes",
        ),
    ],
)
def test_a_gpu_that_is_reported_but_does_not_compute_becomes_the_cpu_with_one_sentence(fails, kind, message):
    fails(kind, message)
    with pytest.warns(UserWarning, match="Staying with the CPU: torch sees a GPU, but cannot use it") as caught:
        assert helpers.best_device() == "cpu"
    assert message.splitlines()[0] in str(caught[0].message) and "\n" not in str(caught[0].message)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("wanted", ["cpu", " CUDA ", "cuda:1", "mps", ""])
def test_one_variable_chooses_the_device(monkeypatch, wanted):
    monkeypatch.setenv("AUDIOLDM2_DEVICE", wanted)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "_fault", lambda kind: "")
    assert helpers.best_device() == (wanted.strip().lower() or "mps")


@pytest.mark.parametrize("wanted", ["cuda:7", "gpu", "cuda:x"])
def test_a_device_that_the_variable_names_and_that_is_not_there_is_refused_by_its_name(monkeypatch, wanted):
    monkeypatch.setenv("AUDIOLDM2_DEVICE", wanted)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(RuntimeError, match="AUDIOLDM2_DEVICE: ") as caught:
        helpers.load_pipeline("pocket")
    assert wanted in str(caught.value) and "\n" not in str(caught.value)


def test_a_mac_whose_gpu_refuses_long_clips_takes_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda *version: version < (15, 1))
    devices._fault.cache_clear()
    with pytest.warns(UserWarning, match="macOS 15.1"):
        assert helpers.best_device() == "cpu"
    devices._fault.cache_clear()


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
    assert f"of {devices.free_memory()[1] / 2**30:.1f} GiB" in line


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_not_there_is_refused(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match=f"device is '{device}', but torch sees none.*leave it out"):
        helpers.load_pipeline("pocket", device=device)


def test_a_neighbour_is_noticed_and_an_idle_machine_is_not(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)

    monkeypatch.setattr(devices, "cores", lambda: 2)

    def line(cores, *reading):
        monkeypatch.setattr(devices.psutil, "cpu_count", lambda: cores)
        monkeypatch.setattr(devices, "cpu_seconds", lambda: reading)  # elapsed, all processes, this one
        return devices.busy_line((0, 0, 0))

    assert line(2, 0.5, 1, 0.1).startswith("Other processes use 1.8 of 2 cores")
    assert line(2, 0.5, 0.9, 0.8) == ""
    assert line(64, 0.5, 20, 0.1) == ""  # a shared server with cores to spare


# --- containers -------------------------------------------------------------------------------------------------------

V1, V2 = "4:memory:/jobs/one\n3:cpu,cpuacct:/jobs/one\n1:name=systemd:/\n0::/\n", "0::/jobs/one\n"
STAT = "anon 1\ninactive_file 100000000\ntotal_inactive_file 100000000\n"
LIMITS = {  # 1.5 GB of memory, of which 0.5 are used, and 0.1 of these are files that can be dropped; half a core
    "version 1": (V1, "memory/jobs/one", "cpu/jobs/one"),
    "version 1, seen from inside": (V1, "memory", "cpu"),
    "version 2": (V2, "jobs/one", "jobs/one"),
    "version 2, seen from inside": ("0::/\n", ".", "."),
    "version 2, limits of the group above": (V2, "jobs", "jobs"),
}


@pytest.fixture
def contained(monkeypatch, tmp_path):
    """Puts this process into a container with limits, on a large host."""

    def stage(kind, quota="50000"):
        groups, memory, cpu = LIMITS[kind]
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if "1" in kind else ("memory.max", "memory.current")
        files = {f"{memory}/{name}": value for name, value in zip(names, ("1500000000", "500000000"), strict=True)}
        files |= {f"{memory}/memory.stat": STAT}
        if "1" in kind:
            files |= {f"{cpu}/cpu.cfs_quota_us": quota, f"{cpu}/cpu.cfs_period_us": "100000"}
        else:
            files |= {f"{cpu}/cpu.max": f"{quota} 100000"}
        (tmp_path / "sys/fs/cgroup/jobs/one").mkdir(parents=True)
        for name, text in files.items():
            (tmp_path / "sys/fs/cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "sys/fs/cgroup" / name).write_text(text + "\n")
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(groups)
        monkeypatch.setattr(devices, "_SYSTEM", tmp_path)

    host = SimpleNamespace(available=20 * 2**30, total=24 * 2**30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: host)
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    return stage


@pytest.mark.parametrize("kind", LIMITS)
def test_a_containers_limits_count_and_not_the_host(contained, kind):
    contained(kind)
    assert devices.free_memory() == (1_100_000_000, 1_500_000_000)
    assert devices.cores() == 0.5
    assert ": 1.0 of 1.4 GiB memory free" in helpers.describe("cpu")


@pytest.mark.parametrize(("kind", "quota"), [("version 1", "-1"), ("version 2", "max")])
def test_no_quota_leaves_all_cores(contained, kind, quota):
    contained(kind, quota)
    assert devices.cores() == 64


def test_a_system_without_control_groups(contained, monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "_SYSTEM", tmp_path)
    assert devices.free_memory() == (20 * 2**30, 24 * 2**30) and devices.cores() == 64


def test_threads_beyond_the_quota_are_said_to_spoil_timings(contained, monkeypatch):
    contained("version 2")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert devices.busy_line((0, 0, 0)) == (
        "Only 0.5 CPU cores are allowed here, and torch runs 1 threads: timings mean little.\n"
    )


def test_what_torch_keeps_cached_on_a_gpu_is_free(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 500)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 200)
    assert devices.free_memory("cuda:1") == (400, 1000)


def test_torch_gets_no_more_threads_than_the_quota_allows(monkeypatch):
    code = "import os; os.sched_getaffinity = lambda pid: {0}; os.cpu_count = lambda: 1; import helpers, torch; "
    code += "print(torch.get_num_threads())"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment |= {"PYTHONPATH": str(Path(helpers.__file__).parents[1])}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "1"
