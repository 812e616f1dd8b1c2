"""The day a GPU is there, rehearsed without one; and who reads what it found."""

import json
import shutil

import nbformat
import pytest

from benchmarks import gpu_day
from helpers.topics import gpu, tour
from tools import figures


def test_a_rehearsal_writes_every_row_and_is_refused_by_the_reader(tmp_path, monkeypatch):
    path = tmp_path / "gpu.json"
    monkeypatch.setattr(gpu_day.Day, "notebook", lambda self, path: {"seconds": 1})  # nbmake runs them beside this
    rows = gpu_day.measure(path, rehearse=True)["rows"]
    assert json.loads(path.read_text(encoding="utf-8"))["rows"] == rows
    assert list(rows)[:2] == ["step, vanilla", "step, SDPA"] and "150 s x 4, offload" in rows
    assert any("part guidance" in name for name in rows) and sum("notebook" in name for name in rows) == 6
    assert not {name: row for name, row in rows.items() if "error" in row}
    assert all(row["seconds"] for row in rows.values())
    with pytest.raises(ValueError, match="rehearsal"):
        gpu.read(path)


def test_a_notebook_is_run_and_what_it_prints_is_kept(tmp_path):
    parameters = nbformat.v4.new_code_cell("STEPS = 200", id="parameters", metadata={"nbmake": {"mock": {"STEPS": 2}}})
    shown = nbformat.v4.new_code_cell("print(STEPS)\nprint('done')\nopen('runs', 'a').write('x')", id="show")
    nbformat.write(nbformat.v4.new_notebook(cells=[parameters, shown]), tmp_path / "lesson.ipynb")
    day = gpu_day.Day.__new__(gpu_day.Day)
    day.tiny = True
    for _ in range(2):  # an executed copy would take no time
        assert day.notebook(tmp_path / "lesson.ipynb")["printed"] == ["2", "done"]
    assert (tmp_path / "runs").read_text() == "xx"


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


@pytest.fixture
def records(tmp_path, monkeypatch):
    """The folder of records, where that of a GPU may be put."""
    shutil.copytree(tour.RECORDS, tmp_path / "records")
    monkeypatch.setattr(figures, "GPU", tmp_path / "records" / "gpu.json")
    return tmp_path / "records"


def put(records, **changes):
    rows = {"step, vanilla": {"seconds": [9]}, "step, SDPA": {"seconds": [0.25, 0.5, 8]}}
    rows |= {"step, float16": {"seconds": [0.125]}, "step, compiled": {"error": "BackendError: no"}}
    rows |= {"150 s x 4, on device": {"error": "OutOfMemoryError: CUDA"}, "150 s x 4, offload": {"seconds": [36]}}
    record = {"rehearsal": False, "machine": "Abacus", "date": "1999-01-01", "rows": rows} | changes
    (records / "gpu.json").write_text(json.dumps(record), encoding="utf-8")


def test_a_record_appears_in_the_tour_and_in_the_table_of_claims(records):
    page = figures.RESULTS.read_text(encoding="utf-8")
    before = tour.WayDown(records).recorded("half precision")
    assert figures.with_claims(page) == page and "Abacus" not in before
    put(records)
    way, table = tour.WayDown(records), figures.with_claims(page)
    assert "100 s → 25 s\n(200 times one step; Abacus; 1999-01-01)" in way.recorded("half precision")
    assert "Abacus" not in way.recorded("torch.compile")  # which failed there
    assert "Abacus, 1999-01-01: step, SDPA 0.5 s → step, float16 0.125 s <!--" in table
    assert "150 s x 4, on device OutOfMemoryError → 150 s x 4, offload 36 s <!--" in table
    assert table.count("Abacus") == 4  # no row without its figures


def test_nobody_reads_a_rehearsal(records):
    put(records, rehearsal=True)
    for read in (
        lambda: tour.WayDown(records),
        lambda: figures.with_claims(figures.RESULTS.read_text(encoding="utf-8")),
    ):
        with pytest.raises(ValueError, match="rehearsal"):
            read()


def test_every_row_that_a_claim_names_will_be_there():
    day = gpu_day.Day.__new__(gpu_day.Day)
    day.__dict__ |= {"tiny": False, "steps": 20}
    named = {name for claim in json.loads(figures.CLAIMS.read_text(encoding="utf-8")) for name in claim.get("gpu", ())}
    assert named and named <= set(day.rows())
