"""Measure the stages of a pipeline call: what each denoising step takes, and all the rest."""

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from helpers import timing
from helpers.tables import table


@dataclass
class Stages:
    """What `time_stages` found.

    Attributes
    ----------
    seconds : dict of str to float
        Seconds of each stage; together they are the whole call.
    unet_calls : int
        How often the UNet ran.
    result : object
        What the pipeline returned; None in a median of several calls.
    peak_memory : int or None
        Highest number of bytes in use on CUDA GPUs during the call; None elsewhere, and in a median.
    """

    seconds: dict[str, float]
    unet_calls: int
    result: Any = field(default=None, repr=False)
    peak_memory: int | None = None

    @property
    def seconds_per_step(self):
        """Seconds of one UNet call."""
        return self.seconds["denoising"] / self.unet_calls

    @property
    def fixed(self):
        """Seconds of all the rest, which takes as long for few steps as for many."""
        return self.total - self.seconds["denoising"]

    @property
    def total(self):
        """Seconds of the whole call."""
        return sum(self.seconds.values())

    @property
    def clip(self):
        """First clip of `result`, shape (n,)."""
        return self.result.audios[0]

    def __repr__(self):
        stages = ", ".join(f"{name} {seconds:.3g} s" for name, seconds in self.seconds.items())
        return f"{stages}; {self.unet_calls} UNet calls"


@dataclass
class StageComparison(timing.Speedups):
    """What `compare_stages` found.

    Attributes
    ----------
    before, after : Stages
        Each stage is the median over the calls.
    speedups : list of float
        Time of the whole call before divided by that after, pair by pair.
    """

    before: Stages
    after: Stages
    speedups: list[float]

    @property
    def step_speedup(self):
        """Time of one step before divided by that after."""
        return self.before.seconds_per_step / self.after.seconds_per_step

    def __repr__(self):
        return (
            f"{self}: {self.before.total:.3g} s before, {self.after.total:.3g} s after; one step "
            f"{self.step_speedup:.3g}x: {self.before.seconds_per_step:.3g} s before, "
            f"{self.after.seconds_per_step:.3g} s after"
        )

    def table(self):
        """Lay out the seconds of each stage before and after."""
        before, after = self.before.seconds, self.after.seconds
        pairs = {name: (before[name], after[name]) for name in before} | {
            "whole clip": (self.before.total, self.after.total)
        }
        return table([{"stage": n, "before (s)": f"{b:.3f}", "after (s)": f"{a:.3f}"} for n, (b, a) in pairs.items()])


def time_stages(pipe, *args, **kwargs):
    """Run a pipeline once and measure its stages.

    The GPU is waited for at every border between stages, so the whole can take slightly longer than without. Run the
    pipeline once before: a first call takes longer.

    Parameters
    ----------
    pipe : diffusers.AudioLDM2Pipeline
        Left as it was.
    *args, **kwargs
        What to call it with.

    Returns
    -------
    Stages
        Of "text encoding", "denoising" (the UNet calls), "VAE decoding", "vocoder" and "other" (scheduler, guidance,
        ranking of candidates).
    """
    with ExitStack() as stack:
        stages = {
            "text encoding": stack.enter_context(_timed(pipe, "encode_prompt")),
            "denoising": stack.enter_context(_timed(pipe, "unet")),
            "VAE decoding": stack.enter_context(_timed(pipe.vae, "decode")),
            "vocoder": stack.enter_context(_timed(pipe, "mel_spectrogram_to_waveform")),
        }
        total, peak, result = timing.run(lambda: pipe(*args, **kwargs))
    seconds = {name: stage.seconds for name, stage in stages.items()}
    seconds["other"] = total - sum(seconds.values())
    return Stages(seconds, stages["denoising"].calls, result, peak)


def compare_stages(before, after, repeats=3):
    """Measure the stages of two calls in turns, as `compare_times` does for whole calls.

    Parameters
    ----------
    before, after : callable
        Without arguments; each returns a `Stages`, such as `lambda: time_stages(pipe, prompt)`.
    repeats : int
        Pairs of calls after the first calls, which count as warm-up; the order changes from pair to pair.

    Returns
    -------
    StageComparison

    Raises
    ------
    TypeError
        If `before` or `after` cannot be called, or returns something else.
    ValueError
        If `repeats` is no positive whole number.
    """
    timing.check_calls(repeats, before, after)
    found = [], []

    def add(runs, stages):
        if not isinstance(stages, Stages):
            raise TypeError(
                f"The function returned a {type(stages).__name__}, but must return what helpers.time_stages returns, "
                "as in compare_stages(lambda: helpers.time_stages(pipe, prompt), ...)."
            )
        runs.append(stages)

    timing.compare_times(lambda: add(found[0], before()), lambda: add(found[1], after()), repeats)
    calls = [runs[1:] for runs in found]
    speedups = [b.total / a.total for b, a in zip(*calls, strict=True)]
    return StageComparison(*map(_median, calls), speedups)


def _median(calls):
    seconds = {name: float(np.median([call.seconds[name] for call in calls])) for name in calls[0].seconds}
    return Stages(seconds, calls[-1].unet_calls)


class _Timed:
    """Stands in for a function or a module, and adds up how often and how long it is called."""

    def __init__(self, target):
        self.target, self.seconds, self.calls = target, 0.0, 0

    def __call__(self, *args, **kwargs):
        start = timing.clock()
        result = self.target(*args, **kwargs)
        self.seconds += timing.clock() - start
        self.calls += 1
        return result

    def __getattr__(self, name):
        return getattr(self.target, name)


@contextmanager
def _timed(owner, name):
    """Put a `_Timed` in the place of an attribute for a while.

    It goes straight into the object's dictionary: a pipeline would write an assignment down in its configuration, and
    wrapping inside the UNet would make a compiled one compile again.
    """
    stand_in = _Timed(getattr(owner, name))
    had_own = name in vars(owner)
    vars(owner)[name] = stand_in
    try:
        yield stand_in
    finally:
        if had_own:
            vars(owner)[name] = stand_in.target
        else:
            del vars(owner)[name]
