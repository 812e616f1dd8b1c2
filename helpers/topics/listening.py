"""A blind listening test, which tells what is heard from what is expected."""

import html
import math
import random
import warnings

import ipywidgets as widgets
import numpy as np
from IPython.display import HTML, display

from helpers.audio import SILENCE, compare, play, to_samples

FULL_SCALE = 1 - 2**-15  # the loudest 16-bit sample


class BlindTest:
    """An ABX test: X is A or B, drawn anew in each trial, and the listener says which.

    As the last line of a cell it shows three players and two buttons. Plain code does the same with `players` and
    `answer`.

    Parameters
    ----------
    a, b : numpy.ndarray or torch.Tensor, shape (n,) or (1, n)
        Clips of the same length, with samples between -1 and 1. They are played as loud as they are; what lies beyond
        full scale is clipped, with a warning.
    sampling_rate : int
        In Hz, of both.
    trials : int
        Number of answers.
    seed : int, optional
        For the same draws again.

    Attributes
    ----------
    hits, answered : int
        Right answers, and all answers so far.

    Raises
    ------
    TypeError, ValueError
        As in `helpers.audio.to_samples`; also if the lengths differ or a clip holds NaN.
    """

    def __init__(self, a, b, sampling_rate, trials=8, seed=None):
        self._clips = {name: _playable(name, clip, sampling_rate) for name, clip in (("A", a), ("B", b))}
        lengths = [len(clip) for clip in self._clips.values()]
        if lengths[0] != lengths[1]:
            raise ValueError(
                f"A has {lengths[0]} samples and B has {lengths[1]}: give clips of the same length, "
                "otherwise the length tells them apart."
            )
        self.sampling_rate, self.trials, self.hits, self.answered = sampling_rate, trials, 0, 0
        draw = random.Random(seed)
        self._order = [draw.choice("AB") for _ in range(trials)]

    @property
    def probability(self):
        """Chance of at least so many hits by guessing: the binomial distribution at one half."""
        return sum(math.comb(self.answered, k) for k in range(self.hits, self.answered + 1)) / 2**self.answered

    def players(self):
        """Make the players of A, B and the present X (none after the last trial).

        Returns
        -------
        IPython.display.HTML
        """
        return HTML(compare(self._clips, self.sampling_rate).data + self._player_of_x())

    def answer(self, choice):
        """Say what the present X is, and draw the next.

        Parameters
        ----------
        choice : str
            "A" or "B".

        Returns
        -------
        bool
            Whether it is right.

        Raises
        ------
        ValueError
            If it is neither, or all trials are answered.
        """
        if choice not in ("A", "B"):
            raise ValueError(f'choice is {choice!r}, but must be "A" or "B".')
        if self.answered == self.trials:
            raise ValueError(f"All {self.trials} trials are answered: for another test, make a new BlindTest.")
        right = choice == self._order[self.answered]
        self.answered += 1
        self.hits += right
        return right

    def __str__(self):
        score = f"{self.hits} of {self.answered} right"
        if self.answered < self.trials:
            return f"{score}, {self.trials - self.answered} of {self.trials} trials to go"
        chance = f"{score}; by guessing, at least as many come out with a probability of {self.probability:.2g}"
        if self.probability < 0.05:
            return f"{chance}: you most likely hear a difference"
        return f"{chance}: no sign that you hear a difference (which does not prove that there is none)"

    __repr__ = __str__

    def _player_of_x(self):
        if self.answered == self.trials:
            return ""
        title = f"X, trial {self.answered + 1} of {self.trials}"
        return play(self._clips[self._order[self.answered]], self.sampling_rate, title).data

    def _ipython_display_(self):
        x, score = widgets.HTML(), widgets.HTML()
        buttons = [widgets.Button(description=f"X is {name}") for name in "AB"]

        def show():
            x.value, score.value = self._player_of_x(), f'<p aria-live="polite">{html.escape(str(self))}</p>'
            for button in buttons:
                button.disabled = self.answered == self.trials

        def click(button):
            self.answer(button.description[-1])
            show()

        for button in buttons:
            button.on_click(click)
        show()
        clips = widgets.HTML(compare(self._clips, self.sampling_rate).data)
        display(widgets.VBox([clips, x, widgets.HBox(buttons), score]))


def _playable(name, clip, sampling_rate):
    """A clip that gets no warning beside its player, which beside X would tell which one it is."""
    samples = to_samples(clip, sampling_rate)
    if not np.isfinite(samples).all():
        raise ValueError(f"{name} holds NaN or infinity, so it cannot be played. In half precision, try bfloat16.")
    peak = np.abs(samples).max()
    if peak < SILENCE:
        warnings.warn(f"{name} is silent: its peak is {peak:.1g} of full scale.", stacklevel=3)
    if peak >= 1:
        warnings.warn(f"{name} is clipped: its peak is {peak:.3g} of full scale.", stacklevel=3)
    return samples.clip(-FULL_SCALE, FULL_SCALE)
