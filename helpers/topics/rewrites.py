"""Rewrites of components of AudioLDM 2, for which diffusers has no switch. Lossless unless the text says otherwise."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

T5_TOKENS = 32  # the lean text path pads to a multiple of it, so that a compiled UNet meets few lengths


class Conv2dTwin(nn.Module):
    """A `Conv1d` or `ConvTranspose1d` as a two-dimensional layer over a height of one, channels last in memory.

    The same sums; but torch has channels_last for pictures only.

    Parameters
    ----------
    layer : torch.nn.Conv1d or torch.nn.ConvTranspose1d
    """

    def __init__(self, layer):
        super().__init__()
        kind = nn.Conv2d if isinstance(layer, nn.Conv1d) else nn.ConvTranspose2d
        sizes = {"stride": (1, *layer.stride), "padding": (0, *layer.padding), "dilation": (1, *layer.dilation)}
        self.twin = kind(layer.in_channels, layer.out_channels, (1, *layer.kernel_size), device="meta", **sizes)
        self.twin.load_state_dict({"weight": layer.weight.detach()[:, :, None], "bias": layer.bias}, assign=True)
        self.twin.requires_grad_(False).to(memory_format=torch.channels_last)

    def forward(self, x):
        """Compute what the layer computes: (clips, channels, samples) in, (clips, channels, samples) out."""
        return self.twin(x[:, :, None])[:, :, 0]


def vocoder_in_2d(vocoder):
    """Copy a vocoder, with every one-dimensional convolution as a `Conv2dTwin`.

    Parameters
    ----------
    vocoder : transformers.SpeechT5HifiGan
        Left as it is.

    Returns
    -------
    transformers.SpeechT5HifiGan
    """
    kinds = nn.Conv1d | nn.ConvTranspose1d
    twins = {id(layer): Conv2dTwin(layer) for layer in vocoder.modules() if isinstance(layer, kinds)}
    return copy.deepcopy(vocoder, twins)  # what the second argument holds is taken in place of a copy


class LeanText:
    """Stands in for a pipeline's `encode_prompt`, and skips text work that changes nothing.

    CLAP pads every prompt to the longest that it takes: here only to the prompt's own length. GPT-2's last layer scores
    every word that it knows (50,257 in the official checkpoints), and the pipeline drops the scores: it is left out. A
    negative prompt is encoded once for every length of a prompt: the pipeline cuts or pads it to the prompt's.
    In the end, T5's vectors are padded, and masked, to a multiple of `T5_TOKENS`.

    Parameters
    ----------
    pipe : diffusers.AudioLDM2Pipeline
        Use it as in `pipe.encode_prompt = LeanText(pipe)`; its language model loses its last layer at once.
    """

    def __init__(self, pipe):
        self.pipe, self.encode, self.negatives = pipe, pipe.encode_prompt, {}
        self.head = pipe.language_model.lm_head
        pipe.language_model.lm_head = nn.Identity()

    def remove(self):
        """Put the pipeline back as it was."""
        self.pipe.language_model.lm_head = self.head
        del self.pipe.encode_prompt

    @torch.no_grad()
    def __call__(self, prompt, device, count, guided, transcription=None, negative_prompt=None, **embeds):
        """Encode one guided prompt the short way, anything else the usual way; arguments and result as upstream's."""
        if not isinstance(prompt, str) or count != 1 or not guided:
            return self.encode(prompt, device, count, guided, transcription, negative_prompt, **embeds)
        positive = self._short([prompt], prompt, device, False, None)
        key = (negative_prompt, positive[0].shape[1], positive[0].dtype)
        if key not in self.negatives:
            both = self._short([prompt, negative_prompt or ""], prompt, device, True, negative_prompt)
            self.negatives[key] = [rows[:1] for rows in both]  # the negative prompt comes first
        t5, mask, gpt2 = (torch.cat(pair) for pair in zip(self.negatives[key], positive, strict=True))
        missing = -t5.shape[1] % T5_TOKENS
        return F.pad(t5, (0, 0, 0, missing)), F.pad(mask, (0, missing)), gpt2

    def _short(self, texts, prompt, device, guided, negative_prompt):
        """Encode while CLAP's limit is lowered to the longest of `texts`."""
        tokenizer = self.pipe.tokenizer
        limit = tokenizer.model_max_length
        longest = max(map(len, tokenizer(texts, truncation=True, max_length=limit).input_ids))
        tokenizer.model_max_length = longest
        try:
            return self.encode(prompt, device, 1, guided, None, negative_prompt)
        finally:
            tokenizer.model_max_length = limit


class PartGuidance(nn.Module):
    """Takes the place of a UNet, and leaves guidance out of some steps: those then compute half of the batch.

    Lossy. With two equal halves the pipeline's formula of guidance gives that half, whatever the guidance scale.
    Guidance on part of the schedule: Kynkäänniemi et al., "Applying guidance in a limited interval", 2024.

    Parameters
    ----------
    unet : diffusers.AudioLDM2UNet2DConditionModel, or a module that takes its place
    guided : callable
        Told the time step, from 999 (all noise) down to 0, it says whether guidance is on.
    keep : bool
        Where guidance is off, add what it added at the last guided step, in place of nothing.
    """

    def __init__(self, unet, guided, keep=False):
        super().__init__()
        self.unet, self.guided, self.keep, self.gap = unet, guided, keep, 0

    def forward(self, sample, timestep, **inputs):
        """Predict for a guided batch: its first half without the prompt, its second half with it."""
        if self.guided(timestep):
            (prediction,) = self.unet(sample, timestep, **inputs)
            unprompted, prompted = prediction.chunk(2)
            self.gap = prompted - unprompted if self.keep else 0
            return (prediction,)
        half = slice(len(sample) // 2, None)
        inputs = {name: value[half] if torch.is_tensor(value) else value for name, value in inputs.items()}
        (prompted,) = self.unet(sample[half], timestep, **inputs)
        return (torch.cat([prompted - self.gap, prompted]),)

    def __getattr__(self, name):
        """Whatever else the pipeline asks a UNet for, such as `config`, is the UNet's."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("unet"), name)
