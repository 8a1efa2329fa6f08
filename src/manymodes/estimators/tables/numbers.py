"""Tables of named columns as matrices of numbers: pandas, polars and pyarrow frames, and mappings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import ArrayLike, NDArray

from manymodes import _checks

Floats = NDArray[np.float64]

_CODES = ", say codes that categorical_features names"  # how text becomes a feature


@dataclass(frozen=True, eq=False)
class Table:
    """Named columns of finite numbers.

    Attributes:
        names: Name of each column, F of them.
        values: Their values, (N, F), or (N,) where they came as one series.
    """

    names: list[str]
    values: Floats


def as_table(data: Any, role: str, *, allow_missing: bool = False) -> Table | None:
    """Return the named columns of a frame or a mapping; None where ``data`` has no names.

    Args:
        data: A pandas, polars or pyarrow table, a mapping of names to columns, or anything else.
        role: What the columns are, for messages: ``"feature"`` or ``"target"``.
        allow_missing: Whether missing (and infinite) values are legal, as NaN.

    Raises:
        ValueError: A column of text, or with missing or infinite values.
    """
    if is_mapping(data):
        return from_columns(data, role, allow_missing=allow_missing)
    refuse_lazy(data)
    if nw.dependencies.is_into_dataframe(data):
        frame = as_frame(data)
        columns = [(str(column.name), _to_numpy(column)) for column in frame.iter_columns()]
        return _stack(columns, role, allow_missing=allow_missing)
    return None


def from_columns(
    columns: Mapping[str, ArrayLike], role: str, *, first_row: int = 0, allow_missing: bool = False
) -> Table:
    """Return a mapping of names to columns, (N,) each, as a table; messages count rows from ``first_row`` on."""
    named = [(str(name), as_array(column)) for name, column in columns.items()]
    return _stack(named, role, first_row, allow_missing=allow_missing)


def is_mapping(data: Any) -> bool:
    """Return whether ``data`` maps names to columns; one of SciPy's sparse formats is a dict, too."""
    return isinstance(data, Mapping) and not hasattr(data, "shape")


def as_frame(X: Any) -> nw.DataFrame[Any]:
    """Return a frame of any kind, or refuse one with two columns of one name."""
    try:
        return nw.from_native(X, eager_only=True)
    except nw.exceptions.DuplicateError:
        refuse_repeated([str(name) for name in (X.column_names if hasattr(X, "column_names") else X.columns)])
        raise


def refuse_repeated(names: Sequence[str]) -> None:
    """Refuse columns of the same name."""
    if len(set(names)) < len(names):
        repeated = sorted({name for name in names if list(names).count(name) > 1})
        raise _checks.InputError(f"column names must differ; got {_checks.quoted(repeated)} more than once.")


def as_array(column: Any) -> NDArray[Any]:
    """Return a column of a mapping; one of Python objects is not made alike, and what is masked is missing."""
    if isinstance(column, np.ma.MaskedArray):
        return unmasked(column)
    if hasattr(column, "__array__"):
        return np.asarray(column)
    if not isinstance(column, Sequence) or isinstance(column, str):
        return np.asarray(column, dtype=object)  # no axis, or one of what it is
    objects = np.empty(len(column), dtype=object)
    objects[:] = column
    return objects


def unmasked(values: Any) -> NDArray[Any]:
    """Return an array with what is masked as NaN."""
    if not isinstance(values, np.ma.MaskedArray):
        return np.asarray(values)
    return np.where(np.ma.getmaskarray(values), np.nan, np.ma.getdata(values).astype(np.float64))


def refuse_lazy(data: Any) -> None:
    """Refuse a frame that holds no rows yet."""
    if nw.dependencies.is_polars_lazyframe(data):
        raise TypeError("a lazy frame holds no rows yet; hand in frame.collect().")


def target_table(y: Any, *, allow_missing: bool = False) -> Table | None:
    """Return the named targets of a frame, a mapping or a named series; None where ``y`` has no names."""
    if nw.dependencies.is_into_series(y):
        series = nw.from_native(y, series_only=True)
        name = str(series.name or "y")
        return Table([name], numeric_column(name, _to_numpy(series), "target", allow_missing=allow_missing))
    return as_table(y, "target", allow_missing=allow_missing)


def refuse_constant(y: Floats, names: Sequence[str] | None) -> None:
    """Refuse targets, (N, D), one of which never changes: it has no density."""
    for d, column in enumerate(y.T):
        refuse_same(column, d, names, len(column))


def refuse_same(values: Floats, d: int, names: Sequence[str] | None, n_rows: int) -> None:
    """Refuse what is known of the target number ``d`` in so many rows, if it is a single value."""
    if values.min() == values.max():
        raise _checks.InputError(
            f"{target_name(d, names)} must take at least two different values; all {n_rows} rows have {values[0]:g}."
        )


def target_name(d: int, names: Sequence[str] | None) -> str:
    """Return what a sentence calls the target number ``d``."""
    return f"column {d} of y" if names is None else f"target {names[d]!r}"


def numeric_column(
    name: str, column: ArrayLike, role: str, first_row: int = 0, *, allow_missing: bool = False
) -> Floats:
    """Return a column as float64, (N,), or refuse it by its name, its role and its first bad row.

    Rows are counted from 1, as a person reads a table.
    """
    values = np.asarray(column)
    if values.dtype.kind in "Mmc":
        raise _checks.InputError(
            f"Column {name!r} holds {values.dtype} values, and a {role} must hold real numbers; turn them into such."
        )
    try:
        numbers = values.astype(np.float64)
    except (TypeError, ValueError):
        place = _first_text(values)
        row = _checks.row(first_row + place)
        raise _checks.InputError(
            f"Column {name!r} holds {str(values[place])!r} in {row}, and a {role} must hold numbers; "
            f"leave it out or turn it into numbers{_CODES if role == 'feature' else ''}."
        ) from None
    bad = ~(np.abs(numbers) <= _checks.LARGEST)
    if bad.any() and not allow_missing:
        kind = "missing" if np.isnan(numbers[bad]).all() else "missing, infinite or huge"
        row = _checks.row(first_row + int(bad.argmax()))
        raise _checks.InputError(
            f"Column {name!r} has {_checks.counted(int(bad.sum()), f'{kind} value')} (first: {row}), and a {role} may "
            "have none; drop those rows or fill them in."
        )
    return numbers


def _stack(
    columns: Sequence[tuple[str, NDArray[Any]]], role: str, first_row: int = 0, *, allow_missing: bool = False
) -> Table:
    if not columns:
        raise _checks.InputError(f"a table must have at least one {role} column; got none.")
    names = [name for name, _ in columns]
    refuse_repeated(names)
    for name, column in columns:
        _checks.same_rows(f"Column {names[0]!r}", len(columns[0][1]), f"column {name!r}", len(column))
    values = [numeric_column(*column, role, first_row, allow_missing=allow_missing) for column in columns]
    return Table(names, np.column_stack(values))


def _to_numpy(series: Any) -> Any:
    numeric = series.dtype.is_numeric() or series.dtype == nw.Boolean
    return (series.cast(nw.Float64) if numeric else series).to_numpy()


def _first_text(values: NDArray[Any]) -> int:
    for row, value in enumerate(values):
        try:
            float(value)
        except (TypeError, ValueError):
            return row
    return 0
