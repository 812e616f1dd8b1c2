import json

import numpy as np
import pytest
import torch

from benchmarks import chart, ladder, rungs, sound, work
from benchmarks.parts import Int8, LeanText, StagedUNet, Vocoder2d, every_other, first_part
from benchmarks.rungs import GUIDANCE, NEGATIVE, PROMPT, Setup, generate
from helpers import load_pipeline


@pytest.fixture
def setup():
    pipe = load_pipeline("pocket", device="cpu")
    pipe.set_progress_bar_config(disable=True)
    return Setup(pipe, torch.bfloat16, compiles=False, steps=2)


def error(a, b):
    return max(((x - y).norm() / y.norm()).item() for x, y in ((a.latents, b.latents), (a.audio, b.audio)))


def test_a_clip_made_stage_by_stage_is_the_pipelines_own(setup):
    generator = torch.Generator("cpu").manual_seed(0)
    settings = {"num_inference_steps": 2, "guidance_scale": GUIDANCE, "negative_prompt": NEGATIVE}
    whole = setup.pipe(PROMPT, generator=generator, **settings).audios
    assert np.allclose(generate(setup).audio, whole, atol=1e-4)


def test_lossless_rungs_keep_the_clip_and_can_be_undone(setup):
    rungs.vanilla(setup)
    before = generate(setup)
    undos = []
    for rung in rungs.RUNGS:
        if rung.lossless and rung.key not in ("vanilla", "half"):
            undos.append(rung.change(setup))
            after = generate(setup)
            assert error(after, before) < ladder.TOLERANCE, rung.key
    assert isinstance(setup.pipe.unet, StagedUNet) and isinstance(setup.pipe.vocoder, Vocoder2d)
    assert isinstance(setup.pipe.encode_prompt, LeanText)
    for undo in reversed(undos):
        undo()
    assert torch.equal(generate(setup).audio, before.audio)


def test_half_precision_changes_all_models_and_comes_back(setup):
    before = generate(setup)
    undo = rungs.half_precision(setup)
    assert {getattr(setup.pipe, name).dtype for name in rungs.MODELS} == {torch.bfloat16}
    undo()
    assert torch.equal(generate(setup).audio, before.audio)


def test_lean_text_gives_the_same_vectors_and_encodes_only_the_prompt_anew(setup):
    prompts = ("Rain", "Church bells ringing slowly in the distance, high quality", "Rain")
    lengths = {}
    full = [setup.pipe.encode_prompt(prompt, "cpu", 1, True, negative_prompt=NEGATIVE) for prompt in prompts]
    rungs.lean_text(setup)
    encode, calls = setup.pipe.encode_prompt.encode, []
    setup.pipe.encode_prompt.encode = lambda *args, **kwargs: calls.append(args[3]) or encode(*args, **kwargs)
    for prompt, (t5, mask, gpt2) in zip(prompts, full, strict=True):
        lean_t5, lean_mask, lean_gpt2 = setup.pipe.encode_prompt(prompt, "cpu", 1, True, negative_prompt=NEGATIVE)
        lengths[prompt] = lean_t5.shape[1]
        real = slice(0, t5.shape[1])
        assert torch.allclose(lean_t5[:, real], t5, atol=1e-4) and torch.allclose(lean_gpt2, gpt2, atol=1e-4)
        assert torch.equal(lean_mask[:, real], mask) and not lean_mask[:, t5.shape[1] :].any()
    assert len(set(lengths.values())) == 1
    assert calls == [False, True, False, True, False]  # the last prompt is as long as the first


def test_full_guidance_is_exact_and_no_guidance_is_the_prompted_half(setup):
    whole, unet = generate(setup), setup.pipe.unet
    undo = rungs.part_guidance(setup, (first_part(1.0), False))
    assert error(generate(setup), whole) < 1e-5
    staged = setup.pipe.unet
    undo()
    assert setup.pipe.unet is unet

    torch.manual_seed(0)
    t5, mask, gpt2 = setup.pipe.encode_prompt(PROMPT, "cpu", 1, True, negative_prompt=NEGATIVE)
    sample = torch.randn(2, 8, 16, 16)
    texts = {"encoder_hidden_states": gpt2, "encoder_hidden_states_1": t5, "encoder_attention_mask_1": mask}
    with torch.no_grad():
        plain, prompted = unet(sample, 500, **texts)[0].split(1)
        for keep in (False, True):
            staged.guidance, staged.keep_guidance = first_part(0.5), keep
            staged.start(2)
            first, second = (staged(sample, 500, **texts)[0].split(1) for _ in range(2))
            assert torch.allclose(first[0], plain, atol=1e-5) and torch.allclose(first[1], prompted, atol=1e-5)
            assert torch.allclose(second[1], prompted, atol=1e-5)
            assert torch.allclose(second[0], plain if keep else prompted, atol=1e-5)
            assert staged.rows == {"shell": 3, "core": 3}


@pytest.mark.parametrize("one_by_one", [True, False])
def test_the_core_is_reused_in_between(setup, one_by_one):
    staged = setup.pipe.unet = StagedUNet(setup.pipe.unet, one_by_one)
    setup.steps = 3
    exact = generate(setup)
    staged.core_every, staged.guidance, staged.keep_guidance = 2, every_other, True
    reused = generate(setup)
    assert staged.rows == {"shell": 5, "core": 4}
    assert 1e-3 < error(reused, exact) < 2


def test_latents_that_do_not_fit_are_refused(setup):
    staged = StagedUNet(setup.pipe.unet, True)
    with pytest.raises(ValueError, match=r"multiples of 4"):
        staged(torch.zeros(2, 8, 18, 16), 1, None)


def test_the_2d_vocoder_takes_single_and_batched_mels(setup):
    mel, vocoder = torch.randn(2, 12, 64), setup.pipe.vocoder
    twin = Vocoder2d(vocoder)
    with torch.no_grad():
        assert torch.allclose(twin(mel), vocoder(mel), atol=1e-4)
        assert torch.allclose(twin(mel[0]), vocoder(mel[0]), atol=1e-4)
    assert twin.config is vocoder.config and twin.dtype == vocoder.dtype


def test_8_bits_change_little_and_come_off_again(setup):
    rungs.vocoder(setup)
    before = generate(setup)
    undos = [rungs.int8_unet(setup), rungs.int8_sound(setup, ("VAE", "vocoder"))]
    for model in (setup.pipe.unet, setup.pipe.vae.decoder, setup.pipe.vocoder):
        assert any(isinstance(module, Int8) for module in model.modules())
    assert 1e-4 < error(generate(setup), before) < 0.5
    for undo in reversed(undos):
        undo()
    assert torch.equal(generate(setup).audio, before.audio)


def test_rounding_to_8_bits_is_within_half_a_unit():
    layer = torch.nn.Linear(64, 32)
    rounded = Int8(layer, -1.0, 3.0)
    x = torch.rand(10, 64) * 4 - 1
    with torch.no_grad():
        assert ((rounded(x) - layer(x)).norm() / layer(x).norm()).item() < 0.05
        assert torch.equal(rounded(x + 100), rounded(torch.full_like(x, 3.0)))  # clipped


def test_operations_are_counted_with_attention(setup):
    query = torch.randn(1, 4, 64, 32)
    flops = work.count_flops(torch.nn.functional.scaled_dot_product_attention, query, query, query)
    assert flops == 2 * (2 * 4 * 64 * 64 * 32)
    assert work.count_flops(torch.mm, torch.ones(8, 16), torch.ones(16, 4)) == 2 * 8 * 16 * 4


def test_rungs_are_chosen_by_name():
    cpu = torch.device("cpu")
    assert [rung.key for rung in ladder.choose("dpm,sdpa", "", cpu)] == ["vanilla", "sdpa", "dpm"]
    assert "half" not in [rung.key for rung in ladder.choose("all", "half", cpu)]
    assert "int8-unet" not in [rung.key for rung in ladder.choose("all", "", torch.device("cuda"))]
    with pytest.raises(ValueError, match=r"no rung 'spda'"):
        ladder.choose("spda", "", cpu)


def test_the_ladder_runs_records_and_is_drawn(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(ladder, "LONG", 3)
    monkeypatch.setattr(ladder, "TIMED_STEPS", 2)
    monkeypatch.setattr(sound, "MEASURING_STEPS", 2)
    path = tmp_path / "ladder.json"

    def broken(setup):
        raise RuntimeError("no compiler\nand a long trace")

    wanted = "sdpa,half,fused-qkv,part-guidance,reuse"
    chosen = ladder.choose(wanted, "", torch.device("cpu"))
    chosen.insert(2, rungs.Rung("broken", "a rung that fails", broken))
    monkeypatch.setattr(ladder, "choose", lambda *args: chosen)
    ladder.main(
        ["--checkpoint", "pocket", "--device", "cpu", "--steps", "4", "--repeats", "1", "--clips", "2"]
        + ["--json", str(path)]
    )
    results = json.loads(path.read_text())
    rows = {row["key"]: row for row in results["rows"]}
    assert list(rows) == ["vanilla", "sdpa", "broken", "half", "fused-qkv", "part-guidance", "reuse"]
    assert rows["broken"]["verdict"] == "failed: RuntimeError: no compiler" and not rows["broken"]["kept"]
    assert rows["vanilla"]["ratio"] == pytest.approx(1, rel=0.5) and rows["vanilla"]["timed_steps"] == 2
    assert rows["sdpa"]["error"] < ladder.TOLERANCE
    if torch.cpu.get_capabilities().get("avx512_bf16"):
        assert rows["half"]["quality"]["passed"] in (True, False)
    else:
        assert rows["half"]["verdict"].startswith("not tried")
    assert len(rows["part-guidance"]["tried"]) == 3 and rows["part-guidance"]["quality"]["clips"] == 2
    assert rows["part-guidance"]["flops"] < rows["vanilla"]["flops"]
    for row in rows.values():
        if "clip" in row:
            assert row["clip"] == pytest.approx(sum(row["seconds"].values()), rel=0.5)
            assert row["seconds"]["denoising"] == pytest.approx(4 * row["seconds_per_step"])
    assert "/" not in json.dumps(results["machine"]) and str(tmp_path) not in path.read_text()
    printed = capsys.readouterr().out
    assert "scaled from 2 of 4 steps" in printed and ladder.CAUTION in printed
    assert printed.index("fp32, vanilla") < printed.index("times as fast")
    chart.main([str(path), str(tmp_path / "ladder.png")])
    assert (tmp_path / "ladder.png").stat().st_size > 10_000


def test_bad_command_lines_are_refused(capsys):
    with pytest.raises(SystemExit):
        ladder.main(["--repeats", "0"])
    assert "--repeats must be 1 or more" in capsys.readouterr().err
    with pytest.raises(ValueError, match="neither a folder here"):
        ladder.main(["--checkpoint", "full-siz", "--device", "cpu"])
