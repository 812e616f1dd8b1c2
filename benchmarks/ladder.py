"""Measure how fast AudioLDM 2 gets, rung by rung: `python -m benchmarks.ladder`.

By default at full size with random weights. Each rung changes the pipeline that the rungs before it left behind. A rung
that is slower on this machine, fails, or hurts the sound of the pocket checkpoint gets its row and is undone. Results
are written after every rung, so a run that is stopped keeps its rows.

How the ratio is computed: beside every repeat of a rung runs one step of the untouched baseline's UNet. The time that
the baseline's clip would take at that moment is its clip, measured at the beginning, times that step over the
baseline's usual step. The ratio is the median over the repeats of that time over the rung's clip.
The memory is that of the process at its peak, less the copy of the UNet that is there for this; the pocket checkpoint
is in it. The limit is what the machine would take for the counted operations at the speed of a large matrix product.
"""

import argparse
import copy
import gc
import platform
import statistics
import sys
import warnings
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import diffusers
import torch
from diffusers.models.attention_processor import AttnProcessor
from tqdm.auto import tqdm

from benchmarks import full_size
from benchmarks.quality_against_steps import describe_machine, write
from benchmarks.rungs import NEGATIVE, PROMPT, RUNGS, STAGES, Setup, clock, generate
from benchmarks.sound import Sound, say
from benchmarks.work import Work, matmul_peak, watch_memory
from helpers import best_device, half_dtype, load_pipeline
from helpers.devices import check_device
from helpers.tables import table
from helpers.timing import interquartile_range

RESULTS = Path(__file__).parent / "results"
TIMED_STEPS = 4  # that a rung with very many steps is timed on
LONG = 50  # steps from which that is so
TOLERANCE = 1e-3  # largest relative error of latents and waveform that counts as lossless: rounding in float32
ROUNDED_TWICE = 1.5  # in half precision, as many times the error that it made by itself: two roundings add up to that
SLOWER = 1.02  # a rung is undone when what it changes takes so many times as long as before
PER_CLIP = 1.5  # seconds of a pocket clip, for the estimate of the time left
CAUTION = (
    "The sound was judged on the pocket checkpoint, which is small and predicts velocity. That it keeps its sound does "
    "not prove that the official weights, which predict noise, keep theirs."
)


class Ladder:
    """Climbs the rungs and keeps the books.

    Parameters
    ----------
    setup : benchmarks.rungs.Setup
        In float32, as loaded.
    sound : benchmarks.sound.Sound
    repeats : int
    exact : bool
        Run all the steps of long rungs too, once each.
    save : callable
        Told the rows after every rung.

    Attributes
    ----------
    rows : list of dict
    peaks : dict of str to float
        Operations a second that matrix products reach, by type.
    """

    def __init__(self, setup, sound, repeats, exact, save):
        self.setup, self.sound, self.repeats, self.exact, self.save = setup, sound, repeats, exact, save
        self.rows, self.kept = [], None
        self.type, self.tolerance = "float32", TOLERANCE  # what most of the work is done in; what rounding there makes
        types = (torch.float32, setup.half, torch.int8)
        self.peaks = {_name(dtype): matmul_peak(dtype, setup.device) for dtype in types}

    def climb(self, rungs):
        """Measure the baseline and all `rungs`.

        Parameters
        ----------
        rungs : list of benchmarks.rungs.Rung
            The first is the baseline.
        """
        self._start(rungs[0])
        estimates = [self._estimate(rung) for rung in rungs]
        with tqdm(total=round(sum(estimates)), unit="s", desc="ladder", bar_format=BAR) as bar:
            for rung, estimate in zip(rungs, estimates, strict=True):
                bar.set_description(rung.name)
                row = self._baseline(rung) if self.kept is None else self._rung(rung)
                self.rows.append(row)
                self.save(self.rows)
                tqdm.write(in_words(row))
                gc.collect()
                bar.update(min(round(estimate), bar.total - bar.n))

    def _start(self, rung):
        """Make the baseline, its inputs, and a copy of its UNet that stays as it is."""
        rung.change(self.setup)
        pipe, device = self.setup.pipe, self.setup.device
        with torch.no_grad():
            t5, mask, gpt2 = pipe.encode_prompt(PROMPT, device, 1, True, negative_prompt=NEGATIVE)
        config, width = pipe.unet.config, pipe.vocoder.config.model_in_dim // pipe.vae_scale_factor
        self.inputs = {
            "sample": torch.randn(2, config.in_channels, config.sample_size, width, device=device),
            "timestep": torch.tensor(500, device=device),
            "encoder_hidden_states": gpt2,
            "encoder_hidden_states_1": t5,
            "encoder_attention_mask_1": mask,
        }
        self.unet = copy.deepcopy(pipe.unet)
        self.unet.set_attn_processor(AttnProcessor())
        self.work = Work(self.setup, self.inputs)
        self.step = min(self._baseline_step() for _ in range(2))

    @torch.no_grad()
    def _baseline_step(self):
        start = clock()
        self.unet(**self.inputs)
        return clock() - start

    def _baseline(self, rung):
        row, clips, steps = self._measure(rung, None)
        self.step, self.clip = statistics.median(steps), row["clip"]
        return self._judged(row, clips, steps) | {"kept": True, "verdict": "the baseline"}

    def _rung(self, rung):
        """Climb one rung; undo it unless it is a gain."""
        quality, value, rounding_before, undos = None, None, (self.type, self.tolerance), []
        row = {"key": rung.key, "rung": rung.name, "lossless": rung.lossless, "kept": False}
        if rung.key == "half" and self.setup.half == torch.float32:
            return row | {"verdict": "not tried: this CPU has no instructions for half precision"}
        try:
            if rung.key == "half":
                quality, undo = self.sound.half_precision(rung.change)
                undos.append(undo)
                self.type = _name(self.setup.half)
            elif not rung.lossless:
                candidate, quality, tried = self._choose(rung, undos)
                row |= {"candidate": candidate.name if candidate else None, "tried": tried}
                value = candidate.value if candidate else None
                if rung.key.startswith("int8"):
                    self.type = "int8"
            else:
                undos.append(rung.change(self.sound.setup))
            undos.append(rung.change(self.setup, *([value] if value else [])))
            measured, clips, steps = self._measure(rung, quality)
            row |= self._judged(measured, clips, steps)
            row["verdict"] = self._verdict(row, rung.stages)
        except Exception as error:  # whatever a compiler or a kernel stumbles over: the other rungs go on
            first_line = (str(error).strip().splitlines() or ["no message"])[0]
            row["verdict"] = f"failed: {type(error).__name__}: {first_line[:200]}"
        row["kept"] = row["verdict"] == "kept"
        if row["kept"]:
            self.kept, self.output = row, self.latest if rung.lossless else self.output
        else:
            self.type, self.tolerance = rounding_before
            for undo in reversed(undos):
                undo()
        return row

    def _choose(self, rung, undos):
        """Listen to a lossy rung's candidates; take the cheapest that keeps the sound, of equals the closest."""
        setup, tried = self.sound.setup, []
        self.sound.prepare()
        if not rung.candidates:
            undos.append(rung.change(setup))
            return None, self.sound.measure(rung.name), []
        for cost in sorted({candidate.cost for candidate in rung.candidates}):
            for candidate in (one for one in rung.candidates if one.cost == cost):
                undo = rung.change(setup, candidate.value)
                tried.append((candidate, self.sound.measure(f"{rung.name}, {candidate.name}")))
                undo()
            fit = [pair for pair in tried if not pair[1]["hurts"]]
            if fit:
                break
        best, quality = min(fit or tried, key=lambda pair: pair[1]["distance"])
        undos.append(rung.change(setup, best.value))
        return best, quality, [{"candidate": candidate.name, **found} for candidate, found in tried]

    def _measure(self, rung, quality):
        """Time the clip as it is now, in turns with the baseline's step."""
        setup = self.setup
        long = setup.steps > LONG
        timed = TIMED_STEPS if long and not self.exact else setup.steps
        once = self.exact and long
        clips, steps, first = [], [], None
        if not once:
            start = clock()
            generate(setup, steps=timed)
            first = clock() - start
        with watch_memory(setup.device) as memory:
            for _ in range(1 if once else self.repeats):
                steps.append(self._baseline_step())
                self.latest = generate(setup, steps=timed)
                clips.append(self.latest.seconds)
        seconds = {stage: statistics.median(clip[stage] for clip in clips) for stage in STAGES}
        steady = statistics.median(sum(clip.values()) for clip in clips)
        for clip in clips:
            clip["denoising"] *= setup.steps / timed
        total = [sum(clip.values()) for clip in clips]
        row = {
            "key": rung.key,
            "rung": rung.name,
            "lossless": rung.lossless,
            "steps": setup.steps,
            "timed_steps": timed,
            "seconds": seconds | {"denoising": seconds["denoising"] * setup.steps / timed},
            "seconds_per_step": seconds["denoising"] / timed,
            "clip": statistics.median(total),
            "clip_spread": interquartile_range(total),
            "cold_start": None if once else max(0.0, first - steady),
            "peak_memory": memory.peak - sum(weight.nbytes for weight in self.unet.parameters()),
            "type": self.type,
            "flops": self.work.clip(setup, setup.steps),
            "quality": quality,
        }
        row["share_of_limit"] = row["flops"] / self.peaks[self.type] / row["clip"] if self.peaks[self.type] else None
        return row, total, steps

    def _judged(self, row, clips, steps):
        """Add the ratio to the baseline, and for a lossless rung the error against the rung before."""
        ratios = [self.clip * step / self.step / clip for step, clip in zip(steps, clips, strict=True)]
        row |= {
            "ratio": statistics.median(ratios),
            "ratio_spread": interquartile_range(ratios),
            "baseline_steps": steps,
        }
        if self.kept is None:
            self.kept, self.output = row, self.latest
        elif row["lossless"]:
            row["error"] = max(
                _relative_error(self.latest.latents, self.output.latents),
                _relative_error(self.latest.audio, self.output.audio),
            )
            if row["key"] == "half":
                self.tolerance = max(TOLERANCE, ROUNDED_TWICE * row["error"])
            row["tolerance"] = self.tolerance
        return row

    def _verdict(self, row, stages):
        """Say whether the rung is kept, otherwise why not; only the time of the stages that it changes counts."""
        if row["key"] == "half":
            if not row["quality"]["passed"]:
                return "not kept: not lossless"
        elif row["lossless"]:
            if not row["error"] <= row["tolerance"]:  # NaN does not pass
                return "not kept: not lossless"
        elif row["quality"]["hurts"]:
            return f"not kept: hurts the sound ({row['quality']['hurts']})"
        after, before = (sum(one["seconds"][stage] for stage in stages) for one in (row, self.kept))
        if after > SLOWER * before:
            return "not kept: slower here"
        return "kept"

    def _estimate(self, rung):
        """Seconds that a rung will take, roughly; only the time left is made of it."""
        timed = {"dpm": 20, "part-guidance": 20}.get(rung.key, 10 if not rung.lossless else TIMED_STEPS)
        if self.exact and rung.lossless:
            timed = 200
        seconds = (self.repeats + 1) * self.step * (timed + 4)
        if self.setup.compiles and rung.key in ("compile", "vae", "vocoder", "int8-unet", "int8-sound"):
            seconds += 60
        if rung.key == "half":
            seconds += 12 * PER_CLIP * len(self.sound.seeds)
        elif not rung.lossless:
            seconds += PER_CLIP * len(self.sound.seeds) * max(1, len(rung.candidates))
        return seconds


BAR = "{desc}{percentage:.0f}% |{bar}| {elapsed} gone, about {remaining} left"


def _name(dtype):
    return str(dtype).removeprefix("torch.")


def _relative_error(a, b):
    a, b = a.float().cpu(), b.float().cpu()
    return ((a - b).norm() / b.norm()).item()


def in_words(row):
    """One row in one line."""
    if "clip" not in row:
        return f"{row['rung']}: {row['verdict']}"
    stages = ", ".join(f"{stage} {seconds:.3g}" for stage, seconds in row["seconds"].items())
    notes = [note(row), row["verdict"]]
    return (
        f"{row['rung']}: {row['clip']:.4g} s a clip ({stages}), {row['ratio']:.3g} times as fast "
        f"(spread {row['ratio_spread']:.2g}). {'. '.join(part for part in notes if part)}."
    )


def note(row):
    """What is to be said of a row beside its figures."""
    parts = []
    if row.get("candidate"):
        parts.append(f"chosen: {row['candidate']}")
    if row["timed_steps"] != row["steps"]:
        parts.append(f"scaled from {row['timed_steps']} of {row['steps']} steps")
    quality = row["quality"]
    if row["key"] == "half":
        share = quality["distance"] / quality["seed_distance"]
        parts.append(f"moves pocket by {share:.3f} of the seed distance, limit 0.05")
    elif quality:
        parts.append(f"on pocket: {say(quality)}")
    elif "error" in row:
        parts.append(f"relative error {row['error']:.1g}, limit {row['tolerance']:.1g}")
    return "; ".join(parts)


def as_markdown(rows):
    """All rows as a table."""
    lines = []
    for row in rows:
        line = {"rung": row["rung"], "sound": "lossless" if row["lossless"] else "lossy"}
        if "clip" in row:
            share, cold = row["share_of_limit"], row["cold_start"]
            line |= {
                "clip (s)": f"{row['clip']:.3g}",
                **{f"{stage} (s)": f"{row['seconds'][stage]:.3g}" for stage in STAGES},
                "a step (s)": f"{row['seconds_per_step']:.3g}",
                "times as fast": f"{row['ratio']:.3g} (spread {row['ratio_spread']:.2g})",
                "memory (GB)": f"{row['peak_memory'] / 1e9:.2f}",
                "first call, on top (s)": None if cold is None else f"{cold:.3g}",
                "of the limit": None if share is None else f"{share:.0%} ({row['type']})",
                "checks": note(row),
            }
        lines.append(line | {"verdict": row["verdict"]})
    full = next(line for line in lines if "clip (s)" in line)
    return table([{heading: line.get(heading) for heading in full} for line in lines]).data


def headline(rows):
    """Name the last rung that is kept, and the last lossless one, in a sentence."""
    kept = [row for row in rows if row["kept"]]
    parts = []
    for name, some in (("lossless", [row for row in kept if row["lossless"]]), ("all", kept)):
        best = some[-1]
        parts.append(f"{name}: {best['clip']:.3g} s a clip, {best['ratio']:.3g} times as fast ({best['rung']})")
    return "; ".join(parts)


def load(checkpoint, device):
    """Load or build the pipeline that is measured, in float32."""
    if checkpoint in full_size.SIZES:
        pipe = full_size.build_pipeline(checkpoint).to(device)
    else:
        pipe = load_pipeline(checkpoint, device=device)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def choose(wanted, unwanted, device):
    """Find the rungs for a run; the baseline is always the first.

    Parameters
    ----------
    wanted, unwanted : str
        Keys separated by commas, or "all".
    device : torch.device

    Returns
    -------
    list of benchmarks.rungs.Rung

    Raises
    ------
    ValueError
        If a key is unknown.
    """
    known = {rung.key for rung in RUNGS}
    keys = known if wanted == "all" else set(wanted.split(","))
    without = set(filter(None, unwanted.split(",")))
    unknown = (keys | without) - known
    if unknown:
        listed = ", ".join(rung.key for rung in RUNGS)
        raise ValueError(f"There is no rung {sorted(unknown)[0]!r}: choose from {listed}.")
    keys = (keys - without) | {RUNGS[0].key}
    return [rung for rung in RUNGS if rung.key in keys and device.type in rung.devices]


def parse(arguments):
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog="Rungs: " + ", ".join(rung.key for rung in RUNGS)
    )
    parser.add_argument("--checkpoint", default="full-size", help="full-size, full-size-large, pocket, or a folder")
    parser.add_argument("--rungs", default="all", help="such as sdpa,compile,dpm; all by default")
    parser.add_argument("--without", default="", help="rungs to leave out")
    parser.add_argument("--json", type=Path, help="the file to write; by default in benchmarks/results")
    parser.add_argument("--device", help="such as cuda:1; by default the fastest kind that is there")
    parser.add_argument("--steps", type=int, default=200, help="of the baseline, 200 by default")
    parser.add_argument("--exact", action="store_true", help="run all steps where otherwise 4 are run and scaled")
    parser.add_argument("--repeats", type=int, default=3, help="timed clips of each rung, 3 by default")
    parser.add_argument("--clips", type=int, default=14, help="pocket clips that each lossy rung is judged by")
    parser.add_argument("--compare", choices=["openvino"], help="time the UNet's step in OpenVINO too (pip install it)")
    given = parser.parse_args(arguments)
    if given.repeats < 1 or given.clips < 2 or not 1 <= given.steps <= 1000:
        parser.error("--repeats must be 1 or more, --clips 2 or more, --steps from 1 to 1000.")
    return given


def main(arguments=None):
    """Climb, write the results, print the table.

    Parameters
    ----------
    arguments : list of str, optional
        By default those of the command line.
    """
    given = parse(arguments)
    diffusers.logging.set_verbosity_error()  # it warns of every conversion to half precision
    warnings.filterwarnings("ignore", module=r"torch\._(inductor|dynamo)")  # of its own code
    device = check_device(given.device or best_device())
    with warnings.catch_warnings(record=True):  # a CPU without half precision is told of in the table
        half = half_dtype(device)
    try:
        rungs = choose(given.rungs, given.without, device)
    except ValueError as error:
        sys.exit(str(error))
    name = given.checkpoint if given.checkpoint in full_size.SIZES else Path(given.checkpoint).name
    path = given.json or RESULTS / f"ladder-{name}-{device.type}.json"
    packages = ("torch", "diffusers", "transformers")
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(device),
        "versions": {"python": platform.python_version(), **{package: version(package) for package in packages}},
        "checkpoint": name,
        "random_weights": given.checkpoint in full_size.SIZES,
        "settings": {"prompt": PROMPT, "negative_prompt": NEGATIVE, "repeats": given.repeats, "clips": given.clips},
        "how": " ".join(__doc__.split("\n\n")[-1].split()),
        "caution": CAUTION,
    }

    setup = Setup(load(given.checkpoint, device), half, steps=given.steps)
    results["seconds_of_sound"] = setup.seconds
    ladder = Ladder(
        setup,
        Sound(device, half, given.clips, given.steps),
        given.repeats,
        given.exact,
        save=lambda rows: write(path, results | {"peaks": ladder.peaks, "rows": rows}),
    )
    ladder.climb(rungs)
    if given.compare:
        from benchmarks.openvino_step import compare  # an optional extra

        results["openvino"] = compare(setup, ladder.unet, ladder.inputs, given.repeats)
        write(path, results | {"peaks": ladder.peaks, "rows": ladder.rows})
        print(results["openvino"]["says"])
    print(f"\n{as_markdown(ladder.rows)}\n\n{results['how']}\n{CAUTION}\n\n{headline(ladder.rows)}\n{path} written.")


if __name__ == "__main__":
    main()
