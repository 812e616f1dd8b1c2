"""Train the diffusion stage: T5, projection, GPT-2 and UNet together, on the latents of a trained VAE.

CLAP's text side is frozen. The text path is the pipeline's own `encode_prompt`, so training and inference see the same.
"""

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import AttnProcessor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import trange

from pocket import dataset
from pocket.architecture import load_or_build, save_components
from pocket.captions import training_caption
from pocket.stage import learning_rate, mixed_precision, run

CLIPS, BATCH, CROP = 5000, 16, 48
# Share of captions left out, for guidance: more of the good clips', so that the empty text is far from "low quality".
EMPTY = {"high": 0.14, "average": 0.08, "low": 0.06}
PARTS = ("text_encoder_2", "projection_model", "language_model", "unet")


def cached_latents(pipe, mels, path):
    """Mean and standard deviation of every clip's latent, shape (clips, 2, 8, 80, 16), scaled to a variance of one."""
    if not path.exists():
        parts = []
        with torch.no_grad():
            for i in trange(0, len(mels), 20, desc="encoding latents"):
                posterior = pipe.vae.encode(torch.from_numpy(mels[i : i + 20].astype(np.float32))[:, None]).latent_dist
                parts.append(torch.stack([posterior.mean, posterior.std], 1).half().numpy())
        np.save(path, np.concatenate(parts))
    return np.load(path, mmap_mode="r"), pipe.vae.config.scaling_factor


def train(steps, recordings=None):
    """Run the stage and write its four components, averaged over the last thousand steps or so, into the checkpoint."""
    torch.manual_seed(0)
    _, mels, clips = dataset.load(dataset.TRAINING, CLIPS, recordings)
    pipe = load_or_build()
    latents, scale = cached_latents(pipe, mels, dataset.cached("latents", recordings))
    pipe.text_encoder.requires_grad_(False)
    pipe.unet.to(memory_format=torch.channels_last)
    pipe.unet.set_attn_processor(AttnProcessor())  # for sequences this short, quicker backwards than SDPA on a CPU
    model = torch.nn.ModuleDict({name: getattr(pipe, name) for name in PARTS}).train()
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999))
    text = [p for name in PARTS[:3] for p in model[name].parameters()]
    optimiser = torch.optim.AdamW(
        [{"params": list(model["unet"].parameters()), "peak": 1.2e-3}, {"params": text, "peak": 6e-4}],
        betas=(0.9, 0.98),
        weight_decay=1e-2,
    )

    def step(i):
        rng = np.random.default_rng((40, i))
        torch.manual_seed(i)
        rows = rng.integers(0, len(latents), BATCH)
        length = CROP if i % 2 else latents.shape[3]  # clips of two lengths, so that others work too
        start = int(rng.integers(0, latents.shape[3] - length + 1))
        mean, std = torch.from_numpy(latents[rows][:, :, :, start : start + length]).float().unbind(1)
        clean = scale * (mean + std * torch.randn_like(mean))
        chosen = [clips[r] for r in rows]
        captions = ["" if rng.random() < EMPTY[clip.quality] else training_caption(rng, clip) for clip in chosen]
        noise = torch.randn_like(clean)
        t = (torch.randperm(BATCH) + torch.rand(BATCH)) / BATCH
        t = torch.where(t < 0.5, 1400 * t, 400 + 600 * t).long()  # half of them from 700 on: there the prompt decides
        embeds, mask, generated = pipe.encode_prompt(captions, "cpu", 1, do_classifier_free_guidance=False)
        noisy = pipe.scheduler.add_noise(clean, noise, t).contiguous(memory_format=torch.channels_last)
        with mixed_precision():
            predicted = pipe.unet(
                noisy, t, encoder_hidden_states=generated, encoder_hidden_states_1=embeds, encoder_attention_mask_1=mask
            ).sample
        loss = F.mse_loss(predicted.float(), pipe.scheduler.get_velocity(clean, noise, t))
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(i, steps, group["peak"], warmup=200)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        average.update_parameters(model)
        if (i + 1) % 500 == 0 or i + 1 == steps:
            for name in PARTS:
                pipe.register_modules(**{name: average.module[name]})
            save_components(pipe, PARTS)
            for name in PARTS:
                pipe.register_modules(**{name: model[name]})
        return {"loss": loss.item()}

    run("diffusion", steps, step, {"model": model, "average": average, "optimiser": optimiser})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--recordings", metavar="FOLDER", help="where the recordings named in the model card lie")
    train(**vars(parser.parse_args()))
