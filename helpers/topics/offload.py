"""Which component is on the device when: a log of what the offload hooks move, its chart, and the official sizes."""

import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from unittest.mock import patch

import torch
from accelerate.hooks import AlignDevicesHook, CpuOffload
from diffusers.hooks.group_offloading import ModuleGroup
from matplotlib.figure import Figure

from helpers.checkpoints import describe_components
from helpers.official import PARAMETERS, build_unet
from helpers.pictures import Picture, table


@dataclass
class OffloadLog:
    """What `watch` saw; without offload hooks it stays empty.

    Attributes
    ----------
    sizes : dict of str to int
        Bytes of the weights of each component, in the order of their work.
    moves : list of (float, dict of str to int)
        After each move: seconds since the beginning, and the bytes of each component that is on the device then.
    brought : dict of str to int
        Bytes of each component that were brought to the device, all times together.
    seconds : float
        How long it was watched.
    """

    sizes: dict
    moves: list = field(default_factory=list)
    brought: dict = field(default_factory=dict)
    seconds: float = 0.0

    def worst(self, sizes=None):
        """What was on the device when it held the most weights.

        Parameters
        ----------
        sizes : dict of str to float, optional
            Bytes of each component in another checkpoint, whose worst moment at the same moves is wanted.

        Returns
        -------
        dict of str to float
            Bytes by component.
        """
        moments = (self._scaled(now, sizes) for _, now in self.moves)
        return max(moments, key=lambda now: sum(now.values()), default={})

    def peak(self, sizes=None):
        """Most bytes of weights that were on the device at once; `sizes` as in `worst`."""
        return sum(self.worst(sizes).values())

    def moved(self, sizes=None):
        """Bytes that were brought to the device, in all; `sizes` as in `worst`."""
        return sum(self._scaled(self.brought, sizes).values())

    def table(self, checkpoints):
        """Lay out, for several checkpoints, what these moves save.

        Parameters
        ----------
        checkpoints : dict of str to dict of str to float
            By its name, the bytes of each component of a checkpoint.

        Returns
        -------
        IPython.display.Markdown
        """
        rows = []
        for name, sizes in checkpoints.items():
            row = {"weights (MB)": name, "all": sum(sizes.values()), "the UNet": sizes["unet"]}
            row |= {"at the worst moment": self.peak(sizes)}
            row = {key: value if key == "weights (MB)" else f"{value / 1e6:,.0f}" for key, value in row.items()}
            rows.append(row | {"which": " and ".join(self.worst(sizes))})
        return table(rows)

    def _scaled(self, parts, sizes):
        return {name: part * (sizes or self.sizes)[name] / self.sizes[name] for name, part in parts.items()}

    def beside(self, component):
        """The other components that were on the device together with one, at any time: a set of names."""
        return {name for _, now in self.moves if component in now for name in now} - {component}

    def plot(self, title="Weights on the device"):
        """Draw a bar for each time that a component is on the device, and the sum of the weights.

        A bar of less than full height is a component of which only a part was needed.

        Returns
        -------
        helpers.pictures.Picture
        """
        figure, total = Figure(figsize=(10, 5), layout="constrained"), sum(self.sizes.values()) / 1e6
        bars, sums = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        moves = [(0.0, {}), *self.moves]
        ends = [moment for moment, _ in self.moves] + [self.seconds]
        spans, rows = {}, list(self.sizes)
        for (start, now), end in zip(moves, ends, strict=True):
            for name, part in now.items():
                spans.setdefault((name, 0.8 * part / self.sizes[name]), []).append((start, end - start))
        for (name, height), times in spans.items():
            bars.broken_barh(times, (rows.index(name) - height / 2, height), color="tab:blue", lw=1)
        bars.set_yticks(range(len(self.sizes)), [f"{name}\n{size / 1e6:,.1f} MB" for name, size in self.sizes.items()])
        bars.set(title=title, ylabel="component", ylim=(len(self.sizes) - 0.5, -0.5))
        bars.tick_params(axis="y", labelsize=8)
        levels = [sum(now.values()) / 1e6 for _, now in moves]
        sums.step([0.0, *ends], [*levels, levels[-1]], where="post", color="tab:blue")
        sums.axhline(total, color="tab:orange", ls="--", label="all components")
        sums.set(xlabel="time (s)", ylabel="on device (MB)", ylim=(0, 1.3 * total), xlim=(0, self.seconds))
        sums.legend(loc="upper right")
        begins = {}
        for (name, _), times in spans.items():
            begins.setdefault(name, times[0][0])
        said = "; ".join(f"{name} from {start:.2f} s" for name, start in begins.items()) or "nothing"
        alt = f"{title}. On the device, in this order: {said}. At most {self.peak() / 1e6:.1f} of {total:.1f} MB."
        return Picture(figure, alt)


def official_sizes(size="base"):
    """Count the bytes of each component of an official checkpoint in half precision.

    Parameters
    ----------
    size : str
        "base", or "large", of which only the UNet is another.

    Returns
    -------
    dict of str to float
    """
    with torch.device("meta"):  # takes no memory
        unet = build_unet(size)
    sizes = {name: 2e6 * millions for name, millions in PARAMETERS.items()}
    return sizes | {"unet": 2.0 * sum(p.numel() for p in unet.parameters())}


@contextmanager
def watch(pipe):
    """Log which weights the hooks of model, sequential or group offload bring to the device and take back.

    It sees what the hooks decide. On a CPU they decide the same as on a GPU, and nothing has to move.

    Parameters
    ----------
    pipe : diffusers.AudioLDM2Pipeline
        Its offload was enabled just before, so that nothing is on the device.

    Yields
    ------
    OffloadLog
    """
    names = [row["component"] for row in describe_components(pipe) if row["parameters"]]
    models = {name: pipe.components[name] for name in names}
    log = OffloadLog({name: sum(p.nbytes for p in model.parameters()) for name, model in models.items()})
    # Model and group offload keep the parameters, sequential offload makes new ones: there, the layer is the key.
    weights = {p: (name, p.nbytes) for name, model in models.items() for p in model.parameters()}
    for name, model in models.items():
        for layer in model.modules():
            weights[layer] = (name, sum(p.nbytes for p in layer.parameters(recurse=False)))
    present, begin = {}, time.perf_counter()

    def move(going, coming):
        gone = [key for key in going if present.pop(key, None)]
        new = {key: weights[key] for key in coming if key not in present}
        present.update(new)
        for name, size in new.values():
            log.brought[name] = log.brought.get(name, 0) + size
        if gone or new:
            now = {}
            for name, size in present.values():
                now[name] = now.get(name, 0) + size
            log.moves.append((time.perf_counter() - begin, now))

    def whole(hook, module, *_):
        previous = hook.prev_module_hook
        move(previous.model.parameters() if previous else (), module.parameters())

    def layer_in(hook, module, *_):
        if hook.offload:
            move((), [module])

    def parameters(group):
        return [*group.parameters, *(p for module in group.modules for p in module.parameters())]

    with ExitStack() as stack:
        for owner, method, note in (
            (CpuOffload, "pre_forward", whole),
            (AlignDevicesHook, "pre_forward", layer_in),
            (AlignDevicesHook, "post_forward", lambda hook, module, *_: move([module], ())),
            (ModuleGroup, "onload_", lambda group: move((), parameters(group))),
            (ModuleGroup, "offload_", lambda group: move(parameters(group), ())),
        ):
            stack.enter_context(patch.object(owner, method, _followed_by(getattr(owner, method), note)))
        yield log
    log.seconds = time.perf_counter() - begin


def _followed_by(method, note):
    def noted(self, *args, **kwargs):
        result = method(self, *args, **kwargs)
        note(self, *args)
        return result

    return noted
