"""Ridgelines: p(y | x) of several rows above each other on one axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from manymodes.distributions import Prediction
from manymodes.pages.charts import Chart

_GRID = 300
_OFFSETS = (-4, -3, -2.5, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 2.5, 3, 4)  # around components, in scales
_ROW_HEIGHT = 44
_OVERLAP = 1.5


def ridge_chart(
    mixture: Prediction, outcomes: NDArray[np.float64], labels: Sequence[str], y_name: str, description: str
) -> str:
    """Return a figure with one density per row, the lowest row first, and a dot where the outcome fell.

    Args:
        mixture: Densities of R rows and one target dimension.
        outcomes: What happened, (R,).
        labels: Name of each row, R of them.
        y_name: Name of the target.
        description: Caption, also read by screen readers.
    """
    ends = mixture.icdf(torch.tensor([0.002, 0.998], dtype=mixture.logits.dtype)[:, None, None])
    low, high = min(float(ends.min()), outcomes.min()), max(float(ends.max()), outcomes.max())
    n_rows = len(labels)
    chart = Chart((low, high), (0.0, n_rows + _OVERLAP - 1), x_label=y_name, height=80 + _ROW_HEIGHT * n_rows)
    for row in reversed(range(n_rows)):
        y, density = _curve(mixture[row], low, high)
        height = density / max(density.max(), 1e-300) * _OVERLAP * 0.95
        chart.ridge(list(y), list(row + height), row)
    for row, label in enumerate(labels):
        chart.label(row, label)
        chart.dot(outcomes[row], row, f"{label}: {y_name} was {outcomes[row]:g}")
    return chart.figure(description)


def _curve(density: Prediction, low: float, high: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points of one density, denser around its components so that no narrow peak is missed."""
    loc, scale = density.components.mean[:, 0], density.components.variance[:, 0].sqrt()
    near = loc[:, None] + torch.tensor(_OFFSETS, dtype=loc.dtype) * scale[:, None]
    grid = torch.cat([torch.linspace(low, high, _GRID, dtype=loc.dtype), near.flatten().clamp(low, high)])
    grid = grid.unique()
    return grid.numpy(), density.log_prob(grid[:, None]).exp().numpy()
