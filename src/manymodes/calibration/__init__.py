"""Predictions corrected by rows held out: densities that stay densities, and sets with guaranteed coverage.

``fit_recalibration`` returns a function from a prediction to a better one. ``fit_conformal`` returns sets that hold a
wanted share of new targets whatever the model is worth. Both want rows that the model was not fitted to: on those it
was, predictions look better than they are.
"""

from manymodes.calibration.conformal import ConformalSets, fit_conformal
from manymodes.calibration.recalibration import Recalibration, fit_recalibration

__all__ = ["ConformalSets", "Recalibration", "fit_conformal", "fit_recalibration"]
