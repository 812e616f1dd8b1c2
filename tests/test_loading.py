"""Downloads under fire: whatever the hub, the network or the disk does, one clear line, soon, and nothing is lost."""

import itertools
import os
import re
import shutil
import socket
import subprocess
import sys
import time

import hub
import pytest
from huggingface_hub import close_session, constants
from safetensors.torch import load_file, save_file

import helpers
from helpers import checkpoints

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


def refused(*words, within=15, kind=OSError):
    """Load, and expect one line with these words after so many seconds at most."""
    start = time.monotonic()
    with pytest.raises(kind) as caught:
        helpers.load_pipeline(BASE, device="cpu")
    assert time.monotonic() - start < within
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in (BASE.split("/")[-1], *words)), message
    return message


def loads():
    return helpers.load_pipeline(BASE, device="cpu")


def downloads(server):
    """The files whose content was asked for since the last time."""
    marker = f"GET /{BASE}/resolve/{REVISION}/"
    asked = [request.removeprefix(marker) for request in server.requests if request.startswith(marker)]
    server.requests.clear()
    return asked


# --- no way to the hub ------------------------------------------------------------------------------------------------


def test_connection_refused(online):
    online("http://127.0.0.1:9")
    refused("http://127.0.0.1:9", "refused", "check network and proxy", 'load_pipeline("pocket")')


def test_a_name_that_nobody_knows(online):
    online("http://hub.invalid")
    refused("http://hub.invalid", "check network and proxy", 'load_pipeline("pocket")')


def test_a_proxy_that_is_down(online, monkeypatch):
    online("http://hub.invalid")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    refused("http://hub.invalid", "refused", "check network and proxy")


def test_a_hub_that_takes_the_call_and_says_nothing(online):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        online(url)
        refused(url, "timed out", "check network and proxy", within=25)


def test_a_login_page_for_everything(server):
    server.faults = {"": always(b"<html>Welcome to the conference. Please log in.</html>")}
    refused(server.url, "check network and proxy", 'load_pipeline("pocket")')


# --- a hub that says no -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "advice"), [(401, "HF_TOKEN"), (403, "hf auth login"), (404, "HF_ENDPOINT")])
def test_the_hub_refuses(server, status, advice):
    server.faults = {"": always(status)}
    refused(str(status), advice, 'load_pipeline("pocket")')


def test_a_hub_that_is_down_and_comes_back(server):
    server.faults = {"": always(500)}
    refused("500", "try again")
    server.faults = {}
    loads()


@pytest.mark.parametrize("request_part", ["GET /api/models", f"HEAD /{BASE}/resolve/{REVISION}/{UNET}"])
def test_one_stumble_of_the_hub_goes_unnoticed(server, request_part):
    server.faults = {request_part: iter([500])}
    loads()


# --- a download that goes wrong in the middle -------------------------------------------------------------------------


def test_a_cut_download_goes_on_where_it_stopped(official_style, online, tmp_path):
    large = shutil.copytree(official_style, tmp_path / "large")
    weights = {name: weight.float() for name, weight in load_file(large / UNET).items()}
    save_file(weights, large / UNET, metadata={"format": "pt"})  # now larger than the pieces that are written to disk
    with hub.serve(large, BASE, REVISION) as server:
        online(server.url)
        server.faults = {GET_UNET: iter([lambda body: [body[: len(body) * 3 // 4]]])}
        loads()
        assert [file for file in downloads(server) if file.startswith(UNET)] == [
            UNET,
            f"{UNET} bytes={constants.DOWNLOAD_CHUNK_SIZE}-",
        ]


def test_after_a_download_that_failed_only_the_rest_is_fetched(server):
    server.faults = {GET_UNET: iter([500])}
    refused("500", "try again, which keeps the files that are complete")
    asked = downloads(server)
    loads()
    again = downloads(server)
    assert UNET in asked and UNET in again
    assert not set(asked) & set(again) - {UNET}


def test_a_download_that_always_breaks_is_given_up(server):
    server.faults = {GET_UNET: always(lambda body: [body[:1000]])}
    refused("try again, which keeps the files that are complete", within=30)
    server.faults = {}
    downloads(server)
    loads()
    assert downloads(server) == [UNET]


@pytest.mark.parametrize("change", [lambda body: body[:-1], lambda body: body + b"x", lambda body: b""])
def test_a_file_of_another_size(server, change):
    server.faults = {GET_UNET: iter([change((server.folder / UNET).read_bytes())])}
    refused("size", "try again")
    loads()


def flipped(body):
    return [body[:-1], bytes([body[-1] ^ 1])]


def test_wrong_bytes_are_fetched_again(server):
    server.faults = {GET_UNET: iter([flipped])}
    loads()
    assert downloads(server).count(UNET) == 2


def test_wrong_bytes_time_after_time(server):
    server.faults = {GET_UNET: always(flipped)}
    refused(UNET, "other bytes than it announced", "try again")
    server.faults = {}
    downloads(server)
    loads()
    assert downloads(server) == [UNET]


def test_a_cached_file_that_was_cut_short_is_replaced(server):
    folder = helpers.find_checkpoint(BASE)
    os.truncate(os.path.realpath(folder / UNET), 100)
    downloads(server)
    loads()
    assert downloads(server) == [UNET]


def test_a_slow_download_shows_how_far_it_is(server, capfd):
    server.faults = {GET_UNET: iter([lambda body: [body[i : i + 10**6] for i in range(0, len(body), 10**6)]])}
    loads()
    bars = capfd.readouterr().err
    total = sum((server.folder / name).stat().st_size for name in downloads(server))
    assert re.search(rf"{total / 1e6:.1f}MB", bars)
    assert len(set(re.findall(r"(\d+)%", bars))) >= 3


def test_pickled_weights_are_not_even_downloaded(official_style, online, tmp_path):
    pickled = shutil.copytree(official_style, tmp_path / "pickled")
    (pickled / UNET).rename((pickled / UNET).with_suffix(".bin"))
    with hub.serve(pickled, BASE, REVISION) as server:
        online(server.url)
        refused("unet", "no .safetensors", "pickled", "run any code", kind=FileNotFoundError)
        assert not any(".bin" in file for file in downloads(server))


# --- the disk ---------------------------------------------------------------------------------------------------------


def test_a_disk_that_is_too_small_is_found_out_first(server, monkeypatch):
    monkeypatch.setattr(
        checkpoints.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**7, 9 * 10**6, 10**6)
    )
    refused("0.02 GB", "0.00 GB free", "make room", "HF_HOME")
    assert not downloads(server)


def test_what_is_there_already_needs_no_room(server, monkeypatch):
    server.faults = {GET_UNET: iter([500])}
    refused("500")
    rest = (server.folder / UNET).stat().st_size
    monkeypatch.setattr(checkpoints.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 0, rest))
    loads()


TRY = f"""
import helpers
try:
    helpers.load_pipeline("{BASE}", device="cpu")
    print("loaded")
except OSError as error:
    print(repr(str(error)))
"""


@pytest.mark.root
def test_a_full_disk(official_style, tmp_path):
    mount = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=12m none "$HF_HOME" && exec "$@"', "sh"]
    home = os.environ | {"HF_HOME": str(tmp_path)}
    if sys.platform != "linux" or subprocess.run([*mount, "true"], env=home, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("mounting a small disk needs root on Linux: sudo .venv/bin/pytest -m root")
    unknowing = "import shutil; shutil.disk_usage = lambda path: shutil._ntuple_diskusage(10**9, 0, 10**9)"
    with hub.serve(official_style, BASE, REVISION) as server:
        done = hub.run(f"{TRY}\n{unknowing}\n{TRY}", server.url, tmp_path, before=mount)
    assert done.returncode == 0, done.stderr
    before, *_, in_the_middle = done.stdout.splitlines()
    assert "still to come" in before and "No space left on device" in in_the_middle
    for said in (before, in_the_middle):
        assert "make room" in said and "HF_HOME" in said and str(tmp_path) in said and r"\n" not in said


@pytest.mark.skipif(os.name == "nt", reason="needs the permissions of POSIX")
def test_a_cache_that_cannot_be_written(server, tmp_path):
    root = os.geteuid() == 0
    if root and not shutil.which("setpriv"):
        pytest.skip("root may write everywhere, and there is no setpriv to take that right away")
    complete, empty = tmp_path / "cache", tmp_path / "empty"
    helpers.find_checkpoint(BASE)
    empty.mkdir()
    for folder in (empty, complete, *(path for path in complete.rglob("*") if path.is_dir())):
        folder.chmod(0o555)
    code = f"{TRY}\nfrom huggingface_hub import constants\nconstants.HF_HUB_CACHE = {str(empty)!r}\n{TRY}"
    obey = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if root else []
    done = hub.run(code, server.url, tmp_path, before=obey, HF_HUB_CACHE=str(complete))
    assert done.returncode == 0, done.stderr
    first, *_, last = done.stdout.splitlines()
    assert first == "loaded"
    assert "Permission denied" in last and str(empty) in last and "HF_HOME" in last and r"\n" not in last


# --- offline ----------------------------------------------------------------------------------------------------------


def test_offline_with_all_files(server, monkeypatch):
    helpers.find_checkpoint(BASE)
    server.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    loads()
    assert not server.requests


@pytest.mark.parametrize("lost", [UNET, "tokenizer_2/tokenizer.json", "model_index.json", None])
def test_offline_with_a_file_missing(server, monkeypatch, lost):
    if lost:
        (helpers.find_checkpoint(BASE) / lost).unlink()
    server.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused("HF_HUB_OFFLINE", "offline.md", 'load_pipeline("pocket")', within=5)
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
        for _ in range(2):  # the second time fetches nothing
            done = run(download, HF_ENDPOINT=server.url)
            assert done.returncode == 0, done.stderr
        asked = downloads(server)
    assert len(asked) == len(set(asked)) and UNET in asked and not any(file.endswith(".bin") for file in asked)
    done = run(check)
    assert done.returncode == 0, done.stderr
    (tmp_path / "audioldm2" / UNET).unlink()
    with pytest.raises(FileNotFoundError, match="no .safetensors"):
        helpers.load_pipeline(tmp_path / "audioldm2")
