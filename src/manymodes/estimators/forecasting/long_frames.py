"""Long data frames as panels: one row for each series and time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import NDArray

from manymodes import _checks
from manymodes.estimators.forecasting.clock import Clock, Times, find_clock, places, read_times, refuse_disorder
from manymodes.estimators.forecasting.series import Columns, Panel, Series, Track, label_of, refuse_wild, trimmed
from manymodes.estimators.tables.columns import RawTable, raw_table
from manymodes.estimators.tables.frames import keys
from manymodes.estimators.tables.numbers import Floats, is_mapping, numeric_column

_DAY = 86_400_000_000  # microseconds


def frame_kind(data: Any) -> str | None:
    """Return the library that a frame is of, say ``"polars"``; None for what is no frame."""
    if is_mapping(data) or not nw.dependencies.is_into_dataframe(data):
        return None
    return str(nw.from_native(data, eager_only=True).implementation.value)


def is_long(data: Any, columns: Columns) -> bool:
    """Return whether series come as a long frame, or as a mapping of its columns, not as a mapping of arrays."""
    if is_mapping(data):
        return columns.time in data or bool(set(columns.targets) & set(data))
    return bool(nw.dependencies.is_into_dataframe(data)) or nw.dependencies.is_polars_lazyframe(data)


def read_long(data: Any, columns: Columns, fill_gaps: bool, clock: Clock | None) -> Panel:
    """Return a long frame as a panel, see ``reading.read_panel``."""
    table = _table(data, clock)
    _checks.known_columns([columns.time, *columns.targets], table.names, "series")
    grouped = _groups(table, columns.id)
    raw, are_points = read_times(columns.time, _column(table, columns.time))
    is_single = columns.id not in table.names
    times = [Times(raw[rows], rows, "" if is_single else f" of series {name!r}") for name, rows in grouped.items()]
    if clock is None:
        clock = find_clock(columns.time, times, are_points=are_points)
    _refuse_strange(columns.time, clock, times, are_points=are_points)
    targets = np.column_stack([_numbers(name, _column(table, name), "target") for name in columns.targets])
    series = []
    for name, own in zip(grouped, times, strict=True):
        start, place = places(columns.time, clock, own, fill_gaps=fill_gaps)
        values = np.full((place[-1] + 1, targets.shape[1]), np.nan)
        values[place] = targets[own.rows]
        series.append(trimmed(Series(start, values, name, label_of(name, is_single)), clock))
    is_flat = len(columns.targets) == 1
    return Panel(tuple(series), clock, tuple(columns.targets), is_single=is_single, is_flat=is_flat)


def long_exogenous(panel: Panel, exogenous: Any, columns: Columns) -> tuple[tuple[str, ...], list[Track]]:
    """Return names of covariates, and those of every series of a panel, in its order, at times of their own.

    Raises:
        ValueError: No such column, no rows of a series, or times off its grid.
        TypeError: What is no table.
    """
    table = _table(exogenous, panel.clock, "exogenous")
    _checks.known_columns([columns.time, *(() if panel.is_single else (columns.id,))], table.names, "exogenous")
    names = tuple(name for name in table.names if name not in (columns.id, columns.time, *columns.targets))
    if not names:
        raise _checks.InputError("exogenous must have at least 1 column beside id and time; got none.")
    values = np.column_stack([_numbers(name, _column(table, name), "covariate") for name in names])
    grouped = _groups(table, columns.id)
    _refuse_absent(grouped, panel)
    raw, are_points = read_times(columns.time, _column(table, columns.time))
    tracks = []
    for series in panel:
        rows = grouped[series.name]
        times = Times(raw[rows], rows, "" if panel.is_single else f" of {series.label} in exogenous")
        _refuse_strange(columns.time, panel.clock, [times], are_points=are_points)
        start, place = places(columns.time, panel.clock, times, fill_gaps=True)
        if (start - series.start) % panel.clock.step:
            raise _checks.InputError(
                f"{columns.time}{times.label or ' of exogenous'} must lie on the steps of {series.label}; got "
                f"{panel.clock.text(start)}, between two of them."
            )
        track = np.full((place[-1] + 1, len(names)), np.nan)
        track[place] = values[rows]
        tracks.append(Track(start, track))
    return names, tracks


def _table(data: Any, clock: Clock | None, role: str = "series") -> RawTable:
    table = raw_table(_in_one_zone(data, clock))
    if table is None:
        raise TypeError(f"{role} must be a long data frame, as the series of the fit; got {type(data).__name__}.")
    if not len(table):
        raise _checks.InputError(f"{role} must have at least 1 row; got none.")
    return table


def _in_one_zone(data: Any, clock: Clock | None) -> Any:
    """Return a frame with times of day in UTC, where no hour comes twice; dates are those of their own time zone.

    Dates are what comes once a day or less, by the clock, or at one time of day where there is no clock yet.
    """
    if is_mapping(data) or not nw.dependencies.is_into_dataframe(data):
        return data
    frame = nw.from_native(_with_known_zones(data, clock), eager_only=True)
    for name, dtype in frame.schema.items():
        if not getattr(dtype, "time_zone", None):
            continue
        local = frame[name].dt.replace_time_zone(None)
        if not _are_days(local.dt.timestamp("us").drop_nulls().to_numpy() % _DAY, clock):
            frame = frame.with_columns(nw.col(name).dt.convert_time_zone("UTC"))
    return frame.to_native()


def _with_known_zones(data: Any, clock: Clock | None) -> Any:
    """Return a pandas frame in time zones that narwhals can read, which knows none with an underscore in its name."""
    if not nw.dependencies.is_pandas_dataframe(data):
        return data
    known = {}
    for name, dtype in data.dtypes.items():
        if getattr(dtype, "tz", None) is None or str(dtype.tz).replace("/", "").isalpha():
            continue
        local = data[name].dt.tz_localize(None)
        days = _are_days(local.dropna().dt.time.to_numpy(), clock)
        known[name] = local.dt.tz_localize("UTC") if days else data[name].dt.tz_convert("UTC")
    frame = data.copy(deep=False) if known else data
    for name, times in known.items():
        frame[name] = times
    return frame


def _are_days(times_of_day: NDArray[Any], clock: Clock | None) -> bool:
    """Return whether times are dates, which stay those of their own time zone."""
    return len(set(times_of_day.tolist())) <= 1 if clock is None else clock.has_days


def _column(table: RawTable, name: str) -> NDArray[Any]:
    return table.columns[list(table.names).index(name)]


def _numbers(name: str, values: NDArray[Any], role: str) -> Floats:
    column = numeric_column(name, values, role, allow_missing=True)
    refuse_wild(f"column {name!r}", column)
    return column


def _groups(table: RawTable, name: str) -> dict[Any, NDArray[np.intp]]:
    """Return the rows of each series by its name, in their order; all of a table without names."""
    if name not in table.names:
        return {0: np.arange(len(table))}
    grouped: dict[Any, list[int]] = {}
    for row, key in enumerate(keys(_column(table, name))):
        grouped.setdefault(key, []).append(row)
    return {key: np.array(rows) for key, rows in grouped.items()}


def _refuse_strange(name: str, clock: Clock, series: Sequence[Times], *, are_points: bool) -> None:
    """Refuse times of another kind than those of a grid, or out of order."""
    if clock.has_dates != are_points:
        kinds = ("whole numbers", "points in time")
        raise _checks.InputError(
            f"{name} must hold {kinds[clock.has_dates]}, as that of the series of the fit; got {kinds[are_points]}."
        )
    for times in series:
        refuse_disorder(name, times, are_points=are_points)


def _refuse_absent(grouped: Mapping[Any, Any], panel: Panel) -> None:
    for series in panel:
        if series.name not in grouped:
            raise _checks.InputError(f"exogenous must have rows of every series; got none of {series.label}.")
