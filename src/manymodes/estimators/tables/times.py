"""Which parts of points in time tell something; ``runtime.time_parts`` says how they become numbers."""

from __future__ import annotations

import numpy as np

from manymodes.estimators.tables.numbers import Floats

_DAY, _WEEK = 86_400.0, 7
_YEAR = 365.2425 * _DAY


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
