"""Time against the length of a clip."""

from dataclasses import dataclass

from matplotlib.figure import Figure
from tqdm.auto import tqdm

from helpers.devices import out_of_memory
from helpers.measuring import measure
from helpers.pictures import COLOURS, MARKERS, Picture


@dataclass
class Sweep:
    """What `sweep` found.

    Attributes
    ----------
    values : dict of str to dict of float to float
        For each variant, seconds of one call by the length.
    """

    values: dict

    def plot(self, x="length of the clip (s)", y="time of one call (s)", title="Time against length"):
        """Draw one curve for each variant.

        Returns
        -------
        helpers.pictures.Picture
        """
        figure = Figure(figsize=(7, 3.6), layout="constrained")
        ax, said = figure.subplots(), []
        for (name, row), colour, marker in zip(self.values.items(), COLOURS, MARKERS, strict=False):
            ax.plot(list(row), list(row.values()), color=colour, marker=marker, label=name)
            said.append(f"{name}: " + ", ".join(f"{value:.3g} s at {n:g}" for n, value in row.items()))
        ax.set(title=title, xlabel=x, ylabel=y, xlim=(0, None), ylim=(0, None))
        ax.legend()
        return Picture(figure, f"{title}. {'; '.join(said)}.")


def sweep(variants, lengths, repeats=3):
    """Time variants at several lengths.

    Parameters
    ----------
    variants : callable
        Given a length, it returns variants as `helpers.measure` takes them. One that runs out of memory is left out at
        that length and at all longer ones, with a line that says so.
    lengths : list of float
    repeats : int
        Calls of each after the first.

    Returns
    -------
    Sweep
    """
    values, out = {}, set()
    with tqdm(total=sum(lengths), desc="sweep", leave=False) as bar:
        for length in sorted(lengths):
            for name, variant in variants(length).items():
                row = values.setdefault(name, {})
                try:
                    if name not in out:
                        row[length] = measure({name: variant}, repeats).before.median
                except (MemoryError, RuntimeError) as error:
                    if not out_of_memory(error):
                        raise
                    print(f"{name}: out of memory at {length:g}, and left out from there on")
                    out.add(name)
            bar.update(length)
    return Sweep(values)
