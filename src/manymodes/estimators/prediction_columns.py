"""Predictions as columns of a table, under the names that the estimator and the command line give them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from manymodes.distributions import Mixture
from manymodes.estimators.tables.numbers import Floats


def prediction_columns(
    distribution: Mixture, names: Sequence[str], levels: Sequence[float], interval: float
) -> dict[str, Floats]:
    """Return mean, median, quantiles and the central interval of every target, (N,) each.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        names: Names of the targets, D of them.
        levels: Levels of the quantiles, from 0 to 1.
        interval: Probability that the interval holds, in (0, 1).
    """
    ends = [0.5 - interval / 2, 0.5 + interval / 2]
    wanted = torch.tensor([*levels, *ends, 0.5], dtype=torch.float64)[:, None, None]
    *quantiles, low, high, median = distribution.icdf(wanted).numpy()
    mean = distribution.mean.numpy()
    columns: dict[str, Floats] = {}
    for d, name in enumerate(names):
        columns[f"{name}_mean"], columns[f"{name}_median"] = mean[:, d], median[:, d]
        for level, quantile in zip(levels, quantiles, strict=True):
            columns[f"{name}_q{level}"] = quantile[:, d]
        columns[f"{name}_lower_{100 * interval:g}"] = low[:, d]
        columns[f"{name}_upper_{100 * interval:g}"] = high[:, d]
    return columns
