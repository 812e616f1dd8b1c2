"""What hands do in JupyterLab."""

import re
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
TIMEOUT = 180  # seconds for JupyterLab to start, or to show something, on a busy machine


def errors(page):
    """The outputs that show an error; how JupyterLab marks them differs between its versions."""
    return page.locator(".jp-OutputArea-output", has_text="Traceback (most recent call last)")


def run_all(page, address, timeout=600):
    """Open a lesson, run all cells, wait for the last one, and fail with the text of the first error."""
    page.set_default_timeout(TIMEOUT * 1000)
    page.goto(address)
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()  # earlier, Run All would ask which kernel is meant
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    prompts = page.locator(".jp-CodeCell .jp-InputPrompt")
    deadline = time.monotonic() + timeout
    while {"[*]:", "[ ]:"} & set(texts := [text.strip() for text in prompts.all_inner_texts()]):
        assert not errors(page).count(), errors(page).first.inner_text()[-2000:]
        assert time.monotonic() < deadline, f"after {timeout} s the prompts are {texts}"
        time.sleep(1)
    assert not errors(page).count(), errors(page).first.inner_text()[-2000:]
    return page


def output(page, code):
    """The output of the code cell that holds a text."""
    cell = page.locator(".jp-CodeCell", has=page.locator(".jp-InputArea", has_text=code))
    return cell.locator(".jp-Cell-outputArea")


def run_code(page, code):
    """Add a cell at the end by the keyboard, run it, and wait for its end."""
    page.locator(".jp-Cell").last.click(position={"x": 40, "y": 8})  # not on a link, such as those of a traceback
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    page.keyboard.insert_text(code)
    page.keyboard.press("Control+Enter")
    page.locator(".jp-CodeCell", has_text=code).locator(".jp-InputPrompt", has_text=re.compile(r"\[\d+\]")).wait_for()
