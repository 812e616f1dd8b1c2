"""Play and compare clips, exactly as loud as they were made."""

import base64
import html
import io
from numbers import Integral

import numpy as np
import soundfile
import torch
from IPython.display import HTML

SILENCE = 1e-3  # a clip whose peak is lower (-60 dB of full scale) counts as silent


def to_samples(audio, sampling_rate):
    """Bring one clip to the form that all helpers use.

    Parameters
    ----------
    audio : numpy.ndarray or torch.Tensor, shape (n,) or (1, n)
        Floating-point samples, of which -1 to 1 is full scale.
    sampling_rate : int
        In Hz; only checked.

    Returns
    -------
    numpy.ndarray, shape (n,), float32

    Raises
    ------
    TypeError
        If it is no array of floating-point numbers.
    ValueError
        If it is not one clip with one channel, or the rate is no positive whole number.
    """
    if isinstance(audio, torch.Tensor) and audio.is_floating_point():
        audio = audio.detach().to("cpu", torch.float32).numpy()
    if not isinstance(audio, np.ndarray) or not np.issubdtype(audio.dtype, np.floating):
        raise TypeError(
            f"audio is a {type(audio).__name__} of {getattr(audio, 'dtype', 'no dtype')}, but must be a NumPy array or "
            "torch tensor of floats between -1 and 1, such as pipe(prompt).audios[0]."
        )
    if audio.ndim not in (1, 2) or audio.size == 0 or (audio.ndim == 2 and audio.shape[0] != 1):
        raise ValueError(
            f"audio has the shape {audio.shape}, but must be one clip, (n,) or (1, n): take one out, as in audios[0]."
        )
    if isinstance(sampling_rate, bool) or not isinstance(sampling_rate, Integral) or sampling_rate <= 0:
        raise ValueError(f"sampling_rate is {sampling_rate!r}, but must be a positive whole number, such as 16000.")
    return audio.reshape(-1).astype(np.float32)


def play(audio, sampling_rate, title):
    """Make a player for one clip.

    The clip is stored as 16-bit FLAC, so that nothing is lost and a notebook stays small. It is never made louder or
    softer. Silence and clipping are reported beside the player; NaN in place of it.

    Parameters
    ----------
    audio : numpy.ndarray or torch.Tensor, shape (n,) or (1, n)
        Samples between -1 and 1.
    sampling_rate : int
        In Hz.
    title : str
        Stands above the player, and names it for a screen reader.

    Returns
    -------
    IPython.display.HTML
        A notebook shows it when it is the last line of a cell; anywhere else, hand it to `display`.

    Raises
    ------
    TypeError, ValueError
        As in `to_samples`.
    """
    return HTML(_player(to_samples(audio, sampling_rate), sampling_rate, title))


def compare(clips, sampling_rate):
    """Make a row of players, all with the same gain.

    Parameters
    ----------
    clips : dict of str to (numpy.ndarray or torch.Tensor)
        Titles and clips, as in `play`.
    sampling_rate : int
        In Hz, of all of them.

    Returns
    -------
    IPython.display.HTML

    Raises
    ------
    TypeError, ValueError
        As in `to_samples`, and if `clips` is no dictionary or an empty one.
    """
    players = "".join(
        _player(to_samples(audio, sampling_rate), sampling_rate, title) for title, audio in check_clips(clips).items()
    )
    return HTML(
        f'<div style="display: flex; flex-wrap: wrap; gap: 1em">{players}</div>'
        "<p>All at the same gain: 0 dB, as they were made.</p>"
    )


def check_clips(clips):
    """Return `clips` if it is a dictionary of titles and clips that holds something, otherwise raise."""
    if not isinstance(clips, dict) or not clips:
        raise TypeError(f'clips is {type(clips).__name__}, but must name clips, such as {{"before": a, "after": b}}.')
    return clips


def _problem(samples):
    """What is wrong with a clip, or an empty text."""
    bad = ~np.isfinite(samples)
    if bad.any():
        return f"{bad.mean():.0%} of the clip is NaN or infinite. In half precision, try bfloat16 or float32."
    peak, clipped = np.abs(samples).max(), np.abs(samples) >= 1
    if peak < SILENCE:
        return f"The clip is silent: its peak is {peak:.1g} of full scale."
    if clipped.any():
        return f"The clip is clipped: {clipped.sum()} of {len(samples)} samples reach full scale."
    return ""


def _player(samples, sampling_rate, title):
    title, problem = html.escape(str(title)), _problem(samples)
    parts = [f"<figcaption>{title}</figcaption>"]
    if np.isfinite(samples).all():
        buffer = io.BytesIO()
        soundfile.write(buffer, samples.clip(-1, 1), sampling_rate, format="FLAC")  # any player would clip
        source = f"data:audio/flac;base64,{base64.b64encode(buffer.getvalue()).decode()}"
        parts.append(f'<audio controls aria-label="{title}" src="{source}"></audio>')
    if problem:
        parts.append(f'<p role="alert"><strong>Warning.</strong> {problem}</p>')
    return f'<figure style="margin: 0">{"".join(parts)}</figure>'
