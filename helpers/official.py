"""One denoising step, alone, and the official shapes of AudioLDM 2 to run it at, with random weights.

How long a model takes depends on the shapes of its weights, not on their values: this one is as fast as the real one,
needs no download, and makes only noise. The shapes are those of the configurations of
cvssp/audioldm2 and cvssp/audioldm2-large.
"""

import math

import torch
from diffusers import AudioLDM2UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor

from helpers.devices import best_device, free_memory

# What the transformers of a layer attend to (itself, GPT-2's vectors, T5's, itself again), and their depth.
SIZES = {"base": ([None, 768, 1024], 1), "large": ([None, 768, 1024, None], 2)}
SECONDS = 10.24  # of a clip of the usual length
PARAMETERS = {  # of cvssp/audioldm2, in millions
    "text_encoder": 193.9, "text_encoder_2": 341.2, "projection_model": 1.2, "language_model": 124.4,
    "unet": 346.9, "vae": 55.4, "vocoder": 55.3,
}  # fmt: skip
TEXT_TOKENS = 16  # T5 vectors of a step's text: about a sentence
_POOL = 1 << 22  # random numbers drawn; all weights are cut from them


def official_unet(dtype=torch.float32, device=None, width=1.0):
    """Build the UNet of cvssp/audioldm2 with random weights, in seconds and without a download.

    Its speed is that of the real one, because speed depends on shapes and not on values. What it says is noise.

    Parameters
    ----------
    dtype : torch.dtype
    device : str or torch.device, optional
        By default the one that `helpers.best_device` names.
    width : float
        Share of the official number of channels. Tests take an eighth.

    Returns
    -------
    diffusers.AudioLDM2UNet2DConditionModel
        346.9 million parameters at full width; `helpers.unet_step` runs it.

    Raises
    ------
    MemoryError
        If less memory is free than its weights and one step need.
    """
    device = torch.device(device or best_device())
    need = 2e6 * PARAMETERS["unet"] * width**2 * dtype.itemsize  # one step needs less than its weights
    free, _ = free_memory(device)
    if need > free:
        raise MemoryError(
            f"The official UNet needs {need / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free on {device}: "
            "close other programs and notebooks, or take a smaller width."
        )
    with torch.device("meta"):  # in float32 it takes no memory, and no weights are drawn
        unet = build_unet("base", width)
    unet = torch.nn.Module.to(unet, dtype).to_empty(device=device)  # diffusers' own `to` warns without a cause
    fill([unet])
    return unet


def build_unet(size="base", width=1.0):
    """Build a UNet of official shape, with weights as diffusers draws them.

    Parameters
    ----------
    size : str
        "base" or "large".
    width : float
        As in `official_unet`.

    Returns
    -------
    diffusers.AudioLDM2UNet2DConditionModel
    """
    attends_to, depth = SIZES[size]
    channels = [round(c * width) for c in (128, 256, 384, 640)]
    return AudioLDM2UNet2DConditionModel(
        sample_size=256,
        in_channels=8,
        out_channels=8,
        down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * 3),
        up_block_types=(*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"),
        block_out_channels=channels,
        norm_num_groups=min(32, channels[0]),
        layers_per_block=2,
        cross_attention_dim=[[dim and round(dim * width) for dim in attends_to]] * 4,
        transformer_layers_per_block=depth,
    )


@torch.no_grad()
def fill(models):
    """Give every parameter a value that keeps signals at about their size, so that nothing overflows."""
    pool = torch.randn(_POOL, generator=torch.Generator().manual_seed(0))
    for name, parameter in (named for model in models for named in model.eval().named_parameters()):
        if name.endswith("bias"):
            parameter.zero_()
        elif parameter.dim() < 2:
            parameter.fill_(1)
        else:
            flat, scale = parameter.view(-1), 0.7 * parameter[0].numel() ** -0.5
            for start in range(0, len(flat), len(pool)):
                part = flat[start : start + len(pool)]
                part.copy_(pool[: len(part)] * scale)


def unet_step(model, seconds=None):
    """Prepare one call of a UNet as the pipeline makes it in every guided step, on random numbers.

    Parameters
    ----------
    model : diffusers.AudioLDM2Pipeline or diffusers.AudioLDM2UNet2DConditionModel
        A pipeline, whose UNet at the moment of each call is run, or a UNet alone, such as that of
        `helpers.official_unet`.
    seconds : float, optional
        Length of the clip; by default the one that the model was made for. A UNet alone counts as an official one.

    Returns
    -------
    callable
        Without arguments. It runs the UNet once, on inputs that are on the device already, and returns what the UNet
        predicts for the unguided and the guided half of the batch: torch.Tensor, shape (2, channels, time, frequency).
        On a CPU it raises MemoryError if the scores of vanilla attention would not fit into main memory: the operating
        system might end the whole process instead.
    """
    unet = getattr(model, "unet", model)
    config, generator = unet.config, torch.Generator("cpu").manual_seed(0)
    usual = getattr(model, "natural_length", SECONDS)
    rows = math.ceil(config.sample_size * (seconds or usual) / usual)
    bands = model.vocoder.config.model_in_dim // model.vae_scale_factor if hasattr(model, "vocoder") else 16
    _, gpt2, t5 = config.cross_attention_dim[-1][:3]
    device, dtype = unet.device, unet.dtype
    level = [name.startswith("CrossAttn") for name in config.down_block_types].index(True)
    scores = 2 * config.attention_head_dim * (rows * bands // 4**level) ** 2  # of the largest layer
    need = 2 * scores * dtype.itemsize  # scores and shares at once

    def random(*shape):
        return torch.randn(shape, generator=generator).to(device, dtype)

    sample = random(2, config.in_channels, rows, bands)
    timestep = torch.tensor(500, device=device)  # one of the time steps, in the middle
    texts = {
        "encoder_hidden_states": random(2, 8, gpt2),
        "encoder_hidden_states_1": random(2, TEXT_TOKENS, t5),
        "encoder_attention_mask_1": torch.ones(2, TEXT_TOKENS, device=device, dtype=torch.long),
    }

    @torch.no_grad()
    def step():
        unet = getattr(model, "unet", model)
        if device.type == "cpu" and need > 1e9 and need > 0.8 * free_memory(device)[0]:
            if any(type(processor) is AttnProcessor for processor in unet.attn_processors.values()):
                raise MemoryError(f"The scores of vanilla attention would take {need / 1e9:.1f} GB.")
        return unet(sample, timestep, **texts, return_dict=False)[0]

    step.models = [unet]
    return step
