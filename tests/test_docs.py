"""The glossary, the notes for teachers and the pages of the site keep step with the lessons."""

import json
import re
from pathlib import Path

import nbformat
import pytest

from docs import build_site, lesson_minutes
from notebooks import address

DOCS = address.HERE.parent / "docs"
LESSONS = "\n".join(
    "".join(cell["source"]) for notebook in lesson_minutes.lessons().values() for cell in notebook["cells"]
)
TERMS = re.findall(r"^- \*\*(.+?)\*\*: ", (DOCS / "glossary.md").read_text("utf-8"), re.M)
TEACHING = (DOCS / "teaching.md").read_text("utf-8")


def schedules():
    """Name, minutes promised, and the rows (minutes, what) of each schedule."""
    for title, body in re.findall(r"^### ([^\n]+ minutes)\n(.+?)(?=^#)", TEACHING, re.M | re.S):
        rows = re.findall(r"^\| (\d+) \| (.+?) \|", body, re.M)
        yield title, int(re.search(r"(\d+) minutes", title)[1]), [(int(minutes), what) for minutes, what in rows]


def test_the_glossary_has_terms_in_order_and_each_once():
    assert len(TERMS) > 50
    assert [term.lower() for term in TERMS] == sorted({term.lower() for term in TERMS})


@pytest.mark.parametrize("term", TERMS)
def test_a_term_of_the_glossary_stands_in_a_lesson(term):
    assert re.search(rf"(?<![a-z]){re.escape(term)}s?(?![a-z])", LESSONS, re.I), (
        f"no lesson says {term!r}: leave it out"
    )


def test_the_minutes_are_those_of_the_lessons_as_they_stand():
    record = json.loads(lesson_minutes.RECORD.read_text("utf-8"))
    assert TEACHING == lesson_minutes.with_tables(TEACHING, record), "run python docs/lesson_minutes.py"
    readme = lesson_minutes.README.read_text("utf-8")
    assert readme == lesson_minutes.with_minutes(readme, record), "run python docs/lesson_minutes.py"
    stems = re.findall(r"(?m)^\| \d+ \| .*\(notebooks/(\w+)\.ipynb\).*\| \d+ \| \[!\[", readme)
    assert stems == list(lesson_minutes.lessons()), "a lesson has no row with minutes in the README's table"


def test_every_lesson_has_notes_for_the_teacher():
    for stem, notebook in lesson_minutes.lessons().items():
        title = "".join(notebook["cells"][0]["source"]).splitlines()[0].removeprefix("# ")
        assert f"\n### {title}\n" in TEACHING, f"docs/teaching.md has no notes on {stem}, {title!r}"


@pytest.mark.parametrize(
    "title, promised, rows", list(schedules()), ids=lambda value: value if type(value) is str else ""
)
def test_a_schedule_adds_up_and_leaves_each_lesson_its_time(title, promised, rows):
    assert sum(minutes for minutes, _ in rows) == promised
    record, needed = json.loads(lesson_minutes.RECORD.read_text("utf-8"))["lessons"], {}
    for stem, notebook in lesson_minutes.lessons().items():
        _, exercises, together, _ = lesson_minutes.lesson_minutes(notebook, record.get(stem, {}))
        needed[int(stem[:2])] = together - exercises
    for minutes, what in rows:
        lesson = re.match(r"lesson (\d+)", what)
        if lesson:
            assert minutes >= needed[int(lesson[1])], f"{title}: {what} needs {needed[int(lesson[1])]:.0f} minutes"


def test_there_are_three_schedules():
    assert len(list(schedules())) == 3


@pytest.mark.parametrize(
    "text, fitted",
    [
        ("[next](03_sdpa.ipynb)", "[next](03_sdpa.ipynb)"),
        ("[terms](../docs/glossary.md#t5)", "[terms](../docs/glossary.md#t5)"),
        ("[script](../benchmarks/parts.py)", "[script](https://github.com/a/b/blob/main/benchmarks/parts.py)"),
        ("[folder](../pocket)", "[folder](https://github.com/a/b/tree/main/pocket)"),
        ("[![Open in Colab](https://x.org/badge.svg)](https://x.org/run)", "[Open in Colab](https://x.org/run)"),
        ("[below](#measure)", "[below](#measure)"),
    ],
)
def test_links_are_made_to_fit_the_site(text, fitted):
    pages = {"notebooks/03_sdpa.ipynb", "docs/glossary.md"}
    assert build_site.localise(text, Path("notebooks/02_x.ipynb"), pages, "https://github.com/a/b") == fitted


def test_controls_are_shown_as_they_stood():
    state = {
        "box": {"model_name": "VBoxModel", "state": {"children": ["IPY_MODEL_tick", "IPY_MODEL_choice"]}},
        "tick": {"model_name": "CheckboxModel", "state": {"description": "SDPA & more", "value": True}},
        "choice": {"model_name": "DropdownModel", "state": {"_options_labels": ["?", "UNet"], "index": 1}},
    }
    shown = build_site.controls("box", state)
    assert "SDPA &amp; more" in shown and "checked" in shown and "UNet" in shown and "disabled" in shown


def test_a_lesson_on_the_site_tells_nothing_of_the_machine_it_ran_on():
    printed = nbformat.v4.new_output("stream", text=f'where = "{build_site.ROOT.as_posix()}/pocket"')
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=[printed])])
    assert build_site.page(notebook).cells[0].outputs[0].text == 'where = "~/course/pocket"'


def test_bars_that_have_filled_up_are_left_out():
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "bar"}, "text/plain": "HBox()"}
    bar = nbformat.v4.new_output("display_data", data=view)
    kept = nbformat.v4.new_output("stream", text="100 % of the parts are loaded")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=[bar, kept])])
    state = {"bar": {"model_name": "FloatProgressModel", "state": {"value": 4.0, "max": 4.0}}}
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": state}}
    assert build_site.page(notebook).cells[0].outputs == [kept]
