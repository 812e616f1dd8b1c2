"""What a student learns from and is judged by: its teacher's paths, prompts, and how well clips fit them."""

from types import SimpleNamespace

import numpy as np
import torch

from helpers.official import unet_step
from helpers.quality import clap_scores
from helpers.topics.rewrites import PartGuidance

_SINGLE = (
    *("samba drums", "techno music", "church bells", "birds singing", "a siren", "footsteps", "a steady tone"),
    *("a clock ticking", "a steam train", "frogs croaking", "waves", "rain", "wind", "crickets"),
)
PROMPTS = (*_SINGLE * 2, *(f"{a} with {b} in the background" for a in _SINGLE[:-4] for b in _SINGLE[-4:]))
TEST_PROMPTS = (  # one of each kind, in other words
    *("A samba band drumming", "A club beat with bass and hi-hats", "A bell tolling", "Songbirds calling"),
    *("An ambulance", "A person walking", "A sine wave", "The tick tock of a watch", "An old locomotive", "A bullfrog"),
    *("The surf of the ocean", "A shower on leaves", "A windy storm", "Insects chirping at night"),
)


@torch.no_grad()
def follow(pipe, prompts, every, **settings):
    """Let a pipeline make latents for some prompts, with guidance, and note where it passes.

    Parameters
    ----------
    pipe : diffusers.AudioLDM2Pipeline
    prompts : list of str
    every : int
        Every so manieth step is noted, from the first on.
    **settings
        Of the pipeline's call.

    Returns
    -------
    list of (torch.Tensor, torch.Tensor, dict of str to torch.Tensor, torch.Tensor)
        For each point: noisy latents, time step, what the UNet is told of the prompts, and the latents (float32) at the
        end of the path, which are the same for all points.
    """
    points = []

    def note(unet, inputs, named):
        texts = {name: value.chunk(2)[1] for name, value in named.items() if torch.is_tensor(value)}
        points.append((inputs[0].chunk(2)[1].float(), inputs[1], texts))  # the second half is that with the prompt

    hook = pipe.unet.register_forward_pre_hook(note, with_kwargs=True)
    try:
        end = pipe(prompts, output_type="latent", **settings).audios.float()
    finally:
        hook.remove()
    return [(*point, end) for point in points[::every]]


def one_row_step(unet, seconds=None):
    """Prepare one call of a UNet as `helpers.unet_step` does, but with one row, as it is without guidance."""
    return unet_step(SimpleNamespace(unet=PartGuidance(unet, guided=lambda timestep: False)), seconds)


def fit(pipe, prompts, generate, **settings):
    """Say how well clips fit their prompts: the mean CLAP score with its standard error.

    Parameters
    ----------
    pipe : diffusers.AudioLDM2Pipeline
        Whose CLAP scores.
    prompts : sequence of str
    generate : callable
        Given `prompt` and the `settings`, it returns a clip.

    Returns
    -------
    str
    """
    scores = [clap_scores(pipe, prompt, [generate(prompt=prompt, **settings)])[0] for prompt in prompts]
    return f"{np.mean(scores):.3f} ± {np.std(scores) / len(scores) ** 0.5:.3f}"
