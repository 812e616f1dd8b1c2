"""What learners and teachers will do to the course, and what they see then: `python -m tests.faults` writes it down."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import ast
import builtins
import contextlib
import functools
import io
import json
import logging
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import diffusers
import nbformat
import numpy as np
import pytest
import torch
from filelock import FileLock
from IPython.core.inputtransformer2 import TransformerManager
from torch._inductor import exc

import helpers
from helpers import checkpoints, devices, scoreboard, versions
from helpers.stages import StageComparison, Stages

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "faults.md"
RATE = 16_000
NOISE = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
CALL = {"prompt": "rain", "num_inference_steps": 2, "audio_length_in_s": 0.4}
nan, inf = float("nan"), float("inf")

FAULTS = {
    1: "Empty or blank prompt",
    2: "No text as prompt",
    3: "Prompt longer than the encoders take",
    4: "A length that is none",
    5: "A length far above the trained one",
    6: "Steps that cannot be taken",
    7: "Negative prompt without guidance, or guidance that is no number",
    8: "A number of candidates that is none",
    9: "A seed for a generator, or one generator twice",
    10: "A checkpoint that is not there",
    11: "Damaged, missing or pickled weights",
    12: "No network",
    13: "Disk full, or nothing may be written",
    14: "A device that is not there",
    15: "Half precision that the device is bad at; NaN in the result",
    16: "A scheduler that does not fit",
    17: "No compiler, or a new length after compiling",
    18: "Out of memory",
    19: "A lesson opened first; cells out of order, twice, interrupted",
    20: "Libraries missing, too old or too new",
    21: "A broken or shared scoreboard",
    22: "Notebooks that fail as tests",
}


@dataclass(frozen=True)
class Case:
    """One input, and the kind and wording of what the user must see."""

    row: int
    given: str
    run: Callable
    kind: str  # "error", "warning", "text" (printed or shown), or "nothing" (it simply works)
    words: str = ""  # a regular expression

    @property
    def name(self):
        return f"{self.row}-{self.given}"


@dataclass(frozen=True)
class Seen:
    """What the user saw, and who said it."""

    kind: str
    text: str
    by: str = ""


CASES = []


class HeavyWorkBegan(Exception):
    """The checks are over, and the text would be encoded now."""


class Lab:
    """What a case may use: the loaded pipeline, a folder, and a patch that is taken back afterwards."""

    def __init__(self, pipe, folder, patch):
        self.pipe, self.folder, self.patch = pipe, folder, patch

    def stop_before_work(self):
        def stop(*args, **kwargs):
            raise HeavyWorkBegan

        self.patch.setattr(self.pipe, "encode_prompt", stop)

    def copy(self):
        return shutil.copytree(checkpoints.POCKET, self.folder / "copy")

    def board(self):
        return helpers.Scoreboard(self.folder / "scoreboard.json")


def see(case, pipe):
    """Run a case, and catch what a user would see."""
    printed = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(record=True) as caught,
        contextlib.redirect_stdout(printed),
    ):
        warnings.simplefilter("always")
        lab = Lab(pipe, Path(folder), patch)
        shown, failed = None, None
        try:
            shown = case.run(lab)
        except HeavyWorkBegan:
            pass
        except Exception as error:
            failed = error
    ours = [w for w in caught if issubclass(w.category, UserWarning)]
    if failed:
        kind, text, by = "error", f"{type(failed).__name__}: {failed}", _speaker(failed)
    elif ours:
        kind, text, by = "warning", "; ".join(f"{w.category.__name__}: {w.message}" for w in ours), "the course"
    else:
        text = f"{printed.getvalue()}{shown or ''}".strip()
        kind, by = ("text", "the course") if text else ("nothing", "")
    return Seen(kind, _stable(text, folder), by)


def _speaker(error):
    """Whose code raised an error."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_file()]
    where = Path(frames[-1].filename)
    if "site-packages" in where.parts:
        return where.parts[where.parts.index("site-packages") + 1]
    if where.is_relative_to(ROOT / "helpers"):
        return "the course" if frames[-1].line.startswith("raise") else "torch"  # which raises from compiled code
    return "Python"


def _stable(text, folder):
    """Without the paths and addresses of one run."""
    for path, short in ((folder, "…"), (str(checkpoints.POCKET.parent.parent), "course")):
        text = text.replace(path, short)
    return re.sub(r"0x[0-9a-fA-F]+", "0x…", text)


def add(row, given, kind, words=""):
    """Put the function below into the list of cases."""

    def keep(run):
        CASES.append(Case(row, given, run, kind, words))
        return run

    return keep


# --- arguments of a call ----------------------------------------------------------------------------------------------


def call(row, kind, words, shown=None, **given):
    def run(lab):
        lab.stop_before_work()
        lab.pipe(**(CALL | given))

    shown = shown or ", ".join(f"{name}={value!r}" for name, value in given.items())
    CASES.append(Case(row, f"pipe({shown})", run, kind, words))


for prompt in ("", " ", "\n\t", ["rain", ""], ["", ""], ["rain", "  "]):
    call(1, "error", "prompt is .* none of them blank", prompt=prompt)
for prompt in (None, [], b"rain", 7, ("rain", "wind"), {"prompt": "rain"}, ["rain", None], [["rain"]]):
    call(2, "error", "prompt is .* must be a text such as", prompt=prompt)
for end in ("and a samba band drums on the beach", "while dogs bark", "and then it is silent"):
    long = ", ".join(["birds sing in the rain"] * 30) + ", " + end
    call(
        3,
        "warning",
        f"too long.*{end}' is not used; say it",
        f'"birds sing in the rain, … (30 times), {end}"',
        prompt=long,
    )
call(3, "warning", "too long", '["rain", "birds sing in the rain, … (30 times)"]', prompt=["rain", long])
for seconds in (0, -1, 0.001):
    call(4, "error", "audio_length_in_s.* positive", audio_length_in_s=seconds)
for seconds in (nan, inf, -inf, "5", [5.0], True):
    call(4, "error", "audio_length_in_s is .* must be a number of seconds", audio_length_in_s=seconds)
for seconds in (25, 60, 3600, 10**9):
    call(5, "warning", "far above the 5.12 s", audio_length_in_s=seconds)
for steps in (0, -1, 1.5, 1001, 100_000, "20", None, True, nan):
    call(6, "error", "num_inference_steps is .* whole number from 1 to 1000", num_inference_steps=steps)
for scale in (1, 0.5, 0):
    call(7, "error", "would be ignored: raise it", negative_prompt="hiss", guidance_scale=scale)
for scale in ("3.5", nan, inf, None):
    call(7, "error", "guidance_scale is .* must be a number", guidance_scale=scale)
for count in (0, -1, 1.5, "2", None, True):
    call(8, "error", "num_waveforms_per_prompt is .* whole number of 1 or more", num_waveforms_per_prompt=count)
for generator in (7, "cpu", [7], 1.5):
    call(9, "error", "must be a torch.Generator: write", generator=generator)
for shown, generator in (
    ("generator=numpy.random.default_rng(0)", np.random.default_rng(0)),
    ("generator=[a generator, 7]", [torch.Generator(), 7]),
):
    call(9, "error", "must be a torch.Generator", shown, generator=generator)


@add(9, "the same generator for two calls", "warning", "generator was used before.*manual_seed\\(3\\)")
def _(lab):
    generator = torch.Generator().manual_seed(3)
    for _ in range(2):
        lab.pipe(**CALL, output_type="latent", generator=generator)


@add(9, "the same generator, seeded anew before each call", "nothing")
def _(lab):
    generator = torch.Generator()
    for _ in range(2):
        lab.pipe(**CALL, output_type="latent", generator=generator.manual_seed(3))


@add(9, "two generators for three clips", "error", "list of generators of length 2.* batch size of 3")
def _(lab):
    lab.pipe(**CALL | {"prompt": ["rain"] * 3}, generator=[torch.Generator(), torch.Generator()])


# --- checkpoints ------------------------------------------------------------------------------------------------------


def load(row, given, words, prepare=lambda lab: None):
    """`prepare` returns what to load; None stands for what is given."""

    def run(lab):
        checkpoint = prepare(lab)
        helpers.load_pipeline(given if checkpoint is None else checkpoint, device="cpu")

    CASES.append(Case(row, f'load_pipeline("{given}")', run, "error", words))


def damaged(change):
    def prepare(lab):
        folder = lab.copy()
        change(folder)
        return folder

    return prepare


for name in ("no/such/folder", "/no/such/folder", "pockett", "audioldm2", "cvssp/audioldm-2", "cvssp/audioldm2_large"):
    load(10, name, "checkpoint is .* neither a folder here nor one of")
load(10, "an empty folder", "has no model_index.json", lambda lab: lab.folder)
load(10, "a file", "a file: give the folder", lambda lab: lab.copy() / "model_index.json")
load(
    10,
    "a folder of another kind of pipeline",
    "holds a StableDiffusionPipeline",
    damaged(lambda f: (f / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')),
)

UNET = "unet/diffusion_pytorch_model.safetensors"
for size in (0, 100, 10_000):
    load(
        11,
        f"weights cut after {size} bytes",
        "cut short or damaged",
        damaged(lambda f, size=size: (f / UNET).write_bytes((f / UNET).read_bytes()[:size])),
    )
load(11, "weights missing", "has no .safetensors file", damaged(lambda f: (f / UNET).unlink()))
load(
    11, "pickled weights only", "pickled weights", damaged(lambda f: (f / UNET).rename((f / UNET).with_suffix(".bin")))
)
load(11, "no vocabulary", "has no tokenizer.json", damaged(lambda f: (f / "tokenizer/tokenizer.json").unlink()))
load(11, "a configuration missing", "cannot be loaded", damaged(lambda f: (f / "unet/config.json").unlink()))


def download(row, given, error, words):
    """`error` is what the download fails with; None stands for the hub's own refusal to go on line."""

    def run(lab):
        def fail(*args, local_files_only=False, **kwargs):
            raise FileNotFoundError if local_files_only else error

        lab.patch.setattr(checkpoints, "snapshot_download", fail)
        lab.patch.setattr(checkpoints.constants, "HF_HUB_CACHE", "~/.cache/huggingface/hub")
        lab.patch.setattr(checkpoints.constants, "ENDPOINT", "https://huggingface.co")
        lab.patch.setattr(checkpoints.constants, "HF_HUB_OFFLINE", error is None)
        if error:
            lab.patch.setattr(checkpoints, "_check_hub_and_disk", lambda *args: None)
        helpers.load_pipeline("cvssp/audioldm2", device="cpu")

    CASES.append(Case(row, f'load_pipeline("cvssp/audioldm2"), {given}', run, "error", words))


for given, error in (
    ("connection refused", ConnectionRefusedError(111, "Connection refused")),
    ("cut off in the middle", ConnectionError("Connection broken: IncompleteRead(1000 bytes read)")),
    ("no answer", TimeoutError("The read operation timed out")),
):
    download(12, given, error, "could not be downloaded from .*: check network and proxy and try again")
download(12, "HF_HUB_OFFLINE=1 and no copy", None, "could not be downloaded .*: unset HF_HUB_OFFLINE")
download(13, "disk full", OSError(28, "No space left on device"), "could not be downloaded .*No space left on device")


# --- files ------------------------------------------------------------------------------------------------------------


def save(row, given, words, prepare):
    def run(lab):
        helpers.save(prepare(lab), NOISE, RATE)

    CASES.append(Case(row, f"save({given}, …)", run, "error", words))


def refusing(number, words):
    """A folder in which writing fails."""

    def prepare(lab):
        def fail(*args):
            raise OSError(number, words)

        lab.patch.setattr(Path, "write_bytes", fail)
        return lab.folder / "clip.wav"

    return prepare


def _in_a_file(lab):
    (lab.folder / "notes").write_text("in the way")
    return lab.folder / "notes" / "clip.wav"


def _a_folder(lab):
    (lab.folder / "clip.wav").mkdir()
    return lab.folder / "clip.wav"


save(13, '"clip.wav", disk full', r"cannot be written \(No space left", refusing(28, "No space left on device"))
save(13, '"clip.wav", read-only folder', r"cannot be written \(Permission", refusing(13, "Permission denied"))
save(13, '"a file/clip.wav"', "cannot be written .*: make room, or give another folder", _in_a_file)
save(13, '"clip.wav", a folder', "cannot be written", _a_folder)
save(13, '"clip.mp3"', "must end in .wav or .flac", lambda lab: lab.folder / "clip.mp3")


# --- devices and numbers ----------------------------------------------------------------------------------------------


def without_gpu(lab):
    lab.patch.setattr(torch.cuda, "is_available", lambda: False)
    lab.patch.setattr(torch.backends.mps, "is_available", lambda: False)


def on_a_laptop(row, given, words, run, kind="error"):
    def laptop(lab):
        without_gpu(lab)
        return run(lab)

    CASES.append(Case(row, given, laptop, kind, words))


def _offload_and_call(lab, **given):
    lab.stop_before_work()
    try:
        lab.pipe.enable_model_cpu_offload(**given)
        lab.pipe(**CALL)
    finally:
        lab.pipe.remove_all_hooks()


for name in ("cuda", "cuda:1", "mps"):
    on_a_laptop(
        14, f'pipe.to("{name}")', "torch sees none here: use device='cpu'", lambda lab, name=name: lab.pipe.to(name)
    )
on_a_laptop(14, 'pipe.to("gpu")', "device type at start of device string: gpu", lambda lab: lab.pipe.to("gpu"))
on_a_laptop(
    14,
    'load_pipeline(device="cuda")',
    "torch sees none here",
    lambda lab: helpers.load_pipeline("pocket", device="cuda"),
)
for given in ({}, {"device": "cuda"}, {"device": "cuda:1"}):
    shown = ", ".join(f'{name}="{value}"' for name, value in given.items())
    on_a_laptop(
        14,
        f"pipe.enable_model_cpu_offload({shown}), then a call",
        "torch sees none here",
        lambda lab, given=given: _offload_and_call(lab, **given),
    )


@add(14, 'device "cuda:7" on a machine with one GPU', "error", "torch sees 1 GPU: use 'cuda:0'")
def _(lab):
    lab.patch.setattr(torch.cuda, "is_available", lambda: True)
    lab.patch.setattr(torch.cuda, "device_count", lambda: 1)
    devices.check_device("cuda:7")


def slow_half(dtype, words, **capabilities):
    def run(lab):
        lab.patch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
        lab.patch.setitem(vars(lab.pipe), "unet", SimpleNamespace(dtype=dtype))
        lab.patch.setattr(diffusers.DiffusionPipeline, "to", lambda self, *args, **kwargs: self)
        lab.pipe.to("cpu")

    cpu = "bfloat16" if capabilities else "no half precision"
    CASES.append(Case(15, f"{dtype} on a CPU that has {cpu}", run, "warning", words))


slow_half(torch.float16, "torch.float16 will be slow.*dtype=torch.float32")
slow_half(torch.bfloat16, "torch.bfloat16 will be slow.*dtype=torch.float32")
slow_half(torch.float16, "torch.float16 will be slow.*dtype=torch.bfloat16", amx_bf16=True)


@add(15, "half_dtype() on a CPU that has no half precision", "warning", "Staying with float32")
def _(lab):
    lab.patch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    helpers.half_dtype("cpu")


for dtype in ("float16", torch.int8, 16):
    on_a_laptop(
        15,
        f"load_pipeline(dtype={dtype!r})",
        "dtype is .* must be torch.float32",
        lambda lab, dtype=dtype: helpers.load_pipeline("pocket", dtype=dtype),
    )


def alert(clip):
    """The warning beside a player, as text."""
    page = helpers.play(clip, RATE, "clip").data
    found = re.search('role="alert">(.*?)</p>', page)
    return re.sub("<.*?>", "", found[1]) if found else ""


@add(15, "a call of which half of the clips is NaN", "warning", "1 of 2 clips hold NaN or infinity")
def _(lab):
    lab.pipe._warn_of_nan(np.stack([NOISE, nan * NOISE]))


for given, clip, kind, words in (
    ("play(a clip of NaN)", nan * NOISE, "text", "100% of the clip is NaN"),
    ("play(a clip with infinity)", np.where(np.arange(RATE) < 1600, np.inf, NOISE), "text", "10% of the clip is NaN"),
    ("play(silence)", 0 * NOISE, "text", "The clip is silent"),
    ("play(a clip beyond full scale)", 20 * NOISE, "text", "The clip is clipped"),
):
    CASES.append(Case(15, given, lambda lab, clip=clip: alert(clip), kind, words))
for given, run, words in (
    ("save(a clip of NaN)", lambda lab: helpers.save(lab.folder / "clip.wav", nan * NOISE, RATE), "is not written"),
    ("distance(a clip of NaN, …)", lambda lab: helpers.distance(nan * NOISE, NOISE, RATE), "not finite.*100%"),
    ("clap_scores(a clip of NaN)", lambda lab: helpers.clap_scores(lab.pipe, "rain", [nan * NOISE]), "not finite"),
    ("plot_spectrogram(a clip of NaN)", lambda lab: helpers.plot_spectrogram(nan * NOISE, RATE, "x"), "not finite"),
    ("BlindTest(a clip of NaN, …)", lambda lab: helpers.BlindTest(nan * NOISE, NOISE, RATE), "holds NaN"),
    (
        "play(pipe(…))",
        lambda lab: helpers.play(diffusers.AudioPipelineOutput(NOISE), RATE, "clip"),
        "must be a NumPy array",
    ),
    ("play(pipe(…).audios)", lambda lab: helpers.play(np.stack([NOISE] * 2), RATE, "clip"), "take one out"),
):
    CASES.append(Case(15, given, run, "error", words))


# --- schedulers -------------------------------------------------------------------------------------------------------


def swap(given, kind, words, make):
    def run(lab):
        present = lab.pipe.scheduler
        try:
            lab.pipe.scheduler = make(present)
        finally:
            lab.pipe.scheduler = present

    CASES.append(Case(16, f"pipe.scheduler = {given}", run, kind, words))


DPM = diffusers.DPMSolverMultistepScheduler
swap("DPMSolverMultistepScheduler()", "error", "beta_schedule 'linear', but the model was trained", lambda s: DPM())
swap("DDIMScheduler()", "error", "but the model was trained", lambda s: diffusers.DDIMScheduler())
swap(
    "…from_config(…, prediction_type='epsilon')",
    "error",
    "prediction_type 'epsilon', but",
    lambda s: DPM.from_config(s.config, prediction_type="epsilon"),
)
swap("DPMSolverMultistepScheduler", "error", "which does not fit: write", lambda s: DPM)
swap("'DPM++'", "error", "scheduler is 'DPM\\+\\+', which does not fit", lambda s: "DPM++")
swap("None", "error", "scheduler is None, which does not fit", lambda s: None)
for name in ("FlowMatchEulerDiscreteScheduler", "EDMEulerScheduler", "ScoreSdeVeScheduler"):
    kind = getattr(diffusers, name)
    swap(f"{name}()", "error", f"scheduler is {name}, which does not fit", lambda s, kind=kind: kind())
swap(
    "DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)", "nothing", "", lambda s: DPM.from_config(s.config)
)


# --- lessons ----------------------------------------------------------------------------------------------------------

LESSONS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def cells(path):
    """The code cells of a lesson by their ids, as Python."""
    code = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    return {cell.id: TransformerManager().transform_cell(cell.source) for cell in code}


def lesson(number):
    return cells(next(path for path in LESSONS if path.name.startswith(f"{number:02}_")))


def unknown_names(path):
    """Names that a lesson uses and defines nowhere before: what another lesson would have to define."""
    defined, unknown = set(dir(builtins)) | {"display", "get_ipython"}, []
    for cell_id, source in cells(path).items():
        nodes = list(ast.walk(ast.parse(source)))
        for node in nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                defined.add(node.id)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                defined.add(node.name)
            elif isinstance(node, ast.arg):
                defined.add(node.arg)
            elif isinstance(node, ast.alias):
                defined.add((node.asname or node.name).split(".")[0])
            elif isinstance(node, ast.ExceptHandler) and node.name:
                defined.add(node.name)
        unknown += [f"{cell_id}: {n.id}" for n in nodes if isinstance(n, ast.Name) and n.id not in defined]
    return ", ".join(unknown)


def raising(error):
    def fail(*args, **kwargs):
        raise error

    return fail


def compiling_fails(given, generate, words):
    def run(lab):
        eager = SimpleNamespace()
        pipe = SimpleNamespace(unet="compiled")
        names = {"helpers": helpers, "math": __import__("math"), "pipe": pipe, "unet_eager": eager}
        first_call = lesson(5)["first-call"].replace("after = generate()", "")
        exec(first_call, names | {"generate": generate})
        assert pipe.unet is eager

    CASES.append(Case(17, f"lesson 5, first call after compiling: {given}", run, "text", words))


def no_one_graph():
    """The real error of torch for code that does not become one graph."""

    def logs(x):
        logging.getLogger("diffusers").info("a line to the log")
        return x + 1

    torch.compile(logs, fullgraph=True, backend="eager")(torch.ones(1))


compiling_fails(
    "no C++ compiler",
    raising(exc.InvalidCxxCompiler("g++")),
    "Going on eagerly, because compiling failed .*g.. is not found",
)
compiling_fails("no Triton", raising(exc.TritonMissing(None)), "Going on eagerly.*triton")
compiling_fails(
    "no room for compiled code", raising(OSError(28, "No space left on device")), "Going on eagerly.*No space left"
)
compiling_fails("a line of code that fullgraph=True refuses", no_one_graph, "Going on eagerly.*Unsupported")


def no_memory():
    """The real error of an allocation that is too large for any computer."""
    return torch.empty(2**60, dtype=torch.uint8)


def memory_runs_out(given, encode, words, device="cpu", dtype=torch.float32, **more):
    def run(lab):
        lab.patch.setattr(lab.pipe, "encode_prompt", lambda *args, **kwargs: encode())
        if device != "cpu":
            lab.patch.setattr(torch.cuda, "is_available", lambda: True)
            lab.patch.setattr(torch.cuda, "device_count", lambda: 1)
            lab.patch.setattr(type(lab.pipe), "_execution_device", torch.device(device))
            lab.patch.setattr(type(lab.pipe.unet), "dtype", dtype)
        lab.pipe(**CALL | more)

    CASES.append(Case(18, given, run, "error", words))


GPU_FULL = raising(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
EIGHT, LONG = {"num_waveforms_per_prompt": 8}, {"audio_length_in_s": 20.0}
memory_runs_out("8 candidates, computer full", no_memory, "try num_waveforms_per_prompt=4 in place of 8", **EIGHT)
memory_runs_out("6 prompts, computer full", no_memory, "try 3 of the 6 prompts at a time", prompt=["rain"] * 6)
memory_runs_out("a clip of 20 s, computer full", no_memory, "try audio_length_in_s=5.12 in place of 20", **LONG)
memory_runs_out(
    "a clip of the trained length, computer full", raising(MemoryError()), "=2.56 in place", audio_length_in_s=None
)
memory_runs_out(
    "convolution refused", raising(RuntimeError("could not create a primitive")), "out of memory .*primitive", **LONG
)
memory_runs_out("float32, GPU full", GPU_FULL, r"try load_pipeline\(..., dtype=torch.float16\)", "cuda:0")
memory_runs_out("float16, GPU full", GPU_FULL, r"try pipe.enable_model_cpu_offload\(\)", "cuda:0", torch.float16)


@add(18, "peak_memory(code that asks for too much)", "error", "MemoryError.*make the clip shorter")
def _(lab):
    helpers.peak_memory("raise MemoryError('no room')")


for path in LESSONS:
    CASES.append(
        Case(19, f"lesson {path.stem[:2]} opened first", lambda lab, path=path: unknown_names(path), "nothing")
    )
for number, cell_id, name in ((3, "load", "CHECKPOINT"), (5, "first-call", "unet_eager"), (6, "change", DPM.__name__)):
    CASES.append(
        Case(
            19,
            f"lesson {number}, cell {cell_id!r} before those above it",
            lambda lab, number=number, cell_id=cell_id: exec(lesson(number)[cell_id], {}),
            "error",
            f"name '{name}' is not defined",
        )
    )


@add(19, "lesson 6, the cell that swaps the scheduler, twice", "nothing")
def _(lab):
    present, change = lab.pipe.scheduler, lesson(6)["change"].splitlines()[0]
    for _ in range(2):
        exec(change, {"pipe": lab.pipe, "DPMSolverMultistepScheduler": DPM})
    lab.pipe.scheduler = present


@add(19, "lesson 5, set-up cell twice", "nothing")
def _(lab):
    for _ in range(2):
        exec(lesson(5)["set-up"], {})


def interrupted(given, run):
    def case(lab):
        def stop(*args):
            raise KeyboardInterrupt

        settings = CALL | {"output_type": "latent"}
        before = lab.pipe(**settings, generator=torch.Generator().manual_seed(0)).audios
        with contextlib.suppress(KeyboardInterrupt):
            run(lab.pipe, settings | {"callback": stop, "generator": torch.Generator().manual_seed(0)})
        after = lab.pipe(**settings, generator=torch.Generator().manual_seed(0)).audios
        return "" if torch.equal(before, after) else "another clip"

    CASES.append(Case(19, given, case, "nothing"))


interrupted("a call interrupted, then called again: the same clip", lambda pipe, settings: pipe(**settings))
interrupted(
    "a measurement interrupted, then called again: the same clip",
    lambda pipe, settings: helpers.time_stages(pipe, **settings),
)


@add(19, "measure(pipe(…)) in place of a function", "error", "put `lambda:` before it")
def _(lab):
    helpers.measure(NOISE)


# --- libraries --------------------------------------------------------------------------------------------------------


def library(name, found, kind, words):
    def run(lab):
        real = versions.version

        def version(wanted):
            if wanted != name:
                return real(wanted)
            if found is None:
                raise versions.PackageNotFoundError(name)
            return found

        lab.patch.setattr(versions, "version", version)
        versions.check_versions()

    CASES.append(Case(20, f"import helpers, with {name} {found or 'missing'}", run, kind, words))


for name in ("diffusers", "transformers", "torch", "numpy", "huggingface_hub"):
    library(name, "0.1", "error", f"{name} 0.1 is too old for the course: run %pip install")
    library(name, "99.0", "warning", f"{name} 99.0 is newer than the course was tested with")
for name in ("librosa", "accelerate", "soundfile"):
    library(name, None, "error", f"{name} is not installed, but the course needs it: run %pip install")


@add(20, "a guess without ipywidgets", "text", "Write it into the cell, as value=")
def _(lab):
    lab.patch.setitem(sys.modules, "ipywidgets", None)
    helpers.Guess("How many times as fast?")._ipython_display_()


@add(20, "a blind test without ipywidgets", "text", r'write test.answer\("A"\)')
def _(lab):
    lab.patch.setitem(sys.modules, "ipywidgets", None)
    lab.patch.setattr("helpers.listening.display", lambda *args: None)
    helpers.BlindTest(NOISE, 0.5 * NOISE, RATE)._ipython_display_()


# --- the scoreboard ---------------------------------------------------------------------------------------------------

FASTER = StageComparison(Stages({"denoising": 8, "vocoder": 2}, 50), Stages({"denoising": 3, "vocoder": 2}, 20), [2.0])


def record(lab, rung="SDPA", board=None):
    (board or lab.board()).record(rung, FASTER, lab.pipe, True)


def board_row(lab, rung):
    return next(line for line in lab.board().table().data.splitlines() if line.startswith(f"| {rung} |"))


def broken(given, content, words="cannot be read as a scoreboard"):
    def run(lab):
        lab.board().path.write_bytes(content)
        record(lab)
        assert "10 → 5" in board_row(lab, "SDPA")

    CASES.append(Case(21, f"scoreboard.json {given}", run, "warning", f"{words}.*it is kept as scoreboard.json.broken"))


broken("empty", b"")
broken("half written", b'{"version": 1, "rungs": {"SDPA": {"bef')
broken("no text", b"\xff\xfe\x00")
broken("of another program", b'{"name": "package"}')
broken("of a later course", b'{"version": 2, "rungs": {}}', "is a scoreboard of version 2, not 1")
broken("with nonsense in a rung", b'{"version": 1, "rungs": {"SDPA": {}}}', "holds nothing sensible for SDPA")


@add(21, "scoreboard.json from another machine", "text", r"not comparable: other machine \(a laptop\)")
def _(lab):
    record(lab)
    path = lab.board().path
    content = json.loads(path.read_text())
    content["rungs"]["SDPA"]["machine"] = "a laptop"
    path.write_text(json.dumps(content))
    return board_row(lab, "SDPA").split(" | ")[-1].removesuffix(" |").partition(" – ")[2].replace("**", "")


@add(21, "two learners write at once", "nothing")
def _(lab):
    with FileLock(f"{lab.board().path}.lock"):  # the other one is writing
        waits = threading.Thread(target=record, args=(lab, "CPU offload"))
        waits.start()
        waits.join(0.2)
        assert waits.is_alive()
    waits.join(10)
    record(lab)
    assert all("10 → 5" in board_row(lab, rung) for rung in ("SDPA", "CPU offload"))


@add(21, "another learner's program holds the file for ever", "warning", "not saved, only kept until the kernel ends")
def _(lab):
    lab.patch.setattr(scoreboard, "PATIENCE", 0.1)
    with FileLock(f"{lab.board().path}.lock"):
        waits = threading.Thread(target=record, args=(lab,))
        waits.start()
        waits.join(10)


@add(21, "a folder in which nothing may be written", "warning", "not saved, only kept until the kernel ends")
def _(lab):
    (lab.folder / "file").write_text("in the way")
    record(lab, board=helpers.Scoreboard(lab.folder / "file" / "scoreboard.json"))


@add(21, "record(a rung that does not exist)", "error", "rung is 'sdpa', but must be one of 'SDPA'")
def _(lab):
    record(lab, "sdpa")


@add(21, "a latecomer's board", "text", r"not measured yet \(lesson 3\)")
def _(lab):
    return board_row(lab, "SDPA").split(" | ")[-1].removesuffix(" |")


# --- notebooks as tests -----------------------------------------------------------------------------------------------

NOTEBOOKS = {  # the cells of each, and a time limit in seconds
    "empty": ([], 30),
    "skipped": (["a = 1"] * 3, 30),
    "raises": (["a = 1", "a / 0"], 30),
    "dies": (["a = 1", "import os; os._exit(1)", "a = 2"], 30),
    "killed": (["import os, signal; os.kill(os.getpid(), signal.SIGTERM if os.name == 'nt' else signal.SIGKILL)"], 30),
    "hangs": (["a = 1", "a = 2", "import time; time.sleep(60)"], 1),
    "loops": (["while True: pass"], 1),
    "good": (["a = 1"] * 10, 30),
}


@functools.cache
def report():
    """What pytest says of tiny notebooks: the name of each, and its lines."""
    with tempfile.TemporaryDirectory() as folder:
        for name, (sources, seconds) in NOTEBOOKS.items():
            notebook = nbformat.v4.new_notebook()
            notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
            notebook.metadata["execution"] = {"timeout": seconds}
            notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
            nbformat.write(notebook, Path(folder, f"{name}.ipynb"))
        Path(folder, "torn.ipynb").write_text('{"cells": [')
        command = [sys.executable, "-m", "pytest", "-q", "--nbmake", "-p", "conftest", "-p", "no:cacheprovider"]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "300", "PYTHONUTF8": "1"}
        done = subprocess.run(
            [*command, "--rootdir", folder, "-c", os.devnull, folder],
            cwd=folder, env=environment, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)  # without colours


def notebook(name, given, words):
    def run(lab):
        lines = [
            line for line in report().splitlines() if line.startswith(f"FAILED {name}.ipynb") and re.search(words, line)
        ]
        return lines[0] if lines else report()

    CASES.append(Case(22, given, run, "text", words))


for name, given, words in (
    ("empty", "a notebook without cells", "only 0 code cells were executed"),
    ("skipped", "a notebook of three cells", "only 3 code cells were executed, but it has at least"),
    ("raises", "a cell that fails", "raises.ipynb, cell 2: ZeroDivisionError"),
    ("dies", "a cell that ends the kernel", "dies.ipynb, cell 2: the kernel died"),
    ("killed", "a kernel that the system kills", "killed.ipynb, cell 1: the kernel died"),
    ("hangs", "a cell that waits for ever", "hangs.ipynb, cell 3: .*timed out"),
    ("loops", "a cell that computes for ever", "loops.ipynb, cell 1: .*timed out"),
    ("torn", "half a file", "torn.ipynb"),
):
    notebook(name, given, words)


@add(22, "a notebook of ten cells", "nothing")
def _(lab):
    return "it failed" if "FAILED good.ipynb" in report() or "1 passed" not in report() else ""


# --- the document -----------------------------------------------------------------------------------------------------


def versions_used():
    names = ("diffusers", "transformers", "torch")
    found = ", ".join(f"{name} {versions.version(name).partition('+')[0]}" for name in names)
    return f"{found} on {platform.system()}"


HEADER = """# What goes wrong, and what you see then

{count} inputs for {rows} kinds of fault, each with what the course really said. Wrong arguments are refused before any
heavy work begins. "By" tells who says it: where a library's own words were clear, they were left alone. Nothing said
means that it simply works. "…" stands for a folder, or for the middle of a long text.

Some faults need a machine in trouble: a broken network or a full disk (12, 13), a GPU, an instruction or a version that
is there or is not (14, 15, 20), no compiler (17), a full GPU (18). They are staged: the error of the system or of the
library is put in place, and what the course makes of it is what you read.

Written by `python -m tests.faults` with {versions}.
"""

UNCLEAR = """
## What could not be made clear

- A cell that runs before the cells above it: Python names what is missing, but not the cell that makes it. Choose "Run
  all cells above".
- A length that the memory cannot hold, on Linux: the system may kill the kernel without a word. The warning about the
  length is then the last thing that you see.
- A UNet compiled with `fullgraph=True` refuses some lengths with a long text from torch. Lesson 5 catches that while it
  measures, and its third exercise finds the lengths; in your own cells, look for the line that starts with Unsupported.
- Offload to a GPU that is not there, asked for by name, is enabled without a word (lesson 7 makes use of that). The
  next call refuses it; `pipe.remove_all_hooks()` takes it back.
- `pipe.unet.to("cuda")` and other calls to a part of the pipeline go past its checks. So does a pipeline that was
  loaded with plain `AudioLDM2Pipeline.from_pretrained`, as in lesson 1.
- A negative prompt with more tokens than the prompt: T5's part of it is cut to the length of the prompt, silently.
- As many generators or negative prompts as there are not clips: diffusers says so clearly, but only after the text was
  encoded.
- LCM and TCD schedulers run, but need weights that were distilled for them; nothing tells.
"""


def document(seen):
    """The text of docs/faults.md."""
    text = HEADER.format(count=len(seen), rows=len(FAULTS), versions=versions_used())
    for row, fault in FAULTS.items():
        text += f"\n## {row}. {fault}\n\n| input | what you see | by |\n|---|---|---|\n"
        for case, found in seen.items():
            if case.row == row:
                text += f"| {_cell(case.given)} | {_cell(found.text) or 'nothing: it works'} | {found.by or '–'} |\n"
    return text + UNCLEAR


def _cell(text):
    for sign, escaped in (("\\", "\\\\"), ("|", "\\|"), ("<", "&lt;"), ("*", "\\*"), ("_", "\\_"), ("`", "\\`")):
        text = text.replace(sign, escaped)
    text = " ".join(text.split())
    return text if len(text) <= 400 else f"{text[:250]} … {text[-100:]}"


if __name__ == "__main__":
    pocket = helpers.load_pipeline("pocket", device="cpu")
    pocket.set_progress_bar_config(disable=True)
    DOCUMENT.write_text(document({case: see(case, pocket) for case in CASES}), encoding="utf-8")
    print(f"{DOCUMENT}: {len(CASES)} inputs")
