"""Weights that are normalised already: those of networks, and of mixtures made from other mixtures."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution
from torch.types import _size


@final
class LogWeights(Categorical):
    """Weights by their logarithms, (..., K), which sum to one already and are kept as they are, to the last bit.

    Torch's own class normalises whatever it is given once more, which costs time and moves last bits.

    Args:
        logits: Logarithms of the weights; that they sum to one is the caller's duty.
    """

    def __init__(self, logits: Tensor) -> None:
        self.logits = self._param = logits
        self._num_events = logits.shape[-1]
        Distribution.__init__(self, logits.shape[:-1], validate_args=False)

    def expand(self, batch_shape: _size, _instance: Distribution | None = None) -> LogWeights:
        """Return the weights with their batch shape expanded."""
        return LogWeights(self.logits.expand(torch.Size(batch_shape) + self.logits.shape[-1:]))
