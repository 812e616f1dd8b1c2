"""An AudioLDM 2 pipeline whose call refuses what cannot work, before any heavy work begins."""

import functools
import inspect
import math
import warnings
from numbers import Integral, Real

import torch
from diffusers import AudioLDM2Pipeline

# Beyond this many times the length it was trained on, the model repeats itself or falls silent.
LONG = 4


class CheckedAudioLDM2Pipeline(AudioLDM2Pipeline):
    """`AudioLDM2Pipeline` with a checked call.

    What upstream refuses in clear words is left to upstream. Saved, it is a plain `AudioLDM2Pipeline` again.
    """

    @functools.wraps(AudioLDM2Pipeline.__call__)  # so that a notebook shows upstream's parameters and their meaning
    def __call__(self, *args, **kwargs):
        """Check the arguments, then make sound as `AudioLDM2Pipeline` does."""
        call = inspect.signature(AudioLDM2Pipeline.__call__).bind(self, *args, **kwargs)
        call.apply_defaults()
        given = call.arguments
        if given["prompt_embeds"] is None:
            _check_prompt(given["prompt"])
            _warn_of_cut(given["prompt"], [self.tokenizer, self.tokenizer_2])
        self._check_length(given["audio_length_in_s"])
        _check_count("num_inference_steps", given["num_inference_steps"], self.scheduler.config.num_train_timesteps)
        _check_count("num_waveforms_per_prompt", given["num_waveforms_per_prompt"])
        _check_generator(given["generator"])
        if given["negative_prompt"] is not None and given["guidance_scale"] <= 1:
            raise ValueError(
                f"guidance_scale is {given['guidance_scale']!r}, and at 1 or below negative_prompt "
                f"{given['negative_prompt']!r} would be ignored: raise it (3.5 is usual) or drop negative_prompt."
            )
        output = super().__call__(*args, **kwargs)
        self._warn_of_nan(output[0])
        return output

    def to_json_string(self):
        """Give the text of model_index.json, in which plain diffusers must find the name of the parent."""
        return super().to_json_string().replace(type(self).__name__, AudioLDM2Pipeline.__name__)

    def _check_length(self, seconds):
        if seconds is None:
            return
        if isinstance(seconds, bool) or not isinstance(seconds, Real) or not math.isfinite(seconds):
            raise ValueError(
                f"audio_length_in_s is {seconds!r}, but must be a number of seconds, such as 5.0, or None for the "
                f"length that the checkpoint was trained on ({self.natural_length:g} s)."
            )
        if seconds > LONG * self.natural_length:
            warnings.warn(
                f"audio_length_in_s is {seconds:g}, far above the {self.natural_length:g} s that this checkpoint was "
                "trained on: expect repetition or silence, and memory and time that grow faster than the length.",
                stacklevel=3,
            )

    @property
    def natural_length(self):
        """Length in seconds of the clips that the checkpoint was trained on, which a call without a length makes."""
        vocoder = self.vocoder.config
        hop = math.prod(vocoder.upsample_rates)  # samples per frame of the mel spectrogram
        return self.unet.config.sample_size * self.vae_scale_factor * hop / vocoder.sampling_rate

    def _warn_of_nan(self, audio):
        bad = ~torch.as_tensor(audio).isfinite().flatten(1).all(dim=1)
        if bad.any():
            halves = {m.dtype for m in (self.unet, self.vae, self.vocoder)} & {torch.float16, torch.bfloat16}
            cause = (
                f"likely because numbers grew too large for {halves.pop()}: load with dtype=torch.float32"
                if halves
                else "although no half precision was used: look at latents, embeddings and guidance_scale"
            )
            warnings.warn(f"{int(bad.sum())} of {len(bad)} clips hold NaN or infinity, {cause}.", stacklevel=3)


def _check_prompt(prompt):
    prompts = prompt if isinstance(prompt, list) else [prompt]
    if not prompts or not all(isinstance(text, str) and text.strip() for text in prompts):
        raise ValueError(
            f"prompt is {prompt!r}, but must be a text such as 'rain on a tin roof', or a list of such texts, "
            "none of them blank."
        )


def _warn_of_cut(prompt, tokenizers):
    """Name the words of a prompt that an encoder will not see."""
    for text in prompt if isinstance(prompt, list) else [prompt]:
        kept = len(text)
        for tokenizer in tokenizers:
            spans = tokenizer(
                text, truncation=True, max_length=tokenizer.model_max_length, return_offsets_mapping=True
            ).offset_mapping
            kept = min(kept, max(end for _, end in spans))
        if text[kept:].strip():
            warnings.warn(f"The prompt is too long: its end {text[kept:].strip()!r} is not used.", stacklevel=3)


def _check_count(name, value, largest=math.inf):
    if isinstance(value, bool) or not isinstance(value, Integral) or not 1 <= value <= largest:
        allowed = f"from 1 to {largest}" if largest < math.inf else "of 1 or more"
        raise ValueError(f"{name} is {value!r}, but must be a whole number {allowed}.")


def _check_generator(generator):
    generators = generator if isinstance(generator, list) else [generator]
    if generator is not None and not all(isinstance(g, torch.Generator) for g in generators):
        seed = generator if isinstance(generator, int) else 0
        raise TypeError(
            f"generator is {generator!r}, but must be a torch.Generator: write "
            f'generator=torch.Generator("cpu").manual_seed({seed}), a new one for every call.'
        )
