"""Every fault that docs/faults.md names: one clear line, before heavy work begins."""

import functools
import re
from collections import Counter

import faults
import pytest


@pytest.fixture(scope="session")
def seen(pocket):
    """What a user sees in a case; each case runs once."""
    return functools.cache(lambda case: faults.see(case, pocket))


@pytest.mark.parametrize("case", faults.CASES, ids=lambda case: case.name)
def test_one_clear_line(seen, case):
    found = seen(case)
    assert found.kind == case.kind, found
    assert re.search(case.words, found.text), found
    assert "\n" not in found.text, found


def test_every_fault_has_three_variants_and_no_input_stands_there_twice():
    rows = Counter(case.row for case in faults.CASES)
    assert set(rows) == set(faults.FAULTS) and min(rows.values()) >= 3, rows
    assert len({case.name for case in faults.CASES}) == len(faults.CASES) >= 100


def test_the_document_is_what_the_cases_say(seen):
    text = faults.DOCUMENT.read_text(encoding="utf-8")
    if faults.versions_used() not in text:
        pytest.skip("docs/faults.md was written with other versions, whose wording may differ")
    assert text == faults.document({case: seen(case) for case in faults.CASES})


def test_a_case_fails_when_nothing_is_said(pocket):
    case = faults.Case(1, "a good prompt", lambda lab: lab.stop_before_work() or lab.pipe(**faults.CALL), "error")
    assert faults.see(case, pocket).kind == "nothing"
