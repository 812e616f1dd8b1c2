"""A JupyterLab on loopback, on copies of the lessons, and the page of a real browser in it."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[2]
SETTINGS = {  # all cells stand in the page, not only those in sight; and nothing asks the network for news
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
}
TIMEOUT = 180  # seconds for JupyterLab to start, or to show something, on a busy machine


def copy_lesson(name, folder, **parameters):
    """Copy a lesson with the short parameters of its tests, so that what JupyterLab saves stays out of the tree."""
    notebook = nbformat.read(ROOT / "notebooks" / name, 4)
    cell = next(cell for cell in notebook.cells if cell.id == "parameters")
    short = cell.metadata["nbmake"]["mock"] | parameters
    cell.source += "\n" + "\n".join(f"{key} = {value!r}" for key, value in short.items())
    nbformat.write(notebook, folder / name)


@contextmanager
def jupyterlab(folder):
    """Serve a folder by JupyterLab, with settings and a scoreboard of its own; yield the address and the token."""
    config, token = folder / ".jupyter", secrets.token_hex()
    (config / "labconfig").mkdir(parents=True)
    (config / "labconfig" / "default_setting_overrides.json").write_text(json.dumps(SETTINGS))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(config),
        "JUPYTER_RUNTIME_DIR": str(config / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(config / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(config / "workspaces"),
        "JUPYTER_TOKEN": token,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "AUDIOLDM2_SCOREBOARD": str(folder / "scoreboard.jsonl"),
        "HF_HUB_OFFLINE": "1",
    }
    environment.pop("MPLBACKEND", None)  # what pytest set for itself; a learner has the notebook's own
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}", "--allow-root"]
    log = open(config / "log.txt", "w+")
    server = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/api?token={token}", server, log)
        yield address, token
    finally:
        server.terminate()  # it ends its kernels
        try:
            server.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            server.kill()
        log.close()


def _wait_for(address, server, log):
    for _ in range(2 * TIMEOUT):
        try:
            return urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            if server.poll() is not None:
                break
            time.sleep(0.5)
    log.seek(0)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read()[-2000:]}")


@contextmanager
def chromium(**settings):
    """Start Debian's or the system's Chromium, or else the one that `playwright install chromium` fetched."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser.new_context(**settings)
        browser.close()


def open_lesson(context, lab, name):
    """Open a lesson in a page of its own, and wait for its kernel."""
    address, token = lab
    page = context.new_page()
    page.set_default_timeout(TIMEOUT * 1000)
    page.goto(f"{address}/doc/tree/{name}?token={token}")
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()  # earlier, Run All would ask which kernel is meant
    return page


def errors(page):
    """The outputs that show an error; how JupyterLab marks them differs between its versions."""
    return page.locator(".jp-OutputArea-output", has_text="Traceback (most recent call last)")


def run_all(page, timeout=600):
    """Choose Run All Cells, wait for the last cell, and fail with the text of the first error."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    prompts = page.locator(".jp-CodeCell .jp-InputPrompt")
    deadline = time.monotonic() + timeout
    while True:
        texts = prompts.all_inner_texts()
        assert not errors(page).count(), errors(page).first.inner_text()[-2000:]
        if all(text.strip() not in ("[*]:", "[ ]:") for text in texts):
            return
        assert time.monotonic() < deadline, f"after {timeout} s the prompts are {texts}"
        time.sleep(1)
