"""Make the pair of the README and of the site's first page: docs/before_after.png, docs/before.flac, docs/after.flac.

How long both clips take, and how far apart they are, goes to docs/pair.json; `python tools/figures.py` then says which
pages to change. It prints the picture's alternative text.
"""

import json
from datetime import date
from pathlib import Path

import helpers  # before torch: it sets how torch's threads wait  # isort: skip

import soundfile
import torch
from diffusers import DPMSolverMultistepScheduler
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

from helpers.devices import cores, libraries, processor

DOCS = Path(__file__).resolve().parents[1] / "docs"
SAMBA = "The sound of Brazilian samba drums with waves gently crashing in the background"
PAIRS = 5

pipe = helpers.load_pipeline("pocket", device="cpu")
pipe.set_progress_bar_config(disable=True)
schedulers = {200: pipe.scheduler, 20: DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)}
attention = {200: AttnProcessor(), 20: AttnProcessor2_0()}
sampling_rate = pipe.vocoder.config.sampling_rate


def generate(steps, seed=0):
    """One clip: 200 steps the slow way, or 20 the fast way."""
    pipe.scheduler = schedulers[steps]
    pipe.unet.set_attn_processor(attention[steps])
    generator = torch.Generator("cpu").manual_seed(seed)
    settings = {"negative_prompt": "Low quality, average quality.", "num_inference_steps": steps}
    return pipe(SAMBA, generator=generator, **settings).audios[0]


pairs = helpers.measure({"before": lambda: generate(200), "after": lambda: generate(20)}, PAIRS)
before, after = pairs.before.result, pairs.after.result
clips = {"before: DDIM, 200 steps": before, "after: DPM++ 2M, 20 steps": after}
picture = helpers.plot_spectrograms(clips, sampling_rate)
picture.figure.savefig(DOCS / "before_after.png", dpi=80)
for name, clip in {"before": before, "after": after}.items():
    soundfile.write(DOCS / f"{name}.flac", clip, sampling_rate)
print(picture.alt)
moved = helpers.moved(pipe, SAMBA, before, after)
record = {"date": f"{date.today()}", "machine": f"{processor()}, {cores():g} CPUs, {libraries()}"}
record |= {"before": pairs.before.median, "after": pairs.after.median, "pairs": pairs.pairs}
record |= {"distance": moved.distance, "another seed": moved.yardstick.distance}
(DOCS / "pair.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
