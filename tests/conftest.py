"""What the tests share: a generator, and checkpoints that are made or loaded once."""

import shutil

import official_layout
import pytest
import torch

from helpers import checkpoints, load_pipeline


@pytest.fixture
def seeded():
    """Makes a fresh generator from a seed."""
    return lambda seed=0: torch.Generator("cpu").manual_seed(seed)


@pytest.fixture(scope="session")
def pocket():
    """The embedded checkpoint in float32 on the CPU. Shared: a test that changes it must change it back."""
    pipe = load_pipeline("pocket", device="cpu")
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="session")
def official_style(tmp_path_factory):
    """A copy of the embedded checkpoint that names its classes and keys its weights as the official ones do."""
    folder = shutil.copytree(checkpoints.POCKET, tmp_path_factory.mktemp("official") / "pocket")
    official_layout.rename(folder)
    return folder


@pytest.fixture(scope="session")
def official_eighth(tmp_path_factory):
    """A checkpoint in the layout of cvssp/audioldm2, of an eighth of its width, with random weights."""
    return official_layout.write(tmp_path_factory.mktemp("official") / "base")


@pytest.fixture(scope="session")
def official_eighth_large(tmp_path_factory):
    """The same in the layout of cvssp/audioldm2-large."""
    return official_layout.write(tmp_path_factory.mktemp("official") / "large", "large")
