"""Densities of many rows on one grid of targets, point masses apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from manymodes.distributions import Mixture, Prediction
from manymodes.distributions.atoms import take_apart
from manymodes.distributions.component import Kind
from manymodes.distributions.limits import filled
from manymodes.distributions.line import Line
from manymodes.distributions.results import Atoms
from manymodes.plots.inputs import Array, array

TAIL = 0.001  # what a grid leaves out on each side of a row
_MOST = 4_000_000  # values of (points, components, rows) at a time, which bounds the memory
_NEAR = (1e-9, 1e-5, 0.001, 0.005, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)  # tails of a component


class Densities(NamedTuple):
    """Densities of rows on a grid; of counts, probabilities of integers.

    Attributes:
        kind: ``"atom"`` where there is nothing but point masses.
        y: The grid, (G,), ascending.
        height: Density of what is no point mass, (N, G); it holds what point masses leave.
        share: Probability of what is no point mass, (N,).
        atoms: Point masses.
    """

    kind: Kind
    y: Array
    height: Array
    share: Array
    atoms: Atoms


def limits(mixture: Prediction, more: Array | None = None, *, tail: float = TAIL) -> tuple[float, float]:
    """Return the range that holds all but ``tail`` of every row on each side, and more values if there are any."""
    low, high = float(mixture.icdf(tail).min()), float(mixture.isf(tail).max())
    if more is not None:
        low, high = min(low, float(more.min())), max(high, float(more.max()))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def points(spread: Line, low: float, high: float, n_points: int, tails: Sequence[float] = _NEAR) -> Tensor:
    """Return points that cover a range, (G,), denser around components, so that no narrow peak falls between them."""
    levels = [torch.full_like(spread.logits[0], tail) for tail in tails]
    near = torch.cat([spread.quantiles(level, upper=upper).flatten() for level in levels for upper in (False, True)])
    even = torch.linspace(low, high, n_points, dtype=torch.float64)
    together: Tensor = torch.cat([even, filled(near, low).clamp(low, high)]).unique()
    return together


def on_points(mixture: Mixture, low: float, high: float, n_points: int = 400) -> Densities:
    """Return densities at points that are denser around components; of counts, at integers."""
    parts = take_apart(Line.of(mixture.logits, mixture.components))
    share = array(parts.share.exp())
    if parts.spread is None:
        return Densities(parts.kind, np.array([low, high]), np.zeros((len(share), 2)), share, parts.atoms)
    counts = parts.kind == "count"
    y = _integers(low, high, n_points) if counts else points(parts.spread, low, high, n_points)
    log_height = torch.cat([parts.spread.log_prob(some) for some in _chunks(y, parts.spread)]) + parts.share
    return Densities(parts.kind, array(y), array(log_height.exp().T), share, parts.atoms)


def on_cells(mixture: Mixture, low: float, high: float, n_cells: int = 400) -> Densities:
    """Return the mean density in each cell of an even grid, at the cells' centres: no peak falls between them."""
    parts = take_apart(Line.of(mixture.logits, mixture.components))
    share = array(parts.share.exp())
    edges = torch.linspace(low, high, n_cells + 1, dtype=torch.float64)
    if parts.kind == "count":
        integers = _integers(low, high, n_cells)
        middle = 0.5 * (integers[1:] + integers[:-1])
        edges = torch.cat([integers[:1] - 0.5, middle.floor() + 0.5, integers[-1:] + 0.5])
    centres = array(0.5 * (edges[1:] + edges[:-1]))
    if parts.spread is None:
        return Densities(parts.kind, centres, np.zeros((len(share), len(centres))), share, parts.atoms)
    ends = zip(_chunks(edges[:-1], parts.spread), _chunks(edges[1:], parts.spread), strict=True)
    mass = torch.cat([parts.spread.mass(a, b) for a, b in ends]) * parts.share.exp()  # (G, N)
    return Densities(parts.kind, centres, array((mass / edges.diff()[:, None]).T), share, parts.atoms)


def _integers(low: float, high: float, most: int) -> Tensor:
    """Return integers that cover a range and one on each side of it, spaced evenly where there are too many."""
    first, last = np.floor(low) - 1, np.ceil(high) + 1
    return torch.from_numpy(np.unique(np.linspace(first, last, int(min(last - first + 1, most))).round()))


def _chunks(points: Tensor, spread: Line) -> list[Tensor]:
    """Return points of every row, (G, N), in chunks."""
    size = max(1, _MOST // spread.logits.numel())
    return [some[:, None].expand(-1, len(spread)) for some in points.split(size)]
