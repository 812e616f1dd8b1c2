"""Recordings on which the judge is tried: sounds that no program of ours made, and that nothing was trained on.

They are in `pocket/recordings`, with source and licence in its README. On Debian, `python -m pocket.real_sounds` makes
them anew, after `apt install fluidsynth fluid-soundfont-gm sonic-pi-samples`.
"""

import struct
import subprocess
import tempfile
from pathlib import Path

import librosa
import numpy as np
import soundfile

from pocket.sounds import SAMPLE_RATE

FOLDER = Path(__file__).parent / "recordings"
SECONDS = 4.0
SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
SAMPLES = Path("/usr/share/sonic-pi/samples")
DRUMS = 9  # the channel of General MIDI on which each key is a percussion instrument
TUBULAR_BELLS, SEASHORE, BIRD_TWEET = 14, 122, 123  # instruments of General MIDI, counted from 0

# A bar of sixteenths for each instrument, as its key and level.
SAMBA = {
    "low tom": (45, 127, "....x.......x..."),
    "floor tom": (41, 90, "x.......x......."),
    "tambourine": (54, 90, "x.x.xx.x.x.x.xx."),
    "agogo high": (67, 80, "x.x.....x.x....."),
    "agogo low": (68, 80, "....xx.....xx.x."),
    "cabasa": (69, 70, "xxxxxxxxxxxxxxxx"),
    "snare": (38, 60, "x..xx..x.x.xx..x"),
    "cuica": (79, 80, "..x...x...x...x."),
}
TECHNO = {
    "bd": "x...x...x...x...",
    "closed": "xxxxxxxxxxxxxxxx",
    "open": "..x...x...x...x.",
    "snare": "....x.......x...",
}


def load():
    """The recordings, kind by kind.

    Returns
    -------
    dict of str to numpy.ndarray, shape (clips, 64000)
        Samples between -1 and 1 at 16 kHz.
    """
    kinds = sorted({path.stem.split("-")[0] for path in FOLDER.glob("*.flac")})
    return {k: np.array([soundfile.read(path)[0] for path in sorted(FOLDER.glob(f"{k}-*.flac"))]) for k in kinds}


def render(notes, program=0):
    """Play notes on the soundfont.

    Parameters
    ----------
    notes : list of (float, int, int, int, float)
        Start in seconds, channel, key and velocity (0 to 127), length in seconds.
    program : int
        Instrument of channel 0.

    Returns
    -------
    numpy.ndarray, shape (64000,)
    """
    events = [(0.0, bytes([0xC0, program]))]
    for start, channel, key, velocity, length in notes:
        events += [(start, bytes([0x90 | channel, key, velocity])), (start + length, bytes([0x80 | channel, key, 0]))]
    track, now = b"", 0
    for moment, message in sorted(events, key=lambda event: event[0]):
        ticks = round(960 * moment) - now  # of which 960 are a second
        now += ticks
        track += bytes([0x80 | ticks >> 7, ticks & 0x7F]) + message
    track += b"\0\xff\x2f\0"
    file = b"MThd" + struct.pack(">IHHH", 6, 0, 1, 480) + b"MTrk" + struct.pack(">I", len(track)) + track
    with tempfile.TemporaryDirectory() as folder:
        midi, wav = Path(folder, "notes.mid"), Path(folder, "sound.wav")
        midi.write_bytes(file)
        settings = ["-q", "-i", "-n", "-r", str(SAMPLE_RATE), "-F", wav]
        subprocess.run(["fluidsynth", *settings, SOUNDFONT, midi], check=True)
        sound, _ = soundfile.read(wav)
    return fit(sound.mean(1))


def fit(sound):
    """Cut or pad to the length of all recordings, at the level of the synthesised clips."""
    sound = librosa.util.fix_length(sound, size=int(SECONDS * SAMPLE_RATE))
    return sound * min(0.65 / np.abs(sound).max(), 0.12 / sound.std())


def struck(program, keys, gap, length):
    """Notes one after the other, again and again."""
    starts = np.arange(0, SECONDS, gap)
    return render([(s, 0, keys[i % len(keys)], 100, length) for i, s in enumerate(starts)], program)


def samba(rng, tempo, parts):
    """A bar of percussion over and over; people play neither in time nor evenly."""
    step, notes = 15 / tempo, []
    for i in range(int(SECONDS / step)):
        for key, level, bar in (SAMBA[part] for part in parts):
            if bar[i % 16] == "x":
                start, velocity = max(0, i * step + rng.normal(0, 0.006)), int(level * rng.uniform(0.7, 1))
                notes.append((start, DRUMS, key, velocity, 0.2))
    return render(notes)


def techno(tempo, drum):
    """Four kicks to the bar."""
    names = {"bd": drum, "closed": "drum_cymbal_closed", "open": "drum_cymbal_open", "snare": "drum_snare_hard"}
    out, step = np.zeros(int((SECONDS + 4) * SAMPLE_RATE)), 15 / tempo
    for part, bar in TECHNO.items():
        sound, _ = librosa.load(SAMPLES / f"{names[part]}.flac", sr=SAMPLE_RATE)
        sound = sound[: 2 * SAMPLE_RATE] * {"bd": 1, "closed": 0.25, "open": 0.25, "snare": 0.4}[part]
        for i in range(int(SECONDS / step)):
            if bar[i % 16] == "x":
                start = int(i * step * SAMPLE_RATE)
                out[start : start + len(sound)] += sound
    return fit(out[: int(SECONDS * SAMPLE_RATE)])


def make():
    """Write all of them."""
    rng, parts = np.random.default_rng(0), list(SAMBA)
    clips = {
        "bells": [struck(TUBULAR_BELLS, keys, 1.3, 3) for keys in ((60,), (67, 60), (72, 64, 67), (55, 62))],
        "birds": [struck(BIRD_TWEET, keys, 1.0, 0.9) for keys in ((60,), (67,), (72, 74), (54, 58))],
        "samba": [
            samba(rng, tempo, some)
            for tempo, some in ((104, parts), (112, parts[:6]), (96, parts[:3] + parts[5:]), (120, parts[:5]))
        ],
        "techno": [techno(tempo, drum) for tempo, drum in ((125, "bd_haus"), (132, "bd_tek"), (120, "bd_klub"))],
        "waves": [struck(SEASHORE, (key,), 9, 4) for key in (55, 60, 64)],
    }
    for kind, sounds in clips.items():
        for number, sound in enumerate(sounds, 1):
            soundfile.write(FOLDER / f"{kind}-{number}.flac", sound, SAMPLE_RATE, subtype="PCM_16")


if __name__ == "__main__":
    make()
