"""How Sphinx builds this site: MyST pages, the furo theme, MathML formulas; no page makes a network request."""

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

import manymodes

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))

project = "manymodes"
author = "The manymodes authors"
copyright = "The manymodes authors, Apache-2.0"  # noqa: A001  # as Sphinx calls it
version = release = manymodes.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "mathml", "gallery", "contents"]
exclude_patterns = ["_build", "_extensions"]
language = "en"

html_theme = "furo"
html_title = "manymodes"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_show_sourcelink = False
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "monokai"

myst_enable_extensions = ["colon_fence", "dollarmath"]

autosummary_generate = False
toc_object_entries = False  # pages of the reference begin with their names; in every menu they would be too many
autodoc_member_order = "bysource"
autodoc_default_options = {
    "members": True,
    "show-inheritance": True,
    # Of these bases members are told where they are defined: torch's, scikit-learn's, Python's, our own contracts.
    "inherited-members": "Module, Distribution, MixtureSameFamily, DataLoader, IterableDataset, BaseEstimator, "
    "RegressorMixin, BaseException, Enum, Generic, Protocol, str, tuple, "
    "Component, Composite, Declared, Factorised, LocationScale, Remapped, Wrapped",
    "exclude-members": "get_metadata_routing, set_fit_request, set_score_request, set_predict_request",
}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_use_ivar = True
napoleon_use_rtype = False

gallery_examples = HERE.parent / "examples"
gallery_run = True

nitpicky = True  # a name in a page that the reference does not have is an error
nitpick_ignore_regex = [
    (r"py:.*", r"(?!manymodes).*"),  # torch, NumPy: their pages are elsewhere
    (r"py:.*", r"manymodes\.[a-z_]+(\.[a-z_]+)+\.\w+|manymodes\.\w+\._\w+"),  # types of annotations, not public
]


def setup(app: Sphinx) -> None:
    """Mend what napoleon makes of docstrings."""
    app.connect("autodoc-process-docstring", as_meant, priority=900)  # after napoleon


def as_meant(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Keep the last character of ``history_``, which would make a link, and sentences with a colon, taken for types."""
    for place, line in enumerate(lines):
        mended = re.sub(r"^:(ivar|vartype) (\w+)_:", r":\1 \2\_:", line)
        lines[place] = re.sub(r"^:returns: \*(.*)\* -- ", r":returns: \1: ", mended)
