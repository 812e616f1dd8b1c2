"""Faster stand-ins for parts of an AudioLDM 2 pipeline: each gives what the part gives, unless its text says other."""

import math
from contextlib import contextmanager

import torch
import torch.ao.quantization.fx._decomposed  # registers the operations that `Int8` uses  # noqa: F401
import torch.nn.functional as F
from torch import nn

T5_TOKENS = 32  # prompts are padded to a multiple of it, so that a compiled UNet meets few lengths


class LeanText:
    """Stands in for a pipeline's `encode_prompt`, and leaves out what does not change the result.

    CLAP pads every prompt to the longest that it takes: here to the prompt's own length. GPT-2 computes scores of
    50,257 words that nobody reads: its head is left out. A negative prompt is encoded once for every length of a
    prompt (the pipeline cuts or pads it to the prompt's, and GPT-2 sees where the padding ends). T5's vectors are
    padded, and masked, to a fixed length after all that, so that the UNet always meets the same shapes.

    Parameters
    ----------
    pipe : diffusers.AudioLDM2Pipeline
        Its language model loses its head.
    """

    def __init__(self, pipe):
        self.pipe, self.encode, self.negatives = pipe, pipe.encode_prompt, {}
        self.head = pipe.language_model.lm_head
        pipe.language_model.lm_head = nn.Identity()

    def remove(self):
        """Put the pipeline back as it was."""
        self.pipe.language_model.lm_head = self.head
        del self.pipe.encode_prompt

    def __call__(self, prompt, device, count, guided, transcription=None, negative_prompt=None, **embeds):
        """Encode one prompt, or pass on what was encoded before; arguments and result as upstream's."""
        if prompt is None or not guided or count != 1 or not isinstance(prompt, str):
            return self.encode(prompt, device, count, guided, transcription, negative_prompt, **embeds)
        positive = self._short(prompt, prompt, device, False, None)
        key = (negative_prompt, positive[0].shape[1], positive[0].dtype)
        if key not in self.negatives:
            both = self._short([prompt, negative_prompt or ""], prompt, device, True, negative_prompt)
            self.negatives[key] = [part[:1] for part in both]
        t5, mask, gpt2 = (torch.cat(pair) for pair in zip(self.negatives[key], positive, strict=True))
        missing = -t5.shape[1] % T5_TOKENS
        return F.pad(t5, (0, 0, 0, missing)), F.pad(mask, (0, missing)), gpt2

    def _short(self, texts, prompt, device, guided, negative_prompt):
        """Encode with CLAP's limit lowered to the longest of `texts`, for so long."""
        tokenizer = self.pipe.tokenizer
        limit = tokenizer.model_max_length
        longest = tokenizer(texts, padding="longest", truncation=True, max_length=limit, return_tensors="pt")
        tokenizer.model_max_length = longest.input_ids.shape[1]
        try:
            return self.encode(prompt, device, 1, guided, negative_prompt=negative_prompt)
        finally:
            tokenizer.model_max_length = limit


@torch.library.custom_op("audioldm2::matmul_attention", mutates_args=())
def matmul_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Attention as it is written down: scores, softmax, weighted sum.

    An operation of its own, so that `torch.compile` leaves it as it is: the softmax that inductor makes for half
    precision on a CPU is slower than torch's.

    Parameters
    ----------
    query, key, value : torch.Tensor, shape (batch times heads, tokens, channels of a head)

    Returns
    -------
    torch.Tensor, the shape of `query`
    """
    scores = torch.bmm(query * query.shape[-1] ** -0.5, key.transpose(1, 2))
    return torch.bmm(scores.softmax(-1), value)


@matmul_attention.register_fake
def _(query, key, value):
    return query.new_empty(query.shape)


class MatmulAttnProcessor:
    """A processor for the layers of a UNet that computes self-attention by `matmul_attention`.

    Torch's fused kernel saves memory, which is why it was made; on a CPU without matrix units it reaches only a part of
    the speed of plain half-precision matrix products. Cross-attention, with its few keys and its mask, stays fused.
    """

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **unused):
        """Compute what diffusers' `AttnProcessor2_0` and `FusedAttnProcessor2_0` compute."""
        batch, text = len(hidden_states), encoder_hidden_states
        if text is None and attn.fused_projections:
            parts = attn.to_qkv(hidden_states).chunk(3, -1)
        elif attn.fused_projections:
            parts = attn.to_q(hidden_states), *attn.to_kv(text).chunk(2, -1)
        else:
            source = hidden_states if text is None else text
            parts = attn.to_q(hidden_states), attn.to_k(source), attn.to_v(source)
        query, key, value = (part.unflatten(2, (attn.heads, -1)).transpose(1, 2) for part in parts)
        if text is None:
            merged = (part.flatten(0, 1) for part in (query, key, value))
            out = matmul_attention(*merged).unflatten(0, (batch, attn.heads))
        else:
            if attention_mask is not None:
                attention_mask = attn.prepare_attention_mask(attention_mask, key.shape[2], batch)
                attention_mask = attention_mask.unflatten(0, (batch, attn.heads))
            out = F.scaled_dot_product_attention(query, key, value, attn_mask=attention_mask)
        return attn.to_out[1](attn.to_out[0](out.transpose(1, 2).flatten(2)))


class StagedUNet(nn.Module):
    """A UNet in two parts, of which some steps leave something out.

    The shell works on the finest level: it turns the latents into features, and features into the prediction. The core
    is all between, most of the work. By default every step runs both parts on both halves of the batch, the unguided
    and the guided one, and the result is the UNet's own.

    Parameters
    ----------
    unet : diffusers.AudioLDM2UNet2DConditionModel
        Its finest level has no attention.
    one_by_one : bool
        Run the two halves of the batch one after the other. On a CPU that takes about as long, and one compiled graph
        serves guided and unguided steps.

    Attributes
    ----------
    guidance : callable
        Told step and steps, it says whether the unguided half is computed. Without it, what guidance added at the last
        guided step is added again if `keep_guidance`, otherwise nothing is: the pipeline's formula
        then gives the guided half alone, whatever its scale.
    core_every : int
        The core runs at every so manieth step; in between its last output is used again (Ma et al., "DeepCache", 2024).
    rows : dict of str to int
        How many rows of a batch went through "shell" and "core" since `start`.
    """

    def __init__(self, unet, one_by_one):
        super().__init__()
        if hasattr(unet.down_blocks[0], "attentions") or hasattr(unet.up_blocks[-1], "attentions"):
            raise ValueError("The UNet has attention on its finest level, where it would be cut in two.")
        self.unet, self.one_by_one = unet, one_by_one
        self.guidance, self.keep_guidance, self.core_every = None, False, 1
        self.enter, self.core, self.leave = self._enter, self._core, self._leave
        self.start(0)

    @property
    def config(self):
        """The UNet's."""
        return self.unet.config

    @property
    def dtype(self):
        """The UNet's."""
        return self.unet.dtype

    @property
    def device(self):
        """The UNet's."""
        return self.unet.device

    def start(self, steps):
        """Begin a clip of so many steps."""
        self.steps, self.step = steps, 0
        self.rows = {"shell": 0, "core": 0}
        self.features = self.gap = None

    def compile(self, **settings):
        """Compile both parts; `settings` are `torch.compile`'s."""
        for name in ("enter", "core", "leave"):
            setattr(self, name, torch.compile(getattr(self, f"_{name}"), fullgraph=True, dynamic=False, **settings))

    def uncompile(self):
        """Run both parts eagerly again."""
        self.enter, self.core, self.leave = self._enter, self._core, self._leave

    def forward(
        self,
        sample,
        timestep,
        encoder_hidden_states,
        encoder_hidden_states_1=None,
        encoder_attention_mask_1=None,
        return_dict=False,
    ):
        """Predict for a guided batch, first half without the prompt, second half with it."""
        factor = 2**self.unet.num_upsamplers
        if sample.shape[2] % factor or sample.shape[3] % factor:
            raise ValueError(f"The latents are {tuple(sample.shape[2:])}: both must be multiples of {factor}.")
        half, step = len(sample) // 2, self.step
        self.step += 1
        guided = self.guidance is None or self.guidance(step, self.steps)
        with_core = self.features is None or step % self.core_every == 0
        texts = encoder_hidden_states, encoder_hidden_states_1, encoder_attention_mask_1
        timestep = torch.as_tensor(timestep, device=sample.device).reshape(1)

        if with_core and self.core_every > 1 and self.features is None:
            self.features = [None] * len(sample)

        def predict(begin, end):
            rows = slice(begin, end)
            return self._predict(rows, sample, timestep, texts, with_core)

        if not guided:
            prompted = predict(half, 2 * half)
            plain = prompted if self.gap is None or not self.keep_guidance else prompted - self.gap
        elif self.one_by_one:
            plain, prompted = predict(0, half), predict(half, 2 * half)
        else:
            plain, prompted = predict(0, 2 * half).split(half)
        if guided:
            self.gap = prompted - plain
        return (torch.cat([plain, prompted]),)

    def _predict(self, rows, sample, timestep, texts, with_core):
        if sample.device.type == "cuda":
            torch.compiler.cudagraph_mark_step_begin()
        sample, texts = sample[rows], [None if text is None else text[rows] for text in texts]
        embedding, *skips, below = self.enter(sample, timestep)
        self.rows["shell"] += len(sample)
        if with_core:
            features = self.core(below, embedding, *texts)
            self.rows["core"] += len(sample)
            if self.core_every > 1:  # cloned, because a CUDA graph's output is overwritten by its next run
                self.features[rows] = features.clone().split(1)
        else:
            features = torch.cat(self.features[rows])
        return self.leave(features, embedding, *skips).clone()

    def _enter(self, sample, timestep):
        unet = self.unet
        embedding = unet.time_embedding(unet.time_proj(timestep.expand(len(sample))).to(sample.dtype))
        sample = unet.conv_in(sample)
        below, outputs = unet.down_blocks[0](sample, embedding)
        return embedding, sample, *outputs[:-1], below

    def _core(self, sample, embedding, gpt2, t5, t5_mask):
        unet = self.unet
        if t5_mask is not None:
            t5_mask = ((1 - t5_mask.to(sample.dtype)) * -10000.0).unsqueeze(1)
        texts = {"encoder_hidden_states": gpt2, "encoder_hidden_states_1": t5, "encoder_attention_mask_1": t5_mask}
        outputs = (sample,)
        for block in unet.down_blocks[1:]:
            sample, more = block(sample, embedding, **(texts if hasattr(block, "attentions") else {}))
            outputs += more
        sample = unet.mid_block(sample, embedding, **texts)
        for block in unet.up_blocks[:-1]:
            count = len(block.resnets)
            skips, outputs = outputs[-count:], outputs[:-count]
            sample = block(sample, skips, embedding, **(texts if hasattr(block, "attentions") else {}))
        return sample

    def _leave(self, sample, embedding, *skips):
        unet = self.unet
        sample = unet.up_blocks[-1](sample, skips, embedding)
        return unet.conv_out(unet.conv_act(unet.conv_norm_out(sample)))


def first_part(share):
    """Guide the first part of the steps."""
    return lambda step, steps: step < math.ceil(share * steps)


def every_other(step, steps):
    """Guide the first step, the third, and so on."""
    return step % 2 == 0


class Vocoder2d(nn.Module):
    """A `SpeechT5HifiGan` whose convolutions are two-dimensional, over a height of one, in channels-last memory.

    Parameters
    ----------
    vocoder : transformers.SpeechT5HifiGan
    """

    def __init__(self, vocoder):
        super().__init__()
        self.config = vocoder.config
        self.slope = vocoder.config.leaky_relu_slope
        self.kernels = vocoder.num_kernels
        self.register_buffer("mean", vocoder.mean)
        self.register_buffer("scale", vocoder.scale)
        self.conv_pre, self.conv_post = self._twin(vocoder.conv_pre), self._twin(vocoder.conv_post)
        self.upsampler = nn.ModuleList(map(self._twin, vocoder.upsampler))
        self.resblocks = nn.ModuleList(
            nn.ModuleList(nn.ModuleList(map(self._twin, pair)) for pair in zip(block.convs1, block.convs2, strict=True))
            for block in vocoder.resblocks
        )
        self.to(memory_format=torch.channels_last)

    @staticmethod
    def _twin(layer):
        kind = nn.Conv2d if isinstance(layer, nn.Conv1d) else nn.ConvTranspose2d
        settings = {"stride": (1, *layer.stride), "padding": (0, *layer.padding), "dilation": (1, *layer.dilation)}
        twin = kind(layer.in_channels, layer.out_channels, (1, *layer.kernel_size), device="meta", **settings)
        twin.load_state_dict({"weight": layer.weight[:, :, None], "bias": layer.bias}, assign=True)
        return twin.requires_grad_(False)

    @property
    def dtype(self):
        """Of its weights."""
        return self.conv_pre.weight.dtype

    @property
    def device(self):
        """Of its weights."""
        return self.conv_pre.weight.device

    def forward(self, spectrogram):
        """Turn log-mels, shape (batch, frames, 64) or (frames, 64), into waveforms, (batch, samples) or (samples,)."""
        if spectrogram.dim() == 2:
            return self(spectrogram[None])[0]
        if self.config.normalize_before:
            spectrogram = (spectrogram - self.mean) / self.scale
        x = spectrogram.transpose(1, 2)[:, :, None].contiguous(memory_format=torch.channels_last)
        x = self.conv_pre(x)
        for i, layer in enumerate(self.upsampler):
            x = layer(F.leaky_relu(x, self.slope))
            blocks = self.resblocks[i * self.kernels : (i + 1) * self.kernels]
            x = sum(self._residual(block, x) for block in blocks) / self.kernels
        return torch.tanh(self.conv_post(F.leaky_relu(x)))[:, 0, 0]

    def _residual(self, block, x):
        for first, second in block:
            x = x + second(F.leaky_relu(first(F.leaky_relu(x, self.slope)), self.slope))
        return x


class Int8(nn.Module):
    """A linear layer or convolution whose weights and input are rounded to 8 bits.

    One scale for each output channel of the weights, one for the whole input. Eager, it only computes what the rounding
    does. Compiled on a CPU with `torch._inductor.config.freezing`, it runs on 8-bit integers.

    Parameters
    ----------
    layer : torch.nn.Linear or torch.nn.Conv2d
    low, high : float
        Smallest and largest input seen; what lies beyond is clipped.
    """

    def __init__(self, layer, low, high):
        super().__init__()
        self.layer = layer
        low, high = min(low, 0.0), max(high, 1e-6)
        self.scale = (high - low) / 255
        self.zero_point = round(-low / self.scale)
        scales = layer.weight.float().flatten(1).abs().amax(1).clamp(min=1e-12) / 127
        rounded = (layer.weight / scales.view(-1, *[1] * (layer.weight.dim() - 1))).round()
        self.register_buffer("weight", rounded.to(torch.int8))
        self.register_buffer("scales", scales)
        self.register_buffer("zeros", torch.zeros(len(scales), dtype=torch.int64))

    def forward(self, x):
        """Compute what the layer computes, roughly."""
        ops, range_of_8_bits = torch.ops.quantized_decomposed, (self.scale, self.zero_point, 0, 255, torch.uint8)
        rounded = ops.quantize_per_tensor(x.float(), *range_of_8_bits)
        x = ops.dequantize_per_tensor(rounded, *range_of_8_bits).to(x.dtype)
        weight = ops.dequantize_per_channel(self.weight, self.scales, self.zeros, 0, -127, 127, torch.int8).to(x.dtype)
        layer = self.layer
        if isinstance(layer, nn.Linear):
            return F.linear(x, weight, layer.bias)
        return F.conv2d(x, weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups)


@contextmanager
def watching(layers):
    """While it is active, note the smallest and the largest input of each layer.

    Parameters
    ----------
    layers : iterable of torch.nn.Module

    Yields
    ------
    dict of torch.nn.Module to list of float
        [low, high] of those layers that were called.
    """
    ranges = {}

    def note(layer, inputs):
        low, high = (value.item() for value in inputs[0].aminmax())
        before = ranges.get(layer, [low, high])
        ranges[layer] = [min(low, before[0]), max(high, before[1])]

    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    try:
        yield ranges
    finally:
        for hook in hooks:
            hook.remove()


def swap(module, replacements):
    """Put other modules in the places of some of a module's parts.

    Parameters
    ----------
    module : torch.nn.Module
    replacements : dict of torch.nn.Module to torch.nn.Module

    Returns
    -------
    callable
        Undoes it.
    """
    places = [
        (parent, name, child)
        for parent in module.modules()
        if parent not in replacements
        for name, child in parent.named_children()
        if child in replacements
    ]
    for parent, name, child in places:
        setattr(parent, name, replacements[child])

    def undo():
        for parent, name, child in places:
            setattr(parent, name, child)

    return undo
