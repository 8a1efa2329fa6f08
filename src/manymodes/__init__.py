"""Regression for when one input has more than one right answer.

A network maps x to a distribution; everything else takes ``(distribution, y)``.

Importing this package imports neither torch nor scikit-learn: each name is fetched when it is first used
(PEP 562), so that the command line starts at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0.dev0"

if TYPE_CHECKING:
    from manymodes import (
        calibration,
        datasets,
        decisions,
        distributions,
        dynamics,
        estimators,
        inverse,
        metrics,
        nn,
        objectives,
        plots,
        studies,
    )
    from manymodes.estimators import MDNForecaster, MDNRegressor, load
    from manymodes.training import History, fit

_HOMES = {
    "MDNForecaster": "manymodes.estimators",
    "MDNRegressor": "manymodes.estimators",
    "load": "manymodes.estimators",
    "fit": "manymodes.training",
    "History": "manymodes.training",
}
_MODULES = (
    "calibration",
    "datasets",
    "decisions",
    "distributions",
    "dynamics",
    "estimators",
    "inverse",
    "metrics",
    "nn",
    "objectives",
    "plots",
    "studies",
)

__all__ = [
    "History",
    "MDNForecaster",
    "MDNRegressor",
    "calibration",
    "datasets",
    "decisions",
    "distributions",
    "dynamics",
    "estimators",
    "fit",
    "inverse",
    "load",
    "metrics",
    "nn",
    "objectives",
    "plots",
    "studies",
]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return importlib.import_module(f"manymodes.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'manymodes' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
