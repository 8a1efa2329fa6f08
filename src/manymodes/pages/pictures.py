"""Pictures of matplotlib within a page: SVG without anything that changes from run to run."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 130  # of those parts that are pixels


def as_svg(figure: Figure, name: str) -> str:
    """Return a figure as SVG: the same text for the same figure and name.

    Args:
        figure: What was drawn.
        name: What tells its identifiers from those of other figures.
    """
    from matplotlib import rc_context

    stream = io.StringIO()
    with rc_context({"svg.hashsalt": name}):
        figure.savefig(stream, format="svg", dpi=_DPI, metadata={"Date": None, "Creator": None})
    return stream.getvalue()


def picture(svg: str, caption: str) -> str:
    """Return an SVG as a figure of a page, with its caption, which is also its text for screen readers."""
    content = base64.b64encode(svg.encode()).decode()
    return (
        f'<figure><img class="picture" alt="{escape(caption)}" src="data:image/svg+xml;base64,{content}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
