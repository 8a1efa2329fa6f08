"""The rows of decisions: what is known of bicycles the evening before, month by month, and readings of traffic."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from manymodes.datasets import Table
from manymodes.studies.frame.comparison import Part
from manymodes.studies.frame.in_time import Array, held_out, random_rows
from manymodes.studies.frame.work import Work

Numbers = NDArray[np.int64]

N_CUTS, _FIRST_CUT, _BETWEEN_CUTS = 5, 372, 70  # days after which nothing is learned, with the seed
YEAR, MONTH = 365, 28  # days: that teach, and that judge
_WEEK = 7
HELD = 42  # days: the last that teach, which rules of thumb are learned on
_SHARE = 0.3  # of the readings judges
_YEAR_NUMBER = "yr"  # a feature that is constant in a year


class Month(NamedTuple):
    """What teaches before a month, and the month.

    Attributes:
        part: Rows to learn from and rows to judge by, the month's in random order.
        held: Which rows to learn from are of the last weeks, which rules of thumb are learned on, (N,).
        week_ago: Rentals a week before each row that judges.
        order: Where each hour of the month stands among the rows that judge.
        hour: Hours since the month began, in their own order.
    """

    part: Part
    held: NDArray[np.bool_]
    week_ago: Array
    order: Numbers
    hour: Numbers


def month_of(work: Work, data: Table, seed: int) -> Month:
    """Return the month that a seed stands for: they come round after the last one."""
    cut, rng = _FIRST_CUT + _BETWEEN_CUTS * (seed % N_CUTS), np.random.default_rng(seed)
    day = data.extras["day"].astype(np.int64)
    hour = data.X[:, data.feature_names.index("hr")].astype(np.int64)
    before = before_midnight(data.y, day, hour)
    X = np.column_stack([np.delete(data.X, data.feature_names.index(_YEAR_NUMBER), 1), before])
    learns = np.flatnonzero((day >= max(cut - YEAR, _WEEK)) & (day < cut))
    learns = np.sort(rng.permutation(learns)[: work.pick(4000, 300)])
    shown = np.flatnonzero((day >= cut) & (day < cut + work.pick(MONTH, 5)))
    judges = rng.permutation(shown)
    part = Part(X[learns], data.y[learns], X[judges], data.y[judges])
    return Month(
        part, day[learns] >= cut - HELD, before[judges, 1], np.argsort(judges), 24 * (day[shown] - cut) + hour[shown]
    )


def before_midnight(y: Array, day: Numbers, hour: Numbers) -> Array:
    """Return what is known of demand when a day begins, (N, 3): NaN on days that have no week before them.

    That is rentals of the same hour the day before and a week before, and the mean of the week before. Hours that are
    not in the table had none.
    """
    known = np.zeros((int(day[-1]) + 1, 24))
    known[day, hour] = y
    weeks = np.convolve(known.mean(1), np.full(_WEEK, 1 / _WEEK), "valid")
    found, there = np.full((len(y), 3), np.nan), day >= _WEEK
    of_day, of_hour = day[there], hour[there]
    found[there] = np.column_stack([known[of_day - 1, of_hour], known[of_day - _WEEK, of_hour], weeks[of_day - _WEEK]])
    return found


def readings(data: Table, seed: int) -> Part:
    """Return readings of traffic, three tenths of them drawn at random to judge by."""
    return held_out(data.X, data.y, random_rows(len(data.y), _SHARE, seed), seed)
