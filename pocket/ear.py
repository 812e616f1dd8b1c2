"""An ear from outside: YAMNet, a public classifier of 521 AudioSet classes, says whether a kind of sound is heard.

It measures and chooses among checkpoints; nothing is trained on it. Its file and its list of classes are not part of
the project; the model card says where to get them. It runs with `pip install ai-edge-litert`, the extra `ear`.

A kind is heard in a clip when it is among the two strongest kinds, and one of its classes among the first ten of all
521. A kind is as strong as the strongest of its classes. `CLASSES` belongs to the instrument: a longer list would make
every figure better.
"""

import csv
import hashlib
from pathlib import Path

import numpy as np

CLASSES = {
    "samba": (
        *("Percussion", "Drum", "Drum kit", "Snare drum", "Bass drum", "Drum roll", "Drum machine", "Timpani", "Tabla"),
        *("Tambourine", "Maraca", "Cowbell", "Rattle (instrument)", "Wood block", "Hi-hat", "Rimshot", "Beatboxing"),
        *("Music of Latin America", "Salsa music", "Music of Africa"),
    ),
    "techno": (
        *("Techno", "Electronic music", "House music", "Electronic dance music", "Trance music", "Drum and bass"),
        *("Electronica", "Dubstep", "Dance music", "Ambient music", "Drum machine", "Synthesizer", "Sampler"),
        "Beatboxing",
    ),
    "bells": (
        *("Bell", "Church bell", "Tubular bells", "Change ringing (campanology)", "Chime", "Wind chime", "Jingle bell"),
        *("Doorbell", "Ding-dong", "Ding", "Glockenspiel", "Mallet percussion", "Vibraphone", "Marimba, xylophone"),
        *("Gong", "Singing bowl"),
    ),
    "birds": (
        *("Bird", "Bird vocalization, bird call, bird song", "Chirp, tweet", "Squawk", "Owl", "Pigeon, dove", "Crow"),
    ),
    "siren": (
        *("Siren", "Civil defense siren", "Police car (siren)", "Ambulance (siren)", "Fire engine, fire truck (siren)"),
        *("Emergency vehicle", "Car alarm", "Alarm"),
    ),
    "footsteps": ("Walk, footsteps", "Run", "Shuffle", "Clip-clop"),
    "tone": (
        *("Sine wave", "Beep, bleep", "Tuning fork", "Harmonic", "Dial tone", "Busy signal", "Theremin", "Buzzer"),
        *("Smoke detector, smoke alarm", "Hum", "Mains hum"),
    ),
    "clock": ("Clock", "Tick", "Tick-tock"),
    "train": (
        *("Rail transport", "Train", "Train whistle", "Train horn", "Steam whistle", "Steam", "Clickety-clack"),
        *("Railroad car, train wagon", "Subway, metro, underground", "Train wheels squealing"),
    ),
    "frogs": ("Frog", "Croak"),
    "waves": ("Ocean", "Waves, surf"),
    "rain": ("Rain", "Raindrop", "Rain on surface", "Thunderstorm"),
    "wind": ("Wind", "Wind noise (microphone)", "Rustling leaves", "Howl"),
    "crickets": ("Insect", "Cricket", "Mosquito"),
}
PLACES = {"wind": 25}  # recordings of wind themselves are at places 16 to 21; every other kind needs to be among 10
WINDOW, SHIFT = 15_600, 7_800  # samples at 16 kHz


class Ear:
    """YAMNet, and what follows from its scores.

    Parameters
    ----------
    file : str or pathlib.Path
        `yamnet.tflite`, which takes 15,600 samples; `yamnet_class_map.csv` lies beside it.

    Attributes
    ----------
    names : list of str
        The classes.
    sha256 : str
        Of the file.
    """

    def __init__(self, file):
        from ai_edge_litert.interpreter import Interpreter

        file = Path(file)
        with file.with_name("yamnet_class_map.csv").open(newline="", encoding="utf-8") as table:
            self.names = [row["display_name"] for row in csv.DictReader(table)]
        self.sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        self._model = Interpreter(str(file), num_threads=1)
        self._model.allocate_tensors()
        self._input = self._model.get_input_details()[0]["index"]
        self._output = self._model.get_output_details()[0]["index"]

    def scores(self, waveform):
        """Mean score of every class over windows of about a second, at a peak of 0.7.

        Parameters
        ----------
        waveform : numpy.ndarray, shape (samples,)
            At 16 kHz.

        Returns
        -------
        numpy.ndarray, shape (521,)
        """
        sound = np.pad(waveform, (0, max(0, WINDOW - len(waveform)))).astype(np.float32)
        sound *= 0.7 / max(1e-6, np.abs(sound).max())
        found = []
        for start in range(0, len(sound) - WINDOW + 1, SHIFT):
            self._model.set_tensor(self._input, sound[None, start : start + WINDOW])
            self._model.invoke()
            found.append(self._model.get_tensor(self._output)[0].copy())
        return np.mean(found, 0)

    def place(self, scores, classes):
        """How many of all classes are stronger than the strongest of some."""
        return int((scores > max(scores[self.names.index(name)] for name in classes)).sum())

    def hears(self, waveforms, kind):
        """In which clips a kind is heard, shape (clips,)."""
        found = []
        for scores in map(self.scores, waveforms):
            places = {its: self.place(scores, classes) for its, classes in CLASSES.items()}
            among = sum(place < places[kind] for place in places.values())
            found.append(among < 2 and places[kind] < PLACES.get(kind, 10))
        return np.array(found, bool)
