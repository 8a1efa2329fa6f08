"""Regular times: which step a series follows, where on its grid a time lies, and which times come next.

Times are counted: microseconds since 1970, working days, months, or whole numbers. At place p of its grid a series is
at the count ``start + p * step``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymodes import _checks
from manymodes.estimators.tables.columns import Kind, read_column

Counts = NDArray[np.int64]

_DAY = 86_400_000_000  # microseconds
_FEWEST_DAYS_OF_MONTH = 28
_FRIDAY = 4
_MOST_FILLED, _FEW_FILLED = 100, 100_000  # steps for each row, and such that are always filled
_UNITS = (("week", 7 * _DAY), ("day", _DAY), ("hour", 3_600_000_000), ("minute", 60_000_000), ("second", 1_000_000))


@dataclass(frozen=True)
class Clock:
    """The grid that times lie on.

    Attributes:
        unit: ``"place"`` where there are no times, ``"number"``, ``"microsecond"``, ``"working day"`` or ``"month"``.
        step: From one time to the next, in such units.
        within: Microseconds since the beginning of the working day or month; from its end where negative.
    """

    unit: str = "place"
    step: int = 1
    within: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)

    @property
    def has_days(self) -> bool:
        """Whether its times come once a day or less."""
        return self.unit in ("working day", "month") or (self.unit == "microsecond" and self.step % _DAY == 0)

    @property
    def has_dates(self) -> bool:
        """Whether its times are points in time."""
        return self.unit not in ("place", "number")

    def seconds(self, counts: Counts) -> NDArray[np.float64]:
        """Return points in time as seconds since 1970."""
        return self.exact(counts) / 1e6

    def times(self, counts: Counts) -> NDArray[Any]:
        """Return times as a user writes them: ``datetime64[us]``, or whole numbers."""
        return self.exact(counts).astype("datetime64[us]") if self.has_dates else counts

    def text(self, count: int) -> str:
        """Return a time as a message shows it."""
        time = self.times(np.array([count]))[0]
        return str(time).replace("T", " ").removesuffix(".000000").removesuffix(" 00:00:00")

    @property
    def step_text(self) -> str:
        """The step in words, say ``15 minutes``."""
        if self.unit != "microsecond":
            return str(self.step) if self.unit in ("place", "number") else _checks.counted(self.step, self.unit)
        for noun, size in _UNITS:
            if self.step % size == 0:
                return _checks.counted(self.step // size, noun)
        return f"{self.step / 1e6:g} seconds"

    @property
    def seasons(self) -> tuple[int, int]:
        """Steps of what is worth seeing of the cycles that the step makes likely: at least one, and better so many.

        A day and a week of hours; a week and two of days; a year and two of weeks or months; 1 where there are none.
        """
        if self.unit == "month":
            return max(12 // self.step, 1), max(24 // self.step, 1)
        if self.unit == "working day":
            return 5, 10
        if self.unit != "microsecond" or self.step > 183 * _DAY:
            return 1, 1
        if self.step < _DAY:
            return max(_DAY // self.step, 2), 7 * _DAY // self.step
        cycle = 7 * _DAY if self.step < 4 * _DAY else 364 * _DAY
        return cycle // self.step, 2 * cycle // self.step

    def exact(self, counts: Counts) -> Counts:
        """Return times as microseconds since 1970, or as whole numbers."""
        if self.unit == "month":
            months = (counts + (self.within < 0)).astype("datetime64[M]")  # from its end: from the next one's beginning
            return _micro(months) + self.within
        if self.unit == "working day":
            return _micro(np.busday_offset("1970-01-01", counts, roll="forward")) + self.within
        return counts


@dataclass(frozen=True, eq=False)
class Times:
    """The times of one series as they came.

    Attributes:
        raw: Microseconds since 1970, or whole numbers, (T,).
        rows: Number of each row in what the user handed in, counted from 0, (T,).
        label: What messages call the series, say ``" of series 'a'"``; empty where there is only one.
    """

    raw: Counts
    rows: NDArray[np.intp]
    label: str


def read_times(name: str, values: NDArray[Any]) -> tuple[Counts, bool]:
    """Return times as microseconds since 1970, or as whole numbers, (T,), and whether they are points in time.

    Raises:
        ValueError: Missing times, numbers that are not whole, or what is no time.
    """
    if values.dtype.kind in "OUS" and any(isinstance(value, str) for value in values.tolist()):
        try:
            values = values.astype(str).astype("datetime64[us]")
        except ValueError:
            raise _checks.InputError(
                f"{name} must hold times or whole numbers; got text that is no date, first {str(values[0])!r}. "
                "Write times as 2024-01-31 or 2024-01-31T18:00, or turn them into times."
            ) from None
    column = read_column(name, values)
    if column.missing.any():
        row = _checks.row(int(column.missing.argmax()))
        raise _checks.InputError(f"{name} must have a time in every row; got none in {row}.")
    if column.kind is Kind.TIME:
        return np.round(column.values * 1e6).astype(np.int64), True
    whole = column.values.astype(np.int64)
    if not np.array_equal(whole, column.values):
        raise _checks.InputError(f"{name} must hold times or whole numbers; got {column.values[0]:g} in row 1.")
    return whole, False


def find_clock(name: str, series: Sequence[Times], *, are_points: bool) -> Clock:
    """Return the grid that the times of all series lie on.

    Raises:
        ValueError: Times that do not ascend, or that come twice; no two times in any series.
    """
    for times in series:
        refuse_disorder(name, times, are_points=are_points)
    for candidate in (_months, _working_days) if are_points else ():
        clock = candidate([times.raw for times in series])
        if clock is not None:
            return clock
    unit = "microsecond" if are_points else "number"
    return Clock(unit, _usual_step(name, [times.raw for times in series]))


def places(name: str, clock: Clock, times: Times, *, fill_gaps: bool) -> tuple[int, Counts]:
    """Return the count of a series' first time, and the place of every row on its grid, (T,).

    Raises:
        ValueError: Times beside the grid; gaps, unless they are to be filled.
    """
    counts = _counts(clock, times.raw)
    gaps = np.diff(counts)
    beside = (clock.exact(counts) != times.raw) | ((counts - counts[0]) % clock.step != 0)
    if beside.any():
        place = int(beside.argmax())
        text = Clock("microsecond" if clock.has_dates else "number").text(int(times.raw[place]))
        raise _checks.InputError(
            f"{name} must follow one regular step; got {text} in {_checks.row(int(times.rows[place]))}{times.label}, "
            f"which lies between steps of {clock.step_text}; resample the series to regular times."
        )
    wide = np.flatnonzero(gaps > clock.step)
    if len(wide) and not fill_gaps:
        place = wide[0]
        raise _checks.InputError(
            f"{name} must have no gaps; got {_at(clock, times, counts, place)} and then "
            f"{_at(clock, times, counts, place + 1)}{times.label}, where a step is {clock.step_text}; add the rows "
            "between, or set fill_gaps=True to take their values as missing."
        )
    steps = (counts - counts[0]) // clock.step
    if steps[-1] > _MOST_FILLED * len(steps) + _FEW_FILLED:
        place = int(gaps.argmax())
        raise _checks.InputError(
            f"{name} must not leave out nearly everything; got {_at(clock, times, counts, place)} and then "
            f"{_at(clock, times, counts, place + 1)}{times.label}, where a step is {clock.step_text}; drop such rows."
        )
    return int(counts[0]), steps


def refuse_disorder(name: str, times: Times, *, are_points: bool) -> None:
    """Refuse times that do not ascend, or that come twice."""
    gaps = np.diff(times.raw)
    if (gaps > 0).all():
        return
    place = int((gaps <= 0).argmax())
    clock = Clock("microsecond" if are_points else "number")
    before, after = (clock.text(int(times.raw[i])) for i in (place, place + 1))
    rows = [int(times.rows[i]) + 1 for i in (place, place + 1)]
    if gaps[place] == 0:
        raise _checks.InputError(
            f"{name} must hold each time once; got {before} in rows {rows[0]} and {rows[1]}{times.label}; drop one of "
            "them, or name the column that tells series apart as id_col."
        )
    raise _checks.InputError(
        f"{name} must ascend; got {after} in row {rows[1]} after {before} in row {rows[0]}{times.label}; sort the rows "
        "by time, or name the column that tells series apart as id_col."
    )


def _usual_step(name: str, series: Sequence[Counts]) -> int:
    gaps = np.concatenate([np.diff(counts) for counts in series])
    if not len(gaps):
        raise _checks.InputError(f"{name} must hold at least 2 times of a series; got 1.")
    sizes, how_often = np.unique(gaps, return_counts=True)
    return int(sizes[how_often.argmax()])


def _months(series: Sequence[Counts]) -> Clock | None:
    """Return the grid of times that come at the same point of a month, or at the same point before its end."""
    raw = np.concatenate(series)
    gaps = np.concatenate([np.diff(counts) for counts in series])
    if not len(gaps) or gaps.min() < _FEWEST_DAYS_OF_MONTH * _DAY:
        return None
    month = raw.astype("datetime64[us]").astype("datetime64[M]")
    since_begin, until_end = raw - _micro(month), raw - _micro(month + 1)
    for within in (since_begin, until_end):
        if within.min() == within.max() and within[0] > -2 * _DAY:
            clock = Clock("month", 1, int(within[0]))
            counts = [_counts(clock, times) for times in series]
            return Clock("month", _usual_step("", counts), int(within[0]))
    return None


def _working_days(series: Sequence[Counts]) -> Clock | None:
    """Return the grid of days that leave out weekends only."""
    raw = np.concatenate(series)
    gaps, before = np.concatenate([np.diff(times) for times in series]), np.concatenate([t[:-1] for t in series])
    day, within = np.divmod(raw, _DAY)
    weekday = (day + 3) % 7  # 1970 began on a Thursday
    if not len(gaps) or within.min() != within.max() or weekday.max() > _FRIDAY or _usual_step("", series) != _DAY:
        return None
    fridays = (before // _DAY + 3) % 7 == _FRIDAY
    return Clock("working day", 1, int(within[0])) if (gaps[fridays] >= 3 * _DAY).sum() >= 1 else None


def _counts(clock: Clock, raw: Counts) -> Counts:
    if clock.unit == "month":
        months: Counts = (raw - clock.within).astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
        return months - (clock.within < 0)
    if clock.unit == "working day":
        days: Counts = np.busday_count("1970-01-01", (raw // _DAY).astype("datetime64[D]")).astype(np.int64)
        return days
    return raw


def _micro(times: NDArray[Any]) -> Counts:
    micro: Counts = times.astype("datetime64[us]").astype(np.int64)
    return micro


def _at(clock: Clock, times: Times, counts: Counts, place: int) -> str:
    return f"{clock.text(int(counts[place]))} in {_checks.row(int(times.rows[place]))}"
