"""Tables; and pictures with a text for those who cannot see them: a figure, a sketch; and their colours."""

import base64
import html
import io
import re
from dataclasses import dataclass
from pathlib import Path

from IPython.display import HTML, Markdown
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


def table(rows):
    """Lay out rows as a table.

    Parameters
    ----------
    rows : list of dict
        One dictionary per row, all with the keys of the first, which become the headings. Integers get thousands
        separators, None becomes a dash.

    Returns
    -------
    IPython.display.Markdown
        A notebook shows it when it is the last line of a cell; its `data` is the text.

    Raises
    ------
    ValueError
        If there is no row.
    """
    if not rows:
        raise ValueError("rows is empty, but a table needs at least one row (a dictionary).")
    headings = list(rows[0])
    lines = [headings, ["---"] * len(headings)] + [[_text(row[heading]) for heading in headings] for row in rows]
    return Markdown("\n".join(f"| {' | '.join(cells)} |" for cells in lines))


def _text(value):
    if value is None:
        return "–"
    text = f"{value:,}" if type(value) is int else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
