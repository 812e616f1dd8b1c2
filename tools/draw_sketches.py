"""Draw the pictures that explain an idea: `python -m tools.draw_sketches [NAME ...]` writes helpers/sketches/*.svg.

Each picture has a module in tools/sketches whose `draw()` returns a matplotlib figure and its alternative text, which
the SVG file then carries as its description.
"""

import html
import importlib
import io
import re
import sys
from pathlib import Path

import matplotlib

COURSE = Path(__file__).resolve().parents[1]


def main():
    """Draw those that are named, or all."""
    matplotlib.rcParams |= {"svg.hashsalt": "sketch", "svg.fonttype": "none"}  # the same file from the same code
    names = sys.argv[1:] or sorted(path.stem for path in (COURSE / "tools" / "sketches").glob("[a-z]*.py"))
    for name in names:
        figure, alt = importlib.import_module(f"tools.sketches.{name}").draw()
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=False)
        described = f"\\g<0><desc>{html.escape(alt)}</desc>"
        svg = re.sub(r"<svg\b[^>]*>", described, buffer.getvalue(), count=1)
        (COURSE / "helpers" / "sketches" / f"{name}.svg").write_text(svg, encoding="utf-8")
        print(f"{name}: {len(svg) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
