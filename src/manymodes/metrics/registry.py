"""What there is to score with: every score by name, with what it sees and whether it is strictly proper."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from manymodes.metrics.cde import cde_loss
from manymodes.metrics.energy import energy_score
from manymodes.metrics.points import absolute_error, squared_error
from manymodes.metrics.quantile_scores import brier_score, interval_score, pinball_loss
from manymodes.metrics.scores import (
    crps,
    log_score,
    marginal_crps,
    quantile_weighted_crps,
    threshold_weighted_crps,
)
from manymodes.metrics.variogram import variogram_score


@dataclass(frozen=True)
class Score:
    """A proper score: the true distribution minimises it on average.

    Attributes:
        function: Function of predictions, targets and maybe settings that returns scores, (N,) or (N, D).
        sees: What it judges: the ``"joint"`` distribution, or each target dimension by itself, ``"marginal"``.
        strictly_proper: Whether of what it sees only the true distribution minimises it; of angles the CRPS is proper
            only, since half circles do not tell all distributions apart.
        units: Its units, where ``"y"`` stands for those of the targets.
        on_a_line: Whether it is refused for angles.
        per_dimension: Whether it returns a score of each target dimension, (N, D), rather than one of all, (N,).
    """

    function: Callable[..., Tensor]
    sees: Literal["joint", "marginal"]
    strictly_proper: bool
    units: str
    on_a_line: bool = False
    per_dimension: bool = True


SCORES: Mapping[str, Score] = {
    "log_score": Score(log_score, "joint", True, "nats", per_dimension=False),
    "energy_score": Score(energy_score, "joint", True, "y", on_a_line=True, per_dimension=False),
    "variogram_score": Score(variogram_score, "joint", False, "y^(2 p)", on_a_line=True, per_dimension=False),
    "cde_loss": Score(cde_loss, "joint", True, "1 / y^D", per_dimension=False),
    "crps": Score(crps, "marginal", True, "y", per_dimension=False),
    "marginal_crps": Score(marginal_crps, "marginal", True, "y"),
    "threshold_weighted_crps": Score(threshold_weighted_crps, "marginal", False, "y", on_a_line=True),
    "quantile_weighted_crps": Score(quantile_weighted_crps, "marginal", False, "y", on_a_line=True),
    "interval_score": Score(interval_score, "marginal", False, "y", on_a_line=True),
    "pinball_loss": Score(pinball_loss, "marginal", False, "y", on_a_line=True),
    "brier_score": Score(brier_score, "marginal", False, "1"),
    "squared_error": Score(squared_error, "marginal", False, "y^2"),
    "absolute_error": Score(absolute_error, "marginal", False, "y", on_a_line=True),
}
