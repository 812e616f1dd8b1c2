"""A contest of recipes: the fastest clip that is nearly that of the slow way; its referee, and the table of tries."""

import copy
import math
import secrets
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import torch
from diffusers import DDIMScheduler
from diffusers.models.attention_processor import AttnProcessor2_0
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from helpers.checkpoints import one_line
from helpers.measuring import Trial, limits, measure
from helpers.official import official_unet, unet_step
from helpers.pictures import BARS, Picture, table
from helpers.quality import distance
from helpers.report import Report
from helpers.scoreboard import SET_UP, Scoreboard
from helpers.yardstick import NEARLY, SAME, Moved, moved

PAIRS = 3  # of clips that are timed in turns
SECOND_PROMPTS = (
    "Birds singing, high quality",
    "A recording of church bells, high quality",
    "Techno music with a strong kick drum, high quality",
)
ACTIVE = {  # what a recipe may claim, and how to see on its pipeline that it is so
    "SDPA": lambda pipe: {type(one) for one in pipe.unet.attn_processors.values()} == {AttnProcessor2_0},
    "half precision": lambda pipe: all(one.dtype.itemsize == 2 for one in (pipe.unet, pipe.vae, pipe.vocoder)),
    "torch.compile": lambda pipe: hasattr(pipe.unet, "_orig_mod") or pipe.unet._compiled_call_impl is not None,
    "scheduler swap": lambda pipe: not isinstance(pipe.scheduler, DDIMScheduler),
    "CPU offload": lambda pipe: hasattr(pipe.unet, "_hf_hook"),
}
_SLOW, _MINE = "the slow way", "your recipe"


class _Refused(Exception):
    """Why something is no try."""


@dataclass(repr=False)
class Entry:
    """What the referee says of a recipe; a notebook shows it.

    Attributes
    ----------
    refused : str
        Why it is no try; empty if it is one.
    report : helpers.report.Report or None
        What was measured.
    share : float
        How far the farthest clip is from that of the slow way, as a share of the yardstick.
    """

    refused: str = ""
    report: Report | None = None
    share: float = math.inf

    @property
    def counts(self):
        """Whether all clips are nearly those of the slow way."""
        return self.share <= NEARLY

    @property
    def speedup(self):
        """Time of the slow way divided by that of the recipe."""
        return self.report.clip.speedup

    def __repr__(self):
        if self.refused:
            return f"Refused: {self.refused}."
        low, high = limits(self.report.clip.pairs)
        counts = "It counts" if self.counts else "It does not count"
        return (
            f"{counts}: the farthest clip is {self.share:.0%} of the way to another seed; {NEARLY:.0%} are allowed. "
            f"{self.report.clip.ratio()}{', a tie with the slow way' if low <= 1 <= high else ''}."
        )

    def _repr_markdown_(self):
        if self.refused:
            return repr(self)
        clip, step = self.report.clip, self.report.step
        official = step and " → ".join(
            f"{of.unet_calls} × {one.median:.3g} s = {of.unet_calls * one.median:.3g} s"
            for of, one in ((clip.before, step.before), (clip.after, step.after))
        )
        said = f"\n\nAll steps of a clip at the official size, from one step: {official}." if step else ""
        return f"**{self!r}**{said}\n\n{self.report.table().data}"


class Contest:
    """Takes recipes, and keeps the tries in the scoreboard's file.

    A recipe is a function that gets a pipeline, changes it, and returns what it shall be called with besides.

    Parameters
    ----------
    pipe : helpers.pipeline.AudioLDM2Pipeline
        The slow way, on a scheduler of DDIM. Recipes get copies of it.
    call : dict
        What it is called with, all but the generator.
    width : float
        As in `helpers.official_unet`.
    prediction : helpers.Prediction, optional
        Shown beside what was measured.
    """

    def __init__(self, pipe, call, width=1.0, prediction=None):
        self.pipe, self.call, self.width, self.prediction = pipe, call, width, prediction
        self.rate, self.board = pipe.vocoder.config.sampling_rate, Scoreboard()
        self._length = int((call.get("audio_length_in_s") or pipe.natural_length) * self.rate)

    def enter(self, recipe, claims=()):
        """Judge a recipe on seeds and a second prompt that are drawn only then.

        Parameters
        ----------
        recipe : callable
        claims : list of str
            Its changes that have a name in `ACTIVE`.

        Returns
        -------
        Entry
            Refused if a claim is not active, a clip is shortened or the same for other seeds, or the recipe fails.
        """
        try:
            return self._judge(recipe, claims)
        except _Refused as error:
            return Entry(str(error))
        except Exception as error:  # whatever a learner writes may raise
            return Entry(f"the recipe raised {one_line(error)}")

    def _judge(self, recipe, claims):
        if unknown := [name for name in claims if name not in ACTIVE]:
            raise _Refused(f"{unknown[0]!r} cannot be claimed, only {', '.join(ACTIVE)}")
        mine = copy.deepcopy(self.pipe)
        settings = recipe(mine)
        if not isinstance(settings, dict):
            raise _Refused("the recipe must return a dict of what to call the pipeline with, which may be empty: {}")
        seeds, second = [secrets.randbelow(2**31) for _ in range(PAIRS)], secrets.choice(SECOND_PROMPTS)
        draws = [(second if turn == 1 else self.call["prompt"], seed) for turn, seed in enumerate(seeds)]
        # A compiled UNet compiles again for a text of another length: that is no part of the time of a clip.
        warm_up = [self._clip(mine, prompt, 0, settings, num_inference_steps=2) for prompt, _ in draws[:2]]
        self._check(mine, claims, warm_up)
        print(f"Drawn: the seeds {', '.join(map(str, seeds))}; the second is for {second!r}.")
        clips = {_SLOW: [], _MINE: []}

        def run(name, pipe, settings):
            clips[name].append(self._clip(pipe, *draws[len(clips[name])], settings))
            return clips[name][-1]

        ways = {_SLOW: lambda: run(_SLOW, self.pipe, {}), _MINE: lambda: run(_MINE, mine, settings)}
        trial = measure(ways, PAIRS, warm_up=False)
        self._check(mine, claims, clips[_MINE])
        for (a, b), (slow_a, slow_b) in zip(*(combinations(clips[name], 2) for name in (_MINE, _SLOW)), strict=True):
            if distance(a, b, self.rate) <= SAME * distance(slow_a, slow_b, self.rate):
                raise _Refused("the clip is the same for another seed or prompt")
        sound = [moved(self.pipe, draw[0], *pair) for draw, *pair in zip(draws, *clips.values(), strict=True)]
        entry = Entry("", share=max(one.share for one in sound))
        own = [one.distance for one, draw in zip(sound, draws, strict=True) if draw[0] == self.call["prompt"]]
        step = self._step(recipe) if entry.counts else None
        entry.report = Report(_MINE, trial, step, Moved(own, sound[0].yardstick), self.prediction)
        self._keep(entry, [*claims, f"{trial.after.unet_calls} steps"])
        return entry

    def _clip(self, pipe, prompt, seed, settings, **more):
        generator = torch.Generator("cpu").manual_seed(seed)
        return pipe(**self.call | {"prompt": prompt, "generator": generator} | settings | more).audios[0]

    def _check(self, pipe, claims, clips):
        for name in claims:
            if not ACTIVE[name](pipe):
                raise _Refused(f"{name} is claimed, but it is not active when the clip is made")
        if (length := min(map(len, clips))) < self._length:
            raise _Refused(f"the clip is shortened: {length / self.rate:.3g} s of {self._length / self.rate:.3g} s")

    def _step(self, recipe):
        """Time one step at the official size: the recipe gets a pipeline with the official UNet."""
        try:
            slow, unet = (official_unet(width=self.width) for _ in range(2))
            for one in (slow, unet):
                one.set_attn_processor(next(iter(self.pipe.unet.attn_processors.values())))
            pipe = copy.deepcopy(self.pipe, {id(self.pipe.unet): unet})  # all but the UNet
            recipe(pipe)
            seconds = self._length / self.rate
            return measure({_SLOW: unet_step(slow, seconds), _MINE: unet_step(pipe.unet, seconds)}, repeats=1)
        except Exception as error:
            print(f"No step at the official size: {one_line(error)}")

    def _keep(self, entry, changes):
        """Write a try down; one that counts is what the scoreboard shows of lesson 8."""
        more = {
            "recipe": " + ".join(changes),
            "share": entry.share,
            "slow way": f"{entry.report.clip.before.unet_calls} steps, {self._length / self.rate:g} s",
        }
        self.board.record(entry.report, **more, **({} if entry.counts else {"rung": "does not count"}))
        for timing in entry.report.clip.variants.values():
            timing.pipe = None  # a notebook remembers what it showed, and memory has no room for a pipeline a try

    def table(self):
        """Lay out all tries on this machine, checkpoint and slow way, the fastest first.

        Returns
        -------
        IPython.display.Markdown
        """
        return _standing(self._tries())

    def chart(self):
        """Draw each try as a bar of the denoising steps and the rest, as shares of the slow way in the same turns.

        Returns
        -------
        helpers.pictures.Picture
        """
        tries = self._tries()
        bars = [(_SLOW, tries[-1].clip.before, tries[-1].clip.before)]
        bars += [
            (one.recipe + ("" if one.counts else "\n(does not count)"), *one.clip.variants.values()) for one in tries
        ]
        figure, said = Figure(figsize=(9, 1.4 + 0.5 * len(bars)), layout="constrained"), []
        ax = figure.subplots()
        for y, (name, slow, timing) in enumerate(bars):
            steps, rest = (100 * part / slow.median for part in (timing.median - timing.rest, timing.rest))
            ax.barh(y, steps, **BARS[0])
            ax.barh(y, rest, left=steps, **BARS[1])
            ax.text(steps + rest, y, f"  {slow.median / timing.median:.3g}x", va="center")
            said.append(f"{name}: {steps:.3g} % for the steps and {rest:.3g} % for the rest.")
        ax.set(title="The tries", xlabel="Time of one clip (% of the slow way)", xlim=(0, 1.12 * ax.dataLim.x1))
        ax.set_yticks(range(len(bars)), [name for name, *_ in bars])
        ax.invert_yaxis()
        handles = [Patch(label=label, **bar) for label, bar in zip(("denoising steps", "the rest"), BARS, strict=True)]
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
        return Picture(figure, f"Bar chart of the time of one clip, one bar for each try. {' '.join(said)}")

    def _tries(self):
        """Those that can be compared with the last one."""
        tries = _tries(self.board)
        return [one for one in tries if one.set_up == tries[-1].set_up]


def room(folder):
    """Lay out the best try of each learner in a room.

    Parameters
    ----------
    folder : str or pathlib.Path
        With the scoreboard file of each learner, as name.jsonl.

    Returns
    -------
    IPython.display.Markdown
        A place is given among tries on the same machine, libraries, checkpoint and slow way.
    """
    best = []
    for path in sorted(Path(folder).expanduser().glob("*.jsonl")):
        tries = _tries(Scoreboard(path), path.stem)
        best += [max(tries, key=lambda one: (one.counts, one.clip.speedup))] if tries else []
        if not tries:
            print(f"{path.name}: no try")
    return _standing(best)


@dataclass
class _Try:
    who: str
    recipe: str
    share: float
    clip: Trial
    step: Trial | None
    set_up: tuple
    machine: str

    @property
    def counts(self):
        return self.share <= NEARLY


def _tries(board, who=""):
    """The tries among the records of a scoreboard, oldest first."""
    return [
        _Try(
            who,
            one["recipe"],
            one["share"],
            Trial.from_record(one["clip"]),
            one["step"] and Trial.from_record(one["step"]),
            tuple(str(one[name]) for name in (*SET_UP, "slow way")),
            f"{one['device']}, {one['machine']}, {one['checkpoint']}, against {one['slow way']}",
        )
        for one in board.entries()
        if "share" in one
    ]


def _standing(tries):
    """Lay out tries: one is behind those whose slowest pair is faster than its fastest; where ranges overlap, a tie."""
    rows = []
    for one in sorted(tries, key=lambda one: (one.set_up, not one.counts, -one.clip.speedup)):
        rivals = [other for other in tries if other is not one and other.counts and other.set_up == one.set_up]
        low, high = limits(one.clip.pairs)
        ranges = [limits(other.clip.pairs) for other in rivals]
        place = str(1 + sum(other_low > high for other_low, _ in ranges))
        place += " (tie)" if any(a <= high and low <= b for a, b in ranges) else ""
        row = {"place": place if one.counts else "does not count"} | ({"who": one.who} if one.who else {})
        row |= {"recipe": one.recipe, "a clip": f"{one.clip.after.median:.3g} s", "speed-up": one.clip.ratio()}
        row |= {"farthest clip": f"{one.share:.0%} of the way to another seed"}
        row |= {"a step at the official size": one.step and one.step.ratio()}
        rows.append(row | ({"on": one.machine} if one.who else {}))
    return table(rows)
