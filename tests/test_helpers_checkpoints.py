import shutil

import numpy as np
import pytest
import torch
from diffusers import AudioLDM2Pipeline, DiffusionPipeline
from transformers import GPT2LMHeadModel

import helpers
from helpers import checkpoints

BASE = "cvssp/audioldm2"
CALL = dict(prompt="birds singing in the rain", num_inference_steps=2, audio_length_in_s=0.4)


def dtypes(pipe):
    models = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    return {p.dtype for model in models for p in model.parameters()}


@pytest.fixture
def copy(tmp_path):
    """A copy of the embedded checkpoint, to be damaged."""
    return shutil.copytree(checkpoints.POCKET, tmp_path / "copy")


# --- what comes back --------------------------------------------------------------------------------------------------


def test_pocket_is_a_pipeline_in_float32(pocket):
    assert isinstance(pocket, AudioLDM2Pipeline)
    assert isinstance(pocket.language_model, GPT2LMHeadModel)
    assert dtypes(pocket) == {torch.float32}


def test_a_dtype_reaches_every_model_and_loading_shows_no_bars(capfd):
    assert dtypes(helpers.load_pipeline("pocket", dtype=torch.bfloat16, device="cpu")) == {torch.bfloat16}
    assert capfd.readouterr() == ("", "")
    assert checkpoints.transformers.logging.is_progress_bar_enabled()
    assert checkpoints.diffusers.logging.is_progress_bar_enabled()


def test_a_saved_pipeline_is_plain_again(pocket, seeded, tmp_path):
    pocket.save_pretrained(tmp_path)
    plain = DiffusionPipeline.from_pretrained(tmp_path)
    assert type(plain) is AudioLDM2Pipeline
    audio = pocket(**CALL, generator=seeded()).audios  # memory-mapped weights may round sums otherwise
    np.testing.assert_allclose(plain(**CALL, generator=seeded()).audios, audio, atol=1e-3 * np.abs(audio).max())


def test_plain_diffusers_still_cannot_run_an_official_checkpoint(official_style):
    # The day this fails, upstream is cured, and load_pipeline may no longer need to hand in the language model.
    pipe = AudioLDM2Pipeline.from_pretrained(official_style)
    with pytest.raises(AttributeError, match="GPT2Model"):
        pipe(**CALL)


# --- what "auto" stands for -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "cached", "expected"),
    [("cpu", True, "pocket"), ("mps", True, "pocket"), ("cuda", None, "pocket"), ("cuda", True, BASE)],
)
def test_auto_takes_the_full_size_only_if_it_is_there(monkeypatch, capsys, device, cached, expected):
    monkeypatch.setattr(checkpoints, "_cached", lambda name: cached)
    assert checkpoints._choose(torch.device(device)) == expected
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and f"Checkpoint: {expected}" in said
    if expected == "pocket":
        assert BASE in said and "4.5 GB" in said and "CC-BY-NC-SA-4.0" in said


def test_one_variable_changes_auto_and_only_auto(monkeypatch, official_style, capsys):
    monkeypatch.setenv("AUDIOLDM2_CHECKPOINT", str(official_style))
    assert helpers.find_checkpoint() == official_style and str(official_style) in capsys.readouterr().out
    assert helpers.find_checkpoint("pocket") == checkpoints.POCKET


def test_an_unpinned_checkpoint_says_so(monkeypatch, copy, capsys):
    monkeypatch.setattr(checkpoints, "snapshot_download", lambda *args, **kwargs: str(copy))
    helpers.find_checkpoint("cvssp/audioldm2-music")
    assert "not pinned" in capsys.readouterr().out


# --- one clear line for each way to fail ------------------------------------------------------------------------------


def refused(kind, checkpoint, *words):
    with pytest.raises(kind) as caught:
        helpers.load_pipeline(checkpoint, device="cpu")
    message = str(caught.value)
    assert "\n" not in message
    assert all(str(word) in message for word in words), message


def test_what_is_no_folder_of_a_checkpoint(copy, tmp_path):
    refused(ValueError, tmp_path / "nothing", "nothing", "neither a folder here", "'pocket'", "'cvssp/audioldm2'")
    refused(NotADirectoryError, copy / "model_index.json", "model_index.json", "a file")
    refused(FileNotFoundError, tmp_path, tmp_path, "no model_index.json")
    (copy / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    refused(ValueError, copy, "StableDiffusionPipeline", "AudioLDM2Pipeline")


def test_pickled_weights_are_not_loaded(copy):
    weights = copy / "vae" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    refused(FileNotFoundError, copy, copy / "vae", "pickle", "safetensors", "fresh copy")


@pytest.mark.parametrize("size", [0, 100, 10_000])
def test_weights_cut_short(copy, size):
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    refused(OSError, copy, copy, "fresh copy", 'load_pipeline("pocket")')


@pytest.mark.parametrize("name", ["tokenizer", "tokenizer_2"])
def test_missing_vocabulary(copy, name):
    (copy / name / "tokenizer.json").unlink()
    refused(FileNotFoundError, copy, copy / name, "fresh copy")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("not enough"),
        ImportError("no accelerate"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_what_is_not_the_checkpoints_fault_keeps_its_own_words(monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(checkpoints.GPT2LMHeadModel, "from_pretrained", fail)
    with pytest.raises(type(error), match=str(error)):
        helpers.load_pipeline("pocket", device="cpu")


# --- tables -----------------------------------------------------------------------------------------------------------


def test_components_are_described(pocket):
    rows = {row["component"]: (row["parameters"], row["MB"]) for row in helpers.describe_components(pocket)}
    assert set(rows) == set(pocket.components) and rows["scheduler"] == (None, None)
    count = pocket.unet.num_parameters()
    assert rows["unet"] == (count, pytest.approx(4e-6 * count, abs=0.1))


def test_a_table_keeps_its_shape():
    text = helpers.table([{"a": 1234567, "b|c": "x|y"}, {"a": None, "b|c": True}]).data
    assert text.splitlines()[2:] == ["| 1,234,567 | x\\|y |", "| – | True |"]
