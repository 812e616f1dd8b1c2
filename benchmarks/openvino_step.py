"""Time one step of the UNet in OpenVINO, beside ours. An optional extra: `pip install openvino`."""

import copy

import numpy as np
import torch
from diffusers.models.attention_processor import AttnProcessor2_0

from benchmarks.rungs import clock, stage

WARM_UP = 2


class _Step(torch.nn.Module):
    """The UNet with positional arguments and a bare result, as a converter wants it."""

    def __init__(self, unet):
        super().__init__()
        self.unet = unet

    def forward(self, sample, timestep, gpt2, t5, mask):
        return self.unet(
            sample,
            timestep,
            encoder_hidden_states=gpt2,
            encoder_hidden_states_1=t5,
            encoder_attention_mask_1=mask,
            return_dict=False,
        )[0]


def compare(setup, unet, inputs, repeats):
    """Time guided steps, batch 2, in turns: OpenVINO in bfloat16 and float32, and the UNet as the ladder left it.

    Parameters
    ----------
    setup : benchmarks.rungs.Setup
        As the ladder left it.
    unet : diffusers.AudioLDM2UNet2DConditionModel
        The untouched one, which OpenVINO gets.
    inputs : dict
        Keyword arguments for the UNet.
    repeats : int

    Returns
    -------
    dict
        "seconds": medians by name; "says": a line of text.
    """
    try:
        import openvino
    except ImportError:
        return {"seconds": {}, "says": "OpenVINO is not installed, so it is not compared: pip install openvino."}
    step = _Step(copy.deepcopy(unet)).eval()
    step.unet.set_attn_processor(AttnProcessor2_0())
    arrays = [tensor.numpy() for tensor in inputs.values()]
    with torch.no_grad():
        model = openvino.convert_model(step, example_input=tuple(inputs.values()))
    runs = {}
    for precision in ("bf16", "f32"):
        compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": precision})
        runs[f"OpenVINO {precision}"] = lambda compiled=compiled: compiled(arrays)
    ours = stage(setup)
    own_inputs = {
        name: tensor.to(ours.dtype) if tensor.is_floating_point() else tensor for name, tensor in inputs.items()
    }

    @torch.no_grad()
    def own():
        ours.start(1)
        ours(**own_inputs)

    runs["ours"] = own
    times = {name: [] for name in runs}
    for i in range(WARM_UP + repeats):
        for name, run in runs.items():
            start = clock()
            run()
            if i >= WARM_UP:
                times[name].append(clock() - start)
    seconds = {name: float(np.median(some)) for name, some in times.items()}
    listed = ", ".join(f"{name} {value:.3g} s" for name, value in seconds.items())
    return {"seconds": seconds, "version": openvino.__version__, "says": f"One guided step of the UNet: {listed}."}
