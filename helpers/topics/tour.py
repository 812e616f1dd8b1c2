"""The tour's way down: bars measured here, bars of another colour from a record, "the article said / you measured"."""

import json
import os
import subprocess
import sys
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from helpers.checkpoints import POCKET
from helpers.pictures import BARS, Picture, table
from helpers.topics import gpu

RECORDS = Path(__file__).parents[1] / "records"


class WayDown:
    """The seconds of one clip after each change, on this checkpoint and at the official size.

    A clip is computed: so many steps, each as long as the one measured, and on this checkpoint the rest, measured, too.
    What is read from a record is drawn in another colour, and is no part of any number of the learner's.

    Parameters
    ----------
    records : pathlib.Path, optional
        The folder with `tour.json` and `claims.json`, and with `gpu.json` if there is one.
    """

    def __init__(self, records=RECORDS):
        path = Path(records) / "tour.json"
        self._record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        self._claims = json.loads((Path(records) / "claims.json").read_text(encoding="utf-8"))
        self._record |= gpu.bars(gpu.read(Path(records) / "gpu.json"), self._claims)
        self.bars, self.notes = {}, {}

    def measured(self, name, steps, clip, step):
        """Add a bar.

        Parameters
        ----------
        name : str
            The change.
        steps : int
            Of the clip.
        clip : helpers.measuring.Timing
            Of a clip on this checkpoint, of as many steps as one likes.
        step : helpers.measuring.Timing
            Of one step at the official size.

        Returns
        -------
        str
            What to print.
        """
        here, official = steps * clip.step + clip.rest, steps * step.median
        before = self._own()
        self.bars[name] = here, official
        said = f"{_say(here)}, at the official size {steps} x {_say(step.median)} = {_say(official)}"
        self.notes[name] = said
        if before:
            was, official_was = map(_say, before[-1])
            self.notes[name] = f"{was} → {_say(here)}; official size {official_was} → {_say(official)}"
        return f"{name}: a clip {said} and the rest"

    def recorded(self, name):
        """Add a bar that some other machine measured; gives what to print."""
        found = self._record.get(name)
        self.bars[name] = (found,)
        self.notes[name] = self._said(name)
        return f"{name}, not measured here.\n{self._said(name)}"

    def _own(self):
        return [bar for bar in self.bars.values() if len(bar) == 2]

    def _said(self, name):
        """What the record has on a change."""
        found = self._record.get(name)
        if found is None:
            return "Not recorded: no machine of ours has measured it."
        seconds = f"{_say(found['before'])} → {_say(found['after'])}"
        return f"Recorded at the official size: {seconds}\n({found['what']}; {found['machine']}; {found['date']})."

    def speedups(self):
        """Divide the first bar measured here by the last one: on this checkpoint, and at the official size."""
        own = self._own()
        return tuple(first / last for first, last in zip(own[0], own[-1], strict=True))

    def chart(self):
        """Draw all bars.

        Returns
        -------
        helpers.pictures.Picture
        """
        figure = Figure(figsize=(11, 1.8 + 0.5 * len(self.bars)), layout="constrained")
        panels, names, said = figure.subplots(1, 2, sharey=True), list(self.bars), []
        rest = self._record.get("the rest")
        for y, (name, bar) in enumerate(self.bars.items()):
            if len(bar) == 2:
                for ax, seconds in zip(panels, bar, strict=True):
                    ax.barh(y, seconds, **BARS[0])
                more = rest["after"] if rest else 0
                panels[1].barh(y, more, left=bar[1], **BARS[1])
                panels[0].annotate(_say(bar[0]), (bar[0], y), (3, 0), textcoords="offset points", va="center")
                label = f"{_say(bar[1])} + {_say(more)}" if rest else _say(bar[1])
                panels[1].annotate(label, (bar[1] + more, y), (3, 0), textcoords="offset points", va="center")
                said.append(f"{name}: {_say(bar[0])}, official size {label}.")
            elif bar[0] is None:
                panels[1].annotate("not recorded", (0, y), (3, 0), textcoords="offset points", va="center")
                said.append(f"{name}: not recorded.")
            else:
                seconds = bar[0]["after"]
                panels[1].barh(y, seconds, **BARS[1])
                label = f"{_say(bar[0]['before'])} → {_say(seconds)}"
                panels[1].annotate(label, (seconds, y), (3, 0), textcoords="offset points", va="center")
                names[y] = f"{name}\n({bar[0]['machine'].split(',')[0]}, {bar[0]['date']})"
                said.append(f"{name}: {self._said(name)}")
        for ax, title in zip(panels, ("One clip on this checkpoint", "One clip at the official size"), strict=True):
            ax.set(title=title, xlabel="time (s)")
            ax.margins(x=0.5)  # room for the labels
        panels[0].set_yticks(range(len(names)), names)
        panels[0].invert_yaxis()
        handles = [Patch(label="measured here: steps x one step", **BARS[0])]
        if rest or any(len(bar) == 1 and bar[0] for bar in self.bars.values()):
            origin = f"; the rest of a clip: {rest['machine']}, {rest['date']}" if rest else ""
            handles.append(Patch(label=f"from a record of another machine{origin}", **BARS[1]))
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
        return Picture(figure, f"Bar chart of the time of one clip after each change. {' '.join(said)}")

    def claims(self):
        """Lay out what the article said beside what was measured here.

        Returns
        -------
        IPython.display.Markdown
        """
        rows = []
        for claim in self._claims:
            if name := claim.get("tour"):
                you = self.notes.get(name, "not measured here")
                rows.append({"the article": claim["claim"], "on its GPU": claim["article"], "you measured": you})
        return table(rows)


def _say(seconds):
    return f"{seconds:,.0f} s" if seconds >= 1000 else f"{seconds:.3g} s"


_CHILD = """
import re, resource, sys
sys.path[:0] = {path}
from helpers import load_pipeline

pipe = load_pipeline({folder!r}, device="cpu")
pipe.set_progress_bar_config(disable=True)

def call(clips, seconds):  # a list of prompts, so that no ranking comes in between
    pipe([{prompt!r}] * clips, num_inference_steps=1, audio_length_in_s=seconds)

def address_space(which):  # in bytes: what the limit counts
    return 1024 * int(re.search(which + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1])

loaded = address_space("VmSize")
call(1, {short})
peak = address_space("VmPeak")
limit = peak + (peak - loaded) // 2  # what one short clip needs, and half as much to spare
resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
print(f"limit, set by us: {{limit / 1e9:.1f}} GB of addresses")
for clips, seconds in (({clips}, {long}), (1, {short})):
    try:
        call(clips, seconds)
        end = "fits"
    except (MemoryError, RuntimeError) as error:
        end = str(error).splitlines()[0]
        if not re.search("memory|primitive", end):  # torch's words for it, and those of its convolutions
            raise
        end = "out of memory: " + end.split("Allocator: ")[-1]
    print(f"{{clips}} x {{seconds:g}} s: {{end}}")
"""


def run_out(prompt, clips, long, short=5.12):
    """Let a process with a limit on its memory make several long clips of *pocket*, and then one short clip.

    Parameters
    ----------
    prompt : str
    clips : int
        How many at once.
    long, short : float
        Seconds of sound.

    Returns
    -------
    str
        What became of it.
    """
    if sys.platform != "linux":
        return "Not run: only Linux limits the memory of a process reliably."
    code = _CHILD.format(path=sys.path, folder=str(POCKET), prompt=prompt, clips=clips, long=long, short=short)
    # The variable makes memory that was freed go back to the system at once (in the GNU C library).
    settings = {"timeout": 60, "env": os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}}
    try:
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **settings)
    except subprocess.TimeoutExpired:
        return "The process was too slow here, and was stopped."
    lines = child.stdout.splitlines() if child.returncode == 0 else child.stderr.splitlines()[-1:]
    return "\n".join(line for line in lines if not line.startswith("Checkpoint:"))
