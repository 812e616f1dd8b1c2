"""How much a busy neighbour costs: `python -m benchmarks.busy_neighbour` prints one JSON record.

torch's OpenMP threads spin while they wait for one another. Where another process takes a core, the others then spin in
vain. `GOMP_SPINCOUNT` shortens the spin; `import helpers` sets it to 1000 unless the user chose a value. Each setting
makes clips in a process of its own, alone and beside one process that never rests, in turns.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import torch

from helpers.devices import processor

SETTINGS = {"torch's own": None, "GOMP_SPINCOUNT=1000": "1000"}
_CLIPS = """
import sys, time
import torch  # which reads the setting, before helpers would choose one
import helpers
pipe = helpers.load_pipeline("pocket", device="cpu")
pipe.set_progress_bar_config(disable=True)
def clip():
    start = time.perf_counter()
    pipe("Rain", num_inference_steps=20, generator=torch.Generator("cpu").manual_seed(0))
    return time.perf_counter() - start
clip()
for line in sys.stdin:
    print(clip(), flush=True)
"""


def main():
    """Measure, and print the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="clips alone and beside the neighbour, in turns")
    repeats = parser.parse_args().repeats
    record = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "cpu": processor(), "threads": torch.get_num_threads()}
    record |= {"system": platform.system(), "torch": torch.__version__, "repeats": repeats, "seconds": {}}
    for name, value in SETTINGS.items():
        environment = {key: text for key, text in os.environ.items() if key != "GOMP_SPINCOUNT"}
        if value:
            environment["GOMP_SPINCOUNT"] = value
        alone, beside = [], []
        with subprocess.Popen(
            [sys.executable, "-c", _CLIPS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        ) as clips:

            def clip(clips=clips):
                clips.stdin.write("\n")
                clips.stdin.flush()
                return float(clips.stdout.readline())

            for _ in range(repeats):
                alone.append(clip())
                neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
                try:
                    beside.append(clip())
                finally:
                    neighbour.kill()
                    neighbour.wait()
            clips.stdin.close()
        ratio = float(np.median(beside) / np.median(alone))
        record["seconds"][name] = {"alone": alone, "beside": beside, "ratio of medians": ratio}
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
