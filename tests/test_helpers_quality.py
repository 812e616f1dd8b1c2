import copy

import librosa
import numpy as np
import pytest
import torch

import helpers
from helpers.quality import FLOOR, log_mel

RATE = 16_000
TIME = np.arange(2 * RATE) / RATE


def noise(seed, level=0.1):
    return np.random.default_rng(seed).normal(0, level, len(TIME)).astype(np.float32)


def test_full_scale_is_zero_decibels():
    for band in range(64):  # up to 0.9 dB less in narrow bands, as its description says
        sine = np.sin(2 * np.pi * librosa.mel_frequencies(64 + 2, fmax=RATE / 2)[band + 1] * TIME)
        levels = log_mel(sine, RATE)
        assert levels.shape == (64, 1 + len(TIME) // 256)
        assert -0.95 < levels[band, 10:-10].mean() < 0.05
    assert log_mel(0.01 * sine, RATE)[63, 10:-10] == pytest.approx(-40, abs=0.5)
    assert (log_mel(0 * sine, RATE) == FLOOR).all()


def test_distance_is_in_decibels():
    clip = noise(0)
    assert helpers.distance(clip, clip, RATE) == 0
    assert helpers.distance(clip, 0.5 * clip, RATE) == pytest.approx(6.02, abs=0.01)
    assert helpers.distance(clip, torch.tensor(-clip)[None], RATE) == pytest.approx(0, abs=1e-4)  # phase is not heard


def test_hiss_raises_the_noise_floor():
    beeps = np.sin(2 * np.pi * 1000 * TIME) * (TIME % 0.5 < 0.1)
    assert helpers.noise_floor(beeps, RATE) < FLOOR
    assert helpers.noise_floor(beeps + noise(0, 0.01), RATE) > FLOOR + 15


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_clap_scores_are_those_that_the_pipeline_ranks_by(pocket, dtype, monkeypatch):
    clips = [noise(0), np.sin(2 * np.pi * 500 * TIME).astype(np.float32), 0.01 * noise(1)]
    # A copy: weights that were in bfloat16 once stay rounded.
    monkeypatch.setattr(pocket, "text_encoder", copy.deepcopy(pocket.text_encoder).to(dtype))
    scores = helpers.clap_scores(pocket, "a bird", clips)
    ranked = pocket.score_waveforms(["a bird"], torch.tensor(np.stack(clips)), len(clips), "cpu", dtype)
    assert scores.shape == (3,) and (np.abs(scores) <= 1).all()
    if dtype == torch.float32:
        np.testing.assert_array_equal(ranked, np.stack(clips)[scores.argsort()[::-1]])


def test_a_score_does_not_change_from_call_to_call(pocket):
    long = np.tile(np.concatenate([noise(0), np.sin(2 * np.pi * 500 * TIME)]), 4)  # the encoder takes 6 s of it
    first, *others = (helpers.clap_scores(pocket, "a bird", [long])[0] for _ in range(3))
    assert others == [first, first]
