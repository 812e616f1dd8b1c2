"""What all tests share: no network, no windows, one loaded checkpoint."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when huggingface_hub is imported, so before anything else
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.pop("AUDIOLDM2_CHECKPOINT", None)

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers import checkpoints, load_pipeline


@pytest.fixture(scope="session")
def pocket():
    """The embedded checkpoint in float32 on the CPU. Shared: a test that changes it must change it back."""
    pipe = load_pipeline("pocket", device="cpu")
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture
def seeded():
    """Makes a fresh generator from a seed."""
    return lambda seed=0: torch.Generator("cpu").manual_seed(seed)


@pytest.fixture(scope="session")
def official_style(tmp_path_factory):
    """A copy of the embedded checkpoint that names its classes and keys its weights as the official ones do."""
    folder = tmp_path_factory.mktemp("official") / "audioldm2"
    shutil.copytree(checkpoints.POCKET, folder)
    index = json.loads((folder / "model_index.json").read_text())
    index |= {
        "_diffusers_version": "0.20.0.dev0",
        "language_model": ["transformers", "GPT2Model"],
        "tokenizer": ["transformers", "RobertaTokenizerFast"],
        "tokenizer_2": ["transformers", "T5TokenizerFast"],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    config = json.loads((folder / "language_model" / "config.json").read_text())
    (folder / "language_model" / "config.json").write_text(json.dumps(config | {"architectures": ["GPT2Model"]}))
    (folder / "language_model" / "generation_config.json").unlink()
    weights = folder / "language_model" / "model.safetensors"
    bare = {k.removeprefix("transformer."): w for k, w in load_file(weights).items() if not k.startswith("lm_head")}
    save_file(bare, weights, metadata={"format": "pt"})
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"a pickle that nobody may load")
    return folder
