"""The log of which component is on the device when."""

from accelerate import cpu_offload

from helpers import offload


def generate(pipe):
    pipe("rain", num_inference_steps=1, audio_length_in_s=0.64)


def test_without_offload_the_log_stays_empty(pocket):
    with offload.watch(pocket) as log:
        generate(pocket)
    assert log.moves == [] and log.moved == log.peak() == 0 and log.seconds > 0
    assert "At most 0.0 of" in log.plot().alt


def test_model_offload_brings_one_component_after_the_other(own_pocket):
    own_pocket.enable_model_cpu_offload(device="cpu")
    with offload.watch(own_pocket) as log:
        generate(own_pocket)
    order = list(dict.fromkeys(name for _, now in log.moves for name in now))
    assert order == list(log.sizes), "not in the order of their work"
    assert log.peak() == log.sizes["unet"] < sum(log.sizes.values())
    assert log.beside("unet") == set() and log.beside("language_model") >= {"text_encoder_2"}
    assert log.peak({name: 2 * size for name, size in log.sizes.items()}) == 2 * log.peak()
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
    assert 0 < log.peak() < log.sizes["unet"] / 2 and log.moved >= log.sizes["unet"]
    assert log.moves[-1][1] == {}, "a layer stayed"
