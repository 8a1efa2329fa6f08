"""Whether probabilities happen as often as they say: the share of targets in intervals, regions and below quantiles.

Observed shares stand beside binomial bands: what a calibrated prediction shows with that probability at each level by
itself (pointwise), from exact quantiles of the binomial law around the level.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Prediction
from manymodes.metrics.bands import Reliability, pointwise_band, share_up_to
from manymodes.metrics.ranks import Kind, uniforms

LEVELS = tuple(round(0.05 * i, 2) for i in range(1, 20))


def coverage_curve(
    distribution: Prediction,
    y: Tensor,
    levels: float | Sequence[float] = LEVELS,
    *,
    kind: Kind = "central",
    band: float = 0.95,
    n_samples: int = 10_000,
    generator: torch.Generator | None = None,
) -> Reliability:
    """Return the share of targets inside central intervals, or highest-density regions, of many levels.

    One pass serves all levels. Where F jumps, at counts and atoms, a target at an end of an interval counts as inside
    with the probability that makes the interval hold just its level: ``coverage`` is the share inside with both ends,
    which is more.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D).
        levels: Probabilities, each > 0 and < 1, or one of them.
        kind: ``"central"`` for intervals of each target dimension by itself, ``"region"`` for joint regions.
        band: Probability of the band, in (0, 1), at each level by itself.
        n_samples: Samples of each prediction that ranks by density in several dimensions are taken among.
        generator: Source of randomness at counts and atoms, and of ranks by density; None takes a fixed seed.

    Raises:
        ValueError: Targets of another shape, levels that are none, or too few rows for them: one is needed on either
            side of a level, so that 0.99 needs 100.
    """
    u = uniforms(distribution, y, kind, generator, n_samples)
    return _reliability((2 * u - 1).abs() if kind == "central" else u, levels, band)


def quantile_reliability(
    distribution: Prediction,
    y: Tensor,
    levels: float | Sequence[float] = LEVELS,
    *,
    band: float = 0.95,
    generator: torch.Generator | None = None,
) -> Reliability:
    """Return the share of targets below predicted quantiles of many levels.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D).
        levels: Levels of the quantiles, each > 0 and < 1, or one of them.
        band: Probability of the band, in (0, 1), at each level by itself.
        generator: Source of randomness at counts and atoms; None takes a fixed seed.

    Raises:
        ValueError: Targets of another shape, levels that are none, or too few rows for them, see ``coverage_curve``.
    """
    return _reliability(uniforms(distribution, y, "central", generator), levels, band)


def _reliability(u: Tensor, levels: float | Sequence[float], band: float) -> Reliability:
    """Return the shares of numbers (N, C) up to levels."""
    band = _checks.number_between("band", band, 0.0, 1.0)
    wanted = sorted(_checks.levels(levels))
    outermost = min(wanted, key=lambda level: min(level, 1 - level))
    needed = round(1 / min(outermost, 1 - outermost) + 0.499999)  # upwards, but for rounding errors
    _checks.rows_at_least(len(u), needed, f"a level of {outermost:g}")
    level = torch.tensor(wanted, dtype=torch.float64)
    low, high = pointwise_band(len(u), level, band)
    return Reliability(level, share_up_to(u, level), low, high, band, len(u))
