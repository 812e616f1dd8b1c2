"""The contest: an honest recipe counts; what is cached, inactive, shortened or fails is refused in one line."""

import json
import re

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

from helpers import yardstick
from helpers.measuring import STAGES, Timing, Trial
from helpers.report import Report
from helpers.scoreboard import Scoreboard
from helpers.topics import contest
from helpers.yardstick import Yardstick

SAMBA = "The sound of Brazilian samba drums with waves gently crashing in the background"


@pytest.fixture
def game(pocket, monkeypatch, tmp_path):
    monkeypatch.setenv("AUDIOLDM2_SCOREBOARD", str(tmp_path / "scoreboard.jsonl"))
    monkeypatch.setenv("AUDIOLDM2_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(yardstick, "measured", lambda *_: Yardstick(6.0, 20))
    pocket.unet.set_attn_processor(AttnProcessor())
    call = {"prompt": SAMBA, "num_inference_steps": 4, "audio_length_in_s": 1.28}
    yield contest.Contest(pocket, call, width=0.125)
    pocket.unet.set_attn_processor(AttnProcessor2_0())


def sdpa(pipe):
    pipe.unet.set_attn_processor(AttnProcessor2_0())
    return {}


def test_an_honest_recipe_counts_and_is_kept(game, capsys):
    entry = game.enter(sdpa, ["SDPA"])
    assert entry.counts and entry.share < 0.05 and repr(entry).startswith("It counts: ")
    assert len(entry.report.clip.pairs) == contest.PAIRS and len(entry.report.step.pairs) == 1
    assert "at the official size, from one step: 4 × " in entry._repr_markdown_()
    drawn = capsys.readouterr().out
    assert any(f"the second is for {prompt!r}" in drawn for prompt in contest.SECOND_PROMPTS)
    (kept,) = Scoreboard().entries()
    assert kept["recipe"] == "SDPA + 4 steps" and kept["rung"] == "your recipe"
    assert "| 1 | SDPA + 4 steps |" in game.table().data and "SDPA + 4 steps: " in game.chart().alt


def test_a_clip_too_far_away_is_kept_and_does_not_count(game):
    entry = game.enter(lambda pipe: {"num_inference_steps": 1})
    assert not entry.counts and not entry.refused and entry.report.step is None
    assert "| does not count | 1 steps |" in game.table().data
    assert [one["rung"] for one in Scoreboard().entries()] == ["does not count"]


def cached(pipe):
    clip = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 20480)).astype(np.float32)) / 9
    pipe.mel_spectrogram_to_waveform = lambda mel: clip
    return {}


def undone(pipe):
    sdpa(pipe)
    pipe.unet.set_attn_processor(AttnProcessor())
    return {}


def fails(pipe):
    pipe.unet.set_attn_processor(AttnProcessor2_0())
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    raise RuntimeError("no such switch\nand more")


@pytest.mark.parametrize(
    ("recipe", "claims", "why"),
    [
        (cached, [], "the same for another seed or prompt"),
        (lambda pipe: {"audio_length_in_s": 0.64}, [], "shortened: 0.64 s of 1.28 s"),
        (undone, ["SDPA"], "SDPA is claimed, but it is not active"),
        (lambda pipe: [torch.compile(pipe.unet)] and {}, ["torch.compile"], "torch.compile is claimed"),
        (lambda pipe: [pipe.vocoder.half()] and {}, ["half precision"], "half precision is claimed|the recipe raised"),
        (sdpa, ["SDPA", "scheduler swap"], "scheduler swap is claimed"),
        (sdpa, ["CPU offload"], "CPU offload is claimed"),
        (sdpa, ["speed"], "'speed' cannot be claimed, only SDPA, "),
        (fails, [], "the recipe raised RuntimeError: no such switch$"),
        (lambda pipe: {"steps": 20}, [], "the recipe raised TypeError: .*steps"),
        (lambda pipe: None, [], "must return a dict"),
        (None, [], "the recipe raised TypeError: "),
    ],
)
def test_refused_in_one_line_and_the_slow_way_is_as_it_was(game, recipe, claims, why, seeded):
    def clip():
        return game.pipe(SAMBA, num_inference_steps=1, audio_length_in_s=0.64, generator=seeded()).audios[0]

    before, kind = clip(), type(game.pipe.scheduler)
    entry = game.enter(recipe, claims)
    assert re.search(why, entry.refused) and "\n" not in repr(entry)
    assert not entry.counts and not Scoreboard().entries()
    assert np.array_equal(clip(), before) and type(game.pipe.scheduler) is kind


def written(path, clips, machine="Z80"):
    """Write tries with such seconds of a clip, against 10 s; the last number is the share."""
    record = {"rung": "your recipe", "step": None, "distances": [0.3], "yardstick": {"distance": 6.0, "pairs": 20}}
    record |= {"device": "cpu", "dtype": "float32", "checkpoint": "pocket", "machine": machine, "versions": {}}
    record |= {"slow way": "200 steps, 5.12 s", "date": "2026-01-01"}
    for name, (*seconds, share) in clips.items():
        calls = [dict.fromkeys(STAGES, 0.0)] * 3
        clip = {"slow": Timing(9, [10.0] * 3, calls, 200), "fast": Timing(9, seconds, calls, 20)}
        entry = record | {"clip": Trial(clip).as_record(), "recipe": name, "share": share}
        with path.open("a") as file:
            file.write(json.dumps(entry) + "\n")


def places(markdown, column=1):
    lines = [line.strip("| ").split(" | ") for line in markdown.data.splitlines()[2:]]
    return {line[column]: line[0] for line in lines}


def test_overlapping_ranges_are_a_tie(game):
    tries = {"a": (1, 1.1, 1.2, 0.1), "b": (1.15, 1.3, 1.3, 0.1), "c": (2, 2, 2.1, 0.1), "d": (0.1, 0.1, 0.1, 0.3)}
    written(game.board.path, tries)
    assert places(game.table()) == {"a": "1 (tie)", "b": "1 (tie)", "c": "3", "d": "does not count"}


def test_a_recipe_no_faster_than_the_slow_way_is_a_tie_with_it(game):
    clips = {"slow": Timing(seconds=[1.0, 1.1, 1.0]), "fast": Timing(seconds=[1.0, 1.0, 1.1])}
    assert "a tie with the slow way" in repr(contest.Entry("", Report("your recipe", Trial(clips), None, None), 0.1))


def test_a_room_is_one_table_of_the_best_try_of_each(tmp_path, capsys):
    written(tmp_path / "ada.jsonl", {"slow": (3, 3, 3, 0.1), "fast": (1, 1, 1, 0.1), "too far": (0.1, 0.1, 0.1, 0.9)})
    written(tmp_path / "bob.jsonl", {"other": (2, 2, 2, 0.1)})
    written(tmp_path / "eve.jsonl", {"elsewhere": (4, 4, 4, 0.1)}, machine="ENIAC")
    (tmp_path / "zoe.jsonl").touch()
    table = contest.room(tmp_path)
    assert places(table) == {"eve": "1", "ada": "1", "bob": "2"} and places(table, 2).keys() == {
        "fast",
        "other",
        "elsewhere",
    }
    assert capsys.readouterr().out == "zoe.jsonl: no try\n"
