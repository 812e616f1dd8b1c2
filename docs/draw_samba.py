"""Draw the picture of the README: `python docs/draw_samba.py` writes docs/samba.png."""

from pathlib import Path

import torch
from diffusers import DPMSolverMultistepScheduler

import helpers

PROMPT = "The sound of Brazilian samba drums with waves gently crashing in the background"

pipe = helpers.load_pipeline("pocket", device="cpu")
pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
clips = {
    title: pipe(
        PROMPT, num_inference_steps=20, negative_prompt=negative, generator=torch.Generator("cpu").manual_seed(0)
    ).audios[0]
    for title, negative in (("the prompt alone", None), ("with a negative prompt", "Low quality, average quality."))
}
picture = helpers.plot_spectrograms(clips, pipe.vocoder.config.sampling_rate)
picture.figure.savefig(Path(__file__).parent / "samba.png", dpi=100)
print(picture.alt)
