"""A small classifier that says which sounds a clip holds and how clean it is.

It is trained on real (synthesised) clips only and never sees a generated one, so it is not taught the model's mistakes.
But both learn from the same synthesis: it says whether a clip is what the model was taught, not how a person hears it.
`python -m pocket.judge` trains it and writes `pocket/judge.safetensors`.
"""

import argparse
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from pocket import dataset
from pocket.features import log_mel
from pocket.sounds import KINDS, QUALITIES
from pocket.stage import learning_rate, run

WEIGHTS = Path(__file__).parent / "judge.safetensors"
CLIPS, BATCH = 5000, 32


class Judge(nn.Module):
    """A convolutional network over log-mel spectrograms, pooled over time."""

    def __init__(self):
        super().__init__()
        layers, width = [], 1
        for channels in (16, 32, 64, 96):
            layers += [nn.Conv2d(width, channels, 3, 2, 1), nn.BatchNorm2d(channels), nn.ReLU()]
            layers += [nn.Conv2d(channels, channels, 3, 1, 1), nn.BatchNorm2d(channels), nn.ReLU()]
            width = channels
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(2 * 4 * width, len(KINDS) + len(QUALITIES))

    def forward(self, mel):
        """Score log-mels.

        Parameters
        ----------
        mel : torch.Tensor, shape (batch, frames, 64)

        Returns
        -------
        kinds : torch.Tensor, shape (batch, 14)
            The logit of each of `KINDS`; several may be present.
        qualities : torch.Tensor, shape (batch, 3)
            The logits of `QUALITIES`; one of them holds.
        """
        x = self.body((mel[:, None] + 6) / 3)
        x = torch.cat([x.mean(2), x.amax(2)], 1).flatten(1)
        return self.head(x).split((len(KINDS), len(QUALITIES)), 1)


@lru_cache
def load_judge():
    """The trained judge."""
    judge = Judge()
    judge.load_state_dict(load_file(WEIGHTS))
    return judge.eval()


@torch.no_grad()
def listen(waveforms):
    """Judge waveforms.

    Parameters
    ----------
    waveforms : numpy.ndarray, shape (clips, samples)
        Samples between -1 and 1 at 16 kHz, at least half a second.

    Returns
    -------
    kinds : numpy.ndarray, shape (clips, 14)
        The probability that each of `KINDS` can be heard.
    qualities : numpy.ndarray, shape (clips, 3)
        The probability of each of `QUALITIES`.
    """
    kinds, qualities = load_judge()(log_mel(torch.as_tensor(np.asarray(waveforms, np.float32))))
    return kinds.sigmoid().numpy(), qualities.softmax(1).numpy()


def train(steps, recordings=None):
    """Train on the training clips and write the weights."""
    torch.manual_seed(0)
    _, mels, clips = dataset.load(dataset.TRAINING, CLIPS, recordings)
    present = torch.tensor([[float(kind in clip.kinds) for kind in KINDS] for clip in clips])
    quality = torch.tensor([QUALITIES.index(clip.quality) for clip in clips])
    judge = Judge().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(judge.parameters(), weight_decay=1e-2)

    def step(i):
        rng = np.random.default_rng((50, i))
        rows = rng.integers(0, len(mels), BATCH)
        frames = int(rng.integers(120, mels.shape[1] + 1))
        start = int(rng.integers(0, mels.shape[1] - frames + 1))
        mel = torch.from_numpy(mels[rows, start : start + frames].astype(np.float32))
        mel = mel + torch.from_numpy(rng.uniform(-1, 0.7, (BATCH, 1, 1))).float()  # loudness is no clue
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(i, steps, 2e-3)
        kinds, qualities = judge(mel)
        whole = torch.from_numpy(rows)
        loss = 5 * F.binary_cross_entropy_with_logits(kinds, present[whole]) + F.cross_entropy(
            qualities, quality[whole]
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return {"loss": loss.item(), "quality": (qualities.argmax(1) == quality[whole]).float().mean().item()}

    run("judge", steps, step, {"judge": judge, "optimiser": optimiser})
    save_file({name: tensor.contiguous() for name, tensor in judge.state_dict().items()}, WEIGHTS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--recordings", metavar="FOLDER", help="where the recordings named in the model card lie")
    train(**vars(parser.parse_args()))
