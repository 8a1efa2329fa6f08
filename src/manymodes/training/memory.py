"""What a network with retrieval remembers while it is trained, and afterwards."""

from __future__ import annotations

from torch import Tensor

from manymodes import _checks
from manymodes.nn import MixtureDensityNetwork
from manymodes.training.rows.data import Split


class Memory:
    """Fills the memory of a network, if it has one: each member consults the rows that it trains on.

    Args:
        network: The network.
        parts: Its rows in scaled units.

    Raises:
        ValueError: Targets that are not exact, which cannot be the centre of a component, or validation rows of their
            own, whose numbers would be mistaken for those of training rows.
    """

    def __init__(self, network: MixtureDensityNetwork, parts: Split) -> None:
        self._network, self._retrieval = network, network.retrieval
        if self._retrieval is None:
            return
        if not isinstance(parts.train.y, Tensor):
            raise _checks.InputError("y must hold exact targets for retrieval; got Incomplete.")
        if parts.train.y.dim() != 2:
            raise _checks.InputError("y must have shape (N, D) for retrieval; got targets at every step.")
        if parts.held_out is not parts.train:
            raise _checks.InputError("validation must be a share of the rows for retrieval, not rows of their own.")
        n_remembered = len(self._retrieval.rows)
        if len(parts.train) != n_remembered:
            raise _checks.InputError(
                f"data must have as many rows of weight > 0 as the retrieval remembers, {n_remembered}; "
                f"got {len(parts.train)}."
            )
        self._retrieval.remember(parts.train.x, parts.train.y, parts.train_index)

    def refresh(self) -> None:
        """Embed the remembered rows anew, before an epoch."""
        if self._retrieval is not None:
            self._retrieval.refresh(self._network.backbone)

    def close(self) -> None:
        """Embed them for the last time, and let every member consult all of them from now on."""
        self.refresh()
        if self._retrieval is not None:
            self._retrieval.open()
