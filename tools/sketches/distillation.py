"""Lesson 9: why few steps fail, and the chord that a student learns."""

import numpy as np
from matplotlib.figure import Figure

from tools.sketches.solver_orders import MANY, solve

START = 6.0  # of the path that is drawn


def draw():
    """Draw one path with its chords, and where many paths end."""
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    path, ends = figure.subplots(1, 2, width_ratios=(3, 2))
    sigmas, exact = solve(START, MANY, 1)
    path.plot(sigmas, exact, color="black", lw=1.5, label=f"the path: {MANY} steps, nearly exact")
    for steps, style in ((2, {"marker": "s", "ls": "--"}), (1, {"marker": "^", "ls": ":"})):
        name = f"the teacher in {steps} step{'s' * (steps > 1)}"
        path.plot(*solve(START, steps, 1), color="tab:orange", label=name, **style)
    path.plot(sigmas[[0, -1]], exact[[0, -1]], "o-", color="tab:blue", label="the student: one chord to the end")
    path.set(title="One path from noise to clean", xscale="log", ylabel="latent, one number (no unit)")
    path.set_xlabel("strength of the noise σ (no unit), falling")
    path.invert_xaxis()
    path.legend()

    noise = 20 * np.random.default_rng(0).standard_normal(4000)
    bins = np.linspace(-2, 2, 60)
    for name, steps, style in (
        ("exact", MANY, {"color": "black", "lw": 1.5}),
        ("the teacher in 1 step", 1, {"color": "tab:orange", "ls": ":"}),
    ):
        ends.hist(solve(noise, steps, 1)[1][:, -1], bins, histtype="step", density=True, label=name, **style)
    ends.set(title="Where 4000 paths end", xlabel="latent, one number (no unit)", ylabel="share of the paths")
    ends.set_yticks([])
    ends.legend()
    return figure, (
        "Two charts of a latent that is one number. Left: the exact path bends on its way from noise to clean. The "
        "teacher in one step or two goes straight on in the direction of the beginning and ends elsewhere; the student "
        "has learned the chord, a straight line to the end of the path. Right: exact paths end in two groups, around "
        "-1 and 1; the teacher in one step ends in between, where no clean latent is."
    )
