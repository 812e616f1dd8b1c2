"""Lesson 6: the same equation solved by a first-order and by a second-order rule."""

import numpy as np
from matplotlib.figure import Figure

WIDTH = 0.3  # of the two humps of clean numbers, around -1 and around 1
FEW, MANY = 10, 200


def denoised(x, sigma):
    """The exact answer D for clean numbers around -1 and 1, half of them each."""
    variance = WIDTH**2 + sigma**2
    mean = np.tanh(x / variance)  # which of the two it is likely to become
    return mean + WIDTH**2 / variance * (x - mean)


def solve(x, steps, order):
    """Follow dx/dsigma = (x - D) / sigma from sigma 20 to 0.02; give sigmas, and x scaled as the UNet is given it."""
    sigmas, path, last = np.geomspace(20, 0.02, steps + 1), [x], None
    for now, then in zip(sigmas, sigmas[1:], strict=False):
        answer = denoised(x, now)
        used = answer if order == 1 or last is None else 1.5 * answer - 0.5 * last
        x, last = then / now * x + (1 - then / now) * used, answer
        path.append(x)
    return sigmas, np.array(path).T / np.sqrt(1 + sigmas**2)


def draw():
    """Draw one path, and the error of both rules against the number of steps."""
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    path, errors = figure.subplots(1, 2)
    for name, steps, order, style in (
        (f"{MANY} steps, nearly exact", MANY, 1, {"color": "black", "lw": 1.5}),
        (f"first order, {FEW} steps", FEW, 1, {"color": "tab:orange", "marker": "s", "ls": "--"}),
        (f"second order, {FEW} steps", FEW, 2, {"color": "tab:blue", "marker": "o"}),
    ):
        path.plot(*solve(6.0, steps, order), label=name, **style)
    path.set(title="One path from noise to clean", xscale="log", ylabel="latent, one number (no unit)")
    path.set_xlabel("strength of the noise σ (no unit), falling")
    path.invert_xaxis()
    path.legend()

    noise = 20 * np.random.default_rng(0).standard_normal(200)
    counts, end = [5, 10, 20, 50, 100, 200], solve(noise, 5000, 2)[1][:, -1]
    found = {order: [np.abs(solve(noise, n, order)[1][:, -1] - end).mean() for n in counts] for order in (1, 2)}
    errors.loglog(counts, found[1], "s--", color="tab:orange", label="first order")
    errors.loglog(counts, found[2], "o-", color="tab:blue", label="second order")
    errors.set(title="Error at the end, mean of 200 paths", xlabel="steps", ylabel="error (no unit)")
    errors.set_xticks(counts, counts)
    errors.minorticks_off()
    errors.legend()
    return figure, (
        "Two charts of a latent that is one number. Left: the exact path bends while the noise falls; ten first-order "
        "steps leave it in the bend, ten second-order steps stay nearer. Right: both errors fall with the number of "
        "steps; twice the steps halve the error of the first order and quarter that of the second."
    )
