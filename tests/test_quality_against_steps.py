"""The program that measures the recorded curve of lesson 6."""

import json

import pytest

from benchmarks import quality_against_steps as benchmark
from helpers import solvers

TINY = ["--seeds", "2", "--prompts", "1", "--steps", "1,2"]


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    path = tmp_path_factory.mktemp("results") / "quality_against_steps.json"
    benchmark.main([*TINY, "--json", str(path)])
    return path


def test_the_file_says_where_when_and_with_what(record):
    results = json.loads(record.read_text())
    assert {"torch", "diffusers", "transformers", "python"} <= set(results["versions"])
    assert results["machine"]["threads"] >= 1 and results["machine"]["cpu"]
    assert results["checkpoint"]["name"] == "pocket" and len(results["checkpoint"]["fingerprint"]) == 12
    assert results["date"] and results["settings"]["seeds"] == [0, 1]
    assert str(record.parent) not in record.read_text()


def test_one_point_for_each_scheduler_and_number_of_steps(record):
    results = json.loads(record.read_text())
    found = [(entry["scheduler"], entry["steps"]) for entry in results["curve"]]
    assert found == [(name, steps) for name in benchmark.SCHEDULERS for steps in (1, 2)]
    for entry in [*results["curve"], results["cross_check"]]:
        assert 0 < entry["distance"]["low"] <= entry["distance"]["median"] <= entry["distance"]["high"]
        assert -1 <= entry["clap"] <= 1 and abs(entry["clap_change"]["median"]) < 2
        assert 0 <= entry["recognised"] <= 1
    assert results["reference"]["steps"] > 2 and results["cross_check"]["steps"] > results["reference"]["steps"]
    assert results["inter_seed_distance"]["median"] > 0


def test_goes_on_where_it_stopped(tmp_path, monkeypatch):
    path, asked = tmp_path / "curve.json", []

    def measure(pipe, prompt, *settings, judge, progress):
        asked.append(prompt)
        if len(asked) == 2:
            raise KeyboardInterrupt
        numbers = {"scheduler": "DDIM", "steps": 1, "clap": [0.5, 0.5], "distance": [1.0, 2.0]}
        return {"reference": numbers, "cross_check": numbers, "points": [numbers], "inter_seed_distance": [3.0, 3.0]}

    monkeypatch.setattr(solvers, "measure_prompt", measure)
    arguments = ["--prompts", "2", "--seeds", "2", "--steps", "1", "--json", str(path)]
    with pytest.raises(KeyboardInterrupt):
        benchmark.main(arguments)
    assert not path.exists()
    benchmark.main(arguments)
    prompts = [prompt for prompt, _ in benchmark.PROMPTS]
    assert asked == [prompts[0], prompts[1], prompts[1]]
    assert [file.name for file in tmp_path.iterdir()] == ["curve.json"]
    benchmark.main([*arguments[:2], "--seeds", "3", *arguments[4:]])
    assert asked[3:] == prompts[:2], "what was measured with other settings was taken over"


def test_schedulers_share_what_the_checkpoint_was_trained_with_and_nothing_else():
    config = {"prediction_type": "v_prediction", "beta_start": 0.0015, "timestep_spacing": "leading"}
    made = benchmark.make_schedulers(config)
    assert {scheduler.config.prediction_type for scheduler in made.values()} == {"v_prediction"}
    assert {name for name, scheduler in made.items() if scheduler.config.get("use_karras_sigmas")} == {
        "DPM++ 2M, Karras"
    }
    spacings = {name: scheduler.config.timestep_spacing for name, scheduler in made.items()}
    assert spacings.pop("DPM++ 2M, leading") == "leading" and set(spacings.values()) == {"trailing"}


@pytest.mark.parametrize("arguments", [["--steps", "0,5"], ["--steps", "1000"], ["--steps", "x"], ["--prompts", "0"]])
def test_refuses_what_cannot_be_measured(arguments, capsys):
    with pytest.raises(SystemExit):
        benchmark.main(arguments)
    assert "error: argument" in capsys.readouterr().err


def test_lesson_6_draws_what_was_measured(record):
    curve = solvers.recorded(record)
    date = json.loads(record.read_text())["date"]
    assert curve.title == f"Recorded {date} {curve.title[20:]}" and "pocket, 2 clips at each point" in curve.title
    assert list(curve.distances) == list(benchmark.SCHEDULERS)
    titles = [ax.get_title() for ax in curve.plot().figure.axes]
    assert titles == ["Distance to the reference", "Fit to the prompt, against the reference"]
