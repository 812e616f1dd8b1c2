"""Load a checkpoint: the small one that comes with the course, an official one, or a folder."""

import errno
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import diffusers
import torch
import transformers
from huggingface_hub import constants, snapshot_download
from packaging.version import Version
from transformers import GPT2LMHeadModel, RobertaTokenizer

from helpers.devices import best_device, check_device, out_of_memory, warn_of_slow_half
from helpers.pipeline import AudioLDM2Pipeline

POCKET = Path(__file__).parent.parent / "pocket" / "checkpoint"
LICENCE = "CC-BY-NC-SA-4.0"


@dataclass(frozen=True)
class Official:
    """An official checkpoint, as its model card describes it (https://huggingface.co/cvssp/audioldm2).

    Attributes
    ----------
    task : str
    total : str
        Number of parameters.
    training_hours : int
        Hours of sound that it was trained on.
    revision : str or None
        The commit that the course was made with; None follows the newest.
    size : int or None
        Bytes to download: the safetensors files at that commit.
    """

    task: str
    total: str
    training_hours: int
    revision: str | None
    size: int | None


OFFICIAL = {
    "cvssp/audioldm2": Official(
        "text to audio", "1.1 B", 1_150_000, "c8e7e189d324425c05c4c2f81214041ef4107983", 4_474_362_800
    ),
    "cvssp/audioldm2-large": Official(
        "text to audio", "1.5 B", 1_150_000, "4b0b875a9e0c5305dfc917da808584e50e1c7ed4", 5_958_866_688
    ),
    "cvssp/audioldm2-music": Official("text to music", "1.1 B", 665_000, None, None),
}

# What a checkpoint on the hub is loaded from; without the pickled copies of the weights that lie beside them.
_FILES = ["model_index.json", "*/*.json", "*/*.txt", "*/*.model", "*/*.safetensors"]
# Any of these files each component needs. Without theirs, tokenizers load all the same, and know no word.
_NEEDED = dict.fromkeys(("tokenizer", "tokenizer_2"), ("tokenizer.json", "vocab.json", "spiece.model")) | dict.fromkeys(
    ("text_encoder", "text_encoder_2", "projection_model", "language_model", "unet", "vae", "vocoder"),
    ("*.safetensors",),
)

# What helps when a download fails with this error number of the system, or this status of the hub.
_ADVICE = {
    errno.ENOSPC: "make room and try again, or set HF_HOME to a folder on another disk and restart",
    errno.EACCES: "set HF_HOME to a folder that you may write to and restart",
    errno.EROFS: "set HF_HOME to a folder that you may write to and restart",
    401: "unset HF_TOKEN and restart, or log in anew with hf auth login",
    403: "unset HF_TOKEN and restart, or log in anew with hf auth login",
    404: "unset HF_ENDPOINT and restart, or give the folder of a copy",
}


def load_pipeline(checkpoint="auto", dtype=None, device=None):
    """Load an AudioLDM 2 pipeline that runs with today's libraries.

    It is `AudioLDM2Pipeline.from_pretrained` with two components handed in, because of the classes that the official
    checkpoints name for them. `GPT2Model` lost the generation methods that the pipeline calls
    (https://github.com/huggingface/diffusers/issues/12630), so it is `GPT2LMHeadModel`. `RobertaTokenizerFast` of some
    versions of transformers, 5.15 among them, forgets how to join letters to words, so it is `RobertaTokenizer`.

    Parameters
    ----------
    checkpoint : str or pathlib.Path
        - "auto": what the environment variable AUDIOLDM2_CHECKPOINT names; otherwise "cvssp/audioldm2" if the device is
          a CUDA GPU and the checkpoint was downloaded before, otherwise "pocket". Prints the choice.
        - "pocket": the small checkpoint that comes with the course.
        - a name in `OFFICIAL`: downloaded if it is not there yet.
        - a folder that `save_pretrained` wrote.
    dtype : torch.dtype, optional
        Of all models; float32 by default.
    device : str or torch.device, optional
        By default the one that `helpers.best_device` names.

    Returns
    -------
    helpers.pipeline.AudioLDM2Pipeline
        That of diffusers, whose call says in one line what would go wrong in silence.

    Raises
    ------
    ValueError
        If the checkpoint is unknown, or `dtype` is no type for weights.
    FileNotFoundError, NotADirectoryError
        If the folder is a file or lacks a component.
    OSError
        If a download fails, or the files cannot be loaded.
    RuntimeError
        If there is no such device.
    """
    device = check_device(device or best_device())
    dtype = torch.float32 if dtype is None else dtype
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ValueError(f"dtype is {dtype!r}, but must be torch.float32, torch.float16 or torch.bfloat16.")
    folder = find_checkpoint(checkpoint, device)
    dtype_name = "dtype" if Version(diffusers.__version__) >= Version("0.42") else "torch_dtype"
    try:
        with _no_progress_bars():
            language_model = GPT2LMHeadModel.from_pretrained(
                folder, subfolder="language_model", dtype=dtype, use_safetensors=True
            )
            pipe = AudioLDM2Pipeline.from_pretrained(
                folder,
                language_model=language_model,
                tokenizer=RobertaTokenizer.from_pretrained(folder, subfolder="tokenizer"),
                use_safetensors=True,
                **{dtype_name: dtype},
            )
    except Exception as error:  # a damaged file raises whatever its reader stumbles over
        if isinstance(error, ImportError) or out_of_memory(error):  # not the checkpoint's fault
            raise
        raise OSError(
            f"The checkpoint in {folder} cannot be loaded ({one_line(error)}): get a fresh copy of it, with weights "
            'as .safetensors, or use load_pipeline("pocket").'
        ) from error
    warn_of_slow_half(dtype, device)
    return pipe.to(device)


def find_checkpoint(checkpoint="auto", device=None):
    """Find the folder of a checkpoint on this machine; download an official one that is not there yet.

    Parameters
    ----------
    checkpoint : str or pathlib.Path
    device : str or torch.device, optional
        As in `load_pipeline`.

    Returns
    -------
    pathlib.Path
        A folder from which `from_pretrained` loads.

    Raises
    ------
    ValueError, RuntimeError, FileNotFoundError, NotADirectoryError, OSError
        As in `load_pipeline`.
    """
    device = check_device(device or best_device())
    folder = _resolve_path(_choose(device) if checkpoint == "auto" else checkpoint)
    _check(folder)
    return folder


def _choose(device):
    """Decide what "auto" stands for, and say so."""
    wanted = os.environ.get("AUDIOLDM2_CHECKPOINT", "auto").strip()
    if wanted not in ("", "auto"):
        print(f"Checkpoint: {wanted}, as AUDIOLDM2_CHECKPOINT says.")
        return wanted
    name = "cvssp/audioldm2"
    if device.type == "cuda" and _cached(name):
        print(f'Checkpoint: {name}, downloaded before. The small one: load_pipeline("pocket").')
        return name
    print(
        f'Checkpoint: pocket, the small one of this course. The full-size one: load_pipeline("{name}") '
        f"downloads {OFFICIAL[name].size / 1e9:.1f} GB once (licence {LICENCE})."
    )
    return "pocket"


def _resolve_path(checkpoint):
    """Find the folder of a checkpoint; download it if need be."""
    name = os.fspath(checkpoint)
    if name == "pocket":
        return POCKET
    if name in OFFICIAL:
        if OFFICIAL[name].revision is None:
            print(f"{name} is not pinned to a revision: this is the newest that the hub gave.")
        return _cached(name) or _download(name)
    folder = Path(name).expanduser()
    if folder.is_file():
        raise NotADirectoryError(f"checkpoint is {name!r}, a file: give the folder that holds model_index.json.")
    if folder.is_dir():
        return folder
    known = ", ".join(map(repr, ["auto", "pocket", *OFFICIAL]))
    raise ValueError(f"checkpoint is {name!r}, which is neither a folder here nor one of {known}.")


def _cached(name):
    """The folder of an official checkpoint if all of it was downloaded before, without asking the network."""
    try:
        folder = snapshot_download(name, revision=OFFICIAL[name].revision, allow_patterns=_FILES, local_files_only=True)
        _check(Path(folder))  # the folder is there as soon as a download has begun
    except (OSError, ValueError):
        return None
    return Path(folder)


def _download(name):
    facts = OFFICIAL[name]
    size = f"{facts.size / 1e9:.1f} GB" if facts.size else "some 4 GB"
    print(f"Downloading {name}: {size}, once (licence {LICENCE}).")
    try:
        folder = Path(snapshot_download(name, revision=facts.revision, allow_patterns=_FILES))
        if constants.HF_HUB_OFFLINE:  # older hub clients then return an incomplete copy without a word
            _check(folder)
        return folder
    except Exception as error:  # the hub's own errors, those of the HTTP library below it, those of the disk
        reason = error.__cause__ or error  # the hub's client wraps what the server said
        code = getattr(getattr(reason, "response", None), "status_code", getattr(reason, "errno", None))
        advice = _ADVICE.get(code, "check network and proxy and try again, which keeps the files that are complete")
        if constants.HF_HUB_OFFLINE:
            advice = "unset HF_HUB_OFFLINE and restart, or give the folder of a copy (docs/offline.md)"
        raise OSError(
            f"{name} could not be downloaded from {constants.ENDPOINT} to {constants.HF_HUB_CACHE} "
            f'({one_line(reason)}): {advice}, or use load_pipeline("pocket"), which needs no network.'
        ) from error


def _check(folder):
    """Raise unless a folder holds an AudioLDM 2 with its vocabularies and weights."""
    if not (folder / "model_index.json").is_file():
        raise FileNotFoundError(
            f"{folder} has no model_index.json, so it is no checkpoint: give the folder that save_pretrained wrote."
        )
    found = AudioLDM2Pipeline.load_config(folder).get("_class_name")
    if found != "AudioLDM2Pipeline":
        raise ValueError(f"{folder} holds a {found}, but these lessons need an AudioLDM2Pipeline.")
    for name, files in _NEEDED.items():
        if not any(path for file in files for path in (folder / name).glob(file)):
            raise FileNotFoundError(
                f"{folder / name} has no {files[0]}: get a fresh copy of the checkpoint, with its weights as "
                ".safetensors, because pickled ones (.bin), which can run any code, are never loaded."
            )


def one_line(error):
    """The kind of an error and the first line of what it says; the whole of it is kept as the cause."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no message'])[0]}"


@contextmanager
def _no_progress_bars():
    """Hide the bars that loading from disk would flash up; those of a download have been shown by then."""
    logs = [module for module in (diffusers.logging, transformers.logging) if module.is_progress_bar_enabled()]
    for log in logs:
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log in logs:
            log.enable_progress_bar()


def checkpoint_name(pipe):
    """Name the checkpoint that a pipeline was loaded from, without the user's folders.

    Parameters
    ----------
    pipe : diffusers.AudioLDM2Pipeline

    Returns
    -------
    str
        A name on the hub, "pocket", or the last part of a folder.
    """
    path = Path(pipe.name_or_path)
    if path.as_posix() in OFFICIAL:
        return path.as_posix()
    for part in path.parts:
        if part.startswith("models--"):  # how the hub's cache names its folders
            return part.removeprefix("models--").replace("--", "/")
    return "pocket" if path.parts[-2:] == ("pocket", "checkpoint") else path.name


_WORK = {  # in the order of their work
    "tokenizer": "cuts the prompt into tokens for CLAP",
    "text_encoder": "CLAP: one vector for the prompt, in a space that text and sound share",
    "tokenizer_2": "cuts the prompt into tokens for T5",
    "text_encoder_2": "T5: one vector for each token of the prompt",
    "projection_model": "brings both texts to the width of GPT-2",
    "language_model": "GPT-2: continues both texts by vectors that describe the sound",
    "unet": "takes a little noise away, once or twice in every step",
    "scheduler": "says how much noise each step takes away",
    "vae": "turns the result, a small picture, into a mel spectrogram",
    "vocoder": "HiFi-GAN: turns the mel spectrogram into a waveform",
    "feature_extractor": "prepares sound for CLAP, which ranks several candidates",
}


def describe_components(pipe):
    """List the components of a pipeline in the order of their work.

    Parameters
    ----------
    pipe : diffusers.AudioLDM2Pipeline

    Returns
    -------
    list of dict
        One per component that is there, with the keys "component", "class", "what it does", "parameters" and "MB"
        (10^6 bytes of parameters in memory); the last two are None for what has none. `helpers.table` shows it.
    """
    rows = []
    for name, work in _WORK.items():
        component = pipe.components[name]
        if component is None:
            continue
        row = {"component": name, "class": type(component).__name__, "what it does": work} | dict.fromkeys(
            ("parameters", "MB")
        )
        if isinstance(component, torch.nn.Module):
            row["parameters"] = sum(p.numel() for p in component.parameters())
            row["MB"] = round(sum(p.nbytes for p in component.parameters()) / 1e6, 1)
        rows.append(row)
    return rows
