"""What the tests share: a generator, and checkpoints that are made or loaded once."""

import shutil

import capabilities
import official_layout
import pytest
import torch

from helpers import checkpoints, load_pipeline, questions
from helpers.topics import listening, panel


def quiet_pocket():
    pipe = load_pipeline("pocket", device="cpu")
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture
def seeded():
    """Makes a fresh generator from a seed."""
    return lambda seed=0: torch.Generator("cpu").manual_seed(seed)


@pytest.fixture(scope="session")
def pocket():
    """The embedded checkpoint in float32 on the CPU. Shared: a test that changes it must change it back."""
    return quiet_pocket()


@pytest.fixture
def own_pocket():
    """The same, to be changed."""
    return quiet_pocket()


@pytest.fixture
def shown(monkeypatch):
    """Everything that a blind test, a panel or a prediction displays."""
    shown = []
    for module in (listening, panel, questions):
        monkeypatch.setattr(module, "display", shown.append)
    return shown


@pytest.fixture
def no_compiler(monkeypatch):
    """A PATH without compilers, and a torch that looks there anew."""
    from torch._inductor import cpp_builder  # seconds of importing, for two tests

    monkeypatch.setenv("PATH", "nowhere")
    monkeypatch.setattr(cpp_builder, "cpp_compiler_search", cpp_builder.cpp_compiler_search.__wrapped__)


@pytest.fixture(scope="session")
def chromium():
    """A browser with sound."""
    if not capabilities.HERE["playwright"]:
        pytest.skip('needs playwright: pip install -e ".[browser]"')
    from playwright.sync_api import sync_playwright

    settings = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=capabilities.chromium(), args=settings)
        yield browser
        browser.close()


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
