"""Baselines: what a mixture density network has to beat, with its own interface.

Each predicts a mixture of normals, so that every score, quantile and picture applies to it, and each keeps to the
training rows, of which it holds some out where it has something to choose. ``BASELINES`` names them all;
``IndependentTargets`` fits one of them to each of several targets.
"""

from collections.abc import Mapping

from manymodes.estimators.baselines.base import Baseline
from manymodes.estimators.baselines.boosting import HistogramBoosting, QuantileBoosting
from manymodes.estimators.baselines.gaussian_process import GaussianProcess
from manymodes.estimators.baselines.independent import IndependentTargets
from manymodes.estimators.baselines.neighbours import NearestNeighbours
from manymodes.estimators.baselines.networks import (
    DeepEnsemble,
    GaussianNetwork,
    LeastSquaresNetwork,
    MonteCarloDropout,
)
from manymodes.estimators.baselines.unconditional import UnconditionalDensity

BASELINES: Mapping[str, type[Baseline]] = {
    "unconditional": UnconditionalDensity,
    "least_squares": LeastSquaresNetwork,
    "gaussian_network": GaussianNetwork,
    "deep_ensemble": DeepEnsemble,
    "monte_carlo_dropout": MonteCarloDropout,
    "gaussian_process": GaussianProcess,
    "quantile_boosting": QuantileBoosting,
    "histogram_boosting": HistogramBoosting,
    "nearest_neighbours": NearestNeighbours,
}

__all__ = [
    "BASELINES",
    "Baseline",
    "DeepEnsemble",
    "GaussianNetwork",
    "GaussianProcess",
    "HistogramBoosting",
    "IndependentTargets",
    "LeastSquaresNetwork",
    "MonteCarloDropout",
    "NearestNeighbours",
    "QuantileBoosting",
    "UnconditionalDensity",
]
