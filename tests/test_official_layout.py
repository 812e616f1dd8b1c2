"""Checkpoints laid out as the official ones, of an eighth of the width: both sizes load and make a clip."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file

import helpers
from helpers.official import PARAMETERS, build_pipeline


def test_it_is_laid_out_as_the_official_ones(official_eighth):
    index = json.loads((official_eighth / "model_index.json").read_text())
    assert index["language_model"] == ["transformers", "GPT2Model"]
    assert index["tokenizer"] == ["transformers", "RobertaTokenizerFast"]
    assert index["tokenizer_2"] == ["transformers", "T5TokenizerFast"]
    gpt2 = official_eighth / "language_model"
    assert json.loads((gpt2 / "config.json").read_text())["architectures"] == ["GPT2Model"]
    assert not (gpt2 / "generation_config.json").exists()
    assert all(name.startswith(("wte.", "wpe.", "h.", "ln_f.")) for name in load_file(gpt2 / "model.safetensors"))


@pytest.mark.parametrize(("size", "depth", "attends_to"), [("base", 1, 3), ("large", 2, 4)])
def test_it_loads_and_makes_a_clip(size, depth, attends_to, request, seeded):
    folder = request.getfixturevalue("official_eighth" if size == "base" else "official_eighth_large")
    pipe = helpers.load_pipeline(folder, device="cpu")
    pipe.set_progress_bar_config(disable=True)
    unet, vocoder = pipe.unet.config, pipe.vocoder
    assert len(unet.block_out_channels) == 4
    assert unet.transformer_layers_per_block == depth and {len(dims) for dims in unet.cross_attention_dim} == {
        attends_to
    }
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
