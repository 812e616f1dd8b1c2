"""The small module that every lesson uses: load, measure, draw, play, judge. What a lesson teaches is never in here."""

from helpers.audio import compare, play, save
from helpers.checkpoints import OFFICIAL, describe_components, find_checkpoint, load_pipeline
from helpers.devices import best_device, describe, half_dtype
from helpers.exercises import check
from helpers.quality import clap_scores, distance, noise_floor, seed_spread
from helpers.spectrograms import plot_spectrogram, plot_spectrograms
from helpers.tables import table
from helpers.timing import compare_times, measure, time_stages

__all__ = [
    "OFFICIAL",
    "best_device",
    "check",
    "clap_scores",
    "compare",
    "compare_times",
    "describe",
    "describe_components",
    "distance",
    "find_checkpoint",
    "half_dtype",
    "load_pipeline",
    "measure",
    "noise_floor",
    "play",
    "plot_spectrogram",
    "plot_spectrograms",
    "save",
    "seed_spread",
    "table",
    "time_stages",
]
