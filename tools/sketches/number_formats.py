"""Where the bits of three number formats go, and what that leaves of range and precision."""

import math

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Patch

FORMATS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
KINDS = {"sign": ("black", ""), "exponent: range": ("tab:orange", "//"), "mantissa: precision": ("tab:blue", "")}


def draw():
    """Draw one row of bits for each format.

    Returns
    -------
    matplotlib.figure.Figure
    str
        The alternative text.
    """
    figure = Figure(figsize=(10, 3), layout="constrained")
    ax, said = figure.subplots(), []
    for row, (name, dtype) in enumerate(FORMATS.items()):
        facts = torch.finfo(dtype)
        mantissa = round(-math.log2(facts.eps))  # eps: the distance from 1 to the next number
        exponent = facts.bits - 1 - mantissa
        kinds = ["sign"] + ["exponent: range"] * exponent + ["mantissa: precision"] * mantissa
        for bit, kind in enumerate(kinds):
            colour, hatch = KINDS[kind]
            ax.barh(row, 1, left=bit, height=0.65, color=colour, hatch=hatch, edgecolor="white")
        text = f"largest number: {facts.max:.2g}; first number after 1: 1 + {facts.eps:.1g}"
        ax.text(0, row + 0.37, text, va="top", fontsize=9)
        said.append(f"{name}: 1 bit for the sign, {exponent} for the exponent, {mantissa} for the mantissa; {text}.")
    ax.set(title="Where the bits of a number go", xlabel="bit (number)", xlim=(0, 32))
    ax.set_yticks(range(len(FORMATS)), FORMATS)
    ax.set_xticks(range(0, 33, 8))
    ax.set_ylim(2.75, -0.5)
    ax.spines[["top", "right", "left"]].set_visible(False)
    patches = [Patch(facecolor=c, hatch=hatch, edgecolor="white", label=kind) for kind, (c, hatch) in KINDS.items()]
    ax.legend(handles=patches, loc="lower right")
    return figure, f"Three rows of squares, one square for each bit. {' '.join(said)}"
