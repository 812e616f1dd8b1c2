"""The log of which component is on the device when."""

import pytest
from accelerate import cpu_offload

import helpers
from helpers import offload


@pytest.fixture
def pipe():
    pipe = helpers.load_pipeline("pocket", device="cpu")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def generate(pipe):
    pipe("rain", num_inference_steps=1, audio_length_in_s=0.64)


def test_without_offload_the_log_stays_empty(pipe):
    with offload.watch(pipe) as log:
        generate(pipe)
    assert log.moves == [] and log.moved == log.peak() == 0 and log.seconds > 0
    assert "At most 0.0 of" in log.plot().alt


def test_model_offload_brings_one_component_after_the_other(pipe):
    pipe.enable_model_cpu_offload(device="cpu")
    with offload.watch(pipe) as log:
        generate(pipe)
    order = list(dict.fromkeys(name for _, now in log.moves for name in now))
    assert order == list(log.sizes), "not in the order of their work"
    assert log.peak() == log.sizes["unet"] < sum(log.sizes.values())
    assert log.beside("unet") == set() and log.beside("language_model") >= {"text_encoder_2"}
    assert log.peak({name: 2 * size for name, size in log.sizes.items()}) == 2 * log.peak()
    assert "unet" in log.plot().alt


def test_the_vocoder_stays_for_the_second_clip(pipe):
    pipe.enable_model_cpu_offload(device="cpu")
    with offload.watch(pipe) as log:
        generate(pipe)
        generate(pipe)
    assert log.beside("unet") == {"vocoder"}


def test_sequential_offload_moves_layers(pipe):
    for model in (pipe.unet, pipe.vocoder):
        cpu_offload(model, "cpu", offload_buffers=len(model._parameters) > 0)
    with offload.watch(pipe) as log:
        generate(pipe)
    assert 0 < log.peak() < log.sizes["unet"] / 2 and log.moved >= log.sizes["unet"]
    assert log.moves[-1][1] == {}, "a layer stayed"
