"""The rungs of the ladder: each makes a pipeline faster, in place, on top of the rungs before it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
import torch._inductor.config
from diffusers import AudioLDM2Pipeline, DPMSolverMultistepScheduler, LCMScheduler
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0, FusedAttnProcessor2_0
from safetensors.torch import load_file

from benchmarks.parts import MatmulAttnProcessor
from helpers.topics.eight_bits import round_layers
from helpers.topics.reused_core import ReusedCore
from helpers.topics.rewrites import LeanText, PartGuidance, vocoder_in_2d
from pocket.train_student import STUDENT

PROMPT = "The sound of Brazilian samba drums with waves gently crashing in the background"
NEGATIVE = "Low quality, average quality."
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
        Whether rungs compile. Compiling changes speed only, so a pipeline that is only listened to does without.
    steps : int
        Of denoising.
    guidance : float
        Its scale.
    """

    pipe: AudioLDM2Pipeline
    half: torch.dtype
    compiles: bool = True
    steps: int = 200
    guidance: float = 3.5

    def __post_init__(self):
        """Keep the first scheduler's settings: those of a swapped one would be carried along to the next."""
        self.schedule = dict(self.pipe.scheduler.config)

    @property
    def unet(self):
        """The UNet itself, without what may stand before it."""
        unet = self.pipe.unet
        while hasattr(unet, "unet"):
            unet = unet.unet
        return unet

    def call(self, seed=0, prompt=PROMPT, steps=None):
        """Keyword arguments of `pipe` for one clip, or for several if `prompt` and `seed` are lists."""
        alone = isinstance(prompt, str)
        negative = NEGATIVE if self.guidance > 1 else None
        return {
            "prompt": prompt,
            "negative_prompt": negative if alone or negative is None else [negative] * len(prompt),
            "num_inference_steps": steps or self.steps,
            "guidance_scale": self.guidance,
            "generator": [torch.Generator("cpu").manual_seed(one) for one in ([seed] if alone else seed)],
        }

    def compile(self, module):
        """Compile a module: with constant weights on a CPU, with CUDA graphs on a GPU."""
        if self.compiles:
            on_gpu = self.pipe.device.type == "cuda"
            # Not as an option of `torch.compile`, which would set it too late: tracing has to know it.
            torch._inductor.config.freezing = not on_gpu
            module.compile(fullgraph=True, dynamic=False, mode="reduce-overhead" if on_gpu else None)


def attention(setup, processor):
    """All attention by one of diffusers' processors: plain matrix products (the baseline), or torch's fused kernel."""
    for model in (setup.pipe.unet, setup.pipe.vae):
        model.set_attn_processor(processor())


def half_precision(setup):
    """All models in 16 bits."""
    setup.pipe.to(setup.half)


def student(setup, steps):
    """The distilled UNet, in few steps and without guidance."""
    if not setup.compiles:  # what is only measured may keep its weights: speed does not depend on them
        setup.unet.load_state_dict(load_file(STUDENT / "diffusion_pytorch_model.safetensors"))
    setup.steps, setup.guidance = steps, 1.0
    setup.pipe.scheduler = LCMScheduler.from_config(setup.schedule)


def channels_last(setup, name):
    """The convolutions of a component with the channels next to each other in memory."""
    getattr(setup.pipe, name).to(memory_format=torch.channels_last)


@torch.no_grad()
def fused_qkv(setup):
    """One matrix product for query, key and value; `unet.fuse_qkv_projections()` would do nothing here."""
    for module in setup.unet.modules():
        if isinstance(module, Attention):
            module.fuse_projections()
    setup.unet.set_attn_processor(FusedAttnProcessor2_0())


def matmul_attention(setup):
    """The UNet's self-attention as matrix products in half precision; see `MatmulAttnProcessor`."""
    setup.unet.set_attn_processor(MatmulAttnProcessor())


def lean_text(setup):
    """No padding to the longest prompt, no unused last layer, the negative prompt once; see `LeanText`."""
    setup.pipe.encode_prompt = LeanText(setup.pipe)


def compiled_unet(setup):
    """The UNet compiled."""
    setup.compile(setup.unet)


def vocoder(setup):
    """The vocoder as two-dimensional convolutions in channels_last memory, compiled."""
    setup.pipe.vocoder = vocoder_in_2d(setup.pipe.vocoder)
    setup.compile(setup.pipe.vocoder)


def dpm(setup, steps, **settings):
    """DPM++ with another number of steps."""
    setup.steps = steps
    setup.pipe.scheduler = DPMSolverMultistepScheduler.from_config(setup.schedule, **settings)


def part_guidance(setup, guided, keep):
    """Guidance at some steps only; see `PartGuidance`."""
    setup.pipe.unet = PartGuidance(setup.pipe.unet, guided(), keep)


class EveryOther:
    """Guide the first step of a clip, the third, and so on."""

    last, on = -1, False

    def __call__(self, timestep):
        """Say whether this step is guided; time steps fall within a clip."""
        self.on = bool(timestep > self.last) or not self.on
        self.last = timestep
        return self.on


def first_half():
    """Guide the noisier half of the time steps."""
    return lambda timestep: timestep >= 500


def int8(setup):
    """The large layers of UNet, VAE decoder and vocoder in 8 bits."""
    models = (setup.unet, setup.pipe.vae.decoder, setup.pipe.vocoder)

    def run():
        with torch.compiler.set_stance("force_eager"):
            # Where the weights may be random and only speed is measured, one prompt will do.
            for prompt in CALIBRATION[:1] if setup.compiles else CALIBRATION:
                setup.pipe(**setup.call(99, prompt))

    round_layers(models, run)
    torch._dynamo.reset()
    for model in models:
        setup.compile(model)


def reuse(setup, every):
    """The core of the UNet at some steps only; see `ReusedCore`."""
    before = setup.pipe.unet
    reused = ReusedCore(setup.unet, every)
    if setup.unet._compiled_call_impl:
        setup.compile(reused)
    if isinstance(before, PartGuidance):
        before.unet = reused
    else:
        setup.pipe.unet = reused


TRAILING = {"timestep_spacing": "trailing"}


@dataclass(frozen=True)
class Rung:
    """One change.

    Attributes
    ----------
    key, name : str
    change : callable
        Given a `Setup`, and what a candidate says.
    stages : tuple of str
        Those of `helpers.measuring.STAGES` whose work it changes. The times of the others differ by chance only, and
        decide nothing.
    candidates : dict of str to dict
        Ways to make a lossy change, as keyword arguments by name, in the order in which they are tried: the first that
        keeps the sound is taken. A lossless change has none.
    devices : tuple of str
    """

    key: str
    name: str
    change: Callable
    stages: tuple[str, ...] = ("denoising",)
    candidates: dict[str, dict] = field(default_factory=dict)
    devices: tuple[str, ...] = ("cpu", "cuda", "mps")

    @property
    def lossless(self):
        """Whether it leaves the sound as it is, but for rounding."""
        return not self.candidates


SOUND = ("VAE decoding", "vocoder")
RUNGS = (
    Rung("vanilla", "fp32, vanilla attention, DDIM 200", partial(attention, processor=AttnProcessor)),
    Rung("sdpa", "SDPA", partial(attention, processor=AttnProcessor2_0), ("denoising", "VAE decoding")),
    Rung("half", "half precision", half_precision, ("text encoding", "denoising", *SOUND)),
    Rung(
        "student",
        "distilled student",
        student,
        candidates={"one step": {"steps": 1}, "two steps": {"steps": 2}, "four steps": {"steps": 4}},
    ),
    Rung("channels-last", "channels_last (UNet)", partial(channels_last, name="unet")),
    Rung("fused-qkv", "fused QKV", fused_qkv),
    Rung("matmul-attention", "attention as matrix products", matmul_attention, devices=("cpu",)),
    Rung("lean-text", "lean text path", lean_text, ("text encoding",)),
    Rung("compile", "torch.compile (UNet)", compiled_unet),
    Rung("vae", "channels_last (VAE)", partial(channels_last, name="vae"), ("VAE decoding",)),
    Rung("vocoder", "2-D vocoder", vocoder, ("vocoder",)),
    Rung("dpm", "DPM++, 20 steps", dpm, candidates={"trailing": TRAILING | {"steps": 20}}),
    Rung(
        "part-guidance",
        "guidance on part of the steps",
        part_guidance,
        candidates={
            "every other step, kept between": {"guided": EveryOther, "keep": True},
            "first half, then none": {"guided": first_half, "keep": False},
        },
    ),
    Rung(
        "10-steps",
        "10 steps",
        dpm,
        candidates={
            "Karras": TRAILING | {"steps": 10, "use_karras_sigmas": True},
            "trailing": TRAILING | {"steps": 10},
            "leading": {"steps": 10, "timestep_spacing": "leading"},
        },
    ),
    Rung("int8", "int8", int8, ("denoising", *SOUND), {"UNet, VAE, vocoder": {}}, ("cpu",)),
    Rung(
        "reuse",
        "core of the UNet reused",
        reuse,
        candidates={"every third step": {"every": 3}, "every second step": {"every": 2}},
    ),
)
