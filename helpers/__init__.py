"""The small module that every lesson uses: load, measure, draw, play, judge. What a lesson teaches is never in here."""

import os

# torch's threads spin while they wait, and starve beside another busy process. libgomp reads this when it is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

from helpers import versions  # before the libraries: it says which one is missing or too old
from helpers.audio import compare, play
from helpers.checkpoints import OFFICIAL, describe_components, find_checkpoint, load_pipeline
from helpers.devices import best_device, describe, half_dtype
from helpers.exercises import check
from helpers.listening import BlindTest
from helpers.memory import peak_memory
from helpers.official import official_unet
from helpers.panel import Panel
from helpers.prediction import Prediction
from helpers.quality import clap_scores, distance, inter_seed_distance, noise_floor
from helpers.scoreboard import Scoreboard
from helpers.spectrograms import plot_spectrogram, plot_spectrograms, sketch
from helpers.stages import compare_stages, time_stages
from helpers.steps import sweep, unet_step
from helpers.tables import table
from helpers.timing import compare_times, measure
