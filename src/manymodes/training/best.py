"""Early stopping, member by member: the weights of each one's best epoch so far, and when to give up."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.nn import MixtureDensityNetwork


class BestWeights:
    """Keeps, for each member, a copy of the weights of its epoch with the lowest validation loss.

    Args:
        network: Network whose parameters and running statistics are kept; without members it counts as one.
        patience: Epochs without improvement of any member after which the fit may stop; None never stops it.
    """

    def __init__(self, network: MixtureDensityNetwork, patience: int | None) -> None:
        self._now = network.member_state()
        self._patience = None if patience is None else _checks.integer_at_least("patience", patience, 1)
        self._kept = {name: value.clone() for name, value in self._now.items()}
        n_members = network.n_members or 1
        self.losses = torch.full((n_members,), torch.inf)
        self.epochs = torch.full((n_members,), -1)

    def update(self, epoch: int, losses: Tensor) -> bool:
        """Take note of each member's validation loss, (M,), after an epoch; return whether training should stop."""
        losses = losses.to("cpu", self.losses.dtype)
        better = (losses < self.losses).nonzero().squeeze(-1)
        if len(better):
            self.losses[better], self.epochs[better] = losses[better], epoch
            for name, value in self._now.items():
                self._kept[name][better] = value[better]
        return self._patience is not None and epoch - int(self.epochs.max()) >= self._patience

    def state(self) -> dict[str, Tensor]:
        """Return everything that is kept, as tensors."""
        return {"losses": self.losses, "epochs": self.epochs} | {
            f"of.{name}": kept for name, kept in self._kept.items()
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Keep what ``state`` returned."""
        self.losses, self.epochs = state["losses"], state["epochs"]
        for name, kept in self._kept.items():
            kept.copy_(state[f"of.{name}"])

    def restore(self) -> None:
        """Put the best weights back into the network; a member without any keeps what it has."""
        known = (self.epochs >= 0).nonzero().squeeze(-1)
        for name, value in self._now.items():
            value[known] = self._kept[name][known]
