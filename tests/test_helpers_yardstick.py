"""One rule for the sound: its yardstick belongs to weights, prompt and length, and its words follow from shares."""

import json
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

import helpers
from helpers import checkpoints, yardstick
from helpers.yardstick import Moved, Yardstick

RAIN = "Rain"


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Counts what is measured, which takes no time, and keeps it in a folder of its own."""
    calls = []
    monkeypatch.setenv("AUDIOLDM2_CACHE", str(tmp_path / "cache"))

    def measure(pipe, prompt, seconds):
        calls.append((prompt, seconds))
        return Yardstick(float(len(calls)), 20)

    monkeypatch.setattr(yardstick, "measured", measure)
    return calls


def test_it_is_measured_once_for_each_prompt_and_length(pocket, measured):
    found = [yardstick.yardstick(pocket, RAIN, seconds).distance for seconds in (1.28, 1.28, 2.56, None, 5.12)]
    assert found == [1, 1, 2, 3, 3]
    assert yardstick.yardstick(pocket, "Wind", 1.28).distance == 4


def test_other_weights_have_another(pocket, measured, tmp_path, monkeypatch):
    folder = shutil.copytree(checkpoints.POCKET, tmp_path / "mine")
    other = type("Pipe", (), {"name_or_path": str(folder), "natural_length": 5.12})
    assert yardstick.yardstick(pocket, RAIN).distance == yardstick.yardstick(other, RAIN).distance == 1
    weights = load_file(folder / "vocoder" / "model.safetensors")
    weights["conv_post.bias"] += 0.01
    changed = shutil.copytree(folder, tmp_path / "changed")
    save_file(weights, changed / "vocoder" / "model.safetensors")
    other.name_or_path = str(changed)
    assert yardstick.yardstick(other, RAIN).distance == 2


def test_that_of_the_lessons_lies_beside_the_weights_that_it_is_of(pocket, measured):
    records = json.loads((checkpoints.POCKET / yardstick.RECORD).read_text(encoding="utf-8"))
    samba = "The sound of Brazilian samba drums with waves gently crashing in the background"
    for seconds in (1.28, 2.56, None):
        assert yardstick.yardstick(pocket, samba, seconds).pairs == yardstick.PAIRS
    assert not measured, "the weights are other ones: run python -m pocket.yardstick"
    assert all(record["distance"] > 1 for record in records.values())


def test_it_is_measured_where_nothing_can_be_kept(pocket, measured, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("AUDIOLDM2_CACHE", str(tmp_path / "file"))
    assert [yardstick.yardstick(pocket, RAIN).distance for _ in range(2)] == [1, 2]


def test_it_is_the_distance_between_seeds_and_leaves_the_pipeline_as_it_was(pocket, monkeypatch, seeded):
    monkeypatch.setattr(yardstick, "STEPS", 2)
    scheduler, bar = pocket.scheduler, dict(pocket._progress_bar_config)
    found = yardstick.measured(pocket, RAIN, 1.28, patience=0)
    assert found.pairs == 3 and found.distance > 1
    assert pocket.scheduler is scheduler and pocket._progress_bar_config == bar


@pytest.mark.parametrize(
    ("distance", "words"),
    [(0, "the same clip"), (0.5, "the same clip"), (0.6, "nearly the same clip"), (2.1, "another clip")],
)
def test_one_rule_names_what_a_change_did(distance, words):
    found = Moved([0, distance, 9], Yardstick(10, 20))
    assert found.verdict == words and str(found).startswith(f"{words}: ")


def test_clips_are_compared_pair_by_pair(pocket, measured):
    silence, noise = np.zeros(20480, np.float32), np.random.default_rng(0).normal(size=20480).astype(np.float32) / 9
    found = helpers.moved(pocket, RAIN, [silence, noise], [silence, silence])
    assert found.distances[0] == 0 < found.distances[1] and measured == [(RAIN, 1.28)]
    assert helpers.moved(pocket, RAIN, noise, noise).distances == [0]
