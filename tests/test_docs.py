"""README, glossary, notes for teachers and the pages of the site keep step with the lessons."""

import json
import re
from pathlib import Path

import nbformat
import pytest

from tools import build_site, lesson_minutes, rehearse
from tools.execute import ROOT

DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "pocket" / "README.md"]
TEACHING = (ROOT / "docs" / "teaching.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
RECORD = json.loads(lesson_minutes.RECORD.read_text("utf-8"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    text = re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_the_glossary_is_in_order():
    terms = re.findall(r"^- \*\*(.+?)\*\*: ", (ROOT / "docs" / "glossary.md").read_text("utf-8"), re.M)
    assert [term.lower() for term in terms] == sorted({term.lower() for term in terms})


def test_the_minutes_are_those_of_the_lessons_as_they_are():
    assert TEACHING == lesson_minutes.with_table(TEACHING, RECORD), "run python tools/lesson_minutes.py"
    assert README == lesson_minutes.with_minutes(README, RECORD), "run python tools/lesson_minutes.py"
    stems = re.findall(r"(?m)^\| .*\(notebooks/(\w+)\.ipynb\).*\| \d+ \|$", README)
    assert stems == list(lesson_minutes.lessons()), "a notebook has no row with minutes in the README's table"


def test_every_lesson_has_notes_for_the_teacher():
    for stem, notebook in lesson_minutes.lessons().items():
        title = notebook.cells[0].source.splitlines()[0].removeprefix("# ")
        assert f"\n### {title}\n" in TEACHING, f"docs/teaching.md has no notes on {stem}, {title!r}"


@pytest.mark.parametrize("promised", [90, 240])
def test_a_schedule_adds_up_and_leaves_each_lesson_its_time(promised):
    rows = rehearse.schedules()[promised]
    assert sum(minutes for minutes, _ in rows) == promised
    lessons = [(minutes, path) for minutes, what in rows if (path := rehearse.notebook_of(what))]
    assert len(lessons) >= 3
    for minutes, path in lessons:
        notebook = nbformat.read(path, 4)
        needed = lesson_minutes.whole(path.stem, notebook, RECORD) - lesson_minutes.minutes(notebook)[1]
        assert minutes >= needed, f"{path.stem} needs {needed:.0f} minutes without exercises"


def test_every_figure_in_the_readme_is_in_the_results():
    results = (ROOT / "docs" / "results.md").read_text("utf-8")
    prose = re.sub(r"(?s:```.*?```)|^\|.*notebooks/.*$", "", README, flags=re.MULTILINE)
    figures = re.findall(r"\d[\d.,]*(?:x| (?:s|dB|%|GB|MB))(?![\w.])", prose)
    assert figures and not [figure for figure in figures if figure not in results]


def test_the_readme_is_short_and_has_one_still_picture():
    assert len([word for word in re.sub("<!--.*?-->", "", README).split() if re.search(r"\w", word)]) <= 700
    assert re.findall(r"!\[[^]]*\]\(([^)]*)\)", README) == ["docs/before_after.png"]


@pytest.mark.parametrize(
    "text, fitted",
    [
        ("[next](03_sdpa.ipynb)", "[next](03_sdpa.ipynb)"),
        ("[terms](../docs/glossary.md#t5)", "[terms](../docs/glossary.md#t5)"),
        ("[script](../benchmarks/parts.py)", "[script](https://github.com/a/b/blob/main/benchmarks/parts.py)"),
        ("[folder](../pocket)", "[folder](https://github.com/a/b/tree/main/pocket)"),
        ("[![Open in Colab](https://x.org/badge.svg)](https://x.org/run)", "[Open in Colab](https://x.org/run)"),
        ("[below](#measure)", "[below](#measure)"),
        ("![alt](../docs/ladder.png)", "![alt](../docs/ladder.png)"),
    ],
)
def test_links_are_made_to_fit_the_site(text, fitted):
    pages = {"notebooks/03_sdpa.ipynb", "docs/glossary.md"}
    assert build_site.localise(text, Path("notebooks/02_x.ipynb"), pages, "https://github.com/a/b") == fitted


def test_bars_that_have_filled_up_are_left_out():
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "bar"}, "text/plain": "HBox()"}
    bar = nbformat.v4.new_output("display_data", data=view)
    kept = nbformat.v4.new_output("stream", text="100 % of the components are loaded")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=[bar, kept])])
    state = {"bar": {"model_name": "FloatProgressModel", "state": {"value": 4.0, "max": 4.0}}}
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": state}}
    assert build_site.page(notebook).cells[0].outputs == [kept]
