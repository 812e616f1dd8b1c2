"""Downloads, in trouble too: the hub's own client resumes and checks, and the last line says what to do."""

import errno
import os
import re
import socket
import subprocess
import sys

import hub
import numpy as np
import pytest
from capabilities import needs
from huggingface_hub import close_session, constants

import helpers

BASE = "cvssp/audioldm2"
REVISION = helpers.OFFICIAL[BASE].revision
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def online(monkeypatch, tmp_path):
    """Lets huggingface_hub use a network, an empty cache, and the hub at an address."""

    def at(url):
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        close_session()  # the next one reads the settings anew

    yield at
    close_session()


@pytest.fixture
def server(official_style, online):
    with hub.serve(official_style, BASE, REVISION) as server:
        online(server.url)
        yield server


def refused(*words):
    """Expect one line with these words."""
    with pytest.raises(OSError) as caught:
        helpers.load_pipeline(BASE, device="cpu")
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in ("audioldm2", *words)), message


def contents(server):
    """The files whose content was asked for."""
    marker = f"GET /{BASE}/resolve/{REVISION}/"
    return [request.removeprefix(marker) for request in server.requests if request.startswith(marker)]


def test_an_official_checkpoint_is_downloaded_once(server, capsys, pocket, seeded):
    helpers.load_pipeline(BASE, device="cpu")
    said = capsys.readouterr().out
    assert "4.5 GB" in said and "CC-BY-NC-SA-4.0" in said
    asked = contents(server)
    assert UNET in asked and len(asked) == len(set(asked)) and not any(file.endswith(".bin") for file in asked)
    server.requests.clear()
    pipe = helpers.load_pipeline(BASE, device="cpu")
    assert not server.requests and not capsys.readouterr().out
    call = {"prompt": "birds sing in the rain", "num_inference_steps": 2, "audio_length_in_s": 0.4}
    np.testing.assert_array_equal(pipe(**call, generator=seeded()).audios, pocket(**call, generator=seeded()).audios)


def test_no_way_to_the_hub(online):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    online(url)
    refused(url, "refused", "check network and proxy", 'load_pipeline("pocket")')


@pytest.mark.parametrize(("status", "advice"), [(401, "HF_TOKEN"), (403, "hf auth login"), (404, "HF_ENDPOINT")])
def test_the_hub_refuses(server, status, advice):
    server.fault = lambda request: status
    refused(str(status), advice, 'load_pipeline("pocket")')


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (OSError(errno.ENOSPC, "No space left"), "set HF_HOME to a folder on another disk"),
        (OSError(errno.EACCES, "Permission denied"), "set HF_HOME to a folder that you may write to"),
        (OSError(errno.EROFS, "Read-only"), "set HF_HOME to a folder that you may write to"),
        (ConnectionError("reset\nby peer"), "check network and proxy"),
        (RuntimeError(), "no message"),
    ],
)
def test_a_download_that_fails(monkeypatch, online, error, advice):
    def fail(*args, local_files_only=False, **kwargs):
        raise FileNotFoundError if local_files_only else error

    online("http://127.0.0.1")
    monkeypatch.setattr(helpers.checkpoints, "snapshot_download", fail)
    refused(str(error).partition("\n")[0], advice, 'load_pipeline("pocket")')


@pytest.mark.parametrize("lost", [UNET, None])
def test_offline_asks_for_nothing_and_says_what_is_missing(server, monkeypatch, lost):
    if lost:
        (helpers.find_checkpoint(BASE) / lost).unlink()
    server.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused("HF_HUB_OFFLINE", "offline.md", 'load_pipeline("pocket")')
    assert not server.requests


@needs("signals and bash")
def test_the_page_for_teachers(official_style, tmp_path):
    page = (hub.ROOT / "docs" / "offline.md").read_text(encoding="utf-8")
    download, check, *_ = re.findall(r"^```bash\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    home = {"HOME": str(tmp_path), "HF_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(hub.ROOT)}
    home |= {"NO_PROXY": "127.0.0.1", "HF_HUB_OFFLINE": "0"}
    with hub.serve(official_style, BASE, REVISION) as server:
        for command, environment in ((download, {"HF_ENDPOINT": server.url}), (check, {})):
            done = subprocess.run(
                ["bash", "-ec", command],
                env=os.environ | home | environment,
                cwd=tmp_path,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stderr
        asked = contents(server)
    assert UNET in asked and not any(file.endswith(".bin") for file in asked)
