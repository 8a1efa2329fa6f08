"""What all baselines share: fitting, standardised tables, mixtures of normals, choices by held-out likelihood."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, Self, TypeVar

import torch
from sklearn.base import BaseEstimator
from torch import Tensor
from torch.distributions import Categorical

from manymodes import _checks
from manymodes.distributions import DiagonalNormal, Mixture, Normal, pool
from manymodes.estimators.predictions import DensityRegressorMixin, as_seed, as_tensor, restored_on_failure
from manymodes.estimators.tables.inputs import read_training_data
from manymodes.estimators.targets.facts import inspect_target
from manymodes.nn import Standardizer
from manymodes.training.randomness import seeded

T = TypeVar("T")

_BACKGROUND = 0.01
_FARTHEST = 1e6  # standard deviations: squares of distances stay finite, and all is equally far away out there


class Baseline(DensityRegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A simple estimator of p(y | x) with the interface of ``MDNRegressor``; abstract.

    Attributes:
        n_features_in_: Number of features.
        feature_names_in_: Their names, where X had any.
        target_names_: Names of the targets, where y had any, else None.
        target_ndim_: Number of axes that y had, 1 or 2; predictions have as many.
        n_targets_: Number of targets, D.
    """

    random_state: Any = None  # of those that draw random numbers

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the baseline.

        Args:
            X: Features, (N, F): an array, a data frame of numbers, or a mapping of names to columns.
            y: Targets, (N,) or (N, D), of the same kinds.

        Returns:
            The estimator itself.

        Raises:
            ValueError: Values that are not finite numbers, a constant target, too few or too many rows, settings
                out of range.
        """
        with restored_on_failure(self):
            features, targets = read_training_data(self, X, y)
            self._learn(as_tensor(features), as_tensor(targets.reshape(len(targets), -1)))
            self.target_ndim_ = targets.ndim
            self.n_targets_ = targets.reshape(len(targets), -1).shape[1]
        return self

    @property
    def _n_targets(self) -> int:
        return self.n_targets_

    @abstractmethod
    def _learn(self, x: Tensor, y: Tensor) -> None:
        """Learn from features (N, F) and targets (N, D)."""

    def _seed(self) -> int:
        """Return a seed, a fresh one where ``random_state`` is None."""
        return seeded(as_seed(self.random_state)).initial_seed() % 2**31


class StandardisedBaseline(Baseline):
    """A baseline that sees features and targets in standardised units, so that the user's do not matter; abstract.

    Attributes:
        input_scaling_: The map of the features; those that never varied are 0.
        target_scaling_: The map of the targets.
        min_scale_: Smallest scale of a component, (D,), in standardised units: ``min_scale``, or for a target on a
            lattice a sixth of its step, as in ``MDNRegressor``.
        spread_: Root mean square of the standardised targets, (D,).
    """

    min_scale: float

    def _learn(self, x: Tensor, y: Tensor) -> None:
        self.input_scaling_, self.target_scaling_ = Standardizer(constant_scale=math.inf), Standardizer()
        self.input_scaling_.learn(x)
        self.target_scaling_.learn(y)
        targets = self.target_scaling_(y)
        least = _checks.number_between("min_scale", self.min_scale, 0.0, 1.0)
        self.min_scale_ = torch.tensor([inspect_target(column).floor(least) for column in y.T.numpy()])
        self.spread_ = targets.square().mean(0).sqrt()
        self._learn_scaled(self._scaled(x), targets)

    def _density(self, x: Tensor) -> Mixture:
        scaling = self.target_scaling_
        return self._scaled_density(self._scaled(x)).affine(scaling.loc, scaling.scale)

    @abstractmethod
    def _learn_scaled(self, x: Tensor, y: Tensor) -> None:
        """Learn from standardised features (N, F) and targets (N, D)."""

    @abstractmethod
    def _scaled_density(self, x: Tensor) -> Mixture:
        """Return the density of standardised targets for standardised features (N, F)."""

    def _with_background(self, mixture: Mixture) -> Mixture:
        """Return a density of standardised targets with 1 % of the normal of all training targets pooled in.

        Without it a target far from a few narrow components costs without limit, and the choice of their width by
        likelihood would be about such rows only.
        """
        zeros = mixture.logits.new_zeros(*mixture.batch_shape, 1, *mixture.event_shape)
        return pool([mixture, mixture_of(zeros, self.spread_)], [1 - _BACKGROUND, _BACKGROUND])

    def _scaled(self, x: Tensor) -> Tensor:
        scaled: Tensor = self.input_scaling_(x).clamp(-_FARTHEST, _FARTHEST)
        return scaled


def mixture_of(loc: Tensor, scale: Tensor, weights: Tensor | None = None) -> Mixture:
    """Return a mixture of normals with means (N, K, D), scales that broadcast to them and weights (N, K), or equal."""
    weights = torch.ones(loc.shape[:-1], dtype=loc.dtype) if weights is None else weights
    return weighted(weights, DiagonalNormal(loc, scale.expand_as(loc), validate_args=False))


def weighted(weights: Tensor, components: Normal) -> Mixture:
    """Return the mixture of components, (N, K), with weights, (N, K) or (K,), that need not sum to one."""
    weights = weights.expand(components.batch_shape)
    return Mixture(Categorical(logits=weights.log(), validate_args=False), components, validate_args=False)


def most_likely(candidates: Iterable[tuple[T, Mixture]], y: Tensor) -> T:
    """Return the settings whose predictions give targets, (N, D), the highest mean log-likelihood."""
    scored = ((float(mixture.log_prob(y).mean()), settings) for settings, mixture in candidates)
    return max(scored, key=lambda pair: pair[0])[1]


def held_out_rows(n_rows: int, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return the numbers of the rows to learn from and of those held out, at least one each, in random order."""
    order = torch.randperm(n_rows, generator=seeded(seed))
    n_held_out = min(max(1, round(share * n_rows)), n_rows - 1)
    return order[n_held_out:], order[:n_held_out]
