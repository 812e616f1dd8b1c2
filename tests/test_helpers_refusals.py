"""Every wrong input is refused in one line, which says what is wrong and what to write."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import helpers
from helpers.topics.listening import BlindTest
from helpers.topics.panel import Panel

RATE = 16000
CLIP = 0.5 * np.sin(np.arange(4000), dtype=np.float32)
CHOICES = ["UNet", "vocoder"]


def play(audio=CLIP, rate=RATE):
    return lambda pipe: helpers.play(audio, rate, "tone")


def blind(*clips, **options):
    return BlindTest(*clips, RATE, **options)


def answered_twice(pipe):
    test = blind(CLIP, -CLIP, trials=1)
    test.answer("A")
    test.answer("A")


def nothing():
    return None


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        *[(play(audio), TypeError, r"audio is a .*, but must be .* such as pipe\(prompt\).audios\[0\]")
          for audio in ([0.1, 0.2], None, "clip.wav", np.zeros(4, np.int16), torch.zeros(4, dtype=int))],
        *[(play(np.zeros(shape, np.float32)), ValueError, rf"{re.escape(str(shape))}.*take one out")
          for shape in ((2, 8), (1, 1, 8), (0,), ())],
        *[(play(rate=rate), ValueError, f"sampling_rate is {rate!r}.*16000")
          for rate in (0, -1, 16000.0, "16000", None)],
        *[(lambda pipe, show=show, clips=clips: show(clips, RATE), TypeError, "must name clips")
          for show in (helpers.compare, helpers.plot_spectrograms) for clips in ({}, [CLIP], CLIP)],
        (lambda pipe: helpers.distance(CLIP[:100], CLIP[:99], RATE), ValueError, "100 and 99 samples: cut"),
        (lambda pipe: helpers.distance(CLIP, np.nan * CLIP, RATE), Exception, "not finite"),
        (lambda pipe: helpers.clap_scores(pipe, "a bird", []), ValueError, "clips is empty"),
        (lambda pipe: helpers.clap_scores(pipe, "a bird", [np.nan * CLIP]), Exception, "not finite"),
        (lambda pipe: helpers.clap_scores(pipe, ["rain", "bells"], [CLIP, CLIP]), TypeError, "must be one text"),
        (lambda pipe: helpers.table([]), ValueError, "rows is empty"),
        *[(lambda pipe, repeats=repeats: helpers.measure(nothing, repeats), ValueError, "but must be a whole number")
          for repeats in (0, -1, 2.0, "3", True)],
        (lambda pipe: helpers.measure(0.5), TypeError, r"float: put `lambda:` before it, as in measure\(lambda: pipe"),
        (lambda pipe: helpers.measure({"a": nothing, "b": (None, 0.5)}), TypeError, "float: put `lambda:`"),
        (lambda pipe: helpers.measure({"a": nothing}, then="b"), ValueError, "then is 'b', but must be one of 'a'"),
        (lambda pipe: helpers.report("SDPA", {"a": nothing, "b": nothing}), TypeError, "must return a clip"),
        *[(lambda pipe, value=value: helpers.Prediction("How fast?", value), ValueError, "a number, such as 1.5")
          for value in ("2", True, float("nan"), [2])],
        (lambda pipe: helpers.Prediction("Which?", 2, CHOICES), ValueError, "but must be one of 'UNet', 'vocoder'"),
        (lambda pipe: blind(CLIP, CLIP[:3000]), ValueError, "A has 4000 samples and B has 3000"),
        (lambda pipe: blind(CLIP, CLIP * np.nan), ValueError, "B holds NaN"),
        *[(lambda pipe, choice=choice: blind(CLIP, -CLIP).answer(choice), ValueError, 'must be "A" or "B"')
          for choice in ("X", "a", None)],
        (answered_twice, ValueError, "All 1 trials are answered"),
        (lambda pipe: Panel(pipe).make(scheduler="LCM"), ValueError, "'LCM', but must be one of 'DDIM'"),
        (lambda pipe: Panel(pipe).make(step=3), TypeError, "'step'"),
        (lambda pipe: helpers.Scoreboard().record(SimpleNamespace(change="sdpa")), ValueError, "'sdpa', but must"),
        *[(lambda pipe, dtype=dtype: helpers.load_pipeline("pocket", dtype, "cpu"), ValueError, f"{dtype!r}.*float16")
          for dtype in ("float16", torch.int8, 16)],
        (lambda pipe: helpers.load_pipeline("audioldm2"), ValueError, "'audioldm2', which is neither .*'pocket'"),
        (lambda pipe: helpers.official_unet(device="cpu", width=100), MemoryError, "needs .* GB .* smaller width"),
    ],
)  # fmt: skip
def test_it_is_refused_in_one_line(pocket, call, kind, words):
    with pytest.raises(kind, match=words) as caught:
        call(pocket)
    assert "\n" not in str(caught.value)
