"""What must hold for every notebook, without running it."""

import ast
import re
import sys

import nbformat
import pytest
from lessons import NOTEBOOKS, cells, each

from tools.execute import LINK

WITH_PARAMETERS = [path for path in NOTEBOOKS if path.name != "check_your_machine.ipynb"]
LESSONS = [path for path in NOTEBOOKS if re.match("[0-9][0-9]_", path.name) and not path.name.startswith("00_")]
TOUR = nbformat.read(NOTEBOOKS[0], 4)


@each(NOTEBOOKS)
def test_committed_without_outputs(path):
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    for cell in cells(notebook):
        assert not cell.outputs and cell.execution_count is None, cell.id


@each(WITH_PARAMETERS)  # check_your_machine must do its work where helpers cannot be imported
def test_the_set_up_is_the_same_everywhere_and_folded(path):
    (set_up,), (first,) = cells(nbformat.read(path, 4), "set-up"), cells(TOUR, "set-up")
    assert set_up.source == first.source
    assert set_up.metadata == {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["hide-input"]}


def test_the_set_up_names_the_kernel_that_lacks_a_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "helpers", None)  # which makes its import fail
    with pytest.raises(ModuleNotFoundError, match=f"Jupyter kernel is {re.escape(sys.executable)}: choose"):
        exec(re.sub(r"!git .*", "pass", cells(TOUR, "set-up")[0].source), {})


@each(WITH_PARAMETERS)
def test_what_tests_shrink_is_in_the_parameter_cell(path):
    (shrunk,) = [cell for cell in cells(nbformat.read(path, 4)) if "nbmake" in cell.metadata]
    assert shrunk.id == "parameters" and "parameters" in shrunk.metadata.tags
    assigned = {target.id for node in ast.parse(shrunk.source).body for target in node.targets}
    mock = shrunk.metadata.nbmake.mock
    assert {"CHECKPOINT", "SECONDS"} <= assigned and set(mock) <= assigned
    assert mock["CHECKPOINT"] == "pocket"


@each(LESSONS)
def test_a_lesson_has_exercises_and_a_change_that_can_be_undone(path):
    notebook = nbformat.read(path, 4)
    assert cells(notebook, "exercise-")
    changes = [cell for cell in cells(notebook, "change") if "course" in cell.metadata]
    assert all(cell.source.strip() != cell.metadata.course.without_the_change.strip() for cell in changes)
    assert path.name.startswith("01") or changes and cells(notebook, "proof")


@each(NOTEBOOKS)
def test_prose_has_no_dead_link_and_no_measured_number(path):
    number = re.compile(r"\d[\d.,]*\s*((s|ms|seconds?|minutes?|times|x|GB|MB|GiB|dB|it/s|iterations)\b|%|×)")
    for cell in cells(nbformat.read(path, 4), kind="markdown"):
        for target in LINK.findall(cell.source):
            assert (path.parent / target).exists(), target
        for paragraph in re.sub(r"```.*?```", "", cell.source, flags=re.DOTALL).splitlines():
            quoted = "original" in paragraph or "2023 tutorial" in paragraph  # those figures are its own
            assert cell.id == "card" or quoted or not number.search(paragraph), f"{cell.id}: {paragraph}"
