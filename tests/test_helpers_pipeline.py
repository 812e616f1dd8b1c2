import re
import warnings

import diffusers
import numpy as np
import pytest
import torch

CALL = dict(prompt="birds singing in the rain", num_inference_steps=2, audio_length_in_s=0.4)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"prompt": ""}, "prompt is '', but must say something, such as 'rain on a tin roof'"),
        ({"prompt": "  \n"}, r"prompt is '  \n', but must say something"),
        ({"prompt": []}, "prompt is []"),
        ({"prompt": ["rain", " "]}, "prompt is ['rain', ' ']"),
        *[
            ({name: value}, f"{name} is {value!r}, but must be a whole number of 1 or more")
            for name in ("num_inference_steps", "num_waveforms_per_prompt", "max_new_tokens")
            for value in (0, -1, 1.5, "3")
        ],
        ({"cross_attention_kwargs": {"scale": 0.5}}, "cross_attention_kwargs has no effect"),
        *[
            ({"generator": generator}, "manual_seed(0), with your seed")
            for generator in (3, [3], (torch.Generator(),), np.random.default_rng(3))
        ],
        *[({"eta": eta}, f"eta is {eta}, but must be 0, or with DDIMScheduler up to 1") for eta in (3, -1)],
        ({"transcription": "low quality"}, "did you mean negative_prompt='low quality'"),
        ({"negative_prompt": "hiss", "guidance_scale": 1}, "guidance_scale is 1, and at 1 or below negative_prompt"),
        ({"negative_prompt": "hiss", "guidance_scale": 0}, "guidance_scale is 0"),
        ({"output_type": "wav"}, "output_type is 'wav', but must be 'np', 'pt' or 'latent'"),
    ],
    ids=lambda value: re.sub(" at 0x[0-9A-Fa-f]+", "", str(value)),  # the same in every process
)
def test_a_wrong_argument_is_refused_in_one_line_before_any_text_is_encoded(pocket, monkeypatch, wrong, words):
    monkeypatch.setattr(pocket, "encode_prompt", lambda *args, **kwargs: pytest.fail("heavy work began"))
    with pytest.raises((ValueError, TypeError)) as caught:
        pocket(**(CALL | wrong))
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda config: diffusers.DDIMScheduler(), "has beta_schedule 'linear'"),
        (lambda config: diffusers.FlowMatchEulerDiscreteScheduler.from_config(config), "is FlowMatchEulerDiscrete"),
        (lambda config: diffusers.EDMEulerScheduler.from_config(config), "is EDMEulerScheduler"),
        (lambda config: diffusers.IPNDMScheduler.from_config(config), "is IPNDMScheduler"),
        (lambda config: diffusers.DDIMInverseScheduler.from_config(config), "is DDIMInverseScheduler"),
        (
            lambda config: diffusers.DPMSolverMultistepInverseScheduler.from_config(config),
            "is DPMSolverMultistepInverse",
        ),
        (lambda config: diffusers.DPMSolverMultistepScheduler, "is DPMSolverMultistepScheduler"),
        *[
            (lambda config, kind=kind, flag=flag: kind.from_config(config, **{flag: True}), f"has {flag} True")
            for kind, flag in (
                (diffusers.DPMSolverMultistepScheduler, "use_flow_sigmas"),
                (diffusers.UniPCMultistepScheduler, "use_flow_sigmas"),
                (diffusers.DPMSolverMultistepScheduler, "thresholding"),
                (diffusers.DDIMScheduler, "clip_sample"),
                (diffusers.DDIMScheduler, "rescale_betas_zero_snr"),
            )
        ],
    ],
)
def test_a_scheduler_for_other_noise(pocket, make, words):
    before = pocket.scheduler
    with pytest.raises(ValueError, match=rf"{words}.* trained with.*from_config\(pipe.scheduler.config\)") as caught:
        pocket.scheduler = make(before.config)
    assert pocket.scheduler is before and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["DDIM", "DPMSolverMultistep", "UniPCMultistep", "EulerDiscrete", "LCM", "TCD", "PNDM"]
)
def test_a_scheduler_for_this_noise(own_pocket, name):
    kind = getattr(diffusers, f"{name}Scheduler")
    own_pocket.scheduler = kind.from_config(own_pocket.scheduler.config, timestep_spacing="trailing")
    assert type(own_pocket.scheduler) is kind


def test_eta_is_taken_where_it_counts_and_refused_where_it_would_be_ignored(own_pocket):
    own_pocket(**CALL, eta=1.0)
    own_pocket.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(own_pocket.scheduler.config)
    with pytest.raises(ValueError, match="eta is 1.0, but must be 0"):
        own_pocket(**CALL, eta=1.0)


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


@pytest.mark.parametrize(
    ("error", "advised"),
    [
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"),
            True,
        ),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 99 bytes."), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 0 bytes)"), True),
        (RuntimeError("Invalid buffer size: 12.00 GiB"), True),
        (MemoryError(), True),
        (RuntimeError("could not create a primitive descriptor"), False),
    ],
    ids=str,
)
def test_every_allocator_is_understood(own_pocket, monkeypatch, error, advised):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(own_pocket.unet, "forward", fail)
    with pytest.raises(type(error)) as caught:
        own_pocket(**CALL)
    assert getattr(caught.value, "__notes__", []) == ["Try audio_length_in_s=0.2 in place of 0.4."] * advised


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
    call = CALL | {"prompt": ["rain"], "negative_prompt": ["noisy"], "num_waveforms_per_prompt": 2}
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
    kept, dropped = "birds singing in the rain " * 5, "and a samba band drums on the beach " * 20
    with pytest.warns(UserWarning, match="too long.*a samba band drums on the beach' is not used") as caught:
        pocket(**(CALL | {"prompt": kept + dropped, "num_inference_steps": 1}))
    (warned,) = [one for one in caught if "too long" in str(one.message)]
    assert kept.strip() not in str(warned.message) and warned.filename == __file__


def unknown(pipe, prompt):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(ZeroDivisionError):
            pipe(prompt)
    return [str(one.message) for one in caught if "does not know" in str(one.message) and one.filename == __file__]


def test_words_that_the_vocabulary_lacks_are_named_with_those_that_it_has(pocket, monkeypatch):
    monkeypatch.setattr(pocket, "encode_prompt", lambda *args, **kwargs: 1 / 0)  # no need to make the clip
    (said,) = unknown(pocket, ["A helicopter, RAIN", "雨の音 – größer 🌧"])
    assert said.startswith("This checkpoint does not know 'helicopter', 'RAIN', '雨の音', 'größer', '🌧', and may")
    assert all(f"{word}, " in said for word in ("bells", "rain", "techno")) and "\n" not in said
    good = "The sound of Brazilian samba drums with waves gently crashing in the background; a two-tone siren (old)!"
    assert not unknown(pocket, [good, "Low quality, average quality.", "Techno music – a “strong” kick drum"])
