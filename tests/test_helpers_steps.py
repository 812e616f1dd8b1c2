"""One step of the UNet: of any length, at the official size, swept over lengths, drawn as bars."""

from types import SimpleNamespace

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor
from helpers.timing import Measurement

import helpers
from helpers import official, steps


def test_a_step_has_the_shape_of_a_guided_step_of_the_pipeline(pocket):
    shapes = []
    hook = pocket.unet.register_forward_pre_hook(lambda unet, inputs: shapes.append(inputs[0].shape))
    for seconds in (None, 2.56):
        pocket("Rain", audio_length_in_s=seconds, num_inference_steps=1)
        assert helpers.unet_step(pocket, seconds).shape == shapes[-2] == shapes[-1]
    hook.remove()


def test_scores_that_do_not_fit_into_memory_are_refused_before_they_are_computed(own_pocket):
    own_pocket.unet.set_attn_processor(AttnProcessor())
    with pytest.raises(MemoryError, match="scores of vanilla attention"):
        helpers.unet_step(own_pocket, seconds=1e5)


def test_the_official_unet_in_half_precision_has_the_same_weights_and_never_asks_for_more(monkeypatch):
    full = helpers.official_unet(device="cpu", width=0.125)
    memory = SimpleNamespace(available=4e6 * 346.9 / 64)  # bytes: twice the weights in half precision
    monkeypatch.setattr(official.psutil, "virtual_memory", lambda: memory)
    half = helpers.official_unet(torch.bfloat16, "cpu", width=0.125)
    assert all(torch.equal(a.bfloat16(), b) for a, b in zip(full.parameters(), half.parameters(), strict=True))
    assert not list(half.buffers()), "its values would be left as they happen to be in memory"
    assert helpers.unet_step(half, seconds=1.28).isfinite().all()
    with pytest.raises(MemoryError, match="needs 0.0 GB of memory, and 0.0 GB are free on cpu: close"):
        helpers.official_unet(device="cpu", width=0.125)


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError(), RuntimeError("MPS backend out of memory")], ids=repr
)
def test_a_sweep_leaves_out_what_runs_out_of_memory(capsys, error):
    called = []

    def hungry(length):
        called.append(length)
        if length > 1:
            raise error

    curve = helpers.sweep({"plain": lambda length: None, "hungry": hungry}, [1, 5, 2], repeats=1)
    assert list(curve.values["plain"]) == [1, 2, 5]
    assert list(curve.values["hungry"]) == [1] and 5 not in called
    assert "hungry: out of memory" in capsys.readouterr().out


def test_a_sweep_passes_other_errors_on():
    def broken(length):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        helpers.sweep({"broken": broken}, [1])


def test_a_sweep_is_shown_as_a_picture():
    curve = steps.Sweep({"vanilla": {5: 0.5}, "SDPA": {5: 0.25, 10: 0.5}})
    assert "vanilla: 0.5 s at 5; SDPA: 0.25 s at 5, 0.5 s at 10" in curve.plot().alt


def test_bars_side_by_side():
    found = Measurement(9, [2])
    picture = steps.bars({"one clip": {"vanilla": found, "DPM++": found}, "one step": {"vanilla": found}})
    assert [len(ax.patches) for ax in picture.figure.axes] == [2, 1]
    assert "one step: vanilla 2 s" in picture.alt
