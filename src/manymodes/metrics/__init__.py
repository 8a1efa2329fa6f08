"""How good a prediction is: every metric takes ``(distribution, y)``.

Scores return numbers per example, so that the caller decides how to average: (N,) those that see the joint
distribution, (N, D) those of each target dimension by itself. ``SCORES`` names them and tells which are strictly
proper; ``score_table`` reports the usual ones with their standard errors. Scores are losses: lower is better. ``rmse``
and ``mae`` are averages by their nature.

Calibration is judged by ``pit`` and ``hpd_rank``, numbers that are uniform where predictions are right, and by what is
made of them: histograms and curves with bands, a test, an error beside its noise floor, groups. ``mode_agreement``
tells whether all right answers were found, ``risk_coverage`` what it is worth to answer only where the model is sure.
Where the truth is known, ``regret``, ``hellinger`` and ``wasserstein`` tell how far a prediction is from it.
"""

from manymodes.metrics.bands import PITHistogram, Reliability, pit_ecdf, pit_histogram
from manymodes.metrics.calibration import coverage, pit
from manymodes.metrics.cde import cde_loss
from manymodes.metrics.energy import energy_score
from manymodes.metrics.groups import CalibrationBy, calibration_by
from manymodes.metrics.matching import ModeAgreement
from manymodes.metrics.modes import (
    ModeSeparation,
    mode_agreement,
    mode_separation,
    mode_votes,
    n_modes,
)
from manymodes.metrics.points import absolute_error, mae, point_error, rmse, squared_error
from manymodes.metrics.quantile_scores import brier_score, interval_score, pinball_loss
from manymodes.metrics.ranks import hpd_rank
from manymodes.metrics.registry import SCORES, Score
from manymodes.metrics.reliability import coverage_curve, quantile_reliability
from manymodes.metrics.risk import RiskCoverage, risk_coverage
from manymodes.metrics.scores import (
    crps,
    log_score,
    marginal_crps,
    quantile_weighted_crps,
    threshold_weighted_crps,
)
from manymodes.metrics.table import ScoreTable, score_table
from manymodes.metrics.truth import hellinger, regret, wasserstein
from manymodes.metrics.uniformity import CalibrationError, UniformityTest, calibration_error, uniformity_test
from manymodes.metrics.variogram import variogram_score

__all__ = [
    "SCORES",
    "CalibrationBy",
    "CalibrationError",
    "ModeAgreement",
    "ModeSeparation",
    "PITHistogram",
    "Reliability",
    "RiskCoverage",
    "Score",
    "ScoreTable",
    "UniformityTest",
    "absolute_error",
    "brier_score",
    "calibration_by",
    "calibration_error",
    "cde_loss",
    "coverage",
    "coverage_curve",
    "crps",
    "energy_score",
    "hellinger",
    "hpd_rank",
    "interval_score",
    "log_score",
    "mae",
    "marginal_crps",
    "mode_agreement",
    "mode_separation",
    "mode_votes",
    "n_modes",
    "pinball_loss",
    "pit",
    "pit_ecdf",
    "pit_histogram",
    "point_error",
    "quantile_reliability",
    "quantile_weighted_crps",
    "regret",
    "risk_coverage",
    "rmse",
    "score_table",
    "squared_error",
    "threshold_weighted_crps",
    "uniformity_test",
    "variogram_score",
    "wasserstein",
]
