"""Rows that the living part of a page starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Example:
    """A row to start from: what names it elsewhere on the page, what a menu calls it, and its features."""

    id: str
    label: str
    row: Row
