"""One step of the denoising loop, alone: of any length, at any size, without the rest of the pipeline."""

import math
from dataclasses import dataclass

import psutil
import torch
from diffusers.models.attention_processor import AttnProcessor
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from helpers.official import SECONDS
from helpers.spectrograms import COLOURS, MARKERS, Picture
from helpers.timing import measure

TEXT_TOKENS = 16  # T5 vectors of a step's text: about a sentence


@torch.no_grad()
def unet_step(model, seconds=None):
    """Run a UNet once as the pipeline does in every guided step, on random numbers.

    Parameters
    ----------
    model : diffusers.AudioLDM2Pipeline or diffusers.AudioLDM2UNet2DConditionModel
        A pipeline, of which the UNet is run, or a UNet alone, such as that of `helpers.official_unet`.
    seconds : float, optional
        Length of the clip; by default the one that the model was made for. A UNet alone counts as an official one.

    Returns
    -------
    torch.Tensor, shape (2, channels, time, frequency)
        What the UNet predicts, for the unguided and the guided half of the batch.

    Raises
    ------
    MemoryError
        On a CPU, if the scores of vanilla attention would not fit into main memory: the operating system might end the
        whole process instead.
    """
    unet = getattr(model, "unet", model)
    config, generator = unet.config, torch.Generator("cpu").manual_seed(0)
    usual = getattr(model, "natural_length", SECONDS)
    rows = math.ceil(config.sample_size * (seconds or usual) / usual)
    bands = model.vocoder.config.model_in_dim // model.vae_scale_factor if model is not unet else 16
    _, gpt2, t5 = config.cross_attention_dim[-1][:3]
    if unet.device.type == "cpu" and any(type(p) is AttnProcessor for p in unet.attn_processors.values()):
        level = [name.startswith("CrossAttn") for name in config.down_block_types].index(True)
        scores = 2 * config.attention_head_dim * (rows * bands // 4**level) ** 2  # of the largest layer
        need = 2 * scores * unet.dtype.itemsize  # scores and shares at once
        if need > 0.8 * psutil.virtual_memory().available:
            raise MemoryError(f"The scores of vanilla attention would take {need / 1e9:.1f} GB.")

    def random(*shape):
        return torch.randn(shape, generator=generator).to(unet.device, unet.dtype)

    return unet(
        random(2, config.in_channels, rows, bands),
        torch.tensor(500, device=unet.device),  # one of the time steps, in the middle
        encoder_hidden_states=random(2, 8, gpt2),
        encoder_hidden_states_1=random(2, TEXT_TOKENS, t5),
        encoder_attention_mask_1=torch.ones(2, TEXT_TOKENS, device=unet.device, dtype=torch.long),
        return_dict=False,
    )[0]


@dataclass
class Sweep:
    """What `sweep` found.

    Attributes
    ----------
    values : dict of str to dict of float to float
        For each name, seconds of one call by the length that it was called with.
    """

    values: dict

    def plot(self, x="length of the clip (s)", y="time of one call (s)", title="Time against length"):
        """Draw one curve for each name.

        Returns
        -------
        helpers.spectrograms.Picture
        """
        figure = Figure(figsize=(7, 3.6), layout="constrained")
        ax, said = figure.subplots(), []
        for (name, row), colour, marker in zip(self.values.items(), COLOURS, MARKERS, strict=False):
            ax.plot(list(row), list(row.values()), color=colour, marker=marker, label=name)
            said.append(f"{name}: " + ", ".join(f"{value:.3g} s at {n:g}" for n, value in row.items()))
        ax.set(title=title, xlabel=x, ylabel=y, xlim=(0, None), ylim=(0, None))
        ax.legend()
        return Picture(figure, f"{title}. {'; '.join(said)}.")


def sweep(calls, lengths, repeats=3):
    """Measure functions of a length, one after the other, at several lengths.

    Parameters
    ----------
    calls : dict of str to callable
        Each takes a length, such as `lambda seconds: helpers.unet_step(pipe, seconds)`. One that runs out of memory is
        left out at that length and at all longer ones, with a line that says so.
    lengths : list of float
    repeats : int
        Calls of each after the first.

    Returns
    -------
    Sweep
    """
    values, names = {name: {} for name in calls}, list(calls)
    with tqdm(total=sum(lengths), desc="sweep", leave=False) as bar:
        for length in sorted(lengths):
            for name in list(names):
                try:
                    values[name][length] = measure(lambda name=name, n=length: calls[name](n), repeats=repeats).median
                except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                    if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "memory" not in str(error):
                        raise
                    print(f"{name}: out of memory at {length:g}, and left out from there on")
                    names.remove(name)
            bar.update(length)
    return Sweep(values)


def bars(groups):
    """Draw times as bars, in one panel for each group.

    Parameters
    ----------
    groups : dict of str to dict of str to Measurement
        By the title of a panel, what `helpers.measure` returned by its name. The first group names the rows; where
        another has no such name, it gets no bar.

    Returns
    -------
    helpers.spectrograms.Picture
    """
    figure = Figure(figsize=(9, 1 + 0.4 * max(map(len, groups.values()))), layout="constrained")
    for ax, (title, row) in zip(figure.subplots(1, len(groups), sharey=True), groups.items(), strict=True):
        drawn = ax.barh(list(row), [found.median for found in row.values()], color="tab:blue")
        ax.bar_label(drawn, fmt="{:.3g} s", padding=3)
        ax.set(title=title, xlabel="time (s)")
        ax.margins(x=0.2)
    ax.invert_yaxis()
    said = [f"{title}: " + ", ".join(f"{n} {m.median:.3g} s" for n, m in row.items()) for title, row in groups.items()]
    return Picture(figure, f"Bar chart of times. {'; '.join(said)}.")
