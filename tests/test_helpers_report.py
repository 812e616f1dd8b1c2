"""The report of a change, and the scoreboard that takes it."""

import pytest
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

import helpers


@pytest.fixture
def variants(own_pocket, seeded):
    prompt = "The sound of Brazilian samba drums with waves gently crashing in the background"

    def generate(seed=0):
        call = {"num_inference_steps": 2, "audio_length_in_s": 1.28, "generator": seeded(seed)}
        return own_pocket(prompt, **call).audios[0]

    def becomes(processor):
        return lambda: own_pocket.unet.set_attn_processor(processor())

    return {"vanilla": (becomes(AttnProcessor), generate), "SDPA": (becomes(AttnProcessor2_0), generate)}


def test_one_call_measures_a_clip_a_step_and_the_sound(variants, own_pocket):
    step = helpers.unet_step(own_pocket, 1.28)
    steps = {name: (setup, step) for name, (setup, _) in variants.items()}
    found = helpers.report("SDPA", variants, steps, repeats=2, seeds=2, prediction="1.5")
    rows = {row.split(" | ")[0].strip("| "): row for row in found.table().data.splitlines()[2:]}
    assert rows["**a clip on this checkpoint**"].count(" s |") == 2 and "over 2 pairs" in found.table().data
    assert {"denoising", "vocoder", "a step, of 2", "**a step at the official size**"} < set(rows)
    assert "the same clip" in rows["the sound"] and "median of 2 clips" in rows["the sound"]
    assert "1.5" in rows["you predicted"]
    kinds = {type(processor) for processor in own_pocket.unet.attn_processors.values()}
    assert kinds == {AttnProcessor2_0}


def test_an_error_in_a_clip_of_another_seed_leaves_the_change_in_place(variants, own_pocket):
    setup, generate = variants["vanilla"]

    def fails(seed=0):
        return generate(seed if seed == 0 else "no seed")

    with pytest.raises(Exception, match="seed|str|must be"):
        helpers.report("SDPA", variants | {"vanilla": (setup, fails)}, repeats=1, seeds=2)
    assert {type(p) for p in own_pocket.unet.attn_processors.values()} == {AttnProcessor2_0}


def test_the_scoreboard_takes_it(variants, tmp_path):
    found = helpers.report("SDPA", variants, repeats=1)
    board = helpers.Scoreboard(tmp_path / "scoreboard.jsonl")
    row = next(line for line in board.record(found).data.splitlines() if line.startswith("| SDPA"))
    assert "one pair" in row and "the same clip" in row and "cpu, float32, pocket" in row
