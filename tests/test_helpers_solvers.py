"""Quality against steps: what is measured, and what the chart says."""

import pytest
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

import helpers
from helpers import solvers


@pytest.fixture(scope="module")
def pipe():
    pipe = helpers.load_pipeline("pocket", device="cpu")
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def curve(pipe):
    made = {
        name: kind.from_config(pipe.scheduler.config, timestep_spacing="trailing")
        for name, kind in {"DDIM": DDIMScheduler, "DPM++ 2M": DPMSolverMultistepScheduler}.items()
    }
    ends = {"reference": ("DPM++ 2M", 8), "cross_check": ("DDIM", 10)}
    return solvers.quality_curve(pipe, "rain", made, [2, 4], **ends, seeds=2, seconds=1.28)


def test_more_steps_come_nearer_and_another_seed_is_farther(curve):
    assert list(curve.distances) == ["DDIM", "DPM++ 2M"]
    for distances in curve.distances.values():
        assert list(distances) == [2, 4] and distances[2] > distances[4] > 0
    assert curve.inter_seed_distance > curve.data["cross_check"]["distance"]["median"] > 0


def test_the_pipeline_keeps_its_own_scheduler(pipe, curve):
    assert pipe.scheduler.config.timestep_spacing == helpers.load_pipeline("pocket").scheduler.config.timestep_spacing


def test_the_chart_says_in_words_what_it_shows(curve):
    picture = curve.plot(["DDIM"])
    assert f"DDIM {curve.distances['DDIM'][2]:.2f} dB at 2 steps" in picture.alt and "DPM++" not in picture.alt
    assert "2 clips at each point" in picture.alt and "cross-check:" in picture.alt


def test_the_record_is_read_and_drawn():
    curve = solvers.recorded()
    assert curve.distances["DPM++ 2M"][20] < curve.distances["DDIM"][20] < curve.inter_seed_distance
    assert all(name in curve.plot().alt for name in curve.distances)


def test_a_scheduler_that_takes_another_number_of_steps_is_refused(pipe):
    ddim = {"DDIM": DDIMScheduler.from_config(pipe.scheduler.config, timestep_spacing="trailing")}
    forward = pipe.unet.forward
    pipe.unet.forward = lambda sample, *args, **kwargs: (sample,)
    try:
        with pytest.raises(RuntimeError, match="61"):
            solvers.measure_prompt(pipe, "rain", ddim, [2], [0], 0.64, ("DDIM", 61), ("DDIM", 2))
    finally:
        pipe.unet.forward = forward
