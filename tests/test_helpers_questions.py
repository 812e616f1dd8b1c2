import ipywidgets
import pytest
from widgets import find

import helpers


def test_a_guess_in_plain_code():
    assert str(helpers.Prediction("How fast?")) == "nothing yet"
    assert f"{helpers.Prediction('How fast?', value=2)}, {helpers.Prediction('How fast?', 1.5)}" == "2, 1.5"
    assert str(helpers.Prediction("How fast?", value=0)) == "0"
    assert str(helpers.Prediction("Which?", "vocoder", choices=["UNet", "vocoder"])) == "vocoder"


@pytest.mark.parametrize(
    ("typed", "value"),
    [("2", 2), ("1.5", 1.5), ("1,5", 1.5), (" 3 ", 3), ("1,000", 1000), ("1,234,567.5", 1234567.5), ("", None)]
    + [("0,125", 0.125), ("0,5", 0.5), ("12,500", 12500), ("0,125,000", 7)]
    + [("fast", 7), ("inf", 7), ("nan", 7)],
)
def test_a_number_typed_into_the_box(shown, typed, value):
    guess = helpers.Prediction("How fast?", value=7)
    guess._ipython_display_()
    (box,), (_, note) = find(shown[0], ipywidgets.Text), find(shown[0], ipywidgets.Label)
    assert box.value == "7"
    box.value = typed
    assert guess.value == value
    assert (f"'{typed}' is no number" in note.value) == (value == 7)


def test_a_word_chosen_in_the_box(shown):
    guess = helpers.Prediction("Which?", choices=["UNet", "vocoder"])
    guess._ipython_display_()
    (box,) = find(shown[0], ipywidgets.Dropdown)
    assert box.value is None
    box.value = "vocoder"
    assert str(guess) == "vocoder"
