"""Early stopping: the weights of the best epoch so far, and when to give up."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from manymodes import _checks


class BestWeights:
    """Keeps a copy of the weights of the epoch with the lowest validation loss.

    Args:
        network: Module whose parameters and buffers are kept.
        patience: Epochs without improvement after which the fit may stop; None never stops it.
    """

    def __init__(self, network: nn.Module, patience: int | None) -> None:
        self._network = network
        self._patience = None if patience is None else _checks.integer_at_least("patience", patience, 1)
        self._state: dict[str, Tensor] = {}
        self._loss = math.inf
        self.epoch = -1

    def update(self, epoch: int, loss: float) -> bool:
        """Take note of an epoch's validation loss; return whether training should stop."""
        if loss < self._loss:
            self._loss, self.epoch = loss, epoch
            self._state = {name: value.clone() for name, value in self._network.state_dict().items()}
        return self._patience is not None and epoch - self.epoch >= self._patience

    def restore(self) -> None:
        """Put the best weights back into the network."""
        if self._state:
            with torch.no_grad():
                self._network.load_state_dict(self._state)
