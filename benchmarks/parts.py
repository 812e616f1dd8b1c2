"""Components that only the ladder needs; those that lessons use too are in `helpers.topics.rewrites`."""

import torch
import torch.ao.quantization.fx._decomposed  # registers the operations that `Int8` uses  # noqa: F401
import torch.nn.functional as F
from diffusers.models.attention_processor import AttnProcessor2_0, FusedAttnProcessor2_0
from torch import nn


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

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, *args, **kwargs):
        """Compute what diffusers' `AttnProcessor2_0` and `FusedAttnProcessor2_0` compute."""
        if encoder_hidden_states is not None:
            usual = FusedAttnProcessor2_0() if attn.fused_projections else AttnProcessor2_0()
            return usual(attn, hidden_states, encoder_hidden_states, *args, **kwargs)
        if attn.fused_projections:
            projected = attn.to_qkv(hidden_states).chunk(3, -1)
        else:
            projected = [layer(hidden_states) for layer in (attn.to_q, attn.to_k, attn.to_v)]
        heads = [x.unflatten(2, (attn.heads, -1)).transpose(1, 2).flatten(0, 1) for x in projected]
        out = matmul_attention(*heads).unflatten(0, (-1, attn.heads)).transpose(1, 2).flatten(2)
        return attn.to_out[1](attn.to_out[0](out))


class ReusedCore(nn.Module):
    """Stands before a UNet, and runs its core at every n-th step only (Ma et al., "DeepCache", 2024).

    Lossy, unless n is 1. The finest level works at every step: it turns the latents into features, and features into
    the prediction. The core is all between, most of the work; where it rests, its last output is used again.

    Parameters
    ----------
    unet : diffusers.AudioLDM2UNet2DConditionModel
        Its finest level has no attention.
    every : int
        The n.
    """

    def __init__(self, unet, every):
        super().__init__()
        self.unet, self.every = unet, every
        self.run, self.last, self.features = self._run, -1, None

    def compile(self, **settings):
        """Compile a step, with the core and without; `settings` are `torch.compile`'s."""
        self.run = torch.compile(self._run, **settings)

    def forward(self, sample, timestep, return_dict=False, **texts):
        """Predict; fewer rows than at the step before are its last ones."""
        if timestep > self.last:  # time steps fall within a clip
            self.step, self.features = 0, None
        reused = self.features[-len(sample) :] if self.step % self.every else None
        prediction, features = self.run(reused, sample, timestep, **texts)
        if reused is None:
            before = features[:0] if self.features is None else self.features[: -len(features)]
            self.features = torch.cat([before, features])  # a copy: a CUDA graph's output is overwritten
        self.last, self.step = timestep, self.step + 1
        return (prediction,)

    def _run(self, core, sample, timestep, encoder_hidden_states, encoder_hidden_states_1, encoder_attention_mask_1):
        unet = self.unet
        time = unet.time_proj(timestep.expand(len(sample)).to(sample.device)).to(sample.dtype)
        time = unet.time_embedding(time)
        sample = unet.conv_in(sample)
        below, skips = unet.down_blocks[0](sample, time)
        if core is None:
            mask = ((1 - encoder_attention_mask_1.to(sample.dtype)) * -10000.0).unsqueeze(1)
            text = {"encoder_hidden_states": encoder_hidden_states, "encoder_hidden_states_1": encoder_hidden_states_1}
            core = self._core(below, time, text | {"encoder_attention_mask_1": mask})
        out = unet.up_blocks[-1](core, (sample, *skips[:-1]), time)
        return unet.conv_out(unet.conv_act(unet.conv_norm_out(out))), core

    def _core(self, sample, time, text):
        def run(block, *args):
            return block(*args, **(text if hasattr(block, "attentions") else {}))

        unet, outputs = self.unet, (sample,)
        for block in unet.down_blocks[1:]:
            sample, more = run(block, sample, time)
            outputs += more
        sample = run(unet.mid_block, sample, time)
        for block in unet.up_blocks[:-1]:
            skips, outputs = outputs[-len(block.resnets) :], outputs[: -len(block.resnets)]
            sample = run(block, sample, skips, time)
        return sample

    config, dtype, device = (  # what the pipeline asks a UNet for
        property(lambda self, name=name: getattr(self.unet, name)) for name in ("config", "dtype", "device")
    )


class Int8(nn.Module):
    """A linear layer or convolution whose weights and input are rounded to 8 bits.

    One scale for each output channel of the weights, one for the whole input. Eager, it only computes what the rounding
    does. Compiled on a CPU with `torch._inductor.config.freezing`, it runs on 8-bit integers.

    Parameters
    ----------
    layer : torch.nn.Linear or torch.nn.Conv2d
    low, high : float
        Smallest and largest input seen; what is beyond is clipped.
    """

    def __init__(self, layer, low, high):
        super().__init__()
        self.layer = layer
        low, high = min(low, 0.0), max(high, 1e-6)
        scale = (high - low) / 255
        self.range = (scale, round(-low / scale), 0, 255, torch.uint8)
        scales = layer.weight.float().flatten(1).abs().amax(1).clamp(min=1e-12) / 127
        rounded = (layer.weight / scales.view(-1, *[1] * (layer.weight.dim() - 1))).round()
        self.register_buffer("weight", rounded.to(torch.int8))
        self.register_buffer("scales", scales)
        self.register_buffer("zeros", torch.zeros(len(scales), dtype=torch.int64))

    def forward(self, x):
        """Compute what the layer computes, roughly."""
        layer, ops = self.layer, torch.ops.quantized_decomposed
        x = ops.dequantize_per_tensor(ops.quantize_per_tensor(x.float(), *self.range), *self.range).to(x.dtype)
        weight = ops.dequantize_per_channel(self.weight, self.scales, self.zeros, 0, -127, 127, torch.int8).to(x.dtype)
        if isinstance(layer, nn.Linear):
            return F.linear(x, weight, layer.bias)
        return F.conv2d(x, weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups)
