"""Lesson 7: which component is on the device when, without and with model offload."""

from matplotlib.figure import Figure
from matplotlib.patches import Patch

TURNS = ["text encoders", "GPT-2", "UNet", "VAE", "vocoder"]


def draw():
    """Draw five components over five turns, twice."""
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for ax, title, idle in zip(
        axes,
        ("Without offload", "With model offload"),
        ({"color": "lightgrey"}, {"facecolor": "none", "edgecolor": "grey", "ls": ":"}),
        strict=True,
    ):
        for turn, name in enumerate(TURNS):
            ax.barh(name, len(TURNS), height=0.7, **idle)
            ax.barh(name, 1, left=turn, height=0.7, color="tab:blue")
        ax.set(title=title, xlabel="turn (not to scale)", xlim=(-0.05, len(TURNS) + 0.05))
        ax.set_xticks([turn + 0.5 for turn in range(len(TURNS))], range(1, len(TURNS) + 1))
    axes[0].invert_yaxis()
    axes[0].set_ylabel("component")
    figure.legend(
        handles=[
            Patch(color="tab:blue", label="on device, computing"),
            Patch(color="lightgrey", label="on device, idle"),
            Patch(facecolor="none", edgecolor="grey", ls=":", label="offloaded to RAM"),
        ],
        loc="outside lower center",
        ncols=3,
    )
    return figure, (
        "Two diagrams of five components over five turns: text encoders, GPT-2, UNet, VAE, vocoder. In both, each "
        "computes in one turn, one after the other. Without offload all of them are on the device all the time; with "
        "model offload each is on the device in its own turn only, and otherwise in RAM."
    )
