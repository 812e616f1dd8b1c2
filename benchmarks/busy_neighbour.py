"""How much a busy neighbour costs: `python -m benchmarks.busy_neighbour` prints one JSON record.

torch's OpenMP threads spin while they wait for one another. Where another process takes a core, the others then spin in
vain. `GOMP_SPINCOUNT` shortens the spin; `import helpers` sets it to 1000 unless the user chose a value. Each setting
makes clips in a process of its own, in turns with the others, alone and beside one process that never rests.
"""

import argparse
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from datetime import UTC, datetime

import numpy as np
import torch

from helpers.devices import libraries, processor

SETTINGS = {"OpenMP's own": {}} | {f"GOMP_SPINCOUNT={n}": {"GOMP_SPINCOUNT": f"{n}"} for n in (100, 1000, 10_000)}
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
    record |= {"libraries": libraries(), "repeats": repeats, "seconds": {}}
    environment = {key: text for key, text in os.environ.items() if key != "GOMP_SPINCOUNT"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", _CLIPS]
    with ExitStack() as stack:
        makers = {
            name: stack.enter_context(subprocess.Popen(command, env=environment | setting, **pipes))
            for name, setting in SETTINGS.items()
        }

        def clips():
            """One clip with each setting, in turns: the seconds by name."""
            found = {}
            for name, maker in makers.items():
                maker.stdin.write("\n")
                maker.stdin.flush()
                found[name] = float(maker.stdout.readline())
            return found

        clips()  # by now all of them have loaded
        alone, beside = [], []
        for _ in range(repeats):
            alone.append(clips())
            neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            try:
                beside.append(clips())
            finally:
                neighbour.kill()
                neighbour.wait()
        for maker in makers.values():
            maker.stdin.close()
    for name in SETTINGS:
        both = {"alone": [one[name] for one in alone], "beside": [one[name] for one in beside]}
        ratio = float(np.median(both["beside"]) / np.median(both["alone"]))
        record["seconds"][name] = both | {"ratio of medians": ratio}
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
