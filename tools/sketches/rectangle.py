"""Lesson 8: a clip is a rectangle of steps beside a rest, and changes push at its two sides."""

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

WIDE, HIGH = 7.6, 2  # the slow way: number of steps, time of one


def draw():
    """Draw the slow way, and what is left of it after the changes."""
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    for ax, title, width, height, rest in zip(
        figure.subplots(1, 2), ("The slow way", "After the changes"), (WIDE, 1.6), (HIGH, 0.8), (1.4, 1.2), strict=True
    ):
        ax.add_patch(Rectangle((0, 0), width, height, facecolor="tab:blue", edgecolor="black"))
        ax.add_patch(Rectangle((width, 0), rest, 1, facecolor="tab:orange", edgecolor="black", hatch="//"))
        ax.text(width / 2, height / 2, "steps", ha="center", va="center", color="white", weight="bold")
        ax.annotate(
            "the rest", (width + rest / 2, 1), (width + rest / 2, 1.35), ha="center", arrowprops={"arrowstyle": "-"}
        )
        ax.set(title=title, xlim=(-0.1, 10), ylim=(0, 2.6), xticks=[], yticks=[])
        ax.set(xlabel="number of steps, then the rest", ylabel="time of one step")
    arrow = {"arrowstyle": "->", "color": "black", "lw": 1.5}
    ax.add_patch(Rectangle((0, 0), WIDE, HIGH, facecolor="none", edgecolor="grey", linestyle="--"))
    ax.annotate("", (0.6, height), (0.6, HIGH), arrowprops=arrow)
    ax.text(0.2, HIGH + 0.08, "SDPA, half precision, torch.compile", va="bottom")
    ax.annotate("", (width + rest, 0.5), (WIDE, 0.5), arrowprops=arrow)
    ax.text((WIDE + width + rest) / 2, 0.6, "scheduler swap", ha="center", va="bottom")
    return figure, (
        "Two drawings of the time of a clip. Left, the slow way: a wide and high rectangle for the steps, and a small "
        "one for the rest. Right, after the changes: SDPA, half precision and torch.compile have made the rectangle of "
        "the steps lower, the scheduler swap has made it narrower, and the rest is now a large share of the whole."
    )
