"""Train CLAP: captions and sounds that belong together lie close in one space.

Two phases. First text and audio learn together, before the diffusion stage, which is conditioned on the text side.
Then, after everything else, the text side is frozen and the audio side goes on, on real clips and on the same clips
after the VAE and the vocoder, because it will be asked to rank generated sound.
"""

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from tqdm.auto import trange

from pocket import dataset
from pocket.architecture import load_or_build, save_components
from pocket.captions import training_caption
from pocket.sounds import SAMPLE_RATE
from pocket.stage import learning_rate, run

CLIPS, BATCH, RECONSTRUCTED = 5000, 48, 600


def audio_features(pipe, waveforms, path):
    """What CLAP's audio branch takes, shape (clips, 1, 241, 64), float16; made once and kept in the cache."""
    if not path.exists():
        parts = []
        for i in trange(0, len(waveforms), 100, desc="CLAP features"):
            clips = list(waveforms[i : i + 100].astype(np.float32) / 32767)
            parts.append(pipe.feature_extractor(clips, sampling_rate=SAMPLE_RATE, return_tensors="np").input_features)
        np.save(path, np.concatenate(parts).astype(np.float16))
    return np.load(path, mmap_mode="r")


def reconstructions(pipe, mels, count):
    """The first `count` training clips after VAE and vocoder, int16."""
    out = []
    with torch.no_grad():
        for i in trange(0, count, 10, desc="reconstructing clips"):
            mel = torch.from_numpy(mels[i : min(i + 10, count)].astype(np.float32))[:, None]
            decoded = pipe.vae.decode(pipe.vae.encode(mel).latent_dist.sample()).sample
            out.append((pipe.vocoder(decoded[:, 0]).clamp(-1, 1) * 32767).round().short().numpy())
    return np.concatenate(out)


def matches(clips, captions):
    """Which caption fits which clip, shape (batch, batch): the same kinds, and the quality where it is named."""
    named = [next((q for q in ("average", "low", "high") if q in c.lower()), None) for c in captions]
    return torch.tensor(
        [
            [
                float(a.kinds == b.kinds and (q is None or a.quality == b.quality))
                for b, q in zip(clips, named, strict=True)
            ]
            for a in clips
        ]
    )


def train(steps, audio_only, recordings=None):
    """Run one phase and write CLAP into the checkpoint."""
    torch.manual_seed(0)
    waveforms, mels, clips = dataset.load(dataset.TRAINING, CLIPS, recordings)
    pipe = load_or_build()
    clap = pipe.text_encoder.train()
    features = [audio_features(pipe, waveforms, dataset.cached("clap-features", recordings))]
    if audio_only:
        path = dataset.cached("clap-features-reconstructed", recordings)
        again = None if path.exists() else reconstructions(pipe, mels, RECONSTRUCTED)
        features.append(audio_features(pipe, again, path))
        clap.text_model.requires_grad_(False)
        clap.text_projection.requires_grad_(False)
    optimiser = torch.optim.AdamW(
        [p for p in clap.parameters() if p.requires_grad], betas=(0.9, 0.98), weight_decay=1e-3
    )
    phase = "clap-audio" if audio_only else "clap"

    def step(i):
        rng = np.random.default_rng((30 + audio_only, i))
        source = features[i % len(features)]
        rows = np.sort(rng.choice(len(source), BATCH, replace=False))
        chosen = [clips[r] for r in rows]
        captions = [training_caption(rng, clip) for clip in chosen]
        sound = torch.from_numpy(source[rows]).float().roll(int(rng.integers(0, 241)), 2)
        words = pipe.tokenizer(captions, padding="max_length", return_tensors="pt", truncation=True)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(i, steps, 8e-4 if audio_only else 1.5e-3)
        heard = F.normalize(clap.get_audio_features(sound).pooler_output, dim=-1)
        read = F.normalize(clap.get_text_features(**words).pooler_output, dim=-1)
        logits = clap.logit_scale_a.exp().clamp(max=50) * heard @ read.T
        target = matches(chosen, captions)
        target.fill_diagonal_(1)
        loss = F.cross_entropy(logits, target / target.sum(1, keepdim=True))
        loss = loss + F.cross_entropy(logits.T, target.T / target.T.sum(1, keepdim=True))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(clap.parameters(), 1.0)
        optimiser.step()
        return {"loss": loss.item(), "top1": target[range(BATCH), logits.argmax(1)].mean().item()}

    run(phase, steps, step, {"clap": clap, "optimiser": optimiser})
    clap.eval()
    save_components(pipe, ["text_encoder"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, help="1000, and 500 in the second phase")
    parser.add_argument("--audio-only", action="store_true", help="the second phase")
    parser.add_argument("--recordings", metavar="FOLDER", help="where the recordings named in the model card lie")
    arguments = parser.parse_args()
    steps = arguments.steps or (500 if arguments.audio_only else 1000)
    train(steps, arguments.audio_only, arguments.recordings)
