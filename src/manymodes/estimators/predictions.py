"""What every estimator of densities shares: all its answers are read off the one distribution that it predicts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Mixture, Normal
from manymodes.estimators.tables import Floats
from manymodes.training.randomness import seeded

_POINTS: Mapping[str, Callable[[Mixture], Tensor]] = {
    "mean": lambda distribution: distribution.mean,
    "median": lambda distribution: distribution.median,
    "mode": lambda distribution: distribution.mode,
}


class DensityRegressorMixin(RegressorMixin, ABC):  # type: ignore[misc]
    """Points, quantiles, intervals, samples and R^2 of a regressor that predicts distributions; abstract.

    Attributes:
        target_ndim_: Number of axes that y had, 1 or 2; predictions have as many.
    """

    target_ndim_: int

    @abstractmethod
    def predict_distribution(self, X: Any) -> Mixture:
        """Return p(y | x) for features (N, F): a torch distribution in float64, (N,) of events (D,)."""

    def predict(self, X: Any, *, point: str = "mean") -> Floats:
        """Return point predictions, (N,), or (N, D) where y had two axes.

        Args:
            X: Features, (N, F).
            point: ``"mean"``, ``"median"`` (of each dimension) or ``"mode"`` (the highest, of the joint
                density).

        Raises:
            ValueError: Features that do not fit, or another ``point``.
        """
        choose = _checks.one_of("point", point, _POINTS)
        return self._as_target(choose(self.predict_distribution(X)))

    def predict_quantiles(self, X: Any, levels: float | Sequence[float] = (0.05, 0.5, 0.95)) -> Floats:
        """Return quantiles, (N, Q), or (N, D, Q) where y had two axes.

        Args:
            X: Features, (N, F).
            levels: One level or Q of them, from 0 to 1.

        Raises:
            ValueError: A level outside [0, 1].
        """
        wanted = [
            _checks.number_between("every level", level, 0.0, 1.0, including=(0.0, 1.0))
            for level in np.atleast_1d(np.asarray(levels)).tolist()
        ]
        quantiles = self.predict_distribution(X).icdf(torch.tensor(wanted, dtype=torch.float64)[:, None, None])
        return np.moveaxis(self._as_target(quantiles), 0, -1)

    def predict_interval(self, X: Any, level: float = 0.9) -> Floats:
        """Return the central interval, lower and upper end, (N, 2), or (N, D, 2) where y had two axes.

        Args:
            X: Features, (N, F).
            level: Probability that the interval holds, in (0, 1).

        Raises:
            ValueError: A level outside (0, 1).
        """
        level = _checks.number_between("level", level, 0.0, 1.0)
        return self.predict_quantiles(X, (0.5 - level / 2, 0.5 + level / 2))

    def sample(self, X: Any, n_samples: int = 1, *, random_state: int | np.random.RandomState | None = None) -> Floats:
        """Return draws from each row's density, (S, N), or (S, N, D) where y had two axes.

        Args:
            X: Features, (N, F).
            n_samples: Number of draws for each row, S.
            random_state: Seed of the draws; None draws a fresh one.

        Raises:
            ValueError: ``n_samples`` below 1.
        """
        n_samples = _checks.integer_at_least("n_samples", n_samples, 1)
        generator = seeded(as_seed(random_state))
        return self._as_target(self.predict_distribution(X).sample((n_samples,), generator=generator))

    def _as_target(self, values: Tensor) -> Floats:
        """Turn (..., D) into an array of the shape that y had."""
        array: Floats = values.cpu().numpy()
        return array[..., 0] if self.target_ndim_ == 1 else array

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


@contextmanager
def restored_on_failure(estimator: BaseEstimator) -> Iterator[None]:
    """Leave a fitted estimator as it was where a new fit fails."""
    before = estimator.__dict__.copy()
    try:
        yield
    except BaseException:
        estimator.__dict__ = before
        raise


def checked(mixture: Mixture) -> Mixture:
    """Return a prediction, on the CPU, that refuses NaN targets.

    Raises:
        ValueError: Rows so far from the training data that the network overflowed.
    """
    mixture = mixture.to("cpu")
    mean, variance = mixture.components.mean, mixture.components.variance
    heavy = not isinstance(mixture.components, Normal)  # a variance may well be infinite, of a Student's t, say
    legal = mean.isfinite() & (variance.isfinite() | (heavy & variance.isinf()))
    known = mixture.logits.isfinite().all(-1) & legal.flatten(-2).all(-1)
    if not bool(known.all()):
        raise _checks.InputError(
            f"X must stay near the training data; {_checks.row(int((~known).nonzero()[0]))} is too extreme for the "
            "network."
        )
    return Mixture(mixture.mixture_distribution, mixture.components, validate_args=True)


def as_tensor(array: Floats) -> Tensor:
    """Return a copy as a tensor; torch cannot share arrays that are read-only or run backwards."""
    return torch.tensor(np.ascontiguousarray(array))


def as_seed(random_state: Any) -> int | None:
    """Return the seed that scikit-learn's ``random_state`` stands for; None stands for a fresh one."""
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    return None if random_state is None else _checks.random_state(random_state)
