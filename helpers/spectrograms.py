"""Draw mel spectrograms on one colour scale."""

import librosa
import numpy as np
from matplotlib.figure import Figure

from helpers.audio import check_clips
from helpers.pictures import Picture
from helpers.quality import BANDS, FLOOR, HOP, log_mel


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
    helpers.pictures.Picture

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
    helpers.pictures.Picture

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
