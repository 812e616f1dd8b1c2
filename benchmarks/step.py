"""Time one guided step of the UNet, eager, ours and OpenVINO's, and say where it goes: `python -m benchmarks.step`.

On the CPU, at official size with random weights. OpenVINO is an optional extra: pip install openvino.
"""

import argparse
import copy
from types import SimpleNamespace

import numpy as np
import torch
import torch._inductor.config
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from benchmarks.ladder import choose
from benchmarks.quality_against_steps import describe_machine
from benchmarks.rungs import Setup
from helpers import official_unet, unet_step
from helpers.measuring import measure, span
from helpers.pictures import table

# Parts of the names that torch and OpenVINO give their operations; the first that fits counts.
KINDS = {
    "convolutions": ("conv",),
    "attention": ("attention", "bmm", "softmax", "matmul"),
    "linear layers": ("linear", "mm", "fullyconnected"),
    "copies and layout": ("copy", "clone", "contiguous", "reorder", "transpose", "empty", "concat", "cat"),
    "norms, activations, sums": ("",),
}
SIDE = 2048  # of the square matrices whose product shows the machine's limit


class _Step(torch.nn.Module):
    """The UNet with positional arguments and a bare result, as a converter wants it."""

    def __init__(self, unet, names):
        super().__init__()
        self.unet, self.names = unet, names

    def forward(self, sample, timestep, *texts):
        return self.unet(sample, timestep, **dict(zip(self.names, texts, strict=True)), return_dict=False)[0]


def in_openvino(unet, half):
    """Give a UNet to OpenVINO: a function that runs one step, and one that returns seconds by operation."""
    import openvino  # an optional extra

    seen = []
    hook = unet.register_forward_pre_hook(lambda _, *call: seen.append(call), with_kwargs=True)
    unet_step(unet)()
    hook.remove()
    ((args, texts),) = seen
    texts.pop("return_dict")
    inputs = (*args, *texts.values())
    with torch.no_grad():
        model = openvino.convert_model(_Step(unet, list(texts)).eval(), example_input=inputs)
    settings = {"INFERENCE_PRECISION_HINT": "bf16" if half else "f32", "PERF_COUNT": True}
    settings["INFERENCE_NUM_THREADS"] = torch.get_num_threads()
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    arrays = [tensor.numpy() for tensor in inputs]

    def operations():
        return [
            (f"{node.node_type} {node.node_name}", node.real_time.total_seconds()) for node in request.profiling_info
        ]

    return lambda: request.infer(arrays), operations


def ours(unet, rungs, half):
    """Apply rungs to a UNet: a function that runs one step, and one that returns seconds by operation."""
    pipe = SimpleNamespace(unet=unet.to(half), device=unet.device, scheduler=SimpleNamespace(config={}))
    setup = Setup(pipe, half)
    torch._inductor.config.cpp.enable_kernel_profile = True  # names the kernels that inductor writes
    for rung in rungs:
        rung.change(setup)
    step = unet_step(unet)

    def operations():
        with profile(activities=[ProfilerActivity.CPU]) as record:
            step()
        return [(event.key, event.self_cpu_time_total / 1e6) for event in record.key_averages()]

    return step, operations


def by_kind(operations):
    """Add up seconds by `KINDS`."""
    seconds = dict.fromkeys(KINDS, 0.0)
    for name, some in operations:
        kind = next(kind for kind, parts in KINDS.items() if any(part in name.lower() for part in parts))
        seconds[kind] += some
    return seconds


def at_the_limit(unet, half):
    """Seconds that a step would take at the speed of a large matrix product."""
    known = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}
    with FlopCounterMode(display=False, custom_mapping=known) as counter:
        unet_step(unet)()
    a, b = (torch.randn(SIDE, SIDE).to(half) for _ in range(2))
    return counter.get_total_flops() / (2 * SIDE**3) * min(measure(lambda: a @ b, repeats=8).before.seconds)


def _attention_flops(query, key, value, *args, out_shape=None, **kwargs):
    return sdpa_flop_count(query, key, value)


def main(arguments=None):
    """Measure, and print a table; `arguments` are by default those of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rungs", default="channels-last,fused-qkv,compile", help="lossless ones of the UNet")
    parser.add_argument("--half", action="store_true", help="in bfloat16; float32 by default")
    parser.add_argument("--repeats", type=int, default=5, help="timed steps, 5 by default")
    given = parser.parse_args(arguments)
    half = torch.bfloat16 if given.half else torch.float32
    unet = official_unet(device="cpu")
    steps = {}
    try:
        steps["OpenVINO"] = in_openvino(unet, given.half)  # first: it cannot convert a compiled UNet
    except ImportError:
        print("OpenVINO is not installed, so it is not compared: pip install openvino.")
    limit = at_the_limit(unet.to(half), half)
    steps["eager"] = ours(copy.deepcopy(unet), [], half)
    steps["ours"] = ours(unet, choose(given.rungs, unet.device)[1:], half)
    trial = measure({name: step for name, (step, _) in steps.items()}, given.repeats)
    times = {name: timing.seconds for name, timing in trial.variants.items()}
    kinds = {name: by_kind(operations()) for name, (_, operations) in steps.items()}
    rows = [{"": kind} | {name: f"{found[kind]:.3f} s" for name, found in kinds.items()} for kind in KINDS]
    rows.append({"": "one step"} | {name: f"{np.median(some):.3f} s" for name, some in times.items()})
    print(f"{describe_machine(unet.device)}, {half}, {given.rungs}; at the limit of the machine: {limit:.3f} s")
    print(table(rows).data)
    print("; ".join(f"{name}: {span(some, ' s', 'steps')}" for name, some in times.items()))


if __name__ == "__main__":
    main()
