"""Memory order, a deeper notebook: the same twelve numbers in two orders."""

from matplotlib.figure import Figure
from matplotlib.patches import Patch

CHANNELS, POSITIONS = 3, 4
STYLES = ({"facecolor": "tab:blue"}, {"facecolor": "tab:orange", "hatch": "//"}, {"facecolor": "lightgrey"})


def draw():
    """Draw both orders as rows of boxes."""
    figure = Figure(figsize=(10, 2.8), layout="constrained")
    ax = figure.subplots()
    contiguous = [(c, p) for c in range(CHANNELS) for p in range(POSITIONS)]
    channels_last = [(c, p) for p in range(POSITIONS) for c in range(CHANNELS)]
    for y, order in ((1, contiguous), (0, channels_last)):
        for x, (channel, position) in enumerate(order):
            wanted = {"edgecolor": "black", "lw": 3, "zorder": 2} if position == 1 else {"edgecolor": "white", "lw": 1}
            ax.bar(x, 0.5, bottom=y, width=0.94, **STYLES[channel], **wanted)
            label = {"bbox": {"facecolor": "white", "edgecolor": "none", "pad": 1}, "zorder": 3}
            ax.text(x, y + 0.25, position, ha="center", va="center", **label)
    ax.set(title="Twelve numbers in memory; the label of a box is its position", xlim=(-0.6, 11.6), ylim=(-0.2, 2.1))
    ax.set(xlabel="place in memory", xticks=range(CHANNELS * POSITIONS))
    ax.set_yticks([0.25, 1.25], ["channels_last", "contiguous"])
    handles = [Patch(label=f"channel {i}", **style) for i, style in enumerate(STYLES)]
    handles.append(Patch(facecolor="white", edgecolor="black", lw=2, label="all of position 1"))
    ax.legend(handles=handles, loc="upper center", ncols=4, frameon=False)
    return figure, (
        "Twelve numbers, of three channels and four positions, as two rows of boxes. Contiguous: one channel after the "
        "other, so that the three numbers of one position are far apart. channels_last: one position after the other, "
        "so that the three are side by side."
    )
