"""The report of a change: a clip and a step at the official size, before and after, and what became of the sound."""

from dataclasses import dataclass, field
from typing import Any

from helpers.devices import GIB
from helpers.measuring import STAGES, Trial, as_pairs, measure
from helpers.pictures import table
from helpers.yardstick import Moved, moved


@dataclass(repr=False)
class Report:
    """What `report` found: a notebook shows it as a table, and `helpers.Scoreboard` takes it.

    Attributes
    ----------
    change : str
        Its name on the scoreboard.
    clip : helpers.measuring.Trial
        Whole clips, before and after.
    step : helpers.measuring.Trial or None
        One step at the official size, before and after.
    moved : helpers.yardstick.Moved
        What the change did to the sound.
    prediction : object
        What the learner predicted.
    """

    change: str
    clip: Trial
    step: Trial | None
    moved: Moved
    prediction: Any = field(default=None)

    def table(self):
        """Lay everything out, one row for a thing that was measured.

        Returns
        -------
        IPython.display.Markdown
        """
        before, after = self.clip.before, self.clip.after
        names = list(self.clip.variants)

        def row(what, old, new, ratio="", unit="s"):
            return {"": what, names[0]: f"{old:.3g} {unit}", names[-1]: f"{new:.3g} {unit}", "before / after": ratio}

        rows = [row("**a clip on this checkpoint**", before.median, after.median, f"**{self.clip.ratio()}**")]
        rows += [row(stage, before.stages[stage], after.stages[stage]) for stage in STAGES]
        calls = str(before.unet_calls) if before.unet_calls == after.unet_calls else "one"
        rows.append(row(f"a step, of {calls}" if calls != "one" else "one step", before.step, after.step))
        if before.unet_calls != after.unet_calls:
            rows.append(row("number of steps", before.unet_calls, after.unet_calls, unit=""))
        if self.step:
            old, new = self.step.before.median, self.step.after.median
            rows.append(row("**a step at the official size**", old, new, f"**{self.step.ratio()}**"))
        if None not in (before.peak_memory, after.peak_memory):
            rows.append(row("GPU memory at the peak", before.peak_memory / GIB, after.peak_memory / GIB, unit="GiB"))
        rows.append(dict.fromkeys(rows[0], "") | {"": "the sound", "before / after": str(self.moved)})
        if self.prediction is not None:
            rows.append(dict.fromkeys(rows[0], "") | {"": "you predicted", "before / after": str(self.prediction)})
        return table(rows)

    def _repr_markdown_(self):
        return self.table().data

    def __repr__(self):
        return f"{self.change}: {self.clip}; step at the official size: {self.step}; the sound: {self.moved}"


def report(change, clip, step=None, repeats=3, seeds=1, prediction=None, warm_up=True):
    """Measure what a change does: to a clip, to a step at the official size, and to the sound.

    Parameters
    ----------
    change : str
        Its name on the scoreboard.
    clip : dict of str to (callable, or (callable or None, callable))
        Two variants, before and after, as `helpers.measure` takes them. The run calls a pipeline and returns a clip; it
        takes a seed, 0 by default. The pipeline is left as the last variant sets it up.
    step : dict, or helpers.measuring.Trial, optional
        The same for one step at the official size, such as `helpers.unet_step(official)`; or what was measured before.
    repeats : int
        Timed pairs of each.
    seeds : int
        How many clips of each variant the sound is judged by, from as many seeds.
    prediction : helpers.Prediction, optional
        Shown beside the result.
    warm_up : bool
        As in `helpers.measure`, of the clips.

    Returns
    -------
    Report

    Raises
    ------
    TypeError
        If a run calls no pipeline.
    """
    trial = measure(clip, repeats, warm_up=warm_up)
    if trial.before.pipe is None or trial.after.pipe is None:
        raise TypeError("Each run must call a pipeline and must return a clip, as in lambda: pipe(prompt).audios[0].")
    clips = {name: [timing.result] for name, timing in trial.variants.items()}
    if seeds > 1:
        pairs = as_pairs(clip)
        try:
            for name, (setup, run) in pairs.items():
                setup()
                clips[name] += [run(seed) for seed in range(1, seeds)]
        finally:
            list(pairs.values())[-1][0]()
    step = measure(step, repeats) if isinstance(step, dict) else step
    before, *_, after = clips.values()
    return Report(change, trial, step, moved(trial.after.pipe, trial.after.prompt, before, after), prediction)
