"""The web site: built from a few notebooks with the small parameters of the tests, and opened in a browser.

Run by `pytest -m site tests/test_site.py`. The pages are opened where Playwright and a Chromium are installed.
"""

import base64
import io
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
import soundfile

from tools import address

pytestmark = pytest.mark.site
ROOT = address.COURSE
BUILT = ["--lessons", "02", "08", "settings"]
LESSONS = "02_negative_prompt", "08_your_recipe", "deeper/settings_that_do_nothing"
PAGES = ("index", "docs/teaching", "docs/glossary", *(f"notebooks/{name}" for name in LESSONS))
MEGABYTES = 40


def build(*words):
    return subprocess.run([sys.executable, ROOT / "tools" / "build_site.py", *words], capture_output=True, text=True)


def read(path):
    from bs4 import BeautifulSoup  # which Sphinx's theme needs, too

    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def site(tmp_path_factory, cache):
    out = tmp_path_factory.mktemp("site")
    done = build("--mocked", *BUILT, "--out", out, "--cache", cache)
    assert done.returncode == 0, done.stderr
    assert "WARNING:" not in done.stderr, done.stderr  # of Sphinx
    return out


@pytest.fixture(scope="module")
def pages(site):
    return {path: read(path) for path in sorted(site.rglob("*.html"))}


@pytest.fixture(scope="module")
def lessons(site, pages):
    return [pages[site / "notebooks" / f"{name}.html"] for name in LESSONS[:2]]


def test_it_is_small_and_has_a_page_for_each_lesson_and_document(site, pages):
    assert {site / f"{name}.html" for name in (*PAGES, "search")} <= set(pages)
    front = pages[site / "index.html"]
    assert {f"notebooks/{name}.html" for name in LESSONS} <= {link.get("href") for link in front.find_all("a")}
    captions = [caption.text for caption in front.select(".caption-text")]
    assert captions == ["Lessons", "Deeper", "Beside the lessons"]
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) < MEGABYTES * 1e6


def test_nothing_is_loaded_from_another_server_and_no_link_leads_to_the_placeholder_of_the_address(pages):
    for path, page in pages.items():  # that links within the site lead somewhere, Sphinx tells by its warnings
        for tag in page.select("[href], [src]"):
            link = tag.get("href") or tag["src"]
            target = urlsplit(link)
            if target.scheme or target.netloc:
                assert tag.name == "a" or target.scheme == "data", f"{path.name} loads {link}"
                assert "OWNER/REPOSITORY" not in link, path.name


def test_players_hold_their_clips_without_loss_and_pictures_have_a_text(lessons):
    for lesson in lessons:
        players = lesson.find_all("audio")
        assert len(players) >= 3
        for player in players:
            kind, data = player["src"].split(";base64,")
            assert kind == "data:audio/flac" and player["aria-label"] and player.has_attr("controls")
            samples, _ = soundfile.read(io.BytesIO(base64.b64decode(data)))
            assert abs(samples).max() > 1e-3, "a silent clip"
        pictures = lesson.select("img[src^='data:image/']")
        assert pictures and all(picture["alt"] for picture in pictures)


def test_the_first_page_opens_with_the_pair_and_its_spectrograms(site, pages):
    article = pages[site / "index.html"].find("article")
    before, after = article.find_all("audio")
    assert (before["aria-label"], after["aria-label"]) == ("Before", "After")
    for player, name in ((before, "before"), (after, "after")):
        shown, kept = io.BytesIO(base64.b64decode(player["src"].split(";base64,")[1])), ROOT / "docs" / f"{name}.flac"
        assert (soundfile.read(shown)[0] == soundfile.read(kept)[0]).all()
    order = [tag.name for tag in article.find_all(["h1", "audio", "img", "p"]) if tag.name != "p" or len(tag.text) > 60]
    assert order[:5] == ["h1", "audio", "audio", "img", "p"]


def test_solutions_are_folded_formulas_drawn_and_controls_there_to_be_read(lessons):
    first, recipe = lessons
    solution = next(one for one in first.find_all("details") if one.find("summary", string="Solution"))
    assert "only_drums" in solution.text and solution.select(".highlight")
    assert len(first.find_all("math")) >= 3 and "\\hat" not in first.text and not first.select("script[src*=math]")
    assert len(recipe.select("[disabled]")) >= 5 and "VBox(" not in recipe.text
    assert "You can use these controls when you run the lesson." in recipe.text


def test_it_tells_nothing_of_where_it_was_built(site, pages):
    for path in pages:
        assert str(ROOT) not in path.read_text("utf-8"), path.name
    assert not (site.parent / "jupyter_execute").exists()


def test_a_second_build_executes_nothing(lessons, cache, tmp_path):
    done = build("--mocked", *BUILT, "--out", tmp_path / "again", "--cache", cache)
    assert done.returncode == 0 and "executing" not in done.stdout
    again = read(tmp_path / "again" / "notebooks" / f"{LESSONS[0]}.html")
    assert again.find_all("audio") == lessons[0].find_all("audio")


def test_it_deletes_no_folder_that_is_no_site(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    done = build("--lessons", "02", "--out", tmp_path)
    assert done.returncode and "holds something else than a site" in done.stderr
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser(site, chromium, width):
    tab = chromium.new_page(viewport={"width": width, "height": 800})
    requests, errors = [], []
    tab.on("request", lambda request: requests.append(request.url))
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    for name in PAGES:
        tab.goto((site / f"{name}.html").as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than the screen"
        assert tab.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)"), name
    for name in ("index", f"notebooks/{LESSONS[0]}"):
        tab.goto((site / f"{name}.html").as_uri())
        played = tab.evaluate(
            "async () => { const a = document.querySelector('audio'); await a.play();"
            " await new Promise(done => setTimeout(done, 1000)); return a.currentTime; }"
        )
        assert played > 0.2, name
    tab.goto((site / "search.html").as_uri() + "?q=guidance")
    tab.locator("#search-results li a[href*='02_negative_prompt.html']").first.wait_for()
    assert not errors
    assert not [url for url in requests if not url.startswith(("file:", "data:"))]
    tab.close()
