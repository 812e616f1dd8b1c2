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
from helpers.devices import GIB, libraries, processor
from helpers.spectrograms import BARS, Picture
from helpers.tables import table

# The changes that are measured, and the lesson that measures each.
RUNGS = {"SDPA": 3, "half precision": 4, "torch.compile": 5, "scheduler swap": 6, "CPU offload": 7, "your recipe": 8,
         "channels_last": 9, "guidance on part": 9}  # fmt: skip
_STAGES = ("seconds_per_step", "unet_calls", "fixed", "total")
_SET_UP = ("machine", "device", "checkpoint", "versions")  # what must be the same for two records to be compared


class Scoreboard:
    """The measurements of all lessons, in a small file: one line of JSON a record, and the last one of a rung counts.

    Parameters
    ----------
    path : str or pathlib.Path, optional
        By default what the environment variable AUDIOLDM2_SCOREBOARD names, otherwise `scoreboard.jsonl` in the folder
        of the notebook. Google Colab forgets that file with its runtime: name one on Drive, or `save` and `load` it.
    """

    def __init__(self, path=None):
        path = path or os.environ.get("AUDIOLDM2_SCOREBOARD") or "scoreboard.jsonl"
        self.path = Path(path).expanduser().absolute()
        self._unsaved = {}

    def record(self, rung, comparison, pipe, lossless, distance, inter_seed_distance, peak_memory=None, official=None):
        """Write down what a lesson measured.

        Parameters
        ----------
        rung : str
            A name in `RUNGS`.
        comparison : helpers.stages.StageComparison
            A clip before and after, from one run.
        pipe : diffusers.AudioLDM2Pipeline
            With the change; its checkpoint, device and type are written down.
        lossless : bool
            The change keeps the sound up to rounding.
        distance, inter_seed_distance : float
            In dB, of the functions of these names.
        peak_memory : (int, int), optional
            Bytes before and after; (None, None) counts as not measured.
        official : helpers.timing.Comparison, optional
            One step at the official size, before and after.

        Raises
        ------
        ValueError
            If there is no such rung.
        """
        if rung not in RUNGS:
            raise ValueError(f"rung is {rung!r}, but must be one of {', '.join(map(repr, RUNGS))}.")
        device = pipe._execution_device  # with offload, `device` is only where the weights wait
        entry = {
            "rung": rung,
            "before": {name: getattr(comparison.before, name) for name in _STAGES},
            "after": {name: getattr(comparison.after, name) for name in _STAGES},
            "speedups": comparison.speedups,
            "speedup": str(comparison),
            "official": official and [official.before.median, official.after.median],
            "official_speedup": official and str(official),
            "lossless": bool(lossless),
            "distance": float(distance),
            "inter_seed_distance": float(inter_seed_distance),
            "peak_memory": None if None in (peak_memory or [None]) else [int(peak) for peak in peak_memory],
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            "dtype": str(pipe.unet.dtype).removeprefix("torch."),
            "checkpoint": checkpoint_name(pipe),
            **_here(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._unsaved[rung] = entry
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            warnings.warn(f"The scoreboard is not saved, only kept until the kernel ends: {error}", stacklevel=2)

    def save(self, path):
        """Copy the records to another file, such as one on Google Drive."""
        lines = [json.dumps(entry) for entry in self._records().values()]
        Path(path).expanduser().write_text("\n".join([*lines, ""]), encoding="utf-8")

    def load(self, path):
        """Take over the records of another file; they count from now on."""
        records = Scoreboard(path)._records()
        if not records:
            raise ValueError(f"{path} holds no record of a scoreboard.")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(entry) + "\n" for entry in records.values())

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
            entry = records.get(rung)
            labels.append(rung if entry is None or entry["lossless"] else f"{rung}\n(lossy)")
            if entry is None:
                ax.text(1, y, f"not measured yet (lesson {RUNGS[rung]})", va="center", color="dimgrey")
                said.append(f"{rung}: not measured yet.")
                continue
            pairs = {"a clip": (entry["before"]["total"], entry["after"]["total"]), "a step": entry["official"]}
            for place, (what, pair), colour in zip((y - 0.2, y + 0.2), pairs.items(), BARS, strict=True):
                if pair:
                    before, after = pair
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

    def _records(self):
        """The last record of each rung; lines that are none are left out with a warning."""
        found, bad = {}, 0
        text = self.path.read_text(encoding="utf-8", errors="replace") if self.path.is_file() else ""
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                _row(entry["rung"], entry, "")
                found[entry["rung"]] = entry
            except (ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError):
                bad += 1
        if bad:
            warnings.warn(f"{self.path}: {bad} of its lines are no records, and left out.", stacklevel=3)
        return found | self._unsaved


def _row(rung, entry, elsewhere):
    keys = ("change", "a clip here", "one step, official size", "sound", "peak memory (GiB)", "measured on")
    if entry is None:
        return dict.fromkeys(keys) | {"change": rung, "measured on": f"not measured yet (lesson {RUNGS[rung]})"}
    before, after, official = entry["before"], entry["after"], entry["official"]
    steps = f"{before['unet_calls']} × {before['seconds_per_step']:.3g} s → {after['unet_calls']} × "
    values = (
        rung,
        f"{before['total']:.3g} s → {after['total']:.3g} s: {entry['speedup']}; "
        f"steps {steps}{after['seconds_per_step']:.3g} s",
        official and f"{official[0]:.3g} s → {official[1]:.3g} s: {entry['official_speedup']}",
        f"{'lossless' if entry['lossless'] else 'lossy'}, {entry['distance']:.2f} dB away "
        f"(another seed: {entry['inter_seed_distance']:.2f} dB)",
        entry["peak_memory"] and " → ".join(f"{peak / GIB:.2f}" for peak in entry["peak_memory"]),
        f"{entry['device']}, {entry['dtype']}, {entry['checkpoint']}"
        + (f" – **not comparable:** {elsewhere}" if elsewhere else ""),
    )
    return dict(zip(keys, values, strict=True))


def _differences(entry, records):
    """What keeps a record from being compared with the latest one, or with this machine, in words."""
    if entry is None:
        return ""
    present = max(records.values(), key=lambda one: one["date"]) | _here()
    return ", ".join(f"other {name} ({entry[name]})" for name in _SET_UP if entry[name] != present[name])


def _here():
    """The machine and the libraries of this process."""
    return {"machine": f"{platform.system()}, {processor()}, {os.cpu_count()} CPUs", "versions": libraries()}
