"""Targets with one answer whose place, spread and shape depend on the inputs.

All are those of Rothfuss, Ferreira, Walther and Ulrich (2019), Conditional density estimation with neural networks:
best practices and benchmarks, arXiv 1903.00954, and of the simulations in their repository. Here N(m, s) has the
standard deviation s.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Categorical

from manymodes import _checks
from manymodes.datasets.known_density import known_density
from manymodes.datasets.truth import Simulated, Truth, simulated
from manymodes.distributions import Component, DiagonalNormal, Mixture, StudentT
from manymodes.distributions.special import log_normal_cdf

_GRID = (*np.arange(0, 8, 0.5), 8, 9, 10, 12, 14, 17, 20, 24, 28, 33, 38)  # scales from the location


def make_econ(
    n_rows: int = 1000,
    *,
    heteroscedastic: bool = True,
    return_density: bool = False,
    random_state: int | None = None,
) -> Simulated:
    """Return simulated inputs X (N, 1) and targets y (N,): ``x = |N(0, 1)|`` and ``y ~ N(x^2, 1 + x)``.

    Args:
        n_rows: Number of rows, N.
        heteroscedastic: Whether the standard deviation grows with x; otherwise it is 1.
        return_density: Whether the true conditional density is returned too, for inputs >= 0.
        random_state: Seed; None draws a fresh one.

    Raises:
        ValueError: No rows.
    """
    n_rows = _checks.integer_at_least("n_rows", n_rows, 1)
    grows = float(_checks.boolean("heteroscedastic", heteroscedastic))
    rng = np.random.default_rng(random_state)
    x = np.abs(rng.standard_normal((n_rows, 1)))
    y = x[:, 0] ** 2 + (1 + grows * x[:, 0]) * rng.standard_normal(n_rows)
    return simulated(x, y, Truth(1, partial(_econ, grows=grows)), return_density)


def _econ(x: Tensor, *, grows: float) -> Mixture:
    wrong = (x < 0).nonzero()
    if len(wrong):
        row = int(wrong[0, 0])
        raise _checks.InputError(f"X must hold numbers >= 0; got {x[row].item():g} in {_checks.row(row)}.")
    return _alone(DiagonalNormal(x.square().unsqueeze(-1), (1 + grows * x).unsqueeze(-1)))


def make_skew_normal(n_rows: int = 1000, *, return_density: bool = False, random_state: int | None = None) -> Simulated:
    r"""Return simulated inputs X (N, 1) and targets y (N,): x ~ N(0, 0.5), and y leans to the left.

    .. math:: p(y \mid x) = \tfrac2c \varphi(z)\, \Phi(a z), \quad z = (y - 0.1 x) / c, \quad c = 0.05 + 0.1 x^2,
        \quad a = -4 + 4 / (1 + e^{-x})

    Args:
        n_rows: Number of rows, N.
        return_density: Whether the true conditional density is returned too.
        random_state: Seed; None draws a fresh one.

    Raises:
        ValueError: No rows.

    References:
        Azzalini (1985), A class of distributions which includes the normal ones, Scandinavian Journal of Statistics 12,
        also for the sum of two normal numbers that a sample is.
    """
    n_rows = _checks.integer_at_least("n_rows", n_rows, 1)
    rng = np.random.default_rng(random_state)
    x = rng.normal(0, 0.5, (n_rows, 1))
    loc, scale, shape = _skew(torch.from_numpy(x)).numpy().T
    share = shape / np.sqrt(1 + shape**2)
    first, second = rng.standard_normal((2, n_rows))
    y = loc + scale * (share * np.abs(first) + np.sqrt(1 - share**2) * second)
    return simulated(x, y, Truth(1, _skew_normal), return_density)


def _skew(x: Tensor) -> Tensor:
    """Return location, scale and shape, (N, 3)."""
    return torch.cat([0.1 * x, 0.05 + 0.1 * x.square(), 4 * torch.sigmoid(x) - 4], -1)


def _skew_normal(x: Tensor) -> Mixture:
    parameters = _skew(x)
    grid = torch.tensor([-step for step in _GRID] + list(_GRID)).to(x)
    return known_density(_log_skew_normal, parameters, parameters[:, :1] + parameters[:, 1:2] * grid)


def _log_skew_normal(y: Tensor, parameters: Tensor) -> Tensor:
    loc, scale, shape = parameters.split(1, -1)
    z = (y - loc) / scale
    log_height: Tensor = log_normal_cdf(shape * z) - 0.5 * z.square() - scale.log()
    return log_height


def make_linear_gaussian(
    n_rows: int = 1000, *, n_features: int = 1, return_density: bool = False, random_state: int | None = None
) -> Simulated:
    """Return simulated inputs X (N, F) and targets y (N,): y ~ N(0.005 b, 0.01 + 0.002 b), where b is the mean input.

    Inputs are uniform on (-1, 1).

    Args:
        n_rows: Number of rows, N.
        n_features: Number of inputs, F.
        return_density: Whether the true conditional density is returned too, for inputs whose mean is above -5.
        random_state: Seed; None draws a fresh one.

    Raises:
        ValueError: No rows or no inputs.
    """
    n_rows, n_features = _sizes(n_rows, n_features)
    rng = np.random.default_rng(random_state)
    X = rng.uniform(-1, 1, (n_rows, n_features))
    loc, scale = _linear(torch.from_numpy(X)).numpy().T
    y = loc + scale * rng.standard_normal(n_rows)
    return simulated(X, y, Truth(n_features, _linear_gaussian), return_density)


def _linear(X: Tensor) -> Tensor:
    """Return location and scale, (N, 2)."""
    mean = X.mean(-1, keepdim=True)
    return torch.cat([0.005 * mean, 0.01 + 0.002 * mean], -1)


def _linear_gaussian(X: Tensor) -> Mixture:
    loc, scale = _linear(X).split(1, -1)
    wrong = (scale <= 0).nonzero()
    if len(wrong):
        row = int(wrong[0, 0])
        raise _checks.InputError(f"X must hold inputs whose mean is > -5; {_checks.row(row)} does not.")
    return _alone(DiagonalNormal(loc.unsqueeze(-1), scale.unsqueeze(-1)))


def make_linear_student_t(
    n_rows: int = 1000, *, n_features: int = 10, return_density: bool = False, random_state: int | None = None
) -> Simulated:
    """Return simulated inputs X (N, F) and targets y (N,) whose tails are the heavier, the larger the mean input b.

    Inputs are N(0, 1); y has Student's t distribution with location 0.005 b, scale 0.01 + 0.002 times the mean absolute
    input, and 2 + 8 / (1 + exp(2 b)) degrees of freedom.

    Args:
        n_rows: Number of rows, N.
        n_features: Number of inputs, F.
        return_density: Whether the true conditional density is returned too.
        random_state: Seed; None draws a fresh one.

    Raises:
        ValueError: No rows or no inputs.
    """
    n_rows, n_features = _sizes(n_rows, n_features)
    rng = np.random.default_rng(random_state)
    X = rng.standard_normal((n_rows, n_features))
    loc, scale, df = _tails(torch.from_numpy(X)).numpy().T
    y = loc + scale * rng.standard_t(df)
    return simulated(X, y, Truth(n_features, _linear_student_t), return_density)


def _tails(X: Tensor) -> Tensor:
    """Return location, scale and degrees of freedom, (N, 3)."""
    mean, size = X.mean(-1, keepdim=True), X.abs().mean(-1, keepdim=True)
    return torch.cat([0.005 * mean, 0.01 + 0.002 * size, 2 + 8 * torch.sigmoid(-2 * mean)], -1)


def _linear_student_t(X: Tensor) -> Mixture:
    loc, scale, df = (part.unsqueeze(-1) for part in _tails(X).split(1, -1))
    return _alone(StudentT(df, loc, scale))


def _sizes(n_rows: int, n_features: int) -> tuple[int, int]:
    return _checks.integer_at_least("n_rows", n_rows, 1), _checks.integer_at_least("n_features", n_features, 1)


def _alone(component: Component) -> Mixture:
    """Return mixtures of one component, (N, 1)."""
    weights = torch.zeros(component.batch_shape, dtype=torch.float64)
    return Mixture(Categorical(logits=weights, validate_args=False), component)
