"""Train the vocoder against discriminators: the last of its phases, which makes noise sound as noise.

What is right on average has no grain: for rain or surf the spectral losses of `pocket.train_vocoder` are best met by
something between a hiss and a buzz. Discriminators see the waveform as complex spectrograms of several resolutions and
learn to tell it from real sound (after Jang et al., UnivNet, 2021); the vocoder learns to be taken for real. Beside it
stand a mel loss and the distance between the discriminators' features (Kong et al., HiFi-GAN, 2020).

It learns from the program's clips and, with `--recordings FOLDER`, from recordings of `pocket.sources`, whose noise is
more varied than ours. Three of five crops come through the VAE, as they do in the pipeline; beside them are crops of
mels that the diffusion stage made. Those have no real sound to be compared with: they are only to be taken for real.
"""

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AudioLDM2Pipeline, DPMSolverMultistepScheduler
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import trange

from pocket import dataset, sources
from pocket.architecture import load_or_build, save_components
from pocket.captions import caption
from pocket.features import MEL_BINS, log_mel
from pocket.sounds import BACKGROUNDS, CLIP_FRAMES, FOREGROUNDS, HOP, KINDS, QUALITIES, Clip, synthesise
from pocket.stage import mixed_precision, run
from pocket.train_vocoder import TrainableVocoder, repetition, through_vae

CLIPS, CROP, BATCH = 3000, 48, 6
GENERATED, UNPAIRED = 160, 2  # mels that the diffusion stage makes, and how many crops of them join a batch
SIZES = (2048, 1024, 512, 256, 128)  # samples of a spectrum; each step asks every other one
RECORDED = 0.4  # share of the clips that are recordings, where there are any
PITCHED = ("tone", "siren", "bells", "frogs", "birds", "crickets")  # drawn in phase with the frames by `pocket.sounds`
HARD = {"samba": 2.0, "tone": 3.0, "birds": 2.0, "crickets": 2.0, "waves": 2.0, "rain": 1.5, "train": 1.5, "clock": 1.5}


class Discriminator(nn.Module):
    """Tells real from generated waveforms by their complex spectrogram.

    Parameters
    ----------
    size : int
        Length of a spectrum in samples.
    channels : int
        Of the first layers.
    """

    def __init__(self, size, channels=16):
        super().__init__()
        self.register_buffer("window", torch.hann_window(size))
        shapes = ((3, channels, 1, 1), (channels, channels, 2, 1), (channels, 2 * channels, 2, 2))
        shapes += ((2 * channels, 2 * channels, 2, 4),)
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(i, o, (3, 9), (1, stride), (spread, 4), (spread, 1)))
            for i, o, stride, spread in shapes
        )
        self.layers.append(weight_norm(nn.Conv2d(2 * channels, 2 * channels, 3, padding=1)))
        self.last = weight_norm(nn.Conv2d(2 * channels, 1, 3, padding=1))

    def forward(self, waveform):
        """Score waveforms, shape (batch, samples); returns the scores and the features of each layer.

        Some noise hides what lies 46 dB below the sound. Otherwise the floor beside a loud tone would tell real from
        generated, and the easiest way to a clean floor is to leave the tone out.
        """
        size = len(self.window)
        level = waveform.detach().std(1, keepdim=True) + 1e-4
        waveform = waveform + 0.005 * level * torch.randn_like(waveform)
        z = torch.stft(waveform, size, size // 4, window=self.window, normalized=True, return_complex=True)
        z = z.transpose(1, 2) / (z.abs().transpose(1, 2) + 1e-2) ** 0.5  # quiet parts count as well
        height = torch.linspace(-1, 1, z.shape[2]).expand(z.shape)
        x = torch.stack([z.real, z.imag, height], 1).contiguous(memory_format=torch.channels_last)
        features = []
        with mixed_precision():
            for layer in self.layers:
                x = F.leaky_relu(layer(x), 0.2)
                features.append(x)
            return self.last(x).float(), features


def random_sound(rng, recordings):
    """A clip of the pool, float32, and whether its waveform follows from its mel."""
    n = CLIP_FRAMES * HOP
    if recordings and rng.random() < RECORDED:
        kinds = sorted({kind or "" for _, kind, _ in recordings})
        kind = str(rng.choice(kinds)) or None
        sound = sources.recorded(rng, recordings, kind, n)
        if rng.random() < 0.3:  # another sound behind it
            if rng.random() < 0.5:
                other = sources.recorded(rng, recordings, str(rng.choice(kinds)) or None, n)
            else:
                other = synthesise(rng, Clip(str(rng.choice(KINDS)), None, "high"))
            sound = sound + rng.uniform(0.1, 0.7) * other
        sound = sound + 10 ** (-72 / 20) * rng.standard_normal(n)
        return (sound * min(1, 0.9 / np.abs(sound).max())).astype(np.float32), False
    weights = np.array([HARD.get(kind, 1.0) for kind in KINDS])
    kind = str(rng.choice(KINDS, p=weights / weights.sum()))
    behind = (
        str(rng.choice(BACKGROUNDS, p=(0.4, 0.2, 0.2, 0.2))) if kind in FOREGROUNDS and rng.random() < 0.5 else None
    )
    quality = str(rng.choice(QUALITIES, p=(0.7, 0.18, 0.12)))
    return synthesise(rng, Clip(kind, behind, quality)), kind in PITCHED and not behind and quality == "high"


@torch.no_grad()
def pool(pipe, folder):
    """The clips to crop from, made once and kept in the cache.

    Returns
    -------
    waveforms : numpy.ndarray, shape (CLIPS, 81920), int16
    mels : numpy.ndarray, shape (2, CLIPS, 320, 64), float16
        Of the clips, and as the VAE gives them back.
    pitched : numpy.ndarray, shape (CLIPS,), bool
        Whose waveform follows from the mel.
    """
    name = "pool-recordings" if folder else "pool"
    paths = [dataset.CACHE / f"{name}-{part}.npy" for part in ("waveforms", "mels", "pitched")]
    if not all(path.exists() for path in paths):
        dataset.CACHE.mkdir(parents=True, exist_ok=True)
        recordings = sources.load(folder, "train") if folder else []
        waveforms = np.empty((CLIPS, CLIP_FRAMES * HOP), np.int16)
        mels = np.empty((2, CLIPS, CLIP_FRAMES, MEL_BINS), np.float16)
        pitched = np.empty(CLIPS, bool)
        torch.manual_seed(0)
        for i in trange(CLIPS, desc="clips for the vocoder"):
            sound, pitched[i] = random_sound(np.random.default_rng((60, i)), recordings)
            waveforms[i] = np.round(sound * 32767)
            mel = log_mel(torch.from_numpy(sound)[None])
            mels[0, i], mels[1, i] = mel[0].numpy(), through_vae(pipe, mel)[0].numpy()
        for path, made in zip(paths, (waveforms, mels, pitched), strict=True):
            np.save(path, made)
    return tuple(np.load(path, mmap_mode="r") for path in paths)


def generated_mels(pipe):
    """Mels of backgrounds from the diffusion stage, shape (GENERATED, 320, 64), float16; made once."""
    path = dataset.CACHE / "pool-generated.npy"
    if not path.exists():
        pipe = AudioLDM2Pipeline(**pipe.components)
        pipe.set_progress_bar_config(disable=True)
        pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
        pipe.mel_spectrogram_to_waveform = lambda mel: mel[:, 0]
        mels, few = [], 4
        for i in trange(0, GENERATED, few, desc="mels from the diffusion stage"):
            rng = np.random.default_rng((62, i))
            alone = i % 8 == 0
            names = [str(rng.choice(BACKGROUNDS)) if alone else str(rng.choice(FOREGROUNDS)) for _ in range(few)]
            clips = [Clip(name, None if alone else str(rng.choice(BACKGROUNDS)), "high") for name in names]
            prompts = [caption(rng, clip, quality_words=False) for clip in clips]
            generator = torch.Generator().manual_seed(100_000 + i)
            negative = ["Low quality, average quality."] * few
            made = pipe(prompts, negative_prompt=negative, num_inference_steps=20, generator=generator)
            mels.append(made.audios.astype(np.float16))
        np.save(path, np.concatenate(mels)[:GENERATED])
    return np.load(path, mmap_mode="r")


def draw(waveforms, mels, pitched, made, seed):
    """Random crops on frame edges.

    Returns
    -------
    given, real : torch.Tensor, shape (BATCH + UNPAIRED, CROP, 64)
        Mels that the vocoder gets, and those of the real sound; where there is none, the given ones.
    waves : torch.Tensor, shape (BATCH, CROP * 256)
        The real sound.
    told : torch.Tensor, shape (BATCH,)
        One where the waveform follows from the mel, else zero.
    """
    rng = np.random.default_rng(seed)
    given, real, waves, told = [], [], [], []
    for _ in range(BATCH):
        row, start = int(rng.integers(len(waveforms))), int(rng.integers(0, CLIP_FRAMES - CROP + 1))
        crop = slice(start, start + CROP)
        given.append(mels[int(rng.random() < 0.6), row, crop])
        real.append(mels[0, row, crop])
        waves.append(waveforms[row, start * HOP : (start + CROP) * HOP])
        told.append(float(pitched[row]))
    for row in rng.integers(0, len(made), UNPAIRED):
        start = int(rng.integers(0, CLIP_FRAMES - CROP + 1))
        given.append(made[row, start : start + CROP])
        real.append(given[-1])
    given, real, waves = (torch.from_numpy(np.stack(x).astype(np.float32)) for x in (given, real, waves))
    return given, real, waves / 32767, torch.tensor(told)


def train(steps, folder=None):
    """Run the phase and write the vocoder, averaged over the last five hundred steps or so, into the checkpoint.

    Parameters
    ----------
    steps : int
    folder : str or pathlib.Path, optional
        Where the recordings lie; without it only the program's clips are learned from.
    """
    if not folder:
        print("no folder of recordings given: training on the program's clips alone")
    torch.manual_seed(0)
    pipe = load_or_build()
    waveforms, mels, pitched = pool(pipe, folder)
    made = generated_mels(pipe)
    model, critics = TrainableVocoder(pipe.vocoder), nn.ModuleList(Discriminator(size) for size in SIZES)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.998))
    optimiser = torch.optim.AdamW(model.parameters(), betas=(0.8, 0.99), weight_decay=0)
    critics_optimiser = torch.optim.AdamW(critics.parameters(), betas=(0.8, 0.99))

    def step(i):
        torch.manual_seed(i)
        given, real_mel, real, told = draw(waveforms, mels, pitched, made, (61, i))
        for rate, group in ((3e-4, optimiser.param_groups[0]), (5e-4, critics_optimiser.param_groups[0])):
            group["lr"] = rate * min(1, (steps - i) / (0.3 * steps))
        asked = critics[i % 2 :: 2]
        generated = model(given)

        of_real = [critic(real) for critic in asked]
        of_generated = [critic(generated.detach())[0] for critic in asked]
        judging = sum(
            F.relu(1 - a[0]).mean() + F.relu(1 + b).mean() for a, b in zip(of_real, of_generated, strict=True)
        )
        critics_optimiser.zero_grad()
        judging.backward()
        nn.utils.clip_grad_norm_(critics.parameters(), 10.0)
        critics_optimiser.step()

        # What the program draws in phase has one waveform (see `pocket.sounds`). A slightly rough tone spills into the
        # silence beside it, and no tone at all would suit mel and discriminators better. So it is told the waveform;
        # by its likeness, too, because where the VAE left the phase open an error alone would be least for silence.
        error, size = (F.avg_pool1d(x.abs(), HOP) for x in (generated[:BATCH] - real, real))
        error = (error / (size + 0.2 * size.mean(1, keepdim=True) + 1e-3)).mean(1)
        steady = 5 * (repetition(real)[:, 0] - 0.8).clamp(min=0)
        likeness = F.cosine_similarity(generated[:BATCH], real)
        shape = (told * (steady * error + 0.5 * (1 - likeness))).mean()
        free = F.pad(1 - told, (0, UNPAIRED), value=1)
        by_mel = 0.3 + 0.7 * free

        critics.requires_grad_(False)
        adversarial = features = 0
        for critic, (_, theirs) in zip(asked, of_real, strict=True):
            score, found = critic(generated)
            adversarial = adversarial - (free * score.mean((1, 2, 3))).mean() / len(asked)
            for a, b in zip(found, theirs, strict=True):
                a, b = a[:BATCH].float(), b.detach().float()
                apart = (free[:BATCH] * (a - b).abs().mean((1, 2, 3))).mean()
                features = features + apart / (b.abs().mean() + 1e-3) / len(found) / len(asked)
        critics.requires_grad_(True)
        # Grain is copied from the mel that was given; what the VAE changed is mended on average only. What lies 60 dB
        # below the loudest part does not count.
        floor = real_mel.amax((1, 2), keepdim=True) - 6.9
        mel, given, wanted = (torch.maximum(x, floor)[:, 2:-2] for x in (log_mel(generated), given, real_mel))
        grain = (by_mel * (mel - given).abs().mean((1, 2))).mean()
        coarse = F.avg_pool2d(mel, (4, 2)) - F.avg_pool2d(wanted, (4, 2))
        coarse = (by_mel * coarse.abs().mean((1, 2))).mean()
        energy, energy_wanted = (F.avg_pool2d(x.exp(), (4, 1)) for x in (mel, wanted))
        level = (energy - energy_wanted).abs().sum((1, 2)) / energy_wanted.sum((1, 2))
        level = ((3 - 2 * free) * level).mean()
        loss = 10 * shape + 5 * grain + 4 * coarse + 4 * level + min(1, i / 200) * (3 * adversarial + 2 * features)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 20.0)
        optimiser.step()
        average.update_parameters(model)
        if (i + 1) % 500 == 0 or i + 1 == steps:
            average.module.copy_to(pipe.vocoder)
            save_components(pipe, ["vocoder"])
        figures = {
            "grain": grain,
            "coarse": coarse,
            "level": level,
            "shape": shape,
            "judging": judging / len(asked),
            "adversarial": adversarial,
        }
        return {name: figure.item() for name, figure in (figures | {"features": features}).items()}

    state = {"model": model, "average": average, "critics": critics}
    state |= {"optimiser": optimiser, "critics_optimiser": critics_optimiser}
    run("vocoder-adversarial", steps, step, state)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=10000)
    parser.add_argument("--recordings", metavar="FOLDER", help="where the recordings named in the model card lie")
    arguments = parser.parse_args()
    train(arguments.steps, arguments.recordings)
