"""What a calendar tells of the steps to come: clock hands of the day, the week and the year."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from manymodes.estimators.forecasting.clock import Clock, Counts
from manymodes.estimators.tables.numbers import Floats

_DAY, _WEEK, _YEAR = 86_400.0, 7 * 86_400.0, 365.2425 * 86_400.0
_MONDAY = -3 * _DAY  # 1970 began on a Thursday

CYCLES: Mapping[str, tuple[float, float, int]] = {
    "day": (_DAY, 0.0, 3),
    "week": (_WEEK, _MONDAY, 3),
    "year": (_YEAR, 0.0, 3),
}
"""Length and beginning of each cycle in seconds, and how many sines and cosines tell where in it a time is."""


def cycles_of(clock: Clock, first: int, last: int) -> tuple[str, ...]:
    """Return the cycles that a step resolves and a history covers twice.

    Args:
        clock: The grid of times.
        first: Count of the first time of the history.
        last: Count of its last.
    """
    if not clock.has_dates:
        return ()
    ends = clock.seconds(np.array([first, last]))
    step = float(ends[1] - ends[0]) / max((last - first) / clock.step, 1)  # on average: months differ
    covered = ends[1] - ends[0] + step
    return tuple(name for name, (length, _, _) in CYCLES.items() if 2 * step < length * 1.01 and covered >= 2 * length)


def calendar(clock: Clock, counts: Counts, cycles: Sequence[str]) -> Floats:
    """Return the clock hands at some times, (..., G): sines and cosines of each cycle and its overtones."""
    seconds = clock.seconds(counts.ravel()).reshape(counts.shape) if cycles else counts.astype(np.float64)
    columns = []
    for name in cycles:
        length, begin, overtones = CYCLES[name]
        turns = ((seconds - begin) % length) / length
        angles = [2 * np.pi * k * turns for k in range(1, overtones + 1)]
        columns += [wave(angle) for angle in angles for wave in (np.sin, np.cos)]
    return np.stack(columns, -1) if columns else np.empty((*counts.shape, 0))
