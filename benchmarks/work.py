"""How much a pipeline computes, how fast the machine can compute, and how much memory it takes meanwhile."""

import threading
from contextlib import contextmanager

import psutil
import torch
from torch.utils.benchmark import timer as clock
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from benchmarks.parts import StagedUNet
from benchmarks.rungs import NEGATIVE, PROMPT, decoder_input, vocoder_input

SIDE = {"cpu": 2048, "cuda": 8192}  # of the square matrices that measure the peak
TRIES = 8


def _attention_on_cpu(query, key, value, *args, out_shape=None, **kwargs):
    return sdpa_flop_count(query, key, value)


@torch.no_grad()
def count_flops(function, *args, **kwargs):
    """Count the floating-point operations of a call: matrix products, convolutions, attention.

    Torch's own counter does not know the attention kernel of CPUs.
    """
    known = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_on_cpu}
    with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False, custom_mapping=known) as counter:
        function(*args, **kwargs)
    return counter.get_total_flops()


class Work:
    """Operations of one clip, counted part by part.

    Parameters
    ----------
    setup : benchmarks.rungs.Setup
    unet_inputs : dict
        Keyword arguments for the UNet, for a batch of two rows.
    """

    def __init__(self, setup, unet_inputs):
        self.unet_inputs = unet_inputs
        self.row = count_flops(setup.pipe.unet, **unet_inputs) / 2
        self.core = None
        self.sound = count_flops(setup.pipe.vae.decode, decoder_input(setup))
        self.sound += count_flops(setup.pipe.vocoder, vocoder_input(setup))

    def clip(self, setup, steps):
        """Count the operations of the clip that was made last, as if it had taken so many steps.

        Parameters
        ----------
        setup : benchmarks.rungs.Setup
        steps : int

        Returns
        -------
        int
        """
        text = count_flops(setup.pipe.encode_prompt, PROMPT, setup.device, 1, True, negative_prompt=NEGATIVE)
        unet = setup.pipe.unet
        if not isinstance(unet, StagedUNet):
            return round(text + self.sound + 2 * steps * self.row)
        if self.core is None:
            self.core = self._count_core(unet)
        rows = unet.rows
        denoising = rows["shell"] * (self.row - self.core) + rows["core"] * self.core
        return round(text + self.sound + denoising * steps / unet.step)

    def _count_core(self, unet):
        sample, timestep, *texts = self.unet_inputs.values()
        sample, *texts = (tensor.to(unet.dtype) for tensor in (sample, *texts))
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            embedding, *_, below = unet.enter(sample, torch.as_tensor(timestep, device=sample.device).reshape(1))
        return count_flops(unet.core, below, embedding, *texts) / len(sample)


def matmul_peak(dtype, device):
    """Measure how fast the machine multiplies large matrices.

    Parameters
    ----------
    dtype : torch.dtype
        A floating-point type, or torch.int8.
    device : torch.device

    Returns
    -------
    float
        Operations a second, the best of some tries; 0 if it cannot.
    """
    side = SIDE.get(device.type, 2048)
    try:
        if dtype == torch.int8:
            a, b = (torch.randint(-127, 127, (side, side), dtype=dtype, device=device) for _ in range(2))
            multiply = torch._int_mm
        else:
            a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
            multiply = torch.mm
        times = []
        for _ in range(TRIES):
            start = clock()
            multiply(a, b)
            times.append(clock() - start)
    except (RuntimeError, NotImplementedError):
        return 0.0
    return 2 * side**3 / min(times)


class Memory:
    """The largest amount of memory seen, in bytes; `peak` holds it after a `watch_memory` block."""

    peak = 0


@contextmanager
def watch_memory(device):
    """Note the peak while active: what torch has taken of a GPU, or else what this process has taken of the computer.

    Parameters
    ----------
    device : torch.device

    Yields
    ------
    Memory
    """
    memory = Memory()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        yield memory
        memory.peak = torch.cuda.max_memory_allocated()
        return
    process, done = psutil.Process(), threading.Event()

    def look():
        while not done.wait(0.02):
            memory.peak = max(memory.peak, process.memory_info().rss)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield memory
    finally:
        done.set()
        thread.join()
        memory.peak = max(memory.peak, process.memory_info().rss)
