"""The columns of a table as they come, and what they hold: numbers, text or points in time."""

from __future__ import annotations

import datetime
import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import Enum
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import NDArray

from manymodes import _checks
from manymodes.estimators.tables.numbers import Floats, as_array, as_frame, is_mapping, refuse_lazy, refuse_repeated

_SECOND = np.timedelta64(1, "s")
_INTEGERS = (nw.Int8, nw.Int16, nw.Int32, nw.Int64, nw.UInt8, nw.UInt16, nw.UInt32, nw.UInt64)
_CATEGORICAL = (nw.Categorical, nw.Enum)
_EXACT = 2**53  # whole numbers up to there are exact in double precision


class Kind(Enum):
    """What a column holds."""

    NUMBER = "number"
    TEXT = "text"
    TIME = "time"


@dataclass(frozen=True, eq=False)
class RawTable:
    """Columns of any kind as NumPy arrays, without a copy where they are numbers already.

    Attributes:
        names: Name of each column, F of them.
        columns: Their values, (N,) each: numbers, ``datetime64``, ``timedelta64`` or objects.
        first_row: Number of the first row, counted from 0, for messages.
        categorical: Places of the columns that a frame keeps as categories, whatever they are called.
        zones: Time zones of columns that a frame keeps in one, by their places.
    """

    names: Sequence[str]
    columns: Sequence[NDArray[Any]]
    first_row: int = 0
    categorical: frozenset[int] = frozenset()
    zones: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.columns[0])

    def rows(self, first: int, last: int) -> RawTable:
        """Return some rows, from one number to before another."""
        parts = [column[first:last] for column in self.columns]
        return replace(self, columns=parts, first_row=self.first_row + first)

    def column(self, place: int, *, as_category: bool = False) -> Column:
        """Return a column that was read, see ``read_column``."""
        name, values = self.names[place], self.columns[place]
        column = read_column(name, values, self.first_row, as_category=as_category)
        return replace(column, zone=self.zones[place]) if place in self.zones else column


@dataclass(frozen=True, eq=False)
class Column:
    """A column that was read.

    Attributes:
        name: Its name.
        kind: What it holds.
        values: Numbers, (N,), NaN where missing; or text, (N,), None where missing; or seconds since 1970.
        first_row: Number of the first row, for messages.
        is_rounded: Whether there were whole numbers too large for double precision.
        zone: Time zone of points in time; empty for none.
    """

    name: str
    kind: Kind
    values: NDArray[Any]
    first_row: int
    is_rounded: bool = False
    zone: str = ""

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Which values are missing, (N,)."""
        if self.kind is Kind.TEXT:
            return np.fromiter((value is None for value in self.values), bool, len(self.values))
        unknown: NDArray[np.bool_] = np.isnan(self.values)
        return unknown

    def row(self, place: int) -> str:
        """Return a row as a message names it."""
        return _checks.row(self.first_row + place)


def raw_table(X: Any, first_row: int = 0) -> RawTable | None:
    """Return the columns of a frame or a mapping; None where ``X`` has no names.

    Raises:
        ValueError: No columns, two of one name, or columns of different lengths.
        TypeError: A lazy frame.
    """
    refuse_lazy(X)
    if is_mapping(X):
        return table_of(X, first_row)
    if not nw.dependencies.is_into_dataframe(X):
        return None
    frame = as_frame(X)
    columns = {column.name: _to_numpy(column) for column in frame.iter_columns()}
    dtypes = list(frame.schema.values())
    categorical = frozenset(place for place, dtype in enumerate(dtypes) if dtype in _CATEGORICAL)
    zones = {place: zone for place, dtype in enumerate(dtypes) if (zone := getattr(dtype, "time_zone", None))}
    return replace(table_of(columns, first_row), categorical=categorical, zones=zones)


def table_of(columns: Mapping[Any, Any], first_row: int = 0) -> RawTable:
    """Return the columns of a mapping.

    Raises:
        ValueError: No columns, two of one name, or columns of different lengths.
    """
    names, arrays = [str(name) for name in columns], [as_array(column) for column in columns.values()]
    if not names:
        raise _checks.InputError("a table must have at least one feature column; got none.")
    refuse_repeated(names)
    for name, column in zip(names, arrays, strict=True):
        if not column.ndim:
            raise _checks.InputError(f"Column {name!r} must be one value for each row; got {column}.")
        _checks.same_rows(f"Column {names[0]!r}", len(arrays[0]), f"column {name!r}", len(column))
    return RawTable(names, arrays, first_row)


def read_column(name: str, values: NDArray[Any], first_row: int = 0, *, as_category: bool = False) -> Column:
    """Return a column of features with what it holds.

    Text all of which reads as numbers is numbers, but not as a category, where whole numbers too large for double
    precision become text, too. Objects must be of one kind beside those that are missing (None, NaN).

    Raises:
        ValueError: Values of several kinds or of one that is no feature; infinite or huge numbers.
    """
    if values.ndim != 1:
        raise _checks.InputError(f"Column {name!r} must be one value for each row; got an array of {values.ndim} axes.")
    zone = ""
    if as_category and values.dtype.kind in "iu" and bool((np.abs(values.astype(np.float64)) > _EXACT).any()):
        kind, read = Kind.TEXT, values.astype(str).astype(object)
    elif values.dtype.kind in "biuf":
        kind, read = Kind.NUMBER, values.astype(np.float64, copy=False)
    elif values.dtype.kind == "M":
        kind, read = Kind.TIME, _seconds(values - np.datetime64(0, "s"))
    elif values.dtype.kind == "m":
        kind, read = Kind.NUMBER, _seconds(values)
    elif values.dtype.kind in "OUS":
        texts = values.astype(str) if values.dtype.kind == "S" else values
        kind, read, zone = _objects(name, texts.astype(object), first_row, as_category)
    else:
        raise _checks.InputError(f"Column {name!r} holds {values.dtype} values, and a feature must hold real numbers.")
    is_whole = values.dtype.kind in "iu" or (values.dtype == object and any(type(value) is int for value in values))
    is_rounded = is_whole and kind is Kind.NUMBER and bool((np.abs(read) > _EXACT).any())
    column = Column(name, kind, read, first_row, is_rounded, zone)
    if kind is Kind.NUMBER:
        _refuse_wild(column)
    return column


# --- frames ---


def _to_numpy(series: Any) -> Any:
    dtype = series.dtype
    if dtype in _INTEGERS and not series.null_count():
        return series.to_numpy()
    if dtype in _INTEGERS and bool((series.drop_nulls().cast(nw.Float64).abs() > _EXACT).any()):
        return np.array(series.to_list(), dtype=object)  # double precision would round them
    if dtype.is_numeric() or dtype == nw.Boolean:
        return series.cast(nw.Float64).to_numpy()
    if dtype in _CATEGORICAL and series.implementation.is_pandas_like():  # of text or of numbers
        return series.to_native().astype(object).to_numpy()
    if dtype in _CATEGORICAL:  # as text: pyarrow's own conversion forgets which are missing
        return series.cast(nw.String).to_numpy()
    if dtype == nw.Datetime and getattr(dtype, "time_zone", None) is not None:
        series = series.dt.replace_time_zone(None)  # what clocks show there
    return series.to_numpy()


# --- objects ---


def _objects(name: str, values: NDArray[Any], first_row: int, as_category: bool) -> tuple[Kind, NDArray[Any], str]:
    """Return what a column of Python objects holds, and the time zone of points in time."""
    if set(map(type, values.tolist())) <= {str, type(None)}:  # the usual case, which need not be slow
        missing = np.fromiter((value is None for value in values), bool, len(values))
        kinds: dict[Kind | None, int] = {} if missing.all() else {Kind.TEXT: int((~missing).argmax())}
    else:
        missing = np.fromiter((_is_missing(value) for value in values), bool, len(values))
        kinds = _kinds(values, missing)
    if len(kinds) > 1:
        first, second = sorted(kinds.values())[:2]
        raise _checks.InputError(
            f"Column {name!r} mixes {_shown(values[first])} in {_checks.row(first_row + first)} with "
            f"{_shown(values[second])} in {_checks.row(first_row + second)}; a feature must hold numbers alone, or "
            "text, or times."
        )
    kind = next(iter(kinds), Kind.NUMBER)
    if kind is None:
        place = kinds[None]
        raise _checks.InputError(
            f"Column {name!r} holds {_shown(values[place])} in {_checks.row(first_row + place)}, and a feature must "
            "hold numbers, text or times; leave it out or turn it into such."
        )
    if kind is Kind.TIME:
        times, zone = _as_times(name, values, missing)
        return kind, _seconds(times - np.datetime64(0, "s")), zone
    if kind is Kind.NUMBER and as_category and any(isinstance(v, int) and abs(v) > _EXACT for v in values[~missing]):
        kind, values = Kind.TEXT, np.array([None if gone else str(v) for v, gone in zip(values, missing, strict=True)])
    if kind is Kind.TEXT:
        texts = values.copy()
        texts[missing] = None
        numbers_read = None if as_category else _numbers_in(texts, missing)
        return (kind, texts, "") if numbers_read is None else (Kind.NUMBER, numbers_read, "")
    out = np.full(len(values), np.nan)
    out[~missing] = [_number(value) for value in values[~missing]]
    return kind, out, ""


def _kinds(values: NDArray[Any], missing: NDArray[np.bool_]) -> dict[Kind | None, int]:
    """Return the kinds of values that are not missing, and the first place of each."""
    return {_kind(values[place]): place for place in reversed(np.flatnonzero(~missing).tolist())}


def _number(value: Any) -> float:
    """Return a number or a span of time, in seconds, as a float; infinity for one that is too large."""
    if isinstance(value, np.timedelta64):
        return float(value / _SECOND)
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _kind(value: Any) -> Kind | None:
    if isinstance(value, str):
        return Kind.TEXT
    if isinstance(value, (numbers.Real, Decimal, np.bool_, datetime.timedelta, np.timedelta64)):
        return Kind.NUMBER
    if isinstance(value, (datetime.date, np.datetime64)):  # datetime.datetime is one, too
        return Kind.TIME
    return None


def _is_missing(value: Any) -> bool:
    if value is None:
        return True
    if isinstance(value, (float, np.floating, Decimal)):
        return math.isnan(value)
    is_time = isinstance(value, (np.datetime64, np.timedelta64))
    return type(value).__name__ in ("NAType", "NaTType") or (is_time and bool(np.isnat(value)))


def _numbers_in(texts: NDArray[Any], missing: NDArray[np.bool_]) -> Floats | None:
    """Return the numbers that texts spell; None if one of them spells none, or a name that numbers would round."""
    out = np.full(len(texts), np.nan)
    try:
        out[~missing] = [float(text) for text in texts[~missing]]
    except ValueError:
        return None
    is_name = any(text.strip().isdigit() for text in texts[(np.abs(out) > _EXACT) & ~missing])
    return None if is_name else out


def _as_times(name: str, values: NDArray[Any], missing: NDArray[np.bool_]) -> tuple[NDArray[np.datetime64], str]:
    """Return points in time as what clocks show, and the zone of the clocks."""
    out = np.full(len(values), np.datetime64("NaT", "us"))
    zones = set()
    for place in np.flatnonzero(~missing):
        value = values[place]
        zones.add(str(getattr(value, "tzinfo", None) or ""))
        if isinstance(value, datetime.datetime):
            value = value.replace(tzinfo=None)
        out[place] = np.datetime64(value, "us")
    if len(zones) > 1:
        raise _checks.InputError(
            f"Column {name!r} must be in one time zone; got {_checks.quoted(sorted(zones))}. Convert it."
        )
    return out, next(iter(zones), "")


def _seconds(span: NDArray[np.timedelta64]) -> Floats:
    """Return spans of time in seconds, NaN where there is none."""
    seconds: Floats = span / _SECOND
    return seconds


def _shown(value: Any) -> str:
    text = repr(str(value)) if isinstance(value, str) else f"{value!r}"
    return text if len(text) <= 40 else f"{text[:37]}..."


def _refuse_wild(column: Column) -> None:
    bad = ~(np.abs(column.values) <= _checks.LARGEST) & ~np.isnan(column.values)
    if bad.any():
        raise _checks.InputError(
            f"Column {column.name!r} has {_checks.counted(int(bad.sum()), 'infinite or huge value')} (first: "
            f"{column.row(int(bad.argmax()))}), and a feature may have none; drop those rows or leave the cells empty."
        )
