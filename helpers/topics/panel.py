"""A panel that makes clips, keeps them with their settings, and plays any two of them at the same gain."""

import html
import threading
import time
import warnings
from types import SimpleNamespace

import ipywidgets as widgets
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler, UniPCMultistepScheduler
from IPython.display import display

from helpers.audio import compare

SCHEDULERS = {
    "DDIM": DDIMScheduler,
    "DPM++ 2M": DPMSolverMultistepScheduler,
    "UniPC": UniPCMultistepScheduler,
    "Euler": EulerDiscreteScheduler,
}
_FIELDS = {  # setting: its name in the form, and its kind of widget
    "prompt": ("Prompt", "Text"),
    "negative_prompt": ("Negative prompt", "Text"),
    "scheduler": ("Scheduler", "Dropdown"),
    "num_inference_steps": ("Steps", "IntText"),
    "guidance_scale": ("Guidance", "FloatText"),
    "seed": ("Seed", "IntText"),
}


class Panel:
    """A form for one pipeline: as the last line of a cell it shows widgets; plain code uses `make` and `compare`.

    Parameters
    ----------
    pipe : diffusers.AudioLDM2Pipeline
        Loaded from a folder, whose scheduler configuration is used. Its scheduler is swapped while a clip is made.
    **settings
        What the form begins with: prompt, negative_prompt, scheduler (a name in `SCHEDULERS`), num_inference_steps,
        guidance_scale, seed. Others go to the pipeline as they are.

    Attributes
    ----------
    results : list of types.SimpleNamespace
        Every clip made: `clip`, shape (n,), the `settings` and the `seconds` that it took.
    """

    def __init__(self, pipe, **settings):
        self.pipe, self.results = pipe, []
        self.settings = {"prompt": "", "negative_prompt": "", "scheduler": "DPM++ 2M", "num_inference_steps": 20}
        self.settings |= {"guidance_scale": 3.5, "seed": 0} | settings

    def make(self, callback=None, **changes):
        """Make a clip with the settings that the form began with and some changes, keep it, and return it.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            If there is no such scheduler, or the pipeline refuses a setting, or is busy.
        """
        settings = self.settings | changes
        call = settings | {"negative_prompt": settings["negative_prompt"] or None, "callback": callback}
        call["generator"] = torch.Generator("cpu").manual_seed(call.pop("seed"))
        before, name = self.pipe.scheduler, call.pop("scheduler")
        if name not in SCHEDULERS:
            raise ValueError(f"scheduler is {name!r}, but must be one of {', '.join(map(repr, SCHEDULERS))}.")
        # From the checkpoint's own configuration: that of the present scheduler may hold settings of swaps before.
        config = DDIMScheduler.load_config(self.pipe.name_or_path, subfolder="scheduler")
        self.pipe.scheduler = SCHEDULERS[name].from_config(config, timestep_spacing="trailing")
        try:
            start = time.perf_counter()
            clip = self.pipe(**call).audios[0]
            self.results.append(SimpleNamespace(clip=clip, settings=settings, seconds=time.perf_counter() - start))
        finally:
            self.pipe.scheduler = before
        return self.results[-1]

    def compare(self, *numbers):
        """Play results, counted from 1, as `helpers.compare` does: all with the same gain."""
        clips = {self._title(number): self.results[number - 1].clip for number in numbers}
        return compare(clips, self.pipe.vocoder.config.sampling_rate)

    def _title(self, number):
        made = SimpleNamespace(**self.results[number - 1].settings)
        steps, guidance = made.num_inference_steps, made.guidance_scale
        return f"{number}: {made.scheduler}, {steps} steps, guidance {guidance:g}, seed {made.seed}"

    def _list(self):
        """Every result with all its settings."""
        rows = []
        for number, made in enumerate(self.results, 1):
            words = f"{made.settings['prompt']!r} without {made.settings['negative_prompt']!r}"
            rows.append(f"<li>{html.escape(f'{self._title(number)}: {words}, made in {made.seconds:.2f} s')}</li>")
        return f'<ul style="line-height: 1.4">{"".join(rows)}</ul>'

    def _ipython_display_(self):
        style, wide, fields = {"description_width": "8em"}, {"width": "98%"}, {}
        for key, (name, kind) in _FIELDS.items():
            more = {"Text": {"layout": wide}, "Dropdown": {"options": list(SCHEDULERS)}}.get(kind, {})
            fields[key] = getattr(widgets, kind)(description=name, style=style, **more)
            fields[key].value = self.settings[key]
        button, stop = widgets.Button(description="Make a clip"), widgets.Button(description="Stop", disabled=True)
        bar = widgets.IntProgress()
        pair = [widgets.Dropdown(description=name, style=style, layout=wide) for name in ("Compare", "with")]
        note, made, players = widgets.HTML(), widgets.HTML(), widgets.HTML()
        stopping = threading.Event()

        def say(text, role="status"):
            note.value = f'<p role="{role}">{html.escape(text)}</p>'

        def step(number, *_):
            if stopping.is_set():
                raise InterruptedError("stopped")
            bar.value = number + 1
            say(f"Step {bar.value} of {bar.max}." if bar.value < bar.max else "Turning the result into sound.")

        def play(_=None):
            if not button.disabled:  # otherwise the choice is just being refilled
                players.value = self.compare(*dict.fromkeys(box.value for box in pair)).data

        def work():
            try:
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always", UserWarning)
                    result = self.make(step, **{name: field.value for name, field in fields.items()})
                warned = [str(one.message) for one in caught if one.category is UserWarning]
                say(" ".join([f"Made in {result.seconds:.2f} s.", *warned]))
                made.value, last = self._list(), len(self.results)
                for box, number in zip(pair, (max(1, last - 1), last), strict=True):
                    box.options = [(self._title(number), number) for number in range(1, last + 1)]
                    box.value = number
                button.disabled = False
                play()
            except InterruptedError:
                say("Stopped.", "alert")
            except Exception as error:  # otherwise an error in a button is shown nowhere
                say(f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}", "alert")
            finally:
                button.disabled, stop.disabled = False, True

        def click(_):
            button.disabled, stop.disabled, bar.value = True, False, 0
            bar.max = max(1, fields["num_inference_steps"].value)
            stopping.clear()
            say("Reading the prompt.")
            # A thread, because callbacks wait for one another: that of the stop button could not run before this ends.
            threading.Thread(target=work, name="panel", daemon=True).start()

        for box in pair:
            box.observe(play, names="value")
        button.on_click(click)
        stop.on_click(lambda _: stopping.set())
        display(widgets.VBox([*fields.values(), widgets.HBox([button, stop, bar]), note, *pair, players, made]))
