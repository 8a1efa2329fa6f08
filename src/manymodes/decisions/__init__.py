"""Acting on a density: the best action, risks, what to leave to a person, what to try or to measure next.

Costs and thresholds are yours, expectations are exact wherever they can be. ``best_action`` takes any cost,
``newsvendor``, ``quadratic`` and ``threshold_action`` know theirs. ``acquire`` chooses the rows of a pool that teach a
model the most.
"""

from manymodes.decisions.acquisition import expected_improvement, probability_of_improvement, thompson
from manymodes.decisions.actions import (
    Choice,
    Decision,
    best_action,
    expected_cost,
    newsvendor,
    quadratic,
    threshold_action,
)
from manymodes.decisions.learning import acquire
from manymodes.decisions.partial import expected_excess
from manymodes.decisions.reject import Rejector, fit_rejector, reject
from manymodes.decisions.risk import ExceedanceRisk, TailRisk, exceedance_risk, tail_risk

__all__ = [
    "Choice",
    "Decision",
    "ExceedanceRisk",
    "Rejector",
    "TailRisk",
    "acquire",
    "best_action",
    "exceedance_risk",
    "expected_cost",
    "expected_excess",
    "expected_improvement",
    "fit_rejector",
    "newsvendor",
    "probability_of_improvement",
    "quadratic",
    "reject",
    "tail_risk",
    "thompson",
    "threshold_action",
]
