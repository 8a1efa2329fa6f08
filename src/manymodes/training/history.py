"""What happened during a fit, in numbers and in words: how it ended, and what to try next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from statistics import median
from typing import Any, Self

from manymodes import _checks
from manymodes.training.findings import Findings

_PARTS = 20  # a running median reaches over one twentieth of the epochs to either side
_LATE = 0.75  # of the epochs: a best epoch after it may not have been the last
_CLEAR = 0.05  # of the whole fall of the validation loss, for a rise or a fall to be told
_NOISY = 8.0  # standard errors of a smoothed loss, likewise
_APART = 5.0  # standard errors of a validation loss, were its rows' losses 1 nat apart
_MANY_AT_FLOOR = 0.01  # of the rows


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
        ended_by: ``"patience"``, ``"time_limit"``, ``"callback"`` or ``"interrupt"``, whichever ended the fit; empty
            where it ran as planned.
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
        return _in_words(self)

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


# --- in words ---


def _in_words(history: History) -> str:
    """Return what happened during a fit, and what to try, one sentence or two to a line."""
    if history.n_epochs == 0:
        return "No epoch has run yet."
    told = [_about_the_end(history), _about_the_curve(history), _about_batches(history), _about_members(history)]
    if history.findings is not None:
        told += [_about_idle(history.findings), _about_floor(history.findings), _about_scores(history.findings)]
    if _is_negative(history):
        told.append("A negative loss (NLL) is normal: the density is above 1 where the targets fall. Lower is better.")
    return "\n".join(line for line in told if line)


def _about_the_end(history: History) -> str:
    kept = f"it kept the weights of epoch {history.best_epoch + 1}"
    if history.n_members > 1:
        first, last = min(history.best_epochs) + 1, max(history.best_epochs) + 1
        which = f"epoch {first}" if first == last else f"epochs {first} to {last}"
        kept = f"its {history.n_members} members kept the weights of {which}"
    seconds = f"{history.seconds:.3g} s"
    if not history.stopped_early:
        return f"The fit ran all {_checks.counted(history.n_epochs, 'epoch')} in {seconds}; {kept}."
    stopped = f"The fit stopped after {history.n_epochs} of {history.max_epochs} planned epochs, in {seconds}"
    if history.ended_by == "patience":
        waited = history.n_epochs - 1 - max(history.best_epochs)
        return f"{stopped}, for nothing had improved over {_checks.counted(waited, 'epoch')} (patience); {kept}."
    if history.ended_by == "time_limit":
        return f"{stopped}, since its time was up (time_limit); {kept}."
    if history.ended_by == "callback":
        return f"{stopped}, since a callback asked for it; {kept}."
    if history.ended_by == "interrupt":
        return f"{stopped}, when it was interrupted; {kept}."
    return f"{stopped}; {kept}."


def _about_the_curve(history: History) -> str:
    """Say whether the validation loss rose, still fell or had settled at the end."""
    validation, train = _smooth(history.validation_loss), _smooth(history.train_loss)
    if len(validation) < 4 or not all(map(math.isfinite, validation)):
        return ""
    lowest, end = min(validation), len(validation) - 1 - _reach(validation)  # the last that is a median of so many
    turn = validation.index(lowest)
    fall, rise = validation[0] - lowest, validation[end] - lowest
    enough = max(_CLEAR * fall, _NOISY * _noise(history.validation_loss, validation))
    if rise > enough and train[end] < train[turn]:
        return (
            f"It over-fitted from epoch {turn + 1} on, as long fits do: the validation loss rose by {rise:.2g} "
            "while the training loss still fell. Nothing is lost: predictions use the weights kept before. More rows, "
            "dropout, weight_decay or members, or fewer hidden units, may carry them further."
        )
    gain = validation[len(validation) // 2] - validation[-1]
    is_late = max(history.best_epochs) >= _LATE * history.n_epochs - 1
    if is_late and gain > enough:
        remedy = "more time" if history.ended_by == "time_limit" else "more epochs"
        return (
            f"The validation loss was still falling, by {gain:.2g} over the second half: {remedy}, or a higher lr, may "
            "help."
        )
    return "The validation loss had settled by the end: for a schedule of this length, the fit converged."


def _about_batches(history: History) -> str:
    if not history.skipped_batches:
        return ""
    skipped = _checks.counted(history.skipped_batches, "batch", "batches")
    verb = "was" if history.skipped_batches == 1 else "were"
    return (
        f"{skipped} had a loss or gradient that is not finite and {verb} skipped; if there are many, lower lr or look "
        "for extreme values in the features."
    )


def _about_members(history: History) -> str:
    """Name the members whose best validation loss is far above the middle one's."""
    losses = history.best_losses
    if len(losses) < 3 or not all(map(math.isfinite, losses)):
        return ""
    middle = median(losses)
    fall = max(0.0, history.validation_loss[0] - middle)
    enough = max(_APART / math.sqrt(max(history.n_validation, 1)), 4 * _CLEAR * fall)
    far = [m + 1 for m, loss in enumerate(losses) if loss - middle > enough]
    if not far:
        return ""
    who = f"Member {far[0]} ends" if len(far) == 1 else f"Members {', '.join(map(str, far))} end"
    return (
        f"{who} far above the others: a best validation loss of up to {max(losses):.2f} against {middle:.2f} in the "
        "middle. Their validation rows may be hard, or the fit got stuck; try another random_state or a lower lr."
    )


def _about_idle(findings: Findings) -> str:
    told = []
    for count, what in (
        (findings.dead_components, "are hardly ever used (weight and responsibility below 0.001)"),
        (findings.duplicate_components, "repeat another one"),
    ):
        if count >= 0.5:
            told.append(f"{count:.2g} of {findings.n_components} components {what}")
    if not told:
        return ""
    return f"{' and '.join(told)}: harmless, but a smaller n_components would do."


def _about_floor(findings: Findings) -> str:
    if findings.floor_share < _MANY_AT_FLOOR:
        return ""
    rows = f" (say {', '.join(str(row + 1) for row in findings.floor_rows)})" if findings.floor_rows else ""
    return (
        f"For {findings.floor_share:.1%} of the training rows{rows} the component responsible is as narrow as "
        f"it may be (min_scale={findings.min_scale:.3g}): values repeat there, or follow from the features exactly, "
        "and log scores say little. Score rounding cells, give repeated values a probability of their own, or raise "
        "min_scale."
    )


def _about_scores(findings: Findings) -> str:
    train, validation = findings.train_score, findings.validation_score
    if train is None or validation is None:
        return ""
    return (
        f"Mean log score (lower is better) with the weights kept, in standardised units: {train:.3f} on training "
        f"rows, {validation:.3f} on validation rows."
    )


def _is_negative(history: History) -> bool:
    losses: Sequence[float | None] = history.best_losses
    if history.findings is not None:
        losses = (history.findings.train_score, history.findings.validation_score)
    return any(loss is not None and loss < 0 for loss in losses)


def _smooth(losses: Sequence[float]) -> list[float]:
    """Return running medians over a tenth of the epochs; what is not finite counts as infinite."""
    values = [loss if math.isfinite(loss) else math.inf for loss in losses]
    reach = _reach(values)
    return [median(values[max(0, i - reach) : i + reach + 1]) for i in range(len(values))]


def _reach(losses: Sequence[float]) -> int:
    """Return how many epochs to either side go into a running median."""
    return max(1, len(losses) // _PARTS)


def _noise(losses: Sequence[float], smooth: Sequence[float]) -> float:
    """Return the standard error of running medians, from how far losses typically are from them."""
    typical = median([abs(loss - middle) for loss, middle in zip(losses, smooth, strict=True)])
    return 1.5 * typical / math.sqrt(2 * _reach(losses) + 1)
