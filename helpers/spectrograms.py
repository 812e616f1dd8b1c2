"""Draw mel spectrograms on one colour scale, with a text for those who cannot see them."""

import base64
import html
import io
import re
from dataclasses import dataclass
from pathlib import Path

import librosa
import numpy as np
from IPython.display import HTML
from matplotlib.figure import Figure

from helpers.audio import check_clips
from helpers.quality import BANDS, FLOOR, HOP, log_mel

COLOURS, MARKERS = (
    ("tab:orange", "tab:blue", "black", "grey"),
    "soD^",
)  # of curves; told apart without their colour, too
BARS = {"color": "tab:blue"}, {"facecolor": "tab:orange", "edgecolor": "white", "hatch": "//"}  # of the two in a chart
SKETCHES = Path(__file__).parent / "sketches"


@dataclass(repr=False)
class Picture:
    """A figure with alternative text, which a notebook shows when it is the last line of a cell.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
    alt : str
        What the figure shows, in words.
    """

    figure: Figure
    alt: str

    def __repr__(self):
        return self.alt

    def _repr_html_(self):
        # An <img> by hand: not every notebook program passes on the alternative text of a PNG output.
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=90)
        data = base64.b64encode(buffer.getvalue()).decode()
        return f'<img alt="{html.escape(self.alt)}" style="max-width: 100%" src="data:image/png;base64,{data}">'


def sketch(name):
    """Show a picture that explains an idea; the files lie in helpers/sketches, drawn by tools/draw_sketches.py.

    Parameters
    ----------
    name : str
        Of the file, without its ending.

    Returns
    -------
    IPython.display.HTML
        With the file's description as alternative text.
    """
    data = (SKETCHES / f"{name}.svg").read_bytes()
    alt = re.search(r"<desc>(.*?)</desc>", data.decode(), re.DOTALL)[1]
    source = f"data:image/svg+xml;base64,{base64.b64encode(data).decode()}"
    return HTML(f'<img alt="{html.escape(html.unescape(alt))}" style="max-width: 100%" src="{source}">')


def plot_spectrogram(audio, sampling_rate, title):
    """Draw the mel spectrogram of one clip.

    Parameters
    ----------
    audio : numpy.ndarray or torch.Tensor, shape (n,) or (1, n)
        Samples between -1 and 1.
    sampling_rate : int
        In Hz.
    title : str

    Returns
    -------
    Picture

    Raises
    ------
    TypeError, ValueError
        As in `helpers.quality.log_mel`.
    """
    return plot_spectrograms({title: audio}, sampling_rate)


def plot_spectrograms(clips, sampling_rate):
    """Draw mel spectrograms side by side; the same colour is the same level in all of them, and in all figures.

    Parameters
    ----------
    clips : dict of str to (numpy.ndarray or torch.Tensor)
        Titles and clips, as in `plot_spectrogram`.
    sampling_rate : int
        In Hz, of all of them.

    Returns
    -------
    Picture

    Raises
    ------
    TypeError, ValueError
        As in `helpers.quality.log_mel`, and if `clips` is no dictionary or an empty one.
    """
    check_clips(clips)
    columns = min(len(clips), 3)
    rows = -(-len(clips) // columns)
    figure = Figure(figsize=(1 + 4 * columns, 0.5 + 2.8 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    descriptions = []
    for ax, (title, audio) in zip(axes, clips.items(), strict=False):
        levels = log_mel(audio, sampling_rate)
        image = librosa.display.specshow(
            levels, sr=sampling_rate, hop_length=HOP, x_axis="s", y_axis="mel", ax=ax, cmap="magma", vmin=FLOOR, vmax=0
        )
        ax.set_title(str(title), parse_math=False)
        ax.set(xlabel="Time (s)", ylabel="Frequency (Hz)")
        descriptions.append(f"{title}: {_describe(levels, sampling_rate)}")
    for ax in axes[len(clips) :]:
        ax.set_visible(False)
    figure.colorbar(image, ax=list(axes), label="Level (dB of full scale)")
    return Picture(figure, f"Mel spectrogram, {FLOOR:.0f} to 0 dB. {' '.join(descriptions)}")


def _describe(levels, sampling_rate):
    second = HOP / sampling_rate
    length = f"{(levels.shape[1] - 1) * second:.1f} s"
    if levels.max() <= FLOOR:
        return f"{length} of silence."
    band, frame = np.unravel_index(levels.argmax(), levels.shape)
    frequency = librosa.mel_frequencies(BANDS + 2, fmin=0, fmax=sampling_rate / 2)[band + 1]  # the middle of the band
    return (
        f"{length}, mean {levels.mean():.0f} dB, loudest with {levels.max():.0f} dB "
        f"near {frequency:.0f} Hz at {frame * second:.1f} s."
    )
