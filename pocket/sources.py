"""Free recordings to learn from, and which part of them is kept for tests.

The files are not part of the project: their authors, licences and addresses are in the model card, and training takes
the folder they lie in. `SPLIT` was fixed before anything was trained on them. A long file gives its beginning to
training and its end to tests, with a gap between; of short ones whole files are kept for tests. One short file is all
there is of a train, of wind and of a frog: the train (7 s) is trained on and not tested, the wind (15 s) is cut in two,
the frog (0.4 s) is only tested. Of the footsteps on each ground, the fourth and the fifth are kept for tests.
"""

from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from pocket.sounds import CLIP_FRAMES, HOP, SAMPLE_RATE, play

CLIP = CLIP_FRAMES * HOP
ALL = (0.0, None)
# What a file shows, the seconds to train on, and the seconds to test with; other files follow by `_split`.
SPLIT = {
    "birds-park": ("birds", (0, 90), (98, None)),
    "crickets-night": ("crickets", (0, 34), (38, None)),
    "rain": ("rain", (0, 88), (95, None)),
    "waves": ("waves", (0, 82), (90, None)),
    "wind": ("wind", (0, 8.5), (9.5, None)),
    "train": ("train", ALL, None),
    "frogs-1": ("frogs", None, ALL),
    "fire": (None, ALL, None),  # of no kind, for the vocoder alone
    "storm": (None, ALL, None),
    "birds-cold": ("birds", ALL, None),
    "birds-blackbird": ("birds", ALL, None),
    "birds-robin": ("birds", None, ALL),
    "crickets-mountain": ("crickets", ALL, None),
    "crickets": ("crickets", None, ALL),  # crickets-1 and crickets-2
}
SHARE = 0.5  # of the sounds of a kind that is recorded; the rest is the program's
UNCLEAR = {f"footstep-{ground}" for ground in ("coal", "grass", "ladder", "wood")}  # not heard as steps by `pocket.ear`


def _split(stem):
    """What a file shows, and its seconds for training and for tests."""
    name, _, number = stem.rpartition("-")
    if name.startswith("footstep"):
        return ("footsteps", None, ALL) if number in "45" else ("footsteps", ALL, None)
    return SPLIT.get(stem) or SPLIT[name]


def load(folder, part):
    """Read the recordings of one side of the split.

    Parameters
    ----------
    folder : str or pathlib.Path
        Where the files named in the model card lie.
    part : {"train", "test"}

    Returns
    -------
    list of (str, str or None, numpy.ndarray)
        Name without its number, kind (None: of no kind), and samples between -1 and 1 at 16 kHz, float32.
    """
    found = []
    for path in sorted(Path(folder).glob("*.ogg")):
        kind, train, test = _split(path.stem)
        stretch = train if part == "train" else test
        if stretch is None:
            continue
        sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
        start, end = (None if second is None else round(second * rate) for second in stretch)
        sound = resample_poly(sound.mean(1)[start:end], SAMPLE_RATE, rate).astype(np.float32)
        name = path.stem.rstrip("0123456789").rstrip("-")
        found.append((name, kind, 0.9 * sound / np.abs(sound).max()))
    if not found:
        raise FileNotFoundError(f"no recordings in {folder}: the model card says where to get them")
    return found


def recorded(rng, recordings, kind, n):
    """Draw a clip from recordings: another stretch, speed, colour and level every time.

    Parameters
    ----------
    rng : numpy.random.Generator
    recordings : list of (str, str or None, numpy.ndarray)
        What `load` returned.
    kind : str or None
        Of which kind; None stands for the sounds of no kind.
    n : int
        Length in samples.

    Returns
    -------
    numpy.ndarray, shape (n,), float32
        With a peak of at most 0.65 and an RMS of at most 0.12, like the foreground of a synthesised clip.
    """
    of_kind = [(name, sound) for name, of, sound in recordings if of == kind]
    names = sorted({name for name, _ in of_kind})
    name = names[int(rng.integers(len(names)))]
    sounds = [sound for its, sound in of_kind if its == name]
    speed = int(rng.integers(85, 119))
    out = np.zeros(n)
    if kind == "footsteps":  # one ground; people step neither evenly nor alike
        gap, where = rng.uniform(0.42, 0.7) * SAMPLE_RATE, rng.uniform(0, 0.5) * SAMPLE_RATE
        while where < n:
            sound = resample_poly(sounds[int(rng.integers(len(sounds)))], 100, speed) * rng.uniform(0.6, 1)
            part = sound[: n - int(where)]
            out[int(where) : int(where) + len(part)] += part
            where += gap * rng.normal(1, 0.04)
    else:
        where = 0
        while where < n:  # a short one comes again after a while
            sound = sounds[int(rng.integers(len(sounds)))]
            needed = (n - where) * speed // 100 + 1
            start = int(rng.integers(0, max(1, len(sound) - needed + 1)))
            sound = resample_poly(sound[start : start + needed], 100, speed)
            part = sound[: n - where]
            out[where : where + len(part)] += part
            where += len(part) + int(rng.uniform(0.1, 1) * SAMPLE_RATE)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(n, 1 / SAMPLE_RATE), 60) / 1000)
    colour = rng.normal(0, 1.2) * octaves + rng.normal(0, 3) * np.exp(-((octaves - rng.uniform(-3, 3)) ** 2))
    out = np.fft.irfft(np.fft.rfft(out) * 10 ** (colour / 20), n)
    out *= min(0.65 / np.abs(out).max(), 0.12 / out.std()) * rng.uniform(0.4, 1)
    return out.astype(np.float32)


def player(folder):
    """Where `pocket.sounds.synthesise` takes sounds from, when recordings are to be among them.

    Parameters
    ----------
    folder : str or pathlib.Path
        Where the recordings lie.

    Returns
    -------
    callable
        Takes a generator, a kind and a number of samples, like `pocket.sounds.play`.
    """
    recordings = [r for r in load(folder, "train") if r[0] not in UNCLEAR]
    kinds = {kind for _, kind, _ in recordings}

    def either(rng, kind, n):
        if kind in kinds and rng.random() < SHARE:
            return recorded(rng, recordings, kind, n)
        return play(rng, kind, n)

    return either


def tests(folder):
    """Clips of the recordings kept for tests, kind by kind.

    Returns
    -------
    dict of str to list of numpy.ndarray, shape (81920,)
        Stretches that follow each other, and the footsteps of one ground at an even pace. What is too short for a clip
        comes again and again.
    """
    joined = {}
    for name, kind, sound in load(folder, "test"):
        pause = 0.5 * SAMPLE_RATE if kind in ("footsteps", "frogs") else 0
        joined.setdefault((kind, name), []).append(np.pad(sound, (0, max(0, int(pause) - len(sound)))))
    clips = {}
    for (kind, _), sounds in joined.items():
        sound = np.concatenate(sounds)
        count = max(1, len(sound) // CLIP)
        clips.setdefault(kind, []).extend(np.resize(sound, count * CLIP).reshape(count, CLIP))
    return clips
