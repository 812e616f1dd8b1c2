"""Time against length."""

import pytest
import torch

from helpers.topics.attention import Sweep, sweep


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError(), RuntimeError("MPS backend out of memory")], ids=repr
)
def test_a_sweep_leaves_out_what_runs_out_of_memory(capsys, error):
    called = []

    def variants(length):
        def hungry():
            called.append(length)
            if length > 1:
                raise error

        return {"plain": lambda: None, "hungry": hungry}

    curve = sweep(variants, [1, 5, 2], repeats=1)
    assert list(curve.values["plain"]) == [1, 2, 5]
    assert list(curve.values["hungry"]) == [1] and 5 not in called
    assert "hungry: out of memory" in capsys.readouterr().out


def test_a_sweep_passes_other_errors_on():
    def broken():
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        sweep(lambda length: {"broken": broken}, [1])


def test_a_sweep_is_shown_as_a_picture():
    curve = Sweep({"vanilla": {5: 0.5}, "SDPA": {5: 0.25, 10: 0.5}})
    assert "vanilla: 0.5 s at 5; SDPA: 0.25 s at 5, 0.5 s at 10" in curve.plot().alt
