"""Lesson 10: six clips on one device and on three."""

from matplotlib.figure import Figure

START, CLIP = 1.5, 2  # time without a unit


def draw():
    """Draw when each clip is made."""
    figure = Figure(figsize=(10, 3), layout="constrained")
    ax = figure.subplots()
    devices = {"one device": range(1, 7), "device 1 of 3": (1, 2), "device 2 of 3": (3, 4), "device 3 of 3": (5, 6)}
    for y, lines in enumerate(devices.values()):
        ax.barh(y, START, color="lightgrey", edgecolor="white", hatch="//")
        ax.text(START / 2, y, "start", ha="center", va="center")
        for place, line in enumerate(lines):
            ax.barh(y, CLIP, left=START + place * CLIP, color="tab:blue", edgecolor="white")
            ax.text(START + (place + 0.5) * CLIP, y, f"line {line}", ha="center", va="center", color="white")
    ax.axvline(START + CLIP, color="black", ls=":")
    ax.text(START + CLIP + 0.08, -0.55, "the first clip: no sooner", va="bottom")
    ax.set(title="Six clips, on one device and on three", xlabel="time (no unit)", xticks=[], ylim=(3.5, -1.2))
    ax.set_yticks(range(4), list(devices))
    return figure, (
        "Six clips in time. One device makes all of them one after the other. Three devices make two each, side by "
        "side, and are done after a third of the time, plus the start. The first clip arrives no sooner."
    )
