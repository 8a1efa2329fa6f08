"""An estimator that is fitted in a moment."""

from typing import Any

from manymodes.estimators import MDNRegressor

SMALL: dict[str, Any] = {
    "n_components": 2,
    "n_members": 2,
    "frequency": 0.1,
    "hidden_sizes": (16,),
    "max_epochs": 20,
    "lr": 1e-2,
    "random_state": 0,
}


def small(**changes: Any) -> MDNRegressor:
    return MDNRegressor(**{**SMALL, **changes})
