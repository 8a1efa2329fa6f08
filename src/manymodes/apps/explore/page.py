"""The page of an explorer: where a table is dropped, and where a fit is watched."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from manymodes.pages.html import page
from manymodes.pages.living.section import script, style

_LEAD = (
    "Drop a table here, choose the column to predict, and watch a model learn what it may be. Everything stays on this "
    "computer."
)


@cache
def explorer_page() -> str:
    """Return the page, which asks its own server only."""
    own = files("manymodes.apps.explore")
    scripts = script(own.joinpath("explore.js").read_text(encoding="utf-8"))
    styles = style() + own.joinpath("explore.css").read_text(encoding="utf-8")
    return page(
        "manymodes explorer",
        _LEAD,
        [f"<style>{styles}</style>", '<div id="explorer"></div>', f"<script>{scripts}</script>"],
    )
