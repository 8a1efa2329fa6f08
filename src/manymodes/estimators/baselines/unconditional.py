"""The density of the targets alone: what is known without looking at x."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor

from manymodes.distributions import DiagonalNormal, FullNormal, Mixture
from manymodes.estimators.baselines.base import StandardisedBaseline, weighted

_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24)


class UnconditionalDensity(StandardisedBaseline):
    """One mixture of normals for every x, fitted to the targets by EM; its size is chosen by BIC.

    The size is one of 1, 2, 3, 4, 6, 8, 12, 16 and 24, while there are at least two rows for each parameter; several
    targets have full covariances. Fitted to 1,000 rows of seven tables, this scored better on other rows than kernel
    densities with Silverman's or the leave-one-out bandwidth: one width does not suit skewed and repeated targets.
    Sizes by AIC or by held-out likelihood gained hundredths of a nat on some tables and lost tenths on others.

    Args:
        min_scale: Smallest scale of a component, as a share of the target's standard deviation.
        random_state: Seed of where EM starts; None draws a fresh one.

    Attributes:
        n_components_: Number of components that was chosen.
        density_: The mixture of standardised targets, ``batch_shape`` (1,).

    References:
        Dempster, Laird and Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm.
        Schwarz (1978), Estimating the dimension of a model.
    """

    def __init__(self, *, min_scale: float = 1e-3, random_state: int | np.random.RandomState | None = None) -> None:
        self.min_scale = min_scale
        self.random_state = random_state

    def _learn_scaled(self, x: Tensor, y: Tensor) -> None:
        seed, unit = self._seed(), self.min_scale_.to(y)
        targets = (y / unit).numpy()  # in units of each target's floor, which EM knows one of only
        fits = [_em(targets, size, 1.0, seed) for size in _sizes(y)]
        best = min(fits, key=lambda fit: fit.bic(targets))
        self.n_components_ = int(best.n_components)
        self.density_ = _as_mixture(best).affine(0.0, unit)

    def _scaled_density(self, x: Tensor) -> Mixture:
        return self.density_.expand(x.shape[:1])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # it does not look at x
        return tags


def _sizes(y: Tensor) -> list[int]:
    """Return the numbers of components that so many rows and different targets, (N, D), can bear."""
    n_rows, dim = y.shape
    n_parameters = 1 + dim + dim * (dim + 1) // 2
    largest = max(1, min(n_rows // (2 * n_parameters), len(y.unique(dim=0))))
    return [size for size in _SIZES if size <= largest]


def _em(targets: np.ndarray[Any, Any], size: int, floor: float, seed: int) -> GaussianMixture:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # BIC judges what has not converged, too
        return GaussianMixture(size, reg_covar=floor, max_iter=200, random_state=seed).fit(targets)


def _as_mixture(fit: GaussianMixture) -> Mixture:
    loc, covariance, weights = (torch.as_tensor(part)[None] for part in (fit.means_, fit.covariances_, fit.weights_))
    if loc.shape[-1] == 1:
        return weighted(weights, DiagonalNormal(loc, covariance[..., 0].sqrt()))
    return weighted(weights, FullNormal(loc, torch.linalg.cholesky(covariance)))
