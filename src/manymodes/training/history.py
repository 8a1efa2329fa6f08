"""What happened during a fit."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from manymodes import _checks
from manymodes.training.diagnosis import Findings, in_words


@dataclass
class History:
    """The record of one fit; losses are values of the objective in scaled units.

    Attributes:
        train_loss: Mean objective over members and batches of each epoch, while the weights were changing.
        validation_loss: Objective on the validation rows after each epoch, averaged over members.
        best_epochs: Epoch whose weights each member kept, counted from 0; -1 before the first.
        best_losses: Validation loss of each member at that epoch.
        max_epochs: Epochs that were planned.
        skipped_batches: Batches whose loss or gradient was not finite, counted for each member; they never reached
            its weights.
        n_train: Rows that the weights of a member were fitted to.
        n_validation: Rows that chose its best epoch.
        seconds: Time that the fit took.
        ended_by: ``"patience"`` or ``"time_limit"``, whichever ended the fit; empty where it ran as planned.
        findings: What the components of the fitted network do; None before the end, and in records of old versions.
    """

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    best_epochs: list[int] = field(default_factory=lambda: [-1])
    best_losses: list[float] = field(default_factory=lambda: [math.nan])
    max_epochs: int = 0
    skipped_batches: int = 0
    n_train: int = 0
    n_validation: int = 0
    seconds: float = 0.0
    ended_by: str = ""
    findings: Findings | None = None

    @property
    def n_epochs(self) -> int:
        """Number of epochs that ran."""
        return len(self.train_loss)

    @property
    def n_members(self) -> int:
        """Number of members that were trained side by side; 1 for a network without."""
        return len(self.best_epochs)

    @property
    def best_epoch(self) -> int:
        """Epoch whose weights were kept, counted from 0; of several members the middle one (the lower median)."""
        return sorted(self.best_epochs)[(self.n_members - 1) // 2]

    @property
    def best_validation_loss(self) -> float:
        """Validation loss at the epochs whose weights were kept, averaged over members."""
        return sum(self.best_losses) / self.n_members

    @property
    def stopped_early(self) -> bool:
        """Whether the fit ended before the planned number of epochs."""
        return self.n_epochs < self.max_epochs

    def diagnosis(self) -> str:
        """Return what happened, in words, and what to try next, line by line."""
        return in_words(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON can hold it: losses that are not finite become None."""
        losses = {name: [_finite_or_none(loss) for loss in getattr(self, name)] for name in _LOSSES}
        return asdict(self) | losses | {"findings": None if self.findings is None else self.findings.to_dict()}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        """Return the history that ``to_dict`` gave ``record`` of."""
        known = [entry.name for entry in fields(cls)]
        unknown = [name for name in record if name not in known]
        if unknown:
            raise _checks.InputError(f"a history has no {_checks.quoted(unknown)}.")
        losses = {name: [math.nan if loss is None else loss for loss in record[name]] for name in _LOSSES}
        found = record.get("findings")
        return cls(**(record | losses | {"findings": None if found is None else Findings.from_dict(found)}))

    def __repr__(self) -> str:
        return (
            f"History(n_epochs={self.n_epochs}, best_epoch={self.best_epoch}, "
            f"best_validation_loss={self.best_validation_loss:.4g}, "
            f"skipped_batches={self.skipped_batches})"
        )


_LOSSES = ("train_loss", "validation_loss", "best_losses")


def _finite_or_none(loss: float) -> float | None:
    return loss if math.isfinite(loss) else None
