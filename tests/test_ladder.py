import copy
import json
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import chart, ladder, rungs, sound, step
from helpers.topics.eight_bits import Int8
from helpers.topics.reused_core import ReusedCore
from helpers.topics.rewrites import PartGuidance

RECORDS = Path(__file__).parents[1] / "benchmarks" / "results"


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Makes clips of a second and a quarter."""
    usual = rungs.Setup.call
    monkeypatch.setattr(rungs.Setup, "call", lambda *given, **more: usual(*given, **more) | {"audio_length_in_s": 1.28})


@pytest.fixture
def setup(own_pocket):
    return rungs.Setup(own_pocket, torch.bfloat16, compiles=False, steps=2)


def error(setup, expected):
    audio = setup.pipe(**setup.call()).audios
    return float(((audio - expected) ** 2).sum() ** 0.5 / (expected**2).sum() ** 0.5)


def test_the_ladder_goes_on_where_it_was_stopped_and_is_drawn(tmp_path, capsys, monkeypatch, own_pocket):
    def broken(setup, **settings):
        raise RuntimeError("no compiler\nand a long trace")

    def stopped(setup):
        raise KeyboardInterrupt

    some = {rung.key: rung for rung in rungs.RUNGS}
    wanted = [some["vanilla"], some["sdpa"], rungs.Rung("broken", "a rung that fails", broken)]
    wanted += [rungs.Rung("stop", "a rung at which it is stopped", stopped), some["part-guidance"]]
    monkeypatch.setattr(ladder, "choose", lambda *args: wanted)
    monkeypatch.setattr(ladder, "load_pipeline", lambda *args, **kwargs: copy.deepcopy(own_pocket))
    for module, name, value in ((ladder, "SLOWER", 100), (ladder, "LONG", 1), (ladder, "TIMED_STEPS", 1)):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(sound, "FEW_STEPS", 2)
    path = tmp_path / "ladder.json"
    command = ["--checkpoint", "pocket", "--device", "cpu", "--steps", "2", "--repeats", "1", "--clips", "2"]
    command += ["--json", str(path)]
    with pytest.raises(KeyboardInterrupt):
        ladder.main(command)
    assert not path.exists()
    before = json.loads((tmp_path / "ladder.json.part").read_text())["rows"]
    wanted[3] = rungs.Rung("stop", "a rung that goes on", lambda setup: None)
    ladder.main(command)
    assert list(tmp_path.iterdir()) == [path]
    rows = json.loads(path.read_text())["rows"]
    assert len(before) == 3 and rows[:3] == before, "what was measured was measured again"
    rows = {row["key"]: row for row in rows}
    assert list(rows) == ["vanilla", "sdpa", "broken", "stop", "part-guidance"]
    assert rows["broken"]["verdict"] == "failed: RuntimeError: no compiler" and not rows["broken"]["kept"]
    assert rows["sdpa"]["error"] < ladder.TOLERANCE and rows["stop"]["error"] == 0
    assert rows["vanilla"]["timed_steps"] == 1 and rows["vanilla"]["ratio"] == pytest.approx(1)
    assert rows["part-guidance"]["quality"]["clips"] == 2
    assert rows["sdpa"]["seconds"]["denoising"] == pytest.approx(2 * rows["sdpa"]["seconds_per_step"])
    assert str(tmp_path) not in path.read_text()
    printed = capsys.readouterr().out
    assert "scaled from 1 of 2 steps" in printed and ladder.CAUTION in printed
    chart.main([str(path), str(tmp_path / "ladder.png")])
    assert (tmp_path / "ladder.png").stat().st_size > 10_000


@pytest.mark.parametrize("record", sorted(RECORDS.glob("ladder-*.json")), ids=lambda path: path.stem)
def test_what_is_recorded_can_be_drawn(record):
    picture = chart.draw(json.loads(record.read_text(encoding="utf-8")))
    assert "vanilla attention" in picture.alt


def test_lossless_rungs_keep_the_clip(setup):
    expected = setup.pipe(**setup.call()).audios
    for rung in rungs.RUNGS:
        if rung.lossless and rung.key != "half":
            rung.change(setup)
    assert error(setup, expected) < ladder.TOLERANCE


def test_guidance_on_part_and_a_reused_core_go_together(setup):
    expected = setup.pipe(**setup.call()).audios
    rungs.part_guidance(setup, lambda: lambda timestep: True, keep=True)
    rungs.reuse(setup, every=1)
    assert isinstance(setup.pipe.unet, PartGuidance) and isinstance(setup.pipe.unet.unet, ReusedCore)
    assert error(setup, expected) < ladder.TOLERANCE

    rows = []
    setup.unet.conv_in.register_forward_pre_hook(lambda _, inputs: rows.append(("all", len(inputs[0]))))
    setup.unet.mid_block.register_forward_pre_hook(lambda _, inputs: rows.append(("core", len(inputs[0]))))
    setup.pipe.unet.guided, setup.pipe.unet.unet.every, setup.steps = rungs.EveryOther(), 2, 3
    for _ in range(2):  # a second clip begins anew
        rows.clear()
        setup.pipe(**setup.call())
        assert rows == [("all", 2), ("core", 2), ("all", 1), ("all", 2), ("core", 2)]


def test_the_student_has_its_own_weights_and_computes_one_row_a_step(setup, tmp_path, monkeypatch):
    taught = copy.deepcopy(setup.unet)
    torch.nn.init.ones_(taught.conv_out.bias)
    taught.half().save_pretrained(tmp_path)
    monkeypatch.setattr(rungs, "STUDENT", tmp_path)
    rows = []
    setup.unet.conv_in.register_forward_pre_hook(lambda _, inputs: rows.append(len(inputs[0])))
    (rung,) = [rung for rung in ladder.choose("student", torch.device("cpu")) if rung.key == "student"]
    rung.change(setup, **rung.candidates["two steps"])
    setup.pipe(**setup.call())
    assert rows == [1, 1] and (setup.unet.conv_out.bias == 1).all()


def test_8_bits_change_little(setup, monkeypatch):
    monkeypatch.setattr(rungs, "CALIBRATION", [rungs.PROMPT])
    rungs.vocoder(setup)
    expected = setup.pipe(**setup.call()).audios
    rungs.int8(setup)
    for model in (setup.unet, setup.pipe.vae.decoder, setup.pipe.vocoder):
        assert any(isinstance(module, Int8) for module in model.modules())
    assert 1e-4 < error(setup, expected) < 0.5


def test_a_step_is_timed_and_divided_into_kinds(setup, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(step, "SIDE", 64)
    monkeypatch.setattr(step, "official_unet", lambda device: setup.unet)
    step.main(["--repeats", "1", "--rungs", "channels-last"])
    printed = capsys.readouterr().out
    assert "OpenVINO is not installed" in printed and "| eager | ours |" in printed and "| convolutions |" in printed


def test_an_unknown_rung_is_refused():
    with pytest.raises(SystemExit, match=r"no rung 'spda': choose from vanilla, sdpa"):
        ladder.main(["--rungs", "spda", "--device", "cpu"])
