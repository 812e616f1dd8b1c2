"""The clock: set-up stays outside of it, turns are taken, and the pipeline is left as was said."""

import time

import pytest
import torch
from capabilities import needs

import helpers
from helpers import measuring
from helpers.measuring import Timing, Trial

CALL = dict(prompt="birds sing in the rain", num_inference_steps=3, audio_length_in_s=0.4)


@pytest.fixture
def now(monkeypatch):
    """A clock of our own, whose only item is the time."""
    now = [0.0]
    monkeypatch.setattr(measuring, "clock", lambda: now[0])
    return now


@pytest.fixture
def takes(now):
    """Makes functions that take as many seconds as they are told."""

    def make(*durations):
        left = iter(durations)

        def fn():
            now[0] += next(left)
            return now[0]

        return fn

    return make


def test_the_first_call_stands_apart(takes):
    found = helpers.measure(takes(100, 5, 1, 4, 2, 3), repeats=5).before
    assert (found.first, found.seconds) == (100, [5, 1, 4, 2, 3])
    assert found.median == 3
    assert found.result == 115  # what the last call returned
    assert helpers.measure(takes(5, 1), repeats=2, warm_up=False).before.seconds == [5, 1]


def test_a_setup_that_sleeps_does_not_show_in_the_time():
    found = helpers.measure({"slow to set up": (lambda: time.sleep(0.3), lambda: None)}, repeats=1).before
    assert max(found.first, found.median) < 0.1


@pytest.mark.parametrize("repeats", [1, 2, 3])
def test_every_turn_is_set_up_anew_and_the_last_variant_is_left_behind(repeats):
    state, log = ["as it was"], []

    def becomes(name):
        return lambda: state.append(name)

    def run():
        log.append(state[-1])

    variants = {name: (becomes(name), run) for name in ("a", "b")}
    helpers.measure(variants, repeats)
    assert "".join(log) == "ab" + "abbaab"[: 2 * repeats]
    assert state[-1] == "b"
    helpers.measure(variants, repeats, then="a")
    assert state[-1] == "a"


@pytest.mark.parametrize("when", [1, 2, 3])
def test_an_error_half_way_leaves_the_same_variant_behind(when):
    state, calls = [], []

    def run():
        calls.append(None)
        if len(calls) == when:
            raise KeyError("half way")

    with pytest.raises(KeyError, match="half way"):
        helpers.measure({name: (lambda name=name: state.append(name), run) for name in ("a", "b")})
    assert state[-1] == "b"


def test_the_ratio_is_the_quotient_of_the_seconds_and_the_pairs_give_its_range(takes):
    found = helpers.measure({"a": takes(50, 2, 4, 8), "b": takes(10, 1, 1, 2)}, repeats=3)
    assert (found.before.first, found.after.first) == (50, 10)
    assert found.pairs == [2, 4, 4] and found.speedup == found.before.median / found.after.median == 4
    assert repr(found) == "a: 4 s; b: 1 s; 4x (pair by pair 2x to 4x over 3 pairs)"


def test_a_measurement_reads_as_one_line():
    assert repr(Timing(9, [2], peak_memory=1_500_000_000)) == (
        "2 s (one call; first call 9 s; peak GPU memory 1.50 GB)"
    )
    assert repr(Timing(9, [1, 2, 4])) == "2 s (1 s to 4 s over 3 calls; first call 9 s)"
    assert "(1 s to 90 s over 7 calls" in repr(Timing(9, [1, 2, 3, 4, 5, 6, 90]))
    assert repr(Timing(seconds=[1, 2, 3, 4, 5, 6, 7, 90])) == "4.5 s (middle half 2.75 s to 6.25 s over 8 calls)"


def test_a_trial_survives_a_file():
    calls = [dict.fromkeys(measuring.STAGES, 0.5)]
    trial = Trial({"a": Timing(9, [2.5], calls, 3, 700, "a clip"), "b": Timing(9, [1.0], calls, 3)})
    read = Trial.from_record(trial.as_record())
    assert read == trial and read.before.result is None


class Cuda:
    """A stand-in for torch.cuda: two GPUs, the work is on the second, and the first is the current one."""

    def __init__(self, monkeypatch):
        self.calls, self.held, self.peak = [], 0, 0
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda gpu=0: (0, 1000)[gpu])
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda gpu=0: (0, self.held)[gpu])
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda gpu=0: (0, self.peak)[gpu])
        for name in ("synchronize", "reset_peak_memory_stats"):
            monkeypatch.setattr(torch.cuda, name, lambda gpu=0, name=name: self.calls.append((name, gpu)))


def test_the_gpu_that_works_is_waited_for_and_not_the_current_one(monkeypatch):
    cuda = Cuda(monkeypatch)
    cuda.peak = 700
    assert helpers.measure(lambda: None, repeats=1).before.peak_memory == 700
    assert {gpu for _, gpu in cuda.calls} == {1}
    assert [name for name, _ in cuda.calls][-3:] == ["reset_peak_memory_stats", "synchronize", "synchronize"]


def test_the_peak_is_without_what_other_models_held_before(monkeypatch):
    cuda = Cuda(monkeypatch)
    cuda.held, cuda.peak = 500, 700
    assert helpers.measure(lambda: None, repeats=1).before.peak_memory == 200


def test_without_a_gpu_no_peak_memory_is_invented(takes, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert helpers.measure(takes(1, 1), repeats=1).before.peak_memory is None


@needs("a CUDA GPU")
def test_on_a_gpu_the_work_is_waited_for_and_its_memory_counted():
    a = torch.randn(8192, 8192, device="cuda")
    found = helpers.measure(lambda: a @ a, repeats=3).before
    assert found.median > 0.001
    assert found.peak_memory >= a.nbytes


def test_a_busy_machine_is_said_in_one_line(takes, monkeypatch, capsys):
    monkeypatch.setattr(measuring, "_said", float("-inf"))
    monkeypatch.setattr(measuring, "busy_line", lambda start: "Other processes\n")
    for said in ("Other processes\n", ""):  # not at every measurement of a cell
        helpers.measure(takes(1, 1), repeats=1)
        assert capsys.readouterr().out == said


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
    found = helpers.measure(lambda: pocket(**CALL), repeats=1).before
    assert list(found.stages.values()) == [1, 30, 100, 1000, 30_000]
    assert (found.unet_calls, found.step, found.rest) == (3, 10, 31_101)
    assert (found.pipe, found.prompt) == (pocket, CALL["prompt"])


def test_a_pipeline_is_left_as_it_was(pocket, seeded):
    config = dict(pocket.config)
    before = {**vars(pocket)}, {**vars(pocket.vae)}
    audio = pocket(**CALL, generator=seeded()).audios
    helpers.measure(lambda: pocket(**CALL), repeats=1)
    with pytest.raises(ValueError, match="callback_steps"):
        helpers.measure(lambda: pocket(**CALL, callback_steps=0))
    assert (vars(pocket), vars(pocket.vae)) == before
    assert dict(pocket.config) == config
    assert (pocket(**CALL, generator=seeded()).audios == audio).all()
