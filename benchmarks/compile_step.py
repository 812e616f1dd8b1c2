"""Measure torch.compile on one step of the official UNet, and record it for lesson 5.

Run `python -m benchmarks.compile_step` on a quiet machine; it takes some minutes.
"""

import json
from datetime import UTC, datetime

import torch

from helpers.devices import best_device, processor
from helpers.topics import compiling


def main():
    """Measure, print, and write helpers/records/compile-official.json."""
    gpu = best_device().startswith("cuda")
    mode = "reduce-overhead" if gpu else "default"
    found = compiling.measure_official(mode)
    where = torch.cuda.get_device_name() if gpu else f"{processor()}, {torch.get_num_threads()} CPU threads"
    content = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{where}, torch {torch.__version__}, mode {mode!r}, float32",
        "trial": found.as_record(),
    }
    compiling.RECORD.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"{found}; first call {found.after.first:.0f} s")


if __name__ == "__main__":
    main()
