"""Train the vocoder: mel spectrograms to sound.

`SpeechT5HifiGan` gets no noise, so for a steady mel it would repeat itself every hop, and rain would buzz. A penalty on
being more periodic than the real sound makes it use the small random changes of the mel as its source of
noise. Beside it stand the usual spectral losses: multi-resolution STFT after Yamamoto et al., Parallel WaveGAN, 2020,
and mel after Kong et al., HiFi-GAN, 2020.

Three phases: first on the mels of real clips, then, when the VAE is trained, on mels that went through the VAE as well,
because that is what the vocoder will be given. By then it draws the chirps of birds and crickets as noise of the right
loudness and height: where only magnitudes count, a tone in the wrong phase is no better. So the third phase asks for
the waveform itself, which `pocket.sounds` fixes, by its correlation above 1.8 kHz.

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
from pocket.sounds import HOP, KINDS, SAMPLE_RATE, Clip, synthesise
from pocket.stage import learning_rate, mixed_precision, run
from pocket.train_diffusion import cached_latents

CLIPS, CROP, BATCH, DECODED = 5000, 48, 8, 2000
PHASES = {"real": 3500, "after-vae": 4400, "chirps": 3500}  # and the steps of each
HIGH = 1800  # Hz: above it lie the chirps, and little else that is in tune with the frames


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


def high_passed(waveform):
    """What lies above `HIGH`, shape (batch, samples)."""
    spectrum = torch.fft.rfft(waveform, 2 * waveform.shape[1])
    spectrum[:, : 2 * waveform.shape[1] * HIGH // SAMPLE_RATE] = 0
    return torch.fft.irfft(spectrum)[:, : waveform.shape[1]]


def correlation(generated, real):
    """How alike two waveforms are above `HIGH` whatever their loudness, shape (batch,): one where they agree."""
    a, b = high_passed(generated), high_passed(real)
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-2)


def random_chirps(rng):
    """Birds or crickets, half of the time with another sound: what is heard, and the chirps in it, shape (40960,)."""
    frames = 160
    chirps = synthesise(rng, Clip(str(rng.choice(("birds", "crickets"))), None, "high"), frames)
    heard = chirps
    if rng.random() < 0.5:
        other = synthesise(rng, Clip(str(rng.choice(KINDS)), None, "high"), frames)
        level, other_level = rng.uniform(0.2, 1, 2).astype(np.float32)
        chirps = level * chirps
        heard = chirps + other_level * other
    peak = max(1, np.abs(heard).max() / 0.9)
    return heard / peak, chirps / peak


def batch_of_chirps(count, seed):
    """Crops that hold chirps: mels (count, CROP, 64), waveforms and the chirps in them (count, CROP * 256)."""
    rng = np.random.default_rng(seed)
    mels, waves, chirps = [], [], []
    for _ in range(count):
        heard, alone = random_chirps(rng)
        loudness = np.convolve(alone.reshape(-1, HOP).std(1), np.ones(CROP), "valid")
        start = int(rng.choice(len(loudness), p=loudness / loudness.sum()))
        mels.append(log_mel(torch.from_numpy(heard)[None])[0, start : start + CROP])
        for crops, sound in ((waves, heard), (chirps, alone)):
            crops.append(torch.from_numpy(sound[start * HOP : (start + CROP) * HOP]))
    return torch.stack(mels), torch.stack(waves), torch.stack(chirps)


def batch_of_clips(waveforms, mels, chances, count, seed):
    """Random crops on frame edges: mels (count, CROP, 64) and waveforms (count, CROP * 256)."""
    rng = np.random.default_rng(seed)
    chances = chances[: len(mels)] / chances[: len(mels)].sum()
    rows, starts = rng.choice(len(mels), count, p=chances), rng.integers(0, mels.shape[1] - CROP + 1, count)
    pairs = list(zip(rows, starts, strict=True))
    mel = torch.from_numpy(np.stack([mels[r, s : s + CROP] for r, s in pairs])).float()
    wave = np.stack([waveforms[r, s * HOP : (s + CROP) * HOP] for r, s in pairs])
    return mel, torch.from_numpy(wave).float() / 32767


def decoded_mels(pipe, mels):
    """The mels of the first training clips after the VAE, shape (DECODED, 320, 64), float16; kept in the cache."""
    path = dataset.CACHE / "mels-decoded.npy"
    if not path.exists():
        latents, _ = cached_latents(pipe, mels, dataset.cached("latents"))
        decoded = np.empty((DECODED, *mels.shape[1:]), np.float16)
        with torch.no_grad():
            for i in trange(0, DECODED, 20, desc="decoding latents"):
                rows = slice(i, min(i + 20, DECODED))
                mean, std = torch.from_numpy(latents[rows].astype(np.float32)).unbind(1)
                decoded[rows] = pipe.vae.decode(mean + std * torch.randn_like(mean)).sample[:, 0].numpy()
        np.save(path, decoded)
    return np.load(path, mmap_mode="r")


@torch.no_grad()
def through_vae(pipe, mels):
    """Mels as the VAE gives them back, shape (batch, frames, 64)."""
    return pipe.vae.decode(pipe.vae.encode(mels[:, None]).latent_dist.sample()).sample[:, 0]


def train(phase, steps, repetition_weight=5.0):
    """Run one of `PHASES` and write the vocoder into the checkpoint."""
    torch.manual_seed(0)
    waveforms, mels, clips = dataset.load(dataset.TRAINING, CLIPS)
    pipe = load_or_build()
    if phase == "real":
        some = mels[:500].astype(np.float32).reshape(-1, MEL_BINS)
        pipe.vocoder.mean.copy_(torch.from_numpy(some.mean(0)))
        pipe.vocoder.scale.copy_(torch.from_numpy(some.std(0)))
    sources = [decoded_mels(pipe, mels), mels] if phase == "after-vae" else [mels]
    model = TrainableVocoder(pipe.vocoder)
    if phase == "real":
        for layer in model.layers.values():
            layer.reset_parameters()  # the class starts with weights so small that nothing would be heard for long
    # What is hard to draw and little of the sound comes up more often.
    weights = {"tone": 5.0, "frogs": 3.0} if phase == "chirps" else dict.fromkeys(("tone", "birds", "crickets"), 5.0)
    chances = np.array([max(weights.get(kind, 1.0) for kind in clip.kinds) for clip in clips])
    optimiser = torch.optim.AdamW(model.parameters(), betas=(0.8, 0.99), weight_decay=0)

    def step(i):
        torch.manual_seed(i)
        seed, source = (20 + list(PHASES).index(phase), i), sources[i % len(sources)]
        if phase == "chirps":  # half of the batch, and what came through the VAE every other time
            few = BATCH // 2
            parts = batch_of_chirps(few, seed), batch_of_clips(waveforms, source, chances, BATCH - few, seed)
            mel, real, chirps = *map(torch.cat, zip(*(part[:2] for part in parts), strict=True)), parts[0][2]
            mel = through_vae(pipe, mel) if i % 2 else mel
            middle = slice(CROP // 4, 3 * CROP // 4)  # half as long, away from the ends that the VAE sees
            mel, (real, chirps) = (
                mel[:, middle],
                (x.unflatten(1, (CROP, HOP))[:, middle].flatten(1) for x in (real, chirps)),
            )
        else:
            mel, real = batch_of_clips(waveforms, source, chances, BATCH, seed)
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
        figures = {"spectral": spectral, "mel": mel_error, "buzz": buzz, "shape": shape}
        if phase == "chirps":
            figures["chirps"] = correlation(generated[: len(chirps)], chirps).mean()
            loss = loss + 3 * (1 - figures["chirps"])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 50.0)
        optimiser.step()
        if (i + 1) % 500 == 0 or i + 1 == steps:
            model.copy_to(pipe.vocoder)
            save_components(pipe, ["vocoder"])
        return {name: figure.item() for name, figure in figures.items()}

    run(f"vocoder-{phase}", steps, step, {"model": model, "optimiser": optimiser})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phase", choices=PHASES, default="real")
    parser.add_argument("--steps", type=int, help=f"by default those of the phase: {PHASES}")
    parser.add_argument("--repetition-weight", type=float, default=5.0)
    arguments = parser.parse_args()
    train(arguments.phase, arguments.steps or PHASES[arguments.phase], arguments.repetition_weight)
