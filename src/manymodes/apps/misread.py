"""Columns of a file that came out as text although somebody meant numbers or dates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from manymodes import _checks

_MOST = 0.9  # of the known cells: then the others are mistakes
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_COMMA = re.compile(r"[+-]?\d+(,\d+)*(\.\d+)?")
_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{2,4}( \d{1,2}:\d\d(:\d\d)?)?")


def misread(name: str, column: NDArray[Any]) -> str | None:
    """Return a sentence about a column of text that was meant as something else; None where it is text.

    Args:
        name: Its name.
        column: Its cells, (N,): text, None where missing; columns of other kinds are never misread.
    """
    if column.dtype != object:
        return None
    known = [(row, cell.strip()) for row, cell in enumerate(column.tolist()) if isinstance(cell, str)]
    if not known:
        return None
    odd = [(row, cell) for row, cell in known if not _NUMBER.fullmatch(cell)]
    if odd and len(odd) <= (1 - _MOST) * len(known):
        row, cell = odd[0]
        return (
            f"Column {name!r} holds {cell!r} in {_checks.row(row)}, and numbers nearly everywhere else; correct it, or "
            "leave the cell empty."
        )
    with_comma = [cell for _, cell in known if "," in cell]
    if with_comma and all(_COMMA.fullmatch(cell) for _, cell in known):
        return f"Column {name!r} holds numbers with commas, say {with_comma[0]!r}; write them like 1234.5."
    if all(_DATE.fullmatch(cell) for _, cell in known):
        return f"Column {name!r} holds dates such as {known[0][1]!r}; write them like 2024-12-31."
    return None


def refuse_misread(columns: Mapping[str, NDArray[Any]], categorical: Sequence[str] = ()) -> None:
    """Refuse columns that are text by mistake, but for those that are said to be categories.

    Raises:
        ValueError: Such a column.
    """
    for name, column in columns.items():
        sentence = None if name in categorical else misread(name, column)
        if sentence is not None:
            raise _checks.InputError(f"{sentence} If its cells are names of categories, pass --categorical {name!r}.")
