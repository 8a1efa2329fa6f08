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
from manymodes.distributions import Mixture, Normal, joined
from manymodes.estimators.inputs import read_features
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

    def predict_distribution(self, X: Any) -> Mixture:
        """Return p(y | x) for features (N, F): a torch distribution in float64, (N,) of events (D,).

        It holds the parameters of all rows; ``iter_distributions`` holds those of a batch.

        Raises:
            ValueError: Features that do not fit, or so far from the training data that a network overflows.
        """
        return joined(list(self.iter_distributions(X)))

    def iter_distributions(self, X: Any, *, batch_size: int = 1024, first_row: int = 0) -> Iterator[Mixture]:
        """Yield p(y | x) for so many rows at a time, in their order: large tables need little memory then.

        Args:
            X: Features, (N, F).
            batch_size: Rows at a time.
            first_row: Number of the first row, counted from 0, for messages.

        Raises:
            ValueError: As ``predict_distribution``.
        """
        batch_size = _checks.integer_at_least("batch_size", batch_size, 1)
        features = read_features(self, X)
        for first in range(0, max(1, len(features)), batch_size):
            yield self._rows_density(features[first : first + batch_size], first_row + first)

    @abstractmethod
    def _density(self, x: Tensor) -> Mixture:
        """Return p(y | x) for features (N, F), in the units of y."""

    def predict(self, X: Any, *, point: str = "mean") -> Floats:
        """Return point predictions, (N,), or (N, D) where y had two axes.

        Args:
            X: Features, (N, F).
            point: ``"mean"``, ``"median"`` (of each dimension) or ``"mode"`` (the highest, of the joint density, or an
                atom that holds more than that).

        Raises:
            ValueError: Features that do not fit, or another ``point``.
        """
        return self._each(X, _checks.one_of("point", point, _POINTS))

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
        asked = torch.tensor(wanted, dtype=torch.float64)[:, None, None]
        return self._each(X, lambda distribution: distribution.icdf(asked).movedim(0, -1), after=1)

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
        return self._each(X, lambda distribution: distribution.sample((n_samples,), generator=generator), before=1)

    def _each(self, X: Any, answer: Callable[[Mixture], Tensor], *, before: int = 0, after: int = 0) -> Floats:
        """Return answers for all rows, batch by batch, as an array; the axis of targets goes where y had none.

        Args:
            X: Features, (N, F).
            answer: What to ask each batch, (..., N, D, ...).
            before: Axes before that of the rows.
            after: Axes after that of the targets.
        """
        array: Floats = torch.cat([answer(part) for part in self.iter_distributions(X)], before).numpy()
        return array.squeeze(-1 - after) if self.target_ndim_ == 1 else array

    @torch.no_grad()
    def _rows_density(self, features: Floats, first_row: int) -> Mixture:
        return checked(self._density(as_tensor(features)), first_row=first_row)

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


def checked(mixture: Mixture, *, first_row: int = 0) -> Mixture:
    """Return a prediction, on the CPU, that refuses NaN targets.

    Args:
        mixture: The prediction.
        first_row: Number of its first row among those of the user.

    Raises:
        ValueError: Rows so far from the training data that the network overflowed.
    """
    mixture = mixture.to("cpu")
    mean, variance = mixture.components.mean, mixture.components.variance
    heavy = not isinstance(mixture.components, Normal)  # a variance may well be infinite, of a Student's t, say
    legal = mean.isfinite() & (variance.isfinite() | (heavy & variance.isinf()))
    known = mixture.logits.isfinite().all(-1) & legal.flatten(-2).all(-1)
    if not bool(known.all()):
        row = _checks.row(first_row + int((~known).nonzero()[0]))
        raise _checks.InputError(f"X must stay near the training data; {row} is too extreme for the network.")
    return Mixture(mixture.mixture_distribution, mixture.components, validate_args=True)


def as_tensor(array: Floats) -> Tensor:
    """Return a copy as a tensor; torch cannot share arrays that are read-only or run backwards."""
    return torch.tensor(np.ascontiguousarray(array))


def as_seed(random_state: Any) -> int | None:
    """Return the seed that scikit-learn's ``random_state`` stands for; None stands for a fresh one."""
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    return None if random_state is None else _checks.random_state(random_state)
