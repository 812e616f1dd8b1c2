"""Pictures with a text for those who cannot see them: a figure, a sketch, bars, curves; and the colours of all."""

import base64
import html
import io
import re
from dataclasses import dataclass
from pathlib import Path

from IPython.display import HTML
from matplotlib.figure import Figure

COLOURS, MARKERS = ("tab:orange", "tab:blue", "black", "grey"), "soD^"  # of curves, told apart without colour, too
BARS = {"color": "tab:blue"}, {"facecolor": "tab:orange", "edgecolor": "white", "hatch": "//"}  # of the two in a chart
SKETCHES = Path(__file__).parent / "sketches"


@dataclass(repr=False)
class Picture:
    """A figure with alternative text, which a notebook shows when it is the last line of a cell.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
    alt : str
        What the figure shows, in words.
    """

    figure: Figure
    alt: str

    def __repr__(self):
        return self.alt

    def _repr_html_(self):
        # An <img> by hand: not every notebook program passes on the alternative text of a PNG output.
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=90)
        data = base64.b64encode(buffer.getvalue()).decode()
        return f'<img alt="{html.escape(self.alt)}" style="max-width: 100%" src="data:image/png;base64,{data}">'


def sketch(name):
    """Show a picture that explains an idea; the files lie in helpers/sketches, drawn by tools/draw_sketches.py.

    Parameters
    ----------
    name : str
        Of the file, without its ending.

    Returns
    -------
    IPython.display.HTML
        With the file's description as alternative text.
    """
    data = (SKETCHES / f"{name}.svg").read_bytes()
    alt = re.search(r"<desc>(.*?)</desc>", data.decode(), re.DOTALL)[1]
    source = f"data:image/svg+xml;base64,{base64.b64encode(data).decode()}"
    return HTML(f'<img alt="{html.escape(html.unescape(alt))}" style="max-width: 100%" src="{source}">')


def bars(groups):
    """Draw times as bars, in one panel for each group.

    Parameters
    ----------
    groups : dict of str to dict of str to helpers.measuring.Trial
        By the title of a panel, what `helpers.measure` returned for one variant, by its name. The first group names the
        rows; where another has no such name, it gets no bar.

    Returns
    -------
    Picture
    """
    figure = Figure(figsize=(9, 1 + 0.4 * max(map(len, groups.values()))), layout="constrained")
    times = {title: {name: trial.before.median for name, trial in row.items()} for title, row in groups.items()}
    for ax, (title, row) in zip(figure.subplots(1, len(times), sharey=True), times.items(), strict=True):
        ax.bar_label(ax.barh(list(row), list(row.values()), color="tab:blue"), fmt="{:.3g} s", padding=3)
        ax.set(title=title, xlabel="time (s)")
        ax.margins(x=0.2)
    ax.invert_yaxis()
    said = [
        f"{title}: " + ", ".join(f"{n} {seconds:.3g} s" for n, seconds in row.items()) for title, row in times.items()
    ]
    return Picture(figure, f"Bar chart of times. {'; '.join(said)}.")
