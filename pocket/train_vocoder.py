"""Train the vocoder: mel spectrograms to sound.

`SpeechT5HifiGan` gets no noise, so for a steady mel it would repeat itself every hop, and rain would buzz. A penalty on
being more periodic than the real sound makes it use the small random changes of the mel as its source of
noise. Beside it stand the usual spectral losses: multi-resolution STFT after Yamamoto et al., Parallel WaveGAN, 2020,
and mel after Kong et al., HiFi-GAN, 2020.

Two phases: first on the mels of real clips, then, when the VAE is trained, on mels that went through the VAE as well,
because that is what the vocoder will be given.

The convolutions are trained as two-dimensional ones over a height of one: the same numbers, about twice as fast in
bfloat16 on a CPU.
"""

import argparse
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm.auto import trange

from pocket import dataset
from pocket.architecture import load_or_build, save_components
from pocket.features import MEL_BINS, log_mel
from pocket.sounds import HOP
from pocket.stage import learning_rate, mixed_precision, run
from pocket.train_diffusion import cached_latents

CLIPS, CROP, BATCH, DECODED = 5000, 48, 8, 2000


class TrainableVocoder(nn.Module):
    """The generator of a `SpeechT5HifiGan` as 2-D convolutions in channels-last memory.

    Parameters
    ----------
    vocoder : transformers.SpeechT5HifiGan
        Its weights are copied in here, and back by `copy_to`.
    """

    def __init__(self, vocoder):
        super().__init__()
        self.rates = vocoder.config.upsample_rates
        self.slope = vocoder.config.leaky_relu_slope
        self.mean, self.scale = vocoder.mean, vocoder.scale
        self.layers = nn.ModuleDict(
            {
                name.replace(".", "/"): self._twin(layer)
                for name, layer in vocoder.named_modules()
                if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d)
            }
        )
        self.kernels = len(vocoder.config.resblock_kernel_sizes)
        self.dilations = len(vocoder.config.resblock_dilation_sizes[0])
        self.to(memory_format=torch.channels_last)

    @staticmethod
    def _twin(layer):
        kind = nn.Conv2d if isinstance(layer, nn.Conv1d) else nn.ConvTranspose2d
        settings = {"stride": (1, *layer.stride), "padding": (0, *layer.padding), "dilation": (1, *layer.dilation)}
        twin = kind(layer.in_channels, layer.out_channels, (1, *layer.kernel_size), **settings)
        twin.load_state_dict({"weight": layer.weight[:, :, None], "bias": layer.bias})
        return twin

    def copy_to(self, vocoder):
        """Write the trained weights back."""
        for name, layer in self.layers.items():
            target = vocoder.get_submodule(name.replace("/", "."))
            target.load_state_dict({"weight": layer.weight[:, :, 0].contiguous(), "bias": layer.bias})

    def forward(self, mel):
        """Log-mels, shape (batch, frames, 64), to waveforms, shape (batch, frames * 256)."""
        x = ((mel - self.mean) / self.scale).transpose(1, 2)[:, :, None].contiguous(memory_format=torch.channels_last)
        with mixed_precision():
            x = self.layers["conv_pre"](x)
            for i in range(len(self.rates)):
                x = self.layers[f"upsampler/{i}"](F.leaky_relu(x, self.slope))
                x = sum(self._residual(x, i * self.kernels + j) for j in range(self.kernels)) / self.kernels
        return torch.tanh(self.layers["conv_post"](F.leaky_relu(x).float()))[:, 0, 0]

    def _residual(self, x, block):
        for i in range(self.dilations):
            y = self.layers[f"resblocks/{block}/convs1/{i}"](F.leaky_relu(x, self.slope))
            x = x + self.layers[f"resblocks/{block}/convs2/{i}"](F.leaky_relu(y, self.slope))
        return x


@lru_cache
def _window(size):
    return torch.hann_window(size)


def stft_loss(generated, real):
    """Spectral convergence and log-magnitude error, averaged over three resolutions."""
    loss = 0
    for size in (256, 512, 1024):
        a, b = (
            torch.stft(y, size, size // 4, window=_window(size), return_complex=True).abs() for y in (generated, real)
        )
        convergence = ((a - b).square().sum((1, 2)) / (b.square().sum((1, 2)) + 1e-3)).sqrt().mean()
        loss = loss + convergence + F.l1_loss((a + 1e-3).log(), (b + 1e-3).log())
    return loss / 3


def repetition(waveform):
    """How much a waveform repeats itself hop by hop.

    Parameters
    ----------
    waveform : torch.Tensor, shape (batch, samples)

    Returns
    -------
    torch.Tensor, shape (batch, 2)
        The largest absolute autocorrelation within three samples of one to ten hops, of the waveform and of the
        waveform with its spectrum made flat: 0 for noise, near 1 for a sound that is periodic in the hop.
    """
    power = torch.fft.rfft(waveform, 2 * waveform.shape[1]).abs().square()
    flat = power / (F.avg_pool1d(power[:, None], 401, 1, 200, count_include_pad=False)[:, 0] + 1e-6)
    lags = torch.cat([k * HOP + torch.arange(-3, 4) for k in range(1, 11)])
    both = torch.fft.irfft(torch.stack([power, flat], 1))
    return (both[..., lags] / (both[..., :1] + 1e-6)).abs().amax(-1)


def batch_of_clips(waveforms, mels, chances, seed):
    """Random crops on frame edges: mels (BATCH, CROP, 64) and waveforms (BATCH, CROP * 256)."""
    rng = np.random.default_rng(seed)
    chances = chances[: len(mels)] / chances[: len(mels)].sum()
    rows, starts = rng.choice(len(mels), BATCH, p=chances), rng.integers(0, mels.shape[1] - CROP + 1, BATCH)
    pairs = list(zip(rows, starts, strict=True))
    mel = torch.from_numpy(np.stack([mels[r, s : s + CROP] for r, s in pairs])).float()
    wave = np.stack([waveforms[r, s * HOP : (s + CROP) * HOP] for r, s in pairs])
    return mel, torch.from_numpy(wave).float() / 32767


def decoded_mels(pipe, mels):
    """The mels of the first training clips after the VAE, shape (DECODED, 320, 64), float16; kept in the cache."""
    path = dataset.CACHE / "mels-decoded.npy"
    if not path.exists():
        latents, _ = cached_latents(pipe, mels)
        decoded = np.empty((DECODED, *mels.shape[1:]), np.float16)
        with torch.no_grad():
            for i in trange(0, DECODED, 20, desc="decoding latents"):
                rows = slice(i, min(i + 20, DECODED))
                mean, std = torch.from_numpy(latents[rows].astype(np.float32)).unbind(1)
                decoded[rows] = pipe.vae.decode(mean + std * torch.randn_like(mean)).sample[:, 0].numpy()
        np.save(path, decoded)
    return np.load(path, mmap_mode="r")


def train(steps, repetition_weight, after_vae):
    """Run one phase and write the vocoder into the checkpoint."""
    torch.manual_seed(0)
    waveforms, mels, clips = dataset.load(dataset.TRAINING, CLIPS)
    pipe = load_or_build()
    phase = 1 if after_vae else 0
    if not after_vae:
        some = mels[:500].astype(np.float32).reshape(-1, MEL_BINS)
        pipe.vocoder.mean.copy_(torch.from_numpy(some.mean(0)))
        pipe.vocoder.scale.copy_(torch.from_numpy(some.std(0)))
    sources = [decoded_mels(pipe, mels), mels] if after_vae else [mels]
    model = TrainableVocoder(pipe.vocoder)
    if not after_vae:
        for layer in model.layers.values():
            layer.reset_parameters()  # the class starts with weights so small that nothing would be heard for long
    # Narrow high tones are the hardest and little of the sound; they come up more often.
    chances = np.array([5.0 if clip.kinds & {"tone", "birds", "crickets"} else 1.0 for clip in clips])
    optimiser = torch.optim.AdamW(model.parameters(), betas=(0.8, 0.99), weight_decay=0)

    def step(i):
        mel, real = batch_of_clips(waveforms, sources[i % len(sources)], chances, (20 + phase, i))
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(i, steps, 1e-3)
        generated = model(mel)
        spectral = stft_loss(generated, real)
        mel_error = F.l1_loss(log_mel(generated), log_mel(real))
        of_generated, of_real = repetition(generated), repetition(real)
        buzz = F.relu(of_generated - of_real - 0.02).mean()
        # Only a periodic sound has a waveform that the mel spectrogram determines.
        error = (generated - real).abs().mean(1) / (real.abs().mean(1) + 1e-3)
        shape = (of_real[:, 0] * error).mean()
        loss = spectral + 0.7 * mel_error + repetition_weight * buzz + 3 * shape
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 50.0)
        optimiser.step()
        if (i + 1) % 500 == 0 or i + 1 == steps:
            model.copy_to(pipe.vocoder)
            save_components(pipe, ["vocoder"])
        return {"spectral": spectral.item(), "mel": mel_error.item(), "buzz": buzz.item(), "shape": shape.item()}

    run(("vocoder", "vocoder-after-vae")[phase], steps, step, {"model": model, "optimiser": optimiser})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, help="3500, and 4400 in the second phase")
    parser.add_argument("--repetition-weight", type=float, default=5.0)
    parser.add_argument("--after-vae", action="store_true", help="the second phase")
    arguments = parser.parse_args()
    steps = arguments.steps or (4400 if arguments.after_vae else 3500)
    train(steps, arguments.repetition_weight, arguments.after_vae)
