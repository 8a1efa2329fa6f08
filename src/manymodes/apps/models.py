"""Models that commands ask about the rows of a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manymodes import _checks
from manymodes.apps.files import Columns
from manymodes.distributions import Prediction, joined
from manymodes.estimators import MDNForecaster, MDNRegressor, RecalibratedRegressor, load
from manymodes.estimators.judged_rows import MANY, training_share

Model = MDNRegressor | RecalibratedRegressor


def load_model(path: Path) -> tuple[Model, list[str]]:
    """Return a model that predicts the rows of tables, and the names of its targets.

    Raises:
        ValueError: A file that is no model, a forecaster, or a model that does not know the names of its columns.
    """
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


def predictions_of(model: Model, columns: Columns, file: Path, *, first_row: int = 0) -> Prediction:
    """Return the predictions for the rows of a table, whose columns come in any order.

    Args:
        model: The model.
        columns: The table.
        file: Where it comes from, for messages.
        first_row: Number of its first row, counted from 0, likewise.
    """
    return joined(list(model.iter_distributions(features_of(model, columns, file), first_row=first_row)))


def features_of(model: Model, columns: Columns, file: Path) -> Columns:
    """Return the columns of a table that a model predicts from."""
    names = list(model.feature_names_in_)
    _checks.known_columns(names, list(columns), repr(str(file)))
    return {name: columns[name] for name in names}


def note_of_training_rows(
    model: Model, columns: Columns, targets: NDArray[np.float64], name: str = "the model"
) -> str | None:
    """Return a sentence where rows are those of the fit; None where they are not, or where nothing is known of them."""
    share = training_share(model, {each: columns[each] for each in model.feature_names_in_}, targets)
    if share <= MANY:
        return None
    return f"Mind: about {share:.0%} of these rows are rows of the fit, on which {name} looks better than it is."
