"""The tour's bars: what is measured here, what a record says, and that the two are kept apart."""

import json

import pytest
from capabilities import needs

from helpers.measuring import Timing
from helpers.topics import tour
from tools.execute import ROOT


@pytest.fixture
def records(tmp_path):
    for name in ("tour.json", "claims.json"):
        (tmp_path / name).write_bytes((tour.RECORDS / name).read_bytes())
    return tmp_path


def timing(seconds, step, steps=10):
    stages = {"text encoding": 0.1, "denoising": steps * step, "VAE decoding": 0.1, "vocoder": 0.1, "other": 0.0}
    return Timing(seconds=[seconds], calls=[stages], unet_calls=steps)


def way_down(records):
    way = tour.WayDown(records)
    way.measured("vanilla", 200, timing(1.3, 0.1), Timing(seconds=[4.0]))
    way.recorded("torch.compile")
    way.measured("DPM++", 20, timing(1.3, 0.1), Timing(seconds=[2.0]))
    return way


def widths(way, panel):
    return [round(bar.get_width(), 3) for bar in way.chart().figure.axes[panel].patches]


def change(records, edit):
    path = records / "tour.json"
    record = json.loads(path.read_text("utf-8"))
    edit(record)
    path.write_text(json.dumps(record), "utf-8")


def test_a_clip_is_computed_from_steps_and_the_rest(records):
    way = way_down(records)
    assert widths(way, 0) == [20.3, 2.3]
    assert way.speedups() == pytest.approx((20.3 / 2.3, 800 / 40))
    assert "official size 200 x 4 s = 800 s" in way.notes["vanilla"]
    assert way.notes["DPM++"] == "20.3 s → 2.3 s; official size 800 s → 40 s"


def test_a_recorded_bar_moves_with_its_record_and_enters_no_number_of_the_learner(records):
    way = way_down(records)
    own, bars = way.speedups(), widths(way, 1)
    change(records, lambda record: record["torch.compile"].update(after=123.0, machine="Abacus", date="1999-01-01"))
    moved = way_down(records)
    assert [new for new, old in zip(widths(moved, 1), bars, strict=True) if new != old] == [123.0]
    assert moved.speedups() == own
    assert "Abacus" in moved.chart().alt and "1999-01-01" in moved.recorded("torch.compile")


def test_recorded_bars_have_another_colour(records):
    chart = way_down(records).chart().figure
    faces = {bar.get_facecolor() for bar in chart.axes[0].patches}
    assert len(faces) == 1 and {bar.get_facecolor() for bar in chart.axes[1].patches} > faces


def test_labels_stay_within_the_frame(records):
    change(records, lambda record: record["torch.compile"].update(before=1234.0, after=1234.0))  # the longest bar
    chart = way_down(records).chart().figure
    chart.draw_without_rendering()
    labels = [(text.get_window_extent(), ax.bbox) for ax in chart.axes for text in ax.texts]
    assert len(labels) == 5 and not [label for label, frame in labels if label.x1 > frame.x1]


@pytest.mark.parametrize("whole", [False, True])
def test_without_a_record_it_says_so(records, whole):
    if whole:
        (records / "tour.json").unlink()
    else:
        change(records, lambda record: record.pop("torch.compile"))
    way = way_down(records)
    assert "Not recorded" in way.recorded("torch.compile") and "torch.compile: not recorded." in way.chart().alt
    assert "Not recorded" in way.claims().data


def test_the_record_agrees_with_those_it_is_taken_from():
    record = json.loads((tour.RECORDS / "tour.json").read_text("utf-8"))
    ladder = json.loads((ROOT / "benchmarks" / "results" / "ladder-full-size-cpu-2026-11-24.json").read_text("utf-8"))
    rungs = {row["key"]: row for row in ladder["rows"]}
    half, rest = record["half precision"], record["the rest"]
    assert [half["before"], half["after"]] == [rungs["sdpa"]["clip"], rungs["half"]["clip"]]
    parts = rungs["vanilla"]["seconds"]
    assert rest["after"] == pytest.approx(sum(parts.values()) - parts["denoising"])
    steps = json.loads((tour.RECORDS / "compile-official.json").read_text("utf-8"))["trial"]
    compiled = record["torch.compile"]
    medians = [200 * sorted(steps[name]["seconds"])[1] for name in ("eager", "compiled")]
    assert [compiled["before"], compiled["after"]] == pytest.approx(medians)


def test_every_claim_that_the_tour_tests_stands_beside_what_was_measured(records):
    way = way_down(records)
    way.notes["offload"] = "seen"
    shown = way.claims().data
    claims = json.loads((records / "claims.json").read_text("utf-8"))
    named = [claim for claim in claims if "tour" in claim]
    assert len(named) == 8 and all(claim["claim"] in shown for claim in named)
    assert "| seen |" in shown and "| not measured here |" in shown and "20.3 s → 2.3 s" in shown


@needs("a limit on memory")
def test_the_long_clip_runs_out_of_memory_and_the_short_one_fits():
    said = tour.run_out("rain", clips=4, long=150.0)
    assert "4 x 150 s: out of memory" in said and "1 x 5.12 s: fits" in said


def test_elsewhere_nothing_runs_out_of_memory(monkeypatch):
    monkeypatch.setattr(tour.sys, "platform", "win32")
    assert tour.run_out("rain", clips=4, long=150.0).startswith("Not run")
