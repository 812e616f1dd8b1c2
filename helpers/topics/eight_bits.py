"""Layers whose weights and inputs are rounded to 8 bits."""

import torch
import torch.ao.quantization.fx._decomposed  # registers the operations that `Int8` uses  # noqa: F401
import torch.nn.functional as F
from torch import nn

SENSITIVE = ("time_emb", "conv_in", "conv_out", "conv_pre", "conv_post")  # layers that are never rounded to 8 bits
LEAST_CHANNELS = 48  # nor are layers with fewer: they take no time


def round_layers(models, run):
    """Put an `Int8` in the place of each large linear layer and two-dimensional convolution.

    Parameters
    ----------
    models : sequence of torch.nn.Module
        Changed in place.
    run : callable
        Runs the models on something typical, which shows how large the input of each layer gets.

    Returns
    -------
    int
        How many layers were replaced.
    """
    ranges = {
        layer: [0.0, 0.0]
        for model in models
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
        and min(layer.weight.shape[:2]) >= LEAST_CHANNELS
        and not any(part in name for part in SENSITIVE)
    }

    def note(layer, inputs):
        low, high = (value.item() for value in inputs[0].aminmax())
        ranges[layer] = [min(low, ranges[layer][0]), max(high, ranges[layer][1])]

    hooks = [layer.register_forward_pre_hook(note) for layer in ranges]
    run()
    for hook in hooks:
        hook.remove()
    for parent in [module for model in models for module in model.modules() if module not in ranges]:
        for name, layer in parent.named_children():
            if layer in ranges:
                setattr(parent, name, Int8(layer, *ranges[layer]))
    return len(ranges)


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
