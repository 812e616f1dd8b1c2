"""An AudioLDM 2 pipeline whose call refuses what cannot work, before any heavy work begins."""

import functools
import gc
import inspect
import math
import re
import warnings
from numbers import Integral, Real
from weakref import WeakKeyDictionary

import torch
from diffusers import AudioLDM2Pipeline, SchedulerMixin

from helpers.devices import best_device, check_device, warn_of_slow_half

_SCHEDULE = ("num_train_timesteps", "beta_schedule", "beta_start", "beta_end", "prediction_type")  # as it was trained
# What torch and the library of its convolutions say, on one device or another.
_NO_MEMORY = "out of memory|allocate memory|not enough memory|create a primitive"
_states_after = WeakKeyDictionary()  # of each generator that a call has used

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
        check_device(self._execution_device)  # offload can be enabled for a device that is not there
        if given["prompt_embeds"] is None:
            _check_prompt(given["prompt"])
            _warn_of_cut(given["prompt"], [self.tokenizer, self.tokenizer_2])
        self._check_length(given["audio_length_in_s"])
        _check_count("num_inference_steps", given["num_inference_steps"], self.scheduler.config.num_train_timesteps)
        _check_count("num_waveforms_per_prompt", given["num_waveforms_per_prompt"])
        _check_generator(given["generator"])
        if not _is_finite(given["guidance_scale"]):
            raise ValueError(f"guidance_scale is {given['guidance_scale']!r}, but must be a number: 3.5 is usual.")
        if given["negative_prompt"] is not None and given["guidance_scale"] <= 1:
            raise ValueError(
                f"guidance_scale is {given['guidance_scale']!r}, and at 1 or below negative_prompt "
                f"{given['negative_prompt']!r} would be ignored: raise it (3.5 is usual) or drop negative_prompt."
            )
        try:
            output = super().__call__(*args, **kwargs)
        except (RuntimeError, MemoryError) as error:
            problem = (str(error).strip().splitlines() or ["cannot allocate memory"])[0]
            if not isinstance(error, MemoryError) and not re.search(_NO_MEMORY, problem):
                raise
        else:
            _states_after.update((g, g.get_state()) for g in _listed(given["generator"]))
            self._warn_of_nan(output[0])
            return output
        # Here and not above, because inside `except` the error still holds on to the memory.
        self.maybe_free_model_hooks()
        gc.collect()
        torch.cuda.empty_cache()
        smaller = self._smaller(given["num_waveforms_per_prompt"], given["prompt"], given["audio_length_in_s"])
        raise torch.OutOfMemoryError(f"{self._execution_device} is out of memory ({problem}): try {smaller}.")

    @functools.wraps(AudioLDM2Pipeline.to)
    def to(self, *args, **kwargs):
        """Move and convert as `AudioLDM2Pipeline` does, to a device that is there."""
        for value in (*args, kwargs.get("device")):
            if isinstance(value, str | torch.device):
                check_device(value)
        super().to(*args, **kwargs)
        if not kwargs.get("silence_dtype_warnings"):  # offload says it, which only keeps the models on the CPU
            warn_of_slow_half(self.unet.dtype, self.device)
        return self

    @functools.wraps(AudioLDM2Pipeline.enable_model_cpu_offload)
    def enable_model_cpu_offload(self, gpu_id=None, device=None):
        """Offload as `AudioLDM2Pipeline` does, where there is a GPU; otherwise only to a device that is named."""
        if device is None and best_device() == "cpu":
            raise RuntimeError(
                "CPU offload brings one model at a time to a GPU, and torch sees none here: leave it out, "
                'or write pipe.enable_model_cpu_offload(device="cpu") to watch the moves.'
            )
        super().enable_model_cpu_offload(gpu_id, device)

    def __setattr__(self, name, value):
        if name == "scheduler" and name in vars(self):
            _check_scheduler(value, self.scheduler)
        super().__setattr__(name, value)

    def to_json_string(self):
        """Give the text of model_index.json, in which plain diffusers must find the name of the parent."""
        return super().to_json_string().replace(type(self).__name__, AudioLDM2Pipeline.__name__)

    def _check_length(self, seconds):
        if seconds is None:
            return
        if not _is_finite(seconds):
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

    def _smaller(self, count, prompt, seconds):
        """Name the next smaller setting, in code where that is short."""
        if count > 1:
            return f"num_waveforms_per_prompt={count // 2} in place of {count}"
        if isinstance(prompt, list) and len(prompt) > 1:
            return f"{len(prompt) // 2} of the {len(prompt)} prompts at a time"
        if self._execution_device.type == "cuda" and self.unet.dtype == torch.float32:
            return "load_pipeline(..., dtype=torch.float16)"
        if self._execution_device.type == "cuda" and not getattr(self, "_all_hooks", None):
            return "pipe.enable_model_cpu_offload()"
        seconds = seconds or self.natural_length
        return f"audio_length_in_s={min(seconds / 2, self.natural_length):.3g} in place of {seconds:.3g}"

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


def _is_finite(value):
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


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
            warnings.warn(
                f"The prompt is too long: its end {text[kept:].strip()!r} is not used; say it in fewer words.",
                stacklevel=3,
            )


def _check_count(name, value, largest=math.inf):
    if isinstance(value, bool) or not isinstance(value, Integral) or not 1 <= value <= largest:
        allowed = f"from 1 to {largest}" if largest < math.inf else "of 1 or more"
        raise ValueError(f"{name} is {value!r}, but must be a whole number {allowed}.")


def _check_scheduler(scheduler, present):
    """Refuse what is no scheduler for such a model, or was made for other noise than the model was trained on."""
    kind, advice = type(scheduler).__name__, "from_config(pipe.scheduler.config)"
    if not isinstance(scheduler, SchedulerMixin) or not hasattr(scheduler, "alphas_cumprod"):
        shown = kind if isinstance(scheduler, SchedulerMixin) else f"{scheduler!r:.100}"
        raise TypeError(f"scheduler is {shown}, which does not fit: write DPMSolverMultistepScheduler.{advice}.")
    for name in _SCHEDULE:
        value, trained = scheduler.config.get(name), present.config.get(name)
        if value != trained:
            raise ValueError(
                f"scheduler has {name} {value!r}, but the model was trained with {trained!r}: write {kind}.{advice}."
            )


def _check_generator(generator):
    generators = _listed(generator)
    if not all(isinstance(g, torch.Generator) for g in generators):
        seed = generator if isinstance(generator, int) else 0
        raise TypeError(
            f"generator is {generator!r}, but must be a torch.Generator: write "
            f'generator=torch.Generator("cpu").manual_seed({seed}), a new one for every call.'
        )
    for g in generators:
        if g in _states_after and torch.equal(_states_after[g], g.get_state()):
            warnings.warn(
                "generator was used before and goes on where it stopped, so the clip will be another one: for the same "
                f'clip again, write generator=torch.Generator("{g.device}").manual_seed({g.initial_seed()}).',
                stacklevel=3,
            )


def _listed(generator):
    return generator if isinstance(generator, list) else [] if generator is None else [generator]
