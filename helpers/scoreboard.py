"""One table that travels from lesson to lesson: what each change did to the time and to the sound."""

import json
import math
import os
import platform
import warnings
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from filelock import FileLock
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from helpers.devices import GIB, processor
from helpers.spectrograms import Picture
from helpers.stages import StageComparison
from helpers.tables import table

# The changes that are measured, and the lesson that measures each.
RUNGS = {"SDPA": 3, "half precision": 4, "torch.compile": 5, "scheduler swap": 6, "CPU offload": 7, "your recipe": 8,
         "less waste": 9, "guidance on part": 9}  # fmt: skip
_HEADINGS = ("change", "UNet calls × seconds", "the rest (s)", "whole clip (s)", "times as fast", "sound",
             "peak memory (GiB)", "measured on")  # fmt: skip
PATIENCE = 10  # seconds to wait for another kernel that is just writing
_STAGES = ("seconds_per_step", "unet_calls", "fixed", "total")
_SET_UP = ("machine", "device", "checkpoint", "versions")  # what must be the same for two rungs to be compared


class Scoreboard:
    """The measurements of all lessons, in a small JSON file.

    A file that is missing or broken stops no lesson: the broken one is kept beside the new one, with `.broken` behind
    its name.

    Parameters
    ----------
    path : str or pathlib.Path, optional
        By default what the environment variable AUDIOLDM2_SCOREBOARD names, otherwise `scoreboard.json` in the folder
        of the notebook.
    """

    def __init__(self, path=None):
        path = path or os.environ.get("AUDIOLDM2_SCOREBOARD") or "scoreboard.json"
        self.path = Path(path).expanduser().absolute()
        self._unsaved, self._latest = {}, None

    def record(
        self, rung, comparison, pipe, lossless, distance=None, seed_spread=None, peak_memory=None, checkpoint="auto"
    ):
        """Write down what a lesson measured, in place of what it measured before.

        Parameters
        ----------
        rung : str
            A name in `RUNGS`.
        comparison : helpers.stages.StageComparison
            Before and after, from one run.
        pipe : diffusers.AudioLDM2Pipeline
            With the change; its device and type are written down.
        lossless : bool
            The change keeps the sound up to rounding.
        distance, seed_spread : float, optional
            In dB, of `helpers.distance` and `helpers.seed_spread`.
        peak_memory : (int, int), optional
            Bytes before and after; (None, None) counts as not measured.
        checkpoint : str
            What the pipeline was loaded from; "auto" asks the pipeline.

        Raises
        ------
        ValueError
            If there is no such rung, or a number is none.
        TypeError
            If `comparison` is something else.
        """
        if rung not in RUNGS:
            raise ValueError(f"rung is {rung!r}, but must be one of {', '.join(map(repr, RUNGS))}.")
        if not isinstance(comparison, StageComparison):
            raise TypeError(f"comparison is a {type(comparison).__name__}, but must be what compare_stages returns.")
        device = pipe._execution_device  # with offload, `device` is only where the weights wait
        entry = {
            "before": {name: getattr(comparison.before, name) for name in _STAGES},
            "after": {name: getattr(comparison.after, name) for name in _STAGES},
            "speedup": comparison.speedup,
            "spread": comparison.spread,
            "lossless": bool(lossless),
            "distance": None if distance is None else float(distance),
            "seed_spread": None if seed_spread is None else float(seed_spread),
            "peak_memory": None if None in (peak_memory or [None]) else [int(peak) for peak in peak_memory],
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            "dtype": str(pipe.unet.dtype).removeprefix("torch."),
            "checkpoint": _name(pipe, checkpoint),
            **_here(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        if not _valid(entry):
            raise ValueError(f"A number is missing, negative or not finite, so nothing is written down: {entry}")
        self._latest = self._unsaved[rung] = entry
        try:
            self._write()
            self._unsaved = {}
        except (OSError, NotImplementedError) as error:  # the second: a file system without locks
            warnings.warn(f"The scoreboard is not saved, only kept until the kernel ends: {error}", stacklevel=2)

    def table(self):
        """Lay out all rungs; those that were not measured say so.

        Returns
        -------
        IPython.display.Markdown
        """
        rungs = self._rungs()
        return table([_row(rung, rungs.get(rung), self._differences(rungs.get(rung), rungs)) for rung in RUNGS])

    def chart(self):
        """Draw two bars for each rung, before and after, each made of the denoising steps and the rest.

        The time before is 100 %, because lessons choose their own numbers of steps.

        Returns
        -------
        helpers.spectrograms.Picture
        """
        rungs = self._rungs()
        figure = Figure(figsize=(9, 1.2 + 0.8 * len(RUNGS)), layout="constrained")
        ax = figure.subplots()
        labels, descriptions = [], []
        for y, rung in enumerate(RUNGS):
            if rung not in rungs:
                labels.append(rung)
                descriptions.append(f"{rung}: not measured yet (lesson {RUNGS[rung]}).")
                ax.text(1, y, f"not measured yet (lesson {RUNGS[rung]})", va="center", color="dimgrey")
                continue
            entry, elsewhere = rungs[rung], self._differences(rungs[rung], rungs)
            kind = "lossless" if entry["lossless"] else "lossy"
            labels.append(f"{rung}\n({kind})" + ("\nother set-up" if elsewhere else ""))
            for place, which in ((y - 0.2, "before"), (y + 0.2, "after")):
                stages, percent = entry[which], 100 / entry["before"]["total"]
                hatch = "//" if which == "after" and not entry["lossless"] else None
                style = {"height": 0.36, "edgecolor": "white", "hatch": hatch}
                steps = percent * (stages["total"] - stages["fixed"])
                ax.barh(place, steps, color="tab:blue", **style)
                ax.barh(place, percent * stages["fixed"], left=steps, color="tab:orange", **style)
                ax.text(percent * stages["total"] + 1, place, f"{which}: {stages['total']:.3g} s", va="center")
            descriptions.append(
                f"{rung} ({kind}{'; measured with ' + elsewhere if elsewhere else ''}): {_change(entry, 'total')} s a "
                f"clip, of which the rest {_change(entry, 'fixed')} s."
            )
        ax.set_yticks(range(len(RUNGS)), labels)
        ax.set(xlabel="Time of one clip (% of the time before, in the same run)", ylim=(len(RUNGS) - 0.4, -0.6))
        ax.set_xlim(0, 1.25 * max(100, ax.dataLim.x1))
        patches = [
            Patch(color="tab:blue", label="denoising steps"),
            Patch(color="tab:orange", label="the rest"),
            Patch(facecolor="lightgrey", edgecolor="white", hatch="//", label="lossy"),
        ]
        figure.legend(handles=patches, loc="outside upper center", ncols=3)
        return Picture(figure, f"Bar chart of the time of one clip, before and after. {' '.join(descriptions)}")

    def _rungs(self):
        rungs, problem = self._read()
        if problem:
            warnings.warn(f"{self.path} {problem}: that is left out.", stacklevel=3)
        return rungs | self._unsaved

    def _differences(self, entry, rungs):
        """What keeps an entry from being compared with the present set-up, in words."""
        if entry is None:
            return ""
        known = [entry for name, entry in rungs.items() if name in RUNGS]
        present = (self._latest or max(known, key=lambda entry: entry["date"])) | _here()
        return ", ".join(f"other {name} ({entry[name]})" for name in _SET_UP if entry[name] != present[name])

    def _read(self):
        """The rungs that the file holds, and what is wrong with it, in words."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            rungs = content["rungs"].items() if content["version"] == 1 else ()
        except FileNotFoundError:
            return {}, ""
        except (OSError, ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
            return {}, f"cannot be read as a scoreboard ({type(error).__name__}: {str(error)[:80]})"
        if content["version"] != 1:
            return {}, f"is a scoreboard of version {content['version']!r}, not 1"
        good = {name: entry for name, entry in rungs if name not in RUNGS or _valid(entry)}
        bad = [name for name in content["rungs"] if name not in good]
        return good, f"holds nothing sensible for {', '.join(bad)}" if bad else ""

    def _write(self):
        """Add what is unsaved to the file: read just before, and replaced in one move, so that nothing gets lost."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary, broken = Path(f"{self.path}.{os.getpid()}.tmp"), Path(f"{self.path}.broken")
        with FileLock(f"{self.path}.lock", timeout=PATIENCE):
            rungs, problem = self._read()
            if problem:
                os.replace(self.path, broken)
                warnings.warn(f"{self.path} {problem}: it is kept as {broken.name}.", stacklevel=4)
            try:
                content = {"version": 1, "rungs": rungs | self._unsaved}
                temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
                os.replace(temporary, self.path)
            finally:
                temporary.unlink(missing_ok=True)


def _valid(entry):
    """Whether an entry holds everything, with the right types."""
    try:
        stages = [entry[which][name] for which in ("before", "after") for name in _STAGES]
        peaks = entry["peak_memory"] or [None, None]
        wanted = [*stages, entry["speedup"], entry["spread"]]
        optional = [entry["distance"], entry["seed_spread"], *peaks]
        return (
            all(map(_is_number, wanted))
            and all(value is None or _is_number(value) for value in optional)
            and entry["before"]["total"] > 0
            and len(peaks) == 2
            and isinstance(entry["lossless"], bool)
            and all(isinstance(entry[name], str) for name in (*_SET_UP, "dtype", "date"))
        )
    except (KeyError, TypeError):
        return False


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _row(rung, entry, elsewhere):
    if entry is None:
        return dict.fromkeys(_HEADINGS) | {"change": rung, "measured on": f"not measured yet (lesson {RUNGS[rung]})"}
    before, after = entry["before"], entry["after"]
    sound = "lossless" if entry["lossless"] else "lossy"
    if entry["distance"] is not None:
        sound += f", {entry['distance']:.2f} dB away"
    if entry["seed_spread"] is not None:
        sound += f" (another seed: {entry['seed_spread']:.2f} dB)"
    cells = [
        rung,
        " → ".join(f"{stages['unet_calls']} × {stages['seconds_per_step']:.3g}" for stages in (before, after)),
        _change(entry, "fixed"),
        _change(entry, "total"),
        f"{entry['speedup']:.3g} (spread {entry['spread']:.2g})",
        sound,
        entry["peak_memory"] and " → ".join(f"{peak / GIB:.2f}" for peak in entry["peak_memory"]),
        f"{entry['device']}, {entry['dtype']}, {entry['checkpoint']}"
        + (f" – **not comparable:** {elsewhere}" if elsewhere else ""),
    ]
    return dict(zip(_HEADINGS, cells, strict=True))


def _change(entry, name):
    return f"{entry['before'][name]:.3g} → {entry['after'][name]:.3g}"


def _here():
    """The machine and the libraries of this process."""
    versions = (f"{package} {version(package)}" for package in ("torch", "diffusers", "transformers"))
    return {"machine": f"{platform.system()}, {processor()}, {os.cpu_count()} CPUs", "versions": ", ".join(versions)}


def _name(pipe, checkpoint):
    """The name of a checkpoint; of a folder its last part, which says nothing of the user."""
    path = Path(str(pipe.name_or_path if checkpoint in (None, "auto") else checkpoint))
    if len(path.parts) == 2:  # such as cvssp/audioldm2
        return path.as_posix()
    hub = [part for part in path.parts if part.startswith("models--")]  # how the hub's cache names its folders
    if hub:
        return hub[0].removeprefix("models--").replace("--", "/")
    return "pocket" if path.parts[-2:] == ("pocket", "checkpoint") else path.name
