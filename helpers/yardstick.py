"""One rule for what a change did to the sound: its distance, as a share of the distance to another seed.

A distance in dB alone says "changed". The yardstick says how much that is: two seeds make two clips that are equally
right, so a change that moves a clip far less than another seed does has hardly changed it.
"""

import hashlib
import json
import os
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

from helpers.audio import to_samples
from helpers.quality import distance

# Set before any result was seen, and the same everywhere: largest share of the yardstick, and what it is called.
SAME, NEARLY = 1 / 20, 1 / 5
RECORD = "yardstick.json"  # beside the weights of the checkpoint, or in the user's cache
PAIRS, STEPS = 20, 20  # of neighbouring seeds; of DPM++
PATIENCE = 60  # seconds: a slow machine takes fewer pairs


@dataclass
class Yardstick:
    """The usual distance between two clips that differ by their seed only.

    Attributes
    ----------
    distance : float
        Median over the pairs, in dB.
    pairs : int
        How many.
    """

    distance: float
    pairs: int


@dataclass
class Moved:
    """How far a change moved clips.

    Attributes
    ----------
    distances : list of float
        Of each pair of clips of one seed, in dB.
    yardstick : Yardstick
    """

    distances: list[float]
    yardstick: Yardstick

    @property
    def distance(self):
        """Median of `distances`."""
        return float(np.median(self.distances))

    @property
    def share(self):
        """The distance as a share of the yardstick."""
        return self.distance / self.yardstick.distance

    @property
    def verdict(self):
        """By one rule: up to a twentieth of the yardstick "the same clip", up to a fifth "nearly the same clip"."""
        return verdict(self.share)

    def __str__(self):
        of = f", median of {len(self.distances)} clips" if len(self.distances) > 1 else ""
        return (
            f"{self.verdict}: {self.distance:.2g} dB apart{of}; another seed is {self.yardstick.distance:.3g} dB away "
            f"(median of {self.yardstick.pairs} pairs)"
        )

    __repr__ = __str__


def verdict(share):
    """Name a share of the yardstick.

    Parameters
    ----------
    share : float

    Returns
    -------
    str
        "the same clip", "nearly the same clip" or "another clip".
    """
    return "the same clip" if share <= SAME else "nearly the same clip" if share <= NEARLY else "another clip"


def moved(pipe, prompt, before, after):
    """Tell how far a change moved a clip, and whether that is much.

    Parameters
    ----------
    pipe : diffusers.AudioLDM2Pipeline
        The one that made the clips; its checkpoint has the yardstick.
    prompt : str
        Of the clips.
    before, after : numpy.ndarray or torch.Tensor, shape (n,) or (1, n), or a list of them
        Clips of the same seed, without and with the change.

    Returns
    -------
    Moved
    """
    rate = pipe.vocoder.config.sampling_rate
    before, after = ([clips] if getattr(clips, "ndim", 0) else list(clips) for clips in (before, after))
    distances = [distance(a, b, rate) for a, b in zip(before, after, strict=True)]
    return Moved(distances, yardstick(pipe, prompt, len(to_samples(before[0], rate)) / rate))


def yardstick(pipe, prompt, seconds=None):
    """Tell how far two clips of different seeds are apart, made in 20 steps of DPM++.

    It is read from a record beside the checkpoint, or from the user's cache, if there is one of these weights, this
    prompt and this length; otherwise it is measured, and kept.

    Parameters
    ----------
    pipe : diffusers.AudioLDM2Pipeline
        Its scheduler is swapped while clips are made.
    prompt : str
    seconds : float, optional
        Length of a clip; by default the one that the checkpoint was trained on.

    Returns
    -------
    Yardstick
    """
    seconds = round(seconds or pipe.natural_length, 3)
    key = name(pipe.name_or_path, prompt, seconds)
    beside, cached = Path(pipe.name_or_path) / RECORD, cache() / RECORD
    for path in (beside, cached):
        if key in (records := _read(path)):
            return Yardstick(**records[key])
    print("Measuring once how far another seed is away, for these weights, this prompt and this length.")
    found = measured(pipe, prompt, seconds)
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(_read(cached) | {key: vars(found)}, indent=1)
        (part := cached.with_name(f"{RECORD}.{os.getpid()}")).write_text(text + "\n", encoding="utf-8")
        part.replace(cached)
    except OSError:
        pass  # measured again the next time
    return found


def cache():
    """The folder of what was measured on this machine: AUDIOLDM2_CACHE, or one in the user's cache."""
    return Path(os.environ.get("AUDIOLDM2_CACHE") or Path.home() / ".cache" / "audioldm2-but-faster")


def name(folder, prompt, seconds):
    """Name the yardstick of a checkpoint in a record: by its weights, the length and the prompt."""
    return f"{fingerprint(str(folder))}, {seconds:g} s: {prompt}"


def measured(pipe, prompt, seconds, patience=PATIENCE):
    """Measure a `Yardstick` now, from `PAIRS` of neighbouring seeds; fewer where those take longer than `patience`."""
    kept, rate = pipe.scheduler, pipe.vocoder.config.sampling_rate
    bar = dict(getattr(pipe, "_progress_bar_config", {}))
    config = DDIMScheduler.load_config(pipe.name_or_path, subfolder="scheduler")  # without settings of swaps before
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(config, timestep_spacing="trailing")
    pipe.set_progress_bar_config(disable=True)

    def clip(seed):
        generator = torch.Generator("cpu").manual_seed(seed)
        return pipe(prompt, num_inference_steps=STEPS, audio_length_in_s=seconds, generator=generator).audios[0]

    try:
        start, clips = time.perf_counter(), [clip(1000), clip(1001)]
        pairs = int(np.clip(2 * patience / (time.perf_counter() - start), 3, PAIRS))
        clips += [clip(1002 + i) for i in range(pairs - 1)]
    finally:
        pipe.scheduler = kept
        pipe.set_progress_bar_config(**bar)
    found = [distance(a, b, rate) for a, b in zip(clips, clips[1:], strict=False)]
    return Yardstick(float(np.median(found)), len(found))


@lru_cache
def fingerprint(folder):
    """A hash of all weights of a checkpoint in a folder; of anything else, its name."""
    files, digest = sorted(Path(folder).glob("*/*.safetensors")), hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16] if files else folder


def _read(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
