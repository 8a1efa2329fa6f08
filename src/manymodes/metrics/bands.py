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

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Prediction
from manymodes.distributions.results import Table
from manymodes.metrics.ranks import Kind, uniforms

_SIMULATIONS = 4000  # the share they say is right to .4 %
_USUAL_BINS, _ROWS_A_BIN = 20, 10
_POINTS = 50  # of a distribution function


@dataclass(frozen=True, eq=False, repr=False)
class PITHistogram(Table):
    """Counts of what should be uniform, and the band that holds all of them where predictions are calibrated.

    Attributes:
        edges: Ends of the bins, (B + 1,), from 0 to 1.
        count: Rows in each bin, (D, B), for each target dimension; D = 1 for ranks by density.
        low: Lower end of the band, (B,), in rows; it belongs to the band.
        high: Upper end, likewise.
        band: Probability that all bins of one dimension lie in the band, when predictions are calibrated.
    """

    edges: Tensor
    count: Tensor
    low: Tensor
    high: Tensor
    band: float

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.count[0].sum())

    @property
    def outside(self) -> Tensor:
        """Which bins lie outside the band, (D, B)."""
        return (self.count < self.low) | (self.count > self.high)

    def to_dict(self) -> dict[str, list[Any]]:
        """Return a long table: one bin of one target dimension a line."""
        start, end = self.edges[:-1], self.edges[1:]
        return long_table(self.count, "count", {"start": start, "end": end}, {"low": self.low, "high": self.high})

    def __repr__(self) -> str:
        return _described(type(self).__name__, self.n_rows, self.outside, "bins", self.band)


@dataclass(frozen=True, eq=False, repr=False)
class Reliability(Table):
    """Observed shares beside the probabilities that were predicted.

    Attributes:
        level: Predicted probabilities, (Q,), ascending, within (0, 1).
        share: Share of targets, (C, Q), for each target dimension; C = 1 for regions.
        low: Lower end of the band, (Q,); it belongs to the band.
        high: Upper end, likewise.
        band: Probability of the band when predictions are calibrated.
        n_rows: Number of rows.
        simultaneous: Whether the band holds all shares of one dimension at once, or each level by itself.
    """

    level: Tensor
    share: Tensor
    low: Tensor
    high: Tensor
    band: float
    n_rows: int
    simultaneous: bool = False

    @property
    def outside(self) -> Tensor:
        """Which shares lie outside the band, (C, Q)."""
        return (self.share < self.low - 1e-12) | (self.share > self.high + 1e-12)

    def to_dict(self) -> dict[str, list[Any]]:
        """Return a long table: one level of one target dimension a line."""
        return long_table(self.share, "share", {"level": self.level}, {"low": self.low, "high": self.high})

    def __repr__(self) -> str:
        if self.simultaneous:
            return _described(type(self).__name__, self.n_rows, self.outside, "shares", self.band)
        n_outside, n_all = int(self.outside.sum()), self.outside.numel()
        return f"Reliability(n_rows={self.n_rows}, {n_outside} of {n_all} shares outside their {self.band:.4g} band)"


def pit_histogram(
    distribution: Prediction,
    y: Tensor,
    *,
    kind: Kind = "central",
    n_bins: int | None = None,
    band: float = 0.95,
    n_samples: int = 10_000,
    generator: torch.Generator | None = None,
) -> PITHistogram:
    """Return the histogram of PIT values with a simultaneous band: flat where predictions are calibrated.

    A heap in the middle says that predictions are too wide, heaps at both ends that they are too narrow, a slope that
    they are too low (rising) or too high (falling). It takes 2 rows, and at least as many as bins; 20 bins
    of 10 rows each may hold 2 to 20, of 50 each 31 to 72: with few rows the band says little.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D).
        kind: ``"central"`` for PITs of each target dimension, ``"region"`` for ranks by density, see ``hpd_rank``.
        n_bins: Number of bins, at most that of rows; None takes 20, fewer below 200 rows.
        band: Probability that all of a calibrated prediction lies in the band, in (0, 1).
        n_samples: Samples of each prediction that ranks by density in several dimensions are taken among.
        generator: Source of randomness at counts and atoms, and of ranks by density; None takes a fixed seed.

    Raises:
        ValueError: Targets of another shape, fewer than 2 rows, more bins than rows, or a band outside (0, 1).
    """
    band = _checks.number_between("band", band, 0.0, 1.0)
    u = uniforms(distribution, y, kind, generator, n_samples)
    _checks.rows_at_least(len(u), 2, "a histogram")
    if n_bins is None:
        n_bins = min(_USUAL_BINS, max(2, len(u) // _ROWS_A_BIN))
    n_bins = _checks.integer_at_least("n_bins", n_bins, 2)
    _checks.rows_at_least(len(u), n_bins, _checks.counted(n_bins, "bin"))
    which = (u * n_bins).long().clamp(0, n_bins - 1)
    count = torch.stack([torch.bincount(column, minlength=n_bins) for column in which.T])
    low, high = simultaneous_band(len(u), (1 / n_bins,) * n_bins, band)
    edges = torch.linspace(0, 1, n_bins + 1, dtype=torch.float64)
    return PITHistogram(edges, count, low.clone(), high.clone(), band)


def pit_ecdf(
    distribution: Prediction,
    y: Tensor,
    *,
    kind: Kind = "central",
    band: float = 0.95,
    n_samples: int = 10_000,
    generator: torch.Generator | None = None,
) -> Reliability:
    """Return the distribution function of PIT values with a simultaneous band: the diagonal, where calibrated.

    Unlike a histogram it needs no bins; it is taken at 49 even places. It takes 2 rows; the band reaches about
    1.4 / sqrt(N) to either side in the middle, .2 with 50 rows.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D).
        kind: ``"central"`` for PITs of each target dimension, ``"region"`` for ranks by density, see ``hpd_rank``.
        band: Probability that all of a calibrated prediction lies in the band, in (0, 1).
        n_samples: Samples of each prediction that ranks by density in several dimensions are taken among.
        generator: Source of randomness at counts and atoms, and of ranks by density; None takes a fixed seed.

    Raises:
        ValueError: Targets of another shape, fewer than 2 rows, or a band outside (0, 1).
    """
    band = _checks.number_between("band", band, 0.0, 1.0)
    u = uniforms(distribution, y, kind, generator, n_samples)
    _checks.rows_at_least(len(u), 2, "a distribution function")
    level = torch.arange(1, _POINTS, dtype=torch.float64) / _POINTS
    low, high = simultaneous_band(len(u), (1 / _POINTS,) * _POINTS, band, cumulative=True)
    return Reliability(level, share_up_to(u, level), low / len(u), high / len(u), band, len(u), simultaneous=True)


def share_up_to(u: Tensor, level: Tensor) -> Tensor:
    """Return the share of values (N, D) at or below levels (Q,), (D, Q)."""
    ordered = u.T.contiguous().sort(-1).values
    return torch.searchsorted(ordered, level.expand(len(ordered), -1).contiguous(), right=True).double() / len(u)


def pointwise_band(n_rows: int, share: Tensor, band: float) -> tuple[Tensor, Tensor]:
    """Return the ends of the shortest central binomial intervals that hold ``band``, as shares of rows, (P,) each."""
    low, high = _binomial_interval(n_rows, share.numpy(), 0.5 * (1 - band))
    return torch.from_numpy(low / n_rows), torch.from_numpy(high / n_rows)


@lru_cache(maxsize=64)
def simultaneous_band(
    n_rows: int, shares: tuple[float, ...], band: float, *, cumulative: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the least and the most rows in each bin that calibrated predictions leave with 1 - ``band`` in all.

    Args:
        n_rows: Number of rows.
        shares: Probabilities of the bins; they sum to one.
        band: Probability that all counts lie in the band.
        cumulative: Whether counts are added up from the left, the last, which is all rows, left out.
    """
    probability = np.array(shares)
    counts = np.random.default_rng(0).multinomial(n_rows, probability / probability.sum(), size=_SIMULATIONS)
    if cumulative:
        counts, probability = counts.cumsum(1)[:, :-1], probability.cumsum()[:-1]
    tail = np.sort(_tail(counts, n_rows, probability).min(1))
    # Counts lie in intervals of a tail unless they are further out: so it is the one that just enough keep to.
    widened = tail[int((1 - band) * _SIMULATIONS)] * (1 - 1e-9)
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


def long_table(
    values: Tensor, name: str, before: Mapping[str, Tensor], after: Mapping[str, Tensor]
) -> dict[str, list[Any]]:
    """Return values (D, P) as a column of a long table, between columns (P,) that repeat for each dimension."""
    n_dims, n_each = values.shape
    first, last = ({key: each.tolist() * n_dims for key, each in columns.items()} for columns in (before, after))
    dims = torch.arange(n_dims).repeat_interleave(n_each).tolist()
    return {"dim": dims, **first, name: values.flatten().tolist(), **last}


def _described(name: str, n_rows: int, outside: Tensor, what: str, band: float) -> str:
    n_outside, n_all = int(outside.sum()), outside.numel()
    return f"{name}(n_rows={n_rows}, {n_outside} of {n_all} {what} outside the band that holds all in {band:.4g})"
