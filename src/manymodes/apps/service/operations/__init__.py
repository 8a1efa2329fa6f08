"""What can be asked of a model; answers are those of the estimator's own methods."""

from __future__ import annotations

from collections.abc import Mapping

from manymodes.apps.service.operations.given import LogProb, Probability
from manymodes.apps.service.operations.numbers import Predict, Quantiles, Sample
from manymodes.apps.service.operations.operation import Asked, Operation, Predicted
from manymodes.apps.service.operations.searches import Modes, Region

OPERATIONS: Mapping[str, Operation] = {
    operation.name: operation
    for operation in (Predict(), Quantiles(), LogProb(), Region(), Modes(), Sample(), Probability())
}

__all__ = ["OPERATIONS", "Asked", "Operation", "Predicted"]
