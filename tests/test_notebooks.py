"""What must hold for every notebook, without running it."""

import ast
import re
import sys

import nbformat
import pytest

from tools.execute import ROOT, notebooks

NOTEBOOKS = notebooks()
WITH_PARAMETERS = [path for path in NOTEBOOKS if path.name != "check_your_machine.ipynb"]
LESSONS = [path for path in NOTEBOOKS if re.match("[0-9][0-9]_", path.name) and not path.name.startswith("00_")]


def name(path):
    return path.relative_to(ROOT / "notebooks").with_suffix("").as_posix()


def each(paths):
    return pytest.mark.parametrize("path", paths, ids=name)


def cells(path, prefix="", kind="code"):
    return [c for c in nbformat.read(path, 4).cells if c.cell_type == kind and c.id.startswith(prefix)]


def test_there_are_a_tour_ten_lessons_and_a_check():
    assert {f"{number:02}" for number in range(1, 11)} <= {name(path)[:2] for path in LESSONS}
    assert {"00_tour", "check_your_machine"} <= {name(path) for path in NOTEBOOKS}


@each(NOTEBOOKS)
def test_committed_without_outputs(path):
    nbformat.validate(nbformat.read(path, 4))
    for cell in cells(path):
        assert not cell.outputs and cell.execution_count is None, cell.id


@each(WITH_PARAMETERS)  # check_your_machine must do its work where helpers cannot be imported
def test_the_set_up_is_the_same_everywhere_and_folded(path):
    (set_up,), (first, *_) = cells(path, "set-up"), cells(NOTEBOOKS[0], "set-up")
    assert set_up.source == first.source
    assert set_up.metadata == {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["hide-input"]}


def test_the_set_up_names_the_kernel_that_lacks_the_course(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "helpers", None)  # which makes its import fail
    with pytest.raises(ModuleNotFoundError, match=f"Jupyter kernel is {re.escape(sys.executable)}: choose"):
        exec(re.sub(r"^ +!git .*", "    pass", cells(NOTEBOOKS[0], "set-up")[0].source, flags=re.MULTILINE), {})


@each(WITH_PARAMETERS)
def test_what_tests_shrink_is_in_the_parameter_cell(path):
    (shrunk,) = [cell for cell in cells(path) if "nbmake" in cell.metadata]
    assert shrunk.id == "parameters" and "parameters" in shrunk.metadata.tags
    assigned = {target.id for node in ast.parse(shrunk.source).body for target in node.targets}
    mock = shrunk.metadata.nbmake.mock
    assert {"CHECKPOINT", "SECONDS"} <= assigned and set(mock) <= assigned
    assert mock["CHECKPOINT"] == "pocket"


@each(LESSONS)
def test_a_lesson_has_exercises_and_a_change_that_can_be_undone(path):
    assert cells(path, "exercise-")
    changes = [cell for cell in cells(path, "change") if "course" in cell.metadata]
    assert all(cell.source.strip() != cell.metadata.course.without_the_change.strip() for cell in changes)
    assert name(path).startswith("01") or changes and cells(path, "proof")


@each(NOTEBOOKS)
def test_links_lead_somewhere(path):
    text = "\n".join(cell.source for cell in cells(path, kind="markdown"))
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (path.parent / target).exists(), target


@each(NOTEBOOKS)
def test_prose_holds_no_measured_number(path):
    number = re.compile(r"\d[\d.,]*\s*((s|ms|seconds?|minutes?|times|x|GB|MB|GiB|dB|it/s|iterations)\b|%|×)")
    for cell in cells(path, kind="markdown"):
        if cell.id != "card":
            for paragraph in re.sub(r"```.*?```", "", cell.source, flags=re.DOTALL).splitlines():
                quoted = "original" in paragraph or "2023 tutorial" in paragraph  # those figures are its own
                assert quoted or not number.search(paragraph), f"{cell.id}: {paragraph}"
