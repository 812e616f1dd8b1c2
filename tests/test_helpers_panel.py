import re
import sys
import threading
import warnings

import ipywidgets
import pytest
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler

import helpers
from helpers import panel as module

RAIN = {"prompt": "Rain", "num_inference_steps": 2, "audio_length_in_s": 1.28}


@pytest.fixture
def shown(monkeypatch):
    """Everything that a panel displays."""
    shown = []
    monkeypatch.setattr(module, "display", shown.append)
    return shown


@pytest.fixture
def form(pocket, shown, monkeypatch):
    """A panel, its widgets by their names, and the texts that it shows."""
    panel = helpers.Panel(pocket, **RAIN)
    panel._ipython_display_()
    named = {widget.description: widget for widget in find(shown[0], ipywidgets.DOMWidget) if widget.description}
    monkeypatch.setattr(
        ipywidgets.Button, "click", lambda button, click=ipywidgets.Button.click: (click(button), wait())
    )
    return panel, named, lambda: " ".join(text.value for text in find(shown[0], ipywidgets.HTML))


def wait():
    """Until the clips that were asked for are made: a click returns at once."""
    for thread in threading.enumerate():
        if thread.name == "panel" and thread is not threading.current_thread():
            thread.join(60)


def find(widget, kind):
    found = [widget] if isinstance(widget, kind) and hasattr(widget, "description") else []
    return found + [one for child in getattr(widget, "children", ()) for one in find(child, kind)]


def sources(text):
    return re.findall(r'src="([^"]+)"', text)


def test_a_clip_is_that_of_plain_code(pocket, seeded):
    panel = helpers.Panel(pocket, **RAIN, negative_prompt="Hiss", scheduler="Euler", guidance_scale=2.0)
    made, before = panel.make(seed=3), pocket.scheduler
    pocket.scheduler = EulerDiscreteScheduler.from_config(before.config, timestep_spacing="trailing")
    try:
        plain = pocket(**RAIN, negative_prompt="Hiss", guidance_scale=2.0, generator=seeded(3)).audios[0]
    finally:
        pocket.scheduler = before
    assert (made.clip == plain).all()
    assert made.seconds > 0 and made.settings["seed"] == 3 and panel.results == [made]


def test_the_scheduler_is_put_back(pocket):
    panel, before = helpers.Panel(pocket, **RAIN), pocket.scheduler
    panel.make(scheduler="UniPC")
    with pytest.raises(ValueError, match="num_inference_steps is 0"):
        panel.make(num_inference_steps=0)
    assert pocket.scheduler is before and type(before) is DDIMScheduler
    assert len(panel.results) == 1


def test_unusable_settings_are_explained(pocket):
    panel = helpers.Panel(pocket, **RAIN)
    with pytest.raises(ValueError, match=r"scheduler is 'LCM', but must be one of 'DDIM', 'DPM\+\+ 2M'"):
        panel.make(scheduler="LCM")
    with pytest.raises(TypeError, match="'step'"):
        panel.make(step=3)


def test_a_click_makes_keeps_and_compares(form):
    panel, named, texts = form
    for seed in (1, 2, 3):
        named["Seed"].value = seed
        named["Make a clip"].click()
    assert [made.settings["seed"] for made in panel.results] == [1, 2, 3]
    assert all(f"{seed}: DPM++ 2M, 2 steps, guidance 3.5, seed {seed}" in texts() for seed in (1, 2, 3))
    assert (named["Compare"].value, named["with"].value) == (2, 3)  # the two latest
    named["Compare"].value = 1
    clips = {"1": panel.results[0].clip, "3": panel.results[2].clip}
    assert sources(texts()) == sources(helpers.compare(clips, 16000).data)  # as loud as they are
    assert "same gain" in texts()
    named["with"].value = 1
    assert len(sources(texts())) == 1


def test_every_field_counts(form):
    panel, named, _ = form
    values = {"Prompt": "Frogs", "Negative prompt": "Hum", "Scheduler": "UniPC", "Steps": 3, "Guidance": 2.0, "Seed": 5}
    for name, value in values.items():
        named[name].value = value
    named["Make a clip"].click()
    names = ["prompt", "negative_prompt", "scheduler", "num_inference_steps", "guidance_scale", "seed"]
    assert [panel.results[0].settings[name] for name in names] == list(values.values())


def test_progress_is_shown(form, shown, monkeypatch):
    panel, named, texts = form
    (bar,) = find(shown[0], ipywidgets.IntProgress)
    seen = []
    bar.observe(lambda change: seen.append((change.new, bar.max, named["Make a clip"].disabled)), names="value")
    named["Make a clip"].click()
    wait()
    assert seen == [(1, 2, True), (2, 2, True)]
    assert "Made in" in texts() and not named["Make a clip"].disabled


def test_an_error_is_one_line_and_loses_nothing(form):
    panel, named, texts = form
    named["Make a clip"].click()
    named["Steps"].value = -1
    named["Make a clip"].click()
    assert "ValueError: num_inference_steps is -1, but must be 1 or more." in texts()
    assert 'role="alert"' in texts() and "Traceback" not in texts()
    assert len(panel.results) == 1 and len(sources(texts())) == 1
    named["Steps"].value = 2
    named["Make a clip"].click()
    assert len(panel.results) == 2 and "ValueError" not in texts()


def test_the_stop_button_stops(form, shown):
    panel, named, texts = form
    (bar,) = find(shown[0], ipywidgets.IntProgress)
    named["Steps"].value = 50
    bar.observe(lambda change: change.new == 3 and named["Stop"].click(), names="value")
    named["Make a clip"].click()
    assert "Stopped." in texts() and not named["Make a clip"].disabled and named["Stop"].disabled
    assert bar.value < 10 and not panel.results


def test_a_cell_that_runs_meanwhile_is_refused_and_the_clip_is_as_without(form, shown):
    panel, named, _ = form
    (bar,) = find(shown[0], ipywidgets.IntProgress)
    refused = []

    def cell(change):
        with pytest.raises(RuntimeError, match="making another clip"):
            panel.pipe(**RAIN)
        refused.append(change.new)

    bar.observe(cell, names="value")
    named["Make a clip"].click()
    bar.unobserve_all()
    assert len(refused) == 2
    assert (panel.results[0].clip == panel.make().clip).all()


def test_schedulers_are_those_of_the_checkpoint_and_not_of_swaps_before(pocket):
    before = pocket.scheduler
    plain = helpers.Panel(pocket, **RAIN, scheduler="Euler").make()
    pocket.scheduler = DPMSolverMultistepScheduler.from_config(before.config, use_karras_sigmas=True)
    try:
        assert (helpers.Panel(pocket, **RAIN, scheduler="Euler").make().clip == plain.clip).all()
    finally:
        pocket.scheduler = before


def test_a_warning_is_seen_in_the_panel(form):
    panel, named, texts = form
    named["Prompt"].value = "Rain " * 80
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        named["Make a clip"].click()
    assert "The prompt is too long" in texts() and len(panel.results) == 1


def test_what_is_typed_is_no_markup(form):
    _, named, texts = form
    named["Prompt"].value = "<b>Rain</b>"
    named["Make a clip"].click()
    assert "<b>" not in texts() and "&lt;b&gt;Rain" in texts()


def test_without_ipywidgets_it_says_how_to_go_on(pocket, shown, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    helpers.Panel(pocket)._ipython_display_()
    assert not shown and "panel.make(seed=1)" in capsys.readouterr().out
