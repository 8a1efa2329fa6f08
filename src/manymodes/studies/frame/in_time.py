"""Which rows judge a model where rows follow one another in time, and neighbours are alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from manymodes.studies.frame.comparison import Part

Rows = NDArray[np.bool_]
Array = NDArray[np.float64]


def random_rows(n_rows: int, share: float, seed: int) -> Rows:
    """Return a share of the rows, drawn at random one by one: each has neighbours among the others."""
    return np.asarray(np.random.default_rng(seed).permutation(n_rows) < round(share * n_rows))


def block_rows(n_rows: int, share: float, seed: int, *, size: int) -> Rows:
    """Return about a share of the rows, drawn at random in blocks of ``size`` that follow one another."""
    block = np.arange(n_rows) // size
    return random_rows(int(block[-1]) + 1, share, seed)[block]


def stretch_rows(n_rows: int, n_stretches: int, number: int) -> Rows:
    """Return one of so many stretches of about the same length; numbers count from 0, and go round."""
    return np.asarray(stretches(n_rows, n_stretches) == number % n_stretches)


def stretches(n_rows: int, n_stretches: int) -> NDArray[np.int64]:
    """Return the number of each row's stretch, (N,)."""
    return np.arange(n_rows) * n_stretches // n_rows


def held_out(X: Array, y: Array, rows: Rows, seed: int) -> Part:
    """Return a part that some rows judge, in random order, so that the first few of them stand for all."""
    test = np.random.default_rng(seed).permutation(np.flatnonzero(rows))
    return Part(X[~rows], y[~rows], X[test], y[test])
