"""Series on regular grids, and panels of them: what forecasts are made of, however it came."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from manymodes import _checks
from manymodes.estimators.forecasting.clock import Clock
from manymodes.estimators.tables.numbers import Floats


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a long data frame: one row for each series and time.

    Attributes:
        id: Tells series apart; a frame without it is one series.
        time: Times, or whole numbers.
        targets: What is forecast, D columns.
    """

    id: str
    time: str
    targets: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Track:
    """Values at regular times, one row a step.

    Attributes:
        start: The count of the first row, see ``Clock``.
        values: Values, (T, C), NaN where missing.
    """

    start: int
    values: Floats

    def window(self, clock: Clock, first: int, n_steps: int) -> Floats:
        """Return the values of some steps from the count ``first`` on, (n_steps, C), NaN where there are none."""
        out = np.full((n_steps, self.values.shape[1]), np.nan)
        place = (first - self.start) // clock.step
        begin, end = max(place, 0), min(place + n_steps, len(self.values))
        if begin < end:
            out[begin - place : end - place] = self.values[begin:end]
        return out


@dataclass(frozen=True, eq=False)
class Series(Track):
    """One series: its targets begin and end with a known value.

    Attributes:
        name: What tells it from others.
        label: What messages call it, say ``"series 'a'"``.
        known: What is known beside it, at times of its own, (T', E); None for nothing.
        padding: Steps after it, without a known value, with which it came.
    """

    name: Any = 0
    label: str = "series"
    known: Track | None = None
    padding: int = 0

    def __len__(self) -> int:
        return len(self.values)

    def until(self, n_steps: int) -> Series:
        """Return the series as it was after so many steps; what is known beside it stays."""
        return replace(self, values=self.values[:n_steps], padding=0)


@dataclass(frozen=True, eq=False)
class Panel:
    """Series on grids of one step.

    Attributes:
        series: The series, one at least.
        clock: Their grid.
        targets: Names of the targets, D of them.
        covariates: Names of what is known beside them, E of them.
        is_single: Whether it came as one series, not as several.
        is_flat: Whether each value came as one number, not as D.
    """

    series: tuple[Series, ...]
    clock: Clock
    targets: tuple[str, ...]
    covariates: tuple[str, ...] = ()
    is_single: bool = False
    is_flat: bool = False

    def __iter__(self) -> Iterator[Series]:
        return iter(self.series)

    def __len__(self) -> int:
        return len(self.series)

    def with_series(self, series: Sequence[Series]) -> Panel:
        """Return the panel with others in place of its series."""
        return replace(self, series=tuple(series))

    def end(self, series: Series) -> int:
        """Return the count of the first time after a series."""
        return series.start + len(series) * self.clock.step


def trimmed(series: Series, clock: Clock) -> Series:
    """Return a series from its first known value to its last."""
    known = np.flatnonzero(~np.isnan(series.values).all(1))
    if not len(known):
        raise _checks.InputError(f"{series.label} must have at least 1 known value; got {len(series)} missing ones.")
    first, last = known[0], known[-1]
    return replace(
        series,
        start=series.start + int(first) * clock.step,
        values=series.values[first : last + 1],
        padding=len(series) - 1 - int(last),
    )


def followed(clock: Clock, before: Track | None, after: Track) -> Track:
    """Return two tracks as one; where both have a row, the later one counts."""
    if before is None:
        return after
    start = min(before.start, after.start)
    end = max(track.start + len(track.values) * clock.step for track in (before, after))
    values = before.window(clock, start, (end - start) // clock.step)
    place = (after.start - start) // clock.step
    values[place : place + len(after.values)] = after.values
    return Track(start, values)


def refuse_wild(label: str, values: Floats) -> None:
    """Refuse infinite values, and those whose squares overflow."""
    wild = ~(np.isnan(values) | (np.abs(values) <= _checks.LARGEST))
    if wild.any():
        row = _checks.row(int(wild.reshape(len(values), -1).any(1).argmax()))
        raise _checks.InputError(
            f"{label} must be within ±{_checks.LARGEST:g}, or NaN where missing; got another value first in {row}."
        )


def label_of(name: Any, is_single: bool) -> str:
    """Return what messages call a series."""
    return "the series" if is_single else f"series {name!r}"
