"""Measure how good a clip is after how many steps, for several schedulers.

`python -m benchmarks.quality_against_steps` writes `results/quality_against_steps.json`, which lesson 6 draws. Stopped,
it goes on at the next start with the prompt at which it was stopped.
"""

import argparse
import hashlib
import json
import platform
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import diffusers
import numpy as np
import torch
from tqdm.auto import tqdm

from helpers import clap_scores, distance, find_checkpoint, load_pipeline, seed_spread
from helpers.devices import processor
from pocket.judge import listen
from pocket.sounds import KINDS

RESULTS = Path(__file__).parent / "results" / "quality_against_steps.json"
STEPS = (5, 10, 15, 20, 30, 50, 100, 200)
BATCH = 4  # clips at once: as quick a clip as any larger number on two cores
GUIDANCE = 3.5  # the pipeline's default

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
# steps. The witness is of another family and finer still: where both agree, the reference is the answer of neither
# solver but of the model. Its number of steps divides the 1000 of the training, because diffusers' DDIM rounds the
# width of a step down, and at 400 steps would leave out a fifth of every one.
REFERENCE, REFERENCE_FACTOR = "DPM++ 2M", 2
WITNESS, WITNESS_FACTOR = "DDIM", 4

# Prompts, and the kinds of sound (see pocket.sounds) that the judge must hear in them.
PROMPTS = (
    ("The sound of Brazilian samba drums with waves gently crashing in the background", ("samba", "waves")),
    ("A recording of church bells, high quality", ("bells",)),
    ("A steam train passing by, high quality", ("train",)),
    ("Techno music with a strong kick drum, high quality", ("techno",)),
    ("The siren of a fire engine, high quality", ("siren",)),
    ("Rain falling, high quality", ("rain",)),
    ("Birds singing, high quality", ("birds",)),
    ("Footsteps on gravel, high quality", ("footsteps",)),
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


def generate(pipe, prompt, seeds, steps, seconds):
    """Generate one clip for each seed, `BATCH` at a time.

    Parameters
    ----------
    pipe : diffusers.AudioLDM2Pipeline
    prompt : str
    seeds : sequence of int
    steps : int
    seconds : float

    Returns
    -------
    numpy.ndarray, shape (len(seeds), samples)

    Raises
    ------
    RuntimeError
        If the scheduler takes another number of steps than it was asked for: with trailing spacing, rounding adds one
        for some numbers, such as 61.
    """
    clips = []
    for i in range(0, len(seeds), BATCH):
        some = seeds[i : i + BATCH]
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in some]
        settings = {"guidance_scale": GUIDANCE, "audio_length_in_s": seconds, "generator": generators}
        clips.append(pipe([prompt] * len(some), num_inference_steps=steps, **settings).audios)
        taken = len(pipe.scheduler.timesteps)
        if taken != steps:
            raise RuntimeError(f"{type(pipe.scheduler).__name__} makes {taken} steps out of {steps}: choose another.")
    return np.concatenate(clips)


def witness_steps(steps):
    """The number of steps of the witness: the first that is fine enough and divides 1000."""
    return next(n for n in range(WITNESS_FACTOR * max(steps), 1001) if 1000 % n == 0)


def measure_prompt(pipe, schedulers, prompt, kinds, seeds, steps, seconds, progress):
    """Measure all schedulers at all numbers of steps for one prompt.

    Parameters
    ----------
    pipe : diffusers.AudioLDM2Pipeline
        Its `scheduler` is replaced.
    schedulers : dict
        As `make_schedulers` returns them.
    prompt : str
    kinds : tuple of str or None
        What the judge must hear; None does not ask it.
    seeds, steps : sequence of int
    seconds : float
    progress : callable
        Told the number of clips times steps whenever some are made.

    Returns
    -------
    dict
        "reference", "witness" and one entry per point, each with lists of one number per seed; "seed_spread" holds the
        distances between the references of different seeds.
    """

    def run(name, count):
        pipe.scheduler = schedulers[name]
        clips = generate(pipe, prompt, seeds, count, seconds)
        progress(count * len(seeds))
        found = {"scheduler": name, "steps": count, "clap": clap_scores(pipe, prompt, clips).tolist()}
        if kinds is not None:
            heard = listen(clips)[0][:, [KINDS.index(kind) for kind in kinds]]
            found["recognised"] = (heard > 0.5).all(1).tolist()
        return clips, found

    rate = pipe.vocoder.config.sampling_rate
    reference, reference_found = run(REFERENCE, REFERENCE_FACTOR * max(steps))

    def against_reference(name, count):
        clips, found = run(name, count)
        return found | {"distance": [distance(a, b, rate) for a, b in zip(clips, reference, strict=True)]}

    points = [against_reference(name, count) for name in schedulers for count in steps]
    witness = against_reference(WITNESS, witness_steps(steps))
    return {
        "prompt": prompt,
        "reference": reference_found,
        "witness": witness,
        "points": points,
        "seed_spread": [seed_spread(pair, rate) for pair in zip(reference, np.roll(reference, 1, 0), strict=True)],
    }


def summary(measured):
    """Bring the clips of all prompts together.

    Parameters
    ----------
    measured : list of dict
        As `measure_prompt` returns them.

    Returns
    -------
    dict
        "curve": one dict per scheduler and number of steps, with the quartiles of "distance" in dB and of "clap_change"
        (the CLAP score less that of the reference of the same prompt and seed), the median of "clap", and the share
        "recognised", from 0 to 1, or None. "reference" and "witness": the same. "seed_spread": quartiles in dB.
        "clap_spread": quartiles of the references' CLAP scores, less the median of their prompt.
    """
    expected = np.concatenate([one["reference"]["clap"] for one in measured])
    middles = np.repeat([np.median(one["reference"]["clap"]) for one in measured], len(measured[0]["seed_spread"]))

    def merge(entries):
        clap = np.concatenate([entry["clap"] for entry in entries])
        distances = sum((entry.get("distance", []) for entry in entries), [])
        recognised = sum((entry.get("recognised", []) for entry in entries), [])
        return {
            "scheduler": entries[0]["scheduler"],
            "steps": entries[0]["steps"],
            "distance": quartiles(distances) if distances else None,
            "clap_change": quartiles(clap - expected),
            "clap": round(float(np.median(clap)), 4),
            "recognised": round(float(np.mean(recognised)), 3) if recognised else None,
        }

    return {
        "seed_spread": quartiles(sum((one["seed_spread"] for one in measured), [])),
        "clap_spread": quartiles(expected - middles),
        "reference": merge([one["reference"] for one in measured]),
        "witness": merge([one["witness"] for one in measured]),
        "curve": [merge(entries) for entries in zip(*(one["points"] for one in measured), strict=True)],
    }


def quartiles(values):
    """The lower quartile, the median and the upper quartile, as a dict."""
    low, median, high = (round(float(value), 4) for value in np.percentile(values, [25, 50, 75]))
    return {"low": low, "median": median, "high": high}


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


def fingerprint(folder):
    """The first digits of the SHA-256 of a checkpoint's weights: the same digits, the same sound."""
    digest = hashlib.sha256()
    for file in sorted(Path(folder).glob("*/*.safetensors")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def counts(text):
    """Read numbers of steps such as "5,10,20"."""
    steps = sorted({int(part) for part in text.split(",")})
    if steps[0] < 1 or WITNESS_FACTOR * steps[-1] > 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is out of range: numbers from 1 to {1000 // WITNESS_FACTOR}")
    return steps


def between(least, most):
    """Make a reader of whole numbers within limits, for `argparse`."""

    def read(text):
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is out of range: a number from {least} to {most}")
        return value

    return read


def main(arguments=None):
    """Measure, and write the file.

    Parameters
    ----------
    arguments : list of str, optional
        By default those of the command line.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", default="pocket", help='as for helpers.load_pipeline; "pocket" by default')
    parser.add_argument("--json", type=Path, default=RESULTS, help="the file to write")
    parser.add_argument("--seeds", type=between(2, 100), default=4, help="clips of each prompt, 4 by default")
    parser.add_argument("--prompts", type=between(1, len(PROMPTS)), default=3, help="3 by default")
    parser.add_argument("--steps", type=counts, default=list(STEPS), help="such as 5,10,20")
    given = parser.parse_args(arguments)

    started = time.perf_counter()
    pipe = load_pipeline(given.checkpoint)
    pipe.set_progress_bar_config(disable=True)
    schedulers = make_schedulers(pipe.scheduler.config)
    if pipe.device.type == "cpu":
        pipe.unet.to(memory_format=torch.channels_last)  # a little faster, the same sound
    folder = find_checkpoint(given.checkpoint, pipe.device)
    is_pocket = given.checkpoint == "pocket"
    seeds, seconds = list(range(given.seeds)), pipe.natural_length / 2
    settings = {
        "steps": given.steps,
        "seeds": seeds,
        "prompts": [prompt for prompt, _ in PROMPTS[: given.prompts]],
        "seconds": seconds,
        "guidance_scale": GUIDANCE,
        "dtype": str(pipe.unet.dtype).removeprefix("torch."),
        "schedulers": {name: {"class": kind, **TRAILING, **extra} for name, (kind, extra) in SCHEDULERS.items()},
    }
    versions = {name: version(name) for name in ("torch", "diffusers", "transformers")}
    results = {
        "date": None,
        "machine": describe_machine(pipe.device),
        "versions": {"python": platform.python_version(), **versions},
        "checkpoint": {"name": given.checkpoint, "fingerprint": fingerprint(folder)},
        "settings": settings,
    }
    part = given.json.with_name(f"{given.json.name}.part")
    measured, before = _read(part, results)

    steps_per_clip = len(SCHEDULERS) * sum(given.steps) + REFERENCE_FACTOR * max(given.steps)
    steps_per_clip += witness_steps(given.steps)
    total = given.prompts * given.seeds * steps_per_clip
    with tqdm(total=total, initial=total * len(measured) // given.prompts, unit="step", desc="steps") as bar:
        for prompt, kinds in PROMPTS[len(measured) : given.prompts]:
            kinds = kinds if is_pocket else None
            measured.append(measure_prompt(pipe, schedulers, prompt, kinds, seeds, given.steps, seconds, bar.update))
            spent = round(before + time.perf_counter() - started)
            write(part, results | {"measured": measured, "seconds_spent": spent})
    results |= {"date": datetime.now(UTC).date().isoformat(), "seconds_spent": spent, **summary(measured)}
    write(part, results)
    part.replace(given.json)
    print(f"{given.json} written: {len(results['curve'])} points, {given.prompts * given.seeds} clips each.")


def _read(part, results):
    """What an earlier run with the same checkpoint and settings left behind: prompts measured, seconds spent."""
    try:
        found = json.loads(part.read_text(encoding="utf-8"))
        if all(found[key] == results[key] for key in ("machine", "versions", "checkpoint", "settings")):
            return found["measured"], found["seconds_spent"]
    except (OSError, ValueError, KeyError):
        pass
    return [], 0


def write(path, results):
    """Write a JSON file so that a run that is killed leaves no half one; make its folder if there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    new.replace(path)


if __name__ == "__main__":
    main()
