import re

import ipywidgets
import numpy as np
import pytest
from widgets import find, sources

import helpers
from helpers.topics.listening import BlindTest

RATE = 16000
A, B = (0.5 * np.sin(2 * np.pi * pitch * np.arange(4000) / RATE, dtype=np.float32) for pitch in (440, 880))


def truth(test):
    """What X is, found as no listener would: by comparing the data of the players."""
    a, b, x = sources(test.players().data)
    assert x in (a, b) and a != b
    return "A" if x == a else "B"


def test_who_hears_everything_scores_everything():
    test = BlindTest(A, B, RATE, trials=5)
    assert all(test.answer(truth(test)) for _ in range(5))
    assert (test.hits, test.answered) == (5, 5)
    assert test.probability == pytest.approx(1 / 32)
    assert str(test) == (
        "5 of 5 right; by guessing, at least as many come out with a probability of 0.031: "
        "you most likely hear a difference"
    )


def test_wrong_answers_are_no_hits():
    test = BlindTest(A, B, RATE, trials=4)
    assert test.probability == 1 and str(test) == "0 of 0 right, 4 of 4 trials to go"
    for right in (True, False, False, False):
        choice = truth(test) if right else {"A": "B", "B": "A"}[truth(test)]
        assert test.answer(choice) is right
    assert test.hits == 1 and test.probability == pytest.approx(15 / 16)
    assert "no sign that you hear a difference" in str(test)
    assert len(sources(test.players().data)) == 2  # after the last trial there is no X


def test_x_is_drawn_anew_and_again_with_a_seed():
    def order(seed):
        test = BlindTest(A, B, RATE, trials=30, seed=seed)
        return [test.answer("A") for _ in range(30)]  # True where X is A

    assert order(1) == order(1) != order(2)
    assert 5 < sum(order(1)) < 25
    assert order(None) != order(None)


def test_the_page_does_not_say_what_x_is():
    tests = [BlindTest(A, B, RATE, seed=seed) for seed in range(4)]  # A and B, whatever the first X is
    assert {truth(test) for test in tests} == {"A", "B"}
    (page,) = {re.sub(r'src="[^"]+"', "", test.players().data) for test in tests}
    assert "autoplay" not in page


def test_a_clipped_clip_does_not_give_x_away():
    with pytest.warns(UserWarning, match="^B is clipped: its peak is 1.5"):
        test = BlindTest(A, 3 * B, RATE)
    assert "Warning" not in test.players().data


def test_a_silent_clip_is_warned_of():
    with pytest.warns(UserWarning, match="A is silent"):
        BlindTest(0 * A, B, RATE)


def test_the_widget_plays_asks_and_counts(shown):
    test = BlindTest(A, 0.1 * B, RATE, trials=3)
    test._ipython_display_()
    clips, x, score = find(shown[0], ipywidgets.HTML)
    buttons = {button.description[-1]: button for button in find(shown[0], ipywidgets.Button)}
    assert sources(clips.value) == sources(helpers.compare({"A": A, "B": 0.1 * B}, RATE).data)  # as loud as they are
    for answered in range(3):
        assert sources(clips.value) + sources(x.value) == sources(test.players().data)
        assert f"trial {answered + 1} of 3" in x.value
        buttons[truth(test)].click()
        assert f"{answered + 1} of {answered + 1} right" in score.value
    assert "probability of 0.12" in score.value
    assert x.value == "" and all(button.disabled for button in buttons.values())
