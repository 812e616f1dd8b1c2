import warnings

import numpy as np
import pytest
import torch
from diffusers import AudioLDM2Pipeline

import helpers

CALL = dict(prompt="birds sing in the rain", num_inference_steps=2, audio_length_in_s=0.4)


@pytest.fixture
def refused(pocket, monkeypatch):
    """Calls with wrong arguments, and checks that one line says enough before any text is encoded."""
    monkeypatch.setattr(pocket, "encode_prompt", lambda *args, **kwargs: pytest.fail("heavy work began"))

    def refuse(kind, *words, **wrong):
        with pytest.raises(kind) as caught:
            pocket(**(CALL | wrong))
        message = str(caught.value)
        assert "\n" not in message
        assert all(word in message for word in words), message

    return refuse


@pytest.mark.parametrize("prompt", ["", "  \n", None, b"rain", [], ["rain", " "], ["rain", None], ("rain",), 3])
def test_a_prompt_that_says_nothing(refused, prompt):
    refused(ValueError, "prompt", repr(prompt), "rain on a tin roof", prompt=prompt)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), "5", True, [5]])
def test_a_length_that_is_no_number(refused, seconds):
    refused(ValueError, "audio_length_in_s", repr(seconds), "5.12 s", audio_length_in_s=seconds)


@pytest.mark.parametrize("seconds", [0, -1, 0.01])
def test_a_length_that_is_too_small(refused, seconds):
    refused(ValueError, "audio_length_in_s", str(seconds), "positive", audio_length_in_s=seconds)


@pytest.mark.parametrize("steps", [0, -1, 1.5, 100_000, "20", None, True])
def test_steps_that_cannot_be_taken(refused, steps):
    refused(ValueError, "num_inference_steps", repr(steps), "from 1 to 1000", num_inference_steps=steps)


@pytest.mark.parametrize("count", [0, -1, 1.5, None])
def test_a_number_of_candidates_that_is_none(refused, count):
    refused(ValueError, "num_waveforms_per_prompt", repr(count), num_waveforms_per_prompt=count)


@pytest.mark.parametrize("scale", [1, 0.5, 0])
def test_a_negative_prompt_without_guidance(refused, scale):
    refused(ValueError, "guidance_scale", str(scale), "hiss", negative_prompt="hiss", guidance_scale=scale)


@pytest.mark.parametrize("generator", [7, "cpu", [7], np.random.default_rng(0)])
def test_a_seed_for_a_generator(refused, generator):
    seed = "manual_seed(7)" if generator == 7 else "manual_seed(0)"
    refused(TypeError, "generator", "torch.Generator", seed, generator=generator)


def test_an_argument_that_does_not_exist(refused):
    refused(TypeError, "guidance", guidance=3)


def test_a_good_call_gives_what_plain_diffusers_gives(pocket, seeded):
    call = CALL | {"prompt": ["rain"], "negative_prompt": ["hiss"], "num_waveforms_per_prompt": 2}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        ours = pocket(**call, generator=seeded()).audios
    np.testing.assert_array_equal(ours, AudioLDM2Pipeline.__call__(pocket, **call, generator=seeded()).audios)
    assert ours.shape == (2, 6400)


def test_numbers_of_numpy_and_a_tuple_as_result_are_fine(pocket, seeded):
    call = {"num_inference_steps": np.int64(2), "audio_length_in_s": np.float32(0.4), "return_dict": False}
    (audio,) = pocket("rain", **call, generator=[seeded()])
    assert audio.shape == (1, 6400)


def test_embeddings_need_no_prompt(pocket):
    embeds, mask, generated = pocket.encode_prompt("rain", "cpu", 1, do_classifier_free_guidance=False)
    call = CALL | {"prompt": None, "guidance_scale": 1.0, "output_type": "latent"}
    audio = pocket(**call, prompt_embeds=embeds, attention_mask=mask, generated_prompt_embeds=generated).audios
    assert audio.isfinite().all()


def test_without_a_length_a_clip_has_the_natural_one(pocket):
    assert pocket.natural_length == pytest.approx(5.12)


def test_words_beyond_the_limit_are_named(pocket):
    kept, dropped = "birds sing in the rain " * 5, "and a samba band drums on the beach " * 20
    with pytest.warns(UserWarning, match="too long.*a samba band drums on the beach' is not used") as caught:
        pocket(**(CALL | {"prompt": kept + dropped, "num_inference_steps": 1}))
    message = str(next(w.message for w in caught if "too long" in str(w.message)))
    assert kept.strip() not in message
    assert {w.filename for w in caught if "too long" in str(w.message)} == {__file__}


def test_far_too_long_a_clip_is_warned_of(pocket, monkeypatch):
    monkeypatch.setattr(pocket, "encode_prompt", lambda *args, **kwargs: 1 / 0)  # no need to make the clip
    with pytest.raises(ZeroDivisionError), pytest.warns(UserWarning, match="60.*far above the 5.12 s") as caught:
        pocket("rain", audio_length_in_s=60)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(("dtype", "cause"), [(torch.float32, "no half precision"), (torch.bfloat16, "bfloat16: load")])
def test_nan_in_the_result_is_warned_of(dtype, cause, seeded):
    pipe = helpers.load_pipeline("pocket", dtype=dtype, device="cpu")
    pipe.set_progress_bar_config(disable=True)
    pipe.unet.conv_out.bias.data.fill_(torch.nan)
    with pytest.warns(UserWarning, match=f"1 of 1 clips hold NaN.*{cause}"):
        audio = pipe(**CALL).audios
    assert np.isnan(audio).all()
