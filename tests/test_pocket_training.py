"""Every stage of training, for a few steps, on a few clips."""

import numpy as np
import pytest
import soundfile
import torch
from diffusers import AudioLDM2UNet2DConditionModel
from safetensors.torch import load_file

from pocket import (
    architecture,
    dataset,
    judge,
    sounds,
    sources,
    stage,
    train_clap,
    train_diffusion,
    train_student,
    train_vae,
    train_vocoder,
    train_vocoder_adversarial,
)
from pocket.sounds import SAMPLE_RATE


@pytest.fixture(scope="module", autouse=True)
def small(tmp_path_factory):
    """Point every stage to an empty folder, and give it twelve clips."""
    folder = tmp_path_factory.mktemp("training")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "CACHE", folder / "cache")
        patch.setattr(stage, "CACHE", folder / "cache")
        patch.setattr(architecture, "CHECKPOINT", folder / "checkpoint")
        patch.setattr(judge, "WEIGHTS", folder / "judge.safetensors")
        for module in (judge, train_clap, train_diffusion, train_vae, train_vocoder, train_vocoder_adversarial):
            patch.setattr(module, "CLIPS", 12)
            patch.setattr(module, "BATCH", 2)
        patch.setattr(train_vocoder, "DECODED", 4)
        patch.setattr(train_student, "STUDENT", folder / "student")
        for name, value in {"PATHS": 2, "BATCH": 2, "STEPS": 4, "LEARNED": 2}.items():
            patch.setattr(train_student, name, value)
        patch.setattr(train_clap, "RECONSTRUCTED", 4)
        patch.setattr(train_vocoder_adversarial, "GENERATED", 4)
        yield folder


def weights(folder, part):
    return load_file(next((folder / "checkpoint" / part).glob("*.safetensors")))


STAGES = {
    "vae": (lambda: train_vae.train("autoencoder", 2), "vae"),
    "texture": (lambda: train_vae.train("texture", 2), "vae"),
    "clap": (lambda: train_clap.train(2, audio_only=False), "text_encoder"),
    "diffusion": (lambda: train_diffusion.train(2), "unet"),
    "vocoder": (lambda: train_vocoder.train("real", 2), "vocoder"),
    "vocoder after the VAE": (lambda: train_vocoder.train("after-vae", 2), "vocoder"),
    "vocoder, chirps": (lambda: train_vocoder.train("chirps", 2), "vocoder"),
    "vocoder, adversarial": (lambda: train_vocoder_adversarial.train(2), "vocoder"),
    "clap, audio only": (lambda: train_clap.train(2, audio_only=True), "text_encoder"),
}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_changes_its_part_of_the_checkpoint_and_no_other(small, name):
    architecture.load_or_build()
    run, part = STAGES[name]
    parts = ("vae", "text_encoder", "text_encoder_2", "unet", "vocoder")
    before = {p: weights(small, p) for p in parts}
    run()
    changed = {p for p in parts if any(not torch.equal(w, before[p][key]) for key, w in weights(small, p).items())}
    assert changed == ({"unet", "text_encoder_2"} if part == "unet" else {part})


def test_the_student_learns_where_its_teachers_paths_end(small):
    train_student.train(40)
    pipe = architecture.load_or_build()
    noisy, end, texts = train_student.path(pipe, 0)  # read, as the file is there
    pipe.scheduler.set_timesteps(4)
    student = AudioLDM2UNet2DConditionModel.from_pretrained(train_student.STUDENT)
    t, errors = pipe.scheduler.timesteps[0], []
    for unet in (pipe.unet, student):
        with torch.no_grad():
            said = unet(noisy[:, 0].float(), t, **texts).sample
        errors.append((pipe.scheduler.step(said, t, noisy[:, 0].float()).pred_original_sample - end).std().item())
    assert errors[1] < 0.9 * errors[0]
    (file,) = train_student.STUDENT.glob("*.safetensors")
    assert {w.dtype for w in load_file(file).values()} == {torch.float16}


def test_the_judge_is_trained_and_heard(small):
    judge.train(2)
    judge.load_judge.cache_clear()
    waveforms, _, _ = dataset.load(dataset.TRAINING, 12)
    kinds, qualities = judge.listen(waveforms[:3] / 32767)
    judge.load_judge.cache_clear()
    assert kinds.shape == (3, 14) and qualities.shape == (3, 3)


@pytest.fixture
def recordings(tmp_path):
    """Noise in files named as the recordings are."""
    rng = np.random.default_rng(0)
    for name, seconds in (("rain", 100), ("footstep-sand-1", 0.5), ("footstep-sand-4", 0.3), ("frogs-1", 0.4)):
        with soundfile.SoundFile(tmp_path / f"{name}.ogg", "w", 8000, 1) as file:
            for _ in range(round(10 * seconds)):  # libsndfile does not survive a hundred seconds at once
                file.write(0.1 * rng.standard_normal(800))
    return tmp_path


def test_recordings_for_training_and_for_tests_are_others(recordings):
    train, test = (
        {(name, kind): sound for name, kind, sound in sources.load(recordings, p)} for p in ("train", "test")
    )
    assert set(train) == {("rain", "rain"), ("footstep-sand", "footsteps")}
    assert set(test) == {("rain", "rain"), ("footstep-sand", "footsteps"), ("frogs", "frogs")}
    seconds = {len(part["footstep-sand", "footsteps"]) / SAMPLE_RATE for part in (train, test)}
    assert seconds == {0.5, 0.3}
    assert len(train["rain", "rain"]) == 88 * SAMPLE_RATE and len(test["rain", "rain"]) < 6 * SAMPLE_RATE
    clips = sources.tests(recordings)
    assert {kind: len(some) for kind, some in clips.items()} == {"rain": 1, "footsteps": 1, "frogs": 1}
    assert {len(clip) for some in clips.values() for clip in some} == {sources.CLIP}


def test_clips_are_drawn_from_recordings(recordings):
    found = sources.load(recordings, "train")
    for kind in ("rain", "footsteps"):
        one, other = (sources.recorded(np.random.default_rng(seed), found, kind, sources.CLIP) for seed in (1, 2))
        assert one.shape == (sources.CLIP,) and np.isfinite(one).all() and not np.array_equal(one, other)
        assert 0.005 < one.std() <= 0.13 and np.abs(one).max() <= 0.65
    with pytest.raises(FileNotFoundError, match="model card"):
        sources.load(recordings / "nowhere", "train")


def test_half_of_what_was_recorded_is_heard_in_training_clips(recordings):
    play = sources.player(recordings)

    def dull(seed):  # these recordings end at 4 kHz, the program's rain at 7
        spectrum = np.abs(np.fft.rfft(play(np.random.default_rng(seed), "rain", SAMPLE_RATE)))
        return spectrum[5000:].mean() < 0.05 * spectrum[:4000].mean()

    assert 5 <= sum(dull(seed) for seed in range(20)) <= 15
    bells = [source(np.random.default_rng(0), "bells", sources.CLIP) for source in (play, sounds.play)]
    assert np.array_equal(*bells)


def test_clips_with_recordings_are_kept_beside_those_without(recordings):
    own, _, clips = dataset.load(dataset.TRAINING, 12)
    mixed, _, same = dataset.load(dataset.TRAINING, 12, str(recordings))
    assert clips == same
    assert not np.array_equal(own, mixed) and np.array_equal(own, dataset.load(dataset.TRAINING, 12)[0])


def test_a_stopped_stage_goes_on_where_it_was():
    def train(stop_at=None, name="resumed"):
        model = torch.nn.Linear(1, 1)
        torch.nn.init.ones_(model.weight)

        def step(i):
            if i == stop_at:
                raise KeyboardInterrupt
            model.weight.data = 2 * model.weight.data + i  # which depends on all steps before
            return {"loss": 0.0}

        stage.run(name, 8, step, {"model": model}, save_every=2)
        return model.weight

    with pytest.raises(KeyboardInterrupt):
        train(stop_at=5)
    assert torch.equal(train(), train(name="in one go"))


def test_what_is_saved_in_half_precision_loads_as_float32(small):
    pipe = architecture.load_or_build()
    assert {module.dtype for module in (pipe.unet, pipe.vae, pipe.vocoder, pipe.language_model)} == {torch.float32}
    assert {w.dtype for w in weights(small, "unet").values()} == {torch.float16}
