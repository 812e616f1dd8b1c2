"""One JupyterLab and one browser for all tests here."""

import lab
import pytest


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="session")
def server(folder):
    pytest.importorskip("playwright", reason='playwright is missing: pip install -e ".[browser]"')
    with lab.jupyterlab(folder) as server:
        yield server


@pytest.fixture(scope="session")
def context(server):
    with lab.chromium(viewport={"width": 1200, "height": 1000}) as context:
        yield context


@pytest.fixture(scope="session")
def opened(server, context, folder):
    """Opens a copy of a lesson, runs all of it, and gives its page; every lesson once."""
    pages = {}

    def opened(name):
        if name not in pages:
            lab.copy_lesson(name, folder)
            pages[name] = lab.open_lesson(context, server, name)
            lab.run_all(pages[name])
        return pages[name]

    return opened
