import subprocess
import sys
import warnings

import hub
import numpy as np
import pytest
import torch
from diffusers import (
    AudioLDM2Pipeline,
    DDIMInverseScheduler,
    DDIMScheduler,
    DPMSolverMultistepInverseScheduler,
    FlowMatchEulerDiscreteScheduler,
)

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


@pytest.mark.parametrize("prompt", ["", "  \n", [], ["rain", " "]])
def test_a_prompt_that_says_nothing(refused, prompt):
    refused(ValueError, "prompt", repr(prompt), "rain on a tin roof", prompt=prompt)


@pytest.mark.parametrize("steps", [0, -1])
def test_steps_that_cannot_be_taken(refused, steps):
    refused(ValueError, "num_inference_steps", repr(steps), num_inference_steps=steps)


def test_a_negative_prompt_in_the_place_of_the_transcription(pocket):
    with pytest.raises(ValueError, match="did you mean negative_prompt='low quality'"):
        pocket("rain", "low quality")


def test_an_output_type_that_does_not_exist(refused):
    refused(ValueError, "output_type", "'wav'", "'latent'", output_type="wav")


def test_embeddings_that_hold_both_halves_already(pocket):
    embeds, mask, generated = pocket.encode_prompt("church bells", pocket.device, 1, True)
    given = {"prompt_embeds": embeds, "attention_mask": mask, "generated_prompt_embeds": generated}
    with pytest.raises(ValueError, match="both|unguided and the guided half"):
        pocket(**given, num_inference_steps=1)
    halves = {name: rows[1:] for name, rows in given.items()}
    halves |= {f"negative_{name}": rows[:1] for name, rows in given.items()}
    assert pocket(**halves, num_inference_steps=1, audio_length_in_s=0.4).audios.shape == (1, 6400)


@pytest.mark.parametrize("kind", [DPMSolverMultistepInverseScheduler, DDIMInverseScheduler])
def test_a_scheduler_from_sound_to_noise(pocket, kind):
    with pytest.raises(ValueError, match=f"{kind.__name__} goes from sound to noise"):
        pocket.scheduler = kind.from_config(pocket.scheduler.config)


@pytest.mark.parametrize("scheduler", [DDIMScheduler(), FlowMatchEulerDiscreteScheduler()])
def test_a_scheduler_for_other_noise(pocket, scheduler):
    with pytest.raises(ValueError, match=r"trained with .*from_config\(pipe.scheduler.config\)"):
        pocket.scheduler = scheduler


def test_a_used_generator_is_told_from_a_fresh_one(pocket, seeded):
    generator, call = seeded(3), CALL | {"num_inference_steps": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        pocket(**call, generator=generator)
        pocket(**call, generator=[seeded(3)])
    with pytest.warns(UserWarning, match=r"used before .*manual_seed\(3\)") as caught:
        pocket(**call, generator=generator)
    assert caught[0].filename == __file__


def test_two_calls_at_once(pocket):
    messages = []

    def meanwhile(*_):
        with pytest.raises(RuntimeError, match="is making another clip") as caught:
            pocket(**CALL)
        messages.append(str(caught.value))

    pocket(**CALL, callback=meanwhile)
    assert len(messages) == 2
    pocket(**CALL)  # and afterwards it is free again


def test_an_interrupted_call_leaves_the_pipeline_free(pocket, seeded):
    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pocket(**CALL, callback=interrupt)
    ours, plain = (
        kind.__call__(pocket, **CALL, generator=seeded()).audios for kind in (type(pocket), AudioLDM2Pipeline)
    )
    np.testing.assert_array_equal(ours, plain)


def test_the_first_call_shows_no_red_box(tmp_path):
    code = "import helpers; helpers.load_pipeline('pocket')('rain', num_inference_steps=1, audio_length_in_s=0.4)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=hub.ROOT)
    assert done.returncode == 0 and "Warning" not in done.stderr, done.stderr


@pytest.fixture
def on_a_gpu(monkeypatch):
    """A pipeline that believes to be on a GPU: accelerate's hooks are real, and only the device's name is changed."""
    pipe = helpers.load_pipeline("pocket", device="cpu")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_offload_is_that_of_diffusers_on_every_device(on_a_gpu):
    on_a_gpu.enable_model_cpu_offload()  # as a learner writes it: for "cuda", whether or not there is one
    assert on_a_gpu._execution_device == torch.device("cuda")
    on_a_gpu.remove_all_hooks()
    on_a_gpu.enable_model_cpu_offload(device="cpu")
    assert on_a_gpu(**CALL).audios.shape == (1, 6400)


def test_out_of_memory_names_the_next_smaller_setting(on_a_gpu, monkeypatch):
    def advice(**changes):
        with pytest.raises(torch.OutOfMemoryError) as caught:
            on_a_gpu(**CALL | changes)
        return caught.value.__notes__[0]

    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(on_a_gpu.unet, "forward", full)
    assert advice(num_waveforms_per_prompt=4) == "Try num_waveforms_per_prompt=2 in place of 4."
    assert advice() == "Try audio_length_in_s=0.2 in place of 0.4."
    monkeypatch.setattr(type(on_a_gpu), "_execution_device", torch.device("cuda"))
    monkeypatch.setattr(on_a_gpu, "encode_prompt", full)  # nothing can really be moved there
    assert "dtype=torch.float16" in advice()
    on_a_gpu.unet.to(torch.float16)
    assert advice() == "Try pipe.enable_model_cpu_offload()."
    on_a_gpu.enable_model_cpu_offload()
    assert advice() == "Try audio_length_in_s=0.2 in place of 0.4."


@pytest.mark.parametrize("scale", [1, 0.5, 0])
def test_a_negative_prompt_without_guidance(refused, scale):
    refused(ValueError, "guidance_scale", str(scale), "hiss", negative_prompt="hiss", guidance_scale=scale)


def test_a_good_call_gives_what_plain_diffusers_gives(pocket, seeded):
    call = CALL | {"prompt": ["rain"], "negative_prompt": ["hiss"], "num_waveforms_per_prompt": 2}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        ours = pocket(**call, generator=seeded()).audios
    np.testing.assert_array_equal(ours, AudioLDM2Pipeline.__call__(pocket, **call, generator=seeded()).audios)
    assert ours.shape == (2, 6400)


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
