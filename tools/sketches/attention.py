"""Attention for eight positions instead of thousands: who asks whom, and how many scores are in memory."""

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

N, TILE, ASKING = 8, 2, 5
SHARES = (1, 4, 1, 6, 2, 8, 2, 1)


def draw():
    """Draw one query, all scores of vanilla attention, and one tile of SDPA."""
    everything, tile = np.ones((N, N)), np.zeros((N, N))
    tile[4:6, 4:6] = 1
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    one, vanilla, tiled = figure.subplots(1, 3)
    for asked, share in enumerate(SHARES):
        one.plot([ASKING, asked], [1, 0], color="tab:blue", lw=share / 1.5, solid_capstyle="round")
    one.plot(range(N), [0] * N, "o", color="black", ms=9)
    one.plot(ASKING, 1, "s", color="tab:orange", ms=12)
    one.annotate("asks", (ASKING, 1), xytext=(12, -4), textcoords="offset points")
    one.set(title="One query, all keys:\na thick line is a large share", xlim=(-0.5, N - 0.5), ylim=(-0.2, 1.2))
    one.set(xlabel="position that is asked (number)", yticks=[])
    for ax, scores, colour, title in (
        (vanilla, everything, "tab:orange", "Vanilla:\nall N × N scores in memory"),
        (tiled, tile, "tab:blue", "SDPA:\none tile, then the next"),
    ):
        colours = ListedColormap(["white", colour])
        ax.pcolormesh(range(N), range(N), scores, cmap=colours, vmin=0, vmax=1, edgecolors="lightgrey")
        ax.set(title=title, xlabel="position that is asked (number)", ylabel="position that asks (number)")
        ax.set_aspect("equal")
        ax.invert_yaxis()
    vanilla.axhspan(ASKING - 0.5, ASKING + 0.5, fill=False, lw=2)  # the row of the query on the left
    for edge in range(0, N + 1, TILE):
        tiled.axhline(edge - 0.5, color="black", lw=1)
        tiled.axvline(edge - 0.5, color="black", lw=1)
    tiled.annotate("", (7.4, 4.5), xytext=(5.5, 4.5), arrowprops={"arrowstyle": "->", "lw": 2})
    return figure, (
        "Three sketches for eight positions. Left: one position is joined to all eight by lines of different width. "
        "Middle: a grid of eight by eight squares, all filled: vanilla attention holds all scores; that position is a "
        "row. Right: the same grid cut into tiles of two by two, one of them filled: SDPA holds one tile at a time."
    )
