"""The commands of the maintainers, without running a notebook."""

import subprocess
import sys
import tempfile
import types
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement

from tools import address, figures, handouts, lesson_metrics, library_sets
from tools.execute import LINK, ROOT, notebooks, seconds

PLACEHOLDER, REAL = "https://github.com/OWNER/REPOSITORY", "https://github.com/Someone/course"
PATHS = notebooks()


def notebook(*cells):
    """A notebook of (id, source) pairs; an id that ends in -text is a text."""
    made = []
    for cell_id, source in cells:
        kind = nbformat.v4.new_markdown_cell if cell_id.endswith("text") else nbformat.v4.new_code_cell
        made.append(kind(source, id=cell_id))
    return nbformat.v4.new_notebook(cells=made)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_badge_and_set_up_hold_the_address_of_pyproject_and_follow_it(path):
    place = path.relative_to(ROOT).as_posix()
    lesson = nbformat.read(path, 4)
    assert not address.addressed(lesson, place, address.repository()), "run python tools/address.py"
    assert address.addressed(lesson, place, REAL)
    sources = {cell.id: cell.source for cell in lesson.cells}
    assert f"\n\n{address.BADGE}({address.COLAB}/Someone/course/blob/main/{place})\n\n" in sources["title"]
    assert f'\naddress = "{REAL}"\n' in sources["set-up"]
    assert not address.addressed(lesson, place, REAL)
    address.addressed(lesson, place, PLACEHOLDER)
    assert [cell.source for cell in lesson.cells] == [cell.source for cell in nbformat.read(path, 4).cells]


def test_the_readme_holds_links_only_to_a_real_address():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == address.with_links(readme, address.repository()), "run python tools/address.py"
    moved = address.with_links(readme, REAL)
    assert f"{address.COLAB}/Someone/course/blob/main/notebooks/00_tour.ipynb" in moved
    assert "https://codespaces.new/Someone/course" in moved and "https://someone.github.io/course/" in moved
    assert address.with_links(moved, PLACEHOLDER) == address.with_links(readme, PLACEHOLDER)
    assert "OWNER" not in address.with_links(moved, PLACEHOLDER)


def test_the_citation_holds_only_a_real_address():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert citation == address.with_citation(citation, address.repository()), "run python tools/address.py"
    moved = address.with_citation(citation, REAL)
    assert f'repository-code: "{REAL}"' in moved
    assert "OWNER" not in address.with_citation(moved, PLACEHOLDER)


@pytest.mark.parametrize("page", figures.PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_figure_is_that_of_its_record(page):
    text = page.read_text(encoding="utf-8")
    assert not figures.faults(text), "run python tools/figures.py"
    assert page != figures.RESULTS or text == figures.with_claims(text), "run python tools/figures.py"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It took 16.3 s, 8.0x. <!-- from: pair.before; pair.before / pair.after -->", None),
        ("It took 16.4 s, 8.0x. <!-- from: pair.before; pair.before / pair.after -->", "16.4 is 16.3 in pair.before"),
        ("It took 16.3 s.", "1 figures from 0 records"),
        ("| 16.3 s | 2 s <!-- from: pair.before --> |", "2 figures from 1 records"),
        ("| 1 s <!-- from: here --> |\n| 2 s |", "1 figures from 0 records"),
    ],
)
def test_a_figure_that_is_changed_or_of_no_record_is_found(text, words, tmp_path, monkeypatch):
    (tmp_path / "pair.json").write_text('{"before": 16.3, "after": 2.05}')
    monkeypatch.setitem(figures.RECORDS, "pair", str(tmp_path / "pair.json"))
    assert [fault.split(":")[0] for fault in figures.faults(text)] == ([words] if words else [])


def test_the_sets_stay_within_the_ranges():
    wanted = {requirement.name: requirement.specifier for requirement in library_sets.requirements("lab", "test")}
    assert len(wanted) > 10
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    constraints = [line for line in lines if not line.startswith("#")]
    for pin in map(Requirement, (*library_sets.oldest(), *library_sets.COLAB, *library_sets.NEWEST, *constraints)):
        version = next(iter(pin.specifier)).version.removesuffix(".*")
        assert pin.name == "ipython" or wanted[pin.name].contains(version), pin
    assert any(pin.startswith("torch==2.11") for pin in library_sets.oldest())


def test_a_set_that_fails_is_recorded_and_fails_the_command(monkeypatch, tmp_path):
    monkeypatch.setattr(library_sets, "RECORD", tmp_path / "record.json")
    monkeypatch.setattr(library_sets, "install", lambda python, pins: None)
    monkeypatch.setattr(library_sets, "versions", lambda python: {})
    failed = types.SimpleNamespace(returncode=1, stdout="1 failed in 3.21s")
    monkeypatch.setattr(library_sets.subprocess, "run", lambda *args, **kwargs: failed)
    monkeypatch.setattr(sys, "argv", ["library_sets.py", "newest", "--venv", f"newest={tmp_path}"])
    with pytest.raises(SystemExit) as ended:
        library_sets.main()
    assert ended.value.code and '"passed": false' in library_sets.RECORD.read_text()


def test_metrics_count_what_is_read_before_the_change():
    lesson = notebook(("card-text", "two words"), ("parameters", "A = 1"), ("load", "a\nb\n\nc"), ("change", "d"))
    lesson.cells.insert(
        1, nbformat.v4.new_code_cell("hidden", id="look", metadata={"jupyter": {"source_hidden": True}})
    )
    # code cells, body, median, longest, before the change, % apparatus, % measuring, words, longest text
    assert lesson_metrics.metrics(lesson) == (4, 5, 1, 3, 3, 20, 0, 2, 2)


def test_an_unknown_kind_of_cell_fails_and_every_lesson_is_counted_alike():
    with pytest.raises(ValueError, match="'whatever' is of no known kind"):
        lesson_metrics.metrics(notebook(("whatever", "1")))
    crowded = "f(\n    1,\n    2,\n)  # fmt: skip"  # which ruff would write in one line
    assert lesson_metrics.lines_of([nbformat.v4.new_code_cell(crowded), nbformat.v4.new_code_cell("!ls")]) == [1, 1]


def test_handouts_for_learners_have_no_solutions():  # those with solutions run in test_lessons
    task = "Do it.\n\n<details><summary>Solution</summary>\n\n```python\nanswer = 1\n```\n</details>"
    exercise = notebook(("exercises-text", task), ("exercise-1", "answer = None"))
    assert [cell.source for cell in handouts.handout(exercise, solved=False).cells] == ["Do it.", "answer = None"]


def test_links_of_handouts_lead_somewhere():
    (ROOT / ".cache").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / ".cache") as folder:  # on the same drive of Windows as the course
        subprocess.run([sys.executable, "tools/handouts.py", folder], cwd=ROOT, check=True)
        copies = [*Path(folder).rglob("*.ipynb")]
        assert len(copies) == 2 * len(PATHS)
        for copy in copies:
            prose = "".join(cell.source for cell in nbformat.read(copy, 4).cells if cell.cell_type == "markdown")
            for target in LINK.findall(prose):
                assert (copy.parent / target).exists(), f"{copy}: {target}"


def test_seconds_of_an_executed_notebook():
    times = {"iopub.execute_input": "2026-01-01T10:00:00.5Z", "shell.execute_reply": "2026-01-01T10:00:02.75Z"}
    ran = notebook(("one", "1"), ("two", "2"))
    ran.cells[0].metadata["execution"] = times
    assert seconds(ran) == 2.25
