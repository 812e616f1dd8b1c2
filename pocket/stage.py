"""Run one stage of training: seeded, with a progress bar and a log, stopped and resumed at will."""

import math
import time

import torch
from tqdm.auto import tqdm

from helpers import half_dtype
from pocket.dataset import CACHE


def learning_rate(step, steps, peak, warmup=100):
    """Rise linearly over `warmup` steps to `peak`, then fall to zero along a half cosine."""
    return peak * min(1, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * step / steps))


def mixed_precision():
    """Compute in the CPU's half precision, in float32 on a CPU that would have to emulate it."""
    dtype = half_dtype("cpu")
    return torch.autocast("cpu", dtype, enabled=dtype != torch.float32)


def run(name, steps, step, state, save_every=200):
    """Call `step(i)` for every remaining `i` below `steps`.

    Parameters
    ----------
    name : str
        Names the state file and the log in `pocket.dataset.CACHE`.
    steps : int
        How many steps the whole stage has.
    step : callable
        Takes the step number, seeds itself from it, trains once and returns a dict of numbers to log.
    state : dict of str to object
        Whatever has `state_dict` and `load_state_dict`: it is saved every `save_every` steps and read back at the
        start, so that a stage that was stopped goes on where it was.
    save_every : int
    """
    path = CACHE / f"{name}.state.pt"
    first, seconds = 0, 0.0
    if path.exists():
        saved = torch.load(path, weights_only=True)
        first, seconds = saved["step"], saved["seconds"]
        for key, item in state.items():
            item.load_state_dict(saved[key])
    running = {}
    CACHE.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    with (
        tqdm(range(first, steps), desc=name, initial=first, total=steps) as bar,
        (CACHE / f"{name}.log").open("a") as log,
    ):
        for i in bar:
            for key, value in step(i).items():
                running[key] = 0.98 * running.get(key, value) + 0.02 * value
            done = i + 1
            if done % 50 == 0 or done == steps:
                line = " ".join(f"{key} {value:.4f}" for key, value in running.items())
                bar.set_postfix_str(line)
                log.write(f"step {done} {seconds + time.perf_counter() - started:.0f} s {line}\n")
                log.flush()
            if done % save_every == 0 or done == steps:
                now = {key: item.state_dict() for key, item in state.items()}
                now |= {"step": done, "seconds": seconds + time.perf_counter() - started}
                torch.save(now, path.with_suffix(".tmp"))
                path.with_suffix(".tmp").replace(path)  # also onto what is there, on Windows
