import pytest
import torch
from helpers.recipes import Ladder


@pytest.fixture(scope="module")
def ladder(pocket):
    def settings(pipe):
        steps = len(made.rungs) + 2  # another number on each rung
        generator = torch.Generator("cpu").manual_seed(0)
        return {"prompt": "Rain", "num_inference_steps": steps, "audio_length_in_s": 1.28, "generator": generator}

    made = Ladder(settings)
    for name in ("the slow way", "first change", "second change"):
        made.add(name, pocket)
    return made


def test_a_rung_holds_the_clip_and_the_times_of_one_call(ladder):
    assert [rung.unet_calls for rung in ladder.rungs.values()] == [2, 3, 4]
    assert ladder.first.clip.shape == (20480,) and ladder.first.total > ladder.first.fixed > 0
    assert ladder.first is ladder.rungs["the slow way"] and ladder.last is ladder.rungs["second change"]
    assert ladder.last.peak_memory is None  # on the CPU


def test_the_table_has_a_row_for_each_change_and_one_to_compare_with(ladder):
    rows = ladder.table(1.5, 16000).data.splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == ["| + first change", "| + second change", "| another seed"]
    assert "1.500" in rows[-1]


def test_the_chart_says_in_words_what_it_shows(ladder):
    picture = ladder.chart()
    assert picture.alt.count("s for the rest") == 3 and "second change" in picture.alt
    (ax,) = picture.figure.axes
    assert len(ax.patches) == 6 and ax.get_xlabel() == "Time of one clip (s)"
