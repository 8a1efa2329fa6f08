"""Several targets, each by itself: what a baseline of one target can say of them."""

from __future__ import annotations

import math
from typing import Any

import torch
from sklearn.base import clone
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Mixture
from manymodes.estimators.baselines.base import Baseline, mixture_of
from manymodes.estimators.baselines.boosting import QuantileBoosting

_MOST_COMPONENTS = 4096


class IndependentTargets(Baseline):
    """A baseline fitted to each target by itself, as if they were independent given the features.

    Every combination of their components is a component of the joint density, with the product of their weights.

    Args:
        baseline: A baseline that predicts mixtures of normals; None for ``QuantileBoosting(n_levels=7)``.

    Attributes:
        baselines_: The fitted baselines, one per target.
    """

    def __init__(self, baseline: Baseline | None = None) -> None:
        self.baseline = baseline

    def _learn(self, x: Tensor, y: Tensor) -> None:
        model = QuantileBoosting(n_levels=7) if self.baseline is None else self.baseline
        _checks.instance("baseline", model, Baseline, " or None")
        self.baselines_ = [clone(model).fit(x.numpy(), column.numpy()) for column in y.T]

    def _density(self, x: Tensor) -> Mixture:
        return _together([baseline.predict_distribution(x.numpy()) for baseline in self.baselines_])


def _together(marginals: list[Mixture]) -> Mixture:
    """Return the mixture of all combinations of components of mixtures of one target each."""
    count = math.prod(mixture.logits.shape[-1] for mixture in marginals)
    if count > _MOST_COMPONENTS:
        raise _checks.InputError(
            f"baseline must predict so few components that they make at most {_MOST_COMPONENTS} combinations over "
            f"{len(marginals)} targets; got {count}."
        )
    chosen = torch.cartesian_prod(*(torch.arange(mixture.logits.shape[-1]) for mixture in marginals))
    places: Any = list(zip(marginals, chosen.reshape(count, -1).T, strict=True))
    weights = torch.stack([mixture.weights[:, k] for mixture, k in places]).prod(0)  # (N, K)
    loc = torch.cat([mixture.components.loc[:, k] for mixture, k in places], -1)  # (N, K, D)
    scale = torch.cat([mixture.components.scale[:, k] for mixture, k in places], -1)
    return mixture_of(loc, scale, weights)
