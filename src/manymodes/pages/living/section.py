"""The living part as HTML: a place for it, the model as JSON, and the scripts that bring it to life."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from manymodes.pages.html import paragraph, section

_SCRIPTS = ("special", "families", "line", "network", "chart", "controls", "panels", "sources", "view")


def living_section(heading: str, page: Mapping[str, Any], *notes: str) -> str:
    """Return a section of a page that carries a model.

    Args:
        heading: Its heading.
        page: The model, see ``model.page_model``.
        notes: Paragraphs of plain text above it.
    """
    # In a script element only "<" could end it, or begin a comment.
    data = json.dumps(page, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return section(
        heading,
        *map(paragraph, notes),
        f"<noscript>{paragraph('This part needs JavaScript, which is switched off; all else does not.')}</noscript>",
        '<div id="living-root"></div>',
        f"<style>{style()}</style>",
        f'<script type="application/json" id="manymodes-model">{data}</script>',
        f"<script>{script()}</script>",
        anchor="living",
    )


@cache
def script(more: str = "") -> str:
    """Return the scripts, one after another in a scope of their own; ``window.manymodes`` is what they show of it.

    Args:
        more: Another script that uses them, in the same scope.
    """
    body = "\n".join([*(_read(f"{name}.js") for name in _SCRIPTS), more])
    return f'(() => {{\n"use strict";\n{body}}})();\n'


@cache
def style() -> str:
    """Return the style of the living part."""
    return _read("living.css")


def _read(name: str) -> str:
    return files("manymodes.pages.living").joinpath(name).read_text(encoding="utf-8")
