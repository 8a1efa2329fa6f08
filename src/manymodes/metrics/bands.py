r"""Histograms and distribution functions of what should be uniform, with bands that hold all of it at once.

Each bin, or each value of the distribution function, is a binomial count when predictions are calibrated. Intervals
that hold 95 % of such counts would each be left by one bin in twenty. So they are widened, all by the same probability,
until they hold all bins of 95 % of simulated histograms. Simulations draw the counts, not the rows, so that their cost
does not depend on the number of rows.

References:
    Saeilynoja, Buerkner and Vehtari (2022), Graphical test for discrete uniformity and its applications in
    goodness-of-fit evaluation and multiple sample comparison, Statistics and Computing 32, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Prediction
from manymodes.metrics.ranks import Kind, uniforms

_SIMULATIONS = 4000  # the share they say is right to .4 %
_USUAL_BINS, _ROWS_A_BIN = 20, 10
_POINTS = 50  # of a distribution function


@dataclass(frozen=True, eq=False, repr=False)
class PITHistogram:
    """Counts of what should be uniform, and the band that holds all of them where predictions are calibrated.

    Attributes:
        edges: Ends of the bins, (B + 1,), from 0 to 1.
        count: Rows in each bin, (D, B), for each target dimension; D = 1 for ranks by density.
        low: Lower end of the band, (B,), in rows; it belongs to the band.
        high: Upper end, likewise.
        level: Probability that all bins of one dimension lie in the band, when predictions are calibrated.
    """

    edges: Tensor
    count: Tensor
    low: Tensor
    high: Tensor
    level: float

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.count[0].sum())

    @property
    def outside(self) -> Tensor:
        """Which bins lie outside the band, (D, B)."""
        return (self.count < self.low) | (self.count > self.high)

    def __repr__(self) -> str:
        return _described(type(self).__name__, self.n_rows, self.outside, "bins", self.level)


@dataclass(frozen=True, eq=False, repr=False)
class PITECDF:
    """The distribution function of what should be uniform, and the band that holds all of it.

    Attributes:
        place: Where it is taken, (P,), within (0, 1).
        share: Share of rows at or below each place, (D, P), for each target dimension; D = 1 for ranks by density.
        low: Lower end of the band, (P,); it belongs to the band.
        high: Upper end, likewise.
        level: Probability that all of one dimension lies in the band, when predictions are calibrated.
        n_rows: Number of rows.
    """

    place: Tensor
    share: Tensor
    low: Tensor
    high: Tensor
    level: float
    n_rows: int

    @property
    def outside(self) -> Tensor:
        """Where the function lies outside the band, (D, P)."""
        return (self.share < self.low - 1e-12) | (self.share > self.high + 1e-12)

    def __repr__(self) -> str:
        return _described(type(self).__name__, self.n_rows, self.outside, "points", self.level)


def pit_histogram(
    distribution: Prediction,
    y: Tensor,
    *,
    kind: Kind = "central",
    n_bins: int | None = None,
    level: float = 0.95,
    generator: torch.Generator | None = None,
) -> PITHistogram:
    """Return the histogram of PIT values with a simultaneous band: flat where predictions are calibrated.

    A heap in the middle says that predictions are too wide, heaps at both ends that they are too narrow, a slope that
    they are too low (rising) or too high (falling).

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D).
        kind: ``"central"`` for PITs of each target dimension, ``"region"`` for ranks by density, see ``hpd_rank``.
        n_bins: Number of bins, at most that of rows; None takes 20, fewer below 200 rows.
        level: Probability of the band, in (0, 1).
        generator: Source of randomness of PIT values of counts and atoms; None takes a fixed seed.

    Raises:
        ValueError: Targets of another shape, no rows, more bins than rows, or a level outside (0, 1).
    """
    level = _checks.number_between("level", level, 0.0, 1.0)
    u = uniforms(distribution, y, kind, generator)
    _checks.rows_at_least(len(u), 2, "a histogram")
    if n_bins is None:
        n_bins = min(_USUAL_BINS, max(2, len(u) // _ROWS_A_BIN))
    n_bins = _checks.integer_at_least("n_bins", n_bins, 2)
    _checks.rows_at_least(len(u), n_bins, _checks.counted(n_bins, "bin"))
    which = (u * n_bins).long().clamp(0, n_bins - 1)
    count = torch.stack([torch.bincount(column, minlength=n_bins) for column in which.T])
    low, high = simultaneous_band(len(u), (1 / n_bins,) * n_bins, level)
    edges = torch.linspace(0, 1, n_bins + 1, dtype=torch.float64)
    return PITHistogram(edges, count, low.clone(), high.clone(), level)


def pit_ecdf(
    distribution: Prediction,
    y: Tensor,
    *,
    kind: Kind = "central",
    level: float = 0.95,
    generator: torch.Generator | None = None,
) -> PITECDF:
    """Return the distribution function of PIT values with a simultaneous band: the diagonal, where calibrated.

    Unlike a histogram it needs no bins; it is taken at 49 even places.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D).
        kind: ``"central"`` for PITs of each target dimension, ``"region"`` for ranks by density, see ``hpd_rank``.
        level: Probability of the band, in (0, 1).
        generator: Source of randomness of PIT values of counts and atoms; None takes a fixed seed.

    Raises:
        ValueError: Targets of another shape, no rows, or a level outside (0, 1).
    """
    level = _checks.number_between("level", level, 0.0, 1.0)
    u = uniforms(distribution, y, kind, generator)
    _checks.rows_at_least(len(u), 2, "a distribution function")
    place = torch.arange(1, _POINTS, dtype=torch.float64) / _POINTS
    low, high = simultaneous_band(len(u), (1 / _POINTS,) * _POINTS, level, cumulative=True)
    return PITECDF(place, share_up_to(u, place), low / len(u), high / len(u), level, len(u))


def share_up_to(u: Tensor, place: Tensor) -> Tensor:
    """Return the share of values (N, D) at or below places (P,), (D, P)."""
    ordered = u.T.contiguous().sort(-1).values
    return torch.searchsorted(ordered, place.expand(len(ordered), -1).contiguous(), right=True).double() / len(u)


def pointwise_band(n_rows: int, share: Tensor, level: float) -> tuple[Tensor, Tensor]:
    """Return the ends of the shortest central binomial intervals that hold ``level``, as shares of rows, (P,) each."""
    low, high = _binomial_interval(n_rows, share.numpy(), 0.5 * (1 - level))
    return torch.from_numpy(low / n_rows), torch.from_numpy(high / n_rows)


@lru_cache(maxsize=64)
def simultaneous_band(
    n_rows: int, shares: tuple[float, ...], level: float, *, cumulative: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the least and the most rows in each bin that calibrated predictions leave with 1 - ``level`` in all.

    Args:
        n_rows: Number of rows.
        shares: Probabilities of the bins; they sum to one.
        level: Probability that all counts lie in the band.
        cumulative: Whether counts are added up from the left, the last, which is all rows, left out.
    """
    probability = np.array(shares)
    counts = np.random.default_rng(0).multinomial(n_rows, probability / probability.sum(), size=_SIMULATIONS)
    if cumulative:
        counts, probability = counts.cumsum(1)[:, :-1], probability.cumsum()[:-1]
    tail = np.sort(_tail(counts, n_rows, probability).min(1))
    # Counts lie in intervals of a tail unless they are further out: so it is the one that just enough keep to.
    widened = tail[int((1 - level) * _SIMULATIONS)] * (1 - 1e-9)
    low, high = _binomial_interval(n_rows, probability, widened)
    return torch.from_numpy(low), torch.from_numpy(high)


def _tail(counts: NDArray[np.int64], n_rows: int, probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the smaller probability of P(X <= count) and P(X >= count) for binomial X."""
    from scipy.special import bdtr, bdtrc

    upper = np.where(counts > 0, bdtrc(np.maximum(counts - 1, 0), n_rows, probability), 1.0)
    tail: NDArray[np.float64] = np.minimum(bdtr(counts, n_rows, probability), upper)
    return tail


def _binomial_interval(
    n_rows: int, probability: NDArray[np.float64], tail: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the central intervals of binomial counts that leave at most ``tail`` on each side."""
    from scipy import stats

    return stats.binom.ppf(tail, n_rows, probability), stats.binom.isf(tail, n_rows, probability)


def _described(name: str, n_rows: int, outside: Tensor, what: str, level: float) -> str:
    n_outside, n_all = int(outside.sum()), outside.numel()
    return f"{name}(n_rows={n_rows}, {n_outside} of {n_all} {what} outside the band that holds all in {level:.4g})"
