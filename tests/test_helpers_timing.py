import pytest
import torch
from helpers.stages import Stages

import helpers
from helpers import timing

CALL = dict(prompt="birds sing in the rain", num_inference_steps=3, audio_length_in_s=0.4)


@pytest.fixture
def now(monkeypatch):
    """A clock of our own, whose only item is the time."""
    now = [0.0]
    monkeypatch.setattr(timing, "clock", lambda: now[0])
    return now


@pytest.fixture
def takes(now):
    """Makes functions that take as many seconds as they are told, and may write their name into a log."""

    def make(*durations, log=None, name=None):
        left = iter(durations)

        def fn():
            now[0] += next(left)
            if log is not None:
                log.append(name)
            return now[0]

        return fn

    return make


def test_the_first_call_stands_apart(takes):
    found = helpers.measure(takes(100, 5, 1, 4, 2, 3), repeats=5)
    assert (found.first, found.seconds) == (100, [5, 1, 4, 2, 3])
    assert found.median == 3
    assert found.result == 115  # what the last call returned


def test_a_measurement_reads_as_one_line():
    assert repr(timing.Measurement(9, [2], 1_500_000_000)) == "2 s (one call; first call 9 s; peak GPU memory 1.50 GB)"
    assert repr(timing.Measurement(9, [1, 2, 4])) == "2 s (1 s to 4 s over 3 calls; first call 9 s)"
    assert "(1 s to 90 s over 7 calls" in repr(timing.Measurement(9, [1, 2, 3, 4, 5, 6, 90]))
    assert "(middle half 2.75 s to 6.25 s over 8 calls" in repr(timing.Measurement(9, [1, 2, 3, 4, 5, 6, 7, 90]))


def test_the_gpu_that_works_is_waited_for_and_not_the_current_one(monkeypatch):
    calls = []  # of torch.cuda, where the work is on the second of two GPUs, and the first is the current one
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda gpu=0: (0, 1000)[gpu])
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda gpu=0: (0, 700)[gpu])
    for name in ("synchronize", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda gpu=0, name=name: calls.append((name, gpu)))
    assert helpers.measure(lambda: None, repeats=1).peak_memory == 700
    assert {gpu for _, gpu in calls} == {1}
    assert [name for name, _ in calls][-3:] == ["reset_peak_memory_stats", "synchronize", "synchronize"]


def test_a_busy_machine_is_said_in_one_line(takes, monkeypatch, capsys):
    monkeypatch.setattr(timing, "_said", float("-inf"))
    monkeypatch.setattr(timing, "busy_line", lambda start: "Other processes\n")
    for said in ("Other processes\n", ""):  # not at every measurement of a cell
        helpers.measure(takes(1, 1), repeats=1)
        assert capsys.readouterr().out == said


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
def test_without_a_gpu_no_peak_memory_is_invented(takes):
    assert helpers.measure(takes(1, 1), repeats=1).peak_memory is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_gpu_the_work_is_waited_for_and_its_memory_counted():
    a = torch.randn(8192, 8192, device="cuda")
    found = helpers.measure(lambda: a @ a, repeats=3)
    assert found.median > 0.001
    assert found.peak_memory >= 2 * a.nbytes


def test_a_comparison_takes_turns(takes):
    log = []
    found = helpers.compare_times(
        takes(50, 2, 4, 8, log=log, name="a"), takes(10, 1, 1, 2, log=log, name="b"), repeats=3
    )
    assert "".join(log) == "ab" + "ab" + "ba" + "ab"
    assert (found.before.first, found.after.first) == (50, 10)
    assert found.speedups == [2, 4, 4]
    assert repr(found) == "4x (2x to 4x over 3 pairs): 4 s before, 1 s after"


def test_stages_are_told_apart(pocket, monkeypatch, now):
    def slow(owner, name, seconds):
        fast = getattr(owner, name)

        def call(*args, **kwargs):
            now[0] += seconds
            return fast(*args, **kwargs)

        monkeypatch.setitem(vars(owner), name, call)

    slow(pocket, "encode_prompt", 1)
    slow(pocket.unet, "forward", 10)
    slow(pocket.vae, "decode", 100)
    slow(pocket, "mel_spectrogram_to_waveform", 1000)
    slow(pocket.scheduler, "step", 10_000)
    assert repr(helpers.time_stages(pocket, **CALL)) == (
        "text encoding 1 s, denoising 30 s, VAE decoding 100 s, vocoder 1e+03 s, other 3e+04 s; 3 UNet calls"
    )


def test_a_pipeline_is_left_as_it_was(pocket, seeded):
    config = dict(pocket.config)
    before = {**vars(pocket)}, {**vars(pocket.vae)}
    audio = pocket(**CALL, generator=seeded()).audios
    helpers.time_stages(pocket, **CALL)
    with pytest.raises(ValueError, match="callback_steps"):
        helpers.time_stages(pocket, **CALL, callback_steps=0)
    assert (vars(pocket), vars(pocket.vae)) == before
    assert dict(pocket.config) == config
    assert (pocket(**CALL, generator=seeded()).audios == audio).all()


def test_a_comparison_of_stages_takes_turns_and_takes_medians():
    def calls(*seconds):
        left = iter(seconds)
        return lambda: Stages(dict(zip(("denoising", "vocoder"), next(left), strict=True)), unet_calls=2)

    before, after = calls((90, 90), (8, 4), (6, 4), (10, 10)), calls((90, 90), (2, 1), (3, 2), (8, 2))
    found = helpers.compare_stages(before, after, repeats=3)  # the first calls are warm-up
    assert found.before == Stages({"denoising": 8, "vocoder": 4}, 2)
    assert found.after == Stages({"denoising": 3, "vocoder": 2}, 2)
    assert found.speedups == [4, 2, 2]
    assert repr(found) == (
        "2x (2x to 4x over 3 pairs): 12 s before, 5 s after; one step 2.67x: 4 s before, 1.5 s after"
    )
    assert "| whole clip | 12.000 | 5.000 |" in found.table().data
