import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import torch

import helpers
from helpers import scoreboard
from helpers.measuring import STAGES, Timing, Trial
from helpers.report import Report
from helpers.yardstick import Moved, Yardstick


def timing(seconds, denoising, steps, pipe, peak=None):
    calls = [dict.fromkeys(STAGES, 0.0) | {"denoising": denoising}]
    return Timing(9, seconds, calls, steps, peak, pipe=pipe)


def found(change="SDPA", after=(4.0, 5.0, 4.0), path="pocket/checkpoint", step=True, peaks=(None, None)):
    pipe = SimpleNamespace(
        _execution_device=torch.device("cpu"), unet=SimpleNamespace(dtype=torch.float32), name_or_path=path
    )
    clip = {
        "slow": timing([24.0, 25.0, 28.0][: len(after)], 20.0, 200, pipe, peaks[0]),
        "fast": timing(list(after), 2.0, 20, pipe, peaks[1]),
    }
    steps = {"slow": Timing(9, [4.0, 5.0]), "fast": Timing(9, [2.0, 2.0])}
    moved = Moved([0.3], Yardstick(4.2, 20))
    return Report(change, Trial(clip), Trial(steps) if step else None, moved)


@pytest.fixture
def board(tmp_path):
    return helpers.Scoreboard(tmp_path / "scoreboard.jsonl")


def rows(board):
    lines = [line.strip("| ").split(" | ") for line in board.table().data.splitlines()]
    return {line[0]: line[1:] for line in lines[2:]}


def test_both_columns_are_kept(board):
    board.record(found(peaks=(2**30, 2**29)))
    clip, step, sound, memory, where = rows(helpers.Scoreboard(board.path))["SDPA"]
    assert clip == "25 s → 4 s: 6.25x (pair by pair 5x to 7x over 3 pairs); steps 200 × 0.1 s → 20 × 0.1 s"
    assert step == "4.5 s → 2 s: 2.25x (pair by pair 2x to 2.5x over 2 pairs)"
    assert sound == "nearly the same clip: 0.3 dB apart; another seed is 4.2 dB away (median of 20 pairs)"
    assert memory == "1.00 → 0.50" and where == "cpu, float32, pocket"
    assert "SDPA, a clip: 25 s before, 4 s after. SDPA, a step: 4.5 s before, 2 s after." in board.chart().alt


def test_the_last_record_counts_and_the_others_stay(board, monkeypatch):
    board.record(found())
    board.record(found("scheduler swap"))
    board.record(found(after=(24.0,), step=False))
    monkeypatch.setenv("AUDIOLDM2_SCOREBOARD", str(board.path))
    other = helpers.Scoreboard()
    lines = rows(other)
    assert list(lines) == list(scoreboard.RUNGS)
    assert "1x (one pair)" in lines["SDPA"][0] and lines["SDPA"][1] == "–"
    assert lines["half precision"][-1] == "not measured yet (lesson 4)"
    assert "half precision: not measured yet." in other.chart().alt


@pytest.mark.parametrize("broken", ["{", "[]", "3", '{"rung": "SDPA"}', "\x00\x01", ""])
def test_a_broken_line_costs_only_itself(board, broken):
    board.record(found())
    with board.path.open("a") as file:
        file.write(broken + "\n" + json.dumps(json.loads(board.path.read_text()) | {"rung": "CPU offload"}) + "\n")
    with pytest.warns(UserWarning, match="1 of its lines"):
        lines = rows(helpers.Scoreboard(board.path))
    assert lines["SDPA"][0].startswith("25 s") and lines["CPU offload"][0].startswith("25 s")


def test_what_cannot_be_written_is_kept_until_the_kernel_ends(tmp_path):
    (tmp_path / "file").touch()
    board = helpers.Scoreboard(tmp_path / "file" / "scoreboard.jsonl")
    with pytest.warns(UserWarning, match="not saved"):
        board.record(found())
    assert rows(board)["SDPA"][0].startswith("25 s")
    (tmp_path / "file").unlink()  # now it can be written, and what another kernel writes counts again
    board.record(found(after=(2.5,)))
    helpers.Scoreboard(board.path).record(found(after=(12.0,)))
    assert "2x (one pair)" in rows(board)["SDPA"][0]


def test_records_of_another_machine_are_marked(board):
    board.record(found())
    entry = json.loads(board.path.read_text())
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    entry |= {"rung": "half precision", "machine": "Linux, Z80, 1 CPUs", "checkpoint": "cvssp/audioldm2", "date": later}
    with board.path.open("a") as file:
        file.write(json.dumps(entry) + "\n")
    lines = rows(board)
    assert "**not comparable:** other machine (Linux, Z80, 1 CPUs)" in lines["half precision"][-1]
    assert "other checkpoint (pocket)" in lines["SDPA"][-1]


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
    board.record(found(path=loaded))
    text = board.path.read_text()
    assert json.loads(text)["checkpoint"] == name and "ada" not in text
