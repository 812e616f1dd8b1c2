import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import torch
from helpers.stages import StageComparison, Stages
from helpers.timing import Comparison, Measurement

import helpers
from helpers import scoreboard

BEFORE = Stages({"denoising": 20.0, "vocoder": 4.0}, unet_calls=200)
AFTER = Stages({"denoising": 2.0, "vocoder": 2.0}, unet_calls=20)
PAIRS = StageComparison(BEFORE, AFTER, [6.0, 5.0, 7.0])
MOVED = (0.012, 4.2)  # dB, and to another seed
STEP = Comparison(Measurement(9, [4.0, 5.0]), Measurement(9, [2.0, 2.0]))
PIPE = SimpleNamespace(
    _execution_device=torch.device("cpu"), unet=SimpleNamespace(dtype=torch.float32), name_or_path="pocket/checkpoint"
)


@pytest.fixture
def board(tmp_path):
    return helpers.Scoreboard(tmp_path / "scoreboard.jsonl")


def rows(board):
    lines = [line.strip("| ").split(" | ") for line in board.table().data.splitlines()]
    return {line[0]: line[1:] for line in lines[2:]}


def test_both_columns_are_kept(board):
    board.record("SDPA", PAIRS, PIPE, True, *MOVED, (2**30, 2**29), official=STEP)
    clip, step, sound, memory, where = rows(helpers.Scoreboard(board.path))["SDPA"]
    assert clip == "24 s → 4 s: 6x (5x to 7x over 3 pairs); steps 200 × 0.1 s → 20 × 0.1 s"
    assert step == "4.5 s → 2 s: 2.25x (2x to 2.5x over 2 pairs)"
    assert sound == "lossless, 0.01 dB away (another seed: 4.20 dB)" and memory == "1.00 → 0.50"
    assert where == "cpu, float32, pocket"
    assert "SDPA, a clip: 24 s before, 4 s after. SDPA, a step: 4.5 s before, 2 s after." in board.chart().alt


def test_the_last_record_counts_the_others_stay_and_the_board_travels_in_a_file(board, tmp_path):
    board.record("SDPA", PAIRS, PIPE, True, *MOVED)
    board.record("scheduler swap", PAIRS, PIPE, False, *MOVED)
    board.record("SDPA", StageComparison(BEFORE, BEFORE, [1.0]), PIPE, True, *MOVED)
    board.save(tmp_path / "drive.jsonl")
    other = helpers.Scoreboard(tmp_path / "other.jsonl")
    other.load(tmp_path / "drive.jsonl")
    found = rows(other)
    assert list(found) == list(scoreboard.RUNGS)
    assert "1x (one pair)" in found["SDPA"][0] and found["SDPA"][1] == "–"
    assert found["scheduler swap"][2].startswith("lossy")
    assert found["half precision"][-1] == "not measured yet (lesson 4)"
    assert "half precision: not measured yet." in other.chart().alt


@pytest.mark.parametrize("broken", ["{", "[]", "3", '{"rung": "SDPA"}', "\x00\x01", ""])
def test_a_broken_line_costs_only_itself(board, broken):
    board.record("SDPA", PAIRS, PIPE, True, *MOVED)
    with board.path.open("a") as file:
        file.write(broken + "\n" + json.dumps(json.loads(board.path.read_text()) | {"rung": "CPU offload"}) + "\n")
    with pytest.warns(UserWarning, match="1 of its lines"):
        found = rows(helpers.Scoreboard(board.path))
    assert found["SDPA"][0].startswith("24 s") and found["CPU offload"][0].startswith("24 s")


def test_what_cannot_be_written_is_kept_until_the_kernel_ends(tmp_path):
    (tmp_path / "file").touch()
    board = helpers.Scoreboard(tmp_path / "file" / "scoreboard.jsonl")
    with pytest.warns(UserWarning, match="not saved"):
        board.record("SDPA", PAIRS, PIPE, True, *MOVED)
    assert rows(board)["SDPA"][0].startswith("24 s")


def test_records_of_another_machine_are_marked(board):
    board.record("SDPA", PAIRS, PIPE, True, *MOVED)
    entry = json.loads(board.path.read_text())
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    entry |= {"rung": "half precision", "machine": "Linux, Z80, 1 CPUs", "checkpoint": "cvssp/audioldm2", "date": later}
    with board.path.open("a") as file:
        file.write(json.dumps(entry) + "\n")
    found = rows(board)
    assert "**not comparable:** other machine (Linux, Z80, 1 CPUs)" in found["half precision"][-1]
    assert "other checkpoint (pocket)" in found["SDPA"][-1]


@pytest.mark.parametrize(
    ("loaded", "name"),
    [
        ("/home/ada/course/pocket/checkpoint", "pocket"),
        ("cvssp/audioldm2", "cvssp/audioldm2"),
        ("/home/ada/.cache/hub/models--cvssp--audioldm2/snapshots/c8e7", "cvssp/audioldm2"),
        ("/home/ada/my-checkpoint", "my-checkpoint"),
    ],
)
def test_a_checkpoint_is_named_without_the_users_folders(board, loaded, name):
    pipe = SimpleNamespace(**vars(PIPE) | {"name_or_path": loaded})
    board.record("SDPA", PAIRS, pipe, True, *MOVED)
    text = board.path.read_text()
    assert json.loads(text)["checkpoint"] == name and "ada" not in text
