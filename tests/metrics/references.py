"""References that scores are compared with: SciPy's cdfs, integrated by Gauss and Legendre's rule."""

import numpy as np
import torch
from torch.distributions import Categorical

from manymodes.distributions import Component, Mixture

NODES, SHARES = np.polynomial.legendre.leggauss(40)
LEVELS = np.concatenate([10.0 ** np.arange(-40, -1, 0.5), np.arange(0.05, 0.5, 0.05)])
DOUBLE = {"dtype": torch.float64}


def alone(components: Component) -> Mixture:
    """Return mixtures of one component each, (N K, 1)."""
    size = components.batch_shape.numel()
    rows = components.transformed(lambda value: value.reshape(size, 1, value.shape[-1]))
    return Mixture(Categorical(torch.ones(size, 1, **DOUBLE)), rows)


def column(*values: float) -> torch.Tensor:
    """Numbers for one row, (1, K, 1)."""
    return torch.tensor(values, **DOUBLE).reshape(1, -1, 1)


def mixed(components: Component, *weights: float) -> Mixture:
    """Return one prediction, (1,)."""
    return Mixture(Categorical(torch.tensor([weights or (1.0,)], **DOUBLE)), components)


def at(y: float) -> torch.Tensor:
    return torch.tensor([[y]], **DOUBLE)


def knots(*parts) -> np.ndarray:
    """Return quantiles of distributions of SciPy's, far into both tails."""
    return np.concatenate([f(LEVELS) for rv in parts for f in (rv.ppf, rv.isf)] + [[rv.ppf(0.5)] for rv in parts])


def integral(f, edges) -> float:
    """Integrate a function of (panels, nodes) between edges, in any order."""
    edges = np.unique(np.asarray(edges)[np.isfinite(edges)])
    half = np.diff(edges)[:, None] / 2
    places = edges[:-1, None] + half * (1 + NODES)
    return float((half * SHARES * f(places)).sum())


def cdf_distance(cdf, sf, edges, y, *, below=np.square, above=np.square, weight=np.ones_like, low=-np.inf, high=np.inf):
    """Integrate V0(F) below y and V1(S) above it, between edges and from ``low`` to ``high``."""
    y, edges = np.clip(y, low, high), np.clip(np.append(edges, y), low, high)
    return integral(lambda z: weight(z) * below(cdf(z)), edges[edges <= y]) + integral(
        lambda z: weight(z) * above(sf(z)), edges[edges >= y]
    )
