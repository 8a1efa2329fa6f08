"""Inputs and targets of one mixture of normals: the weights of its components depend on the inputs."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Categorical

from manymodes import _checks
from manymodes.datasets.truth import Floats, Simulated, Truth, simulated
from manymodes.distributions import FullNormal, Mixture

_SEED, _MEANS_STD = 20, 1.5  # of the simulation as published


def make_gaussian_mixture(
    n_rows: int = 1000,
    *,
    n_components: int = 5,
    n_features: int = 1,
    n_targets: int = 1,
    return_density: bool = False,
    random_state: int | None = None,
) -> Simulated:
    r"""Return simulated inputs X (N, F) and targets y, (N,) of one target, (N, D) of several.

    .. math:: p(x, y) = \sum_k w_k N(x; m_k, S_k)\, N(y; n_k, T_k)

    so that p(y | x) is a mixture of the same normals, with weights in proportion to w_k N(x; m_k, S_k). The parameters
    are drawn once and for all, the same for every seed of the rows.

    Args:
        n_rows: Number of rows, N.
        n_components: Number of components, K.
        n_features: Number of inputs, F.
        n_targets: Number of targets, D.
        return_density: Whether the true conditional density is returned too.
        random_state: Seed of the rows; None draws a fresh one.

    Raises:
        ValueError: A number that is not >= 1.

    References:
        Rothfuss, Ferreira, Walther and Ulrich (2019), Conditional density estimation with neural networks: best
        practices and benchmarks, arXiv 1903.00954.
    """
    n_rows = _checks.integer_at_least("n_rows", n_rows, 1)
    n_features = _checks.integer_at_least("n_features", n_features, 1)
    parts = _parts(
        _checks.integer_at_least("n_components", n_components, 1),
        n_features,
        _checks.integer_at_least("n_targets", n_targets, 1),
    )
    rng = np.random.default_rng(random_state)
    component = rng.choice(len(parts.weights), n_rows, p=parts.weights)
    noise = rng.standard_normal((n_rows, 1, parts.means.shape[1]))
    rows = parts.means[component] + (noise @ parts.factors[component])[:, 0]
    X, y = rows[:, :n_features], rows[:, n_features:]
    truth = Truth(n_features, partial(_given, parts=parts))
    return simulated(X, y[:, 0] if n_targets == 1 else y, truth, return_density)


class _Parts(NamedTuple):
    """A joint mixture: weights (K,), means (K, F + D), and factors A of covariances A^T A, (K, F + D, F + D)."""

    weights: Floats
    means: Floats
    factors: Floats


def _parts(n_components: int, n_features: int, n_targets: int) -> _Parts:
    # The legacy generator, in this order: the published parameters are those of its seed.
    rng = np.random.RandomState(_SEED)
    weights = rng.uniform(0, 1, n_components)
    means = rng.normal(0, _MEANS_STD, (n_components, n_features + n_targets))
    factors = np.zeros((n_components, n_features + n_targets, n_features + n_targets))
    factors[:, :n_features, :n_features] = np.abs(rng.normal(1, 0.5, (n_components, n_features, n_features)))
    factors[:, n_features:, n_features:] = np.abs(rng.normal(1, 0.5, (n_components, n_targets, n_targets)))
    return _Parts(weights / weights.sum(), means, factors)


def _given(X: Tensor, *, parts: _Parts) -> Mixture:
    weights, means, factors = (torch.from_numpy(part) for part in parts)
    lower = torch.linalg.cholesky(factors.mT @ factors)
    joint = Mixture(Categorical(weights), FullNormal(means, lower)).expand(torch.Size([len(X)]))
    return joint.conditional(list(range(X.shape[-1])), X)
