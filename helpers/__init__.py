"""The small module that every lesson uses: load, measure, draw, play, judge. What a lesson teaches is never in here.

| room | holds |
|---|---|
| `versions` | are the libraries the right ones? |
| `devices` | which device, how much memory, how busy |
| `checkpoints`, `pipeline` | finding and loading a checkpoint; what the loaded pipeline checks and says |
| `official` | one step, and the official UNet with random weights |
| `measuring` | the one clock: variants timed in turns |
| `quality`, `yardstick` | how far two clips are apart, and the one rule that says how much that is |
| `report`, `scoreboard` | what one change did; what all changes did |
| `audio` | players |
| `pictures`, `spectrograms` | tables, figures and sketches; spectrograms |
| `questions` | predictions and exercises |
| `topics/` | what serves one lesson, by its subject |
| `records/`, `sketches/` | what lessons read; the pictures that explain an idea |
"""

import os

# torch's threads spin while they wait, and starve beside another busy process. libgomp reads this when it is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

from helpers import versions  # before the libraries: it says which one is missing or too old
from helpers.audio import compare, play
from helpers.checkpoints import OFFICIAL, describe_components, find_checkpoint, load_pipeline
from helpers.devices import best_device, describe, half_dtype
from helpers.measuring import measure
from helpers.official import official_unet, unet_step
from helpers.pictures import sketch, table
from helpers.quality import clap_scores, distance, noise_floor
from helpers.questions import Prediction, check
from helpers.report import report
from helpers.scoreboard import Scoreboard
from helpers.spectrograms import plot_spectrogram, plot_spectrograms
from helpers.yardstick import moved

__all__ = [
    # load
    "OFFICIAL", "best_device", "describe", "describe_components", "find_checkpoint", "half_dtype", "load_pipeline",
    "official_unet",
    # measure
    "measure", "report", "unet_step", "Scoreboard",
    # hear and judge
    "clap_scores", "compare", "distance", "moved", "noise_floor", "play",
    # show and ask
    "Prediction", "check", "plot_spectrogram", "plot_spectrograms", "sketch", "table",
]  # fmt: skip
