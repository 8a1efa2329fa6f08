"""Two numbers fitted by maximum likelihood: a temperature of the weights and a factor of all spreads."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from manymodes.distributions import Mixture

_FARTHEST = 4.0  # logarithms of both numbers lie within
_LEAST = 1e-6  # penalty of logarithms squared
_MOST_ROWS = 20_000


def fit_temperature(distribution: Mixture, y: Tensor) -> tuple[float, float]:
    """Return the temperature and the factor of spreads that fit targets best that the model was not fitted to.

    Where less is gained than a standard error, both are 1. Of more than 20,000 rows, as many are taken evenly: two
    numbers need no more.

    Args:
        distribution: Predictions of the rows, ``batch_shape`` (N,), of a family whose spread can change.
        y: Their targets, (N, D).

    References:
        Guo, Pleiss, Sun and Weinberger (2017), On calibration of modern neural networks, ICML, section 4.2 (for
        classifiers).
    """
    from scipy.optimize import minimize

    some = torch.arange(0, len(y), max(len(y) // _MOST_ROWS, 1), device=distribution.logits.device)
    part, targets = distribution[some], y[some]

    def scores(logs: Any) -> Tensor:
        temperature, spread = (math.exp(log) for log in logs)
        with torch.no_grad():
            return part.tempered(temperature, spread=spread).log_prob(targets)

    def cost(logs: Any) -> float:
        # A single component has no temperature: what changes nothing stays 1.
        return -float(scores(logs).mean()) + _LEAST * float(sum(log**2 for log in logs))

    bounds = [(-_FARTHEST, _FARTHEST)] * 2
    options = {"initial_simplex": [[0.0, 0.0], [0.3, 0.0], [0.0, 0.3]], "xatol": 1e-3, "fatol": 1e-6}
    found = minimize(cost, [0.0, 0.0], method="Nelder-Mead", bounds=bounds, options=options)
    gain = scores(found.x) - scores((0.0, 0.0))
    if not float(gain.mean()) > float(gain.std()) / math.sqrt(len(gain)):
        return 1.0, 1.0
    return math.exp(found.x[0]), math.exp(found.x[1])
