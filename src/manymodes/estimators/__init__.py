"""The scikit-learn face: arrays or data frames in, densities out."""

from manymodes.estimators.persistence import load
from manymodes.estimators.regressor import MDNRegressor

__all__ = ["MDNRegressor", "load"]
