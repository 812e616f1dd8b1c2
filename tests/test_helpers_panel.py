import threading
import warnings

import ipywidgets
import pytest
from diffusers import DPMSolverMultistepScheduler, EulerDiscreteScheduler
from widgets import find, sources

import helpers
from helpers.topics.panel import Panel

RAIN = {"prompt": "Rain", "num_inference_steps": 2, "audio_length_in_s": 1.28}


class Form:
    """A panel as it is shown, and hands that fill it in and wait for what a click starts."""

    def __init__(self, panel, shown):
        panel._ipython_display_()
        self.panel, self.box = panel, shown[0]
        self.fields = {getattr(one, "description", ""): one for one in find(self.box, ipywidgets.DOMWidget)}
        (self.bar,) = find(self.box, ipywidgets.IntProgress)

    def make(self, **values):
        for name, value in values.items():
            self.fields[name.replace("_", " ")].value = value
        self.fields["Make a clip"].click()
        for thread in threading.enumerate():
            if thread.name == "panel":
                thread.join(60)

    @property
    def text(self):
        return " ".join(html.value for html in find(self.box, ipywidgets.HTML))


@pytest.fixture
def form(pocket, shown):
    return Form(Panel(pocket, **RAIN), shown)


def test_a_clip_is_that_of_plain_code(pocket, seeded, monkeypatch):
    panel = Panel(pocket, **RAIN, negative_prompt="Hiss", scheduler="Euler", guidance_scale=2.0)
    made = panel.make(seed=3)
    assert made.seconds > 0 and made.settings["seed"] == 3 and panel.results == [made]
    config = pocket.scheduler.config
    monkeypatch.setattr(pocket, "scheduler", EulerDiscreteScheduler.from_config(config, timestep_spacing="trailing"))
    plain = pocket(**RAIN, negative_prompt="Hiss", guidance_scale=2.0, generator=seeded(3)).audios[0]
    assert (made.clip == plain).all()


def test_schedulers_are_those_of_the_checkpoint_and_not_of_swaps_before(pocket, monkeypatch):
    panel, config = Panel(pocket, **RAIN, scheduler="Euler"), pocket.scheduler.config
    plain = panel.make()
    swapped = DPMSolverMultistepScheduler.from_config(config, use_karras_sigmas=True)
    monkeypatch.setattr(pocket, "scheduler", swapped)
    assert (panel.make().clip == plain.clip).all()
    with pytest.raises(ValueError, match="num_inference_steps is 0"):
        panel.make(num_inference_steps=0)
    assert pocket.scheduler is swapped and len(panel.results) == 2


def test_a_click_makes_keeps_and_compares(form):
    for seed in (1, 2, 3):
        form.make(Seed=seed)
    results, (first, second) = form.panel.results, (form.fields[name] for name in ("Compare", "with"))
    assert [made.settings["seed"] for made in results] == [1, 2, 3]
    assert all(f"{seed}: DPM++ 2M, 2 steps, guidance 3.5, seed {seed}" in form.text for seed in (1, 2, 3))
    assert (first.value, second.value) == (2, 3)  # the two latest
    first.value = 1
    clips = {"1": results[0].clip, "3": results[2].clip}
    assert sources(form.text) == sources(helpers.compare(clips, 16000).data)  # as loud as they are
    assert "same gain" in form.text
    second.value = 1
    assert len(sources(form.text)) == 1


def test_every_field_counts(form):
    values = {"Prompt": "Frogs", "Negative_prompt": "Hum", "Scheduler": "UniPC", "Steps": 3, "Guidance": 2.0, "Seed": 5}
    form.make(**values)
    names = ["prompt", "negative_prompt", "scheduler", "num_inference_steps", "guidance_scale", "seed"]
    assert [form.panel.results[0].settings[name] for name in names] == list(values.values())


def test_progress_is_shown_and_a_cell_that_runs_meanwhile_is_refused(form):
    button, seen = form.fields["Make a clip"], []

    def cell(change):
        with pytest.raises(RuntimeError, match="making another clip"):
            form.panel.pipe(**RAIN)
        seen.append((change.new, form.bar.max, button.disabled))

    form.bar.observe(cell, names="value")
    form.make()
    form.bar.unobserve_all()
    assert seen == [(1, 2, True), (2, 2, True)]
    assert "Made in" in form.text and not button.disabled
    assert (form.panel.results[0].clip == form.panel.make().clip).all()


def test_an_error_is_one_line_and_loses_nothing(form):
    form.make()
    form.make(Steps=-1)
    assert "ValueError: num_inference_steps is -1, but must be a whole number of 1 or more." in form.text
    assert 'role="alert"' in form.text and "Traceback" not in form.text
    assert len(form.panel.results) == 1 and len(sources(form.text)) == 1
    form.make(Steps=2)
    assert len(form.panel.results) == 2 and "ValueError" not in form.text


def test_the_stop_button_stops(form):
    form.bar.observe(lambda change: change.new == 3 and form.fields["Stop"].click(), names="value")
    form.make(Steps=50)
    assert "Stopped." in form.text
    assert not form.fields["Make a clip"].disabled and form.fields["Stop"].disabled
    assert form.bar.value < 10 and not form.panel.results


def test_a_warning_is_seen_in_the_panel_and_what_is_typed_is_no_markup(form):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        form.make(Prompt="<b>Rain</b> " * 80)
    assert "The prompt is too long" in form.text and len(form.panel.results) == 1
    assert "<b>" not in form.text and "&lt;b&gt;Rain" in form.text
