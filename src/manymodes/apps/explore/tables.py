"""Tables that somebody hands to the explorer: what their columns hold, in words that a page can show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymodes.apps.files import read_columns
from manymodes.apps.misread import misread
from manymodes.estimators.tables.frames import is_missing

_SHOWN_LEVELS = 6
_FEW = 20  # different numbers: rather a category than a target


def describe_table(file: Path) -> dict[str, Any]:
    """Return the name, the size and the columns of a table, as JSON can hold them.

    Raises:
        ValueError: A file that cannot be read.
    """
    columns = read_columns(file)
    described = [_described(name, column) for name, column in columns.items()]
    return {
        "name": file.name,
        "n_rows": len(next(iter(columns.values()))),
        "columns": described,
        "target": _likely_target(described),
    }


def _described(name: str, column: NDArray[Any]) -> dict[str, Any]:
    known = [value for value in column.tolist() if not is_missing(value)]
    kind = {"f": "number", "i": "number", "u": "number", "b": "number", "M": "time"}.get(column.dtype.kind, "text")
    return {
        "name": name,
        "kind": kind,
        "note": misread(name, column),
        "n_missing": len(column) - len(known),
        "n_different": len(set(known)),
        "holds": _holds(kind, column, known),
    }


def _holds(kind: str, column: NDArray[Any], known: list[Any]) -> str:
    if not known:
        return "nothing"
    if kind == "number":
        return f"{np.nanmin(column.astype(float)):.6g} to {np.nanmax(column.astype(float)):.6g}"
    if kind == "time":
        times = column[~np.isnat(column)]
        return f"{str(times.min())[:16]} to {str(times.max())[:16]}"
    levels = sorted(map(str, set(known)))
    return ", ".join(levels[:_SHOWN_LEVELS]) + (" ..." if len(levels) > _SHOWN_LEVELS else "")


def _likely_target(columns: Sequence[dict[str, Any]]) -> str | None:
    """Return the column that is most often the target: the last one of numbers that take many values."""
    numbers = [column for column in columns if column["kind"] == "number" and column["n_different"] > 1]
    many = [column for column in numbers if column["n_different"] > _FEW]
    return (many or numbers)[-1]["name"] if numbers else None
