"""One table that travels from lesson to lesson: what each change did to the time and to the sound."""

import json
import os
import platform
import warnings
from datetime import UTC, datetime
from pathlib import Path

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from helpers.checkpoints import checkpoint_name
from helpers.devices import GIB, cores, libraries, processor
from helpers.measuring import Trial
from helpers.pictures import BARS, Picture, table
from helpers.yardstick import Moved, Yardstick

# The changes that are measured, and the lesson that measures each.
RUNGS = {"SDPA": 3, "half precision": 4, "torch.compile": 5, "scheduler swap": 6, "CPU offload": 7, "your recipe": 8,
         "distillation": 9}  # fmt: skip
SET_UP = ("machine", "device", "checkpoint", "versions")  # what must be the same for two records to be compared


class Scoreboard:
    """The measurements of all lessons, in a small file: one line of JSON a record, and the last one of a rung counts.

    Parameters
    ----------
    path : str or pathlib.Path, optional
        By default what the environment variable AUDIOLDM2_SCOREBOARD names, such as a file on Google Drive, otherwise
        `scoreboard.jsonl` in the folder of the notebook, which Google Colab forgets with its runtime.
    """

    def __init__(self, path=None):
        path = path or os.environ.get("AUDIOLDM2_SCOREBOARD") or "scoreboard.jsonl"
        self.path = Path(path).expanduser().absolute()
        self._unsaved = {}

    def record(self, report, **more):
        """Write down what a lesson measured, and show the whole table.

        Parameters
        ----------
        report : helpers.report.Report
        **more
            What else its record shall hold.

        Returns
        -------
        IPython.display.Markdown

        Raises
        ------
        ValueError
            If there is no such rung.
        """
        if report.change not in RUNGS:
            raise ValueError(f"change is {report.change!r}, but must be one of {', '.join(map(repr, RUNGS))}.")
        pipe = report.clip.after.pipe
        device = pipe._execution_device  # with offload, `device` is only where the weights wait
        entry = {
            "rung": report.change,
            "clip": report.clip.as_record(),
            "step": report.step and report.step.as_record(),
            "distances": report.moved.distances,
            "yardstick": vars(report.moved.yardstick),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            "dtype": str(pipe.unet.dtype).removeprefix("torch."),
            "checkpoint": checkpoint_name(pipe),
            **_here(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        } | more
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
            self._unsaved.pop(report.change, None)
        except OSError as error:
            self._unsaved[report.change] = entry
            warnings.warn(f"The scoreboard is not saved, only kept until the kernel ends: {error}", stacklevel=2)
        return self.table()

    def table(self):
        """Lay out all rungs; those that were not measured say so.

        Returns
        -------
        IPython.display.Markdown
        """
        records = self._records()
        return table([_row(rung, records.get(rung), _differences(records.get(rung), records)) for rung in RUNGS])

    def chart(self):
        """Draw how much of the time is left after each change: of a clip here, and of a step at the official size.

        Returns
        -------
        helpers.spectrograms.Picture
        """
        records = self._records()
        figure = Figure(figsize=(9, 1.4 + 0.7 * len(RUNGS)), layout="constrained")
        ax, labels, said = figure.subplots(), [], []
        for y, rung in enumerate(RUNGS):
            if rung not in records:
                labels.append(rung)
                ax.text(1, y, f"not measured yet (lesson {RUNGS[rung]})", va="center", color="dimgrey")
                said.append(f"{rung}: not measured yet.")
                continue
            clip, step, sound = _read(records[rung])
            labels.append(f"{rung}\n({sound.verdict})")
            for place, what, trial, colour in zip(
                (y - 0.2, y + 0.2), ("a clip", "a step"), (clip, step), BARS, strict=True
            ):
                if trial:
                    before, after = trial.before.median, trial.after.median
                    ax.barh(place, 100 * after / before, height=0.36, **colour)
                    ax.text(100 * after / before + 1, place, f"{before:.3g} s → {after:.3g} s", va="center", fontsize=8)
                    said.append(f"{rung}, {what}: {before:.3g} s before, {after:.3g} s after.")
        ax.axvline(100, color="black", ls=":", lw=1)
        ax.set_yticks(range(len(RUNGS)), labels)
        ax.set(xlabel="Time after the change (% of the time before it)", ylim=(len(RUNGS) - 0.4, -0.6))
        ax.set_xlim(0, 1.25 * max(100, ax.dataLim.x1))
        names = ("a clip on the checkpoint of the lesson", "one step at the official size")
        handles = [Patch(label=name, **colour) for name, colour in zip(names, BARS, strict=True)]
        figure.legend(handles=handles, loc="outside upper center", ncols=2)
        return Picture(figure, f"Bar chart of the time that is left after each change. {' '.join(said)}")

    def entries(self):
        """Read all records, oldest first; lines that are none are left out with a warning.

        Returns
        -------
        list of dict
        """
        found, bad = [], 0
        text = self.path.read_text(encoding="utf-8", errors="replace") if self.path.is_file() else ""
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                _row(entry["rung"], entry, "")
                found.append(entry)
            except (ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError):
                bad += 1
        if bad:
            warnings.warn(f"{self.path}: {bad} of its lines are no records, and left out.", stacklevel=3)
        return [*found, *self._unsaved.values()]

    def _records(self):
        """The last record of each rung."""
        return {entry["rung"]: entry for entry in self.entries()}


def _read(entry):
    """The trials of the clip and of the step (or None), and what became of the sound."""
    clip, step = Trial.from_record(entry["clip"]), entry["step"] and Trial.from_record(entry["step"])
    return clip, step, Moved(entry["distances"], Yardstick(**entry["yardstick"]))


def _row(rung, entry, elsewhere):
    keys = ("change", "a clip here", "one step, official size", "sound", "peak GPU memory (GiB)", "measured on")
    if entry is None:
        return dict.fromkeys(keys) | {"change": rung, "measured on": f"not measured yet (lesson {RUNGS[rung]})"}
    clip, step, sound = _read(entry)
    before, after = clip.before, clip.after
    peaks = (before.peak_memory, after.peak_memory)
    values = (
        rung,
        f"{before.median:.3g} s → {after.median:.3g} s: {clip.ratio()}; "
        f"steps {before.unet_calls} × {before.step:.3g} s → {after.unet_calls} × {after.step:.3g} s",
        step and f"{step.before.median:.3g} s → {step.after.median:.3g} s: {step.ratio()}",
        str(sound),
        None if None in peaks else " → ".join(f"{peak / GIB:.2f}" for peak in peaks),
        f"{entry['device']}, {entry['dtype']}, {entry['checkpoint']}"
        + (f" – **not comparable:** {elsewhere}" if elsewhere else ""),
    )
    return dict(zip(keys, values, strict=True))


def _differences(entry, records):
    """What keeps a record from being compared with the latest one, or with this machine, in words."""
    if entry is None:
        return ""
    present = max(records.values(), key=lambda one: one["date"]) | _here()
    return ", ".join(f"other {name} ({entry[name]})" for name in SET_UP if entry[name] != present[name])


def _here():
    """The machine and the libraries of this process."""
    return {"machine": f"{platform.system()}, {processor()}, {cores():g} CPUs", "versions": libraries()}
