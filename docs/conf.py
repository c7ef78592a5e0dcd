"""Sphinx: sphinx-build -W -b html docs docs/_build/html, where fastbp can be imported, as after an editable install."""

import sys
from pathlib import Path

import fastbp

sys.path.insert(0, str(Path(__file__).parent))      # for _mathml

project = "fastbp"
author = "the fastbp developers"
version = release = fastbp.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.viewcode", "numpydoc", "myst_parser",
              "matplotlib.sphinxext.plot_directive", "_mathml"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"fastbp {release}"
html_show_copyright = False
html_math_renderer = "mathml"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

default_role = "py:obj"
autosummary_generate = False            # its tables link to the pages of api/
autodoc_member_order = "bysource"
autodoc_typehints = "none"              # docstrings name the types
numpydoc_show_class_members = False     # autodoc shows them

plot_include_source = True
plot_html_show_source_link = plot_html_show_formats = False
plot_formats = ["svg"]

nitpicky = True
# Single backticks in docstrings are names: of the package, of NumPy, or of parameters; the last two have no page here.
nitpick_ignore_regex = [("py:obj", r"[a-z_0-9]+"), ("py:obj", r"numpy\..+")]
