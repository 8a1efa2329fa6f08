"""How wide a prediction is, in one number."""

from __future__ import annotations

import torch
from torch import Tensor

from manymodes.distributions import Prediction


def log_spread(distribution: Prediction) -> Tensor:
    """Return the logarithm of the length of the middle half of each prediction, summed over target dimensions, (N,).

    It exists for every family, unlike the variance; of angles it is the length of an arc. Without a gradient.
    """
    with torch.no_grad():
        length = distribution.icdf_around_mean(0.75) - distribution.icdf_around_mean(0.25)
        return length.clamp_min(torch.finfo(length.dtype).tiny).log().sum(-1)
