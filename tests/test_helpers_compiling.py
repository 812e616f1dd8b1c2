"""What lesson 5 leaves to helpers.compiling."""

import json
import math
from types import SimpleNamespace

import pytest
import torch

from helpers import compiling


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
