"""One step of the UNet: of any length, at the official size, swept over lengths, drawn as bars."""

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

import helpers
from helpers import steps


def test_a_step_has_the_shape_of_a_guided_step_of_the_pipeline(pocket, seeded):
    shapes = []
    hook = pocket.unet.register_forward_pre_hook(lambda unet, inputs: shapes.append(inputs[0].shape))
    try:
        for seconds in (None, 2.56):
            pocket("Rain", audio_length_in_s=seconds, num_inference_steps=1, generator=seeded())
            assert helpers.unet_step(pocket, seconds).shape == shapes[-2] == shapes[-1]
    finally:
        hook.remove()


def test_a_step_of_the_official_unet_alone():
    unet = helpers.official_unet(device="cpu", width=0.125)
    assert unet.config.sample_size == 256 and len(unet.attn_processors) == 96
    assert helpers.unet_step(unet, 1.28).shape == (2, 8, 32, 16)
    assert helpers.unet_step(unet, 1.28).isfinite().all()


def test_scores_that_do_not_fit_into_memory_are_refused_before_they_are_computed(pocket):
    pocket.unet.set_attn_processor(AttnProcessor())
    try:
        with pytest.raises(MemoryError, match="scores of vanilla attention"):
            helpers.unet_step(pocket, seconds=1e5)
    finally:
        pocket.unet.set_attn_processor(AttnProcessor2_0())


def test_a_sweep_leaves_out_what_runs_out_of_memory(capsys):
    called = []

    def hungry(length):
        called.append(length)
        if length > 1:
            raise [MemoryError(), torch.OutOfMemoryError(), RuntimeError("MPS backend out of memory")][length - 2]

    for lengths in ([1, 2, 5], [3, 1], [4, 1]):
        curve = helpers.sweep({"plain": lambda length: None, "hungry": hungry}, lengths, repeats=1)
        assert list(curve.values["plain"]) == sorted(lengths)
        assert list(curve.values["hungry"]) == [1]
        assert "hungry: out of memory" in capsys.readouterr().out
    assert 5 not in called


def test_a_sweep_passes_other_errors_on():
    def broken(length):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        helpers.sweep({"broken": broken}, [1])


def test_a_sweep_is_shown_as_a_picture():
    curve = steps.Sweep({"vanilla": {5: 0.5}, "SDPA": {5: 0.25, 10: 0.5}})
    picture = curve.plot(y="time of one UNet call (s)")
    (ax,) = picture.figure.axes
    assert ax.get_ylabel() == "time of one UNet call (s)" and "(s)" in ax.get_xlabel() and ax.get_title()
    assert "vanilla: 0.5 s at 5; SDPA: 0.25 s at 5, 0.5 s at 10" in picture.alt


def test_bars_side_by_side():
    found = helpers.measure(lambda: None, repeats=1)
    picture = steps.bars({"one clip": {"vanilla": found, "DPM++": found}, "one step": {"vanilla": found}})
    left, right = picture.figure.axes
    assert len(left.patches) == 2 and len(right.patches) == 1
    assert left.get_title() == "one clip" and right.get_xlabel() == "time (s)"
    assert "one step: vanilla" in picture.alt
