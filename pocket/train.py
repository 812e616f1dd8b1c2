"""Train the whole checkpoint: `python -m pocket.train` runs every stage in order, two at a time where they can.

A stage that was stopped goes on where it was; delete `.cache/pocket/` (or what `AUDIOLDM2_TRAINING` names)
and `pocket/checkpoint/` to start anew.
"""

import argparse
import os
import subprocess
import sys
import time

from pocket import dataset
from pocket.architecture import load_or_build
from pocket.dataset import CACHE

# Each line waits for the one before it; the commands of one line run side by side, one thread each.
PLAN = [
    ["train_vae --phase autoencoder", "train_clap"],
    ["train_vae --phase texture", "judge"],
    ["train_diffusion", "train_vocoder"],
    ["train_vocoder --phase after-vae"],
    ["train_vocoder --phase chirps"],
    ["train_vocoder_adversarial"],
    ["train_clap --audio-only", "train_student"],
]
RECORDED = ("train_clap", "judge", "train_diffusion", "train_vocoder_adversarial")
# Large tensors are kept for reuse instead of being handed back to the system after every step: a quarter faster here.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "34359738368", "MALLOC_TRIM_THRESHOLD_": "34359738368"}


def main():
    """Run the plan; stop with the first stage that fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", metavar="FOLDER", help="where the recordings named in the model card lie")
    recordings = parser.parse_args().recordings
    started = time.perf_counter()
    for folder in {None, recordings}:  # what learns from them, and what from the program alone
        dataset.load(dataset.TRAINING, 5000, folder)
    load_or_build()
    for line in PLAN:
        threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 2) // len(line)))}
        running = []
        for command in line:
            words = [sys.executable, "-m", *f"pocket.{command}".split()]
            if recordings and command.split()[0] in RECORDED:
                words += ["--recordings", recordings]
            running.append(subprocess.Popen(words, env=os.environ | ALLOCATOR | threads))
        if any([process.wait() for process in running]):
            sys.exit(f"a stage of {line} failed; its log is in {CACHE}")
        print(f"{', '.join(line)}: done after {(time.perf_counter() - started) / 60:.0f} min in all")


if __name__ == "__main__":
    main()
