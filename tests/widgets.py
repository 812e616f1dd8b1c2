"""Look into widgets, and into the HTML that they hold."""

import re


def find(widget, kind):
    """All widgets of a kind, from the outermost inwards."""
    found = [widget] if isinstance(widget, kind) else []
    return found + [one for child in getattr(widget, "children", ()) for one in find(child, kind)]


def sources(text):
    """What the players in a text would play."""
    return re.findall(r'src="([^"]+)"', text)
