"""What a lesson asks: a prediction before the measurement, and an answer to an exercise."""

import math
import re
from numbers import Real

import ipywidgets as widgets
from IPython.display import display


class Prediction:
    """A prediction that a notebook asks for with a box, and that plain code can set.

    Parameters
    ----------
    question : str
    value : float or str, optional
        The prediction; a number, or one of `choices`.
    choices : list of str, optional
        What to choose from, where no number is wanted.

    Attributes
    ----------
    value : float or str or None
        None while nothing has been predicted.

    Raises
    ------
    ValueError
        If `value` is neither a number nor one of `choices`.
    """

    def __init__(self, question, value=None, choices=None):
        self.question, self.choices = question, choices
        self.value = self._checked(value)

    def _checked(self, value):
        if value is None:
            return None
        if self.choices:
            if value not in self.choices:
                raise ValueError(f"value is {value!r}, but must be one of {', '.join(map(repr, self.choices))}.")
        elif isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            raise ValueError(f"value is {value!r}, but must be a number, such as 1.5.")
        return value

    def __str__(self):
        if self.value is None:
            return "nothing yet"
        return self.value if self.choices else f"{self.value:g}"

    def __repr__(self):
        return f"Prediction({self.question!r}, value={self.value!r})"

    def _ipython_display_(self):
        if self.choices:
            box = widgets.Dropdown(
                options=[("?", None), *((choice, choice) for choice in self.choices)], description="Prediction"
            )
            box.value = self.value
        else:
            text = "" if self.value is None else str(self)
            box = widgets.Text(text, placeholder="a number", description="Prediction")
        note = widgets.Label(f"Your prediction: {self}")

        def take(change):
            try:
                self.value = self._checked(change["new"] if self.choices else _number(change["new"]))
                note.value = f"Your prediction: {self}"
            except ValueError:
                note.value = f"{change['new']!r} is no number; try one such as 1.5. Your prediction: {self}"

        box.observe(take, names="value")
        display(widgets.VBox([widgets.Label(self.question), widgets.HBox([box, note])]))


def _number(text):
    """The number in a text; in half of the world a comma stands before the decimals, elsewhere between thousands."""
    if re.fullmatch(r"\s*[1-9]\d{0,2}(,\d{3})+(\.\d*)?\s*", text):
        text = text.replace(",", "")
    return float(text.replace(",", ".")) if text.strip() else None


def check(passed, hint):
    """Tell a learner whether an answer is right; a wrong one stops nothing.

    Parameters
    ----------
    passed : bool
        What the exercise asks for holds.
    hint : str
        Shown while it does not.
    """
    print("Right." if passed else f"Not yet. Hint: {hint}.")
