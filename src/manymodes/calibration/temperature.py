"""Two numbers fitted by maximum likelihood: a temperature of the weights and a factor of all spreads."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from manymodes.distributions import Mixture

_FARTHEST = 4.0  # logarithms of both numbers lie within
_WIDTHS = (0.3, 1.0)  # of normal priors of both logarithms: weights of few rows say little
_MOST_ROWS = 20_000


def fit_temperature(distribution: Mixture, y: Tensor) -> tuple[float, float]:
    """Return the temperature and the factor of spreads that fit targets best that the model was not fitted to.

    Both are near 1 before anything is seen, as a prior says, and stay 1 where less is gained than a standard error. Of
    more than 20,000 rows, as many are taken evenly: two numbers need no more.

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
        prior = sum((log / width) ** 2 for log, width in zip(logs, _WIDTHS, strict=True))
        return -float(scores(logs).mean()) + 0.5 * float(prior) / len(y)

    bounds = [(-_FARTHEST, _FARTHEST)] * 2
    options = {"initial_simplex": [[0.0, 0.0], [0.3, 0.0], [0.0, 0.3]], "xatol": 1e-3, "fatol": 1e-6}
    found = minimize(cost, [0.0, 0.0], method="Nelder-Mead", bounds=bounds, options=options)
    gain = scores(found.x) - scores((0.0, 0.0))
    if not float(gain.mean()) > float(gain.std()) / math.sqrt(len(gain)):
        return 1.0, 1.0
    temperature = math.exp(found.x[0]) if distribution.n_components > 1 else 1.0
    return temperature, math.exp(found.x[1])
