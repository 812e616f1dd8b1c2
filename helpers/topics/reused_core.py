"""A UNet whose core runs at some steps only."""

import torch
from torch import nn


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
