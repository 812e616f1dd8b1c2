"""The arithmetic of the ear from outside, with made-up scores: its model is not part of the project."""

import numpy as np
import pytest

from pocket import ear
from pocket.evaluate import Evaluation, with_error
from pocket.sounds import KINDS


class Stub(ear.Ear):
    """Hears what the first samples of a clip say: class numbers, the strongest first."""

    def __init__(self):
        classes = {name for names in ear.CLASSES.values() for name in names}
        self.names = sorted(classes) + [f"other {i}" for i in range(521 - len(classes))]

    def scores(self, waveform):
        scores = np.zeros(521)
        for place, number in enumerate(waveform[:30]):
            scores[int(number)] = 1 - place / 100
        return scores

    def clip(self, *names):
        return np.array([self.names.index(name) for name in names])


OTHERS = [f"other {i}" for i in range(30)]


@pytest.mark.parametrize(
    ("heard", "kind", "expected"),
    [
        (["Ocean"], "waves", True),
        (["Rain", "Rain on surface", "Ocean"], "waves", True),  # the second kind
        (["Rain", "Wind", "Ocean"], "waves", False),  # the third
        (["Rain", "Wind", "Waves, surf", "Ocean"], "wind", True),
        ([*OTHERS[:9], "Ocean"], "waves", True),  # the tenth class
        ([*OTHERS[:10], "Ocean"], "waves", False),
        ([*OTHERS[:24], "Wind"], "wind", True),
        ([*OTHERS[:25], "Wind"], "wind", False),
    ],
)
def test_a_kind_is_heard_among_two_kinds_and_ten_classes(heard, kind, expected):
    stub = Stub()
    assert stub.hears(
        [stub.clip(*heard, *[name for name in OTHERS if name not in heard][: 30 - len(heard)])], kind
    ) == [expected]


def test_every_kind_has_classes():
    assert set(ear.CLASSES) == set(KINDS)


def test_the_error_of_a_share():
    assert with_error([True] * 20 + [False] * 20) == "50 ± 8 %"
    assert with_error([True] * 40) == "100 ± 0 %"


@pytest.fixture
def evaluation():
    """Without a checkpoint."""
    evaluation = Evaluation.__new__(Evaluation)
    evaluation.quick, evaluation.rows = True, []
    return evaluation


def test_without_the_ear_its_bars_are_not_met(evaluation):
    evaluation.ear(None)
    assert len(evaluation.rows) == 4
    assert all(row.figure == "not run" and row.met is False for row in evaluation.rows)


def test_the_rows_of_an_ear_that_hears_only_waves(evaluation, monkeypatch):
    stub = Stub()
    waves = np.concatenate([stub.clip("Ocean", *OTHERS[:29]), np.zeros(100)])
    monkeypatch.setattr(
        evaluation, "generate", lambda prompts, *_, **__: np.stack([waves] * len(prompts)), raising=False
    )
    monkeypatch.setattr(evaluation, "vocoded", lambda clips, vae: np.stack([waves] * len(clips)), raising=False)
    evaluation.ear(stub, {"waves": [waves, waves], "rain": [waves]})
    rows = {row.what: row for row in evaluation.rows}
    assert rows["ear: waves, 1 clips each"].met and rows["ear: rain, 1 clips each"].met is False
    assert rows["ear: recorded waves, 2 clips"].figure == "heard 2, by vocoder 2, by VAE and vocoder 2"
    assert rows["ear: heard in generated clips, mean of the kinds"].figure == "7 %"
    assert rows["ear: recordings that are heard, heard after VAE and vocoder"].met
    both = "ear: samba drums with waves: percussion among the first 10 and ocean among the first 40"
    assert rows[both].figure == "0 %" and rows[both].met is False
