"""Processes in time, observed step after step: the present is the input, what comes next the target.

Both are those of Rothfuss, Ferreira, Walther and Ulrich (2019), Conditional density estimation with neural networks:
best practices and benchmarks, arXiv 1903.00954, and of the simulations in their repository.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Categorical

from manymodes import _checks
from manymodes.datasets.truth import Floats, Simulated, Truth, simulated
from manymodes.distributions import DiagonalNormal, Mixture

_LEVEL, _MEMORY, _SHOCK, _JUMPS = 0.1, 0.9, 0.05, 0.05  # of the process that jumps
_BURN_IN = 100
_DAY = 1 / 252  # of a year of trading
_CORRELATION = -0.353  # of the shocks of price and variance


def make_arma_jump(n_rows: int = 1000, *, return_density: bool = False, random_state: int | None = None) -> Simulated:
    r"""Return the states X (N, 1) of a process that sometimes jumps down, and the next ones, y (N,), in order of time.

    .. math:: p(y \mid x) = 0.95\, N(y; m, 0.05) + 0.05\, N(y; m - 0.3, 0.1), \qquad m = 0.01 + 0.9 x

    with standard deviations. Consecutive rows overlap: y of one is x of the next.

    Args:
        n_rows: Number of rows, N.
        return_density: Whether the true conditional density is returned too.
        random_state: Seed; None draws a fresh one.

    Raises:
        ValueError: No rows.
    """
    n_rows = _checks.integer_at_least("n_rows", n_rows, 1)
    rng = np.random.default_rng(random_state)
    n_steps = n_rows + _BURN_IN
    jumps = rng.uniform(size=n_steps) < _JUMPS
    change = np.where(jumps, -3 * _LEVEL, 0.0) + _SHOCK * np.where(jumps, 2, 1) * rng.standard_normal(n_steps)
    path = [0.0]
    for step in change:
        path.append(_LEVEL * (1 - _MEMORY) + _MEMORY * path[-1] + step)
    z = np.array(path[_BURN_IN:])
    return simulated(z[:-1, None], z[1:], Truth(1, _jumps_or_not), return_density)


def _jumps_or_not(x: Tensor) -> Mixture:
    middle = _LEVEL * (1 - _MEMORY) + _MEMORY * x
    loc = torch.stack([middle, middle - 3 * _LEVEL], -2)  # (N, 2, 1)
    scale = torch.tensor([[_SHOCK], [2 * _SHOCK]], dtype=x.dtype).expand_as(loc)
    weights = torch.tensor([1 - _JUMPS, _JUMPS], dtype=x.dtype).expand(len(x), 2)
    return Mixture(Categorical(weights), DiagonalNormal(loc, scale))


def make_jump_diffusion(n_rows: int = 1000, *, random_state: int | None = None) -> tuple[Floats, Floats]:
    """Return daily states X (N, 3) of a market, and its returns, y (N,), in order of time.

    The state is the variance V, its slow part L and a part P of the rate of jumps, P + 90 V + 25 L a year: square-root
    processes that move by Euler's steps, cut at 0, V with the new L. A return is normal, its shock correlated with that
    of V, with a Poisson number of jumps, all of the same normal size on one day. It has no closed
    form of the density, so none is returned.

    Args:
        n_rows: Number of rows, N.
        random_state: Seed; None draws a fresh one.

    Raises:
        ValueError: No rows.
    """
    n_rows = _checks.integer_at_least("n_rows", n_rows, 1)
    rng = np.random.default_rng(random_state)
    state, rows = (0.0365, 0.171, 0.101), []
    for _ in range(n_rows):
        after, outcome = _next_day(state, rng)
        rows.append((*state, outcome))
        state = after
    table = np.array(rows)
    return table[:, :3], table[:, 3]


def _next_day(state: tuple[float, float, float], rng: np.random.Generator) -> tuple[tuple[float, float, float], float]:
    """Return the state of the next day, and the return until then."""
    variance, slow, part = state
    rate = part + 90 * variance + 25 * slow
    part_shock, slow_shock, variance_shock, price_shock = rng.standard_normal(4)
    part = max(0.0, part + 0.662 * (0.101 - part) * _DAY + 0.204 * np.sqrt(part * _DAY) * part_shock)
    slow = max(0.0, slow + 2.353 * (0.171 - slow) * _DAY + 0.158 * np.sqrt(slow * _DAY) * slow_shock)
    pull = (3.011 * (0.0365 - variance) + 0.4 * 2.353 * (0.171 - slow)) * _DAY
    noise = 0.346 * np.sqrt(variance * _DAY) * variance_shock + 0.4 * 0.158 * np.sqrt(slow * _DAY) * slow_shock
    variance = max(0.0, variance + pull + noise)
    growth = -0.5 * variance + 1.554 * np.sqrt(variance) - np.expm1(-0.037 + 0.031**2 / 2) * rate
    shock = np.sqrt(1 - _CORRELATION**2) * price_shock + _CORRELATION * variance_shock
    jumps = rng.normal(-0.037, 0.031) * rng.poisson(rate * _DAY)
    return (variance, slow, part), growth * _DAY + np.sqrt(variance * _DAY) * shock + jumps
