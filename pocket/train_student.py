"""Distil the UNet into a student that does in one step or two what the pipeline does in twenty with guidance.

The teacher goes whole paths from noise to clean, with guidance and negative prompt. The student begins as its copy, and
learns to tell from a point of a path where it ends, in one call, without guidance: from the start of the path as Luhman
and Luhman, "Knowledge distillation in iterative generative models", 2021; from more points it is the consistency
function of Song et al., "Consistency models", 2023; with guidance folded in, at one fixed scale, as Meng et al., "On
distillation of guided diffusion models", 2023. No sounds are needed, only prompts.
"""

import argparse

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler
from tqdm.auto import trange

from helpers.topics.distilling import follow
from pocket import dataset
from pocket.architecture import CHECKPOINT, build_unet, load_or_build
from pocket.captions import caption
from pocket.sounds import random_clip
from pocket.stage import learning_rate, mixed_precision, run

STUDENT = CHECKPOINT.parent / "student"
PATHS, BATCH = 1600, 8  # the paths of a batch stay together
STEPS = 20  # of a path
LEARNED = 5  # every fifth point of it: where sampling in one, two or four steps comes by
NEGATIVE = "Low quality, average quality."


def path(pipe, number):
    """Let the teacher go a batch of paths, or read them if it has.

    Parameters
    ----------
    pipe : diffusers.AudioLDM2Pipeline
        With DPM++.
    number : int
        Of the batch: its seed.

    Returns
    -------
    noisy : torch.Tensor, shape (batch, points, 8, 80, 16), float16
    end : torch.Tensor, shape (batch, 8, 80, 16), float32
    texts : dict of str to torch.Tensor
        What the UNet is told of the prompts.
    """
    file = dataset.CACHE / "paths" / f"{number}.pt"
    if not file.exists():
        rng = np.random.default_rng((60, number))
        prompts = [caption(rng, random_clip(rng), quality_words=rng.random() < 0.3) for _ in range(BATCH)]
        settings = {"num_inference_steps": STEPS, "generator": torch.Generator().manual_seed(number)}
        with mixed_precision():
            points = follow(pipe, prompts, LEARNED, negative_prompt=[NEGATIVE] * BATCH, **settings)
        noisy, _, texts, end = zip(*points, strict=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save((torch.stack(noisy, 1).half(), end[0], texts[0]), file.with_suffix(".tmp"))
        file.with_suffix(".tmp").replace(file)
    return torch.load(file, weights_only=True)


def train(steps):
    """Run the stage and write the student in half precision."""
    torch.manual_seed(0)
    pipe = load_or_build()
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config, timestep_spacing="trailing")
    pipe.unet.to(memory_format=torch.channels_last)
    paths = [path(pipe, number) for number in trange(PATHS // BATCH, desc="the teacher's paths")]
    pipe.scheduler.set_timesteps(STEPS)
    timesteps, alphas = pipe.scheduler.timesteps[::LEARNED], pipe.scheduler.alphas_cumprod
    student = build_unet().to(memory_format=torch.channels_last)
    student.load_state_dict(pipe.unet.state_dict())
    optimiser = torch.optim.AdamW(student.parameters(), betas=(0.9, 0.99))

    def step(i):
        rng = np.random.default_rng((61, i))
        noisy, end, texts = paths[rng.integers(len(paths))]
        points = torch.from_numpy(rng.integers(0, len(timesteps), BATCH))
        noisy, t = noisy[range(BATCH), points].float(), timesteps[points]
        with mixed_precision():
            velocity = student(noisy.contiguous(memory_format=torch.channels_last), t, **texts).sample.float()
        signal, noise = (share.sqrt().view(-1, 1, 1, 1) for share in (alphas[t], 1 - alphas[t]))
        error = (signal * noisy - noise * velocity - end).square().flatten(1).mean(1)
        loss = (error + 1e-3).sqrt().mean()  # each clip counts alike, however far it is from its end
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(i, steps, 2e-4, warmup=20)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimiser.step()
        return {"loss": loss.item()}

    run("student", steps, step, {"student": student, "optimiser": optimiser})
    student.half().save_pretrained(STUDENT)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    train(parser.parse_args().steps)
