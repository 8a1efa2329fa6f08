"""scikit-learn's Gaussian process, for small tables."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Kernel, WhiteKernel
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Mixture
from manymodes.estimators.baselines.base import StandardisedBaseline, mixture_of

_CHUNK = 2000  # rows predicted at a time: each is compared with all training rows


class GaussianProcess(StandardisedBaseline):
    r"""A Gaussian process with one length scale per feature and constant noise: one normal for each row.

    .. math:: k(x, x') = a^2 \exp\Big(-\tfrac12 \sum_f (x_f - x'_f)^2 / l_f^2\Big) + s^2 1\{x = x'\}

    The parameters maximise the marginal likelihood of all training rows, which costs time cubic in their number.
    Several targets are independent, each with parameters of its own.

    Args:
        max_rows: Most training rows that are accepted.
        min_scale: Smallest scale of the noise, as a share of the target's standard deviation.

    Attributes:
        processes_: scikit-learn's fitted estimators, one per target, of standardised features and targets.

    References:
        Rasmussen and Williams (2006), Gaussian processes for machine learning, algorithm 2.1.
    """

    def __init__(self, *, max_rows: int = 2000, min_scale: float = 1e-3) -> None:
        self.max_rows = max_rows
        self.min_scale = min_scale

    def _learn_scaled(self, x: Tensor, y: Tensor) -> None:
        max_rows = _checks.integer_at_least("max_rows", self.max_rows, 2)
        if len(x) > max_rows:
            raise _checks.InputError(
                f"GaussianProcess takes at most {max_rows} rows, since its time is cubic in them; got {len(x)}. "
                "Take fewer, or raise max_rows."
            )
        self.processes_ = [
            _fitted(_kernel(x.shape[1], least), x, column)
            for least, column in zip(self.min_scale_.tolist(), y.unbind(1), strict=True)
        ]

    def _scaled_density(self, x: Tensor) -> Mixture:
        columns = [torch.cat([_moments(process, part) for part in x.split(_CHUNK)]) for process in self.processes_]
        moments = torch.stack(columns, -1)  # (N, 2, D)
        return mixture_of(moments[:, :1], moments[:, 1:])


def _kernel(n_features: int, least_noise: float) -> Kernel:
    least = least_noise**2
    size = np.full(n_features, n_features**0.5)  # about the distance between two rows
    smooth = ConstantKernel(1.0, (1e-2, 1e3)) * RBF(size, (1e-2, 1e4))
    return smooth + WhiteKernel(max(0.1, least), (least, max(2.0, 2 * least)))


def _fitted(kernel: Kernel, x: Tensor, y: Tensor) -> GaussianProcessRegressor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a length scale at its bound: the feature says nothing
        return GaussianProcessRegressor(kernel).fit(x.numpy(), y.numpy())


def _moments(process: GaussianProcessRegressor, x: Tensor) -> Tensor:
    """Return the mean and standard deviation of a target, noise included, (N, 2)."""
    return torch.as_tensor(np.stack(process.predict(x.numpy(), return_std=True), -1))
