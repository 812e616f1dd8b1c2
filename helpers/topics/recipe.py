"""A climb: one pipeline, measured again after each change of a recipe."""

from itertools import pairwise

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from helpers.devices import GIB
from helpers.measuring import measure
from helpers.pictures import BARS, Picture, table
from helpers.yardstick import moved

_STEPS, _REST = BARS


class Climb:
    """Rungs from the slow way upwards, measured one after the other.

    Parameters
    ----------
    settings : callable
        Given a pipeline, it returns what to call that pipeline with, and a new generator each time.

    Attributes
    ----------
    rungs : dict of str to helpers.measuring.Timing
        What each rung took; its result is the clip.
    """

    def __init__(self, settings):
        self.settings, self.rungs = settings, {}

    def add(self, name, pipe):
        """Measure a pipeline after a change, and print the time.

        A call of two steps warms up; the timed call gives the clip, too.
        """
        pipe(**self.settings(pipe) | {"num_inference_steps": 2})
        clip = measure(lambda: pipe(**self.settings(pipe)).audios[0], repeats=1, warm_up=False)
        self.rungs[name] = clip.before
        print(f"{name}: {self.last.median:.3g} s a clip, {self.speedup(self.last):.3g}x")

    @property
    def first(self):
        """The rung at the foot of the ladder."""
        return next(iter(self.rungs.values()))

    @property
    def last(self):
        """The rung at its top."""
        return list(self.rungs.values())[-1]

    def speedup(self, rung):
        """Time of a clip on the first rung divided by that on this one."""
        return self.first.median / rung.median

    def table(self):
        """Lay out what each change did to the time, and to the clip of the same seed.

        Returns
        -------
        IPython.display.Markdown
        """
        rows = []
        for (_, before), (name, rung) in pairwise(self.rungs.items()):
            row = {"change": f"+ {name}", "against the rung before": f"{before.median / rung.median:.3g}x"}
            row |= {"so far": f"{self.speedup(rung):.3g}x"}
            row |= {"the sound": str(moved(rung.pipe, self.settings(rung.pipe)["prompt"], before.result, rung.result))}
            rows.append(row | {"peak GPU memory (GiB)": rung.peak_memory and f"{rung.peak_memory / GIB:.2f}"})
        return table(rows)

    def chart(self):
        """Draw one bar for each rung, made of the denoising steps and the rest.

        Returns
        -------
        helpers.pictures.Picture
        """
        figure = Figure(figsize=(9, 1.4 + 0.5 * len(self.rungs)), layout="constrained")
        ax, said = figure.subplots(), []
        for y, (name, rung) in enumerate(self.rungs.items()):
            rest, total = rung.rest, rung.median
            ax.barh(y, total - rest, **_STEPS)
            ax.barh(y, rest, left=total - rest, **_REST)
            ax.text(total, y, f"  {total:.3g} s, {self.speedup(rung):.3g}x", va="center")
            said.append(f"{name}: {total - rest:.3g} s for the steps and {rest:.3g} s for the rest.")
        ax.set(title="From the slow way to your recipe", xlabel="Time of one clip (s)", xlim=(0, 1.25 * ax.dataLim.x1))
        names = list(self.rungs)
        ax.set_yticks(range(len(names)), [names[0], *(f"+ {name}" for name in names[1:])])
        ax.invert_yaxis()
        handles = [Patch(label="denoising steps", **_STEPS), Patch(label="the rest", **_REST)]
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
        return Picture(figure, f"Bar chart of the time of one clip, one bar for each rung. {' '.join(said)}")
