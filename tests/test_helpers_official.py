"""One step of the UNet: of any length, and at the official size."""

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor

import helpers
from helpers import official


def test_a_step_has_the_shape_of_a_guided_step_of_the_pipeline(pocket):
    shapes = []
    hook = pocket.unet.register_forward_pre_hook(lambda unet, inputs: shapes.append(inputs[0].shape))
    for seconds in (None, 2.56):
        pocket("Rain", audio_length_in_s=seconds, num_inference_steps=1)
        assert helpers.unet_step(pocket, seconds)().shape == shapes[-2] == shapes[-1]
    hook.remove()


def test_the_inputs_of_a_step_are_made_before_it_runs(pocket, monkeypatch):
    step = helpers.unet_step(pocket, seconds=1.28)
    monkeypatch.setattr(torch, "randn", None)
    assert step().isfinite().all()


def test_scores_that_do_not_fit_into_memory_are_refused_before_they_are_computed(own_pocket):
    own_pocket.unet.set_attn_processor(AttnProcessor())
    with pytest.raises(MemoryError, match="scores of vanilla attention"):
        helpers.unet_step(own_pocket, seconds=1e4)()


def test_the_official_unet_in_half_precision_has_the_same_weights_and_never_asks_for_more(monkeypatch):
    full = helpers.official_unet(device="cpu", width=0.125)
    twice_the_half = 4e6 * 346.9 / 64
    monkeypatch.setattr(official, "free_memory", lambda device: (twice_the_half, None))
    half = helpers.official_unet(torch.bfloat16, "cpu", width=0.125)
    assert all(torch.equal(a.bfloat16(), b) for a, b in zip(full.parameters(), half.parameters(), strict=True))
    assert not list(half.buffers()), "its values would be left as they happen to be in memory"
    assert helpers.unet_step(half, seconds=1.28)().isfinite().all()
    with pytest.raises(MemoryError, match="needs 0.0 GB of memory, and 0.0 GB are free on cpu: close"):
        helpers.official_unet(device="cpu", width=0.125)
