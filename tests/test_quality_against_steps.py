"""The recorded curve of lesson 6: the program that measures it, and the cells that draw it."""

import json
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest

import helpers
from benchmarks import quality_against_steps as benchmark
from notebooks import address

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
    for entry in [*results["curve"], results["witness"]]:
        assert 0 < entry["distance"]["low"] <= entry["distance"]["median"] <= entry["distance"]["high"]
        assert -1 <= entry["clap"] <= 1 and abs(entry["clap_change"]["median"]) < 2
        assert 0 <= entry["recognised"] <= 1
    assert results["reference"]["steps"] > 2 and results["witness"]["steps"] > results["reference"]["steps"]
    assert results["seed_spread"]["median"] > 0


def test_goes_on_where_it_stopped(tmp_path, monkeypatch):
    path, asked = tmp_path / "curve.json", []

    def measure(pipe, schedulers, prompt, kinds, seeds, steps, seconds, progress):
        asked.append(prompt)
        if len(asked) == 2:
            raise KeyboardInterrupt
        numbers = {"scheduler": "DDIM", "steps": 1, "clap": [0.5, 0.5], "distance": [1.0, 2.0]}
        return {"reference": numbers, "witness": numbers, "points": [numbers], "seed_spread": [3.0, 3.0]}

    monkeypatch.setattr(benchmark, "measure_prompt", measure)
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


def test_a_scheduler_that_takes_another_number_of_steps_is_refused():
    pipe = helpers.load_pipeline("pocket")
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = benchmark.make_schedulers(pipe.scheduler.config)["DDIM"]
    pipe.unet.forward = lambda sample, *args, **kwargs: (sample,)
    with pytest.raises(RuntimeError, match="61"):
        benchmark.generate(pipe, "rain", [0], 61, 0.64)


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


@pytest.fixture
def draw_record():
    """The function of the lesson that draws a record, without running the lesson."""
    notebook = nbformat.read(address.HERE / "06_scheduler_swap.ipynb", 4)
    source = {cell.id: cell.source for cell in notebook.cells}
    names = {"np": np, "json": json, "helpers": helpers}
    exec("from matplotlib.figure import Figure\nfrom helpers.spectrograms import Picture", names)
    exec(_functions(source["picture"]), names)
    exec(_functions(source["recorded"]), names)
    return SimpleNamespace(call=names["draw_record"], cell=source["recorded"])


def _functions(source):
    """A cell without its last line, which calls what the cell defines."""
    return source[: source.rstrip().rindex("\n")]


def test_the_lesson_draws_the_record(record, draw_record, capsys):
    picture = draw_record.call(record)
    date = json.loads(record.read_text())["date"]
    assert f"Recorded on {date} with pocket" in capsys.readouterr().out
    assert "2 clips at each point" in picture.alt
    titles = [ax.get_title() for ax in picture.figure.axes]
    assert titles == ["Distance to the reference", "Fits the prompt worse or better", "Recognised by a small judge"]
    assert picture._repr_html_().startswith("<img alt=")


def test_the_lesson_says_that_there_is_no_record(tmp_path, draw_record, capsys):
    assert draw_record.call(tmp_path / "quality_against_steps.json") is None
    said = capsys.readouterr().out
    assert said.startswith("No recorded curve: quality_against_steps.json is not there") and said.count("\n") == 1


def test_the_lesson_looks_where_the_program_writes(draw_record):
    place = benchmark.RESULTS.relative_to(address.HERE.parent)
    assert " / ".join(f'"{part}"' for part in place.parts) in draw_record.cell
