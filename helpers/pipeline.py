"""An AudioLDM 2 pipeline whose call says in one line what would otherwise go wrong in silence, or late."""

import functools
import inspect
import logging
import math
import warnings
from numbers import Integral
from string import punctuation

import diffusers
import torch
from transformers import VitsModel

from helpers.devices import out_of_memory

# How a scheduler must describe the noise that the model was trained with, and what takes away other noise than that.
_TRAINED = ("num_train_timesteps", "beta_schedule", "beta_start", "beta_end", "prediction_type")
_TRAINED += ("use_flow_sigmas", "clip_sample", "thresholding", "rescale_betas_zero_snr")
# diffusers' own call of GPT-2, which works until transformers 5.40: pyproject.toml stays below it.
warnings.filterwarnings("ignore", message="`past_key_values` is deprecated", category=FutureWarning)
# pipe.to(half) warns of each model that an empty list of its modules should be kept in float32.
logging.getLogger("diffusers.models.modeling_utils").addFilter(lambda record: "float32: []" not in record.getMessage())
_running = set()  # the ids of pipelines that are being called
LONG = 4  # beyond this many times the length it was trained on, the model repeats itself or falls silent


class AudioLDM2Pipeline(diffusers.AudioLDM2Pipeline):
    """`diffusers.AudioLDM2Pipeline` with a checked call. What upstream refuses in clear words is left to upstream."""

    @functools.wraps(diffusers.AudioLDM2Pipeline.__call__)  # so that a notebook shows upstream's parameters
    def __call__(self, *args, **kwargs):
        """Check the arguments, then make sound as upstream does."""
        call = inspect.signature(diffusers.AudioLDM2Pipeline.__call__).bind(self, *args, **kwargs)
        call.apply_defaults()
        given = {name: value for name, value in call.arguments.items() if name != "self"}
        self._check(**given)
        if id(self) in _running:
            raise RuntimeError("This pipeline is making another clip: wait until it is done, or stop it.")
        _running.add(id(self))
        try:
            return super().__call__(*args, **kwargs)
        except (RuntimeError, MemoryError) as error:
            if out_of_memory(error):
                error.add_note(f"Try {self._smaller(**given)}.")
            raise
        finally:
            _running.discard(id(self))

    def __setattr__(self, name, value):
        if name == "scheduler" and name in vars(self):
            _check_scheduler(value, self.scheduler)
        super().__setattr__(name, value)

    @property
    def natural_length(self):
        """Length in seconds of the clips that the checkpoint was trained on, which a call without a length makes."""
        vocoder = self.vocoder.config
        hop = math.prod(vocoder.upsample_rates)  # samples per frame of the mel spectrogram
        return self.unet.config.sample_size * self.vae_scale_factor * hop / vocoder.sampling_rate

    def _check(self, prompt, transcription, negative_prompt, guidance_scale, **given):
        texts = [prompt] if isinstance(prompt, str) else prompt
        if texts is not None and (len(texts) == 0 or any(isinstance(t, str) and not t.strip() for t in texts)):
            raise ValueError(f"prompt is {prompt!r}, but must say something, such as 'rain on a tin roof'.")
        if texts is not None:
            _warn_of_cut(texts, [self.tokenizer, self.tokenizer_2])
            _warn_of_unknown(texts, self.tokenizer_2)
        if transcription is not None and not isinstance(self.text_encoder_2, VitsModel):
            raise ValueError(f"transcription is for speech: did you mean negative_prompt={transcription!r}?")
        if negative_prompt is not None and guidance_scale <= 1:
            raise ValueError(
                f"guidance_scale is {guidance_scale!r}, and at 1 or below negative_prompt has no effect: try 3.5."
            )
        for name in ("num_inference_steps", "num_waveforms_per_prompt", "max_new_tokens"):
            if given[name] is not None and not (isinstance(given[name], Integral) and given[name] > 0):
                raise ValueError(f"{name} is {given[name]!r}, but must be a whole number of 1 or more.")
        if given["eta"] and not ("eta" in inspect.signature(self.scheduler.step).parameters and 0 < given["eta"] <= 1):
            raise ValueError(f"eta is {given['eta']!r}, but must be 0, or with DDIMScheduler up to 1.")
        if given["cross_attention_kwargs"] is not None:
            raise ValueError("cross_attention_kwargs has no effect on AudioLDM 2: leave it out.")
        if given["output_type"] not in ("np", "pt", "latent"):
            raise ValueError(f"output_type is {given['output_type']!r}, but must be 'np', 'pt' or 'latent'.")
        if (given["audio_length_in_s"] or 0) > LONG * self.natural_length:
            warnings.warn(
                f"audio_length_in_s is {given['audio_length_in_s']:g}, far above the {self.natural_length:g} s that "
                "this checkpoint was trained on: expect repetition or silence, and much time and memory.",
                stacklevel=3,  # at the line that called the pipeline
            )
        generator = given["generator"]
        for one in generator if isinstance(generator, list) else [generator] * (generator is not None):
            _warn_of_used(one)

    def _smaller(self, prompt, num_waveforms_per_prompt, audio_length_in_s, **given):
        """Name the next smaller setting, in code where that is short."""
        if num_waveforms_per_prompt > 1:
            return f"num_waveforms_per_prompt={num_waveforms_per_prompt // 2} in place of {num_waveforms_per_prompt}"
        if isinstance(prompt, list) and len(prompt) > 1:
            return f"{len(prompt) // 2} of the {len(prompt)} prompts at a time"
        if self._execution_device.type == "cuda" and self.unet.dtype == torch.float32:
            return "load_pipeline(..., dtype=torch.float16)"
        if self._execution_device.type == "cuda" and not hasattr(self.unet, "_hf_hook"):
            return "pipe.enable_model_cpu_offload()"
        seconds = audio_length_in_s or self.natural_length
        return f"audio_length_in_s={min(seconds / 2, self.natural_length):.3g} in place of {seconds:.3g}"


def _warn_of_cut(texts, tokenizers):
    """Name the words of a prompt that an encoder will not see: the libraries speak of indexing errors."""
    for text in texts:
        kept = len(text)
        for tokenizer in tokenizers:
            spans = tokenizer(
                text, truncation=True, max_length=tokenizer.model_max_length, return_offsets_mapping=True
            ).offset_mapping
            kept = min(kept, max(end for _, end in spans))
        if text[kept:].strip():
            warnings.warn(
                f"The prompt is too long: its end {text[kept:].strip()!r} is not used; say it in fewer words.",
                stacklevel=4,
            )


def _warn_of_unknown(texts, tokenizer):
    """Name the words that a vocabulary drops, or spells letter by letter; and those that it has, if they are few."""
    words = dict.fromkeys(word.strip("–—…“”„‘’«»¿¡" + punctuation) for text in texts for word in text.split())
    ids = {word: tokenizer(word, add_special_tokens=False).input_ids for word in words if word}
    unknown = [word for word in ids if tokenizer.unk_token_id in ids[word] or len(ids[word]) > len(word) > 2]
    if unknown:
        known = sorted({word[1:].lower() for word in tokenizer.get_vocab() if word.startswith("▁") and len(word) > 4})
        warnings.warn(
            f"This checkpoint does not know {', '.join(map(repr, unknown))}, and may make another sound: "
            f"write words that it knows, {'such as ' + ', '.join(known) if len(known) < 1000 else 'in English'}.",
            stacklevel=4,
        )


def _warn_of_used(generator):
    """Say that a generator goes on where an earlier call stopped; refuse a seed in its place."""
    if not isinstance(generator, torch.Generator):
        raise TypeError(f'generator is {generator!r}: write torch.Generator("cpu").manual_seed(0), with your seed.')
    device, seed = generator.device, generator.initial_seed()
    if not torch.equal(torch.Generator(device).manual_seed(seed).get_state(), generator.get_state()):
        warnings.warn(
            "generator was used before and goes on where it stopped, so the clip will be another one: for the same "
            f'clip again, write generator=torch.Generator("{device}").manual_seed({seed}).',
            stacklevel=4,
        )


def _check_scheduler(scheduler, present):
    """Refuse what goes another way than from the noise that the model was trained on to sound."""
    kind = getattr(scheduler, "__name__", type(scheduler).__name__)
    if not hasattr(scheduler, "alphas_cumprod") or "Inverse" in kind:  # a class has none either
        raise ValueError(
            f"scheduler is {kind}, but must be one that takes away the noise that the model was trained with: "
            "write, for instance, DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)."
        )
    for name in _TRAINED:
        ours, trained = scheduler.config.get(name, False), present.config.get(name, False)
        if ours != trained:
            raise ValueError(
                f"scheduler has {name} {ours!r}, but the model was trained with {trained!r}: "
                f"write {kind}.from_config(pipe.scheduler.config)."
            )
