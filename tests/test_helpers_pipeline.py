import warnings

import diffusers
import numpy as np
import pytest
import torch

CALL = dict(prompt="birds sing in the rain", num_inference_steps=2, audio_length_in_s=0.4)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"prompt": ""}, "prompt is '', but must say something, such as 'rain on a tin roof'"),
        ({"prompt": "  \n"}, r"prompt is '  \n', but must say something"),
        ({"prompt": []}, "prompt is []"),
        ({"prompt": ["rain", " "]}, "prompt is ['rain', ' ']"),
        ({"num_inference_steps": 0}, "num_inference_steps is 0"),
        ({"num_inference_steps": -1}, "num_inference_steps is -1"),
        ({"transcription": "low quality"}, "did you mean negative_prompt='low quality'"),
        ({"negative_prompt": "hiss", "guidance_scale": 1}, "guidance_scale is 1, and at 1 or below negative_prompt"),
        ({"negative_prompt": "hiss", "guidance_scale": 0}, "guidance_scale is 0"),
        ({"output_type": "wav"}, "output_type is 'wav', but must be 'np', 'pt' or 'latent'"),
    ],
    ids=str,
)
def test_a_wrong_argument_is_refused_in_one_line_before_any_text_is_encoded(pocket, monkeypatch, wrong, words):
    monkeypatch.setattr(pocket, "encode_prompt", lambda *args, **kwargs: pytest.fail("heavy work began"))
    with pytest.raises(ValueError) as caught:
        pocket(**(CALL | wrong))
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_scheduler_for_other_noise(pocket):
    for kind in (diffusers.DDIMScheduler, diffusers.FlowMatchEulerDiscreteScheduler):
        with pytest.raises(ValueError, match=r"trained with .*from_config\(pipe.scheduler.config\)"):
            pocket.scheduler = kind()


def test_a_used_generator_is_told_from_a_fresh_one(pocket, seeded):
    generator, call = seeded(3), CALL | {"num_inference_steps": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        pocket(**call, generator=generator)
        pocket(**call, generator=[seeded(3)])
    with pytest.warns(UserWarning, match=r"used before .*manual_seed\(3\)") as caught:
        pocket(**call, generator=generator)
    assert caught[0].filename == __file__


def test_an_interrupted_call_leaves_the_pipeline_free(pocket, seeded):
    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pocket(**CALL, callback=interrupt)
    ours, plain = (
        kind.__call__(pocket, **CALL, generator=seeded()).audios for kind in (type(pocket), diffusers.AudioLDM2Pipeline)
    )
    np.testing.assert_array_equal(ours, plain)


def test_out_of_memory_names_the_next_smaller_setting(own_pocket, monkeypatch):
    def advice(**changes):
        with pytest.raises(torch.OutOfMemoryError) as caught:
            own_pocket(**CALL | changes)
        return caught.value.__notes__[0]

    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(own_pocket.unet, "forward", full)
    assert advice(num_waveforms_per_prompt=4) == "Try num_waveforms_per_prompt=2 in place of 4."
    assert advice() == "Try audio_length_in_s=0.2 in place of 0.4."
    # A pipeline that believes to be on a GPU: accelerate's hooks are real, and only the device's name is changed.
    monkeypatch.setattr(type(own_pocket), "_execution_device", torch.device("cuda"))
    monkeypatch.setattr(own_pocket, "encode_prompt", full)  # nothing can really be moved there
    assert "dtype=torch.float16" in advice()
    own_pocket.unet.to(torch.float16)
    assert advice() == "Try pipe.enable_model_cpu_offload()."
    own_pocket.enable_model_cpu_offload()
    assert advice() == "Try audio_length_in_s=0.2 in place of 0.4."


def test_a_good_call_gives_what_plain_diffusers_gives(pocket, seeded):
    call = CALL | {"prompt": ["rain"], "negative_prompt": ["hiss"], "num_waveforms_per_prompt": 2}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        ours = pocket(**call, generator=seeded()).audios
    np.testing.assert_array_equal(ours, diffusers.AudioLDM2Pipeline.__call__(pocket, **call, generator=seeded()).audios)
    assert ours.shape == (2, 6400)


def test_far_too_long_a_clip_is_warned_of(pocket, monkeypatch):
    monkeypatch.setattr(pocket, "encode_prompt", lambda *args, **kwargs: 1 / 0)  # no need to make the clip
    with pytest.raises(ZeroDivisionError), pytest.warns(UserWarning, match="60.*far above the 5.12 s") as caught:
        pocket("rain", audio_length_in_s=60)
    assert caught[0].filename == __file__


def test_words_beyond_the_limit_are_named(pocket):
    kept, dropped = "birds sing in the rain " * 5, "and a samba band drums on the beach " * 20
    with pytest.warns(UserWarning, match="too long.*a samba band drums on the beach' is not used") as caught:
        pocket(**(CALL | {"prompt": kept + dropped, "num_inference_steps": 1}))
    (warned,) = [one for one in caught if "too long" in str(one.message)]
    assert kept.strip() not in str(warned.message) and warned.filename == __file__
