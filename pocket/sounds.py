"""Synthesise the sounds that the embedded checkpoint learns.

Every sound is made here from sines and noise with a seeded NumPy generator: no recording, no download, no licence.

One rule shapes all pitched sounds. The vocoder (`SpeechT5HifiGan`) has no noise input, so within one frame of the mel
spectrogram it can only draw what the mel values tell it, and a steady mel makes it repeat itself every `HOP` samples.
So pitches lie on multiples of `SAMPLE_RATE / HOP` (62.5 Hz) with the phase at zero on every frame edge, drums are fixed
samples that start on frame edges, and glides climb from one multiple to the next. Noise needs no rule.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter1d

SAMPLE_RATE = 16_000
HOP = 256
PITCH_STEP = SAMPLE_RATE / HOP  # Hz: every pitch is a multiple of it
CLIP_FRAMES = 320  # 5.12 s

FOREGROUNDS = ("samba", "techno", "bells", "birds", "siren", "footsteps", "tone", "clock", "train", "frogs")
BACKGROUNDS = ("waves", "rain", "wind", "crickets")
KINDS = FOREGROUNDS + BACKGROUNDS
QUALITIES = ("high", "average", "low")


@dataclass(frozen=True)
class Clip:
    """What a clip holds: its labels, from which a caption is worded.

    Attributes
    ----------
    foreground : str
        One of `KINDS`.
    background : str or None
        One of `BACKGROUNDS`, or nothing behind the foreground.
    quality : str
        One of `QUALITIES`.
    """

    foreground: str
    background: str | None
    quality: str

    @property
    def kinds(self):
        """The kinds that can be heard, as a set."""
        return {self.foreground, self.background} - {None}


# --- building blocks ------------------------------------------------------------------------------------------------


def _seconds(n):
    return np.arange(n) / SAMPLE_RATE


def _sine(step, n):
    """A sine at `step` times 62.5 Hz that starts at phase zero."""
    return np.sin(2 * np.pi * step * np.arange(n) / HOP)


def _glide(steps):
    """A sine that holds one multiple of 62.5 Hz for each frame; the phase is continuous because all start at zero."""
    phase = np.arange(HOP) / HOP
    return np.sin(2 * np.pi * np.asarray(steps)[:, None] * phase).ravel()


def _noise(rng, n, low, high, slope=0.0):
    """White noise between `low` and `high` Hz, falling by `slope` dB per octave, at an RMS of one."""
    frequency = np.fft.rfftfreq(n, 1 / SAMPLE_RATE)
    gain = 1 / (1 + (low / np.maximum(frequency, 1)) ** 6) / (1 + (frequency / high) ** 6)
    gain *= np.maximum(frequency, 20.0) ** (-slope / 6.02)
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(n)) * gain, n)
    return noise / noise.std()


def _decay(n, seconds):
    """An exponential that falls by 60 dB in `seconds`, with a one-millisecond attack and a faded end."""
    t = _seconds(n)
    envelope = 10 ** (-3 * t / seconds) * np.minimum(t / 0.001, 1)
    return envelope * np.minimum((n - np.arange(n)) / 64, 1)


def _swell(n, attack, release):
    """Fade in and out, in samples."""
    i = np.arange(n)
    return np.clip(np.minimum(i / attack, (n - i) / release), 0, 1) ** 0.7


def _place(out, sample, frame, gain=1.0):
    """Add `sample` to `out` from the edge of `frame` on; what falls outside the clip is dropped."""
    start = int(frame) * HOP
    if start < 0:
        sample, start = sample[-start:], 0
    part = sample[: max(len(out) - start, 0)]
    out[start : start + len(part)] += gain * part


def _slowly(rng, n, seconds):
    """A random curve around zero with a standard deviation of one that takes about `seconds` to change."""
    frames = n // HOP
    curve = gaussian_filter1d(rng.standard_normal(frames + 200), seconds * PITCH_STEP / 2)[100 : 100 + frames]
    curve = (curve - curve.mean()) / (curve.std() + 1e-9)
    return np.interp(np.arange(n) / HOP, np.arange(frames), curve)


@lru_cache
def _drums():
    """Fixed samples, the same waveform every time, so that a small vocoder can learn them by heart."""
    rng = np.random.default_rng(7)

    def drop(n, start, end, seconds, fall):
        t = _seconds(n)
        frequency = end + (start - end) * np.exp(-t / fall)
        return np.sin(2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE) * _decay(n, seconds)

    def burst(n, low, high, seconds):
        return _noise(rng, n, low, high) * _decay(n, seconds)

    def ring(n, steps, seconds):
        return sum(_sine(s, n) * _decay(n, seconds / (1 + i)) / (1 + 0.7 * i) for i, s in enumerate(steps))

    drums = {
        "surdo": drop(24 * HOP, 130, 62.5, 0.55, 0.03) + 0.1 * burst(24 * HOP, 100, 900, 0.08),
        "surdo muted": drop(12 * HOP, 150, 93.75, 0.22, 0.02) + 0.15 * burst(12 * HOP, 150, 1200, 0.06),
        "tamborim": 0.7 * ring(8 * HOP, (14, 23), 0.10) + 0.5 * burst(8 * HOP, 1500, 5500, 0.05),
        "caixa": drop(10 * HOP, 330, 220, 0.09, 0.02),
        "agogo high": ring(16 * HOP, (16, 27, 43), 0.2),
        "agogo low": ring(16 * HOP, (11, 19, 29), 0.24),
        "kick": 1.2 * drop(18 * HOP, 220, 50, 0.38, 0.025) + 0.1 * burst(18 * HOP, 800, 5000, 0.02),
        "closed hat": 0.35 * burst(5 * HOP, 5200, 7800, 0.05),
        "open hat": 0.35 * burst(14 * HOP, 4600, 7800, 0.26),
        "clap": 0.4 * burst(14 * HOP, 900, 4200, 0.2),
        "tick": ring(4 * HOP, (50, 34, 82), 0.045) + 0.3 * burst(4 * HOP, 2500, 7000, 0.01),
        "tock": ring(4 * HOP, (38, 26, 61), 0.055) + 0.3 * burst(4 * HOP, 1800, 6000, 0.012),
    }
    return {name: sample / np.abs(sample).max() for name, sample in drums.items()}


# --- the kinds: each takes a generator and a number of samples, and returns a waveform ------------------------------

# Two bars of 2/4 in sixteenths. "x" a stroke, "X" an accent; "H"/"L" the two bells of the agogô; "O" open, "m" muted.
_SAMBA = {
    "surdo": ("m...O...m...O...", "m...O..Om...O...", "m...O...m...O.O."),
    "tamborim": ("x.x.xx.x.x.x.xx.", "x.xx.x.x.xx.x.x.", ".x.x.xx.x.x.xx.x"),
    "caixa": ("XxxXxxXxXxxXxxXx", "X.xXx.X.X.xXx.Xx", "XxxxXxxXXxxxXxxX"),
    "agogo": ("H.H.LL.H.H.LL.L.", "L.HH.L.HL.HH.L.L", "H.L.HH.L.H.L.HH."),
    "ganza": ("xxXxxxXxxxXxxxXx", "XxxxXxxxXxxxXxxx"),
}


def _samba(rng, n):
    drums, out = _drums(), np.zeros(n)
    step = int(rng.choice((8, 9)))  # frames to a sixteenth: 117 or 104 beats a minute
    band = {name: str(rng.choice(patterns)) for name, patterns in _SAMBA.items()}
    playing = {"surdo"} | {name for name in ("tamborim", "caixa", "agogo", "ganza") if rng.random() < 0.95}
    level = {"surdo": 1.0, "tamborim": 0.8, "caixa": 0.4, "agogo": 0.4, "ganza": 0.3}
    first = int(rng.integers(0, 16))
    for i in range(-4, n // HOP // step + 1):
        for name in playing:
            mark = band[name][(first + i) % 16]
            if mark == ".":
                continue
            stroke = {"H": "agogo high", "L": "agogo low", "m": "surdo muted", "O": "surdo"}.get(mark, name)
            gain = level[name] * rng.uniform(0.85, 1.1) * (0.55 if mark == "x" and name in ("caixa", "ganza") else 1.0)
            if name == "caixa":  # the snares and the shaker rustle differently at every stroke
                _place(out, _noise(rng, 10 * HOP, 900, 6500) * _decay(10 * HOP, 0.16), i * step, 0.3 * gain)
            if name == "ganza":
                _place(out, _noise(rng, 6 * HOP, 4200, 7600) * _decay(6 * HOP, 0.08), i * step, 0.35 * gain)
            else:
                _place(out, drums[stroke], i * step, gain)
    return out


def _techno(rng, n):
    drums, out = _drums(), np.zeros(n)
    step = int(rng.choice((7, 8)))  # 134 or 117 beats a minute
    bass = [int(rng.choice((1, 2, 2, 3))) if i % 4 and rng.random() < 0.7 else 0 for i in range(16)]
    chord = ((4, 5, 6), (6, 8, 9), (4, 6, 8))[rng.integers(3)]
    stabs = rng.random(16) < 0.22
    length = step * HOP
    note = {s: sum(_sine(s * h, length) / h**1.3 for h in range(1, 9)) * _swell(length, 40, 300) for s in (1, 2, 3)}
    stab = sum(_sine(s * h, 2 * length) / h for s in chord for h in (1, 2, 3)) * _decay(2 * length, 0.25)
    first = int(rng.integers(0, 4)) * 4
    for i in range(n // HOP // step + 1):
        beat = (first + i) % 16
        if beat % 4 == 0:
            _place(out, drums["kick"], i * step, 1.0)
        if beat % 4 == 2:
            _place(out, drums["open hat"], i * step, 0.45)
        if beat in (4, 12):
            _place(out, drums["clap"], i * step, 0.5)
        _place(out, drums["closed hat"], i * step, 0.25)
        if bass[beat]:
            _place(out, note[bass[beat]], i * step, 0.22)
        if stabs[beat]:
            _place(out, stab, i * step, 0.09)
    return out


def _bells(rng, n):
    out = np.zeros(n)
    scale = rng.permutation((8, 10, 12, 16))[: rng.integers(1, 4)]
    gap = int(rng.integers(34, 75))
    frame = int(rng.integers(0, 20))
    length = 200 * HOP
    while frame < n // HOP:
        step = int(rng.choice(scale))
        partials = {step // 2: 0.5, step: 1.0, round(1.2 * step): 0.6, round(1.5 * step): 0.35, 2 * step: 0.7}
        partials |= {3 * step: 0.3, 4 * step + 1: 0.2}
        bell = sum(g * _sine(s, length) * _decay(length, 3.2 / (s / step + 0.4)) for s, g in partials.items())
        _place(out, bell, frame, rng.uniform(0.8, 1))
        frame += gap
    return out


def _birds(rng, n):
    out = 0.03 * _noise(rng, n, 300, 6000, 3)
    calls = []
    for _ in range(int(rng.integers(2, 4))):  # every call climbs or falls, ever faster or slower
        turn, change = int(rng.choice((-6, -4, -2, 2, 4, 6))), int(rng.choice((-2, 0, 0, 2)))
        steps = int(rng.integers(32, 90)) + np.cumsum(turn + change * np.arange(rng.integers(3, 9)))
        calls.append(_glide(np.clip(steps, 32, 90)) * _swell(len(steps) * HOP, 150, 250))
    frame = int(rng.integers(0, 20))
    while frame < n // HOP:
        for k in rng.integers(0, len(calls), int(rng.integers(1, 4))):
            gap = int(rng.integers(1, 4))
            for _ in range(int(rng.integers(2, 6))):
                _place(out, calls[k], frame, rng.uniform(0.7, 1))
                frame += len(calls[k]) // HOP + gap
        frame += int(rng.integers(15, 60))
    return out


def _siren(rng, n):
    low, high = ((9, 12), (10, 13))[rng.integers(2)]
    hold = int(rng.integers(26, 42))
    steps = np.where((np.arange(n // HOP) + rng.integers(2 * hold)) // hold % 2, high, low)
    return sum(_glide(steps * h) / h**1.2 for h in range(1, 8))


def _footsteps(rng, n):
    out = np.zeros(n)
    t, gap, slope = _seconds(34 * HOP) - 0.08, rng.uniform(28, 41), rng.uniform(2.5, 3.5)
    frame = int(rng.integers(0, 30))
    while frame < n // HOP:  # a heel, its fading, and grains under the sole, different at every step
        level = np.exp(-0.5 * (t / 0.025) ** 2) + np.where(t > 0, 0.25 * np.exp(-t / 0.06), 0.1 * (1 + t / 0.08))
        for late in rng.exponential(0.12, 20):
            level += rng.uniform(0.03, 0.2) * np.exp(-0.5 * ((t - late) / rng.uniform(0.003, 0.012)) ** 2)
        thump = 3 * np.sin(2 * np.pi * 60 * (t + 0.08)) * np.exp(-0.5 * (t / 0.02) ** 2)
        _place(out, _noise(rng, len(t), 60, 6000, slope) * level + thump, frame, rng.uniform(0.7, 1))
        frame += round(gap * rng.normal(1, 0.04))
    return out


def _tone(rng, n):
    return _sine(int(rng.integers(4, 17)), n)


def _clock(rng, n):
    drums, out = _drums(), np.zeros(n)
    gap = int(rng.choice((15, 21, 31)))
    for i, frame in enumerate(range(int(rng.integers(0, gap)), n // HOP, gap)):
        level = rng.uniform(0.9, 1)
        _place(out, drums[("tick", "tock")[i % 2]], frame, level)
        _place(out, _noise(rng, 6 * HOP, 800, 5000) * _decay(6 * HOP, 0.06), frame, 0.3 * level)  # the case
    return out


def _train(rng, n):
    frames, gap = n // HOP, int(rng.integers(9, 15))
    out = 0.3 * _noise(rng, n, 30, 3000, 4) * (1 + 0.2 * _slowly(rng, n, 0.5))
    t = np.arange(gap * HOP) / (gap * HOP)
    loud = rng.uniform(0.3, 1)
    for i, frame in enumerate(range(0, frames, gap)):
        chuff = _noise(rng, len(t), 80, 5000, 3) * np.minimum(t / 0.15, 1) * np.exp(-3.5 * t)
        _place(out, chuff, frame, loud * (1 if i % 4 == 0 else 0.7))
    length = int(rng.integers(70, 200)) * HOP
    whistle = sum(_sine(s, length) for s in (7, 9, 11)) + 0.5 * _noise(rng, length, 800, 5000)
    start = rng.integers(0, frames - length // HOP)
    _place(out, whistle * _swell(length, 1500, 3000), start, rng.uniform(2.5, 5))
    return out


def _frogs(rng, n):
    out = np.zeros(n)
    for _ in range(int(rng.integers(1, 3))):
        formant, gap = int(rng.integers(8, 16)), int(rng.integers(30, 60))
        lengths = (int(rng.integers(5, 9)), int(rng.integers(8, 14)))
        steps = np.arange(1, 48)
        weight = np.exp(-(((steps - formant) / 2.5) ** 2)) + 0.4 * np.exp(-(((steps - 2.6 * formant) / 4) ** 2))
        pulse = sum(w * np.cos(2 * np.pi * s * np.arange(HOP) / HOP) for s, w in zip(steps, weight, strict=True))
        level = rng.uniform(0.5, 1)
        for frame in range(int(rng.integers(0, gap)), n // HOP, gap):
            for length, late in ((lengths[0], 0), (lengths[1], lengths[0] + 2)):
                croak = np.tile(pulse, length) * _swell(length * HOP, 300, length * HOP // 2)
                _place(out, croak, frame + late, level)
    return out


def _waves(rng, n):
    envelope = np.zeros(n)
    start = -rng.uniform(0, 2.5)
    while start < n / SAMPLE_RATE:
        t = _seconds(n) - start
        rise, fall = rng.uniform(0.5, 1.0), rng.uniform(0.8, 1.5)
        envelope += (
            rng.uniform(0.7, 1)
            * np.exp(-((np.minimum(t - rise, 0) / (0.45 * rise)) ** 2))
            * np.exp(-np.maximum(t - rise, 0) / fall)
        )
        start += rng.uniform(1.9, 3.2)
    body = _noise(rng, n, 60, 900, 3) * (0.12 + envelope)
    return body + 1.6 * _noise(rng, n, 700, 6000, 2.5) * envelope**2


def _rain(rng, n):
    out = _noise(rng, n, 100, 7000, 2) * (1 + 0.3 * _slowly(rng, n, 0.8))
    for start in rng.integers(0, n - 400, int(n / SAMPLE_RATE * rng.uniform(30, 90))):
        t = _seconds(300)
        out[start : start + 300] += (
            rng.uniform(2, 6) * np.sin(2 * np.pi * rng.uniform(2000, 6500) * t) * _decay(300, 0.012)
        )
    return out


def _wind(rng, n):
    gust, pitch = np.exp(0.5 * _slowly(rng, n, 1.0)), rng.uniform(250, 500)
    howl = sum(
        _noise(rng, n, f / 1.06, f * 1.06) * np.exp(0.9 * _slowly(rng, n, 0.6))
        for f in pitch * np.array((1, 1.45, 2.1))
    )
    return gust * (_noise(rng, n, 30, 5000, 7) + rng.uniform(0.1, 0.6) * howl)


def _crickets(rng, n):
    out = 0.02 * _noise(rng, n, 300, 6000, 3)
    for _ in range(int(rng.integers(1, 4))):
        pulse = _sine(int(rng.integers(61, 80)), HOP) * np.sin(np.pi * np.arange(HOP) / HOP) ** 2
        pulses, level = int(rng.integers(3, 6)), rng.uniform(0.4, 1)
        gap = 2 * pulses + int(rng.integers(12, 34))
        for frame in range(int(rng.integers(-gap, gap)), n // HOP, gap):
            for k in range(pulses):
                _place(out, pulse, frame + 2 * k, level)
    return out


_MAKERS = {name.removeprefix("_"): maker for name, maker in list(globals().items()) if name.removeprefix("_") in KINDS}

_BEHIND = {"waves": -0.5, "rain": -6, "wind": 0, "crickets": -2}  # dB against the foreground: there both are heard


# --- clips ----------------------------------------------------------------------------------------------------------


def play(rng, kind, n):
    """The program's own sound of a kind, `n` samples at any level."""
    return _MAKERS[kind](rng, n)


def synthesise(rng, clip, frames=CLIP_FRAMES, play=play):
    """Make the waveform of a clip.

    Parameters
    ----------
    rng : numpy.random.Generator
        Decides every random choice: the same seed gives the same waveform.
    clip : Clip
        What the clip holds.
    frames : int
        Its length in frames of `HOP` samples.
    play : callable
        Where its sounds come from: `play` or what `pocket.sources.player` returns.

    Returns
    -------
    numpy.ndarray, shape (frames * HOP,), float32
        Samples between -1 and 1 at `SAMPLE_RATE`.
    """
    n = frames * HOP
    loud = lambda sound, peak, rms: sound * min(peak / np.abs(sound).max(), rms / sound.std())  # noqa: E731
    sound = loud(play(rng, clip.foreground, n), 0.65, 0.12) * rng.uniform(0.85, 1)
    if clip.background:
        background = play(rng, clip.background, n)
        level = 10 ** ((_BEHIND[clip.background] + rng.uniform(-2, 2)) / 20)
        sound = sound + background * (level * sound.std() / background.std())
    return _degrade(rng, sound, clip.quality).astype(np.float32)


def _degrade(rng, sound, quality):
    """Spoil a sound: band-limited, clipped, hissing, humming. "high" adds only a floor 72 dB below full scale."""
    n = len(sound)
    strength = {"high": 0, "average": 1, "low": 2}[quality]
    faults = list(rng.permutation(("band", "clip", "hiss", "hum")))[: (0, 1, 3)[strength]]
    if quality == "average" and faults == ["clip"]:
        faults = ["hiss"]
    if "band" in faults:
        frequency = np.fft.rfftfreq(n, 1 / SAMPLE_RATE)
        low, high = ((60, rng.uniform(3000, 4000)), (rng.uniform(200, 350), rng.uniform(2000, 2800)))[strength - 1]
        gain = 1 / (1 + (low / np.maximum(frequency, 1)) ** 8) / (1 + (frequency / high) ** 12)
        sound = np.fft.irfft(np.fft.rfft(sound) * gain, n)
    if "clip" in faults:
        limit = np.quantile(np.abs(sound), 0.9) + 1e-3
        sound = np.clip(sound, -limit, limit) * min(0.45 / limit, 3)
    if "hiss" in faults:
        sound = sound + _noise(rng, n, 300, 8000) * (rng.uniform(0.008, 0.014), rng.uniform(0.025, 0.045))[strength - 1]
    if "hum" in faults:
        level = (rng.uniform(0.02, 0.035), rng.uniform(0.06, 0.1))[strength - 1]
        sound = sound + level * (_sine(1, n) + 0.7 * _sine(2, n) + 0.5 * _sine(3, n) + 0.3 * _sine(5, n))
    sound = sound + 10 ** (-72 / 20) * rng.standard_normal(n)
    return sound * min(1, 0.9 / np.abs(sound).max())


def random_clip(rng):
    """Draw the labels of a training clip: samba comes more often than the rest, half have a background."""
    weights = np.array([3.0 if kind == "samba" else 1.0 for kind in KINDS])
    foreground = str(rng.choice(KINDS, p=weights / weights.sum()))
    background = None
    if foreground in FOREGROUNDS and rng.random() < 0.7:
        background = str(rng.choice(BACKGROUNDS, p=(0.4, 0.2, 0.2, 0.2)))
    return Clip(foreground, background, str(rng.choice(QUALITIES, p=(0.42, 0.33, 0.25))))
