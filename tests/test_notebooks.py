"""What must hold for every lesson, without running it."""

import ast
import re
import sys
import types

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from notebooks import address

NOTEBOOKS = sorted(address.HERE.glob("[0-9][0-9]_*.ipynb"))
LESSONS = [path for path in NOTEBOOKS if not path.name.startswith("00_")]  # 00 checks the machine, and teaches nothing
BY_NAME = {"argvalues": NOTEBOOKS, "ids": [path.stem for path in NOTEBOOKS]}


def cell(notebook, cell_id):
    return next(c for c in notebook.cells if c.id == cell_id)


def test_there_are_lessons():
    assert LESSONS


@pytest.mark.parametrize("path", **BY_NAME)
def test_committed_without_outputs(path):
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    for i, c in enumerate(notebook.cells, 1):
        assert not c.get("outputs") and c.get("execution_count") is None, f"{path.name}, cell {i} has outputs"


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_what_tests_shrink_stands_in_the_parameter_cell(path):
    notebook = nbformat.read(path, 4)
    shrunk = [c for c in notebook.cells if "nbmake" in c.metadata]
    assert [c.id for c in shrunk] == ["parameters"]
    assigned = {target.id for node in ast.parse(shrunk[0].source).body for target in node.targets}
    mock = shrunk[0].metadata.nbmake.mock
    assert set(mock) <= assigned
    assert mock["CHECKPOINT"] == "pocket"


@pytest.mark.parametrize("path", **BY_NAME)
def test_links_lead_somewhere(path):
    text = "\n".join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == "markdown")
    for target in re.findall(r"\]\((?!https?:|#)([^)]+)\)", text):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"


@pytest.mark.parametrize("path", **BY_NAME)
def test_prose_holds_no_measured_number(path):
    number = re.compile(r"\d[\d.,]*\s*((s|ms|seconds?|minutes?|times|x|GB|MB|GiB|dB|it/s|iterations)\b|%|×)")
    for c in nbformat.read(path, 4).cells:
        if c.cell_type == "markdown" and c.id != "card":
            for paragraph in re.sub(r"```.*?```", "", c.source, flags=re.DOTALL).splitlines():
                quoted = "original" in paragraph or "2023 tutorial" in paragraph  # those figures are its own
                assert quoted or not number.search(paragraph), f"{path.name}, {c.id}: {paragraph}"


@pytest.mark.parametrize("path", **BY_NAME)
def test_badge_and_set_up_hold_the_address_of_pyproject(path):
    assert not address.addressed(nbformat.read(path, 4), path.name, address.repository())


@pytest.mark.parametrize("path", **BY_NAME)
def test_a_new_address_reaches_badge_and_set_up(path):
    notebook = nbformat.read(path, 4)
    assert address.addressed(notebook, path.name, "https://github.com/someone/course")
    assert f"github/someone/course/blob/main/notebooks/{path.name})" in cell(notebook, "title").source
    assert 'address = "https://github.com/someone/course"' in cell(notebook, "set-up").source


def test_the_badges_of_the_readme_lead_to_every_lesson():
    readme = (address.HERE.parent / "README.md").read_text(encoding="utf-8")
    assert address.badges(readme, address.repository()) == readme
    moved = address.badges(readme, "https://github.com/someone/course")
    for path in LESSONS:
        assert f"({address.COLAB}/someone/course/blob/main/notebooks/{path.name})" in moved


@pytest.mark.parametrize("path", **BY_NAME)
def test_set_up_in_colab_refuses_the_placeholder(path, monkeypatch):
    notebook = nbformat.read(path, 4)
    address.addressed(notebook, path.name, "https://github.com/OWNER/REPOSITORY")
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    code = TransformerManager().transform_cell(cell(notebook, "set-up").source)
    with pytest.raises(RuntimeError, match="no public address"):
        exec(code, {})
