"""What a column of targets is like: rounded, repeated, cut off or heavy-tailed, and what helps then.

A density can rise without limit at values that repeat, so the floor under its scales must know how finely a target was
recorded. Everything is read off the sorted values, in O(N log N); nothing is fitted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_FINEST = 1e-4  # of the standard deviation: a density sees no finer lattice
_MOST, _NEARLY_ALL = 0.8, 0.95  # share of rows that make a lattice though others lie beside it, or on a finer one
_CHANCE = 1e-6  # that values from a density would lie on a lattice as they do
_TELLING = 8.0  # a step must be so many times the rounding error of the values
_MOST_DECIMALS = 15

_FEWEST_VALUES = 10  # different ones; with fewer, every value is a point mass and none stands out
_FEWEST_ROWS = 10  # that share the value of an atom
_RARE, _COMMON = 0.0025, 0.01  # least share of an atom at 0 or at an end of the range, and elsewhere
_STANDS_OUT = 2.5  # times as often as neighbours let expect, chance included
_NEIGHBOURS = 5  # different values on each side
_STEEPEST = 4.0  # growth of counts from value to value that still is a smooth end of the range
_MOST_INSIDE = 5

_Z_90 = 1.2815515655446004  # a standard normal's quantile
OUTLIER, _TAIL, _BULK = 8.0, 5.0, 3.0  # robust standard deviations
_HEAVY, _HEAVY_ROWS = 0.003, 3  # share and number of rows beyond _TAIL: a Student's t of 4 degrees has more
_FEWEST_FOR_TAILS = 30
_CLUSTER = 0.25  # a cluster's quartiles are closer than that, relative to its distance from the others
_FEWEST_IN_CLUSTER = 10
_SHOWN = 3


@dataclass(frozen=True)
class Atom:
    """A value that repeats far more often than its neighbours do.

    Attributes:
        value: The value.
        count: Rows that have it.
        share: The same as a share of all rows.
        place: ``"smallest"`` or ``"largest"`` at an end of the range, else ``"inside"``.
        is_far: Whether it lies further from the others than an outlier must.
    """

    value: float
    count: int
    share: float
    place: str
    is_far: bool

    @property
    def is_code(self) -> bool:
        """Whether it looks like a number that stands for something else, say -999."""
        return self.is_far and self.value != 0 and self.place != "inside"


@dataclass(frozen=True)
class TargetFacts:
    """What one column of targets is like.

    Attributes:
        n_rows: Number of finite values, N.
        n_distinct: How many of them differ.
        scale: Their standard deviation (ddof 0).
        step: Largest step of a lattice on which all values lie, or else 80 % of them, up to rounding; None where there
            is none, or only one so fine (1e-4 standard deviations) that no density sees it.
        share_on_lattice: Share of rows on it.
        atoms: Values that repeat far more often than their neighbours, the most frequent first.
        share_repeated: Share of rows whose value occurs more than once.
        spacing: How far rows whose value repeats typically are from the nearest other value.
        outliers: Number of rows further than 8 robust standard deviations from the median, skewness allowed for.
            Neither atoms nor a distant cluster, which is a mode, count.
        outlier_rows: The first few of them, counted from 0.
        heavy_tailed: Whether at least 3 rows and 0.3 % lie further than 5 of those, as with a Student's t of 4 degrees
            of freedom or fewer; with a normal none does.
        smallest: Smallest value; None in files of format version 2.
        largest: Largest value, likewise.
    """

    n_rows: int
    n_distinct: int
    scale: float
    step: float | None
    share_on_lattice: float
    atoms: tuple[Atom, ...]
    share_repeated: float
    spacing: float
    outliers: int
    outlier_rows: tuple[int, ...]
    heavy_tailed: bool
    smallest: float | None = None
    largest: float | None = None

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Return the facts that ``dataclasses.asdict`` made ``record`` of."""
        atoms = tuple(Atom(**atom) for atom in record["atoms"])
        return cls(**{**record, "atoms": atoms, "outlier_rows": tuple(record["outlier_rows"])})

    def floor(self, min_scale: float) -> float:
        """Return the smallest scale of a component, in standard deviations: a sixth of the step, or ``min_scale``.

        So three scales to either side reach over one rounding cell at least.
        """
        if self.step is None or self.scale == 0:
            return min_scale
        return max(min_scale, self.step / 6 / self.scale)


def inspect_target(y: Floats) -> TargetFacts:
    """Return what a column of targets, (N,), is like; values that are not finite are left out."""
    rows = np.flatnonzero(np.isfinite(y))
    y = y[rows]
    values, counts, owner = _distinct(y)
    scale = float(y.std()) if len(values) > 1 else 0.0
    lattice = _lattice(values, counts, _FINEST * scale)
    atoms = _standing_out(values, counts, lattice)
    rest = ~np.isin(owner, atoms)
    z = _skew_adjusted(y, rest)
    outliers = rows[_beyond(z, OUTLIER) & rest]
    n_heavy = int((_beyond(z, _TAIL) & rest).sum())
    return TargetFacts(
        n_rows=len(y),
        n_distinct=len(values),
        scale=scale,
        step=None if lattice is None else lattice.step,
        share_on_lattice=0.0 if lattice is None else _share(lattice.holds(values), counts),
        atoms=tuple(_atom(i, values, counts, z[owner == i][0]) for i in atoms),
        share_repeated=_share(counts > 1, counts),
        spacing=_spacing(values, counts),
        outliers=len(outliers),
        outlier_rows=tuple(outliers[:_SHOWN].tolist()),
        heavy_tailed=n_heavy >= max(_HEAVY_ROWS, _HEAVY * len(y)),
        smallest=float(values[0]) if len(values) else None,
        largest=float(values[-1]) if len(values) else None,
    )


def _distinct(y: Floats) -> tuple[Floats, Integers, Integers]:
    """Return the values that differ by more than rounding, how often they occur, and the one that each row has."""
    values, owner, counts = np.unique(y, return_inverse=True, return_counts=True)
    if not len(y):
        return values, counts, owner
    is_new = np.concatenate([[True], np.diff(values) > _precision(values)])
    group = is_new.cumsum() - 1
    commonest = np.lexsort((-counts, group))[is_new]
    return values[commonest], np.bincount(group, counts).astype(np.int64), group[owner]


def _spacing(values: Floats, counts: Integers) -> float:
    """Return how far rows whose value repeats typically are from the nearest other value."""
    gaps = np.concatenate([[np.inf], np.diff(values), [np.inf]])
    nearest, repeated = np.minimum(gaps[:-1], gaps[1:]), counts > 1
    if not repeated.any() or len(values) == 1:
        return 0.0
    return float(np.median(np.repeat(nearest[repeated], counts[repeated])))


def _share(which: NDArray[np.bool_], counts: Integers) -> float:
    return float(counts[which].sum() / counts.sum()) if len(counts) else 0.0


# --- the lattice ---


@dataclass(frozen=True)
class _Lattice:
    """Values are ``origin`` + k * ``step`` for integers k, but for an error of at most ``tolerance``."""

    origin: float
    step: float
    tolerance: float

    def holds(self, values: Floats) -> NDArray[np.bool_]:
        """Return which values lie on it."""
        offset = values - self.origin
        near: NDArray[np.bool_] = np.abs(offset - np.rint(offset / self.step) * self.step) <= self.tolerance
        return near


def _lattice(values: Floats, counts: Integers, finest: float) -> _Lattice | None:
    """Return the coarsest lattice that holds all values, or else most rows, with a step of at least ``finest``."""
    if len(values) < 2:
        return None
    strict = _coarsest(values, finest)
    frequent = np.sort(counts)[::-1]
    least = frequent[np.searchsorted(frequent.cumsum(), _MOST * counts.sum())]
    loose = _coarsest(values[counts >= max(least, 2)], finest)  # those that repeat hardly lie beside it
    if loose is None or (strict is not None and strict.step > 0.5 * loose.step):
        return strict
    enough = _MOST if strict is None else _NEARLY_ALL
    return loose if _share(loose.holds(values), counts) >= enough else strict


def _coarsest(values: Floats, finest: float) -> _Lattice | None:
    if len(values) < 2:
        return None
    error = _precision(values)
    with np.errstate(over="ignore", invalid="ignore"):  # beyond single precision
        if (np.abs(values.astype(np.float32) - values) <= error).all():  # it was stored in that
            error = float(np.finfo(np.float32).eps) * float(np.abs(values).max())
    found = [_common_lattice(values, error, finest)]
    units = (10.0**-n_decimals for n_decimals in range(_MOST_DECIMALS + 1))
    unit = next((unit for unit in units if np.abs(values - np.rint(values / unit) * unit).max() <= error), 0.0)
    if unit >= _TELLING * error:  # sixtieths, say, that were written with four decimals are near a coarser lattice
        found += [_decimal_lattice(values, unit, error, finest), _common_lattice(values, unit, finest)]
    return max((lattice for lattice in found if lattice is not None), key=lambda lattice: lattice.step, default=None)


def _precision(values: Floats) -> float:
    """Return by how much values of double precision may differ from the same number, worked out in another way."""
    return 8 * float(np.finfo(np.float64).eps) * float(np.abs(values).max())


def _decimal_lattice(values: Floats, unit: float, error: float, finest: float) -> _Lattice | None:
    """Return the coarsest lattice of values that are multiples of a decimal unit: exact, in whole numbers."""
    multiples = np.rint(values / unit).astype(np.int64)
    step = int(np.gcd.reduce(np.diff(multiples))) * unit
    return _Lattice(float(values[0]), float(f"{step:.15g}"), 2 * error) if step >= finest else None


def _common_lattice(values: Floats, error: float, finest: float) -> _Lattice | None:
    """Return the coarsest lattice that holds sorted values up to an error: Euclid's algorithm on their gaps."""
    gaps = np.diff(values)
    apart = gaps[gaps > 2 * error]
    if not len(apart):
        return None
    step = _smallest(apart, error)
    while step >= max(finest, _TELLING * error):
        sites = np.concatenate([[0.0], np.rint(gaps / step).cumsum()])
        sites /= np.gcd.reduce(sites.astype(np.int64))
        around = sites - sites.mean()
        fitted = float(around @ values / (around @ around))
        origin = float(values.mean() - fitted * sites.mean())
        if np.abs(values - origin - fitted * sites).max() <= error:
            return _told_apart(_Lattice(origin, _rounded(fitted, error / sites[-1]), 2 * error), sites)
        times = np.rint(apart / step)
        rests = np.abs(apart - times * step)
        rests = rests[rests > 2 * error * (1 + times)]
        if not len(rests):
            return None
        step = _smallest(rests, error)
    return None


def _smallest(lengths: Floats, error: float) -> float:
    """Return the smallest length, as the mean of all that may be the same."""
    return float(lengths[lengths <= lengths.min() + 4 * error].mean())


def _told_apart(lattice: _Lattice, sites: Floats) -> _Lattice | None:
    """Return a lattice unless so few values may well lie on one by chance."""
    evidence = (len(sites) - 1) * math.log(lattice.step / lattice.tolerance)
    return lattice if evidence > math.log(sites[-1] / _CHANCE) else None


def _rounded(step: float, error: float) -> float:
    """Return the shortest decimal number within an error."""
    decimals = (float(f"{step:.{digits}g}") for digits in range(1, 17))
    return next((number for number in decimals if abs(number - step) <= error), step)


# --- atoms ---


def _standing_out(values: Floats, counts: Integers, lattice: _Lattice | None) -> list[int]:
    """Return which values repeat far more often than their neighbours, the most frequent first.

    Where there is a lattice, single values beside it are no neighbours.
    """
    compared = np.flatnonzero((counts >= _FEWEST_ROWS) | (lattice is None or lattice.holds(values)))
    if len(compared) < _FEWEST_VALUES:
        return []
    n_rows, last = counts.sum(), len(values) - 1
    there = counts[compared]
    often = np.flatnonzero(there >= max(_FEWEST_ROWS, _RARE * n_rows)).tolist()
    excess = {int(compared[i]): there[i] / _most_expected(there, i) for i in often}
    special = [i for i in excess if i in (0, last) or values[i] == 0]
    inside = [i for i in excess if i not in special and excess[i] >= 0.5 * _STANDS_OUT]
    if len(inside) > _MOST_INSIDE:  # somebody's habit of rounding
        inside = []
    found = special + [i for i in inside if counts[i] >= _COMMON * n_rows]
    return sorted((i for i in found if excess[i] >= _STANDS_OUT), key=lambda i: -counts[i])


def _most_expected(counts: Integers, i: int) -> float:
    """Return the most often that neighbours suggest a value to occur, with two standard deviations for chance.

    At an end of the range, counts may go on rising towards it.
    """
    below, above = counts[max(0, i - _NEIGHBOURS) : i][::-1], counts[i + 1 : i + 1 + _NEIGHBOURS]
    if len(below) and len(above):
        mean = float(max(np.concatenate([below, above]).mean(), below[0], above[0]))
    else:
        nearest, second = (below if len(below) else above)[:2].tolist()
        mean = float(max(0.5 * (nearest + second), nearest * min(nearest / second, _STEEPEST)))
    return mean + 2 * math.sqrt(mean)


def _atom(i: int, values: Floats, counts: Integers, z: float) -> Atom:
    place = {0: "smallest", len(values) - 1: "largest"}.get(i, "inside")
    return Atom(float(values[i]), int(counts[i]), float(counts[i] / counts.sum()), place, bool(abs(z) > OUTLIER))


# --- tails ---


def _skew_adjusted(y: Floats, which: NDArray[np.bool_]) -> Floats:
    """Return distances from the median in robust standard deviations, as some rows have them on either side.

    On the longer side, Tukey's g-transform, which carries a lognormal into a normal, takes out the skewness that the
    10 %, 50 % and 90 % quantiles show.

    References:
        Hoaglin (1985), Summarizing shape numerically: the g-and-h distributions, chapter 11 of Exploring Data Tables,
            Trends, and Shapes.
    """
    rest = y[which]
    if len(rest) < _FEWEST_FOR_TAILS:
        return np.zeros_like(y)
    low, middle, high = np.quantile(rest, (0.1, 0.5, 0.9))
    if not low < middle < high:
        return np.zeros_like(y)
    up, down = high - middle, middle - low
    return np.where(y > middle, _one_sided(y - middle, down, up), -_one_sided(middle - y, up, down))


def _one_sided(distance: Floats, other: float, own: float) -> Floats:
    """Return distances beyond the median in standard deviations, from those of both sides' 10 % quantiles."""
    distance = distance.clip(0.0)
    plain: Floats = distance / own * _Z_90
    g = math.log(own / other) / _Z_90
    if g <= 0:
        return plain
    unit = other * g / -math.expm1(-g * _Z_90)
    adjusted: Floats = np.minimum(plain, np.log1p(g * distance / unit) / g)
    return adjusted


def _beyond(z: Floats, limit: float) -> NDArray[np.bool_]:
    """Return which rows lie further out than a limit, distant clusters left aside."""
    far = np.abs(z) > limit
    for sign in (1, -1):
        far &= ~(sign * z >= _cluster(sign * z))
    return far


def _cluster(z: Floats) -> float:
    """Return where a cluster in the upper tail begins that keeps away from all other rows; infinity without one."""
    outer = np.sort(z[z > _BULK])
    if len(outer) < _FEWEST_IN_CLUSTER:
        return math.inf
    inner = z[z <= _BULK].max()
    gaps = np.diff(outer, prepend=inner)
    i = int(gaps.argmax())
    cluster, edge = outer[i:], outer[i - 1] if i else inner
    first, middle, third = np.quantile(cluster, (0.25, 0.5, 0.75))
    is_apart = len(cluster) >= _FEWEST_IN_CLUSTER and third - first < _CLUSTER * (middle - edge)
    return float(cluster[0]) if is_apart else math.inf
