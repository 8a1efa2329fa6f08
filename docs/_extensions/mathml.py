"""Formulas as MathML, made while the site is built: pages need no script and no fonts from elsewhere."""

import re

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

_SPELLED = {r"\Big\|": r"\Vert ", r"\|": r"\Vert ", r"\arg": r"\operatorname{arg}"}  # unknown to the converter
_NAME_BEFORE_SYMBOL = re.compile(r"<mi>([a-z]{2,})</mi>(?!<mo)")  # "ln w", where TeX sets a thin space
_log = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer under the name that ``html_math_renderer`` takes."""
    app.add_html_math_renderer("mathml", inline_renderers=(inline, None), block_renderers=(block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def mathml(node: nodes.math | nodes.math_block, display: str) -> str:
    """Return a formula as MathML, and warn of commands that are left in it."""
    formula = node.astext()
    for command, spelled in _SPELLED.items():
        formula = formula.replace(command, spelled)
    found = _NAME_BEFORE_SYMBOL.sub(r'<mi>\1</mi><mspace width="0.17em"/>', convert(formula, display=display))
    left = re.search(r">(\\[^<]*)<", found)
    if left:
        _log.warning("MathML knows no %s in %r", left[1], formula, location=node)
    return found


def inline(translator: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line."""
    translator.body.append(mathml(node, "inline"))
    raise nodes.SkipNode


def block(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula on lines of its own, with its number and anchor where it has a label."""
    translator.body.append(translator.starttag(node, "div", CLASS="math"))
    translator.body.append(mathml(node, "block"))
    if node["number"]:
        number = get_node_equation_number(translator, node)
        translator.body.append(f'<span class="eqno">({number})</span>')
        translator.add_permalink_ref(node, "Link to this equation")
    translator.body.append("</div>")
    raise nodes.SkipNode
