"""Downloads in trouble: the hub's own client resumes and checks, and the last line says in plain words what to do."""

import errno
import itertools
import os
import re
import shutil
import socket
import subprocess
import sys

import hub
import pytest
from huggingface_hub import close_session, constants
from safetensors.torch import load_file, save_file

import helpers

BASE = "cvssp/audioldm2"
REVISION = helpers.OFFICIAL[BASE].revision
UNET = "unet/diffusion_pytorch_model.safetensors"
GET_UNET = f"GET /{BASE}/resolve/{REVISION}/{UNET}"
always = itertools.repeat


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


def refused(*words, kind=OSError):
    """Expect one line with these words."""
    with pytest.raises(kind) as caught:
        helpers.load_pipeline(BASE, device="cpu")
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in (BASE.split("/")[-1], *words)), message


def downloads(server):
    """The files whose content was asked for since the last time."""
    marker = f"GET /{BASE}/resolve/{REVISION}/"
    asked = [request.removeprefix(marker) for request in server.requests if request.startswith(marker)]
    server.requests.clear()
    return asked


def test_no_way_to_the_hub(online):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    online(url)
    refused(url, "refused", "check network and proxy", 'load_pipeline("pocket")')


@pytest.mark.parametrize(("status", "advice"), [(401, "HF_TOKEN"), (403, "hf auth login"), (404, "HF_ENDPOINT")])
def test_the_hub_refuses(server, status, advice):
    server.faults = {"": always(status)}
    refused(str(status), advice, 'load_pipeline("pocket")')


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_disk_that_is_full_or_cannot_be_written(online, monkeypatch, number):
    def fail(*args, local_files_only=False, **kwargs):
        raise FileNotFoundError if local_files_only else OSError(number, os.strerror(number))

    online("http://127.0.0.1")
    monkeypatch.setattr(helpers.checkpoints, "snapshot_download", fail)
    refused(os.strerror(number), "set HF_HOME to a folder", 'load_pipeline("pocket")')


def test_a_cut_download_resumes_where_it_stopped(official_style, online, tmp_path):
    large = shutil.copytree(official_style, tmp_path / "large")
    weights = {name: weight.float() for name, weight in load_file(large / UNET).items()}
    save_file(weights, large / UNET, metadata={"format": "pt"})  # now larger than the pieces that are written to disk
    with hub.serve(large, BASE, REVISION) as server:
        online(server.url)
        server.faults = {GET_UNET: iter([lambda body: [body[: len(body) * 3 // 4]]])}
        helpers.find_checkpoint(BASE)
        pieces = [UNET, f"{UNET} bytes={constants.DOWNLOAD_CHUNK_SIZE}-"]
        assert [file for file in downloads(server) if file.startswith(UNET)] == pieces


def test_after_a_download_that_failed_only_the_rest_is_fetched(server):
    server.faults = {GET_UNET: iter([404])}
    refused("404")
    asked = downloads(server)
    helpers.load_pipeline(BASE, device="cpu")
    again = downloads(server)
    assert UNET in asked and UNET in again
    assert not set(asked) & set(again) - {UNET}


def test_a_cached_file_that_was_cut_short_is_named(server):
    os.truncate(os.path.realpath(helpers.find_checkpoint(BASE) / UNET), 100)
    refused("cannot be loaded", "fresh copy", 'load_pipeline("pocket")')


def test_pickled_weights_are_not_even_downloaded(official_style, online, tmp_path):
    pickled = shutil.copytree(official_style, tmp_path / "pickled")
    (pickled / UNET).unlink()
    with hub.serve(pickled, BASE, REVISION) as server:
        online(server.url)
        refused("unet", "no .safetensors", "can run any code", kind=FileNotFoundError)
        assert not any(".bin" in file for file in downloads(server))


@pytest.mark.parametrize("lost", [UNET, None])
def test_offline_asks_for_nothing_and_says_what_is_missing(server, monkeypatch, lost):
    if lost:
        (helpers.find_checkpoint(BASE) / lost).unlink()
    server.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused("HF_HUB_OFFLINE", "offline.md", 'load_pipeline("pocket")')
    assert not server.requests


@pytest.mark.skipif(os.name == "nt", reason="the page gives the commands for bash")
def test_the_page_for_teachers(official_style, tmp_path):
    page = (hub.ROOT / "docs" / "offline.md").read_text(encoding="utf-8")
    commands = re.findall(r"^```bash\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    home = {"HOME": str(tmp_path), "HF_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(hub.ROOT)}
    home |= {"NO_PROXY": "127.0.0.1", "HF_HUB_OFFLINE": "0"}

    def run(command, **environment):
        environment = os.environ | home | environment
        return subprocess.run(["bash", "-ec", command], env=environment, cwd=tmp_path, capture_output=True, text=True)

    download, check = commands[:2]
    with hub.serve(official_style, BASE, REVISION) as server:
        done = run(download, HF_ENDPOINT=server.url)
        assert done.returncode == 0, done.stderr
        asked = downloads(server)
    assert UNET in asked and not any(file.endswith(".bin") for file in asked)
    done = run(check)
    assert done.returncode == 0, done.stderr
