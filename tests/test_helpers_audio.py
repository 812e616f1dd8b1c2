import base64
import io
import re

import numpy as np
import pytest
import soundfile
import torch

import helpers
from helpers.audio import to_samples
from pocket.sounds import Clip, synthesise

RATE = 16_000
TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(5 * RATE) / RATE).astype(np.float32)


def heard(page):
    """The clips that a browser would play, decoded."""
    sources = re.findall(r'src="data:audio/flac;base64,([^"]+)"', page.data)
    return [soundfile.read(io.BytesIO(base64.b64decode(source))) for source in sources]


@pytest.mark.parametrize("kind", [np.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(-1,), (1, -1)])
def test_arrays_and_tensors_are_played_alike(kind, shape):
    clip = torch.tensor(TONE).to(kind) if isinstance(kind, torch.dtype) else TONE.astype(kind)
    samples = to_samples(clip.reshape(shape), RATE)
    assert samples.shape == TONE.shape and samples.dtype == np.float32
    np.testing.assert_allclose(samples, TONE, atol=2e-3)


@pytest.mark.parametrize("kinds", [("clock", "rain"), ("clock", "waves"), ("samba", None)])
def test_a_player_holds_the_clip_and_the_page_stays_small(kinds):
    sound = synthesise(np.random.default_rng(0), Clip(*kinds, "high"))
    page = helpers.play(0.1 * sound, RATE, kinds[0])
    [(samples, rate)] = heard(page)
    assert rate == RATE and helpers.distance(0.1 * sound, samples, RATE) < 0.05  # dB: neither normalised nor lossy
    assert len(page.data) < 250_000


def test_a_player_is_accessible_and_harmless():
    page = helpers.play(TONE, RATE, 'a "loud" <script>').data
    assert 'aria-label="a &quot;loud&quot; &lt;script&gt;"' in page
    assert "<figcaption>a &quot;loud&quot; &lt;script&gt;</figcaption>" in page
    assert " controls " in page and "autoplay" not in page and "<script" not in page
    assert "Warning" not in page


@pytest.mark.parametrize(
    ("audio", "words", "players"),
    [
        (0 * TONE, "silent", 1),
        (1e-4 * TONE, "silent", 1),
        (np.clip(3 * TONE, -1, 1), "clipped: .* samples reach full scale", 1),
        (1e20 * TONE, "clipped", 1),
        (np.where(np.arange(len(TONE)) < 8000, np.nan, TONE), "10% of the clip is NaN", 0),
        (np.full(100, np.inf), "100% of the clip is NaN or infinite", 0),
    ],
)
def test_what_cannot_be_heard_as_it_is_is_said(audio, words, players):
    page = helpers.play(audio, RATE, "tone")
    assert re.search(f'role="alert">.*Warning.*{words}', page.data)
    assert len(heard(page)) == players


def test_clips_are_compared_at_one_gain():
    page = helpers.compare({"loud": TONE, "soft": 0.1 * TONE, "broken": np.nan * TONE}, RATE)
    loud, soft = (samples for samples, _ in heard(page))
    assert np.abs(loud).max() / np.abs(soft).max() == pytest.approx(10, rel=0.05)
    assert "same gain" in page.data
    assert re.findall("<figcaption>(.*?)<", page.data) == ["loud", "soft", "broken"]
