"""Rehearse a schedule of docs/teaching.md on this machine: `python tools/rehearse.py 90`.

90 is the number of minutes in the heading of the schedule. Its notebooks run as they are, one after the other, and the
minutes that their cells take here are printed beside those that the schedule has for them.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools.execute import ROOT, executed, notebooks, seconds  # noqa: E402


def schedules():
    """The schedules of docs/teaching.md: rows of minutes and what they are for, by the minutes in the heading."""
    text = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
    found = re.findall(r"^### [^\n]*?(\d+) minutes\n(.+?)(?=^#)", text, re.MULTILINE | re.DOTALL)
    return {
        int(n): [(int(m), what) for m, what in re.findall(r"^\| (\d+) \| (.+?) \|", body, re.M)] for n, body in found
    }


def notebook_of(what):
    """The notebook that a row of a schedule is about, or None."""
    lesson = re.match(r"(?:the tour|lesson (\d+))", what)
    return notebooks(f"{int(lesson[1] or 0):02}_")[0] if lesson else None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("minutes", type=int, choices=schedules(), help="in the heading of the schedule")
    for minutes, what in schedules()[parser.parse_args().minutes]:
        if path := notebook_of(what):
            with tempfile.TemporaryDirectory() as fresh:
                took = seconds(executed(path, cache=Path(fresh)))
            print(
                f"{what}: {minutes} minutes in the schedule, of which its cells take {took / 60:.1f} here", flush=True
            )
