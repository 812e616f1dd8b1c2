"""The day a GPU is there, rehearsed without one."""

import json

import pytest

from benchmarks import gpu_day


def test_a_rehearsal_writes_every_row_and_is_refused_by_the_reader(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    monkeypatch.setattr(gpu_day.Day, "notebook", lambda self, path: {"seconds": 1})  # nbmake runs them beside this
    rows = gpu_day.measure(path, rehearse=True)["rows"]
    assert json.loads(path.read_text(encoding="utf-8"))["rows"] == rows
    assert list(rows)[:2] == ["step, vanilla", "step, SDPA"] and "150 s x 4, offload" in rows
    assert not {name: row for name, row in rows.items() if "error" in row}
    assert all(row["seconds"] for row in rows.values())
    with pytest.raises(ValueError, match="rehearsal"):
        gpu_day.read(path)


def test_time_that_is_up_loses_no_row_and_the_next_run_goes_on(tmp_path, monkeypatch):
    made = []
    rows = {"one": lambda: made.append(1) or {"seconds": [1]}, "two": lambda: 1 / 0, "three": lambda: {"seconds": [3]}}
    monkeypatch.setattr(gpu_day.Day, "__init__", lambda self, rehearse: None)
    monkeypatch.setattr(gpu_day.Day, "rows", lambda self: rows)
    path = tmp_path / "record.json"
    gpu_day.measure(path, rehearse=True, only="one")
    found = gpu_day.measure(path, rehearse=True)["rows"]
    assert made == [1] and "ZeroDivisionError" in found["two"]["error"] and found["three"]
    assert gpu_day.measure(tmp_path / "none.json", rehearse=True, limit=-1)["rows"] == {}
