"""The one clock of the course: variants are timed in turns, and what sets them up stays outside of the clock.

A *variant* is one way of doing something: a `setup`, which brings it about and is not timed, and a `run`, which is.
A *trial* is what was found out about variants that were timed together. Everything that the course measures, from a
lesson's table to the full-size ladder, is a trial.
"""

import functools
import math
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any
from unittest.mock import patch

import diffusers
import numpy as np
import torch

from helpers.devices import busy_line, cpu_seconds

FEW = 8  # with fewer repeats, quartiles say nothing, and the whole range is shown
STAGES = ("text encoding", "denoising", "VAE decoding", "vocoder", "other")
_said = -math.inf  # when a busy machine was last mentioned


@dataclass
class Timing:
    """What a trial found out about one variant.

    Attributes
    ----------
    first : float
        Seconds of the first call, which may include compiling and filling caches: it warms up, and does not count.
    seconds : list of float
        Seconds of each further call.
    calls : list of dict of str to float
        Where the run calls a pipeline: of each further call, the seconds of each of `STAGES`. *Denoising* is the calls
        of the UNet, *other* is scheduler, guidance and the ranking of candidates. Otherwise empty.
    unet_calls : int
        How often a run calls the UNet of a pipeline.
    peak_memory : int or None
        Bytes on CUDA GPUs at the peak of all calls that count, without what other models held there; None elsewhere,
        where torch does not record it.
    result : object
        What the last call returned.
    pipe : diffusers.AudioLDM2Pipeline or None
        The pipeline that the run calls, if any.
    prompt : str or list of str or None
        What it was called with.
    """

    first: float = math.nan
    seconds: list[float] = field(default_factory=list)
    calls: list[dict[str, float]] = field(default_factory=list)
    unet_calls: int = 0
    peak_memory: int | None = None
    result: Any = field(default=None, repr=False, compare=False)
    pipe: Any = field(default=None, repr=False, compare=False)
    prompt: Any = field(default=None, repr=False, compare=False)

    @property
    def median(self):
        """Median of `seconds`."""
        return float(np.median(self.seconds))

    @property
    def stages(self):
        """Median seconds of each stage; empty if no pipeline was called."""
        return {stage: float(np.median([call[stage] for call in self.calls])) for stage in STAGES if self.calls}

    @property
    def step(self):
        """Seconds of one call of the UNet."""
        return self.stages["denoising"] / self.unet_calls

    @property
    def rest(self):
        """Seconds of all but the denoising, which takes as long for few steps as for many."""
        return self.median - self.stages["denoising"]

    def __repr__(self):
        first = "" if math.isnan(self.first) else f"; first call {self.first:.3g} s"
        memory = "" if self.peak_memory is None else f"; peak GPU memory {self.peak_memory / 1e9:.2f} GB"
        return f"{self.median:.3g} s ({span(self.seconds, ' s', 'calls')}{first}{memory})"


@dataclass
class Trial:
    """What was found out about variants that were timed in turns.

    Attributes
    ----------
    variants : dict of str to Timing
    """

    variants: dict[str, Timing]

    @property
    def before(self):
        """The `Timing` of the first variant."""
        return next(iter(self.variants.values()))

    @property
    def after(self):
        """The `Timing` of the last variant."""
        return list(self.variants.values())[-1]

    @property
    def pairs(self):
        """Time of the first variant divided by that of the last, pair by pair."""
        return [b / a for b, a in zip(self.before.seconds, self.after.seconds, strict=True)]

    @property
    def speedup(self):
        """Median time of the first variant divided by that of the last."""
        return self.before.median / self.after.median

    def ratio(self):
        """Say the speed-up and the range over the pairs, beyond which a quotient of medians can lie."""
        pairs = span(self.pairs, "x", "pairs")
        return f"{self.speedup:.3g}x ({pairs if len(self.pairs) == 1 else f'pair by pair {pairs}'})"

    def __repr__(self):
        if len(self.variants) == 1:
            return repr(self.before)
        return "; ".join(f"{name}: {timing.median:.3g} s" for name, timing in self.variants.items()) + (
            f"; {self.ratio()}"
        )

    def as_record(self):
        """Turn it into what JSON can hold; `from_record` reads it."""
        kept = ("first", "seconds", "calls", "unet_calls", "peak_memory")
        return {name: {key: getattr(timing, key) for key in kept} for name, timing in self.variants.items()}

    @classmethod
    def from_record(cls, record):
        """Make a trial of what `as_record` gave."""
        return cls({name: Timing(**values) for name, values in record.items()})


def measure(variants, repeats=3, then=None, warm_up=True):
    """Time variants in turns, so that a machine that slows down or warms up harms all of them alike.

    Every variant runs once to warm up. Then they run in turns, each turn the other way round than the one before. All
    work of a GPU is waited for. At the end, and also if something fails, one variant is set up and left behind.

    Parameters
    ----------
    variants : callable, or dict of str to (callable, or (callable or None, callable))
        The variants by name. A pair is a setup, which runs before every turn and is not timed, and the run. Neither
        takes an argument. Let a run make its own generator, so that all calls are alike.
    repeats : int
        Timed turns after the warm-up.
    then : str, optional
        The variant to leave behind; by default the last.
    warm_up : bool
        False where everything has run before, and once more would cost too much time.

    Returns
    -------
    Trial
        A line is printed if other processes took the cores meanwhile.

    Raises
    ------
    TypeError
        If there is something that cannot be called.
    ValueError
        If `repeats` is no positive whole number, or there is no such variant.

    Examples
    --------
    >>> helpers.measure(lambda: pipe(prompt))
    >>> helpers.measure({"vanilla": (vanilla, generate), "SDPA": (sdpa, generate)}, repeats=5)
    """
    variants = as_pairs(variants)
    if isinstance(repeats, bool) or not isinstance(repeats, Integral) or repeats < 1:
        raise ValueError(f"repeats is {repeats!r}, but must be a whole number of 1 or more.")
    if then is not None and then not in variants:
        raise ValueError(f"then is {then!r}, but must be one of {', '.join(map(repr, variants))}.")
    timings = {name: Timing() for name in variants}
    try:
        for name, pair in variants.items() if warm_up else ():
            timings[name].first = _turn(Timing(), *pair).seconds[0]
        start = cpu_seconds()
        for turn in range(repeats):
            for name in list(variants)[:: -1 if turn % 2 else 1]:
                _turn(timings[name], *variants[name])
        _say_if_busy(start)
    finally:
        variants[then or list(variants)[-1]][0]()
    return Trial(timings)


def as_pairs(variants):
    """Every variant as a setup and a run, both callable."""
    variants = variants if isinstance(variants, dict) else {getattr(variants, "__name__", "run"): variants}
    pairs = {name: one if isinstance(one, tuple) else (None, one) for name, one in variants.items()}
    pairs = {name: (setup or (lambda: None), run) for name, (setup, run) in pairs.items()}
    for one in (one for pair in pairs.values() for one in pair):
        if not callable(one):
            raise TypeError(
                f"Something to call is wanted, but this is a {type(one).__name__}: put `lambda:` before it, "
                "as in measure(lambda: pipe(prompt))."
            )
    return pairs


def _turn(timing, setup, run):
    """Set a variant up, then time one call of it, and add that to a `Timing`."""
    setup()
    gpus = _gpus()
    others = sum(map(torch.cuda.memory_allocated, gpus))
    for gpu in gpus:
        torch.cuda.reset_peak_memory_stats(gpu)
    with _watched_pipelines(timing) as stages:
        start = clock()
        timing.result = run()
        timing.seconds.append(clock() - start)
    if timing.pipe is not None:
        timing.calls.append(stages | {"other": timing.seconds[-1] - sum(stages.values())})
    if gpus:
        models = getattr(run, "models", timing.pipe.components.values() if timing.pipe is not None else ())
        models = [model for model in models if isinstance(model, torch.nn.Module)]
        others -= sum(p.nbytes for model in models for p in model.parameters() if p.device.type == "cuda")
        peak = sum(map(torch.cuda.max_memory_allocated, gpus)) - max(others, 0)
        timing.peak_memory = max(timing.peak_memory or 0, peak)
    return timing


@contextmanager
def _watched_pipelines(timing):
    """While it lasts, add up the stages of all calls of a pipeline; note the pipeline, its prompt and its UNet calls.

    The GPU is waited for at every border between stages.
    """
    original, seconds, timing.unet_calls = diffusers.AudioLDM2Pipeline.__call__, dict.fromkeys(STAGES, 0.0), 0

    @functools.wraps(original)
    def watched(pipe, *args, **kwargs):
        places = (pipe, "encode_prompt"), (pipe, "unet"), (pipe.vae, "decode"), (pipe, "mel_spectrogram_to_waveform")
        with ExitStack() as stack:
            stages = [stack.enter_context(_timed(*place)) for place in places]
            result = original(pipe, *args, **kwargs)
        for name, stage in zip(STAGES, stages, strict=False):
            seconds[name] += stage.seconds
        timing.pipe, timing.prompt = pipe, args[0] if args else kwargs.get("prompt")
        timing.unet_calls += stages[1].calls
        return result

    with patch.object(diffusers.AudioLDM2Pipeline, "__call__", watched):
        yield seconds


class _Timed:
    """Stands in for a function or a module, and adds up how often and how long it is called."""

    def __init__(self, target):
        self.target, self.seconds, self.calls = target, 0.0, 0

    def __call__(self, *args, **kwargs):
        start = clock()
        result = self.target(*args, **kwargs)
        self.seconds += clock() - start
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


def _say_if_busy(start):
    """Print `helpers.devices.busy_line`, but not more than once a minute."""
    global _said
    line = busy_line(start) if time.monotonic() - _said > 60 else ""
    if line:
        print(line, end="")
        _said = time.monotonic()


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
