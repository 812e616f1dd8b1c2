"""The program that measures the recorded curve of lesson 6."""

import json

import pytest

from benchmarks import quality_against_steps as benchmark
from helpers.topics import schedulers as topic


def test_one_point_for_each_scheduler_and_number_of_steps_and_lesson_6_draws_them(tmp_path):
    record = tmp_path / "curve.json"
    benchmark.main(["--seeds", "2", "--prompts", "1", "--steps", "1", "2", "--json", str(record)])
    results = json.loads(record.read_text())
    assert "torch" in results["versions"]
    assert results["machine"]["cpu"] and str(tmp_path) not in record.read_text()
    assert results["checkpoint"]["name"] == "pocket" and len(results["checkpoint"]["fingerprint"]) == 16
    found = [(entry["scheduler"], entry["steps"]) for entry in results["curve"]]
    assert found == [(name, steps) for name in benchmark.SCHEDULERS for steps in (1, 2)]
    for entry in [*results["curve"], results["cross_check"]]:
        assert 0 < entry["distance"]["low"] <= entry["distance"]["median"] <= entry["distance"]["high"]
        assert -2 <= entry["clap_change"]["low"] <= entry["clap_change"]["high"] <= 2
    assert results["cross_check"]["steps"] > results["reference"]["steps"] > 2
    assert results["inter_seed_distance"]["median"] > 0
    curve = topic.recorded(record)
    assert curve.title.startswith(f"Recorded {results['date']} on ")
    assert curve.title.endswith("pocket, 2 clips at each point") and list(curve.distances) == list(benchmark.SCHEDULERS)
    titles = [ax.get_title() for ax in curve.plot().figure.axes]
    assert titles == ["Distance to the reference", "Fit to the prompt, against the reference"]


def test_goes_on_where_it_stopped(tmp_path, monkeypatch):
    path, asked = tmp_path / "curve.json", []

    def measure(pipe, prompt, *settings, progress):
        asked.append(prompt)
        if len(asked) in (2, 5):
            raise KeyboardInterrupt
        numbers = {"scheduler": "DDIM", "steps": 1, "clap": [0.5, 0.5], "distance": [1.0, 2.0]}
        return {"reference": numbers, "cross_check": numbers, "points": [numbers], "inter_seed_distance": [3.0, 3.0]}

    monkeypatch.setattr(topic, "measure_prompt", measure)
    arguments = ["--prompts", "2", "--steps", "1", "--json", str(path), "--seeds"]
    with pytest.raises(KeyboardInterrupt):
        benchmark.main([*arguments, "2"])
    assert not path.exists()
    benchmark.main([*arguments, "2"])
    first, second = benchmark.PROMPTS[:2]
    assert asked == [first, second, second]
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(KeyboardInterrupt):
        benchmark.main([*arguments, "2"])
    benchmark.main([*arguments, "3"])
    assert asked[5:] == [first, second], "what was measured with other settings was taken over"


def test_schedulers_share_what_the_checkpoint_was_trained_with_and_nothing_else():
    config = {"prediction_type": "v_prediction", "beta_start": 0.0015, "timestep_spacing": "leading"}
    made = benchmark.make_schedulers(config)
    assert {scheduler.config.prediction_type for scheduler in made.values()} == {"v_prediction"}
    karras = [name for name, scheduler in made.items() if scheduler.config.get("use_karras_sigmas")]
    leading = [name for name, scheduler in made.items() if scheduler.config.timestep_spacing == "leading"]
    assert karras == ["DPM++ 2M, Karras"] and leading == ["DPM++ 2M, leading"]
