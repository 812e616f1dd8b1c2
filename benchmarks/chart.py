"""Draw a recorded ladder: `python -m benchmarks.chart benchmarks/results/ladder-full-size-cpu.json docs/ladder.png`."""

import argparse
import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from helpers.pictures import Picture

COLOURS = ("tab:grey", "tab:blue", "tab:orange", "black")  # of the stages


def draw(results):
    """Draw the time of a clip, rung by rung, and how it divides into stages.

    Parameters
    ----------
    results : dict
        As `benchmarks.ladder` writes it.

    Returns
    -------
    helpers.pictures.Picture
    """
    rows = [row for row in results["rows"] if "clip" in row]
    names = [row["rung"] + ("" if row["kept"] else " (not kept)") for row in rows]
    places = np.arange(len(rows))[::-1]
    figure = Figure(figsize=(11, 1.3 + 0.36 * len(rows)), layout="constrained")
    clips, shares = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for row, place in zip(rows, places, strict=True):
        colour = "tab:blue" if row["lossless"] else "tab:orange"
        style = {"color": colour} if row["kept"] else {"color": "none", "edgecolor": colour, "hatch": "//"}
        clips.barh(place, row["clip"], height=0.7, **style)
        clips.annotate(
            f" {row['clip']:.3g} s, {row['ratio']:.3g}×",
            (row["clip"], place),
            va="center",
            fontsize="small",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )
        left = 0
        for (stage, seconds), colour in zip(row["seconds"].items(), COLOURS, strict=True):
            share = 100 * seconds / sum(row["seconds"].values())
            shares.barh(place, share, left=left, height=0.7, color=colour, label=stage)
            left += share
    sound = results["seconds_of_sound"]
    clips.axvline(sound, color="black", ls=":")
    clips.annotate(" real time", (sound, 1), xycoords=("data", "axes fraction"), va="bottom", fontsize="small")
    clips.set(xscale="log", xlabel="time of one clip (s)", xlim=(None, 10 * max(row["clip"] for row in rows)))
    clips.set_yticks(places, names)
    shares.set(xlabel="share of the clip's time (%)", xlim=(0, 100))
    handles, labels = shares.get_legend_handles_labels()
    figure.legend(handles[: len(COLOURS)], labels[: len(COLOURS)], ncols=4, loc="outside lower right")
    machine = results["machine"]
    device = machine["cpu"] if machine["device"] == "cpu" else machine["device"]
    weights = "random weights" if results["random_weights"] else "trained weights"
    figure.suptitle(
        f"{results['checkpoint']} ({weights}), {sound:.2f} s of sound, {device}, {machine['threads']} threads. "
        "Blue: lossless, orange: lossy, hatched: not kept.",
        fontsize="medium",
    )
    described = "; ".join(
        f"{name}: {row['clip']:.3g} s, {row['ratio']:.3g}x" for name, row in zip(names, rows, strict=True)
    )
    return Picture(figure, f"Bar chart of the time of one clip of {sound:.2f} s, rung by rung. {described}.")


def main(arguments=None):
    """Write the picture, print its alternative text; `arguments` are by default those of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("picture", type=Path)
    given = parser.parse_args(arguments)
    picture = draw(json.loads(given.results.read_text(encoding="utf-8")))
    picture.figure.savefig(given.picture, dpi=80)
    print(picture.alt)


if __name__ == "__main__":
    main()
