r"""The inverse sinusoid of Bishop (1994): one x, up to three values of y.

The forward problem is :math:`x = f(y) + e`, :math:`f(y) = y + 0.3 \sin(2 \pi y)`, with y uniform on (0, 1) and e
uniform on (-noise, noise). Seen from x, y is uniform on :math:`\{y \in [0, 1]: |x - f(y)| \le noise\}`, a union
of at most three intervals, whose ends are found by bisection on the three monotone pieces of f.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from manymodes import _checks

_TURN = np.arccos(-1 / (0.6 * np.pi)) / (2 * np.pi)  # f'(y) = 0 here and at 1 - _TURN
_PIECES = ((0.0, _TURN), (_TURN, 1 - _TURN), (1 - _TURN, 1.0))
_BISECTIONS = 60


def make_inverse_sinusoid(
    n_rows: int = 1000, *, noise: float = 0.1, random_state: int | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return simulated inputs X (N, 1) and targets y (N,) of the inverse problem.

    Args:
        n_rows: Number of rows, N.
        noise: Half the width of the uniform noise on x.
        random_state: Seed; None draws a fresh one.

    Raises:
        ValueError: No rows, or noise that is not > 0.
    """
    n_rows = _checks.integer_at_least("n_rows", n_rows, 1)
    noise = _checks.positive("noise", noise)
    rng = np.random.default_rng(random_state)
    y = rng.uniform(size=n_rows)
    x = _forward(y) + rng.uniform(-noise, noise, size=n_rows)
    return x[:, None], y


def inverse_sinusoid_log_density(X: ArrayLike, y: ArrayLike, *, noise: float = 0.1) -> NDArray[np.float64]:
    """Return the true log p(y | x), (N,); -inf where y is impossible.

    Args:
        X: Inputs, (N, 1).
        y: Targets, (N,).
        noise: Half the width of the uniform noise on x.
    """
    x, y = np.asarray(X, dtype=np.float64)[:, 0], np.asarray(y, dtype=np.float64)
    possible = (np.abs(x - _forward(y)) <= noise) & (y >= 0) & (y <= 1)
    length = sum(_overlap(x, noise, low, high) for low, high in _PIECES)
    with np.errstate(divide="ignore"):
        return np.where(possible, -np.log(length), -np.inf)


def _forward(y: NDArray[np.float64]) -> NDArray[np.float64]:
    return y + 0.3 * np.sin(2 * np.pi * y)


def _overlap(x: NDArray[np.float64], noise: float, low: float, high: float) -> NDArray[np.float64]:
    """Return the length of {y in [low, high]: |x - f(y)| <= noise}, where f is monotone."""
    ends = [_invert(x + offset, low, high) for offset in (-noise, noise)]
    return np.abs(ends[1] - ends[0])


def _invert(value: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Return y in [low, high] with f(y) = value, or the nearer end where there is none."""
    rising = _forward(np.array(high)) > _forward(np.array(low))
    below, above = np.full_like(value, low), np.full_like(value, high)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (below + above)
        too_low = (_forward(middle) < value) == rising
        below, above = np.where(too_low, middle, below), np.where(too_low, above, middle)
    return 0.5 * (below + above)
