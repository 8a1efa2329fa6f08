"""How good a prediction is: every metric takes ``(distribution, y)``.

``log_score``, ``crps``, ``energy_score``, ``pit`` and ``coverage`` return numbers per example, so that the caller
decides how to average; ``rmse`` and ``mae`` are averages by their nature. Scores are losses: lower is better.
"""

from manymodes.metrics.calibration import coverage, pit
from manymodes.metrics.energy import energy_score
from manymodes.metrics.points import mae, rmse
from manymodes.metrics.scores import crps, log_score

__all__ = ["coverage", "crps", "energy_score", "log_score", "mae", "pit", "rmse"]
