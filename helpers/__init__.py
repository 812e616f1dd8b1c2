"""The small module that every lesson uses: load, measure, draw, play, judge. What a lesson teaches is never in here."""

from helpers import versions  # first: it says which library is missing or too old
from helpers.audio import compare, play, save
from helpers.checkpoints import OFFICIAL, describe_components, find_checkpoint, load_pipeline
from helpers.devices import best_device, describe, half_dtype
from helpers.exercises import check
from helpers.listening import BlindTest
from helpers.memory import peak_memory
from helpers.panel import Panel
from helpers.prediction import Guess
from helpers.quality import clap_scores, distance, noise_floor, seed_spread
from helpers.scoreboard import Scoreboard
from helpers.spectrograms import plot_spectrogram, plot_spectrograms
from helpers.stages import compare_stages, time_stages
from helpers.tables import table
from helpers.timing import compare_times, measure

__all__ = [
    "BlindTest",
    "Guess",
    "OFFICIAL",
    "Panel",
    "Scoreboard",
    "best_device",
    "check",
    "clap_scores",
    "compare",
    "compare_stages",
    "compare_times",
    "describe",
    "describe_components",
    "distance",
    "find_checkpoint",
    "half_dtype",
    "load_pipeline",
    "measure",
    "noise_floor",
    "peak_memory",
    "play",
    "plot_spectrogram",
    "plot_spectrograms",
    "save",
    "seed_spread",
    "table",
    "time_stages",
    "versions",
]
