"""The same operations run eagerly and compiled: when Python is busy, when the device is, and where it waits."""

from matplotlib.figure import Figure
from matplotlib.patches import Patch

LAUNCH, GAP = 0.3, 0.35  # widths, without unit
EAGER = [("conv", 1.0), ("norm", 0.4), ("scale", 0.4), ("act", 0.4), ("conv", 1.0), ("add", 0.4), ("norm", 0.4),
         ("linear", 0.9), ("gelu", 0.4), ("linear", 0.9)]  # fmt: skip
COMPILED = [("conv", 1.0), ("norm + scale\n+ act", 1.0), ("conv", 1.0), ("add +\nnorm", 0.7), ("linear", 0.9),
            ("gelu", 0.4), ("linear", 0.9)]  # fmt: skip
KINDS = {"kernel from a library": "tab:blue", "generated kernel": "tab:orange", "Python at work": "dimgrey"}
GENERATED = {"norm + scale\n+ act", "add +\nnorm", "gelu"}


def draw():
    """Draw two timelines of two lanes each.

    Returns
    -------
    matplotlib.figure.Figure
    str
        The alternative text.
    """
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    rows = figure.subplots(2, 1, sharex=True)
    ends = [_timeline(rows[0], EAGER, set(), GAP), _timeline(rows[1], COMPILED, GENERATED, 0)]
    for ax, title, end in zip(rows, ("Eager", "Compiled"), ends, strict=True):
        ax.axvline(end, color="black", ls=":")
        ax.text(end + 0.08, 1.45, "done", va="center")
        ax.set(title=title, ylim=(0, 1.9), xlim=(0, ends[0] + 0.8))
        ax.set_yticks([0.45, 1.45], ["device", "Python"])
        ax.spines[["top", "right"]].set_visible(False)
    rows[1].set(xlabel="time (a sketch, no unit)", xticks=[])
    patches = [Patch(facecolor=colour, edgecolor="black", label=kind) for kind, colour in KINDS.items()]
    rows[1].legend(handles=patches, loc="center right")
    return figure, (
        "Two sketched timelines, each with a lane for Python and one for the device. Eager: Python is busy before each "
        "of ten small kernels, and the device waits in the gaps. Compiled: Python is busy once, then seven kernels "
        "follow without a gap; three of them are generated code, two of which do the work of several operations. "
        "Compiled is done earlier."
    )


def _timeline(ax, kernels, generated, gap):
    """Draw the kernels one after the other; return when the last one ends."""
    now = LAUNCH
    for i, (name, width) in enumerate(kernels):
        if gap or i == 0:
            ax.broken_barh([(now - LAUNCH, LAUNCH)], (1.1, 0.7), facecolor="dimgrey", edgecolor="black")
        colour = "tab:orange" if name in generated else "tab:blue"
        ax.broken_barh([(now, width)], (0.1, 0.7), facecolor=colour, edgecolor="black")
        rotation = 90 if width < 0.5 else 0
        ax.text(now + width / 2, 0.45, name, ha="center", va="center", fontsize=8, rotation=rotation)
        now += width + gap
    return now - gap
