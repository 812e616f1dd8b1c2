"""One JupyterLab on loopback, on copies of the lessons, for all tests here."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request

import lab
import nbformat
import pytest
from lessons import shrunk

SETTINGS = {  # all cells stand in the page, not only those in sight; and nothing asks the network for news
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="session")
def server(folder):
    """A JupyterLab with settings and a scoreboard of its own: its address with %s for a path, and the token."""
    config, token = folder / ".jupyter", secrets.token_hex()
    (config / "labconfig").mkdir(parents=True)
    (config / "labconfig" / "default_setting_overrides.json").write_text(json.dumps(SETTINGS))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(config),
        "JUPYTER_RUNTIME_DIR": str(config / "runtime"),
        "JUPYTER_TOKEN": token,
        "PYTHONPATH": str(lab.ROOT),
        "AUDIOLDM2_SCOREBOARD": str(folder / "scoreboard.jsonl"),
    }
    environment.pop("MPLBACKEND", None)  # what pytest set for itself; a learner has the notebook's own
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}", "--allow-root"]
    address = f"http://127.0.0.1:{port}/%s?token={token}"
    kept = {"env": environment, "cwd": folder, "stderr": subprocess.STDOUT}
    with open(config / "log.txt", "w") as log, subprocess.Popen(command, stdout=log, **kept) as process:
        try:
            for _ in range(2 * lab.TIMEOUT):
                try:
                    urllib.request.urlopen(address % "api", timeout=5).close()
                    break
                except OSError:
                    assert process.poll() is None, (config / "log.txt").read_text()[-2000:]
                    time.sleep(0.5)
            yield address
        finally:
            process.terminate()  # it ends its kernels
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()  # kernels end without it


@pytest.fixture(scope="session")
def opened(server, chromium, folder):  # in this order, so that Chromium closes before JupyterLab ends
    """Opens a copy of a lesson, runs all of it, and gives its page; every lesson once."""
    pages = {}

    def opened(name):
        if name not in pages:
            nbformat.write(shrunk(lab.ROOT / "notebooks" / name), folder / name)
            page = chromium.new_page(viewport={"width": 1200, "height": 1000})
            pages[name] = lab.run_all(page, server % f"doc/tree/{name}")
        return pages[name]

    return opened
