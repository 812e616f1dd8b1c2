"""A climb: one pipeline, measured again after each change."""

import pytest
import torch

from helpers.topics.recipe import Climb


@pytest.fixture(scope="module")
def climb(pocket):
    def settings(pipe):
        steps = len(made.rungs) + 2  # another number on each rung
        generator = torch.Generator("cpu").manual_seed(0)
        prompt = "The sound of Brazilian samba drums with waves gently crashing in the background"  # has a yardstick
        return {"prompt": prompt, "num_inference_steps": steps, "audio_length_in_s": 1.28, "generator": generator}

    made = Climb(settings)
    for name in ("the slow way", "first change", "second change"):
        made.add(name, pocket)
    return made


def test_a_rung_holds_the_clip_and_the_times_of_one_call(climb):
    assert [rung.unet_calls for rung in climb.rungs.values()] == [2, 3, 4]
    assert climb.first.result.shape == (20480,) and climb.first.median > climb.first.rest > 0
    assert climb.first is climb.rungs["the slow way"] and climb.last is climb.rungs["second change"]
    assert climb.last.peak_memory is None  # on the CPU
    assert climb.speedup(climb.last) == climb.first.median / climb.last.median


def test_the_table_has_a_row_for_each_change_and_says_what_it_did_to_the_sound(climb):
    rows = climb.table().data.splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == ["| + first change", "| + second change"]
    assert all("another seed is" in row for row in rows)


def test_the_chart_says_in_words_what_it_shows(climb):
    picture = climb.chart()
    assert picture.alt.count("s for the rest") == 3 and "second change" in picture.alt
    (ax,) = picture.figure.axes
    assert len(ax.patches) == 6 and ax.get_xlabel() == "Time of one clip (s)"
