"""What every estimator of densities shares: all its answers are read off the one distribution that it predicts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted
from torch import Tensor

from manymodes import _checks
from manymodes.calibration import ConformalSets, fit_conformal
from manymodes.distributions import Incomplete, Mixture, Modes, Normal, Prediction, Region, joined, medoid
from manymodes.distributions.together import parameters
from manymodes.estimators.interval_ends import interval_ends
from manymodes.estimators.judged_rows import held_out_predictions
from manymodes.estimators.prediction_columns import component_columns, prediction_columns
from manymodes.estimators.tables.frames import like, n_rows, take_rows
from manymodes.estimators.tables.inputs import Features, read_features, steps_of
from manymodes.estimators.tables.numbers import Floats
from manymodes.estimators.targets.known import Targets, read_targets, refuse_unvaried
from manymodes.nn.inputs import Inputs
from manymodes.training.randomness import seeded

_POINTS: Mapping[str, Callable[[Prediction], Tensor]] = {
    "mean": lambda distribution: distribution.mean,
    "median": lambda distribution: distribution.icdf_around_mean(0.5),
    "mode": lambda distribution: distribution.mode,
    "medoid": medoid,
}


class DensityRegressorMixin(RegressorMixin, ABC):  # type: ignore[misc]
    """Points, quantiles, intervals, samples and R^2 of a regressor that predicts distributions; abstract.

    Attributes:
        target_ndim_: Number of axes that y had, 1 or 2, or 3 with targets at every step; predictions have as many.
        target_names_: Names of the targets, where y had any, else None.
    """

    target_ndim_: int
    target_names_: list[str] | None

    def predict_distribution(self, X: Any) -> Prediction:
        """Return p(y | x) for features (N, F): a torch distribution in float64, (N,) of events (D,).

        It holds the parameters of all rows; ``iter_distributions`` holds those of a batch.

        Raises:
            ValueError: Features that do not fit, or so far from the training data that a network overflows.
        """
        return joined(list(self.iter_distributions(X)))

    def iter_distributions(self, X: Any, *, batch_size: int = 1024, first_row: int = 0) -> Iterator[Prediction]:
        """Yield p(y | x) for so many rows at a time, in their order: large tables need little memory then.

        Args:
            X: Features, (N, F).
            batch_size: Rows at a time.
            first_row: Number of the first row, counted from 0, for messages.

        Raises:
            ValueError: As ``predict_distribution``.
        """
        batch_size = _checks.integer_at_least("batch_size", batch_size, 1)
        batches = self._open(X, first_row).batches(batch_size)
        for number, x in enumerate(batches):
            yield self._rows_density(x, first_row + number * batch_size)

    def _open(self, X: Any, first_row: int) -> Features:
        """Return features whose names and number are those of the fit; messages count rows from ``first_row`` on."""
        values = read_features(self, X)
        return Features(len(values), lambda first, last: as_tensor(values[first:last]))

    @property
    @abstractmethod
    def _n_targets(self) -> int:
        """Number of targets, D."""

    @abstractmethod
    def _density(self, x: Any) -> Prediction:
        """Return p(y | x) for features (N, F), in the units of y."""

    def predict(self, X: Any, *, point: str = "mean") -> Floats:
        """Return point predictions, (N,), or (N, D) where y had two axes.

        Args:
            X: Features, (N, F).
            point: ``"mean"``, ``"median"`` (of each dimension), ``"mode"`` (the highest, of the joint density, or an
                atom that holds more than that) or ``"medoid"`` (the mode nearest to all modes, see
                ``distributions.medoid``): the last two are answers that do happen.

        Raises:
            ValueError: Features that do not fit, or another ``point``.
        """
        asked = _checks.one_of("point", point, _POINTS)
        return self._each(X, lambda part, _: asked(part))

    def predict_quantiles(self, X: Any, levels: float | Sequence[float] = (0.05, 0.5, 0.95)) -> Floats:
        """Return quantiles, (N, Q), or (N, D, Q) where y had two axes; of angles, see ``icdf_around_mean``.

        Args:
            X: Features, (N, F).
            levels: One level or Q of them, from 0 to 1.

        Raises:
            ValueError: A level outside [0, 1].
        """
        wanted = [_level(level) for level in np.atleast_1d(np.asarray(levels)).tolist()]
        asked = torch.tensor(wanted, dtype=torch.float64)
        return self._each(
            X,
            lambda part, _: part.icdf_around_mean(asked.reshape(-1, *(1 for _ in part.batch_shape), 1)).movedim(0, -1),
            after=1,
        )

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

    def predict_region(self, X: Any, level: float = 0.9, *, target: int | str | None = None) -> Region:
        """Return the smallest set that holds a probability, for each row: disjoint intervals, several where modes are.

        Args:
            X: Features, (N, F).
            level: Probability that the set holds, in (0, 1).
            target: Name or place of the target; may be left out where there is one only.

        Returns:
            Intervals with their masses, (N, J) each; ``to_frame()`` makes a long table of them.

        Raises:
            ValueError: A level outside (0, 1), a target that is not there, or several and none chosen.
        """
        self._refuse_steps("predict_region")
        level = _checks.number_between("level", level, 0.0, 1.0)
        if target is None and self._n_targets > 1:
            raise _checks.InputError(
                f"target must name one of {_checks.quoted(self.target_names_ or default_names(self._n_targets))}; got "
                "None. Of the joint density, see predict_distribution(X).highest_density_level()."
            )
        dim = None if target is None else self._target_place(target)
        parts = [part.highest_density_region(level, dim=dim) for part in self.iter_distributions(X)]
        return Region.joined(parts)

    def predict_modes(self, X: Any) -> Modes:
        """Return the modes of each row's joint density, the highest first.

        Returns:
            Locations, (N, J, D), with log-densities, masses and spreads, see ``distributions.Modes``; ``to_frame()``
            makes a long table of them.
        """
        self._refuse_steps("predict_modes")
        return Modes.joined([part.modes() for part in self.iter_distributions(X)])

    def predict_probability(self, X: Any, low: ArrayLike | None = None, high: ArrayLike | None = None) -> Floats:
        """Return P(low <= y <= high | x), (N,), or of each target by itself, (N, D), where y had two axes.

        Args:
            X: Features, (N, F).
            low: Lower end: a number or one for each row, (N,), where there is one target; of several, one for each,
                (D,) or (N, D), or those of some targets by their names. None for none.
            high: Upper end, likewise.

        Raises:
            ValueError: Ends of other shapes, NaN, or the upper below the lower one.
        """
        self._refuse_steps("predict_probability")
        if low is None and high is None:
            raise _checks.InputError("low or high must be given; got neither.")
        names = self.target_names_ or default_names(self._n_targets)
        ends = [
            as_tensor(interval_ends(name, end, default, names, n_rows(X), matched=self.target_names_ is not None))
            for name, end, default in (("low", low, -np.inf), ("high", high, np.inf))
        ]
        return self._each(X, lambda part, rows: part.probability(*(end[rows] for end in ends)))

    def conformal_sets(
        self, X: Any, y: Any, level: float = 0.9, *, kind: str = "region", groups: Any = None, adaptive: bool = False
    ) -> ConformalSets:
        """Return sets that hold a new target with a guaranteed probability, from rows that the fit has not seen.

        ``.predict(model.predict_distribution(X_new))`` lists them, unions of intervals; ``.contains`` tells what lies
        in them, of several targets, too.

        Args:
            X: Features, (N, F).
            y: Targets, (N,) or (N, D), all of them known.
            level: Probability that sets hold, in (0, 1).
            kind: ``"region"``, highest-density regions, or ``"central"``, intervals between quantiles.
            groups: Labels of the rows, (N,): coverage is held within every group.
            adaptive: Whether coverage is held within groups by predicted spread.

        Raises:
            ValueError: As ``calibration.fit_conformal``: too few rows for the level, say.

        Warns:
            UserWarning: Rows of the fit of an ``MDNRegressor``, on which sets come out too small; other models do not
                know theirs.
        """
        self._refuse_steps("conformal_sets")
        density, targets = held_out_predictions(self, X, y, "conformal sets")
        return fit_conformal(density, targets, level, kind=kind, groups=groups, adaptive=adaptive)

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return R^2 of the mean, averaged over targets: scikit-learn's convention for regressors.

        Errors of angles are taken the shorter way around.

        Args:
            X: Features, (N, F).
            y: Targets, (N,) or (N, D), matched by name where both sides have names; missing ones do not count.
            sample_weight: Weight of each row, (N,).

        Raises:
            ValueError: Targets that do not fit.
        """
        from sklearn.metrics import r2_score  # which draws random numbers when it is imported

        targets = self._targets(X, y)
        refuse_unvaried(targets)
        means = self.predict(X)
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, means)
        if targets.steps is not None:
            _checks.matches_shape("y", (*targets.steps.shape, means.shape[-1]), means.shape, "to match the steps of X")
            weight = None if weight is None else np.repeat(weight, targets.steps.sum(1))
            means = means[targets.steps]
        values, means = targets.values, means.reshape(targets.values.shape)
        values = means + self._wrapped(X, values - means)
        found = []
        for d, known in enumerate(~np.isnan(values).T):
            own = None if weight is None else weight[known]
            found.append(r2_score(values[known, d], means[known, d], sample_weight=own))
        return float(np.mean(found))

    def log_prob(self, X: Any, y: Any) -> Floats:
        """Return log p(y | x) of the joint density, (N,), in nats; with targets at every step (N, T), NaN where padded.

        Args:
            X: Features, (N, F).
            y: Targets, (N,) or (N, D); where ``allow_missing_targets`` is set, NaN is missing and tells nothing.

        Raises:
            ValueError: Targets that do not fit.
        """
        targets, steps = self._scored_targets(X, y), steps_of(X)

        def density(part: Prediction, rows: slice) -> Tensor:
            own = targets[rows]
            _checks.matches_shape("y", own.shape, (*part.batch_shape, *part.event_shape), "to match the steps of X")
            return part.log_prob(own).unsqueeze(-1)

        found = self._each(X, density)
        found = found if found.ndim == 1 else found[..., 0]
        return found if steps is None or found.ndim == 1 else np.where(steps, found, np.nan)

    def predict_frame(self, X: Any, levels: Sequence[float] = (0.1, 0.25, 0.75, 0.9), *, interval: float = 0.9) -> Any:
        """Return a table of the kind of X, one line a row, with the usual columns for every target.

        They are ``y_mean``, ``y_median``, a quantile for each level, say ``y_q0.1``, and the ends of the central
        interval, ``y_lower_90`` and ``y_upper_90``, with the target's name for ``y``. A pandas frame keeps its index;
        for arrays and mappings the table is a dict of arrays.

        Args:
            X: Features, (N, F).
            levels: Levels of the quantiles, from 0 to 1.
            interval: Probability that the interval holds, in (0, 1).

        Raises:
            ValueError: Levels out of range, or features that do not fit.
        """
        self._refuse_steps("predict_frame")
        interval = _checks.number_between("interval", interval, 0.0, 1.0)
        asked = [_level(level) for level in np.atleast_1d(np.asarray(levels)).tolist()]
        parts = [prediction_columns(part, self._names(part), asked, interval) for part in self.iter_distributions(X)]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return like(X, columns, index_of=X)

    def predict_components(self, X: Any) -> Any:
        """Return a tidy table of the kind of X: one line for each row, component and target.

        Its columns are ``row``, ``component``, ``target``, ``weight``, ``location`` and ``scale`` (mean and standard
        deviation of the component, in the units of the target). Components of an ensemble come member by member.
        """
        self._refuse_steps("predict_components")
        table: dict[str, list[Any]] = {}
        first = 0
        for part in self.iter_distributions(X):
            if not isinstance(part, Mixture):
                raise _checks.InputError("predict_components needs mixtures; got recalibrated ones. Ask estimator_.")
            for name, values in component_columns(part, self._names(part), first).items():
                table.setdefault(name, []).append(values)
            first += part.batch_shape[0]
        return like(X, {name: np.concatenate(values) for name, values in table.items()})

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
        return self._each(X, lambda part, _: part.sample((n_samples,), generator=generator), before=1)

    def _each(
        self, X: Any, answer: Callable[[Prediction, slice], Tensor], *, before: int = 0, after: int = 0
    ) -> Floats:
        """Return answers for all rows, batch by batch, as an array; the axis of targets goes where y had none.

        Args:
            X: Features, (N, F).
            answer: What to ask each batch, and the rows that it holds: (..., N, D, ...).
            before: Axes before that of the rows.
            after: Axes after that of the targets.
        """
        answers, first = [], 0
        for part in self.iter_distributions(X):
            answers.append(answer(part, slice(first, first + part.batch_shape[0])))
            first += part.batch_shape[0]
        array: Floats = torch.cat(answers, before).numpy()
        return array.squeeze(-1 - after) if self.target_ndim_ == 1 else array

    def _scored_targets(self, X: Any, y: Any) -> Tensor | Incomplete:
        """Return targets of X, (N, D), as tensors."""
        return self._targets(X, y).tensor()

    def _targets(self, X: Any, y: Any, *, allow_missing: bool = False) -> Targets:
        """Return targets of X, (N, D), in the order of the fit's where both have names."""
        check_is_fitted(self)
        allow_missing = allow_missing or bool(getattr(self, "allow_missing_targets", False))
        targets = read_targets(self, y, allow_missing=allow_missing, real_steps=steps_of(X))
        targets = targets.matched(self.target_names_)
        if (targets.ndim == 3) != (self.target_ndim_ == 3):
            shape = "(N, T, D)" if self.target_ndim_ == 3 else "(N, D)"
            raise _checks.InputError(f"y must have shape {shape} as the model was fitted with; got another one.")
        _checks.same_rows("X", n_rows(X), "y", len(targets))
        _checks.matches_shape("y", targets.values.shape, ("N", self._n_targets), "as the model was fitted with")
        return targets

    def _wrapped(self, X: Any, differences: Floats) -> Floats:
        """Return differences of targets, (N, D), with angles the shorter way around."""
        if not len(differences):
            return differences
        density = next(iter(self.iter_distributions(take_rows(X, np.arange(1)))))
        wrapped: Floats = density.wrapped(torch.from_numpy(differences)).numpy()
        return wrapped

    def _refuse_steps(self, method: str) -> None:
        """Refuse what makes one answer a row where every row has one at each of its steps."""
        check_is_fitted(self)
        if self.target_ndim_ == 3:
            raise _checks.InputError(
                f"{method} needs one target a row; got targets at every step. Ask predict_distribution(X)."
            )

    def _names(self, part: Prediction) -> list[str]:
        return self.target_names_ or default_names(part.event_shape[0])

    def _target_place(self, target: int | str) -> int:
        names = self.target_names_ or default_names(self._n_targets)
        if isinstance(target, str):
            _checks.known_columns([target], names, "y")
            return names.index(target)
        return _checks.integer_at_least("target", target, 0, len(names) - 1)

    @torch.no_grad()
    def _rows_density(self, x: Inputs, first_row: int) -> Prediction:
        density = self._density(x)
        return checked(density, first_row=first_row) if isinstance(density, Mixture) else density

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def default_names(n_targets: int) -> list[str]:
    """Return names for targets that came without."""
    return ["y"] if n_targets == 1 else [f"y{d}" for d in range(n_targets)]


def _level(level: Any) -> float:
    return _checks.number_between("every level", level, 0.0, 1.0, including=(0.0, 1.0))


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
    known = torch.ones(mixture.batch_shape, dtype=torch.bool)
    for value in finite_numbers(mixture):
        known &= value.isfinite().flatten(known.dim()).all(-1)
    if not bool(known.all()):
        row = _checks.row(first_row + int((~known).nonzero()[0, 0]))
        raise _checks.InputError(f"X must stay near the training data; {row} is too extreme for the network.")
    return Mixture(mixture.mixture_distribution, mixture.components, validate_args=True)


def finite_numbers(mixture: Mixture) -> list[Tensor]:
    """Return the numbers of a prediction, (N, ...) each, that are finite unless the network overflowed."""
    numbers = [mixture.logits, *parameters(mixture)]
    if isinstance(mixture.components, Normal):  # others may well have an infinite variance, a Student's t, say
        numbers.append(mixture.components.variance)
    return numbers


def as_tensor(array: Floats) -> Tensor:
    """Return a copy as a tensor; torch cannot share arrays that are read-only or run backwards."""
    return torch.tensor(np.ascontiguousarray(array))


def as_seed(random_state: Any) -> int | None:
    """Return the seed that scikit-learn's ``random_state`` stands for; None stands for a fresh one."""
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    return None if random_state is None else _checks.random_state(random_state)
