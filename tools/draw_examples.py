"""Make the pair of the README and of the site's first page: docs/before_after.png, docs/before.flac, docs/after.flac.

It prints its alternative text, and what the README says of the pair: how long both clips take, and how far apart they
are.
"""

from pathlib import Path

import helpers  # before torch: it sets how torch's threads wait  # isort: skip

import soundfile
import torch
from diffusers import DPMSolverMultistepScheduler
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

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
print(pairs)
print(helpers.moved(pipe, SAMBA, before, after))
