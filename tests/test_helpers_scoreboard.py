import json
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch
from filelock import FileLock

import helpers
from helpers import scoreboard
from helpers.scoreboard import RUNGS
from helpers.stages import StageComparison, Stages

PIPE = SimpleNamespace(
    _execution_device=torch.device("cpu"),
    unet=SimpleNamespace(dtype=torch.bfloat16),
    name_or_path="/a/pocket/checkpoint",
)


def stages(denoising, rest, calls):
    return Stages({"denoising": denoising, "vocoder": rest}, calls)


FASTER = StageComparison(stages(8, 2, 50), stages(3, 2, 20), [1.8, 2.0, 2.4])


def record(board, rung="SDPA", lossless=True, pipe=PIPE, **more):
    board.record(rung, FASTER, pipe, lossless, **more)


@pytest.fixture
def board(tmp_path):
    return helpers.Scoreboard(tmp_path / "scoreboard.json")


def change(board, rung="SDPA", **values):
    content = json.loads(board.path.read_text())
    content["rungs"][rung].update(values)
    board.path.write_text(json.dumps(content))


def row(board, rung):
    return next(line for line in board.table().data.splitlines() if line.startswith(f"| {rung} |"))


def test_what_is_written_down(board):
    record(board, distance=0.5, seed_spread=9, peak_memory=(2 * 2**30, 2**30))
    content = json.loads(board.path.read_text())
    assert content["version"] == 1
    entry = content["rungs"]["SDPA"]
    assert entry["before"] == {"seconds_per_step": 0.16, "unet_calls": 50, "fixed": 2, "total": 10}
    assert entry["after"] == {"seconds_per_step": 0.15, "unet_calls": 20, "fixed": 2, "total": 5}
    assert entry["speedup"] == 2 and entry["spread"] == pytest.approx(0.3)
    assert (entry["distance"], entry["seed_spread"], entry["lossless"]) == (0.5, 9, True)
    assert entry["peak_memory"] == [2 * 2**30, 2**30]
    assert (entry["device"], entry["dtype"], entry["checkpoint"]) == ("cpu", "bfloat16", "pocket")
    assert f"torch {torch.__version__}" in entry["versions"]


def test_the_table_shows_it(board):
    record(board, distance=0.5, seed_spread=9, peak_memory=(2 * 2**30, 2**30))
    assert row(board, "SDPA") == (
        "| SDPA | 50 × 0.16 → 20 × 0.15 | 2 → 2 | 10 → 5 | 2 (spread 0.3) | lossless, 0.50 dB away "
        "(another seed: 9.00 dB) | 2.00 → 1.00 | cpu, bfloat16, pocket |"
    )


def test_what_was_not_measured_is_not_invented(board):
    lines = board.table().data.splitlines()[2:]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines] == list(RUNGS)
    for line, lesson in zip(lines, RUNGS.values(), strict=True):
        assert line.endswith(f"| – | – | – | – | – | – | not measured yet (lesson {lesson}) |")
    assert board.chart().alt.count("not measured yet") == len(RUNGS)
    record(board, "torch.compile", peak_memory=(None, None))
    assert "| lossless | – | cpu" in row(board, "torch.compile")
    assert board.table().data.count("not measured yet") == len(RUNGS) - 1


def test_the_file_travels(board):
    record(board)
    later = helpers.Scoreboard(board.path)
    record(later, "scheduler swap", lossless=False)
    assert "not measured" not in row(board, "scheduler swap") and "lossy" in row(board, "scheduler swap")
    record(later, "scheduler swap", distance=3)
    assert "lossless, 3.00 dB" in row(board, "scheduler swap")  # measured again, not twice


def test_where_the_file_lies(tmp_path, monkeypatch):
    monkeypatch.setenv("AUDIOLDM2_SCOREBOARD", str(tmp_path / "class" / "mine.json"))
    record(helpers.Scoreboard())
    assert (tmp_path / "class" / "mine.json").exists()
    monkeypatch.delenv("AUDIOLDM2_SCOREBOARD")
    monkeypatch.chdir(tmp_path)
    assert helpers.Scoreboard().path == tmp_path / "scoreboard.json"


def test_an_unknown_rung_names_the_known(board):
    with pytest.raises(
        ValueError, match="rung is 'sdpa', but must be one of 'SDPA', 'half precision', .*'your recipe'"
    ):
        record(board, "sdpa")


@pytest.mark.parametrize("bad", [{"distance": float("nan")}, {"seed_spread": -1}, {"peak_memory": (1, 2, 3)}])
def test_nonsense_is_not_written_down(board, bad):
    with pytest.raises(ValueError, match="nothing is written down"):
        record(board, **bad)
    assert not board.path.exists()
    with pytest.raises(TypeError, match="what compare_stages returns"):
        board.record("SDPA", 2.0, PIPE, True)


BROKEN = {
    "empty": b"",
    "half written": b'{"version": 1, "rungs": {"SDPA": {"bef',
    "no text": b"\xff\xfe\x00",
    "deep": b"[" * 100_000,
    "a list": b"[1, 2]",
    "null": b"null",
    "foreign": b'{"name": "package"}',
    "of the future": b'{"version": 2, "rungs": {}}',
    "rungs of another type": b'{"version": 1, "rungs": [1]}',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_kept_and_stops_nothing(board, content):
    board.path.write_bytes(content)
    with pytest.warns(UserWarning, match="scoreboard.json (cannot be read|is a scoreboard of version 2)") as caught:
        assert "not measured yet (lesson 3)" in board.table().data
    assert len(caught) == 1
    with pytest.warns(UserWarning, match="it is kept as scoreboard.json.broken") as caught:
        record(board)
    assert len(caught) == 1
    assert (board.path.parent / "scoreboard.json.broken").read_bytes() == content
    assert "10 → 5" in row(board, "SDPA")


@pytest.mark.parametrize(
    "wrong",
    [
        {"before": None}, {"after": {}}, {"speedup": "2"}, {"spread": float("nan")}, {"lossless": "yes"}, {"device": 7},
        {"peak_memory": 5}, {"date": None}, {"versions": {}},
        {"before": {"seconds_per_step": 1, "unet_calls": 1, "fixed": 0, "total": 0}},
    ],
)  # fmt: skip
def test_a_wrongly_typed_rung_is_left_out_and_the_others_stay(board, wrong):
    record(board)
    record(board, "half precision")
    change(board, **wrong)
    fresh = helpers.Scoreboard(board.path)
    with pytest.warns(UserWarning, match="holds nothing sensible for SDPA"):
        assert "not measured yet" in row(fresh, "SDPA")
    with pytest.warns(UserWarning, match="kept as scoreboard.json.broken"):
        record(fresh, "CPU offload")
    assert "10 → 5" in row(fresh, "half precision") and "10 → 5" in row(fresh, "CPU offload")


def test_rungs_of_a_later_course_are_kept(board):
    record(board)
    content = json.loads(board.path.read_text())
    content["rungs"]["distillation"] = {"anything": 1}
    board.path.write_text(json.dumps(content))
    record(board, "half precision")
    assert json.loads(board.path.read_text())["rungs"]["distillation"] == {"anything": 1}
    assert "distillation" not in board.table().data


@pytest.mark.parametrize("name", ["machine", "device", "checkpoint", "versions"])
def test_a_rung_of_another_set_up_is_marked(board, name):
    record(board)
    record(board, "half precision")
    assert "not comparable" not in board.table().data
    change(board, **{name: "something else", "date": "2020-01-01"})
    fresh = helpers.Scoreboard(board.path)
    assert f"**not comparable:** other {name} (something else)" in row(fresh, "SDPA")
    assert "10 → 5" in row(fresh, "SDPA")
    assert "not comparable" not in row(fresh, "half precision")
    assert f"{name} (something else)" in fresh.chart().alt


def test_a_file_that_came_from_elsewhere_is_marked_as_a_whole(board):
    record(board)
    change(board, machine="a laptop")
    assert "not comparable" in row(helpers.Scoreboard(board.path), "SDPA")


def test_the_chart_tells_steps_from_rest_and_lossy_from_lossless(board):
    record(board)
    record(board, "scheduler swap", lossless=False)
    picture = board.chart()
    (ax,) = picture.figure.axes
    widths = [round(bar.get_width(), 6) for bar in ax.patches]
    assert widths == [80, 20, 30, 20] * 2
    assert [bool(bar.get_hatch()) for bar in ax.patches] == [False] * 6 + [True] * 2
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels[0] == "SDPA\n(lossless)" and labels[3] == "scheduler swap\n(lossy)" and labels[1] == "half precision"
    assert "%" in ax.get_xlabel()
    assert "SDPA (lossless): 10 → 5 s a clip, of which the rest 2 → 2 s." in picture.alt
    assert "not measured yet (lesson 4)" in picture.alt
    assert "<img alt=" in picture._repr_html_()


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way")
    board = helpers.Scoreboard(tmp_path / "file" / "scoreboard.json")
    with pytest.warns(UserWarning, match="not saved, only kept until the kernel ends"):
        record(board)
    with pytest.warns(UserWarning):
        assert "10 → 5" in row(board, "SDPA")


def test_a_full_disk_leaves_the_old_file(board, monkeypatch):
    record(board)
    before = board.path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scoreboard.os, "replace", full)
    with pytest.warns(UserWarning, match="No space left"):
        record(board, "CPU offload")
    monkeypatch.undo()
    assert board.path.read_bytes() == before
    assert not list(board.path.parent.glob("*.tmp"))
    record(board, "half precision")  # and what could not be saved then is saved now
    assert set(json.loads(board.path.read_text())["rungs"]) == {"SDPA", "CPU offload", "half precision"}


def test_two_kernels_lose_nothing_of_each_other(board):
    record(helpers.Scoreboard(board.path))
    written = json.loads(board.path.read_text())
    with FileLock(f"{board.path}.lock"):  # another kernel is about to write
        waits = threading.Thread(target=record, args=(board, "CPU offload"))
        waits.start()
        waits.join(0.3)
        assert waits.is_alive()
        written["rungs"]["half precision"] = written["rungs"].pop("SDPA")
        board.path.write_text(json.dumps(written))
    waits.join(10)
    assert set(json.loads(board.path.read_text())["rungs"]) == {"half precision", "CPU offload"}


def test_a_lock_that_is_never_released_stops_nothing(board, monkeypatch):
    monkeypatch.setattr(scoreboard, "PATIENCE", 0.2)
    with FileLock(f"{board.path}.lock"):
        with ThreadPoolExecutor() as pool, pytest.warns(UserWarning, match="not saved"):
            pool.submit(record, board).result(timeout=5)
    assert "10 → 5" in row(board, "SDPA")


@pytest.mark.parametrize(
    ("checkpoint", "path", "name"),
    [
        ("auto", "/course/pocket/checkpoint", "pocket"),
        ("auto", "/home/me/.cache/hub/models--cvssp--audioldm2-music/snapshots/c8e7", "cvssp/audioldm2-music"),
        ("pocket", "anything", "pocket"),
        ("cvssp/audioldm2", "anything", "cvssp/audioldm2"),
        ("/home/me/mine", "anything", "mine"),
    ],
)
def test_a_checkpoint_has_one_name(board, checkpoint, path, name):
    record(board, pipe=SimpleNamespace(**vars(PIPE) | {"name_or_path": path}), checkpoint=checkpoint)
    assert row(board, "SDPA").endswith(f"cpu, bfloat16, {name} |")


def test_a_real_pipeline_is_read(board, pocket):
    record(board, pipe=pocket)
    assert row(board, "SDPA").endswith("| cpu, float32, pocket |")
