"""The log of which component is on the device when."""

import pytest
from accelerate import cpu_offload

from helpers.official import PARAMETERS
from helpers.topics import offload


def generate(pipe):
    pipe("rain", num_inference_steps=1, audio_length_in_s=0.64)


def test_without_offload_the_log_stays_empty(pocket):
    with offload.watch(pocket) as log:
        generate(pocket)
    assert log.moves == [] and log.worst() == {} and log.moved() == log.peak() == 0 and log.seconds > 0
    assert "At most 0.0 of" in log.plot().alt


def test_model_offload_brings_one_component_after_the_other(own_pocket):
    own_pocket.enable_model_cpu_offload(device="cpu")
    with offload.watch(own_pocket) as log:
        generate(own_pocket)
    order = list(dict.fromkeys(name for _, now in log.moves for name in now))
    assert order == list(log.sizes), "not in the order of their work"
    assert log.peak() == log.sizes["unet"] < sum(log.sizes.values())
    assert log.beside("unet") == set() and log.beside("language_model") >= {"text_encoder_2"}
    double = {name: 2 * size for name, size in log.sizes.items()}
    assert log.peak(double) == 2 * log.peak() and log.moved(double) == 2 * log.moved()
    big = log.sizes | {"text_encoder_2": 1e9}
    assert set(log.worst()) == {"unet"} and set(log.worst(big)) == {"text_encoder_2", "language_model"}
    assert "language_model and text_encoder_2 |" in log.table({"here": log.sizes, "another": big}).data
    assert "unet" in log.plot().alt
    with offload.watch(own_pocket) as log:
        generate(own_pocket)
        generate(own_pocket)
    assert log.beside("unet") == {"vocoder"}  # which stays for the second clip


def test_sequential_offload_moves_layers(own_pocket):
    for model in (own_pocket.unet, own_pocket.vocoder):
        cpu_offload(model, "cpu", offload_buffers=len(model._parameters) > 0)
    with offload.watch(own_pocket) as log:
        generate(own_pocket)
    assert 0 < log.peak() < log.sizes["unet"] / 2 and log.moved() >= log.sizes["unet"]
    assert log.moves[-1][1] == {}, "a layer stayed"


def test_the_sizes_of_official_checkpoints():
    base, large = offload.official_sizes(), offload.official_sizes("large")
    assert sum(base.values()) == pytest.approx(2e6 * sum(PARAMETERS.values()), rel=1e-3)
    assert {name for name in base if base[name] != large[name]} == {"unet"}
    assert large["unet"] / 2 == pytest.approx(718e6, rel=1e-2)  # the original says 750M
