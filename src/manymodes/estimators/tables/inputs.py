"""What an estimator is given, as arrays and tensors that are checked; names of columns as scikit-learn wants them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, check_X_y, validate_data
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from manymodes import _checks
from manymodes.estimators.tables.columns import Kind, RawTable, raw_table
from manymodes.estimators.tables.encoding import TableEncoder
from manymodes.estimators.tables.numbers import Floats, as_table, is_mapping, refuse_constant, target_table, unmasked
from manymodes.nn.inputs import Inputs, mapped, n_rows, parts_of
from manymodes.nn.steps import as_inputs, real_steps
from manymodes.training.rows.data import refuse_wild


@dataclass(frozen=True, eq=False)
class Features:
    """Rows of features that become a network's inputs a few at a time.

    Attributes:
        n_rows: How many there are, N.
        part: Returns the inputs of some rows, from one number to before another.
    """

    n_rows: int
    part: Callable[[int, int], Inputs]

    def __len__(self) -> int:
        return self.n_rows

    def batches(self, size: int = 1024) -> Iterator[Inputs]:
        """Yield the inputs of so many rows at a time, at least once, in their order."""
        for first in range(0, max(1, self.n_rows), size):
            yield self.part(first, first + size)

    def all(self) -> Inputs:
        """Return the inputs of all rows."""
        return self.part(0, self.n_rows)


# --- of any table: encoded ---


def learn_features(estimator: BaseEstimator, X: Any) -> Features:
    """Return the features that an estimator learns from, and let it remember how they are encoded, and their names.

    Sets ``encoder_``, None where a backbone of the user's own takes inputs as they are; ``n_features_in_``; and
    ``feature_names_in_`` where X has names.
    """
    own = estimator.backbone is not None
    if own and (inputs := _as_they_are(X)) is not None:
        _remember(estimator, inputs)
        return _features_of(inputs)
    table = _table(estimator, X)
    _remember_table(estimator, X, table)
    places = _places(estimator, len(table.names))
    if own:
        if places:
            raise _checks.InputError("categorical_features must be left out with a backbone of your own.")
        _refuse_what_no_backbone_takes(table)
        estimator.encoder_ = TableEncoder.of_numbers(table.names)
    else:
        estimator.encoder_ = TableEncoder.learn(table, places)
    return _encoded(estimator.encoder_, table)


def open_features(estimator: BaseEstimator, X: Any, first_row: int = 0) -> Features:
    """Return features for a fitted estimator, whose names and number they must match.

    The columns of a mapping are matched by name, in any order; those of a frame must also come in the order of the
    fit, which is scikit-learn's rule.
    """
    check_is_fitted(estimator)
    encoder: TableEncoder | None = estimator.encoder_
    if encoder is None:
        inputs = _tensor("X", X) if isinstance(X, np.ndarray) else _as_they_are(X)
        if inputs is None:
            raise _checks.InputError(
                f"X must be what the model was fitted with, arrays that reach its backbone as they are; "
                f"got {type(X).__name__}."
            )
        return _features_of(inputs)
    X = _matched(estimator, X)
    table = _table(estimator, X, first_row, least=0)
    if not is_mapping(X):
        validate_data(estimator, X, reset=False, skip_check_array=True)
    _checks.matches_shape("X", (len(table), len(table.names)), ("N", len(encoder.columns)), "as the fit had")
    return _encoded(encoder, table)


def refuse_few(n_rows: int) -> None:
    """Refuse fewer rows than one to learn from and one to hold out."""
    if n_rows < 2:
        raise _checks.InputError(f"X must have at least 2 rows; got {_checks.counted(n_rows, 'sample')}.")


def _table(estimator: BaseEstimator, X: Any, first_row: int = 0, *, least: int = 1) -> RawTable:
    table = raw_table(X, first_row)
    if table is not None:
        return table
    try:
        values = check_array(
            _plain(X),
            dtype=np.float64,
            ensure_all_finite="allow-nan",
            ensure_min_samples=least,
            estimator=estimator,
        )
    except ValueError as error:
        if "could not convert" not in str(error):
            raise
        raise _checks.InputError(
            f"X must hold numbers where it is an array; {error}. Hand in a data frame, whose text is categories."
        ) from None
    return RawTable([f"x{place}" for place in range(values.shape[1])], list(values.T), first_row)


def _plain(X: Any) -> Any:
    """Return an array without a mask, or a tensor as one; anything else as it is."""
    if isinstance(X, Tensor):
        return X.detach().cpu().double().numpy()
    return unmasked(X) if isinstance(X, np.ma.MaskedArray) else X


def _encoded(encoder: TableEncoder, table: RawTable) -> Features:
    def part(first: int, last: int) -> Tensor:
        return torch.from_numpy(encoder.encode(table.rows(first, last)))

    return Features(len(table), part)


def _refuse_what_no_backbone_takes(table: RawTable) -> None:
    for place in range(len(table.names)):
        column = table.column(place)
        missing = column.missing
        got = {Kind.TEXT: "text", Kind.TIME: "points in time"}.get(column.kind)
        if got is None and missing.any():
            got = f"a missing value in {column.row(int(missing.argmax()))}"
        if got is not None:
            raise _checks.InputError(
                f"Column {column.name!r} must hold numbers, all of them, for a backbone of your own; got {got}."
            )


def _remember_table(estimator: BaseEstimator, X: Any, table: RawTable) -> None:
    if is_mapping(X):
        remember_names(estimator, len(table.names), table.names)
    else:
        validate_data(estimator, X, skip_check_array=True)


def _matched(estimator: BaseEstimator, X: Any) -> Any:
    """Return the columns of a mapping that an estimator knows, in the order of its fit; anything else as it is."""
    if not is_mapping(X):
        return X
    named = {str(name): column for name, column in X.items()}
    if not hasattr(estimator, "feature_names_in_"):
        warnings.warn(
            f"X has feature names, but {type(estimator).__name__} was fitted without feature names", stacklevel=2
        )
    names = list(getattr(estimator, "feature_names_in_", named))
    _checks.known_columns(names, list(named), "X")
    return {name: named[name] for name in names}


# --- inputs of a backbone of the user's own ---


def _as_they_are(X: Any) -> Inputs | None:
    """Return tensors and arrays that are no table, as tensors, packed ones padded; None where ``X`` is a table."""
    X = as_inputs(X)
    if isinstance(X, Tensor) or (isinstance(X, np.ndarray) and X.ndim > 2):
        return _tensor("X", X)
    if not is_mapping(X) or not any(getattr(part, "ndim", 1) > 1 for part in X.values()):
        return None
    parts = {str(name): _tensor(f"X[{name!r}]", part) for name, part in X.items()}
    parts_of(parts, "X")
    return parts


def _tensor(name: str, part: Any) -> Tensor:
    """Return an array or a tensor as a tensor of finite numbers without a gradient."""
    if not isinstance(part, Tensor):
        array = np.ascontiguousarray(part)
        if array.dtype.kind not in "biuf":
            raise _checks.InputError(f"{name} must hold numbers; got {array.dtype}.")
        part = torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=not array.flags.writeable))
    tensor: Tensor = part.detach()
    refuse_wild(name, tensor, infinite=False)
    return tensor


def steps_of(X: Any) -> NDArray[np.bool_] | None:
    """Return which steps of padded or packed sequences are real, (N, T); None where X has none that are padded."""
    inputs = _as_they_are(X) if isinstance(X, PackedSequence | Mapping) else None
    real = None if inputs is None else real_steps(inputs)
    return None if real is None else real.cpu().numpy()


def _features_of(inputs: Inputs) -> Features:
    return Features(n_rows(inputs), lambda first, last: mapped(inputs, lambda part: part[first:last]))


def _remember(estimator: BaseEstimator, inputs: Inputs) -> None:
    estimator.encoder_ = None
    if isinstance(inputs, Mapping):
        remember_names(estimator, len(inputs), list(inputs))
    else:
        remember_names(estimator, inputs.shape[1] if inputs.dim() > 1 else 1, None)


# --- of numbers alone ---


def read_training_data(estimator: BaseEstimator, X: Any, y: Any) -> tuple[Floats, Floats]:
    """Return features (N, F) and targets (N,) or (N, D), all of them numbers, and let the estimator remember names.

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
        remember_names(estimator, X_values.shape[1], list(X))
    else:
        validate_data(estimator, X, skip_check_array=True)
    estimator.target_names_ = None if targets is None else targets.names
    y_values = np.asarray(y_values, dtype=np.float64)
    refuse_constant(y_values.reshape(len(y_values), -1), estimator.target_names_)
    return X_values, y_values


def read_features(estimator: BaseEstimator, X: Any) -> Floats:
    """Return features (N, F), all of them numbers, for a fitted estimator; see ``open_features``."""
    check_is_fitted(estimator)
    X = _matched(estimator, X)
    table = as_table(X, "feature")
    values: Floats = check_array(X, dtype=np.float64, estimator=estimator) if table is None else table.values
    if is_mapping(X):
        n_features = estimator.n_features_in_
        _checks.matches_shape("X", values.shape, ("N", n_features), "as the model was fitted with")
    else:
        validate_data(estimator, X, reset=False, skip_check_array=True)
    return values


# --- names ---


def remember_names(estimator: BaseEstimator, n_features: int, names: Sequence[str] | None) -> None:
    """Let an estimator remember the number of features, and their names, if they have any."""
    estimator.n_features_in_ = n_features
    if names is not None:
        estimator.feature_names_in_ = np.asarray(list(names), dtype=object)
    elif hasattr(estimator, "feature_names_in_"):
        del estimator.feature_names_in_


def category_levels(estimator: BaseEstimator, features: Floats) -> tuple[tuple[int, int], ...]:
    """Return the place and the number of levels of every column that ``categorical_features`` names."""
    return tuple((place, len(np.unique(features[:, place]))) for place in _places(estimator, features.shape[1]))


def _places(estimator: BaseEstimator, n_features: int) -> list[int]:
    names, asked = getattr(estimator, "feature_names_in_", None), estimator.categorical_features
    if isinstance(asked, str) or not isinstance(asked, Iterable):
        raise _checks.InputError(
            f"categorical_features must be a list of column names or places, say ['colour']; got {asked!r}."
        )
    return sorted({_place(column, n_features, names) for column in asked})


def _place(column: Any, n_features: int, names: Any) -> int:
    if isinstance(column, str):
        if names is None:
            raise _checks.InputError(
                f"categorical_features must be places where X has no column names; got {column!r}."
            )
        _checks.known_columns([column], list(names), "X")
        return list(names).index(column)
    return _checks.integer_at_least("every place in categorical_features", column, 0, n_features - 1)
