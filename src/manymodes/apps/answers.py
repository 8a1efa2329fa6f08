"""What ``manymodes predict`` writes of predictions beside the usual columns: modes, regions, samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from manymodes.apps.scores import MODE_MASS
from manymodes.distributions import Prediction, Region

Columns = dict[str, NDArray[Any]]

_SHOWN_MODES = 2


def mode_columns(distribution: Prediction, names: Sequence[str]) -> Columns:
    """Return the number of modes of the joint density, and where the highest two are and what they hold.

    A mode counts from ``MODE_MASS`` of the probability; what a row has not is NaN.
    """
    modes = distribution.modes()
    counts = modes.mask & (modes.mass >= MODE_MASS)
    order = (~counts).to(torch.int8).argsort(dim=-1, stable=True)  # those that count first, the highest first
    columns: Columns = {"modes": counts.sum(-1).numpy()}
    for place in range(_SHOWN_MODES):
        if place >= order.shape[-1]:
            location = np.full((len(order), len(names)), np.nan)
            mass = np.full(len(order), np.nan)
        else:
            rows, at = torch.arange(len(order)), order[:, place]
            known = counts[rows, at]
            location = torch.where(known[:, None], modes.location[rows, at], torch.nan).numpy()
            mass = torch.where(known, modes.mass[rows, at], torch.nan).numpy()
        for d, name in enumerate(names):
            columns[f"{name}_mode_{place + 1}"] = location[:, d]
        columns[f"mode_{place + 1}_mass"] = mass
    return columns


def region_columns(distribution: Prediction, names: Sequence[str], level: float) -> Columns:
    """Return the highest-density region of every target as text, say ``1.7 to 2.1; 3.9 to 4.8``."""
    return {
        f"{name}_region_{100 * level:g}": np.array(_texts(distribution.highest_density_region(level, dim=d)), object)
        for d, name in enumerate(names)
    }


def sample_columns(
    distribution: Prediction, names: Sequence[str], n_samples: int, generator: torch.Generator
) -> Columns:
    """Return draws from the joint density, a column for each draw and target."""
    samples = distribution.sample((n_samples,), generator=generator).numpy()  # (S, N, D)
    return {f"{name}_sample_{s + 1}": draw[:, d] for s, draw in enumerate(samples) for d, name in enumerate(names)}


def _texts(region: Region) -> list[str]:
    """Return each row's pieces in ascending order, atoms as single numbers."""
    pieces: list[list[tuple[float, str]]] = [[] for _ in range(len(region.mask))]
    table = region.to_dict()
    for row, low, high in zip(table["row"], table["low"], table["high"], strict=True):
        pieces[row].append((low, f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"))
    return ["; ".join(text for _, text in sorted(row)) for row in pieces]
