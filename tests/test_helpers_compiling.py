"""What lesson 5 leaves to helpers.topics.compiling."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from helpers.topics import compiling


@pytest.fixture
def pipe():
    return SimpleNamespace(unet=torch.nn.Linear(2, 2))


def test_the_first_calls_are_measured_the_graph_is_counted_and_the_compiled_module_stays(pipe):
    pipe.unet = wrapped = torch.compile(pipe.unet, backend="eager", fullgraph=True)
    before = compiling.graphs()
    compiled, calls = compiling.first_calls(pipe, lambda: pipe.unet(torch.ones(1, 2)))
    assert compiled and pipe.unet is wrapped and compiling.graphs() == before + 1
    assert calls.first > calls.median > 0 and calls.result.shape == (1, 2)


def test_a_missing_compiler_is_told_in_one_line_and_the_eager_module_comes_back(pipe, capsys):
    def no_compiler(graph, inputs):
        raise RuntimeError("No working C++ compiler found.\nLook for g++.\n\nfrom user code: many lines")

    eager = pipe.unet
    pipe.unet = torch.compile(eager, backend=no_compiler, fullgraph=True)
    before = compiling.graphs()
    compiled, calls = compiling.first_calls(pipe, lambda: pipe.unet(torch.ones(1, 2)))
    assert not compiled and pipe.unet is eager and compiling.graphs() == before
    assert calls.first == math.inf and calls.result.shape == (1, 2)
    said = [line for line in capsys.readouterr().out.splitlines() if "compiling failed" in line]
    assert len(said) == 1 and "No working C++ compiler found. Look for g++." in said[0]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.95 GiB."),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("while_compiling", [True, False])
def test_out_of_memory_is_raised_and_is_not_a_failure_of_the_compiler(pipe, capsys, error, while_compiling):
    def runs_out(*args):
        raise error

    pipe.unet = torch.compile(pipe.unet, backend=lambda graph, inputs: runs_out() if while_compiling else runs_out)
    with pytest.raises(type(error)) as raised:
        compiling.first_calls(pipe, lambda: pipe.unet(torch.ones(1, 2)))
    assert raised.value is error and "compiling failed" not in capsys.readouterr().out


@pytest.fixture
def own_caches(monkeypatch):
    """Puts the folders of compiled code back."""
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    yield
    torch.compiler.reset()
    compiling.clear_caches()


def compiled_files():
    """What the C++ compiler made for kernels since the last cold start."""
    return {path.name for path in Path(compiling._folders[-1].name).rglob("*.main.*") if path.suffix in (".so", ".pyd")}


def test_compiling_the_same_twice_in_one_process_is_cold_both_times(own_caches):
    made = []
    for _ in range(2):
        compiling.start_cold()
        misses = compiling.counters["inductor"]["fxgraph_cache_miss"]
        small = torch.compile(lambda x: torch.nn.functional.silu(2 * x + 1), fullgraph=True)
        small(torch.ones(100))
        assert compiling.counters["inductor"]["fxgraph_cache_miss"] == misses + 1
        made.append(compiled_files())
    assert made[0] and made[0] == made[1], "the second time, code that was in memory was used"


def test_a_start_that_is_not_cold_says_so(own_caches, capsys):
    folders = len(compiling._folders)
    compiling.start_cold(forget=False)
    assert "may be faster than a cold one" in capsys.readouterr().out and len(compiling._folders) == folders


def test_an_error_that_compiling_is_not_to_blame_for_is_raised(pipe):
    with pytest.raises(ZeroDivisionError):
        compiling.first_calls(pipe, lambda: 1 / 0)


def test_break_even():
    assert compiling.break_even(61, 1, 0.5) == 120 and compiling.break_even(1, 2, 0.5) == 0
    for cold, gain in ((61, 0), (61, -0.1), (math.inf, 0.5)):
        assert compiling.break_even(cold, 1, gain) == math.inf


def test_the_record_says_when_and_where_it_was_made(capsys):
    content = json.loads(compiling.RECORD.read_text(encoding="utf-8"))
    found = compiling.recorded()
    assert content["date"] in (said := capsys.readouterr().out) and content["machine"] in said
    assert found.after.first > found.after.median > 0 and found.speedup > 0
