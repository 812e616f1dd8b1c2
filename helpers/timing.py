"""Measure how long something takes, with the first call apart and the spread stated."""

from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch.utils.benchmark import timer as clock  # in seconds; waits for the GPU before it reads the time


@dataclass
class Measurement:
    """What `measure` found.

    Attributes
    ----------
    first : float
        Seconds of the first call, which may include loading, compiling and filling caches.
    seconds : list of float
        Seconds of each further call.
    peak_memory : int or None
        Highest number of bytes in use on the GPU during those calls; None without CUDA, where torch does not record it.
    result : object
        What the last call returned.
    """

    first: float
    seconds: list[float]
    peak_memory: int | None = None
    result: Any = field(default=None, repr=False)

    @property
    def median(self):
        """Median of `seconds`."""
        return float(np.median(self.seconds))

    @property
    def spread(self):
        """Interquartile range of `seconds`: the middle half of the calls lies within it."""
        return interquartile_range(self.seconds)

    def __repr__(self):
        memory = "" if self.peak_memory is None else f"; peak GPU memory {self.peak_memory / 1e9:.2f} GB"
        return (
            f"{self.median:.3g} s, spread {self.spread:.2g} s over {len(self.seconds)} calls; "
            f"first call {self.first:.3g} s{memory}"
        )


@dataclass
class Comparison:
    """What `compare_times` found.

    Attributes
    ----------
    before, after : Measurement
    """

    before: Measurement
    after: Measurement

    @property
    def speedups(self):
        """How many times as fast `after` was, pair by pair."""
        return [b / a for b, a in zip(self.before.seconds, self.after.seconds, strict=True)]

    @property
    def speedup(self):
        """Median of `speedups`."""
        return float(np.median(self.speedups))

    @property
    def spread(self):
        """Interquartile range of `speedups`."""
        return interquartile_range(self.speedups)

    def __repr__(self):
        return (
            f"{self.speedup:.3g} times as fast, spread {self.spread:.2g} over {len(self.speedups)} pairs "
            f"({self.before.median:.3g} s before, {self.after.median:.3g} s after)"
        )


def measure(fn, repeats=5):
    """Call a function and measure how long it takes.

    Parameters
    ----------
    fn : callable
        Without arguments, such as `lambda: pipe(prompt)`. Let it make its own generator, so that all calls are alike.
    repeats : int
        Calls after the first.

    Returns
    -------
    Measurement

    Raises
    ------
    TypeError
        If `fn` cannot be called.
    ValueError
        If `repeats` is no positive whole number.
    """
    check_calls(repeats, fn)
    first, _, result = run(fn)
    seconds, peaks = [], []
    for _ in range(repeats):
        time, peak, result = run(fn)
        seconds.append(time)
        peaks.append(peak)
    return Measurement(first, seconds, _highest(peaks), result)


def compare_times(before, after, repeats=5):
    """Measure two functions in turns, so that a machine that slows down or warms up harms both alike.

    Parameters
    ----------
    before, after : callable
        As `fn` of `measure`.
    repeats : int
        Pairs of calls after the first calls; the order changes from pair to pair.

    Returns
    -------
    Comparison

    Raises
    ------
    TypeError, ValueError
        As in `measure`.
    """
    check_calls(repeats, before, after)
    functions = (before, after)
    firsts = [run(fn)[0] for fn in functions]
    seconds, peaks, results = ([], []), ([], []), [None, None]
    for i in turns(repeats):
        time, peak, results[i] = run(functions[i])
        seconds[i].append(time)
        peaks[i].append(peak)
    return Comparison(*(Measurement(firsts[i], seconds[i], _highest(peaks[i]), results[i]) for i in (0, 1)))


def turns(repeats):
    """In which order two functions, 0 and 1, are called: pair after pair, each pair the other way round."""
    return [i for pair in range(repeats) for i in ((0, 1) if pair % 2 == 0 else (1, 0))]


def run(fn):
    """Seconds, peak GPU memory in bytes (or None), and the result of one call."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    start = clock()
    result = fn()
    seconds = clock() - start
    return seconds, torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None, result


def _highest(peaks):
    # Zero bytes means that all of the work was done elsewhere than on the GPU.
    return max(peaks) or None if None not in peaks else None


def interquartile_range(values):
    """The middle half of the values lies within it."""
    return float(np.subtract(*np.percentile(values, [75, 25])))


def check_calls(repeats, *functions):
    """Raise unless there are functions to call, and a number of times."""
    if isinstance(repeats, bool) or not isinstance(repeats, Integral) or repeats < 1:
        raise ValueError(f"repeats is {repeats!r}, but must be a whole number of 1 or more.")
    for fn in functions:
        if not callable(fn):
            raise TypeError(
                f"Something to call is wanted, but this is a {type(fn).__name__}: put `lambda:` before it, "
                "as in measure(lambda: pipe(prompt))."
            )
