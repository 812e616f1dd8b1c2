"""How Sphinx turns the notebooks into pages that open from disk. Called by tools/build_site.py."""

import re
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert

HERE = Path(__file__).parent

project = "AudioLDM 2, but faster"
html_title = project
language = "en"
extensions = ["myst_nb"]
nb_execution_mode = "off"  # build_site.py has executed them
nb_ipywidgets_js = {}  # the default comes from other servers
nb_code_prompt_show, nb_code_prompt_hide = "Show the code", "Hide the code"
nb_render_markdown_format = "myst"  # the default knows no tables
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["mystnb.unknown_mime_type", "misc.highlighting_failure"]

html_theme = "furo"
html_static_path = [str(HERE / "style.css")]
html_css_files = ["style.css"]
html_show_search_summary = False  # it fetches pages, which a browser refuses when there is no server
html_copy_source = False
html_show_copyright = False
html_math_renderer = "mathml"


def show_formula(translator, node):
    """Write a formula as MathML, which browsers draw by themselves."""
    block = isinstance(node, nodes.math_block)
    latex, tag = re.subn(r"\\tag\{(.*?)\}", "", node.astext())[0], re.search(r"\\tag\{(.*?)\}", node.astext())
    formula = convert(latex.strip(), display="block" if block else "inline")
    number = f'<span class="formula-number">({tag[1]})</span>' if tag else ""
    translator.body.append(f'<div class="formula">{formula}{number}</div>' if block else formula)
    raise nodes.SkipNode


def setup(app):
    """Register the formulas with Sphinx."""
    app.add_html_math_renderer("mathml", (show_formula, None), (show_formula, None))
