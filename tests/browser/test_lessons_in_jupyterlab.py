"""The lessons in JupyterLab in Chromium: pip install -e ".[browser]", then pytest -m browser."""

import re
from pathlib import Path

import lab
import pytest

pytestmark = pytest.mark.browser
LESSONS = sorted(path.name for path in (lab.ROOT / "notebooks").glob("0[0-8]_*.ipynb"))
CHECKS = (Path(__file__).parent / "page_checks.js").read_text(encoding="utf-8")


@pytest.fixture
def recipe(opened):
    """Lesson 8, which has every kind of widget."""
    return opened("08_your_recipe.ipynb")


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
    assert min(durations) > 0.1, f"players hold {durations} s of sound"
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
    player = lab.output(recipe, "listening.BlindTest(").locator("audio").first
    player.focus()
    recipe.keyboard.press("Space")
    recipe.wait_for_function("player => player.currentTime > 0.2 && !player.paused", arg=player.element_handle())
    recipe.keyboard.press("Space")
    recipe.wait_for_function("player => player.paused", arg=player.element_handle())


def test_a_panel_that_works_shows_it_tells_a_cell_beside_it_is_stopped_and_makes_a_clip(recipe):
    panel = lab.output(recipe, "panel.Panel(")
    panel.get_by_label("Steps", exact=True).fill("500")
    panel.get_by_role("button", name="Make a clip").click()
    panel.get_by_text(re.compile(r"Step \d+ of 500")).wait_for()
    assert panel.get_by_role("button", name="Make a clip").is_disabled()
    lab.run_code(recipe, "pipe(PROMPT, num_inference_steps=1)")
    lab.errors(recipe).filter(has_text="This pipeline is making another clip").wait_for()
    panel.get_by_role("button", name="Stop").click()
    panel.get_by_role("alert").filter(has_text="Stopped.").wait_for()
    assert panel.get_by_role("button", name="Make a clip").is_enabled()
    lab.run_code(recipe, "print(pipe(PROMPT, num_inference_steps=1, audio_length_in_s=1.0).audios.shape)")
    recipe.get_by_text("(1, 16000)").wait_for()
    panel.get_by_label("Steps", exact=True).fill("3")
    panel.get_by_role("button", name="Make a clip").click()
    panel.get_by_role("status").filter(has_text="Made in").wait_for()
    panel.locator("audio").wait_for()


@pytest.mark.parametrize(
    ("lesson", "link"),
    [
        ("05_torch_compile", "06_scheduler_swap.ipynb"),
        ("05_torch_compile", "docs/glossary.md"),
        ("05_torch_compile", "helpers/records/compile-official.json"),
        ("06_scheduler_swap", "benchmarks/quality_against_steps.py"),
    ],
)
def test_a_link_opens_what_it_names(server, chromium, lesson, link):
    page = chromium.new_page(viewport={"width": 1300, "height": 1000})
    page.set_default_timeout(lab.TIMEOUT * 1000)
    page.goto(server % f"lab/tree/notebooks/{lesson}.ipynb")
    page.locator(f'.jp-RenderedMarkdown a[href*="{link}"]').first.click()
    page.locator(".lm-DockPanel-tabBar .lm-TabBar-tabLabel", has_text=Path(link).name).wait_for()
    page.locator(".jp-MarkdownViewer, .jp-FileEditor, .jp-JSONEditor, .jp-RenderedJSON, .jp-Notebook").last.wait_for()
    assert not page.locator(".jp-Dialog").count(), page.locator(".jp-Dialog").inner_text()
