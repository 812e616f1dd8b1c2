"""How near a scheduler comes to a reference clip in how many steps: measured here, or read from the record."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from tqdm.auto import tqdm

from helpers.pictures import Picture
from helpers.quality import clap_scores, distance
from helpers.yardstick import NEARLY, SAME, verdict, yardstick

RECORD = Path(__file__).parents[1] / "records" / "quality_against_steps.json"
BATCH = 4  # clips at once: more are no faster on two cores
_STYLES = {  # the colour names the family, marker and line the spacing of the steps
    "DDIM": {"color": "black", "marker": "o"},
    "Euler": {"color": "grey", "marker": "x", "ls": "--"},
    "UniPC": {"color": "tab:orange", "marker": "s"},
    "DPM++ 2M": {"color": "tab:blue", "marker": "o"},
    "DPM++ 2M, Karras": {"color": "tab:blue", "marker": "^", "ls": "--"},
    "DPM++ 2M, exponential": {"color": "tab:blue", "marker": "v", "ls": ":"},
    "DPM++ 2M, leading": {"color": "tab:blue", "marker": "D", "ls": "-."},
}


@dataclass
class QualityCurve:
    """What `quality_curve` measured, or what `recorded` read.

    Attributes
    ----------
    data : dict
        As `summary` returns it.
    title : str
    """

    data: dict
    title: str

    @property
    def distances(self):
        """Median distance to the reference in dB: a dict of scheduler names to dicts of steps to distances."""
        found = {}
        for point in self.data["curve"]:
            found.setdefault(point["scheduler"], {})[point["steps"]] = point["distance"]["median"]
        return found

    @property
    def yardstick(self):
        """Distance in dB of another seed: that of `helpers.yardstick`, or in a record that of its own references."""
        return self.data.get("yardstick", self.data["inter_seed_distance"]["median"])

    @property
    def verdicts(self):
        """What the one rule of `helpers.yardstick` calls the median of `distances`: the same dicts with words."""
        return {
            name: {steps: verdict(far / self.yardstick) for steps, far in row.items()}
            for name, row in self.distances.items()
        }

    def plot(self, names=None):
        """Draw the distance to the reference and the CLAP score against the steps.

        Parameters
        ----------
        names : list of str, optional
            The schedulers to draw; all by default.

        Returns
        -------
        helpers.pictures.Picture
        """
        names, data, yard = names or list(self.distances), self.data, self.yardstick
        figure = Figure(figsize=(10, 4.4), layout="constrained")
        far, fit = figure.subplots(1, 2)
        for name in names:
            points = [point for point in data["curve"] if point["scheduler"] == name]
            steps, style = [point["steps"] for point in points], {"markersize": 5} | _STYLES.get(name, {"marker": "o"})
            far.plot(steps, [point["distance"]["median"] for point in points], label=name, **style)
            fit.plot(steps, [point["clap_change"]["median"] for point in points], **style)
        for ax, key in ((far, "inter_seed_distance"), (fit, "clap_spread")):
            band = {"color": "tab:orange", "alpha": 0.3, "label": "another seed (middle half)"}
            ax.axhspan(data[key]["low"], data[key]["high"], **band)
            ax.set(xscale="log", xlabel="steps")
            ax.set_xticks(steps, steps)
        far.axhline(NEARLY * yard, color="tab:orange", lw=1, label='up to here "nearly the same clip"')
        far.axhline(SAME * yard, color="tab:orange", lw=1, ls="--", label='up to here "the same clip"')
        check = data["cross_check"]["distance"]["median"]
        far.axhline(check, color="black", lw=1, ls=":", label="cross-check: error of the reference")
        far.set(title="Distance to the reference", ylabel="log-mel distance (dB)", yscale="log")
        far.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        far.yaxis.set_major_formatter("{x:g}")
        fit.set(title="Fit to the prompt, against the reference", ylabel="difference of CLAP scores (no unit)")
        for ax in (far, fit):
            ax.minorticks_off()
        figure.suptitle(self.title)
        figure.legend(*far.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
        said = ", ".join(
            f"{name} " + " and ".join(f"{self.distances[name][n]:.2f} dB at {n} steps" for n in (steps[0], steps[-1]))
            for name in names
        )
        alt = f"{self.title}. Median distance to the reference: {said}. Another seed: {yard:.2f} dB"
        return Picture(figure, f"{alt}; cross-check: {check:.2f} dB.")


def quality_curve(pipe, prompt, schedulers, steps, reference, cross_check, seeds=3, seconds=None):
    """Measure how far clips are from the reference of the same seed, for several schedulers and numbers of steps.

    Parameters
    ----------
    pipe : diffusers.AudioLDM2Pipeline
        It keeps its own scheduler.
    prompt : str
    schedulers : dict of str to diffusers.SchedulerMixin
    steps : sequence of int
    reference : (str, int)
        Which scheduler, in how many steps, makes the reference: more than any point has.
    cross_check : (str, int)
        Another solver, which must reach the same clip; its distance is the error of the reference.
    seeds : int
        Clips at each point.
    seconds : float, optional
        Length of a clip; by default the one that the checkpoint was trained on.

    Returns
    -------
    QualityCurve

    Raises
    ------
    RuntimeError
        As in `measure_prompt`.
    """
    total = seeds * (len(schedulers) * sum(steps) + reference[1] + cross_check[1])
    with tqdm(total=total, unit="step", desc="steps") as bar:
        settings = (schedulers, steps, range(seeds), seconds, reference, cross_check)
        measured = measure_prompt(pipe, prompt, *settings, progress=bar.update)
    data = summary([measured]) | {"yardstick": yardstick(pipe, prompt, seconds).distance}
    return QualityCurve(data, f"Measured here, {seeds} clips at each point")


def recorded(path=RECORD):
    """Read the curve that `python -m benchmarks.quality_against_steps` recorded, with more prompts and schedulers.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    QualityCurve
    """
    data = json.loads(Path(path).read_text(encoding="utf-8"))
    clips = len(data["settings"]["prompts"]) * len(data["settings"]["seeds"])
    where = f"on {data['machine']['cpu']} ({data['machine']['device']}), checkpoint {data['checkpoint']['name']}"
    return QualityCurve(data, f"Recorded {data['date']} {where}, {clips} clips at each point")


def generate(pipe, prompt, steps, seeds, seconds=None, guidance_scale=3.5):
    """Generate one clip for each seed, a few at a time.

    Parameters
    ----------
    pipe : diffusers.AudioLDM2Pipeline
    prompt : str
    steps : int
    seeds : sequence of int
    seconds, guidance_scale : float

    Returns
    -------
    numpy.ndarray, shape (len(seeds), samples)
    """
    clips, settings = [], {"audio_length_in_s": seconds, "guidance_scale": guidance_scale}
    for i in range(0, len(seeds), BATCH):
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds[i : i + BATCH]]
        prompts = [prompt] * len(generators)
        clips.append(pipe(prompts, num_inference_steps=steps, generator=generators, **settings).audios)
    return np.concatenate(clips)


def distances(clips, reference, sampling_rate):
    """The `helpers.distance` in dB of each clip from the reference of the same seed, as a list."""
    return [distance(a, b, sampling_rate) for a, b in zip(clips, reference, strict=True)]


def measure_prompt(
    pipe, prompt, schedulers, steps, seeds, seconds, reference, cross_check, progress=lambda count: None
):
    """Measure all schedulers at all numbers of steps, clip by clip.

    Parameters
    ----------
    pipe, prompt, schedulers, steps, seconds, reference, cross_check
        As in `quality_curve`.
    seeds : sequence of int
    progress : callable
        Told the number of clips times steps whenever some are made.

    Returns
    -------
    dict
        "reference", "cross_check" and a list of "points", each with lists of one number per seed;
        "inter_seed_distance" holds the distances between the references of different seeds.

    Raises
    ------
    RuntimeError
        If a scheduler takes another number of steps than it was asked for: with trailing spacing, rounding adds one
        for some numbers, such as 61.
    """
    rate, kept = pipe.vocoder.config.sampling_rate, pipe.scheduler

    def run(name, count):
        pipe.scheduler = schedulers[name]
        clips = generate(pipe, prompt, count, seeds, seconds)
        taken = len(pipe.scheduler.timesteps)
        if taken != count:
            raise RuntimeError(f"{type(pipe.scheduler).__name__} makes {taken} steps out of {count}: choose another.")
        progress(count * len(seeds))
        return clips, {"scheduler": name, "steps": count, "clap": clap_scores(pipe, prompt, clips).tolist()}

    def against_reference(name, count):
        clips, found = run(name, count)
        return found | {"distance": distances(clips, ends, rate)}

    try:
        ends, found = run(*reference)
        neighbours = zip(ends, np.roll(ends, 1, 0), strict=True)  # seed 0 with the last, 1 with 0, ...
        return {
            "prompt": prompt,
            "reference": found,
            "inter_seed_distance": [distance(*pair, rate) for pair in neighbours],
            "cross_check": against_reference(*cross_check),
            "points": [against_reference(name, count) for name in schedulers for count in steps],
        }
    finally:
        pipe.scheduler = kept


def summary(measured):
    """Bring the clips of all prompts together.

    Parameters
    ----------
    measured : list of dict
        As `measure_prompt` returns them.

    Returns
    -------
    dict
        "curve": one dict for each scheduler and number of steps, with the quartiles of "distance" in dB and of
        "clap_change" (the CLAP score less that of the reference of the same prompt and seed). "reference" and
        "cross_check": the same. "inter_seed_distance": quartiles in dB. "clap_spread": quartiles of the references'
        CLAP scores, less the median of their prompt.
    """
    claps = [one["reference"]["clap"] for one in measured]
    expected = np.concatenate(claps)

    def merge(entries):
        clap = np.concatenate([entry["clap"] for entry in entries])
        far = sum((entry.get("distance", []) for entry in entries), [])
        return {
            "scheduler": entries[0]["scheduler"],
            "steps": entries[0]["steps"],
            "distance": _quartiles(far) if far else None,
            "clap_change": _quartiles(clap - expected),
        }

    return {
        "inter_seed_distance": _quartiles(sum((one["inter_seed_distance"] for one in measured), [])),
        "clap_spread": _quartiles(np.concatenate([clap - np.median(clap) for clap in claps])),
        "reference": merge([one["reference"] for one in measured]),
        "cross_check": merge([one["cross_check"] for one in measured]),
        "curve": [merge(entries) for entries in zip(*(one["points"] for one in measured), strict=True)],
    }


def _quartiles(values):
    low, median, high = (round(float(value), 4) for value in np.percentile(values, [25, 50, 75]))
    return {"low": low, "median": median, "high": high}
