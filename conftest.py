"""What every test starts from: no network, no windows, a scoreboard of its own, threads that share the cores."""

import os
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported, so before helpers
os.environ["MPLBACKEND"] = "Agg"
os.environ.pop("AUDIOLDM2_CHECKPOINT", None)
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
if _WORKERS > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // _WORKERS)))
_FOLDER = tempfile.TemporaryDirectory()  # as long as this process lives
os.environ["AUDIOLDM2_SCOREBOARD"] = str(Path(_FOLDER.name) / "scoreboard.jsonl")  # lessons leave none in the tree

import helpers  # noqa: E402, F401  before torch, because it tells torch's threads how long to spin


def pytest_xdist_auto_num_workers(config):
    """Two workers; none for a single file, whose tests then start at once."""
    one = len(config.args) == 1 and Path(config.args[0].split("::")[0]).is_file()
    return 0 if one else 2
