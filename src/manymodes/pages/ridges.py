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
_SEEN = 0.002  # of the height of a ridge
_HIGHEST = 0.95 * _OVERLAP

_Points = tuple[NDArray[np.float64], NDArray[np.float64]]


def ridge_chart(
    mixture: Prediction, outcomes: NDArray[np.float64], labels: Sequence[str], y_name: str, description: str
) -> str:
    """Return a figure with one density per row, the lowest row first, and a dot where the outcome fell.

    Counts are steps as high as their probabilities. Atoms are upright lines: as high as a ridge where they hold all of
    the probability.

    Args:
        mixture: Densities of R rows and one target dimension.
        outcomes: What happened, (R,).
        labels: Name of each row, R of them.
        y_name: Name of the target.
        description: Caption, also read by screen readers.
    """
    ends = mixture.icdf(torch.tensor([0.002, 0.998], dtype=mixture.logits.dtype)[:, None, None])
    low, high = min(float(ends.min()), outcomes.min()), max(float(ends.max()), outcomes.max())
    n_rows, kinds = len(labels), {group.kinds[0] for group in mixture.components.groups}
    size = {"height": 80 + _ROW_HEIGHT * n_rows, "labels": labels}
    chart = Chart((low, high), (0.0, n_rows + _OVERLAP - 1), x_label=y_name, **size)  # type: ignore[arg-type]
    atoms = mixture.modes().atoms if "atom" in kinds and "count" not in kinds else None
    for row in reversed(range(n_rows)):
        y, density = _steps(mixture[row], low, high) if "count" in kinds else _curve(mixture[row], low, high)
        if atoms is not None:
            off = ~np.isin(y, atoms.location[row].numpy())  # at an atom log_prob is a probability, not a density
            y, density = y[off], density[off]
        height = density / max(density.max(), 1e-300) * _HIGHEST
        chart.ridge(list(y), list(row + height), row)
        if atoms is not None:
            _draw_atoms(chart, atoms.location[row][atoms.mask[row]], atoms.mass[row][atoms.mask[row]], row)
    for row, label in enumerate(labels):
        chart.label(row, label)
        chart.dot(outcomes[row], row, f"{label}: {y_name} was {outcomes[row]:g}")
    return chart.figure(description)


def _draw_atoms(chart: Chart, location: torch.Tensor, mass: torch.Tensor, base: float) -> None:
    for place, probability in zip(location.tolist(), mass.tolist(), strict=True):
        chart.line((place, base), (place, base + probability * _HIGHEST), "atom")


def _steps(density: Prediction, low: float, high: float) -> _Points:
    """Return the outline of steps around whole numbers, as high as their probabilities."""
    whole = np.unique(np.linspace(np.floor(low), np.ceil(high), _GRID).round())
    probability = density.log_prob(torch.from_numpy(whole)[:, None]).exp().numpy()
    half = 0.5 if len(whole) < _GRID else 0.5 * float(np.diff(whole).mean())
    return np.stack([whole - half, whole + half], 1).ravel().clip(low, high), probability.repeat(2)


def _curve(density: Prediction, low: float, high: float) -> _Points:
    """Return points of one density, denser around its components so that no narrow peak is missed."""
    loc, scale = density.components.mean[:, 0], density.components.variance[:, 0].sqrt()
    near = loc[:, None] + torch.tensor(_OFFSETS, dtype=loc.dtype) * scale[:, None]
    grid = torch.cat([torch.linspace(low, high, _GRID, dtype=loc.dtype), near.flatten().clamp(low, high)])
    grid = grid.unique()
    return _thinned(grid.numpy(), density.log_prob(grid[:, None]).exp().numpy())


def _thinned(x: NDArray[np.float64], height: NDArray[np.float64]) -> _Points:
    """Return a curve without points that lie on the lines between their neighbours, as far as can be seen."""
    for _ in range(4):
        left, middle, right = (slice(start, stop, 2) for start, stop in ((0, -2), (1, -1), (2, None)))
        n_triples = len(x[right])
        share = (x[middle] - x[left][:n_triples])[:n_triples] / (x[right] - x[left][:n_triples])
        line = height[left][:n_triples] + share * (height[right] - height[left][:n_triples])
        keep = np.ones(len(x), dtype=bool)
        keep[middle][:n_triples] = np.abs(height[middle][:n_triples] - line) > _SEEN * height.max()
        x, height = x[keep], height[keep]
    return x, height
