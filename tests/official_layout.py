"""Write a checkpoint folder laid out as the official ones, with random weights."""

import json
from pathlib import Path

from safetensors.torch import load_file, save_file

from benchmarks.official_pipeline import build_pipeline
from helpers import yardstick
from pocket.evaluate import SAMBA


def rename(folder):
    """Give a saved pipeline the names of classes and weights that cvssp/audioldm2 was saved with in 2023."""
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    index |= {
        "_diffusers_version": "0.20.0.dev0",
        "language_model": ["transformers", "GPT2Model"],
        "tokenizer": ["transformers", "RobertaTokenizerFast"],
        "tokenizer_2": ["transformers", "T5TokenizerFast"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")
    gpt2 = folder / "language_model"
    config = json.loads((gpt2 / "config.json").read_text(encoding="utf-8")) | {"architectures": ["GPT2Model"]}
    (gpt2 / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    (gpt2 / "generation_config.json").unlink(missing_ok=True)
    weights = load_file(gpt2 / "model.safetensors")
    bare = {name.removeprefix("transformer."): w for name, w in weights.items() if not name.startswith("lm_head")}
    save_file(bare, gpt2 / "model.safetensors", metadata={"format": "pt"})
    for file in folder.glob("*/*.safetensors"):
        file.with_suffix(".bin").write_bytes(b"a pickle that nobody may load")


def write(folder, size="base", width=0.125):
    """Write a checkpoint of `official_pipeline.build_pipeline`, whose arguments these are; return the folder.

    Random weights make noise, so beside them lies a yardstick that was not measured: that would only take time.
    """
    folder = Path(folder)
    build_pipeline(size, width).save_pretrained(folder)
    rename(folder)
    found = {yardstick.name(folder, SAMBA, seconds): {"distance": 5.0, "pairs": 1} for seconds in (1.28, 2.56)}
    (folder / yardstick.RECORD).write_text(json.dumps(found), encoding="utf-8")
    return folder
