"""Small operations on a table of features of any kind, which give back a table of that kind.

A table is a pandas, polars or pyarrow frame, a mapping of names to columns, or an array, (N, F); what is none of these,
a tensor or a list of rows, is taken as an array. A column is a narwhals series where the table keeps typed columns, so
that categories, dates and missing values stay what they are, and an array elsewhere. Nothing changes a table in place.
"""

from __future__ import annotations

import datetime
import numbers
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import ArrayLike, NDArray

from manymodes import _checks
from manymodes.estimators.tables.numbers import is_mapping, refuse_lazy
from manymodes.nn.steps import as_inputs

Column: TypeAlias = "NDArray[Any] | nw.Series[Any]"
Rows: TypeAlias = NDArray[np.intp]

_TIMES = (datetime.date, datetime.time, datetime.timedelta)

# --- what a table holds ---


def n_rows(X: Any) -> int:
    """Return the number of rows, N."""
    X = as_inputs(X)
    if is_mapping(X):
        return len(next(iter(X.values()), ()))
    frame = _frame(X)
    rows = frame if frame is not None else X if hasattr(X, "__len__") else np.asarray(X)
    if not getattr(rows, "ndim", 1):
        raise TypeError(f"X must hold rows of features; got {type(X).__name__}.")
    return len(rows)


def has_names(X: Any) -> bool:
    """Return whether the columns of a table have names of their own."""
    return is_mapping(X) or _frame(X) is not None


def column_names(X: Any) -> list[str]:
    """Return the name of each column, F of them; those of an array are ``"x0"``, ``"x1"``, ..."""
    frame = None if is_mapping(X) else _frame(X)
    if is_mapping(X) or frame is not None:
        return [str(name) for name in (X if frame is None else frame.columns)]
    return [f"x{place}" for place in range(_array(X).shape[1])]


def places(X: Any, wanted: Iterable[int | str] | None = None, names: Sequence[str] | None = None) -> dict[str, int]:
    """Return columns by their names, with their places in a table.

    Args:
        X: The table.
        wanted: Names, or places among ``names``; None for all.
        names: Names that the table must have, in any order; an array has them in this order. None for its own.

    Raises:
        ValueError: Columns that are not there, or none.
    """
    if isinstance(wanted, str) or not (wanted is None or isinstance(wanted, Iterable)):
        raise _checks.InputError(f"features must be a list of column names or places, say ['age']; got {wanted!r}.")
    columns = column_names(X)
    known = columns if names is None else [str(name) for name in names]
    if has_names(X):
        _checks.known_columns(known, columns, "X")
    else:
        _checks.matches_shape("X", (n_rows(X), len(columns)), ("N", len(known)), "as the model was fitted with")
        columns = known
    chosen = [
        feature if isinstance(feature, str) else known[_checks.integer_at_least("feature", feature, 0, len(known) - 1)]
        for feature in (known if wanted is None else wanted)
    ]
    _checks.known_columns(chosen, known, "X")
    if not chosen:
        raise _checks.InputError("features must name at least 1 feature; got none.")
    return {name: columns.index(name) for name in chosen}


def column(X: Any, place: int) -> Column:
    """Return a column, (N,), by its place: a narwhals series where the table keeps typed columns, else an array."""
    if is_mapping(X):
        return _mapped(list(X.values())[place])
    frame = _frame(X)
    return _array(X)[:, place] if frame is None else frame.get_column(frame.columns[place])


def cells(values: Column) -> list[Any]:
    """Return the values of a column as Python's own objects, N of them."""
    if isinstance(values, nw.Series):
        return list(values.to_list())
    if values.dtype.kind in "mM":  # nanoseconds would become integers
        values = values.astype(f"{values.dtype.kind}8[us]")
    return list(values.tolist())


def keys(values: Column) -> list[Any]:
    """Return what tells equal cells of a column, (N,), from different ones; missing ones of one type are equal."""
    return [("missing", type(cell)) if is_missing(cell) else cell for cell in cells(values)]


def is_missing(cell: Any) -> bool:
    """Return whether a cell is None, NaN, or what a frame has in their place: whatever does not equal itself."""
    equal = cell == cell
    return cell is None or (bool(equal) if isinstance(equal, np.bool_) else equal) is not True


def typical_values(values: Column, count: int) -> list[Any]:
    """Return at most ``count`` values that a column holds, and that show what it holds.

    Of numbers and times all that are there, where they are few, and else quantiles at equal steps from the smallest to
    the largest, each the nearest value there is; of anything else (text, categories, booleans) the most frequent ones,
    in that order. Missing values are none.
    """
    known = [cell for cell in cells(values) if not is_missing(cell)]
    named = isinstance(values, nw.Series) and values.dtype in (nw.Categorical, nw.Enum)
    if named or not all(_is_ordered(cell) for cell in known):
        return [cell for cell, _ in Counter(known).most_common(count)]
    known.sort()
    distinct = list(dict.fromkeys(known))
    if len(distinct) <= count:
        return distinct
    return list(dict.fromkeys(known[place] for place in np.linspace(0, len(known) - 1, count).round().astype(int)))


def some_rows(X: Any, at_most: int, generator: np.random.Generator) -> Rows:
    """Return the places of all rows, or of ``at_most`` that are drawn without replacement, in their order."""
    count = n_rows(X)
    return np.arange(count) if count <= at_most else np.sort(generator.choice(count, at_most, replace=False))


# --- tables made from it ---


def take_rows(X: Any, index: Rows) -> Any:
    """Return some rows by their places, in that order; one may come several times.

    It need not be a table: a series, arrays or tensors of any number of axes, and packed sequences have rows, too.
    """
    X = as_inputs(X)
    if is_mapping(X):
        return {name: take_rows(values, index) for name, values in X.items()}
    if nw.dependencies.is_into_series(X):
        return nw.from_native(X, series_only=True)[index].to_native()
    frame = _frame(X)
    if frame is not None:
        return frame[index].to_native()
    return X[index] if hasattr(X, "shape") else np.asarray(X)[index]


def with_column(X: Any, place: int, values: Column) -> Any:
    """Return a table with one column replaced by another of N values, whose type it takes.

    An array becomes one of a type that holds both, of objects where nothing else does.
    """
    if is_mapping(X):
        return {name: _native(values) if i == place else old for i, (name, old) in enumerate(X.items())}
    frame = _frame(X)
    if frame is not None:
        return frame.with_columns(_like_frame(frame, frame.columns[place], values)).to_native()
    table, new = _array(X), values.to_numpy() if isinstance(values, nw.Series) else values
    table = table.astype(_common(table.dtype, new.dtype))  # a copy
    table[:, place] = new
    return table


def with_rows_of_column(X: Any, place: int, index: Rows) -> Any:
    """Return a table with one column's values taken from other rows: row i holds that of row ``index[i]``, (N,)."""
    return with_column(X, place, column(X, place)[index])


def with_constant(X: Any, place: int, value: Any) -> Any:
    """Return a table with one column that holds the same value in every row, None or NaN for a missing one.

    The column keeps its type where that can hold the value; elsewhere it takes the type of the value, so that an
    integer column set to 2.5 is of floats, and categories set to one that they lack are of text.
    """
    own = cells(np.asarray([value]))[0] if isinstance(value, np.generic) else value
    return with_column(X, place, _constant(column(X, place), own))


def like(X: Any, columns: Mapping[str, ArrayLike | Sequence[Any]], *, index_of: Any = None) -> Any:
    """Return a new table of the kind of X with these columns; a dict of arrays where X is no frame.

    Args:
        X: The table whose kind counts.
        columns: Names and values, of one length.
        index_of: A pandas frame of as many rows, whose index a pandas result takes over; None for a new index.
    """
    frame = None if is_mapping(X) else _frame(X)
    if frame is None:
        return {name: np.asarray(values) for name, values in columns.items()}
    new = nw.from_dict({name: _plain(values) for name, values in columns.items()}, backend=frame.implementation)
    native = new.to_native()
    if frame.implementation.is_pandas_like() and hasattr(index_of, "index"):
        native.index = index_of.index
    return native


# --- private ---


def _frame(X: Any) -> nw.DataFrame[Any] | None:
    refuse_lazy(X)
    return nw.from_native(X, eager_only=True) if nw.dependencies.is_into_dataframe(X) else None


def _array(X: Any) -> NDArray[Any]:
    array = np.asarray(X)
    _checks.matches_shape("X", array.shape, ("N", "F"), "as a table")
    return array


def _mapped(values: Any) -> Column:
    """Return a column of a mapping, where series stay typed."""
    series: nw.Series[Any] | None = None
    if nw.dependencies.is_into_series(values):
        series = nw.from_native(values, series_only=True)
    return np.asarray(values) if series is None else series


def _native(values: Column) -> Any:
    return values.to_native() if isinstance(values, nw.Series) else values


def _like_frame(frame: nw.DataFrame[Any], name: str, values: Column) -> nw.Series[Any]:
    """Return a column as one that a frame can hold under a name."""
    if isinstance(values, nw.Series) and values.implementation == frame.implementation:
        return values.alias(name)
    return nw.new_series(name, cells(values), backend=frame.implementation)


def _constant(values: Column, value: Any) -> Column:
    """Return a column of the same length and, where it can hold the value, of the same type."""
    missing, seen = is_missing(value), keys(values)
    if not missing and value in seen:  # no type can be nearer than that of the cell itself
        repeated: Column = values[np.full(len(seen), seen.index(value))]
        return repeated
    if isinstance(values, nw.Series):
        return values.shift(len(seen)) if missing else _unseen(values, value)  # a shift moves every value out
    if missing and values.dtype.kind in "mM":
        return np.full(len(seen), "NaT", values.dtype)
    if missing and values.dtype.kind in "biuf":
        value = np.nan
    constant = np.full(len(seen), value)
    return constant.astype(_common(values.dtype, constant.dtype))


def _unseen(values: nw.Series[Any], value: Any) -> nw.Series[Any]:
    """Return a series of the same length, and type where it can hold it, of a value that is in none of its cells."""
    fits, kind = _holds(values.dtype, value), values.implementation
    new = nw.new_series(values.name, [value] * len(values), values.dtype if fits else None, backend=kind)
    if not (fits and kind.is_pandas_like()):
        return new
    own = new.to_native().astype(values.to_native().dtype)  # pandas has nullable types and lists of categories, too
    kept = nw.from_native(own, series_only=True)
    return new if bool(kept.is_null().any()) else kept


def _holds(dtype: nw.dtypes.DType, value: Any) -> bool:
    """Return whether a column of a type can hold a value as it is."""
    if isinstance(dtype, nw.Enum):
        return value in dtype.categories
    if dtype == nw.Boolean or isinstance(value, bool):
        return dtype == nw.Boolean and isinstance(value, bool)
    if dtype.is_numeric():
        return isinstance(value, numbers.Real) and (not dtype.is_integer() or float(value).is_integer())
    if dtype.is_temporal():
        return isinstance(value, _TIMES)
    return isinstance(value, str)


def _common(first: np.dtype[Any], second: np.dtype[Any]) -> np.dtype[Any]:
    """Return a type of arrays that holds the values of both types as they are."""
    numeric = first.kind in "biuf" and second.kind in "biuf"
    return np.result_type(first, second) if numeric or first.kind == second.kind else np.dtype(object)


def _is_ordered(cell: Any) -> bool:
    return isinstance(cell, (numbers.Real, *_TIMES)) and not isinstance(cell, bool)


def _plain(values: ArrayLike | Sequence[Any]) -> Any:
    """Return numbers as an array, anything else as a list of Python's own objects."""
    array = np.asarray(values)
    if array.dtype.kind in "biuf":
        return array
    return cells(array) if isinstance(values, np.ndarray) else list(values)  # type: ignore[arg-type]
