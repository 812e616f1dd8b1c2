"""How far two clips are apart, and how well a clip fits its prompt.

A distance alone says "changed". How much that is says `helpers.moved`; whether it is worse, `clap_scores` and the ear.
"""

import librosa
import numpy as np
import torch

from helpers.audio import to_samples

FLOOR = -80.0  # dB: all that is softer counts as silence; its differences would outweigh those that can be heard
FFT, HOP, BANDS = 1024, 256, 64  # samples, samples, mel bands: 64 ms and 16 ms at 16 kHz


def log_mel(audio, sampling_rate, floor=FLOOR):
    """Compute the log-mel spectrogram in dB of full scale.

    A sine at full scale in the middle of a band reads 0 dB where bands are wide, and up to 0.9 dB less below 1 kHz,
    where they are narrow: the power is divided by that of such a sine under the Hann window, (FFT / 4)^2, and by 1.5
    for its spread over neighbouring bins (the window's equivalent noise bandwidth; Harris, "On the use of windows for
    harmonic analysis", 1978), of which a narrow band does not take all.

    Parameters
    ----------
    audio : numpy.ndarray or torch.Tensor, shape (n,) or (1, n)
        Samples between -1 and 1.
    sampling_rate : int
        In Hz.
    floor : float
        Lowest level in dB; what is softer is raised to it.

    Returns
    -------
    numpy.ndarray, shape (64, 1 + n // 256)
        Levels in dB, not below `floor`; rows are mel bands from 0 Hz to half the sampling rate.

    Raises
    ------
    TypeError, ValueError
        As in `helpers.audio.to_samples`.
    librosa.ParameterError
        If the clip holds NaN.
    """
    power = librosa.feature.melspectrogram(
        y=to_samples(audio, sampling_rate), sr=sampling_rate, n_fft=FFT, hop_length=HOP, n_mels=BANDS, norm=None
    )
    return np.maximum(librosa.power_to_db(power / (1.5 * (FFT / 4) ** 2), amin=1e-12, top_db=None), floor)


def distance(a, b, sampling_rate):
    """Compute the mean absolute difference of two log-mel spectrograms.

    Parameters
    ----------
    a, b : numpy.ndarray or torch.Tensor, shape (n,) or (1, n)
        Clips of the same length.
    sampling_rate : int
        In Hz, of both.

    Returns
    -------
    float
        In dB; 0 for equal clips.

    Raises
    ------
    TypeError, ValueError
        As in `helpers.audio.to_samples`, and if the lengths differ.
    """
    a, b = to_samples(a, sampling_rate), to_samples(b, sampling_rate)
    if len(a) != len(b):
        raise ValueError(f"The clips have {len(a)} and {len(b)} samples: cut them to the same length first.")
    return float(np.abs(log_mel(a, sampling_rate) - log_mel(b, sampling_rate)).mean())


def noise_floor(audio, sampling_rate):
    """Compute the level below which the softest tenth of the spectrogram lies: hiss and hum raise it.

    Parameters
    ----------
    audio : numpy.ndarray or torch.Tensor, shape (n,) or (1, n)
        Samples between -1 and 1.
    sampling_rate : int
        In Hz.

    Returns
    -------
    float
        10th percentile of `log_mel`, in dB of full scale, not below -120.

    Raises
    ------
    TypeError, ValueError
        As in `log_mel`.
    """
    return float(np.percentile(log_mel(audio, sampling_rate, floor=-120.0), 10))


@torch.no_grad()
def clap_scores(pipe, prompt, clips):
    """Score how well clips fit a prompt, with the pipeline's own CLAP encoder.

    The score is the cosine of the angle between the embeddings of text and sound (Wu et al., "Large-scale contrastive
    language-audio pretraining", 2023). Of a clip longer than the encoder takes, only the beginning counts; the encoder
    by itself would take a random part, and score anew at every call.

    Parameters
    ----------
    pipe : diffusers.AudioLDM2Pipeline
    prompt : str
    clips : sequence of numpy.ndarray or torch.Tensor, each of shape (n,) or (1, n)
        At the pipeline's sampling rate.

    Returns
    -------
    numpy.ndarray, shape (len(clips),)
        From -1 to 1; higher is better.

    Raises
    ------
    TypeError, ValueError
        As in `helpers.audio.to_samples`, and if there is no clip.
    librosa.ParameterError
        If a clip holds NaN.
    """
    if not isinstance(prompt, str):
        raise TypeError(f"prompt is {prompt!r}, but must be one text, against which all clips are scored.")
    if len(clips) == 0:
        raise ValueError("clips is empty, but there must be at least one to score.")
    rate, extractor, clap = pipe.vocoder.config.sampling_rate, pipe.feature_extractor, pipe.text_encoder
    target = extractor.sampling_rate
    sounds = [librosa.resample(to_samples(clip, rate), orig_sr=rate, target_sr=target) for clip in clips]
    text = pipe.tokenizer(prompt, truncation=True, max_length=pipe.tokenizer.model_max_length, return_tensors="pt")
    beginnings = [sound[: extractor.nb_max_samples] for sound in sounds]
    sound = extractor(beginnings, sampling_rate=target, return_tensors="pt")
    text_vector = clap.get_text_features(**text.to(clap.device))
    sound_vectors = clap.get_audio_features(input_features=sound.input_features.to(clap.device, clap.dtype))
    text_vector, sound_vectors = (found.pooler_output.float().cpu() for found in (text_vector, sound_vectors))
    return torch.cosine_similarity(text_vector, sound_vectors).numpy()
