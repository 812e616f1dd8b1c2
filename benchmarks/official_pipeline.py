"""A whole pipeline of the official shapes, with random weights: as fast as the real one, only noise to hear."""

from diffusers import AudioLDM2Pipeline, AudioLDM2ProjectionModel, AutoencoderKL, DDIMScheduler
from torch.overrides import TorchFunctionMode
from transformers import (
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    GPT2Config,
    GPT2LMHeadModel,
    RobertaTokenizer,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

from helpers.checkpoints import POCKET
from helpers.official import build_unet, fill

_TOKENS = 512  # the longest prompt that the official tokenizers take; CLAP's pads every prompt to it


def build_pipeline(size="base", width=1.0):
    """Build a whole pipeline of official shape with random weights.

    The tokenizers are those of the course's small checkpoint, which cut a prompt into about as many tokens.

    Parameters
    ----------
    size : str
        "base" or "large".
    width : float
        As in `helpers.official_unet`.

    Returns
    -------
    diffusers.AudioLDM2Pipeline
        In float32 on the CPU.
    """

    def of(channels):
        return round(channels * width)

    tokenizer = RobertaTokenizer.from_pretrained(POCKET, subfolder="tokenizer")
    tokenizer_2 = T5TokenizerFast.from_pretrained(POCKET, subfolder="tokenizer_2")
    tokenizer.model_max_length = tokenizer_2.model_max_length = _TOKENS
    heads = max(1, of(16))
    clap_audio = {"patch_embeds_hidden_size": of(128), "hidden_size": of(1024), "depths": [2, 2, 12, 2]}
    clap_text = {"hidden_size": of(768), "intermediate_size": of(3072), "num_attention_heads": max(1, of(12))}
    if width < 1:
        clap_audio |= {"num_attention_heads": [1, 1, 2, 4]}
    t5 = {"d_model": of(1024), "d_ff": of(2816), "d_kv": 64, "num_layers": 24, "num_heads": heads}
    vocoder = {
        "model_in_dim": 64,
        "sampling_rate": 16000,
        "upsample_initial_channel": of(1024),
        "upsample_rates": [5, 4, 2, 2, 2],
        "upsample_kernel_sizes": [16, 16, 8, 4, 4],
        "normalize_before": False,
    }
    with _SkipDraws():
        models = {
            "vae": AutoencoderKL(
                in_channels=1,
                out_channels=1,
                down_block_types=["DownEncoderBlock2D"] * 3,
                up_block_types=["UpDecoderBlock2D"] * 3,
                block_out_channels=(of(128), of(256), of(512)),
                layers_per_block=2,
                latent_channels=8,
                norm_num_groups=min(32, of(128)),
            ),
            "text_encoder": ClapModel(
                ClapConfig(text_config=clap_text, audio_config=clap_audio, projection_dim=of(512))
            ),
            "text_encoder_2": T5EncoderModel(T5Config(feed_forward_proj="gated-gelu", **t5)),
            "projection_model": AudioLDM2ProjectionModel(of(512), of(1024), of(768)),
            "language_model": GPT2LMHeadModel(GPT2Config(n_embd=of(768), n_head=max(1, of(12)), max_new_tokens=8)),
            "unet": build_unet(size, width),
            "vocoder": SpeechT5HifiGan(SpeechT5HifiGanConfig(**vocoder)),
        }
    fill(models.values())
    scheduler = DDIMScheduler(
        beta_start=0.0015,
        beta_end=0.0195,
        beta_schedule="scaled_linear",
        num_train_timesteps=1000,
        steps_offset=1,
        clip_sample=False,
        set_alpha_to_one=False,
    )
    return AudioLDM2Pipeline(
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        feature_extractor=ClapFeatureExtractor(truncation="rand_trunc"),  # 48 kHz, 10 s
        scheduler=scheduler,
        **models,
    )


class _SkipDraws(TorchFunctionMode):
    """While it is active, weights are not drawn: drawing a billion numbers takes longer than building the rest."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if getattr(function, "__name__", "") in ("normal_", "uniform_", "trunc_normal_"):
            return args[0] if args else kwargs["tensor"]
        return function(*args, **(kwargs or {}))
