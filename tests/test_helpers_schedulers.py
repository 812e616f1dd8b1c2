"""Quality against steps: what is measured, and what the chart says."""

import pytest
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

from helpers.topics import schedulers as topic
from helpers.yardstick import yardstick

PROMPT = "The sound of Brazilian samba drums with waves gently crashing in the background"  # its yardstick is recorded


def schedulers(pipe):
    kinds = {"DDIM": DDIMScheduler, "DPM++ 2M": DPMSolverMultistepScheduler}
    config = pipe.scheduler.config
    return {name: kind.from_config(config, timestep_spacing="trailing") for name, kind in kinds.items()}


def test_more_steps_come_nearer_and_another_seed_is_farther(pocket):
    before = pocket.scheduler
    ends = {"reference": ("DPM++ 2M", 8), "cross_check": ("DDIM", 10)}
    curve = topic.quality_curve(pocket, PROMPT, schedulers(pocket), [2, 4], **ends, seeds=2, seconds=1.28)
    assert pocket.scheduler is before
    assert list(curve.distances) == ["DDIM", "DPM++ 2M"]
    for distances in curve.distances.values():
        assert list(distances) == [2, 4] and distances[2] > distances[4] > 0
    assert curve.yardstick == yardstick(pocket, PROMPT, 1.28).distance > curve.data["cross_check"]["distance"]["median"]
    said = curve.plot(["DDIM"]).alt
    assert f"DDIM {curve.distances['DDIM'][2]:.2f} dB at 2 steps" in said and "DPM++" not in said
    assert "2 clips at each point" in said and "cross-check:" in said


def test_the_one_rule_names_every_point():
    points = [
        {"scheduler": "DDIM", "steps": steps, "distance": {"median": far}}
        for steps, far in [(5, 4.1), (10, 4), (20, 1)]
    ]
    curve = topic.QualityCurve({"curve": points, "inter_seed_distance": {"median": 20}}, "a title")
    assert curve.verdicts == {"DDIM": {5: "another clip", 10: "nearly the same clip", 20: "the same clip"}}
    assert topic.QualityCurve(curve.data | {"yardstick": 80}, "").verdicts["DDIM"][10] == "the same clip"


def test_the_record_is_read_and_drawn():
    curve = topic.recorded()
    assert curve.distances and all(name in curve.plot().alt for name in curve.distances)


def test_a_scheduler_that_takes_another_number_of_steps_is_refused(pocket, monkeypatch):
    monkeypatch.setattr(pocket.unet, "forward", lambda sample, *args, **kwargs: (sample,))
    with pytest.raises(RuntimeError, match="61"):
        topic.measure_prompt(pocket, "rain", schedulers(pocket), [2], [0], 0.64, ("DDIM", 61), ("DDIM", 2))
