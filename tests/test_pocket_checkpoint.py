"""The embedded checkpoint as anybody would load it: plain diffusers, none of our code."""

from functools import partialmethod

import numpy as np
import pytest
import torch
from diffusers import AudioLDM2Pipeline

from pocket.architecture import CHECKPOINT
from pocket.evaluate import Evaluation, first_choice
from pocket.sounds import KINDS


@pytest.fixture(scope="module")
def plain():
    pipe = AudioLDM2Pipeline.from_pretrained(CHECKPOINT)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_it_is_small_and_holds_no_pickle():
    files = [path for path in CHECKPOINT.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 20e6
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".txt"}
    assert not [path for path in files if path.suffix == ".json" and str(CHECKPOINT) in path.read_text()]


def test_it_has_the_eleven_components_of_the_official_ones(plain):
    assert len(plain.components) == 11 and type(plain.vocoder).__name__ == "SpeechT5HifiGan"


@pytest.mark.parametrize(("seconds", "samples"), [(None, 81920), (1.28, 20480), (7.68, 122880)])
def test_any_length_sounds(plain, seconds, samples):
    generator = torch.Generator().manual_seed(0)
    audio = plain("Footsteps", audio_length_in_s=seconds, num_inference_steps=4, generator=generator).audios[0]
    assert audio.shape == (samples,) and np.isfinite(audio).all() and audio.std() > 1e-3


@pytest.fixture(scope="module")
def evaluation():
    """Of clips of half the usual length: enough to recognise them by."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Evaluation, "generate", partialmethod(Evaluation.generate, audio_length_in_s=2.56))
        evaluation = Evaluation(CHECKPOINT, quick=True)
        evaluation.recognition()
        evaluation.fewer_steps()
    return evaluation


def test_the_judge_recognises_the_sounds(evaluation):
    assert set(evaluation.by_kind) == set(KINDS)
    assert np.mean(list(evaluation.by_kind.values())) >= 0.8
    rows = {row.what: row for row in evaluation.rows}
    for what in ("samba drums with waves: both found", "DPM++ 20 against DDIM 200, same seed"):
        assert rows[what].met, rows[what]
    assert np.isfinite(evaluation.plain).all()


def test_noise_is_recognised_as_nothing(evaluation):
    rng = np.random.default_rng(0)
    noise = 0.1 * rng.standard_normal((len(evaluation.names), 81920)).astype(np.float32)
    assert first_choice(noise, evaluation.names).mean() < 0.3


def test_a_student_that_learned_nothing_falls_short(monkeypatch):
    monkeypatch.setattr(Evaluation, "generate", partialmethod(Evaluation.generate, audio_length_in_s=1.28))
    evaluation = Evaluation(CHECKPOINT, quick=True)
    evaluation.names = ["samba", "bells", "waves", "tone"]
    evaluation.student(CHECKPOINT / "unet")
    rows = evaluation.rows[-7:]
    assert [row.what for row in rows][-3:] == [f"student, steps: {n}" for n in (4, 2, 1)]
    assert all(row.met is None for row in rows[:4]) and rows[-1].met is False
