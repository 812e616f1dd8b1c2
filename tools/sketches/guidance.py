"""Guidance, drawn for two numbers instead of thousands."""

import numpy as np
from matplotlib.figure import Figure

WEIGHT = 3.5


def draw():
    """Draw guidance away from the empty text, and away from a negative prompt."""
    prompt = np.array([1.0, 1.0])
    starts = {"empty text": np.array([0.4, 0.8]), "negative prompt": np.array([0.8, 0.4])}
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    for ax, (name, start) in zip(figure.subplots(1, 2), starts.items(), strict=True):
        end = start + WEIGHT * (prompt - start)
        ax.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": "tab:blue", "lw": 2})
        points = (
            (start, name, "s", "tab:orange", (4, -18)),
            (prompt, "prompt", "o", "black", (10, -12)),
            (end, f"guided, w = {WEIGHT}", "D", "tab:blue", (10, -12)),
        )
        for point, label, marker, colour, offset in points:
            ax.plot(*point, marker, color=colour, ms=8)
            ax.annotate(label, point, xytext=offset, textcoords="offset points")
        ax.set(title=f"Away from the {name}", xlim=(0, 4), ylim=(0, 3.2))
        ax.set(xlabel="fits the prompt (no unit)", ylabel="free of noise (no unit)")
    return figure, (
        "Two sketches. Left: an arrow from the empty text through the prompt ends far along the axis that fits the "
        "prompt. Right: an arrow from the negative prompt through the prompt ends far up the axis free of noise."
    )
