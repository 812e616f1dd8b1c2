"""The seven networks of AudioLDM 2, and what flows between them."""

from matplotlib.figure import Figure

BOXES = {  # name: (x, y, two lines of text, colour)
    "clap": (1.7, 2.4, "CLAP\ntext encoder", "white"),
    "t5": (1.7, 0.6, "T5\nencoder", "white"),
    "projection": (3.5, 2.4, "projection", "white"),
    "gpt2": (5.2, 2.4, "GPT-2", "white"),
    "unet": (7.0, 1.5, "UNet\n× steps", "tab:orange"),
    "vae": (8.7, 1.5, "VAE\ndecoder", "white"),
    "vocoder": (10.4, 1.5, "vocoder", "white"),
}
ARROWS = [  # from, to, label, where the label stands
    ((0.75, 1.7), (1.05, 2.2), "", None),
    ((0.75, 1.3), (1.05, 0.8), "", None),
    ((2.3, 2.4), (2.8, 2.4), "1 vector", (2.75, 2.85)),
    ((2.2, 0.9), (3.3, 2.1), "", None),
    ((4.05, 2.4), (4.8, 2.4), "", None),
    ((5.6, 2.3), (6.55, 1.8), "8 vectors", (6.45, 2.4)),
    ((2.2, 0.6), (6.5, 1.3), "1 vector a token", (4.6, 0.6)),
    ((7.0, 0.35), (7.0, 1.0), "", None),
    ((7.45, 1.5), (8.2, 1.5), "latent", (7.82, 1.75)),
    ((9.2, 1.5), (9.9, 1.5), "mel", (9.55, 1.75)),
    ((10.9, 1.5), (11.45, 1.5), "", None),
]


def draw():
    """Draw the journey of a prompt."""
    figure = Figure(figsize=(10, 2.6), layout="constrained")
    ax = figure.subplots()
    for x, y, text, colour in BOXES.values():
        style = {"boxstyle": "round,pad=0.45", "facecolor": colour, "edgecolor": "black"}
        ax.text(x, y, text, ha="center", va="center", bbox=style)
    for start, end, label, place in ARROWS:
        ax.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": "tab:blue", "lw": 1.8})
        if label:
            ax.text(*place, label, ha="center", va="center", fontsize=9, color="dimgrey")
    for x, y, text in ((0.35, 1.5, "prompt"), (7.0, 0.15, "noise"), (11.85, 1.5, "sound")):
        ax.text(x, y, text, ha="center", va="center", weight="bold")
    ax.set(xlim=(-0.1, 12.3), ylim=(-0.05, 3.1))
    ax.axis("off")
    return figure, (
        "Diagram of the pipeline. The prompt goes to two text encoders: CLAP gives one vector, T5 one vector for each "
        "token. A projection and GPT-2 turn both into eight vectors. The UNet, drawn in orange because it runs once in "
        "every step, starts from noise, reads the eight vectors and those of T5, and gives a latent. The VAE decoder "
        "turns it into a mel spectrogram, and the vocoder into sound."
    )
