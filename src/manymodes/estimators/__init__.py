"""The scikit-learn face: arrays or data frames in, densities out."""

from manymodes.estimators.forecasting.forecaster import MDNForecaster
from manymodes.estimators.forecasting.scenarios import Scenarios, cluster_paths
from manymodes.estimators.interpretation import (
    component_curves,
    explain,
    partial_dependence,
    partial_distribution,
    permutation_importance,
)
from manymodes.estimators.persistence import load
from manymodes.estimators.portable.onnx import export_onnx
from manymodes.estimators.recalibrated_regressor import RecalibratedRegressor
from manymodes.estimators.regressor import MDNRegressor
from manymodes.estimators.scorers import (
    CoverageError,
    coverage_error,
    neg_crps,
    neg_energy_score,
    neg_log_score,
)

__all__ = [
    "CoverageError",
    "MDNForecaster",
    "MDNRegressor",
    "RecalibratedRegressor",
    "Scenarios",
    "cluster_paths",
    "component_curves",
    "coverage_error",
    "explain",
    "export_onnx",
    "load",
    "neg_crps",
    "neg_energy_score",
    "neg_log_score",
    "partial_dependence",
    "partial_distribution",
    "permutation_importance",
]
