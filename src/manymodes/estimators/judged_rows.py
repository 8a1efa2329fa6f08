"""Predictions of rows beside their targets, as fits on rows held out take them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from torch import Tensor

from manymodes import _checks
from manymodes.estimators.targets.known import Targets

MANY = 0.1  # of the rows: fewer may be alike by chance


def held_out_predictions(model: Any, X: Any, y: Any, purpose: str, otherwise: str = "") -> tuple[Any, Tensor]:
    """Return what a model predicts of rows, and their targets, (N, D); warn where it was fitted to many of them.

    Args:
        model: A fitted regressor of densities.
        X: Features, (N, F).
        y: Targets, (N,) or (N, D).
        purpose: What they are for, for messages.
        otherwise: What else can be done, for the warning.

    Raises:
        ValueError: Rows or targets that do not fit, or missing targets.
    """
    judged = judged_predictions(model, X, y, purpose)
    share = training_share(model, X, y)
    if share > MANY:
        warnings.warn(
            f"X and y must be rows that the estimator was not fitted to; about {share:.0%} of them are rows of its "
            f"fit, on which its predictions look better than they are. Hand in others{otherwise}.",
            stacklevel=3,
        )
    return judged


def judged_predictions(model: Any, X: Any, y: Any, purpose: str) -> tuple[Any, Tensor]:
    """Return what a model predicts of rows, and their targets, (N, D), none of which may be missing."""
    targets = model._targets(X, y, allow_missing=True)
    refuse_missing(targets, purpose)
    return model.predict_distribution(X), targets.tensor()


def refuse_missing(targets: Targets, purpose: str) -> None:
    """Refuse targets some of which are missing."""
    if not targets.are_exact:
        first = int(np.isnan(targets.values).any(1).argmax())
        raise _checks.InputError(
            f"y must have no missing values for {purpose}; got NaN in {_checks.row(first)}. Drop such rows."
        )


def training_share(model: Any, X: Any, y: Any) -> float:
    """Return which share of rows a model was fitted to, about; 0 where nothing is known of them."""
    fitted = getattr(model, "estimator_", model)
    if getattr(fitted, "familiarity_", None) is None:
        return 0.0
    share: float = fitted.share_of_training_rows(X, y)
    return share if share > 0 else 0.0  # NaN where nothing tells
