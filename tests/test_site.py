"""The web site: built from a few notebooks with the small parameters of the tests, and opened in a browser.

Run by `pytest -m site tests/test_site.py`. The pages are opened where Playwright and a Chromium are installed.
"""

import base64
import io
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
import soundfile

from tools import address

pytestmark = pytest.mark.site
ROOT = address.COURSE
BUILD = [sys.executable, str(ROOT / "tools" / "build_site.py"), "--mocked"]
BUILT = ["--lessons", "02", "08", "settings"]
LESSONS = "02_negative_prompt", "08_your_recipe", "deeper/settings_that_do_nothing"
MEGABYTES = 40


class Page(HTMLParser):
    """The tags of a page, each with its attributes."""

    def __init__(self, path):
        super().__init__()
        self.text, self.tags = path.read_text("utf-8"), []
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def site(tmp_path_factory, cache):
    out = tmp_path_factory.mktemp("site")
    command = [*BUILD, *BUILT, "--out", out, "--cache", cache]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING:" not in done.stderr, done.stderr  # of Sphinx
    return out


def pages(site):
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def lesson(site, name):
    return Page(site / "notebooks" / f"{name}.html")


def test_nothing_is_left_beside_the_site(site):
    assert not (site.parent / "jupyter_execute").exists()


def test_it_has_a_page_for_each_lesson_and_document(site):
    for name in ("index", "search", "docs/teaching", "docs/glossary", *(f"notebooks/{name}" for name in LESSONS)):
        assert (site / f"{name}.html").is_file()
    front = Page(site / "index.html")
    assert {f"notebooks/{name}.html" for name in LESSONS} <= {link.get("href") for link in front.all("a")}
    captions = re.findall(r'class="caption-text">(.*?)<', front.text)
    assert captions == ["Lessons", "Deeper", "Beside the lessons"]


def test_it_is_small_enough_to_hand_round(site):
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) < MEGABYTES * 1e6


def test_every_link_within_the_site_leads_somewhere(site):
    for path, page in pages(site).items():
        for tag, attributes in page.tags:
            target = urlsplit(attributes.get("href") or attributes.get("src") or "")
            if not target.scheme and target.path:
                assert (path.parent / unquote(target.path)).exists(), f"{path.name}: {tag} {target.path}"


def test_nothing_is_loaded_from_another_server(site):
    for path, page in pages(site).items():
        loads = [a["src"] for _, a in page.tags if a.get("src")] + [link["href"] for link in page.all("link")]
        assert not [url for url in loads if re.match(r"(https?:)?//", url)], path.name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", sheet.read_text("utf-8")), sheet.name


@pytest.mark.parametrize("name", LESSONS[:2])
def test_players_hold_their_clips_without_loss(site, name):
    players = lesson(site, name).all("audio")
    assert len(players) >= 3
    for player in players:
        kind, data = player["src"].split(";base64,")
        assert kind == "data:audio/flac" and player["aria-label"] and "controls" in player
        samples, _ = soundfile.read(io.BytesIO(base64.b64decode(data)))
        assert abs(samples).max() > 1e-3, "a silent clip"


@pytest.mark.parametrize("name", LESSONS[:2])
def test_pictures_have_a_text(site, name):
    pictures = [picture for picture in lesson(site, name).all("img") if picture["src"].startswith("data:image/")]
    assert pictures and all(picture["alt"] for picture in pictures)


def test_solutions_are_folded(site):
    text = lesson(site, "02_negative_prompt").text
    solution = re.search(r"<details><summary>Solution</summary>(.*?)</details>", text, re.S)[1]
    assert "only_drums" in solution and 'class="highlight"' in solution


def test_formulas_are_drawn_by_the_browser(site):
    page = lesson(site, "02_negative_prompt")
    assert len(page.all("math")) >= 3
    assert "\\hat" not in page.text and not [script for script in page.all("script") if "math" in script.get("src", "")]


def test_controls_are_there_to_be_read(site):
    page = lesson(site, "08_your_recipe")
    assert len([control for _, control in page.tags if "disabled" in control]) >= 5
    assert "VBox(" not in page.text
    assert "You can use these controls when you run the lesson." in page.text


def test_no_link_leads_to_the_placeholder_of_the_address(site):
    if not address.is_set(address.repository()):
        for path, page in pages(site).items():
            assert not [a for _, a in page.tags if "OWNER/REPOSITORY" in a.get("href", "")], path.name


def test_it_tells_nothing_of_where_it_was_built(site):
    for path, page in pages(site).items():
        assert str(ROOT) not in page.text, path.name


def test_a_second_build_executes_nothing(site, cache, tmp_path):
    command = [*BUILD, *BUILT, "--out", tmp_path / "again", "--cache", cache]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "executing" not in done.stdout
    again, first = (lesson(folder, LESSONS[0]).all("audio") for folder in (tmp_path / "again", site))
    assert again == first


def test_it_deletes_no_folder_that_is_no_site(cache, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    done = subprocess.run(
        [*BUILD, "--lessons", "02", "--out", tmp_path, "--cache", cache], capture_output=True, text=True
    )
    assert done.returncode and "holds something else than a site" in done.stderr
    assert (tmp_path / "thesis.txt").exists()


def test_a_lesson_that_is_not_there_is_named():
    done = subprocess.run([*BUILD, "--lessons", "77"], capture_output=True, text=True)
    assert done.returncode and "there is no lesson 77" in done.stderr


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        )
        yield launched
        launched.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser(site, browser, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    tab, requests, errors = context.new_page(), [], []
    tab.on("request", lambda request: requests.append(request.url))
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    for name in ("index", "docs/teaching", "docs/glossary", *(f"notebooks/{name}" for name in LESSONS)):
        tab.goto((site / f"{name}.html").as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than the screen"
        assert tab.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)"), name
    bright = tab.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).every(c => c > 127)"
    )
    assert bright == (scheme == "light")
    tab.goto((site / "notebooks" / f"{LESSONS[0]}.html").as_uri())
    assert not tab.evaluate("document.querySelector('details:not(.hide) pre').checkVisibility()"), "a solution is open"
    played = tab.evaluate(
        "async () => { const a = document.querySelector('audio'); await a.play();"
        " await new Promise(done => setTimeout(done, 1000)); return a.currentTime; }"
    )
    assert played > 0.2
    tab.goto((site / "search.html").as_uri() + "?q=guidance")
    tab.wait_for_selector("#search-results li a")
    assert "02_negative_prompt.html" in " ".join(
        link.get_attribute("href") for link in tab.query_selector_all("#search-results li a")
    )
    assert not errors
    assert not [url for url in requests if not url.startswith(("file:", "data:"))]
    context.close()
