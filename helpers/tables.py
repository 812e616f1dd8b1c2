"""Rows to a table that a notebook shows."""

from IPython.display import Markdown


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
