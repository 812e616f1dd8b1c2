"""Build the eleven components of a pocket-size AudioLDM 2, untrained, and save or load them one by one.

The classes are those of the official checkpoints; only the sizes differ. One more thing does: the UNet predicts
velocity (`prediction_type="v_prediction"`), the official ones predict the noise. At this size the noise loss hardly
weighs the noisy half of the schedule, where the prompt decides what will be heard.
"""

import copy
import json
import math
import re
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AudioLDM2Pipeline,
    AudioLDM2ProjectionModel,
    AudioLDM2UNet2DConditionModel,
    AutoencoderKL,
    DDIMScheduler,
)
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    GPT2Config,
    GPT2LMHeadModel,
    RobertaTokenizerFast,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

from pocket.captions import training_caption
from pocket.features import MEL_BINS
from pocket.sounds import CLIP_FRAMES, SAMPLE_RATE, random_clip

CHECKPOINT = Path(__file__).parent / "checkpoint"
TEXT_TOKENS = 48  # longest prompt, in tokens of the CLAP tokenizer
WIDTH = 128  # of T5, GPT-2 and the cross-attention


def build_vae():
    """Mel spectrograms (1, T, 64) to latents (8, T / 4, 16) and back."""
    return AutoencoderKL(
        in_channels=1,
        out_channels=1,
        down_block_types=["DownEncoderBlock2D"] * 3,
        up_block_types=["UpDecoderBlock2D"] * 3,
        block_out_channels=(32, 48, 64),
        layers_per_block=1,
        latent_channels=8,
        norm_num_groups=8,
        mid_block_add_attention=False,
    )


def build_vocoder():
    """Mel spectrograms (T, 64) to T * 256 samples: HiFi-GAN's generator."""
    return SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=MEL_BINS,
            sampling_rate=SAMPLE_RATE,
            upsample_initial_channel=256,
            upsample_rates=[8, 8, 4],
            upsample_kernel_sizes=[16, 16, 8],
            resblock_kernel_sizes=[3, 7],
            resblock_dilation_sizes=[[1, 3, 5], [1, 3, 5]],
            normalize_before=True,
        )
    )


def build_clap():
    """Text and sound to one 64-wide space."""
    text = dict(
        vocab_size=800,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=TEXT_TOKENS + 2,
        pad_token_id=1,
    )
    audio = dict(
        spec_size=128,
        hidden_size=96,
        patch_embeds_hidden_size=24,
        depths=[1, 1, 2],
        num_attention_heads=[2, 4, 8],
        num_hidden_layers=3,
        window_size=4,
        num_mel_bins=64,
        patch_size=4,
        patch_stride=[4, 4],
        num_classes=2,
    )
    return ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=64))


def build_t5():
    """Prompt tokens to one 128-wide vector each."""
    return T5EncoderModel(
        T5Config(
            vocab_size=320, d_model=WIDTH, d_kv=32, d_ff=256, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu"
        )
    )


def build_language_model():
    """GPT-2: continues the projected embeddings by eight vectors."""
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=2,
            n_positions=128,
            n_embd=WIDTH,
            n_layer=2,
            n_head=4,
            max_new_tokens=8,
            bos_token_id=0,
            eos_token_id=1,
        )
    )


def build_projection():
    """Linear maps of both text encoders into GPT-2's space."""
    projection = AudioLDM2ProjectionModel(text_encoder_dim=64, text_encoder_1_dim=WIDTH, langauge_model_dim=WIDTH)
    for name in ("sos_embed", "eos_embed", "sos_embed_1", "eos_embed_1"):  # all-ones would make them alike
        torch.nn.init.normal_(getattr(projection, name), std=0.5)
    return projection


def build_unet():
    """Latents, step and text to a denoising direction; attention on the lowest level only keeps it small."""
    return AudioLDM2UNet2DConditionModel(
        sample_size=CLIP_FRAMES // 4,
        in_channels=8,
        out_channels=8,
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        block_out_channels=(64, 96, 96),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=4,  # the number of heads, in spite of its name
        cross_attention_dim=[[None, WIDTH, WIDTH]] * 3,
    )


def build_scheduler():
    """The official noise schedule with velocity prediction."""
    return DDIMScheduler(
        beta_start=0.0015,
        beta_end=0.0195,
        beta_schedule="scaled_linear",
        num_train_timesteps=1000,
        steps_offset=1,
        clip_sample=False,
        set_alpha_to_one=False,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
    )


def build_feature_extractor():
    """Waveforms to the log-mel pictures that CLAP's audio branch takes: 6 s, 241 frames."""
    return ClapFeatureExtractor(
        feature_size=64,
        sampling_rate=SAMPLE_RATE,
        hop_length=400,
        max_length_s=6,
        fft_window_size=1024,
        frequency_min=50,
        frequency_max=8000,
        truncation="rand_trunc",
        padding="repeatpad",
    )


def build_tokenizers():
    """Train both tokenizers on the captions: byte-level BPE for CLAP, whole words (else letters) for T5."""
    rng = np.random.default_rng(0)
    sentences = [training_caption(rng, random_clip(rng)) for _ in range(6000)]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        sentences, trainers.BpeTrainer(vocab_size=780, special_tokens=special, initial_alphabet=alphabet)
    )
    clap = RobertaTokenizerFast(tokenizer_object=bpe, model_max_length=TEXT_TOKENS, add_prefix_space=True)

    counts = Counter(re.findall(r"[\w'-]+", " ".join(sentences)))
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?'-▁"
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)] + [(letter, -12.0) for letter in letters]
    total = sum(counts.values())
    vocabulary += [(f"▁{word}", math.log(count / total)) for word, count in counts.most_common(500) if len(word) > 1]
    pieces = Tokenizer(models.Unigram(vocabulary, unk_id=2))
    pieces.pre_tokenizer = pre_tokenizers.Metaspace()
    t5 = T5TokenizerFast(tokenizer_object=pieces, extra_ids=0, model_max_length=TEXT_TOKENS)

    with tempfile.TemporaryDirectory() as folder:  # use them as they are after loading: loading rebuilds some parts
        clap.save_pretrained(Path(folder) / "clap")
        t5.save_pretrained(Path(folder) / "t5")
        clap = RobertaTokenizerFast.from_pretrained(Path(folder) / "clap")
        t5 = T5TokenizerFast.from_pretrained(Path(folder) / "t5")
    return clap, t5


def build_pipeline():
    """All eleven components, untrained.

    Returns
    -------
    diffusers.AudioLDM2Pipeline
        In float32 on the CPU.
    """
    clap_tokenizer, t5_tokenizer = build_tokenizers()
    return AudioLDM2Pipeline(
        vae=build_vae(),
        text_encoder=build_clap(),
        text_encoder_2=build_t5(),
        projection_model=build_projection(),
        language_model=build_language_model(),
        tokenizer=clap_tokenizer,
        tokenizer_2=t5_tokenizer,
        feature_extractor=build_feature_extractor(),
        unet=build_unet(),
        scheduler=build_scheduler(),
        vocoder=build_vocoder(),
    )


def save_components(pipe, names=None, folder=None):
    """Write components with half-precision weights that a plain `from_pretrained` loads as float32.

    Parameters
    ----------
    pipe : diffusers.AudioLDM2Pipeline
        It is left in float32.
    names : list of str, optional
        The components to write; all of them, and the list of them, without it.
    folder : str or pathlib.Path, optional
        Where the checkpoint lies, `CHECKPOINT` without it; what is there is overwritten.
    """
    folder = Path(folder or CHECKPOINT)
    for name, component in pipe.components.items():
        if names is None or name in names:
            if isinstance(component, torch.nn.Module):
                component = copy.deepcopy(component).half()
            component.save_pretrained(folder / name)
    if names is None:
        pipe.save_config(folder)
    for path in folder.glob("*/config.json"):
        config = json.loads(path.read_text())
        config.pop("_name_or_path", None)  # the folder it was loaded from, which nobody else has
        if "_class_name" not in config:
            # Otherwise transformers would load its parts as float16 and diffusers its own as float32.
            config["dtype"] = "float32"
        path.write_text(json.dumps(config, indent=2) + "\n")


def load_or_build(folder=None):
    """Load the checkpoint in float32 on the CPU; where there is none yet, write an untrained one first.

    Returns
    -------
    diffusers.AudioLDM2Pipeline
    """
    folder = Path(folder or CHECKPOINT)
    if not (folder / "model_index.json").exists():
        torch.manual_seed(0)
        save_components(build_pipeline(), folder=folder)
    pipe = AudioLDM2Pipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe
