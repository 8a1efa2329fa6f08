"""The rows that an estimator learns from, read and checked, with those that are held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight, check_consistent_length
from torch import Tensor

from manymodes import _checks
from manymodes.estimators.held_out import HeldOut
from manymodes.estimators.tables.encoding import TableEncoder
from manymodes.estimators.tables.frames import is_missing, n_rows, take_rows
from manymodes.estimators.tables.inputs import (
    Features,
    category_levels,
    learn_features,
    open_features,
    refuse_few,
    remember_names,
    steps_of,
)
from manymodes.estimators.targets.known import Targets, read_targets, refuse_unvaried
from manymodes.nn.inputs import Inputs
from manymodes.training import Stream
from manymodes.training.rows.data import Data
from manymodes.training.rows.sampling import look_through


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """What a fit learns from.

    Attributes:
        x: Inputs of a network.
        targets: Targets.
        held_out: Which rows choose.
        weight: Weights, (N,), all > 0, or None.
        places: Where the rows stand in what the user handed in, if some were left out.
        stream: The stream that they are a sample of, or None.
        categories: Place and number of levels of each column that holds categories.
        gaps: Places of columns of numbers that may be missing.
    """

    x: Inputs
    targets: Targets
    held_out: HeldOut
    weight: Tensor | None = None
    places: NDArray[np.intp] | None = None
    stream: Stream | None = None
    categories: Sequence[tuple[int, int]] = ()
    gaps: Sequence[int] = ()

    @property
    def are_exact(self) -> bool:
        """Whether no target is missing or censored, among those held out neither."""
        own = self.held_out.rows
        return self.targets.are_exact and (own is None or isinstance(own[1], Tensor))


def read_rows(
    model: BaseEstimator,
    X: Any,
    y: Any,
    sample_weight: ArrayLike | None,
    *,
    y_lower: Any,
    y_upper: Any,
    groups: Any,
    eval_set: Any,
    goes_on: bool,
) -> TrainingRows:
    """Return the rows of ``MDNRegressor.fit``, which says what the arguments are and what is refused.

    With ``goes_on`` a fitted model goes on, whose encoding and targets stay.
    """
    places, weight = None, None
    if sample_weight is not None:
        weights = _check_sample_weight(sample_weight, np.empty((n_rows(X), 1)), ensure_non_negative=True)
        places = np.flatnonzero(weights)  # 0 is no row
        weight = torch.from_numpy(weights[places])
        if len(places) < len(weights):
            check_consistent_length(weights, *(part for part in (y, y_lower, y_upper, groups) if part is not None))
            X, y, y_lower, y_upper, groups = (
                None if part is None else take_rows(part, places) for part in (X, y, y_lower, y_upper, groups)
            )
    features = open_features(model, X) if goes_on else learn_features(model, X)
    missing = bool(model.allow_missing_targets)
    targets = read_targets(model, y, y_lower, y_upper, allow_missing=missing, real_steps=steps_of(X))
    if goes_on:
        targets = _same_targets(model, targets)
    check_consistent_length(features, targets)
    refuse_few(len(features))
    refuse_unvaried(targets)
    encoder: TableEncoder | None = model.encoder_
    return TrainingRows(
        x=features.all(),
        targets=targets,
        held_out=_held_out(model, features, groups, eval_set, targets),
        weight=weight,
        places=places,
        categories=() if encoder is None else encoder.categories,
        gaps=() if encoder is None else encoder.gaps,
    )


def read_stream(
    model: BaseEstimator, stream: Stream, names: tuple[Sequence[str], Sequence[str]] | None
) -> TrainingRows:
    """Return a sample of the rows of a stream, beside the stream itself."""
    found = look_through(stream)
    sample = found.rows
    if not isinstance(sample.y, Tensor):
        raise _checks.InputError("stream must hold exact targets; got Incomplete. Take manymodes.fit for them.")
    if sample.y.dim() != 2 or (isinstance(sample.x, Tensor) and sample.x.dim() != 2):
        raise _checks.InputError("stream must hold tables, (N, F) and (N, D); got more axes. Take manymodes.fit.")
    if not isinstance(sample.x, Tensor):
        raise _checks.InputError("stream must hold one table of features; got several inputs. Take manymodes.fit.")
    x, y = (part.to(torch.float64) for part in (sample.x, sample.y))
    remember_names(model, x.shape[1], None if names is None else names[0])
    known = [f"x{place}" for place in range(x.shape[1])] if names is None else names[0]
    model.encoder_ = TableEncoder.of_numbers(known)
    targets = Targets.exact(y.numpy(), None if names is None else list(names[1]))
    refuse_unvaried(targets)
    return TrainingRows(
        x=x,
        targets=targets,
        held_out=HeldOut(model.validation_fraction),
        weight=sample.weight,
        stream=stream.having(found),
        categories=category_levels(model, x.numpy()),
    )


def _same_targets(model: BaseEstimator, targets: Targets) -> Targets:
    """Return targets in the order of a fitted model's, or refuse others."""
    names = model.target_names_
    if names is not None and targets.names is not None:
        _checks.known_columns(names, targets.names, "y")
    target_dim = model.architecture_.target_dim
    _checks.matches_shape("y", targets.values.shape, ("N", target_dim), "as the first fit had, with warm_start")
    return targets.matched(names)


def _held_out(model: BaseEstimator, features: Features, groups: Any, eval_set: Any, targets: Targets) -> HeldOut:
    last = _checks.one_of("validation_rows", model.validation_rows, {"random": False, "last": True})
    numbers = None
    if groups is not None:
        if last or eval_set is not None:
            raise _checks.InputError("groups must be left out with validation_rows='last' and with an eval_set.")
        numbers = _group_numbers(groups, len(features))
    return HeldOut(model.validation_fraction, numbers, last, _eval_rows(model, eval_set, targets))


def _group_numbers(groups: Any, n_rows: int) -> Tensor:
    """Return groups of any names as numbers, (N,)."""
    names = np.asarray(groups).ravel().tolist()
    _checks.same_rows("X", n_rows, "groups", len(names))
    number: dict[Any, int] = {}
    for place, name in enumerate(names):
        if is_missing(name):
            raise _checks.InputError(f"groups must name the group of every row; {_checks.row(place)} has none.")
        number.setdefault(name, len(number))
    return torch.tensor([number[name] for name in names])


def _eval_rows(model: BaseEstimator, eval_set: Any, targets: Targets) -> Data | None:
    if eval_set is None:
        return None
    pair = eval_set[0] if isinstance(eval_set, list) and len(eval_set) == 1 else eval_set
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise _checks.InputError("eval_set must be one pair (X, y) of rows that choose the best epochs.")
    features = open_features(model, pair[0])
    missing, steps = bool(model.allow_missing_targets), steps_of(pair[0])
    own = read_targets(model, pair[1], allow_missing=missing, real_steps=steps).matched(targets.names)
    check_consistent_length(features, own)
    _checks.matches_shape("y of eval_set", own.values.shape, ("N", targets.values.shape[1]), "as y")
    return features.all(), own.tensor(model.rounding)
