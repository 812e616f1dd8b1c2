"""Measure how good a clip is after how many steps, for several schedulers.

`python -m benchmarks.quality_against_steps` writes `quality_against_steps.json` among the helpers' records, which
lesson 6 draws. Stopped, it goes on at the next start with the prompt at which it was stopped.
"""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

import diffusers
import torch
from tqdm.auto import tqdm

from helpers import find_checkpoint, load_pipeline
from helpers.devices import libraries, processor
from helpers.topics import schedulers as topic
from helpers.yardstick import fingerprint

STEPS = (5, 10, 15, 20, 30, 50, 100, 200)

# Class and settings of each scheduler, on top of the checkpoint's own configuration and of TRAILING.
TRAILING = {"timestep_spacing": "trailing"}
SCHEDULERS = {
    "DDIM": ("DDIMScheduler", {}),
    "Euler": ("EulerDiscreteScheduler", {}),
    "UniPC": ("UniPCMultistepScheduler", {}),
    "DPM++ 2M": ("DPMSolverMultistepScheduler", {}),
    "DPM++ 2M, Karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "DPM++ 2M, exponential": ("DPMSolverMultistepScheduler", {"use_exponential_sigmas": True}),
    "DPM++ 2M, leading": ("DPMSolverMultistepScheduler", {"timestep_spacing": "leading"}),
}
# The reference has twice the steps of the finest point, by the solver with the smallest error at a given number of
# steps. The cross-check is by another kind of solver and finer still: where both agree, the reference is the answer of
# neither solver but of the model. Its number of steps divides the 1000 of the training, because diffusers' DDIM rounds
# the width of a step down, and at 400 steps would leave out a fifth of every one.
REFERENCE, REFERENCE_FACTOR = "DPM++ 2M", 2
CROSS_CHECK, CROSS_CHECK_FACTOR = "DDIM", 4

PROMPTS = (
    "The sound of Brazilian samba drums with waves gently crashing in the background",
    "A recording of church bells, high quality",
    "A steam train passing by, high quality",
    "Techno music with a strong kick drum, high quality",
    "The siren of a fire engine, high quality",
    "Rain falling, high quality",
    "Birds singing, high quality",
    "Footsteps on gravel, high quality",
)


def make_schedulers(config):
    """Make all `SCHEDULERS`.

    Parameters
    ----------
    config : dict
        Of the scheduler that came with the checkpoint. The configuration of a swapped one would not do: it carries its
        settings, such as Karras's sigmas, along to the next.

    Returns
    -------
    dict of str to diffusers.SchedulerMixin
    """
    return {
        name: getattr(diffusers, kind).from_config(config, **TRAILING | settings)
        for name, (kind, settings) in SCHEDULERS.items()
    }


def cross_check_steps(steps):
    """The number of steps of the cross-check: the first that is fine enough and divides 1000."""
    return next(n for n in range(CROSS_CHECK_FACTOR * max(steps), 1001) if 1000 % n == 0)


def describe_machine(device):
    """Name the processor and the number of threads; nothing that tells one machine of its kind from another.

    Parameters
    ----------
    device : torch.device

    Returns
    -------
    dict
    """
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {"cpu": processor(), "threads": torch.get_num_threads(), "device": gpu or device.type}


def main(arguments=None):
    """Measure, and write the file; `arguments` are by default those of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", default="pocket", help='as for helpers.load_pipeline; "pocket" by default')
    parser.add_argument("--json", type=Path, default=topic.RECORD, help="the file to write")
    parser.add_argument("--seeds", type=int, default=4, help="clips of each prompt, 4 by default")
    parser.add_argument("--prompts", type=int, default=3, help="3 by default")
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS, help="from few to many")
    given = parser.parse_args(arguments)
    pipe = load_pipeline(given.checkpoint)
    pipe.set_progress_bar_config(disable=True)
    schedulers = make_schedulers(pipe.scheduler.config)
    if pipe.device.type == "cpu":
        pipe.unet.to(memory_format=torch.channels_last)  # a little faster, the same sound
    folder = find_checkpoint(given.checkpoint, pipe.device)
    seeds, seconds = list(range(given.seeds)), pipe.natural_length / 2
    ends = (REFERENCE, REFERENCE_FACTOR * max(given.steps)), (CROSS_CHECK, cross_check_steps(given.steps))
    settings = {
        "steps": list(given.steps),
        "seeds": seeds,
        "prompts": list(PROMPTS[: given.prompts]),
        "seconds": seconds,
        "guidance_scale": 3.5,
        "dtype": str(pipe.unet.dtype).removeprefix("torch."),
        "schedulers": {name: {"class": kind, **TRAILING, **extra} for name, (kind, extra) in SCHEDULERS.items()},
    }
    results = {
        "machine": describe_machine(pipe.device),
        "versions": libraries(),
        "checkpoint": {"name": given.checkpoint, "fingerprint": fingerprint(str(folder))},
        "settings": settings,
    }
    part = given.json.with_name(f"{given.json.name}.part")
    measured = resume(part, results).get("measured", [])
    total = given.prompts * given.seeds * (len(SCHEDULERS) * sum(given.steps) + sum(steps for _, steps in ends))
    with tqdm(total=total, initial=total * len(measured) // given.prompts, unit="step", desc="steps") as bar:
        for prompt in PROMPTS[len(measured) : given.prompts]:
            wanted = (schedulers, given.steps, seeds, seconds, *ends)
            measured.append(topic.measure_prompt(pipe, prompt, *wanted, progress=bar.update))
            write(part, results | {"measured": measured})
    date = datetime.now(UTC).date().isoformat()
    results = {"date": date, **results, **topic.summary(measured)}
    write(part, results)
    part.replace(given.json)
    print(f"{given.json} written: {len(results['curve'])} points, {given.prompts * given.seeds} clips each.")


def resume(part, settings):
    """What a run that was stopped left in a file, if it had the same settings; otherwise nothing."""
    try:
        found = json.loads(part.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if all(found.get(key) == value for key, value in settings.items()) else {}


def write(path, results):
    """Write a JSON file so that a run that is killed leaves no half one; make its folder if there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    new.replace(path)


if __name__ == "__main__":
    main()
