"""Ends of intervals of targets, as users give them: numbers, tables, or some by name."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from manymodes import _checks
from manymodes.estimators.tables.numbers import Floats, is_mapping, target_table


def interval_ends(
    name: str, end: ArrayLike | None, default: float, names: list[str], n_rows: int, *, matched: bool
) -> Floats:
    """Return ends of intervals, (N, D).

    Args:
        name: Name of the end, for messages.
        end: A number, one for each row or target, a table, or those of some targets by their names; None for none.
        default: End of what is not given.
        names: Names of the targets.
        n_rows: Number of rows, N.
        matched: Whether columns of tables are matched by name.

    Raises:
        ValueError: What are no numbers, another shape, or names that are not there.
    """
    target_dim = len(names)
    if is_mapping(end):
        return _named_ends(name, end, default, names, n_rows)
    table = target_table(end, allow_missing=True)
    values = _numbers(name, default if end is None else end if table is None else table.values)
    if table is not None and matched and target_dim > 1:
        _checks.known_columns(names, table.names, name)
        values = values[:, [table.names.index(own) for own in names]]
    values = values[:, None] if values.ndim == 1 and target_dim == 1 else values
    if end is not None and not values.ndim and target_dim > 1:
        raise _checks.InputError(f"{name} must be one number for each of {target_dim} targets; got {end!r}.")
    try:
        return np.broadcast_to(values, (n_rows, target_dim))
    except ValueError:
        raise _checks.InputError(
            f"{name} must be a number, one for each of {_checks.counted(target_dim, 'target')}, or have shape "
            f"({n_rows}, {target_dim}); got {_checks.shape_text(values.shape)}."
        ) from None


def _named_ends(name: str, ends: Any, default: float, names: list[str], n_rows: int) -> Floats:
    """Return the ends of some targets, by their names, (N, D); others have none."""
    _checks.known_columns(map(str, ends), names, "y")
    values = np.full((n_rows, len(names)), default)
    for target, end in ends.items():
        values[:, names.index(str(target))] = _numbers(name, end)
    return values


def _numbers(name: str, end: Any) -> Floats:
    try:
        return np.asarray(end, dtype=np.float64)
    except (TypeError, ValueError):
        raise _checks.InputError(f"{name} must be numbers; got {end!r}.") from None
