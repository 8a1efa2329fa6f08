"""A noisy ring: two answers above and below, seen from inside its width; one from outside."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from manymodes import _checks
from manymodes.datasets.known_density import known_density
from manymodes.datasets.truth import Simulated, Truth, simulated
from manymodes.distributions import Mixture

_RADIUS = 4.0
_NEAREST = 1e-12  # to the centre: there the density of y has a pole that holds everything
_REACH = 42.0  # of y: beyond, nothing is left
_EVEN, _STEPS = 24, 32  # panels to each side: of the same width, and of one that grows from the centre


def make_ring(n_rows: int = 1000, *, return_density: bool = False, random_state: int | None = None) -> Simulated:
    r"""Return simulated inputs X (N, 1) and targets y (N,): a point on a noisy ring is seen from below.

    The radius is r ~ N(4, 1), the angle uniform; x = r cos(angle), y = r sin(angle). Opposite radii at opposite angles
    are one place, so that

    .. math:: p(y \mid x) \propto \frac{\varphi(\rho - 4) + \varphi(\rho + 4)}{\rho}, \qquad \rho = \sqrt{x^2 + y^2} .

    For ``|x| < 3`` or so two answers are likely. As x vanishes, a third mode rises at y = 0, narrow and light: it holds
    1 % at x = 1e-6. Inputs nearer to 0 than 1e-12 are taken as that far.

    Args:
        n_rows: Number of rows, N.
        return_density: Whether the true conditional density is returned too.
        random_state: Seed; None draws a fresh one.

    Raises:
        ValueError: No rows.

    References:
        Rothfuss, Ferreira, Walther and Ulrich (2019), Conditional density estimation with neural networks: best
        practices and benchmarks, arXiv 1903.00954 (their repository's toy data).
    """
    n_rows = _checks.integer_at_least("n_rows", n_rows, 1)
    rng = np.random.default_rng(random_state)
    radius, angle = rng.normal(_RADIUS, 1.0, n_rows), rng.uniform(-np.pi, np.pi, n_rows)
    X, y = (radius * np.cos(angle))[:, None], radius * np.sin(angle)
    return simulated(X, y, Truth(1, _density), return_density)


def _density(x: Tensor) -> Mixture:
    width = x.abs().clamp_min(_NEAREST)
    even = torch.linspace(0, _RADIUS + 8, _EVEN + 1, dtype=x.dtype).expand(len(x), -1)
    steps = torch.linspace(0, 1, _STEPS + 1, dtype=x.dtype) * torch.asinh(_REACH / width)
    upper = torch.cat([even, width * torch.sinh(steps)], -1)
    return known_density(_log_density, width, torch.cat([-upper, upper], -1))


def _log_density(y: Tensor, width: Tensor) -> Tensor:
    distance = torch.hypot(width, y)
    log_normals = torch.logaddexp(-0.5 * (distance - _RADIUS).square(), -0.5 * (distance + _RADIUS).square())
    return log_normals - 0.5 * math.log(2 * math.pi) - distance.log()
