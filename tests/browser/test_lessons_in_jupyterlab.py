"""The lessons in JupyterLab in Chromium: pip install -e ".[browser]", then pytest -m browser."""

import re
from pathlib import Path

import lab
import pytest

pytestmark = pytest.mark.browser
LESSONS = sorted(path.name for path in (lab.ROOT / "notebooks").glob("0[0-8]_*.ipynb"))
RECIPE = "08_your_recipe.ipynb"
CHECKS = (Path(__file__).parent / "page_checks.js").read_text(encoding="utf-8")


@pytest.fixture
def recipe(opened):
    """Lesson 8, which has every kind of widget."""
    return opened(RECIPE)


def output(page, cell_id_text):
    """The output of the code cell that holds a text."""
    return page.locator(".jp-CodeCell", has=page.locator(".jp-InputArea", has_text=cell_id_text)).locator(
        ".jp-Cell-outputArea"
    )


def focused(page):
    """The name of what the keyboard would act on."""
    return page.evaluate("(e => e.innerText || e.labels?.[0]?.innerText || e.tagName)(document.activeElement)").strip()


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_runs_and_shows_its_players_and_plots(opened, name):
    page = opened(name)
    outputs = page.locator(".jp-Cell-outputArea")
    assert outputs.locator("figure audio").count() >= 1
    assert outputs.locator("img").count() >= 1
    for image in outputs.locator("img").all():
        assert image.evaluate("image => image.complete && image.naturalWidth > 100"), "a plot that is not drawn"
    durations = outputs.locator("audio").evaluate_all(
        """players => Promise.all(players.map(player => new Promise(done => {
               if (player.readyState) return done(player.duration);
               player.onloadedmetadata = () => done(player.duration); player.onerror = () => done(0);
           })))"""
    )
    assert min(durations) > 1, f"players hold {durations} s of sound"
    assert not page.get_by_text("Error displaying widget").count()


@pytest.mark.parametrize("theme", ["Light", "Dark"])
@pytest.mark.parametrize("name", LESSONS)
def test_everything_has_a_name_and_enough_contrast(opened, name, theme):
    page = opened(name)
    page.get_by_role("menuitem", name="Settings", exact=True).click()
    page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Theme$")).hover()  # an entry without a role
    page.locator(".lm-Menu-itemLabel", has_text=re.compile(f"^JupyterLab {theme}$")).click()
    page.locator(f"body[data-jp-theme-light='{str(theme == 'Light').lower()}']").wait_for(state="attached")
    assert page.evaluate(CHECKS) == []


def test_a_player_plays_by_the_keyboard(recipe):
    player = output(recipe, "helpers.BlindTest(").locator("audio").first
    player.focus()
    recipe.keyboard.press("Space")
    recipe.wait_for_function("player => player.currentTime > 0.2 && !player.paused", arg=player.element_handle())
    recipe.keyboard.press("Space")
    recipe.wait_for_function("player => player.paused", arg=player.element_handle())


def test_the_prediction_answers(recipe):
    guess = output(recipe, "prediction = helpers.Prediction")
    guess.locator("input").fill("fast")
    guess.get_by_text("'fast' is no number").wait_for()
    guess.locator("input").fill("4,5")
    guess.get_by_text("Your prediction: 4.5").wait_for()


def test_the_blind_test_is_answered_by_mouse_and_keyboard(recipe):
    blind = output(recipe, "helpers.BlindTest(")
    assert blind.locator("audio").count() == 3
    blind.get_by_role("button", name="X is A").click()
    blind.get_by_text("7 of 8 trials to go").wait_for()
    blind.get_by_text("X, trial 2 of 8").wait_for()
    recipe.keyboard.press("Tab")
    assert focused(recipe) == "X is B"
    recipe.keyboard.press("Enter")
    blind.get_by_text("6 of 8 trials to go").wait_for()
    recipe.keyboard.press("Space")
    blind.get_by_text("5 of 8 trials to go").wait_for()


def test_the_panel_makes_clips_by_mouse_and_keyboard_and_compares_them(recipe):
    panel = output(recipe, "helpers.Panel(")
    panel.get_by_label("Steps", exact=True).fill("3")
    panel.get_by_label("Seed", exact=True).fill("1")
    panel.get_by_role("button", name="Make a clip").click()
    panel.get_by_role("status").filter(has_text="Made in").wait_for()
    panel.locator("audio").wait_for()

    panel.get_by_label("Scheduler", exact=True).select_option("Euler")
    panel.get_by_label("Seed", exact=True).focus()
    recipe.keyboard.press("Control+A")
    recipe.keyboard.type("2")
    recipe.keyboard.press("Tab")
    assert focused(recipe) == "Make a clip"
    recipe.keyboard.press("Enter")
    panel.locator("li", has_text="2: Euler, 3 steps, guidance 3.5, seed 2").wait_for()
    panel.get_by_text("All at the same gain").wait_for()
    assert panel.locator("figcaption").all_inner_texts() == [
        "1: DPM++ 2M, 3 steps, guidance 3.5, seed 1",
        "2: Euler, 3 steps, guidance 3.5, seed 2",
    ]
    panel.get_by_label("Compare", exact=True).select_option(index=1)
    recipe.wait_for_function("area => area.querySelectorAll('audio').length === 1", arg=panel.element_handle())


def test_progress_moves_while_the_panel_works(recipe):
    panel = output(recipe, "helpers.Panel(")
    panel.get_by_label("Steps", exact=True).fill("40")
    panel.get_by_role("button", name="Make a clip").click()
    panel.get_by_text(re.compile(r"Step \d+ of 40")).wait_for()
    assert panel.get_by_role("button", name="Make a clip").is_disabled()
    panel.get_by_role("status").filter(has_text="Made in").wait_for()
    assert panel.get_by_role("button", name="Make a clip").is_enabled()


def test_an_error_in_the_panel_is_one_line(recipe):
    panel = output(recipe, "helpers.Panel(")
    before = panel.locator("li").count()
    panel.get_by_label("Steps", exact=True).fill("-1")
    panel.get_by_role("button", name="Make a clip").click()
    alert = panel.get_by_role("alert").filter(has_text="num_inference_steps")
    alert.wait_for()
    assert "\n" not in alert.inner_text().strip()
    assert panel.locator("li").count() == before


def test_a_panel_that_works_is_stopped(recipe):
    panel = output(recipe, "helpers.Panel(")
    panel.get_by_label("Steps", exact=True).fill("500")
    panel.get_by_role("button", name="Make a clip").click()
    panel.get_by_text(re.compile(r"Step \d+ of 500")).wait_for()
    panel.get_by_role("button", name="Stop").click()
    panel.get_by_role("alert").filter(has_text="Stopped.").wait_for()


def test_a_cell_that_runs_beside_the_panel_is_told(recipe):
    panel = output(recipe, "helpers.Panel(")
    panel.get_by_label("Steps", exact=True).fill("500")
    panel.get_by_role("button", name="Make a clip").click()
    panel.get_by_text(re.compile(r"Step \d+ of 500")).wait_for()
    run_code(recipe, "pipe(PROMPT, num_inference_steps=1)")
    lab.errors(recipe).filter(has_text="This pipeline is making another clip").wait_for()
    panel.get_by_role("button", name="Stop").click()
    panel.get_by_role("alert").filter(has_text="Stopped.").wait_for()
    run_code(recipe, "print(pipe(PROMPT, num_inference_steps=1, audio_length_in_s=1.0).audios.shape)")
    recipe.get_by_text("(1, 16000)").wait_for()


def test_the_panel_that_is_used_beside_a_cell_leaves_its_clip_alone(recipe):
    panel = output(recipe, "helpers.Panel(")
    panel.get_by_label("Steps", exact=True).fill("1")
    call = "pipe(PROMPT, num_inference_steps=50, generator=torch.Generator().manual_seed(0)).audios"
    start_code(recipe, f"slow = {call}")
    panel.get_by_role("button", name="Make a clip").click()
    wait_for_code(recipe, f"slow = {call}")
    panel.get_by_text(re.compile("Made in|This pipeline is making another clip")).first.wait_for()
    run_code(recipe, f"print('same clip:', (slow == {call}).all())")
    recipe.get_by_text("same clip: True").wait_for()


def start_code(page, code):
    """Add a cell at the end by the keyboard, and run it."""
    page.locator(".jp-Cell").last.click()
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    page.keyboard.insert_text(code)
    page.keyboard.press("Control+Enter")


def wait_for_code(page, code):
    page.locator(".jp-CodeCell", has_text=code).locator(".jp-InputPrompt", has_text=re.compile(r"\[\d+\]")).wait_for()


def run_code(page, code):
    """Add a cell at the end, run it, and wait for its end."""
    start_code(page, code)
    wait_for_code(page, code)
