"""Measure how long something takes, with the first call apart and the range stated."""

import math
import time
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np
import torch

from helpers.devices import busy_line, cpu_seconds

_said = -math.inf  # when a busy machine was last mentioned
FEW = 8  # with fewer repeats, quartiles say nothing, and the whole range is shown


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
        Highest number of bytes in use on CUDA GPUs during those calls; None elsewhere, where torch does not record it.
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

    def __repr__(self):
        memory = "" if self.peak_memory is None else f"; peak GPU memory {self.peak_memory / 1e9:.2f} GB"
        return f"{self.median:.3g} s ({span(self.seconds, ' s', 'calls')}; first call {self.first:.3g} s{memory})"


class Speedups:
    """What two ways of doing something have in common once they were measured in pairs.

    Attributes
    ----------
    speedups : list of float
        Time before divided by time after, pair by pair.
    """

    @property
    def speedup(self):
        """Median of `speedups`."""
        return float(np.median(self.speedups))

    def __str__(self):
        return f"{self.speedup:.3g}x ({span(self.speedups, 'x', 'pairs')})"


@dataclass
class Comparison(Speedups):
    """What `compare_times` found.

    Attributes
    ----------
    before, after : Measurement
    speedups : list of float
        Time before divided by time after, pair by pair.
    """

    before: Measurement
    after: Measurement

    @property
    def speedups(self):
        """Time before divided by time after, pair by pair."""
        return [b / a for b, a in zip(self.before.seconds, self.after.seconds, strict=True)]

    def __repr__(self):
        return f"{self}: {self.before.median:.3g} s before, {self.after.median:.3g} s after"


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
        A line is printed if other processes took the cores meanwhile.

    Raises
    ------
    TypeError
        If `fn` cannot be called.
    ValueError
        If `repeats` is no positive whole number.
    """
    check_calls(repeats, fn)
    (found,) = _measured([fn], [0] * repeats)
    return found


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
        A line is printed if other processes took the cores meanwhile.

    Raises
    ------
    TypeError, ValueError
        As in `measure`.
    """
    check_calls(repeats, before, after)
    return Comparison(*_measured([before, after], turns(repeats)))


def _measured(functions, order):
    """Call each function once, then all of them in the given order."""
    firsts, results = [run(fn)[0] for fn in functions], [None] * len(functions)
    seconds, peaks = [[] for _ in functions], [[] for _ in functions]
    start = cpu_seconds()
    for i in order:
        took, peak, results[i] = run(functions[i])
        seconds[i].append(took)
        peaks[i].append(peak)
    say_if_busy(start)
    highest = [max(filter(None, peak), default=None) for peak in peaks]  # 0 bytes: the work was done elsewhere
    return [Measurement(*found) for found in zip(firsts, seconds, highest, results, strict=True)]


def say_if_busy(start):
    """Print `helpers.devices.busy_line`, but not more than once a minute."""
    global _said
    line = busy_line(start) if time.monotonic() - _said > 60 else ""
    if line:
        print(line, end="")
        _said = time.monotonic()


def turns(repeats):
    """In which order two functions, 0 and 1, are called: pair after pair, each pair the other way round."""
    return [i for pair in range(repeats) for i in ((0, 1) if pair % 2 == 0 else (1, 0))]


def run(fn):
    """Seconds, peak memory of CUDA GPUs in bytes (or None), and the result of one call."""
    for gpu in _gpus():
        torch.cuda.reset_peak_memory_stats(gpu)
    start = clock()
    result = fn()
    seconds = clock() - start
    return seconds, sum(map(torch.cuda.max_memory_allocated, _gpus())) if torch.cuda.is_available() else None, result


def clock():
    """Seconds since some moment; waits until the work given to the GPUs is done."""
    if torch.cuda.is_available():
        for gpu in _gpus():
            torch.cuda.synchronize(gpu)
    elif torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return time.perf_counter()


def _gpus():
    """The CUDA GPUs that this process uses: the current one need not be among them."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [gpu for gpu in range(count) if torch.cuda.memory_reserved(gpu)]


def limits(values):
    """Lowest and highest of a few values; of eight or more, the quartiles, between which the middle half lies."""
    low, high = (0, 100) if len(values) < FEW else (25, 75)
    return tuple(map(float, np.percentile(values, [low, high])))


def span(values, unit, of):
    """Say within which limits values lie, such as "1.2x to 1.35x over 3 pairs"."""
    if len(values) == 1:
        return f"one {of.removesuffix('s')}"
    low, high = limits(values)
    half = "" if len(values) < FEW else "middle half "
    return f"{half}{low:.3g}{unit} to {high:.3g}{unit} over {len(values)} {of}"


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
