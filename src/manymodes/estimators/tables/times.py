"""Points in time as numbers: how long ago, and where in the year, the week and the day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from manymodes.estimators.tables.numbers import Floats

_DAY, _WEEK = 86_400.0, 7
_YEAR = 365.2425 * _DAY

TIME_PARTS: Mapping[str, int] = {"of_year": 2, "weekday": 1, "of_day": 2}
"""Parts of a point in time beside the seconds since 1970, and how many numbers each is.

``of_year`` and ``of_day`` are the sine and cosine of the angle of a clock hand, ``weekday`` is 0 on Mondays.
"""


def varying_parts(seconds: Floats) -> tuple[str, ...]:
    """Return the parts that tell something: the time of the year from a span of a month on, and others that vary.

    Args:
        seconds: Seconds since 1970, (N,), none missing.
    """
    span = float(seconds.max() - seconds.min())
    day, of_day = np.divmod(seconds, _DAY)
    found = []
    if span > _YEAR / 12:
        found.append("of_year")
    if np.unique(day % _WEEK).size > 1:
        found.append("weekday")
    if of_day.max() - of_day.min() > 0:
        found.append("of_day")
    return tuple(found)


def time_parts(seconds: Floats, parts: Sequence[str]) -> Floats:
    """Return seconds since 1970, (N,), and the parts asked for beside them, (N, 1 + ...).

    Where a point in time is missing, only the seconds are; the parts are in the middle of their range.
    """
    missing = np.isnan(seconds)
    known = np.where(missing, 0.0, seconds)
    columns = [seconds]
    for part in parts:
        if part == "weekday":
            weekday = (known // _DAY + 3) % _WEEK  # 1970 began on a Thursday
            columns.append(np.where(missing, (_WEEK - 1) / 2, weekday))
            continue
        turns = (known % _DAY) / _DAY if part == "of_day" else _share_of_year(known)
        columns += [np.where(missing, 0.0, wave(2 * np.pi * turns)) for wave in (np.sin, np.cos)]
    return np.column_stack(columns)


def _share_of_year(seconds: Floats) -> Floats:
    """Return which share of its year is over at each point in time."""
    day = np.floor(seconds / _DAY).astype("datetime64[D]")
    year = day.astype("datetime64[Y]")
    first, after = year.astype("datetime64[D]"), (year + 1).astype("datetime64[D]")
    over = (day - first).astype(np.float64) + (seconds % _DAY) / _DAY
    share: Floats = over / (after - first).astype(np.float64)
    return share
