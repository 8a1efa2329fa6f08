"""The one loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from manymodes import _checks, objectives
from manymodes.nn import MixtureDensityNetwork
from manymodes.objectives import Objective
from manymodes.training.best import BestWeights
from manymodes.training.data import Data, Rows, Split, as_rows, folds, split
from manymodes.training.findings import examine
from manymodes.training.history import History
from manymodes.training.memory import Memory
from manymodes.training.progress import progress_bar
from manymodes.training.randomness import isolated
from manymodes.training.schedule import Pace, WarmUpAndDecay, default_batch_size, default_max_epochs
from manymodes.training.step import Stepper, member_losses

Callback = Callable[[History], None]


def fit(
    network: MixtureDensityNetwork,
    data: Data,
    *,
    objective: Objective = objectives.nll,
    validation: float | Data | Tensor = 0.1,
    max_epochs: int | None = None,
    n_steps: int | None = None,
    least_epochs: int | None = None,
    batch_size: int | None = None,
    lr: float = 2e-3,
    weight_decay: float = 1e-2,
    warm_up: float = 0.1,
    clip_norm: float = 1.0,
    input_noise: float = 0.0,
    target_noise: float = 0.0,
    precision: str = "full",
    fade_dropout: bool = True,
    patience: int | None = None,
    time_limit: float | None = None,
    initialise: bool = True,
    random_state: int | None = None,
    callbacks: Iterable[Callback] = (),
    progress: bool | None = None,
) -> History:
    """Fit a network to data, in place, and leave it with the weights of its best epoch.

    AdamW with warm-up and cosine decay; gradients are clipped; a batch whose loss or gradient is not finite is
    skipped and counted. Scaling and the spread of initial locations are learned from the training rows. The members
    of a network are trained in one pass, each with validation rows, batches, clipping and a best epoch of its own.

    Args:
        network: The network; it stays on its device.
        data: ``(x, y)`` or ``(x, y, weight)`` with x (N, ...), y (N, D), weight (N,), in the user's units. Targets
            that are missing, censored or rounded are handed in as ``distributions.Incomplete``.
        objective: What to minimise, a function of ``(distribution, y, weight)``.
        validation: Share of rows that each member holds out to choose its best epoch; or numbers of rows that each
            member holds out, (M, n), or (n,) without members; or rows of their own, as ``data``.
        max_epochs: Passes over the training rows; by default enough for ``n_steps``.
        n_steps: Steps to take, about, where ``max_epochs`` is left open; by default some 3,000.
        least_epochs: Passes to make at least, whatever ``n_steps``.
        batch_size: Rows per step; by default about an eighth of them, from 16 to 512.
        lr: Highest learning rate.
        weight_decay: Decay of weight matrices (not of biases) by AdamW.
        warm_up: Share of the steps over which the learning rate rises.
        clip_norm: Largest norm of the gradient.
        input_noise: Standard deviation of normal noise, fresh in every batch, on inputs in scaled units.
        target_noise: The same on targets.
        precision: Of matrix products while training: ``"full"``, ``"bfloat16"``, or ``"auto"`` for bfloat16 on devices
            that have instructions for it. Likelihoods, weights and validation keep the network's precision.
        fade_dropout: Whether the dropout of this package's backbones fades over the first three tenths of the fit, so
            that scales do not account for its noise.
        patience: Stop after so many epochs without improvement of any member; None runs them all.
        time_limit: Seconds that the fit may take: the learning rate then falls with the time, too; None for any.
        initialise: Learn scaling and initial locations; False continues a fitted network.
        random_state: Seed of validation rows, batches and dropout; None draws a fresh one.
        callbacks: Called with the history after every epoch.
        progress: Show a progress bar; None shows it on a terminal.

    Returns:
        The history of losses in scaled units.

    Raises:
        ValueError: Shapes that do not fit, values that are not finite or outside the support of the family, settings
            out of range.
        TypeError: Arguments of the wrong kind.
        FloatingPointError: A whole epoch without one finite batch, or no finite validation loss at all.

    References:
        Loshchilov and Hutter (2019), Decoupled weight decay regularization.
    """
    _check_kinds(network, objective, callbacks)
    rows = as_rows("data", data, network)
    if isinstance(validation, Tensor) and len(rows) < len(data[0]):
        raise _checks.InputError("validation must not be numbers of rows where weights are 0; drop those rows first.")
    with isolated(random_state, network.device) as generator:
        parts = split(rows, _validation(network, validation, len(rows), generator), network.n_members)
        n_train, n_held_out = parts.train_index.shape[-1], parts.held_out_index.shape[-1]
        n_batches = -(-n_train // _or_default("batch_size", batch_size, default_batch_size(n_train)))
        max_epochs = _or_default("max_epochs", max_epochs, default_max_epochs(n_batches, n_steps, least_epochs))
        pace = Pace(max_epochs * n_batches, time_limit)
        schedule = WarmUpAndDecay(lr, warm_up)
        stepper = Stepper(
            network,
            objective,
            schedule=schedule,
            pace=pace,
            weight_decay=weight_decay,
            clip_norm=clip_norm,
            input_noise=input_noise,
            target_noise=target_noise,
            precision=precision,
            fade_dropout=fade_dropout,
        )
        history = History(max_epochs=max_epochs, n_train=n_train, n_validation=n_held_out)
        best = BestWeights(network, patience)
        if initialise:
            seen = rows.take(parts.train_index.unique())
            network.initialise(seen.x, seen.y, generator)
        parts = parts.scaled(network)
        with progress_bar(progress, max_epochs) as show:
            run = _Run(network, parts, objective, stepper, pace, best, history)
            run.epochs(n_batches, generator, [show, *callbacks])
    history.findings = examine(network, parts)
    return history


@dataclass(frozen=True, eq=False)
class _Run:
    """The epochs of one fit; afterwards the network has its best weights.

    Attributes:
        network: What is fitted.
        parts: Its rows in scaled units.
        objective: What judges an epoch.
        stepper: What changes the weights.
        pace: Tells whether the time is over.
        best: Keeps the best weights.
        history: Takes note of everything.
    """

    network: MixtureDensityNetwork
    parts: Split
    objective: Objective
    stepper: Stepper
    pace: Pace
    best: BestWeights
    history: History

    def epochs(self, n_batches: int, generator: torch.Generator, followers: Sequence[Callback]) -> None:
        """Go through all epochs, or until patience or time is over."""
        memory = Memory(self.network, self.parts)
        try:
            for _ in range(self.history.max_epochs):
                memory.refresh()
                self.history.ended_by = self._epoch(n_batches, generator)
                for follower in followers:
                    follower(self.history)
                if self.history.ended_by:
                    break
        finally:  # an interruption, too, leaves the best weights so far
            self.best.restore()
            memory.close()
            self.network.eval()
        if bool((self.best.epochs < 0).any()):
            raise FloatingPointError(
                "the objective was not finite on the validation rows after any epoch, so no weights could be chosen; "
                "check the objective and the backbone, or lower lr."
            )

    def _epoch(self, n_batches: int, generator: torch.Generator) -> str:
        """Learn from all training rows once and take note of it; return what ends the fit now, or nothing."""
        parts, history, best = self.parts, self.history, self.best
        losses = self.stepper.epoch(parts.train, parts.train_index, n_batches, generator)
        held_out_losses = evaluate(self.network, parts.held_out, parts.held_out_index, self.objective)
        gave_up = best.update(history.n_epochs, held_out_losses)
        _record(history, torch.stack(losses), held_out_losses)
        history.best_epochs, history.best_losses = best.epochs.tolist(), best.losses.tolist()
        history.seconds = self.pace.seconds
        return "patience" if gave_up else "time_limit" if self.pace.is_over else ""


@torch.no_grad()
def evaluate(
    network: MixtureDensityNetwork, rows: Rows, index: Tensor, objective: Objective, chunk: int = 10_000
) -> Tensor:
    """Return each member's objective on its rows, (M, n) or (n,), in scaled units: (M,), averaged over chunks."""
    network.eval()
    n_rows = index.shape[-1]
    losses = [member_losses(network, rows.take(part), objective) * part.shape[-1] for part in index.split(chunk, -1)]
    return torch.stack(losses).sum(0) / n_rows


def _check_kinds(network: object, objective: object, callbacks: object) -> None:
    _checks.instance("network", network, MixtureDensityNetwork)
    if not callable(objective):
        raise TypeError(f"objective must be a function, say manymodes.objectives.nll; got {objective!r}.")
    if callable(callbacks):
        raise TypeError("callbacks must be a list of functions; got a function.")


def _validation(
    network: MixtureDensityNetwork, validation: float | Data | Tensor, n_rows: int, generator: torch.Generator
) -> Tensor | Rows:
    """Return numbers of rows to hold out, or the rows that were given for that."""
    if isinstance(validation, (tuple, list)):
        return as_rows("validation", validation, network)
    if isinstance(validation, Tensor):
        return _checked_numbers(validation, network.n_members, n_rows)
    share = _checks.number_between("validation", validation, 0.0, 1.0)
    return folds(n_rows, share, network.n_members, generator)


def _checked_numbers(numbers: Tensor, n_members: int | None, n_rows: int) -> Tensor:
    """Return numbers of rows to hold out, (M, n), or (n,) without members, if they can be that."""
    if numbers.is_floating_point() or numbers.dtype == torch.bool:
        raise _checks.InputError(f"validation must hold numbers of rows, integers; got {numbers.dtype}.")
    n_held_out = numbers.shape[-1] if numbers.dim() else 0
    shape = (n_held_out,) if n_members is None else (n_members, n_held_out)
    _checks.matches_shape("validation", numbers.shape, shape, "to name rows that each member holds out")
    _checks.integer_at_least("the number of rows in validation", n_held_out, 1, n_rows - 1)
    _checks.integer_at_least("the smallest row number in validation", int(numbers.min()), 0)
    _checks.integer_at_least("the largest row number in validation", int(numbers.max()), 0, n_rows - 1)
    ordered = numbers.sort(-1).values
    if bool((ordered[..., 1:] == ordered[..., :-1]).any()):
        raise _checks.InputError("validation must name no row twice for the same member.")
    return numbers.long()


def _or_default(name: str, value: int | None, default: int) -> int:
    return default if value is None else _checks.integer_at_least(name, value, 1)


def _record(history: History, losses: Tensor, validation_losses: Tensor) -> None:
    """Take note of an epoch: the losses of each batch and member, NaN where skipped, and those on validation rows."""
    skipped = losses.isnan()
    if bool(skipped.all(0).any()):
        raise FloatingPointError(
            f"every batch of epoch {history.n_epochs + 1} had a loss or gradient that is not finite, so nothing "
            "could be learned from it; check the objective and the backbone, or lower lr."
        )
    history.skipped_batches += int(skipped.sum())
    history.train_loss.append(float(losses.nanmean()))
    history.validation_loss.append(float(validation_losses.mean()))
