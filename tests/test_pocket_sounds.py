"""The synthesised sounds and their captions."""

import numpy as np
import pytest

from helpers.quality import log_mel, noise_floor
from pocket import captions, real_sounds
from pocket.sounds import BACKGROUNDS, CLIP_FRAMES, HOP, KINDS, QUALITIES, SAMPLE_RATE, Clip, random_clip, synthesise


def make(seed, *labels):
    return synthesise(np.random.default_rng(seed), Clip(*labels))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_sounds(kind):
    for seed, quality in enumerate(QUALITIES):
        sound = make(seed, kind, None, quality)
        assert sound.shape == (CLIP_FRAMES * HOP,) and sound.dtype == np.float32
        assert np.isfinite(sound).all() and 0.01 < sound.std() and np.abs(sound).max() <= 1


def test_the_same_seed_gives_the_same_clip_and_another_seed_another():
    assert np.array_equal(make(1, "samba", "waves", "low"), make(1, "samba", "waves", "low"))
    assert not np.array_equal(make(1, "samba", "waves", "low"), make(2, "samba", "waves", "low"))


def test_the_recordings_are_clips_of_known_kinds():
    for kind, clips in real_sounds.load().items():
        assert kind in KINDS and len(clips) >= 3 and clips.shape[1] == 4 * SAMPLE_RATE
        assert (clips.std(1) > 0.01).all() and np.abs(clips).max() < 1


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_a_background_fills_the_gaps(background):
    alone, both = (make(3, "clock", b, "high") for b in (None, background))
    assert log_mel(both, SAMPLE_RATE).mean() > log_mel(alone, SAMPLE_RATE).mean() + 3


def test_lower_quality_has_a_higher_noise_floor():
    floors = {q: np.mean([noise_floor(make(s, "clock", None, q), SAMPLE_RATE) for s in range(20)]) for q in QUALITIES}
    assert floors["high"] + 3 < floors["average"] < floors["low"]


def test_captions_name_what_is_there():
    rng = np.random.default_rng(0)
    for _ in range(200):
        clip = random_clip(rng)
        text = captions.caption(rng, clip).lower()
        for kind in clip.kinds:
            assert any(phrase.lower() in text for phrase in captions.PHRASES[kind])
        assert any(words in text for words in captions.QUALITY[clip.quality])


def test_held_out_wordings_never_occur_in_training():
    rng = np.random.default_rng(0)
    training = " | ".join(captions.training_caption(rng, random_clip(rng)) for _ in range(5000)).lower()
    for phrases in captions.HELD_OUT_PHRASES.values():
        for phrase in phrases:
            assert phrase.lower() not in training, phrase
