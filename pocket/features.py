"""The log-mel spectrogram between sound and model: what the VAE compresses and the vocoder turns back into sound."""

from functools import lru_cache

import librosa
import torch

from pocket.sounds import HOP, SAMPLE_RATE

N_FFT = 1024
MEL_BINS = 64
LOG_FLOOR = 1e-5


@lru_cache
def _mel_basis():
    return torch.from_numpy(librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=MEL_BINS, fmin=0, fmax=8000))


def log_mel(waveform):
    """Compute the log-mel spectrogram.

    Frame `i` is centred on the middle of samples `i * HOP` to `(i + 1) * HOP`, as HiFi-GAN's training code does it, so
    a waveform of `T * HOP` samples has exactly `T` frames.

    Parameters
    ----------
    waveform : torch.Tensor, shape (batch, samples), float32
        Samples between -1 and 1 at 16 kHz.

    Returns
    -------
    torch.Tensor, shape (batch, samples // HOP, MEL_BINS), float32
        The natural logarithm of mel magnitudes (Slaney bands), floored at `LOG_FLOOR`.
    """
    pad = (N_FFT - HOP) // 2
    padded = torch.nn.functional.pad(waveform[:, None], (pad, pad), mode="reflect")[:, 0]
    spectrum = torch.stft(padded, N_FFT, HOP, window=torch.hann_window(N_FFT), center=False, return_complex=True)
    return (_mel_basis() @ spectrum.abs()).clamp(min=LOG_FLOOR).log().transpose(1, 2)
