"""Draw the picture of the README: `python docs/draw_examples.py` writes docs/examples.png."""

from pathlib import Path

import torch
from diffusers import DPMSolverMultistepScheduler

import helpers

PROMPTS = {
    "samba drums, waves behind": "The sound of Brazilian samba drums with waves gently crashing in the background",
    "church bells": "Church bells ringing, high quality",
    "an ambulance siren": "The sound of an ambulance siren, high quality",
}

pipe = helpers.load_pipeline("pocket", device="cpu")
pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
clips = {
    title: pipe(
        prompt,
        negative_prompt="Low quality, average quality.",
        num_inference_steps=20,
        generator=torch.Generator("cpu").manual_seed(0),
    ).audios[0]
    for title, prompt in PROMPTS.items()
}
picture = helpers.plot_spectrograms(clips, pipe.vocoder.config.sampling_rate)
picture.figure.savefig(Path(__file__).parent / "examples.png", dpi=80)
print(picture.alt)
