"""Scorers for ``scoring=`` of scikit-learn's searches and cross-validation: greater is better for all of them.

Each is called with a fitted estimator, features and targets. The estimator predicts densities itself, or is a pipeline
whose last step does, or a search over such.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self, final

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils.metadata_routing import UNUSED, _MetadataRequester
from sklearn.utils.validation import _check_sample_weight
from torch import Tensor

from manymodes import _checks, metrics
from manymodes.distributions import Incomplete, Prediction
from manymodes.estimators.predictions import DensityRegressorMixin


class DensityScorer(_MetadataRequester, ABC):  # type: ignore[misc]
    """A score of predicted densities; abstract.

    Attributes:
        takes_missing: Whether targets may be missing where the model allows it.
    """

    takes_missing: ClassVar[bool] = False

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
        scores = np.concatenate([self._of_rows(density, rows).numpy() for density, rows in self._parts(model, X, y)])
        weight = sample_weight
        if weight is not None:
            weight = _check_sample_weight(weight, scores, ensure_non_negative=True)
        return self._summary(np.average(scores, axis=0, weights=weight))

    def set_score_request(self, *, sample_weight: bool | str | None = True) -> Self:
        """Return a scorer that asks for weights, under another name if that is a text, as metadata routing wants it."""
        asking = copy.deepcopy(self)  # those of this module are everybody's
        request = asking._get_metadata_request()
        request.score.add_request(param="sample_weight", alias=sample_weight)
        asking._metadata_request = request
        return asking

    def _parts(self, model: DensityRegressorMixin, X: Any, y: Any) -> Iterator[tuple[Prediction, Tensor | Incomplete]]:
        """Yield predictions and targets, some rows at a time."""
        targets = model._scored_targets(X, y)
        if isinstance(targets, Incomplete) and not self.takes_missing:
            raise _checks.InputError(
                f"y must have no missing values for {type(self).__name__}; neg_log_score knows what they tell."
            )
        first = 0
        with torch.no_grad():
            for density in model.iter_distributions(X):
                last = first + density.batch_shape[0]
                yield density, targets[first:last]
                first = last

    @abstractmethod
    def _of_rows(self, density: Prediction, y: Any) -> Tensor:
        """Return something of each row, (N, ...), to be averaged."""

    def _summary(self, mean: Any) -> float:
        """Return the score for the average over rows."""
        return -float(mean)


@final
@dataclass(eq=False)
class NegLogScore(DensityScorer):
    """Mean of log p(y | x), in nats: minus ``metrics.log_score``.

    Models with atoms, rounding cells or counts have probabilities where others have densities: across such settings
    log scores are not comparable; take ``neg_energy_score``.
    """

    takes_missing: ClassVar[bool] = True

    def _of_rows(self, density: Prediction, y: Any) -> Tensor:
        return metrics.log_score(density, y)


@final
@dataclass(eq=False)
class NegCRPS(DensityScorer):
    """Minus the mean ``metrics.crps``, in the units of y, summed over targets."""

    def _of_rows(self, density: Prediction, y: Any) -> Tensor:
        return metrics.crps(density, y)


@final
@dataclass(eq=False)
class NegEnergyScore(DensityScorer):
    """Minus the mean ``metrics.energy_score``: distances in the units of y, so those of several targets should agree.

    Attributes:
        n_samples: Samples of each prediction.
    """

    n_samples: int = 200

    def _of_rows(self, density: Prediction, y: Any) -> Tensor:
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

    def _of_rows(self, density: Prediction, y: Any) -> Tensor:
        return metrics.coverage(density, y, self.level)

    def _summary(self, mean: Any) -> float:
        return -float(np.abs(mean - self.level).mean())


neg_log_score = NegLogScore()
neg_crps = NegCRPS()
neg_energy_score = NegEnergyScore()
coverage_error = CoverageError()


def _model_and_features(estimator: Any, X: Any) -> tuple[DensityRegressorMixin, Any]:
    """Return who predicts densities, and the features as they reach it."""
    from sklearn.pipeline import Pipeline  # which draws random numbers when it is imported

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
