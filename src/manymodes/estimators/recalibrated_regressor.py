"""An estimator of densities whose predictions are corrected by rows that it was not fitted to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.distributions import Categorical

from manymodes import _checks
from manymodes.calibration import Recalibration, fit_recalibration
from manymodes.calibration.recalibration import KINDS
from manymodes.distributions import Mixture, Prediction, joined
from manymodes.estimators.judged_rows import held_out_predictions, judged_predictions, refuse_missing
from manymodes.estimators.model_file import MODEL_FORMAT, UNSTORABLE, as_json
from manymodes.estimators.predictions import DensityRegressorMixin, as_seed, restored_on_failure
from manymodes.estimators.tables.frames import n_rows, take_rows
from manymodes.estimators.targets.known import read_targets
from manymodes.training.randomness import seeded

_Folds = list[tuple[NDArray[np.int64], NDArray[np.int64]]]  # rows that a model learns from, and rows that it judges


class RecalibratedRegressor(DensityRegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A regressor of densities, recalibrated; its predictions are densities with the usual answers.

    With folds, every row is predicted by a model that was fitted to other folds; those predictions fit the correction,
    and a last model is fitted to all rows. That takes as many fits more as there are folds. With ``cv="prefit"`` the
    estimator is fitted already and is not touched, and ``fit`` wants rows that it has not seen.

    Args:
        estimator: A regressor of densities, ``MDNRegressor`` or a baseline.
        cv: Number of folds, or what scikit-learn takes as ``cv`` and holds out every row once, or ``"prefit"``.
        kind: ``"auto"``, ``"temperature"``, ``"beta"`` or ``"spline"``, see ``calibration.fit_recalibration``.
        random_state: Seed of the folds and of what is spread over jumps of a cdf; None draws a fresh one.

    Attributes:
        estimator_: The fitted regressor.
        recalibration_: The correction; ``changes_nothing`` where nothing was to be gained.

    Example:
        >>> import numpy as np
        >>> from manymodes import MDNRegressor
        >>> rng = np.random.default_rng(0)
        >>> X = rng.uniform(size=(200, 1))
        >>> y = X[:, 0] + rng.exponential(size=200)
        >>> model = RecalibratedRegressor(MDNRegressor(preset="fast", max_epochs=5), cv=2, random_state=0).fit(X, y)
        >>> model.predict_interval(X, 0.9).shape
        (200, 2)
    """

    def __init__(self, estimator: Any, *, cv: Any = 5, kind: str = "auto", random_state: Any = None) -> None:
        self.estimator = estimator
        self.cv = cv
        self.kind = kind
        self.random_state = random_state

    def fit(self, X: Any, y: Any, **fit_params: Any) -> Self:
        """Fit the correction, and with folds the model.

        Args:
            X: Features, (N, F).
            y: Targets, (N,) or (N, D), all of them known.
            **fit_params: Handed to the fit on all rows; those with one entry a row, such as ``sample_weight`` or
                ``groups``, row by row to those on folds, too. Folds are of whole ``groups``. Weights count in the fits,
                not in the correction.

        Returns:
            The estimator itself.

        Raises:
            ValueError: What the estimator refuses; fewer rows than a correction needs; folds that leave rows out.
            TypeError: An estimator that predicts no densities.
        """
        _checks.instance("estimator", self.estimator, DensityRegressorMixin, ", which predicts densities")
        _checks.same_rows("X", n_rows(X), "y", n_rows(y))
        refuse_missing(read_targets(self.estimator, y, allow_missing=True), "a recalibration")
        _checks.one_of("kind", self.kind, KINDS)  # before the fits, which take long
        seed = as_seed(self.random_state)
        with restored_on_failure(self):
            if self.cv == "prefit":
                check_is_fitted(self.estimator)
                if fit_params:
                    raise _checks.InputError(
                        f"{_checks.quoted(fit_params)} must be left out with cv='prefit', which fits no model."
                    )
                self.estimator_ = self.estimator
                density, targets = held_out_predictions(self.estimator, X, y, "a recalibration", ", or use folds, cv=5")
            else:
                folds = self._folds(n_rows(X), seed, fit_params.get("groups"))
                # First of all rows: what it refuses has their numbers, not those of a fold.
                self.estimator_ = clone(self.estimator).fit(X, y, **fit_params)
                density, targets = self._out_of_fold(X, y, folds, fit_params)
            self.recalibration_: Recalibration = fit_recalibration(
                density, targets, kind=self.kind, generator=seeded(seed)
            )
            self._take_over()
        return self

    @classmethod
    def around(cls, model: Any, document: dict[str, Any]) -> Self:
        """Return the regressor of a model file, around its model, for ``load``."""
        regressor = cls(model, **document["params"])
        regressor.estimator_, regressor.recalibration_ = model, Recalibration.from_dict(document["recalibration"])
        regressor._take_over()
        return regressor

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model and its correction to one file of numbers and JSON; ``manymodes.load`` reads it back.

        Folds that are no number, and a random state that is none, come back as their defaults.

        Raises:
            TypeError: A model that has no file of its own: a baseline.
        """
        check_is_fitted(self)
        if not hasattr(self.estimator_, "contents"):
            name = type(self.estimator_).__name__
            raise TypeError(f"estimator must be an MDNRegressor to be saved; got {name}, which has no file.")
        tensors, document = self.estimator_.contents()
        params = {name: as_json(getattr(self, name)) for name in ("cv", "kind", "random_state")}
        own = {
            "kind": type(self).__name__,
            "model": document,
            "params": {name: value for name, value in params.items() if value is not UNSTORABLE},
            "recalibration": self.recalibration_.to_dict(),
        }
        MODEL_FORMAT.write(path, tensors, own)

    def _take_over(self) -> None:
        """Take what callers look up from the fitted model."""
        self.target_ndim_, self.target_names_ = self.estimator_.target_ndim_, self.estimator_.target_names_
        self.n_features_in_ = self.estimator_.n_features_in_
        if hasattr(self.estimator_, "feature_names_in_"):
            self.feature_names_in_ = self.estimator_.feature_names_in_

    def iter_distributions(self, X: Any, *, batch_size: int = 1024, first_row: int = 0) -> Iterator[Prediction]:
        """Yield recalibrated densities for so many rows at a time, see ``MDNRegressor.iter_distributions``."""
        check_is_fitted(self)
        for part in self.estimator_.iter_distributions(X, batch_size=batch_size, first_row=first_row):
            yield self.recalibration_(part)

    def _out_of_fold(self, X: Any, y: Any, folds: _Folds, fit_params: dict[str, Any]) -> tuple[Mixture, Tensor]:
        """Return predictions of all rows, each by a model that did not see it, and their targets, in one order."""
        parts, targets = [], []
        for learns, judged in folds:
            own = {name: _of_rows(value, learns, n_rows(X)) for name, value in fit_params.items()}
            model = clone(self.estimator).fit(take_rows(X, learns), take_rows(y, learns), **own)
            density, target = judged_predictions(model, take_rows(X, judged), take_rows(y, judged), "a recalibration")
            parts.append(density)
            targets.append(target)
        return _joined_folds(parts), torch.cat(targets)

    def _folds(self, n_all: int, seed: int | None, groups: Any) -> _Folds:
        from sklearn.model_selection import GroupKFold, KFold, check_cv  # draws random numbers when imported

        cv = self.cv
        if isinstance(cv, str):
            raise _checks.InputError(f"cv must be a number of folds, a splitter or 'prefit'; got {cv!r}.")
        if isinstance(cv, (int, np.integer)) and not isinstance(cv, bool):
            n_folds = _checks.integer_at_least("cv", cv, 2, n_all)
            whole = groups is not None
            cv = GroupKFold(n_folds) if whole else KFold(n_folds, shuffle=True, random_state=seed)
        folds = list(check_cv(cv).split(np.empty((n_all, 1)), groups=groups))
        if sorted(np.concatenate([judged for _, judged in folds]).tolist()) != list(range(n_all)):
            raise _checks.InputError("cv must hold out every row once; got folds that do not.")
        return folds

    @property
    def _n_targets(self) -> int:
        n_targets: int = self.estimator_._n_targets
        return n_targets

    def _density(self, x: Any) -> Prediction:
        return self.recalibration_(self.estimator_._density(x))


def _of_rows(value: Any, rows: Any, n_all: int) -> Any:
    """Return the entries of some rows of what has one for each, and anything else as it is."""
    try:
        return take_rows(value, rows) if n_rows(value) == n_all else value
    except (TypeError, AttributeError, _checks.InputError):
        return value


def _joined_folds(parts: list[Mixture]) -> Mixture:
    """Return the predictions of models that may differ in their number of components, one after another."""
    most = max(part.n_components for part in parts)
    return joined([_filled_up(part, most) for part in parts])


def _filled_up(mixture: Mixture, n_components: int) -> Mixture:
    """Return the same distribution with components without weight added."""
    missing = n_components - mixture.n_components
    if not missing:
        return mixture
    index = torch.arange(n_components).clamp_max(mixture.n_components - 1).expand(*mixture.batch_shape, -1)
    logits = torch.nn.functional.pad(mixture.logits, (0, missing), value=-torch.inf)
    return Mixture(Categorical(logits=logits, validate_args=False), mixture.components.select(index))
