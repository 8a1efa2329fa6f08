"""Which rows teach, which correct and which judge, on three tables that are hard to be calibrated on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from manymodes.datasets import Table
from manymodes.studies.frame.comparison import Part
from manymodes.studies.frame.in_time import Array, block_rows
from manymodes.studies.frame.work import Work

Numbers = NDArray[np.int64]

CEILING = 5.0  # hundred thousand dollars: dearer homes are written down as 5.00001
BLOCK = 20  # readings of traffic: ten minutes
RECENT = 30  # days
N_WEEKS = 10
_N_CUTS, _FIRST_CUT, _BETWEEN_CUTS = 5, 330, 70  # days after which nothing is learned, with the seed
_HOURS = (6, 10, 16, 20)  # where parts of the day begin
_YEAR = "yr"  # a feature that is constant in the past


class Later(NamedTuple):
    """What is known of time, where rows follow one another in it.

    Attributes:
        X_same: Features of rows from the time that was learned from, neither learned nor used to correct.
        y_same: Their targets.
        X_after: Features of all rows after that time, those that judge among them.
        y_after: Their targets.
        day_after: Their days, counted from the end of what was learned.
        day: Days of the rows that judge.
    """

    X_same: Array
    y_same: Array
    X_after: Array
    y_after: Array
    day_after: Numbers
    day: Numbers


class Case(NamedTuple):
    """The rows of a repetition.

    Attributes:
        part: Rows to learn from and rows to judge by.
        X_held: Features of rows held out, which correct.
        y_held: Their targets.
        group_held: Number of the group of each of them.
        group: Number of the group of each row that judges.
        later: What is known of time; None where it does not matter.
    """

    part: Part
    X_held: Array
    y_held: Array
    group_held: Numbers
    group: Numbers
    later: Later | None = None


@dataclass(frozen=True)
class Trouble:
    """A table, and what makes it hard.

    Attributes:
        name: What it is called.
        unit: Unit of the target.
        groups: Names of the groups of rows within which coverage is looked at.
        draw: Returns the rows of a repetition, given its seed.
    """

    name: str
    unit: str
    groups: tuple[str, ...]
    draw: Callable[[int], Case]


HOMES, TRAFFIC, BIKES = "homes", "traffic", "bikes"


def troubles(work: Work) -> list[Trouble]:
    """Return the tables."""
    homes, bikes = work.table("california-housing"), work.table("bike-sharing")
    sizes = work.pick((1500, 600, 800), (120, 100, 60))
    incomes = ("poorest fifth", "second fifth", "middle fifth", "fourth fifth", "richest fifth")
    hours = ("0 to 5 h", "6 to 9 h", "10 to 15 h", "16 to 19 h", "20 to 23 h")
    found = [
        Trouble(HOMES, "100,000 dollars", incomes, lambda seed: _homes(homes, seed, sizes)),
        Trouble(BIKES, "bicycles", hours, lambda seed: _bikes(bikes, seed, sizes, work.pick(N_WEEKS, 1))),
    ]
    if not work.quick:
        traffic = work.table("speedflow-lane2")
        flows = ("few cars", "some cars", "many cars")
        found.insert(1, Trouble(TRAFFIC, "mph", flows, lambda seed: _traffic(traffic, seed)))
    return found


def _homes(data: Table, seed: int, sizes: tuple[int, int, int]) -> Case:
    """Return random rows; groups are fifths by the income of the district."""
    below = np.flatnonzero(data.y < CEILING)
    learns, corrects, judges = _split(np.random.default_rng(seed).permutation(below), sizes)
    income = data.X[:, data.feature_names.index("MedInc")]
    group = _fifths(income, np.quantile(income[learns], (0.2, 0.4, 0.6, 0.8)))
    return _case(data.X, data.y, group, learns, corrects, judges)


def _traffic(data: Table, seed: int) -> Case:
    """Return blocks of ten minutes, three fifths to learn from; groups are thirds by flow."""
    rng, n_rows = np.random.default_rng(seed), len(data.y)
    kept = block_rows(n_rows, 0.4, seed, size=BLOCK)
    corrects = kept & block_rows(n_rows, 0.5, seed + 10_000, size=BLOCK)
    flow = data.X[:, 0]
    group = _fifths(flow, np.quantile(flow, (1 / 3, 2 / 3)))
    rows = (rng.permutation(np.flatnonzero(each)) for each in (~kept, corrects, kept & ~corrects))
    return _case(data.X, data.y, group, *rows)


def _bikes(data: Table, seed: int, sizes: tuple[int, int, int], n_weeks: int) -> Case:
    """Return rows before a day to learn from and to correct with, and weeks that begin 30 days later to judge by."""
    cut = _FIRST_CUT + _BETWEEN_CUTS * (seed % _N_CUTS)
    rng, day = np.random.default_rng(seed), data.extras["day"].astype(np.int64) - cut
    X = np.delete(data.X, data.feature_names.index(_YEAR), 1)
    learns, corrects, same = _split(rng.permutation(np.flatnonzero(day < 0)), sizes)
    after = np.flatnonzero((day >= 0) & (day < RECENT + 7 * n_weeks))
    judges = rng.permutation(after[day[after] >= RECENT])[: sizes[2]]
    group = _fifths(data.X[:, data.feature_names.index("hr")], np.array(_HOURS) - 0.5)
    later = Later(X[same], data.y[same], X[after], data.y[after], day[after], day[judges])
    return _case(X, data.y, group, learns, corrects, judges)._replace(later=later)


def _case(X: Array, y: Array, group: Numbers, learns: Numbers, corrects: Numbers, judges: Numbers) -> Case:
    part = Part(X[learns], y[learns], X[judges], y[judges])
    return Case(part, X[corrects], y[corrects], group[corrects], group[judges])


def _split(order: Numbers, sizes: tuple[int, ...]) -> list[Numbers]:
    return np.split(order[: sum(sizes)], np.cumsum(sizes)[:-1])


def _fifths(values: Array, borders: Array) -> Numbers:
    """Return the number of the interval between borders that each value lies in."""
    return np.searchsorted(borders, values, side="right").astype(np.int64)
