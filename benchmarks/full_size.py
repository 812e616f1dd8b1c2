"""Build AudioLDM 2 at full size with random weights: as fast as the real one, no download, and only noise to hear.

How long a model takes depends on the shapes of its weights, not on their values. The shapes are those of the
configurations of cvssp/audioldm2 and cvssp/audioldm2-large. The tokenizers are those of the pocket checkpoint, which
cut a prompt into about as many tokens.
"""

import torch
from diffusers import (
    AudioLDM2Pipeline,
    AudioLDM2ProjectionModel,
    AudioLDM2UNet2DConditionModel,
    AutoencoderKL,
    DDIMScheduler,
)
from torch.overrides import TorchFunctionMode
from transformers import (
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    GPT2Config,
    GPT2LMHeadModel,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
    T5Config,
    T5EncoderModel,
)

from pocket.architecture import build_tokenizers

# What a transformer of each level attends to (itself, GPT-2's vectors, T5's, itself again), and its depth.
SIZES = {"full-size": ([None, 768, 1024], 1), "full-size-large": ([None, 768, 1024, None], 2)}
TOKENS = 512  # longest prompt of both official tokenizers; CLAP's pads every prompt to it
_POOL = 1 << 22  # random numbers drawn; all weights are cut from them


def build_pipeline(size="full-size"):
    """Build a pipeline with random weights.

    Parameters
    ----------
    size : str
        One of `SIZES`.

    Returns
    -------
    diffusers.AudioLDM2Pipeline
        In float32 on the CPU.

    Raises
    ------
    ValueError
        If there is no such size.
    """
    if size not in SIZES:
        raise ValueError(f"size is {size!r}, but must be one of {', '.join(map(repr, SIZES))}.")
    tokenizer, tokenizer_2 = build_tokenizers()
    tokenizer.model_max_length = tokenizer_2.model_max_length = TOKENS
    with _SkipDraws():
        models = {
            "vae": build_vae(),
            "text_encoder": ClapModel(ClapConfig(audio_config=CLAP_AUDIO)),
            "text_encoder_2": T5EncoderModel(T5Config(**T5_LARGE)),
            "projection_model": AudioLDM2ProjectionModel(512, 1024, 768),
            "language_model": GPT2LMHeadModel(GPT2Config(max_new_tokens=8)),
            "unet": build_unet(*SIZES[size]),
            "vocoder": SpeechT5HifiGan(SpeechT5HifiGanConfig(**VOCODER)),
        }
    pool = torch.randn(_POOL, generator=torch.Generator().manual_seed(0))
    for model in models.values():
        fill(model.eval(), pool)
    return AudioLDM2Pipeline(
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        feature_extractor=ClapFeatureExtractor(truncation="rand_trunc"),
        scheduler=build_scheduler(),
        **models,
    )


CLAP_AUDIO = {"patch_embeds_hidden_size": 128, "hidden_size": 1024, "depths": [2, 2, 12, 2]}
T5_LARGE = {
    "d_model": 1024,
    "d_ff": 2816,
    "d_kv": 64,
    "num_layers": 24,
    "num_heads": 16,
    "feed_forward_proj": "gated-gelu",
}
VOCODER = {
    "model_in_dim": 64,
    "sampling_rate": 16000,
    "upsample_initial_channel": 1024,
    "upsample_rates": [5, 4, 2, 2, 2],
    "upsample_kernel_sizes": [16, 16, 8, 4, 4],
    "normalize_before": False,
}


def build_vae():
    """Mel spectrograms (1, T, 64) to latents (8, T / 4, 16) and back."""
    return AutoencoderKL(
        in_channels=1,
        out_channels=1,
        down_block_types=["DownEncoderBlock2D"] * 3,
        up_block_types=["UpDecoderBlock2D"] * 3,
        block_out_channels=(128, 256, 512),
        layers_per_block=2,
        latent_channels=8,
    )


def build_unet(attends_to, depth):
    """Latents (8, T / 4, 16), step and text to a denoising direction."""
    return AudioLDM2UNet2DConditionModel(
        sample_size=256,
        in_channels=8,
        out_channels=8,
        down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * 3),
        up_block_types=(*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"),
        block_out_channels=(128, 256, 384, 640),
        layers_per_block=2,
        cross_attention_dim=[attends_to] * 4,
        transformer_layers_per_block=depth,
    )


def build_scheduler():
    """The official one: DDIM, whose UNet predicts the noise."""
    return DDIMScheduler(
        beta_start=0.0015,
        beta_end=0.0195,
        beta_schedule="scaled_linear",
        num_train_timesteps=1000,
        steps_offset=1,
        clip_sample=False,
        set_alpha_to_one=False,
    )


class _SkipDraws(TorchFunctionMode):
    """While it is active, weights are not drawn: drawing a billion numbers takes longer than building the rest."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if getattr(function, "__name__", "") in ("normal_", "uniform_", "trunc_normal_"):
            return args[0] if args else kwargs["tensor"]
        return function(*args, **(kwargs or {}))


@torch.no_grad()
def fill(model, pool):
    """Give every parameter a value that keeps signals at about their size, so that nothing overflows.

    Parameters
    ----------
    model : torch.nn.Module
    pool : torch.Tensor, shape (n,)
        Normally distributed numbers, repeated as often as needed.
    """
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()
        elif parameter.dim() < 2:
            parameter.fill_(1)
        else:
            flat, scale = parameter.view(-1), 0.7 * parameter[0].numel() ** -0.5
            for start in range(0, len(flat), len(pool)):
                part = flat[start : start + len(pool)]
                torch.mul(pool[: len(part)], scale, out=part)
