"""The rungs of the ladder: what is changed on a pipeline to make it faster, one named switch each.

A switch changes a `Setup` in place and returns a function that undoes it.
"""

import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
import torch._inductor.config
from diffusers import DPMSolverMultistepScheduler
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0, FusedAttnProcessor2_0
from torch import nn
from torch.utils.benchmark import timer as clock  # in seconds; waits for the GPU before it reads the time

from benchmarks.parts import (
    Int8,
    LeanText,
    MatmulAttnProcessor,
    StagedUNet,
    Vocoder2d,
    every_other,
    first_part,
    swap,
    watching,
)

PROMPT = "The sound of Brazilian samba drums with waves gently crashing in the background"
NEGATIVE = "Low quality, average quality."
GUIDANCE = 3.5
MODELS = ("vae", "text_encoder", "text_encoder_2", "projection_model", "language_model", "unet", "vocoder")
LEAST_CHANNELS = 48  # layers with fewer are not rounded to 8 bits: they take no time, and are the most sensitive
# What 8-bit ranges are learned from; none of them is among the prompts that the sound is judged by.
CALIBRATION = (PROMPT, "Wind blowing, and a bell", "A techno loop, high quality", "Birds over a steady tone")


@dataclass
class Setup:
    """A pipeline on its way up.

    Attributes
    ----------
    pipe : diffusers.AudioLDM2Pipeline
    half : torch.dtype
        The half-precision type to change to.
    compiles : bool
        Whether the switches compile. Compiling changes speed only, so a pipeline that is only listened to does without.
    steps : int
        Of denoising.
    """

    pipe: Any
    half: torch.dtype
    compiles: bool = True
    steps: int = 200

    @property
    def device(self):
        """Where it runs."""
        return self.pipe.device

    @property
    def seconds(self):
        """Length of the clips that the checkpoint was trained on, which a call without a length makes."""
        pipe, vocoder = self.pipe, self.pipe.vocoder.config
        frames = pipe.unet.config.sample_size * pipe.vae_scale_factor
        return frames * math.prod(vocoder.upsample_rates) / vocoder.sampling_rate

    @property
    def plain_unet(self):
        """The UNet without the `StagedUNet` that may stand in front of it."""
        return getattr(self.pipe.unet, "unet", self.pipe.unet)

    def compile_settings(self):
        """Settings for `torch.compile`: constant weights on a CPU, CUDA graphs on a GPU."""
        if self.device.type == "cuda":
            return {"mode": "reduce-overhead"}
        # Not as an option of `torch.compile`, which would set it too late: tracing has to know it.
        torch._inductor.config.freezing = True
        return {}


@dataclass
class Clips:
    """What `generate` made, and how long each stage took.

    Attributes
    ----------
    seconds : dict of str to float
    latents : torch.Tensor
    audio : torch.Tensor, shape (clips, samples)
    """

    seconds: dict[str, float]
    latents: torch.Tensor = field(repr=False)
    audio: torch.Tensor = field(repr=False)


STAGES = ("text", "denoising", "VAE", "vocoder")


@torch.no_grad()
def generate(setup, prompts=(PROMPT,), seeds=(0,), steps=None, around_sound=None):
    """Make clips stage by stage, as `pipe(prompt)` does in one go.

    Parameters
    ----------
    setup : Setup
    prompts, seeds : sequence
        One clip for each pair.
    steps : int, optional
        The setup's by default.
    around_sound : context manager, optional
        Active while VAE and vocoder work.

    Returns
    -------
    Clips
    """
    pipe, steps = setup.pipe, steps or setup.steps
    prompt, negative = (prompts[0], NEGATIVE) if len(prompts) == 1 else (list(prompts), [NEGATIVE] * len(prompts))
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    if isinstance(pipe.unet, StagedUNet):
        pipe.unet.start(steps)
    times = [clock()]
    encoded = pipe.encode_prompt(prompt, setup.device, 1, True, negative_prompt=negative)
    (negative_t5, t5), (negative_mask, mask), (negative_gpt2, gpt2) = (part.chunk(2) for part in encoded)
    times.append(clock())
    latents = pipe(
        prompt_embeds=t5,
        negative_prompt_embeds=negative_t5,
        attention_mask=mask,
        negative_attention_mask=negative_mask,
        generated_prompt_embeds=gpt2,
        negative_generated_prompt_embeds=negative_gpt2,
        num_inference_steps=steps,
        guidance_scale=GUIDANCE,
        generator=generators,
        output_type="latent",
    ).audios
    times.append(clock())
    with around_sound or torch.no_grad():
        mel = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
        times.append(clock())
        audio = pipe.mel_spectrogram_to_waveform(mel)
    times.append(clock())
    audio = audio[:, : int(setup.seconds * pipe.vocoder.config.sampling_rate)]
    return Clips(dict(zip(STAGES, np.diff(times).tolist(), strict=True)), latents, audio)


@dataclass(frozen=True)
class Candidate:
    """One way to set a switch.

    Attributes
    ----------
    name : str
    value : object
        What the switch is given.
    cost : float
        Work, against that of other candidates: of those that keep the sound, the one with the least is taken.
    """

    name: str
    value: Any
    cost: float = 1.0


@dataclass(frozen=True)
class Rung:
    """One switch.

    Attributes
    ----------
    key, name : str
    change : callable
        Given a `Setup`, and a candidate's value if there are candidates; returns the function that undoes it.
    lossless : bool
    candidates : tuple of Candidate
        Tried on the pocket checkpoint, which decides between them.
    devices : tuple of str
    stages : tuple of str
        Those of `STAGES` whose work it changes. The times of the others differ by chance only, and decide nothing.
    """

    key: str
    name: str
    change: Callable
    lossless: bool = True
    candidates: tuple[Candidate, ...] = ()
    devices: tuple[str, ...] = ("cpu", "cuda")
    stages: tuple[str, ...] = ("denoising",)


def vanilla(setup):
    """Attention as it was before torch had a kernel for it: the baseline."""
    for model in (setup.pipe.unet, setup.pipe.vae):
        model.set_attn_processor(AttnProcessor())
    return lambda: sdpa(setup)


def sdpa(setup):
    """Attention in torch's own kernel, diffusers' default."""
    for model in (setup.pipe.unet, setup.pipe.vae):
        model.set_attn_processor(AttnProcessor2_0())
    return lambda: vanilla(setup)


def half_precision(setup):
    """All models in 16 bits."""
    before = {name: getattr(setup.pipe, name) for name in MODELS}
    for name, model in before.items():
        setattr(setup.pipe, name, copy.deepcopy(model).to(setup.half))

    def undo():
        for name, model in before.items():
            setattr(setup.pipe, name, model)

    return undo


def channels_last(setup):
    """The UNet's convolutions with the channels next to each other in memory."""
    setup.plain_unet.to(memory_format=torch.channels_last)
    return lambda: setup.plain_unet.to(memory_format=torch.contiguous_format)


def fused_qkv(setup):
    """One matrix product for query, key and value; `unet.fuse_qkv_projections()` would do nothing here."""
    unet = setup.plain_unet
    layers = [module for module in unet.modules() if isinstance(module, Attention)]
    with torch.no_grad():
        for layer in layers:
            layer.fuse_projections()
    unet.set_attn_processor(FusedAttnProcessor2_0())

    def undo():
        unet.set_attn_processor(AttnProcessor2_0())
        for layer in layers:
            for name in ("to_qkv", "to_kv"):
                if hasattr(layer, name):
                    delattr(layer, name)
            layer.fused_projections = False

    return undo


def matmul_attention(setup):
    """The UNet's self-attention as plain matrix products again; see `MatmulAttnProcessor`."""
    before = setup.plain_unet.attn_processors
    setup.plain_unet.set_attn_processor(MatmulAttnProcessor())
    return lambda: setup.plain_unet.set_attn_processor(before)


def lean_text(setup):
    """No padding to 512 tokens, no unused head, the negative prompt once; see `LeanText`."""
    lean = LeanText(setup.pipe)
    setup.pipe.encode_prompt = lean
    return lean.remove


def stage(setup):
    """Put a `StagedUNet` in front of the UNet if there is none."""
    if not isinstance(setup.pipe.unet, StagedUNet):
        setup.pipe.unet = StagedUNet(setup.pipe.unet, one_by_one=setup.device.type == "cpu")
    return setup.pipe.unet


def compiled_unet(setup):
    """The UNet compiled, in the parts that later rungs want."""
    unet = stage(setup)
    if setup.compiles:
        unet.compile(**setup.compile_settings())

    def undo():
        setup.pipe.unet = unet.unet

    return undo


def compile_if_faster(setup, module, *inputs):
    """Compile a module, and keep that if it works and is faster than it was."""
    if not setup.compiles:
        return
    module.compile(**setup.compile_settings())
    compiled, times = module._compiled_call_impl, {}
    try:
        with torch.no_grad():
            for version in (compiled, None, compiled, None):  # the first call of each is a warm-up
                module._compiled_call_impl = version
                start = clock()
                module(*inputs)
                times[version] = clock() - start
    except Exception as error:  # whatever a compiler stumbles over
        warnings.warn(f"{type(module).__name__} stays uncompiled: {type(error).__name__}.", stacklevel=2)
        times = {None: 0.0}
    module._compiled_call_impl = min(times, key=times.get)


def decoder_input(setup):
    """Random latents of the natural length, for trying the VAE."""
    pipe = setup.pipe
    shape = (1, pipe.vae.config.latent_channels, pipe.unet.config.sample_size, mel_bins(setup) // pipe.vae_scale_factor)
    return torch.randn(shape, device=setup.device, dtype=pipe.vae.dtype)


def vocoder_input(setup):
    """A random mel spectrogram of the natural length, for trying the vocoder."""
    frames = setup.pipe.unet.config.sample_size * setup.pipe.vae_scale_factor
    return torch.randn((1, frames, mel_bins(setup)), device=setup.device, dtype=setup.pipe.vocoder.dtype)


def mel_bins(setup):
    """Bands of the mel spectrogram."""
    return setup.pipe.vocoder.config.model_in_dim


def vae(setup):
    """The VAE in channels-last memory, and compiled if that pays."""
    decoder = setup.pipe.vae.decoder
    setup.pipe.vae.to(memory_format=torch.channels_last)
    compile_if_faster(setup, decoder, decoder_input(setup))

    def undo():
        decoder._compiled_call_impl = None
        setup.pipe.vae.to(memory_format=torch.contiguous_format)

    return undo


def vocoder(setup):
    """The vocoder as two-dimensional convolutions, and compiled if that pays."""
    before = setup.pipe.vocoder
    setup.pipe.vocoder = Vocoder2d(before)
    compile_if_faster(setup, setup.pipe.vocoder, vocoder_input(setup))

    def undo():
        setup.pipe.vocoder = before

    return undo


def fewer_steps(setup, value):
    """Another number of DPM++ steps; with settings of the scheduler, or those it has."""
    steps, settings = value
    before = setup.steps, setup.pipe.scheduler
    setup.steps = steps
    if settings is not None:
        # A scheduler of its own settings: one made from another swapped one would inherit that one's.
        names = ("beta_start", "beta_end", "beta_schedule", "num_train_timesteps", "steps_offset", "prediction_type")
        own = {name: before[1].config[name] for name in names}
        setup.pipe.scheduler = DPMSolverMultistepScheduler(**own, **settings)

    def undo():
        setup.steps, setup.pipe.scheduler = before

    return undo


def part_guidance(setup, value):
    """Guidance at some steps only; see `StagedUNet`."""
    had = setup.pipe.unet
    unet = stage(setup)
    before = unet.guidance, unet.keep_guidance
    unet.guidance, unet.keep_guidance = value

    def undo():
        unet.guidance, unet.keep_guidance = before
        setup.pipe.unet = had

    return undo


def reuse(setup, value):
    """The core of the UNet at some steps only; see `StagedUNet`."""
    had = setup.pipe.unet
    unet = stage(setup)
    before = unet.core_every
    unet.core_every = value

    def undo():
        unet.core_every = before
        setup.pipe.unet = had

    return undo


def large_layers(module, leave_out=()):
    """Linear layers and convolutions of a module that are worth 8 bits."""
    return {
        layer: name
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
        and min(layer.weight.shape[:2]) >= LEAST_CHANNELS
        and not any(part in name for part in leave_out)
    }


def int8_unet(setup):
    """The UNet's large layers in 8 bits."""
    had, unet = setup.pipe.unet, stage(setup)
    layers = large_layers(unet.unet, ("time_emb", "conv_in", "conv_out"))
    with watching(layers) as ranges, torch.compiler.set_stance("force_eager"):
        for prompt in calibration(setup):
            generate(setup, (prompt,), (99,))
    undo_swap = swap(unet.unet, {layer: Int8(layer, *found) for layer, found in ranges.items()})
    before = unet.enter, unet.core, unet.leave
    if setup.compiles:
        unet.compile(**setup.compile_settings())

    def undo():
        undo_swap()
        unet.enter, unet.core, unet.leave = before
        setup.pipe.unet = had

    return undo


def int8_sound(setup, value):
    """The large layers of VAE decoder, vocoder or both in 8 bits."""
    undos = []
    if not isinstance(setup.pipe.vocoder, Vocoder2d):
        undos.append(vocoder(setup))
    modules = {"VAE": setup.pipe.vae.decoder, "vocoder": setup.pipe.vocoder}
    layers = {name: large_layers(modules[name], ("conv_in", "conv_out", "conv_pre", "conv_post")) for name in value}
    with watching([layer for some in layers.values() for layer in some]) as ranges:
        for prompt in calibration(setup):
            generate(setup, (prompt,), (99,), around_sound=torch.compiler.set_stance("force_eager"))
    for name in value:
        module = modules[name]
        swap_back = swap(module, {layer: Int8(layer, *ranges[layer]) for layer in layers[name]})
        undos += [swap_back, partial(setattr, module, "_compiled_call_impl", module._compiled_call_impl)]
        if setup.compiles:
            module.compile(**setup.compile_settings())

    def undo():
        for one in reversed(undos):
            one()

    return undo


def calibration(setup):
    """Prompts for learning 8-bit ranges: one where the weights may be random, and only speed is measured."""
    return CALIBRATION if not setup.compiles else CALIBRATION[:1]


SPACINGS = {
    "trailing": {"timestep_spacing": "trailing"},
    "linspace": {"timestep_spacing": "linspace"},
    "leading": {"timestep_spacing": "leading"},
    "Karras": {"timestep_spacing": "trailing", "use_karras_sigmas": True},
    "exponential": {"timestep_spacing": "trailing", "use_exponential_sigmas": True},
    "lu": {"timestep_spacing": "trailing", "use_lu_lambdas": True},
    "beta": {"timestep_spacing": "trailing", "use_beta_sigmas": True},
}
GUIDANCES = (
    Candidate("first half, then none", (first_part(0.5), False), 0.5),
    Candidate("first half, then kept", (first_part(0.5), True), 0.5),
    Candidate("every other step, kept between", (every_other, True), 0.5),
)

RUNGS = (
    Rung("vanilla", "fp32, vanilla attention, DDIM 200", vanilla),
    Rung("sdpa", "SDPA", sdpa, stages=("denoising", "VAE")),
    Rung("half", "half precision", half_precision, stages=STAGES),
    Rung("channels-last", "channels_last (UNet)", channels_last),
    Rung("fused-qkv", "fused QKV", fused_qkv),
    Rung("matmul-attention", "attention as matrix products", matmul_attention, devices=("cpu",)),
    Rung("lean-text", "lean text path", lean_text, stages=("text",)),
    Rung("compile", "torch.compile (UNet)", compiled_unet),
    Rung("vae", "VAE channels_last", vae, stages=("VAE",)),
    Rung("vocoder", "2-D vocoder", vocoder, stages=("vocoder",)),
    Rung(
        "dpm",
        "DPM++, 20 steps",
        fewer_steps,
        lossless=False,
        candidates=(Candidate("trailing", (20, SPACINGS["trailing"])),),
    ),
    Rung("part-guidance", "guidance on part of the steps", part_guidance, lossless=False, candidates=GUIDANCES),
    Rung(
        "10-steps",
        "10 steps",
        fewer_steps,
        lossless=False,
        candidates=tuple(Candidate(name, (10, settings)) for name, settings in SPACINGS.items()),
    ),
    Rung("int8-unet", "int8 (UNet)", int8_unet, lossless=False, devices=("cpu",)),
    Rung(
        "int8-sound",
        "int8 (VAE, vocoder)",
        int8_sound,
        lossless=False,
        devices=("cpu",),
        candidates=(
            Candidate("VAE and vocoder", ("VAE", "vocoder"), 1),
            Candidate("vocoder", ("vocoder",), 2),
            Candidate("VAE", ("VAE",), 3),
        ),
        stages=("VAE", "vocoder"),
    ),
    Rung(
        "reuse",
        "core of the UNet reused",
        reuse,
        lossless=False,
        candidates=(Candidate("every third step", 3, 1 / 3), Candidate("every other step", 2, 1 / 2)),
    ),
    Rung(
        "fewest-steps",
        "fewest steps",
        fewer_steps,
        lossless=False,
        candidates=tuple(Candidate(f"{steps} steps", (steps, None), steps) for steps in (5, 6, 8)),
    ),
)
