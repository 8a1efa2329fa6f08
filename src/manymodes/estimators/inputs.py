"""What an estimator is given, as arrays that are checked; names and numbers of columns as scikit-learn wants them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, check_X_y, validate_data

from manymodes import _checks
from manymodes.estimators.tables import Floats, as_table, is_mapping, refuse_constant, target_table


def read_training_data(estimator: BaseEstimator, X: Any, y: Any) -> tuple[Floats, Floats]:
    """Return features (N, F) and targets (N,) or (N, D), and let the estimator remember their names.

    Sets ``n_features_in_``, ``feature_names_in_`` where X has names, and ``target_names_``.
    """
    features, targets = as_table(X, "feature"), target_table(y)
    X_values, y_values = check_X_y(
        X if features is None else features.values,
        y if targets is None else targets.values,
        dtype=np.float64,
        multi_output=True,
        y_numeric=True,
        ensure_min_samples=2,
        estimator=estimator,
    )
    if is_mapping(X):
        estimator.n_features_in_ = X_values.shape[1]
        estimator.feature_names_in_ = np.asarray(list(X), dtype=object)
    else:
        validate_data(estimator, X, skip_check_array=True)
    estimator.target_names_ = None if targets is None else targets.names
    y_values = np.asarray(y_values, dtype=np.float64)
    refuse_constant(y_values.reshape(len(y_values), -1), estimator.target_names_)
    return X_values, y_values


def remember_names(
    estimator: BaseEstimator, n_features: int, names: tuple[Sequence[str], Sequence[str]] | None
) -> None:
    """Let an estimator remember the number of features, and the names of features and targets, if they have any."""
    estimator.n_features_in_ = n_features
    estimator.target_names_ = None if names is None else list(names[1])
    if names is not None:
        estimator.feature_names_in_ = np.asarray(list(names[0]), dtype=object)
    elif hasattr(estimator, "feature_names_in_"):
        del estimator.feature_names_in_


def category_levels(estimator: BaseEstimator, features: Floats) -> tuple[tuple[int, int], ...]:
    """Return the place and the number of levels of every column that ``categorical_features`` names."""
    names, asked = getattr(estimator, "feature_names_in_", None), estimator.categorical_features
    if isinstance(asked, str) or not isinstance(asked, Iterable):
        raise _checks.InputError(
            f"categorical_features must be a list of column names or places, say ['colour']; got {asked!r}."
        )
    places = [_place(column, features.shape[1], names) for column in asked]
    return tuple((place, len(np.unique(features[:, place]))) for place in sorted(set(places)))


def _place(column: Any, n_features: int, names: Any) -> int:
    if isinstance(column, str):
        if names is None:
            raise _checks.InputError(
                f"categorical_features must be places where X has no column names; got {column!r}."
            )
        _checks.known_columns([column], list(names), "X")
        return list(names).index(column)
    return _checks.integer_at_least("every place in categorical_features", column, 0, n_features - 1)


def read_features(estimator: BaseEstimator, X: Any) -> Floats:
    """Return features (N, F) for a fitted estimator, whose names and number they must match.

    The columns of a mapping are matched by name, in any order; those of a frame must also come in the order of the
    fit, which is scikit-learn's rule.
    """
    check_is_fitted(estimator)
    if is_mapping(X):
        names = list(getattr(estimator, "feature_names_in_", X))
        _checks.known_columns(names, list(X), "X")
        X = {name: X[name] for name in names}
    table = as_table(X, "feature")
    values: Floats = check_array(X, dtype=np.float64, estimator=estimator) if table is None else table.values
    if is_mapping(X):
        n_features = estimator.n_features_in_
        _checks.matches_shape("X", values.shape, ("N", n_features), "as the model was fitted with")
    else:
        validate_data(estimator, X, reset=False, skip_check_array=True)
    return values
