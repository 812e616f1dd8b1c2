"""Measure how fast AudioLDM 2 gets, rung by rung: `python -m benchmarks.ladder`.

By default at full size with random weights. Each rung changes the pipeline that the rungs before it left behind. A rung
that is slower on this machine, fails, or hurts the sound of the pocket checkpoint gets its row, and the next rung
begins with a new pipeline that has the rungs kept so far. Stopped, a run goes on at the next start after its last row.

How the ratio is computed: beside every repeat of a rung runs one step of the untouched baseline's UNet. The time that
the baseline's clip would take at that moment is its clip, measured at the beginning, times that step over the
baseline's usual step. The ratio is the median over the repeats of that time over the rung's clip. Of more than 50 steps
4 are timed, and the denoising is scaled.
"""

import argparse
import copy
import gc
import statistics
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path

import diffusers
import torch
from diffusers.models.attention_processor import AttnProcessor
from tqdm.auto import tqdm

from benchmarks.official_pipeline import build_pipeline
from benchmarks.quality_against_steps import describe_machine, resume, write
from benchmarks.rungs import NEGATIVE, PROMPT, RUNGS, Setup
from benchmarks.sound import Sound
from helpers import best_device, half_dtype, load_pipeline, measure, unet_step
from helpers.devices import check_device, libraries
from helpers.measuring import limits
from helpers.official import SECONDS

RESULTS = Path(__file__).parent / "results"
SIZES = {"full-size": "base", "full-size-large": "large"}
LONG, TIMED_STEPS = 50, 4  # of more steps than LONG, TIMED_STEPS are timed
TOLERANCE = 1e-3  # largest relative error of latents and waveform that counts as lossless: rounding in float32
ROUNDED_TWICE = 1.5  # in half precision, as many times the error that it made by itself: two roundings add up to that
SLOWER = 1.02  # a rung is not kept when what it changes takes so many times as long as before
CAUTION = (
    "The sound was judged on the pocket checkpoint, which is small and predicts velocity. That it keeps its sound does "
    "not prove that the official weights, which predict noise, keep theirs."
)


class Ladder:
    """Climbs the rungs and keeps the books.

    Parameters
    ----------
    load : callable
        Returns the pipeline that is measured, given "measured", or the pocket one, given "pocket", as loaded.
    half : torch.dtype
        The half-precision type to change to.
    steps : int
        Of the baseline.
    repeats, clips : int
        Timed clips of each rung, and pocket clips that it is judged by.
    cache : pathlib.Path
        As in `Sound`.

    Attributes
    ----------
    rows : list of dict
        What was measured; with those of an earlier run, it goes on after them.
    """

    def __init__(self, load, half, steps, repeats, clips, cache):
        self.load, self.half, self.steps, self.repeats = load, half, steps, repeats
        self.sound = Sound(lambda: self.build("pocket", [(RUNGS[0], {})]), clips, cache)
        self.rows = []

    def climb(self, rungs, save):
        """Measure the rungs that have no row yet; the first of all is the baseline. `save` is told the rows."""
        self.baseline = copy.deepcopy(self.load("measured").unet)
        self.baseline.set_attn_processor(AttnProcessor())
        done = list(zip(rungs, self.rows, strict=False))
        self.kept = [(rung, rung.candidates.get(row.get("candidate"), {})) for rung, row in done if row["kept"]]
        self.setup = self.build("measured", self.kept)
        if self.kept:
            self._clip()
            self.output = self.made
        for rung in tqdm(rungs[len(done) :], desc="ladder", unit="rung", initial=len(done), total=len(rungs)):
            self.rows.append(self._rung(rung))
            save(self.rows)
            tqdm.write(in_words(self.rows[-1]))

    def build(self, which, changes):
        """Make a `Setup` with some rungs, each with its settings."""
        setup = Setup(self.load(which), self.half, which == "measured", self.steps)
        for rung, settings in changes:
            rung.change(setup, **settings)
        return setup

    def _rung(self, rung):
        row = {"key": rung.key, "rung": rung.name, "lossless": rung.lossless, "kept": False}
        if rung.key == "half" and self.half == torch.float32:
            return row | {"verdict": "not tried: this CPU has no instructions for half precision"}
        try:
            if rung.candidates:
                row |= self._choose(rung)
            elif rung.key == "half":
                row["quality"] = self.sound.half_precision(self.build("pocket", [*self.kept, (rung, {})]))
            settings = rung.candidates.get(row.get("candidate"), {})
            rung.change(self.setup, **settings)
            row |= self._measure()
            row["verdict"] = self._verdict(row, rung)
        except Exception as error:  # whatever a compiler or a kernel stumbles over: the other rungs go on
            first_line = (str(error).strip().splitlines() or ["no message"])[0]
            row["verdict"] = f"failed: {type(error).__name__}: {first_line[:200]}"
        row["kept"] = not row["verdict"].startswith(("not kept", "failed"))
        if row["kept"]:
            self.kept.append((rung, settings))
            self.output = self.made
        elif not self.rows:
            sys.exit(f"The baseline {row['verdict']}")
        else:
            self.setup = None
            gc.collect()
            torch._dynamo.reset()
            self.setup = self.build("measured", self.kept)
        return row

    def _choose(self, rung):
        """Listen to a lossy rung's candidates, up to the first that keeps the sound."""
        tried = []
        for name, settings in rung.candidates.items():
            quality = self.sound.measure(self.build("pocket", [*self.kept, (rung, settings)]), f"{rung.name}, {name}")
            tried.append({"candidate": name} | quality)
            if not quality["hurts"]:
                break
        return {"candidate": name, "quality": tried[-1], "tried": tried}

    @property
    def _timed_steps(self):
        return TIMED_STEPS if self.setup.steps > LONG else self.setup.steps

    def _clip(self):
        """Make a clip, and keep its latents and waveform."""
        call, latents = self.setup.call(steps=self._timed_steps), []
        audio = self.setup.pipe(**call, callback=lambda step, timestep, x: latents.append(x)).audios
        self.made = latents[-1], torch.from_numpy(audio)

    def _measure(self):
        """Time the clip as it is now, in turns with the baseline's step."""
        timed = self._timed_steps
        trial = measure({"the baseline's step": unet_step(self.baseline), "the clip": self._clip}, self.repeats)
        steps, first, clips = trial.before.seconds, trial.after.first, []
        for call in trial.after.calls:
            clips.append(call | {"denoising": call["denoising"] + call["other"]})
            del clips[-1]["other"]  # the scheduler, at every step
        steady = statistics.median(sum(clip.values()) for clip in clips)
        for clip in clips:
            clip["denoising"] *= self.setup.steps / timed
        totals = [sum(clip.values()) for clip in clips]
        seconds = {stage: statistics.median(clip[stage] for clip in clips) for stage in clips[0]}
        zeroth = self.rows[0] if self.rows else {"clip": statistics.median(totals), "baseline_steps": steps}
        usual = statistics.median(zeroth["baseline_steps"])
        ratios = [zeroth["clip"] * step / usual / total for step, total in zip(steps, totals, strict=True)]
        return {
            "steps": self.setup.steps,
            "timed_steps": timed,
            "seconds": seconds,
            "seconds_per_step": seconds["denoising"] / self.setup.steps,
            "clip": statistics.median(totals),
            "clip_range": limits(totals),
            "cold_start": max(0.0, first - steady),
            "peak_gpu_memory": trial.after.peak_memory,
            "baseline_steps": steps,
            "ratio": statistics.median(ratios),
            "ratio_range": limits(ratios),
        }

    def _verdict(self, row, rung):
        """Say whether the rung is kept, otherwise why not; only the time of the stages that it changes counts."""
        if not self.rows:
            return "the baseline"
        if rung.lossless:
            row["error"] = max(map(_relative_error, self.made, self.output))
            errors = [one["error"] for one in [*self.rows, row] if one["key"] == "half" and "error" in one]
            row["tolerance"] = max([TOLERANCE, *(ROUNDED_TWICE * error for error in errors)])
            if not row["error"] <= row["tolerance"]:  # NaN does not pass
                return "not kept: not lossless"
            if rung.key == "half" and not row["quality"]["passed"]:
                return "not kept: not lossless"
        elif row["quality"]["hurts"]:
            return f"not kept: hurts the sound ({row['quality']['hurts']})"
        before = next(one for one in reversed(self.rows) if one["kept"])
        after, before = (sum(one["seconds"][stage] for stage in rung.stages) for one in (row, before))
        return "not kept: slower here" if after > SLOWER * before else "kept"


def _relative_error(a, b):
    a, b = a.float().cpu(), b.float().cpu()
    return ((a - b).norm() / b.norm()).item()


def in_words(row):
    """Say what came of a rung; its record holds more."""
    if "clip" not in row:
        return f"{row['rung']}: {row['verdict']}"
    low, high = row["ratio_range"]
    scaled = "" if row["timed_steps"] == row["steps"] else f", scaled from {row['timed_steps']} of {row['steps']} steps"
    how = f"{row['clip']:.3g} s a clip{scaled}, {row['ratio']:.3g}x ({low:.3g}x to {high:.3g}x)"
    return f"{row['rung']}{row.get('candidate', '') and ', ' + row['candidate']}: {how}: {row['verdict']}"


def choose(wanted, device):
    """Find the rungs for a run, such as "sdpa,dpm", "all" or "student"; the baseline is always the first."""
    known = [rung.key for rung in RUNGS]
    keys = wanted.split(",")
    if wanted == "all":  # the student is another model: nothing that leaves out steps goes together with it
        keys = [key for key in known if key != "student"]
    elif wanted == "student":
        keys = [rung.key for rung in RUNGS if rung.lossless or rung.key in ("student", "int8")]
    unknown = sorted(set(keys) - set(known))
    if unknown:
        sys.exit(f"There is no rung {unknown[0]!r}: choose from {', '.join(known)}.")
    return [rung for rung in RUNGS if rung is RUNGS[0] or rung.key in keys and device.type in rung.devices]


def main(arguments=None):
    """Climb, write the results, print them; `arguments` are by default those of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog="Rungs: " + ", ".join(rung.key for rung in RUNGS)
    )
    parser.add_argument("--checkpoint", default="full-size", help="full-size, full-size-large, pocket, or a folder")
    parser.add_argument(
        "--rungs", default="all", help="such as sdpa,dpm; student for the distilled UNet, all by default for the rest"
    )
    parser.add_argument("--json", type=Path, help="the file to write; by default in benchmarks/results")
    parser.add_argument("--device", help="such as cuda:1; by default the fastest kind that is there")
    parser.add_argument("--steps", type=int, default=200, help="of the baseline, 200 by default")
    parser.add_argument("--repeats", type=int, default=3, help="timed clips of each rung, 3 by default")
    parser.add_argument("--clips", type=int, default=56, help="pocket clips that each lossy rung is judged by")
    given = parser.parse_args(arguments)
    if given.repeats < 1 or given.clips < 2 or not 1 <= given.steps <= 1000:
        parser.error("--repeats must be 1 or more, --clips 2 or more, --steps from 1 to 1000.")
    diffusers.logging.set_verbosity_error()  # it warns of every conversion to half precision
    warnings.filterwarnings("ignore", module=r"torch\._(inductor|dynamo)")  # of its own code
    device = check_device(given.device or best_device())
    half = half_dtype(device)
    rungs = choose(given.rungs, device)

    def load(which):
        if which == "measured" and given.checkpoint in SIZES:
            pipe = build_pipeline(SIZES[given.checkpoint]).to(device)
        else:
            pipe = load_pipeline(given.checkpoint if which == "measured" else "pocket", device=device)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    name = given.checkpoint if given.checkpoint in SIZES else Path(given.checkpoint).name
    path = given.json or RESULTS / f"ladder-{name}-{device.type}.json"
    part, cache = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.clips.part")
    settings = {name: getattr(given, name) for name in ("steps", "repeats", "clips")}
    results = {
        "machine": describe_machine(device),
        "versions": libraries(),
        "checkpoint": name,
        "random_weights": given.checkpoint in SIZES,
        "settings": settings | {"prompt": PROMPT, "negative_prompt": NEGATIVE, "rungs": [rung.key for rung in rungs]},
        "how": " ".join(__doc__.split("\n\n")[-1].split()),
        "caution": CAUTION,
    }
    ladder = Ladder(load, half, given.steps, given.repeats, given.clips, cache)
    ladder.rows = resume(part, results).get("rows", [])
    if not ladder.rows:
        cache.unlink(missing_ok=True)
    ladder.climb(rungs, save=lambda rows: write(part, results | {"rows": rows}))
    seconds = getattr(ladder.setup.pipe, "natural_length", SECONDS)
    date = datetime.now(UTC).date().isoformat()
    write(part, {"date": date, **results, "seconds_of_sound": seconds, "rows": ladder.rows})
    part.replace(path)
    cache.unlink(missing_ok=True)
    print("\n".join([*map(in_words, ladder.rows), results["how"], CAUTION, f"{path} written."]))


if __name__ == "__main__":
    main()
