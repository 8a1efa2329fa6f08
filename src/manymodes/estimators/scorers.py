"""Scorers for ``scoring=`` of scikit-learn's searches and cross-validation: greater is better for all of them.

Each is called with a fitted estimator, features and targets. The estimator predicts densities itself, or is a pipeline
whose last step does, or a search over such.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import UNUSED, _MetadataRequester
from sklearn.utils.validation import _check_sample_weight
from torch import Tensor

from manymodes import metrics
from manymodes.distributions import Incomplete, Mixture
from manymodes.estimators.predictions import DensityRegressorMixin


class DensityScorer(_MetadataRequester, ABC):  # type: ignore[misc]
    """A score of predicted densities; abstract."""

    __metadata_request__score = {"estimator": UNUSED}  # noqa: RUF012  # set_score_request may ask for weights alone

    def __call__(self, estimator: Any, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return ``score``."""
        return self.score(estimator, X, y, sample_weight)

    def score(self, estimator: Any, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the mean score of rows, weighted if weights, (N,), are given.

        Raises:
            TypeError: An estimator that predicts no densities.
        """
        model, X = _model_and_features(estimator, X)
        scores = np.concatenate([self._of_rows(density, rows).numpy() for density, rows in _parts(model, X, y)])
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, scores)
        return self._summary(np.average(scores, axis=0, weights=weight))

    @abstractmethod
    def _of_rows(self, density: Mixture, y: Any) -> Tensor:
        """Return something of each row, (N, ...), to be averaged."""

    def _summary(self, mean: Any) -> float:
        """Return the score for the average over rows."""
        return -float(mean)


@final
@dataclass(eq=False)
class NegLogScore(DensityScorer):
    """Mean of log p(y | x), in nats: minus ``metrics.log_score``."""

    def _of_rows(self, density: Mixture, y: Any) -> Tensor:
        return metrics.log_score(density, y)


@final
@dataclass(eq=False)
class NegCRPS(DensityScorer):
    """Minus the mean ``metrics.crps``, in the units of y, summed over targets."""

    def _of_rows(self, density: Mixture, y: Any) -> Tensor:
        return metrics.crps(density, y)


@final
@dataclass(eq=False)
class NegEnergyScore(DensityScorer):
    """Minus the mean ``metrics.energy_score``: distances in the units of y, so those of several targets should agree.

    Attributes:
        n_samples: Samples of each prediction.
    """

    n_samples: int = 200

    def _of_rows(self, density: Mixture, y: Any) -> Tensor:
        return metrics.energy_score(density, y, n_samples=self.n_samples)


@final
@dataclass(eq=False)
class CoverageError(DensityScorer):
    """Minus the distance between the coverage of central intervals and their level, averaged over targets.

    It is 0 where coverage is exact, and negative elsewhere, since greater must be better in a search. It knows
    nothing of sharpness: use it beside a proper score.

    Attributes:
        level: Probability that the intervals should hold.
    """

    level: float = 0.9

    def _of_rows(self, density: Mixture, y: Any) -> Tensor:
        return metrics.coverage(density, y, self.level)

    def _summary(self, mean: Any) -> float:
        return -float(np.abs(mean - self.level).mean())


neg_log_score = NegLogScore()
neg_crps = NegCRPS()
neg_energy_score = NegEnergyScore()
coverage_error = CoverageError()


def _model_and_features(estimator: Any, X: Any) -> tuple[DensityRegressorMixin, Any]:
    """Return who predicts densities, and the features as they reach it."""
    while not isinstance(estimator, DensityRegressorMixin):
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, Pipeline):
            X = estimator[:-1].transform(X) if len(estimator) > 1 else X
            estimator = estimator[-1]
        else:
            raise TypeError(
                "estimator must predict densities, as MDNRegressor does, or be a pipeline that ends with such a one; "
                f"got {type(estimator).__name__}."
            )
    return estimator, X


def _parts(model: DensityRegressorMixin, X: Any, y: Any) -> Iterator[tuple[Mixture, Tensor | Incomplete]]:
    """Yield predictions and targets, some rows at a time."""
    targets = model._scored_targets(X, y)
    first = 0
    with torch.no_grad():
        for density in model.iter_distributions(X):
            last = first + density.batch_shape[0]
            yield density, targets[first:last]
            first = last
