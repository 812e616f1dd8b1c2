"""Draw the pictures of the README: `python tools/draw_examples.py` writes docs/examples.png and docs/before_after.png.

It prints their alternative texts, and what the README says of the pair: how long both clips take, and how far apart
they are.
"""

from pathlib import Path

import helpers  # before torch: it sets how torch's threads wait  # isort: skip

import torch
from diffusers import DPMSolverMultistepScheduler
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

DOCS = Path(__file__).resolve().parents[1] / "docs"
SAMBA = "The sound of Brazilian samba drums with waves gently crashing in the background"
PROMPTS = {
    "samba drums, waves behind": SAMBA,
    "church bells": "Church bells ringing, high quality",
    "an ambulance siren": "The sound of an ambulance siren, high quality",
}
PAIRS = 5

pipe = helpers.load_pipeline("pocket", device="cpu")
pipe.set_progress_bar_config(disable=True)
schedulers = {200: pipe.scheduler, 20: DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)}
attention = {200: AttnProcessor(), 20: AttnProcessor2_0()}
sampling_rate = pipe.vocoder.config.sampling_rate


def generate(prompt, steps, seed=0):
    """One clip: 200 steps the slow way, or 20 the fast way."""
    pipe.scheduler = schedulers[steps]
    pipe.unet.set_attn_processor(attention[steps])
    generator = torch.Generator("cpu").manual_seed(seed)
    settings = {"negative_prompt": "Low quality, average quality.", "num_inference_steps": steps}
    return pipe(prompt, generator=generator, **settings).audios[0]


def save(clips, name):
    """Write a picture of some clips and print its alternative text."""
    picture = helpers.plot_spectrograms(clips, sampling_rate)
    picture.figure.savefig(DOCS / name, dpi=80)
    print(f"{name}: {picture.alt}")


save({title: generate(prompt, 20) for title, prompt in PROMPTS.items()}, "examples.png")
pairs = helpers.compare_times(lambda: generate(SAMBA, 200), lambda: generate(SAMBA, 20), repeats=PAIRS)
before, after = pairs.before.result, pairs.after.result
save({"before: DDIM, 200 steps": before, "after: DPM++ 2M, 20 steps": after}, "before_after.png")
others = [generate(SAMBA, 20, seed) for seed in range(4)]
print(f"before {pairs.before.median:.2f} s, after {pairs.after.median:.2f} s: {pairs}")
print(
    f"the pair is {helpers.distance(before, after, sampling_rate):.2f} dB apart; "
    f"clips of different seeds {helpers.inter_seed_distance(others, sampling_rate):.2f} dB"
)
