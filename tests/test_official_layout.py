"""Checkpoints laid out as the official ones, of an eighth of the width: both sizes load and make a clip."""

import math

import official_layout
import pytest
import torch

import helpers
from benchmarks.official_pipeline import build_pipeline
from helpers.official import PARAMETERS


@pytest.mark.parametrize(("size", "depth", "attends_to"), [("base", 1, 3), ("large", 2, 4)])
def test_it_loads_and_makes_a_clip(size, depth, attends_to, official_eighth, seeded, tmp_path):
    folder = official_eighth if size == "base" else official_layout.write(tmp_path, size)
    pipe = helpers.load_pipeline(folder, device="cpu")
    pipe.set_progress_bar_config(disable=True)
    unet, vocoder = pipe.unet.config, pipe.vocoder
    assert len(unet.block_out_channels) == 4 and unet.transformer_layers_per_block == depth
    assert {len(dims) for dims in unet.cross_attention_dim} == {attends_to}
    assert pipe.scheduler.config.prediction_type == "epsilon"
    assert pipe.feature_extractor.sampling_rate == 48_000 and math.prod(vocoder.config.upsample_rates) == 160
    with torch.no_grad():
        assert vocoder(torch.zeros(1, 1024, 64)).shape == (1, 163_872)  # for 1,024 frames of 160 samples
    call = {"num_inference_steps": 2, "audio_length_in_s": 1.28, "negative_prompt": "hiss"}
    audio = torch.as_tensor(pipe("rain", **call, generator=seeded()).audios)
    assert audio.shape == (1, 20_480) and audio.isfinite().all() and audio.std() > 0


def test_at_full_width_every_model_has_the_official_number_of_parameters():
    with torch.device("meta"):
        pipe = build_pipeline()
    found = {name: pipe.components[name].num_parameters() / 1e6 for name in PARAMETERS}
    assert found == pytest.approx(PARAMETERS, abs=0.06)
