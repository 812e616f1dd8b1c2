"""Train the VAE: mel spectrograms to an eightfold smaller latent and back.

Two phases. First both halves learn to reproduce the mel spectrogram. Then the encoder is frozen, so that latents stay
what they are, and the decoder learns texture: a mean over many possible grains of noise has no grain, and the vocoder,
which has no noise of its own, would turn such a smooth spectrogram into a buzz.
"""

import argparse

import numpy as np
import torch
import torch.nn.functional as F

from pocket import dataset
from pocket.architecture import load_or_build, save_components
from pocket.stage import learning_rate, mixed_precision, run

CLIPS, CROP, BATCH = 5000, 64, 16


def batch_of_mels(mels, seed):
    """Random crops, shape (BATCH, 1, CROP, 64)."""
    rng = np.random.default_rng(seed)
    rows, starts = rng.integers(0, len(mels), BATCH), rng.integers(0, mels.shape[1] - CROP + 1, BATCH)
    return torch.from_numpy(np.stack([mels[r, s : s + CROP] for r, s in zip(rows, starts, strict=True)])).float()[
        :, None
    ]


def fit_in_and_out_to(vae, mean, std):
    """Start from a network that sees and returns standardised mels, by scaling its first and its last layer."""
    with torch.no_grad():
        vae.encoder.conv_in.weight /= std
        vae.encoder.conv_in.bias -= vae.encoder.conv_in.weight.sum((1, 2, 3)) * mean
        vae.decoder.conv_out.weight *= std
        vae.decoder.conv_out.bias.mul_(std).add_(mean)


def grain(x):
    """Log energy of differences between neighbours in time (1, 2 and 4 frames) and in frequency (1 bin)."""
    gaps = [x[:, :, k:] - x[:, :, :-k] for k in (1, 2, 4)] + [x[..., 1:] - x[..., :-1]]
    return [
        F.avg_pool2d(F.pad(g**2, (0, 64 - g.shape[3], 0, CROP - g.shape[2])), (16, 8)).add(1e-3).log() for g in gaps
    ]


def train(phase, steps):
    """Run one phase and write the VAE into the checkpoint.

    Parameters
    ----------
    phase : {"autoencoder", "texture"}
    steps : int
    """
    torch.manual_seed(0)
    _, mels, _ = dataset.load(dataset.TRAINING, CLIPS)
    pipe = load_or_build()
    vae = pipe.vae.to(memory_format=torch.channels_last)
    texture = phase == "texture"
    if texture:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    else:
        fit_in_and_out_to(vae, *(float(f(mels[:500].astype(np.float32))) for f in (np.mean, np.std)))
    optimiser = torch.optim.AdamW(
        [p for p in vae.parameters() if p.requires_grad], betas=(0.9, 0.95), weight_decay=1e-4
    )

    def step(i):
        x = batch_of_mels(mels, (10 + texture, i))
        torch.manual_seed(i)
        with mixed_precision():
            posterior = vae.encode(x).latent_dist
            y = vae.decode(posterior.sample()).sample.float()
        error = (y - x).abs()
        parts = {"l1": error.mean()}
        if texture:
            parts["coarse"] = F.l1_loss(F.avg_pool2d(y, (8, 4)), F.avg_pool2d(x, (8, 4)))
            parts["grain"] = sum(F.l1_loss(a, b) for a, b in zip(grain(y), grain(x), strict=True)) / 4
            loss = 0.3 * parts["l1"] + 1.5 * parts["coarse"] + 0.5 * parts["grain"]
        else:
            parts["kl"] = posterior.kl().mean() / x[0].numel()
            loss = parts["l1"] + 0.15 * (error**2).mean() + 0.02 * parts["kl"]
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(i, steps, 8e-4 if texture else 2e-3)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimiser.step()
        return {name: value.item() for name, value in parts.items()}

    run(f"vae-{phase}", steps, step, {"vae": vae, "optimiser": optimiser})
    if not texture:
        with torch.no_grad():
            latents = vae.encode(torch.from_numpy(mels[:200].astype(np.float32))[:, None]).latent_dist.mean
        vae.register_to_config(scaling_factor=float(1 / latents.std()))
    save_components(pipe, ["vae"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phase", choices=("autoencoder", "texture"), required=True)
    parser.add_argument("--steps", type=int, help="1500 for the autoencoder, 800 for texture")
    arguments = parser.parse_args()
    train(arguments.phase, arguments.steps or {"autoencoder": 1500, "texture": 800}[arguments.phase])
