"""One JupyterLab on loopback, on copies of the lessons, for all tests here."""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

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
    """A copy of the course, as a learner has it."""
    left_out = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "_site", "scoreboard.jsonl")
    return shutil.copytree(lab.ROOT, tmp_path_factory.mktemp("lab") / "course", ignore=left_out)


@pytest.fixture(scope="session")
def server(folder):
    """A JupyterLab started by the README's own line: its address with %s for a path, and the token.

    It has settings and a scoreboard of its own.
    """
    config, token = folder.parent / "jupyter", secrets.token_hex()
    (config / "labconfig").mkdir(parents=True)
    (config / "labconfig" / "default_setting_overrides.json").write_text(json.dumps(SETTINGS))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ours = {"open_browser": False, "ip": "127.0.0.1", "port": port, "port_retries": 0, "allow_root": True}
    (config / "jupyter_server_config.json").write_text(json.dumps({"ServerApp": ours}))
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(config),
        "JUPYTER_RUNTIME_DIR": str(config / "runtime"),
        "JUPYTER_TOKEN": token,
        "AUDIOLDM2_SCOREBOARD": str(config / "scoreboard.jsonl"),
    }
    environment.pop("MPLBACKEND", None)  # what pytest set for itself; a learner has the notebook's own
    (line,) = re.findall(r"(?m)^python3 .*/(jupyter lab .*)$", (folder / "README.md").read_text(encoding="utf-8"))
    command = [str(Path(sys.executable).parent / "jupyter"), *line.split()[1:]]
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
            nbformat.write(shrunk(lab.ROOT / "notebooks" / name), folder / "notebooks" / name)
            page = chromium.new_page(viewport={"width": 1200, "height": 1000})
            pages[name] = lab.run_all(page, server % f"doc/tree/notebooks/{name}")
        return pages[name]

    return opened
