"""The seven UCI tables and their canonical splits, read in place."""

from __future__ import annotations

import numpy as np

from benchmarks.accuracy import DATA
from benchmarks.tables import Part

TABLES = ("boston-housing", "concrete", "energy", "yacht", "kin8nm", "protein-tertiary-structure")
TABLES += ("naval-propulsion-plant",)


def part(table: str, split: int) -> Part:
    """Return training and test rows of a canonical split."""
    with _open(table) as arrays:
        X, y = arrays["X"], arrays["y"].reshape(-1)
        train, test = arrays["train_idx"][split], arrays["test_idx"][split]
    return Part(X[train], y[train], X[test], y[test])


def n_splits(table: str) -> int:
    """Return how many canonical splits a table has."""
    with _open(table) as arrays:
        return len(arrays["test_idx"])


def _open(table: str) -> np.lib.npyio.NpzFile:
    return np.load(DATA / f"uci-{table}" / f"uci-{table}.npz", allow_pickle=False)
