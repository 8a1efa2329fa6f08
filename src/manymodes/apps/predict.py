"""``manymodes predict`` and ``manymodes evaluate``: a fitted model on the rows of a file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from manymodes import _checks
from manymodes.apps.files import Columns, check_new_file, read_columns, read_parts, write_parts
from manymodes.apps.scores import Scores, score
from manymodes.distributions import Prediction, joined
from manymodes.estimators import MDNForecaster, MDNRegressor, load
from manymodes.estimators.judged_rows import MANY, training_share
from manymodes.estimators.prediction_columns import prediction_columns
from manymodes.estimators.tables.numbers import from_columns

_ROWS_AT_ONCE = 16_384


def predict_file(
    model_path: Path,
    file: Path,
    output: Path,
    *,
    levels: Sequence[float],
    interval: float,
    overwrite: bool,
) -> int:
    """Write the predictions for every row of a file, and return the number of rows."""
    check_new_file(output, overwrite=overwrite)
    interval = _checks.number_between("--interval", interval, 0.0, 1.0)
    levels = sorted({_checks.number_between("--quantile", level, 0.0, 1.0) for level in levels})
    model, names = _load(model_path)
    n_rows, known = 0, None

    def predictions() -> Iterator[dict[str, NDArray[np.float64]]]:
        nonlocal n_rows, known
        for columns in read_parts(file, _ROWS_AT_ONCE):
            known = all(name in columns for name in names) if known is None else known  # the first part decides
            distribution = _predict(model, columns, file, first_row=n_rows)
            n_rows += len(distribution.mean)
            found = prediction_columns(distribution, names, levels, interval)
            yield found | ({"log_density": _log_density(distribution, columns, names)} if known else {})

    write_parts(output, predictions())
    return n_rows


def evaluate_file(model_path: Path, file: Path) -> tuple[Scores, str | None]:
    """Return the scores of a model on the rows of a file, which must hold the targets, and what to mind."""
    model, names = _load(model_path)
    columns = read_columns(file)
    _checks.known_columns(names, list(columns), repr(str(file)))
    targets = from_columns({name: columns[name] for name in names}, "target")
    scores = score(_predict(model, columns, file), torch.from_numpy(targets.values), names)
    return scores, _note_of_training_rows(model, columns, targets.values)


def _note_of_training_rows(model: Any, columns: Columns, targets: NDArray[np.float64]) -> str | None:
    """Return a sentence where rows are those of the fit; None where they are not, or where nothing is known of them."""
    share = training_share(model, {name: columns[name] for name in model.feature_names_in_}, targets)
    if share <= MANY:
        return None
    return f"Mind: about {share:.0%} of these rows are rows of the fit, on which the model looks better than it is."


def _load(path: Path) -> tuple[MDNRegressor, list[str]]:
    model = load(path)
    if isinstance(model, MDNForecaster):
        raise _checks.InputError(
            f"{str(path)!r} holds a forecaster of series, which no command asks yet; in Python: "
            f"manymodes.load({str(path)!r}).predict_frame()."
        )
    if model.target_names_ is None or not hasattr(model, "feature_names_in_"):
        raise _checks.InputError(
            f"{str(path)!r} was fitted to arrays without column names, so a file's columns cannot be matched to it; "
            "fit it to a data frame or with manymodes fit."
        )
    return model, list(model.target_names_)


def _predict(model: MDNRegressor, columns: Columns, file: Path, *, first_row: int = 0) -> Prediction:
    features = list(model.feature_names_in_)
    _checks.known_columns(features, list(columns), repr(str(file)))
    X = {name: columns[name] for name in features}
    return joined(list(model.iter_distributions(X, first_row=first_row)))


def _log_density(distribution: Prediction, columns: Columns, names: Sequence[str]) -> NDArray[np.float64]:
    """Return log p(y) where all targets are known, NaN elsewhere: rows to predict may lack them."""
    if not all(name in columns for name in names):
        return np.full(len(distribution.mean), np.nan)
    targets = np.column_stack([_numbers(columns[name]) for name in names])
    known = np.isfinite(targets).all(axis=1)
    log_density = np.full(len(targets), np.nan)
    if known.any():
        rows = torch.from_numpy(np.flatnonzero(known))
        log_density[known] = distribution[rows].log_prob(torch.from_numpy(targets[known])).numpy()
    return log_density


def _numbers(column: NDArray[Any]) -> NDArray[np.float64]:
    """Return a column as numbers, NaN where a cell holds none (say "unknown")."""
    return np.array([_number(cell) for cell in column], dtype=np.float64)


def _number(cell: object) -> float:
    try:
        return float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan
