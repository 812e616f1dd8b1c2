"""The clips that training and evaluation use, made once and kept in `CACHE`.

The environment variable `AUDIOLDM2_TRAINING` names another folder than `.cache/pocket/`, for clips, states and logs.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from itertools import repeat
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from pocket import sources
from pocket.features import MEL_BINS, log_mel
from pocket.sounds import CLIP_FRAMES, HOP, play, random_clip, synthesise

CACHE = Path(os.environ.get("AUDIOLDM2_TRAINING") or Path(__file__).parent.parent / ".cache" / "pocket")
TRAINING, HELD_OUT = 1, 2  # first part of every clip's seed: the two sets share nothing


def cached(name, recordings=None):
    """Where an array is kept; one that depends on recordings is another than the one without."""
    return CACHE / f"{name}{'-recordings' if recordings else ''}.npy"


@lru_cache
def _player(recordings):
    return sources.player(recordings) if recordings else play


def make(seed, recordings=None):
    """Draw one clip.

    Parameters
    ----------
    seed : sequence of int
        For example `(TRAINING, 17)`.
    recordings : str, optional
        A folder with the recordings of `pocket.sources`; without it every sound is the program's.

    Returns
    -------
    waveform : numpy.ndarray, shape (81920,), float32
    clip : Clip
    """
    rng = np.random.default_rng(seed)
    clip = random_clip(rng)
    return synthesise(rng, clip, play=_player(recordings)), clip


def load(split, count, recordings=None):
    """Load the first `count` clips of a split, making them where they are missing.

    Parameters
    ----------
    split : {TRAINING, HELD_OUT}
    count : int
    recordings : str, optional
        As for `make`.

    Returns
    -------
    waveforms : numpy.ndarray, shape (count, 81920), int16
    mels : numpy.ndarray, shape (count, 320, 64), float16
    clips : list of Clip
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    paths = [cached(f"clips-{split}-{count}-{part}", recordings) for part in ("waveforms", "mels")]
    clips = [random_clip(np.random.default_rng((split, i))) for i in range(count)]
    if not all(path.exists() for path in paths):
        if not recordings:
            print("no folder of recordings given: every sound is the program's")
        waveforms = np.empty((count, CLIP_FRAMES * HOP), np.int16)
        mels = np.empty((count, CLIP_FRAMES, MEL_BINS), np.float16)
        with ProcessPoolExecutor(initializer=torch.set_num_threads, initargs=(1,)) as pool:
            seeds = [(split, i) for i in range(count)]
            made = pool.map(_make_with_mel, seeds, repeat(recordings), chunksize=16)
            for i, (waveform, mel) in enumerate(tqdm(made, total=count, desc="synthesising clips")):
                waveforms[i], mels[i] = waveform, mel
        np.save(paths[0], waveforms)
        np.save(paths[1], mels)
    return np.load(paths[0], mmap_mode="r"), np.load(paths[1], mmap_mode="r"), clips


def _make_with_mel(seed, recordings):
    waveform, _ = make(seed, recordings)
    return np.round(waveform * 32767).astype(np.int16), log_mel(torch.from_numpy(waveform)[None])[0].numpy()
