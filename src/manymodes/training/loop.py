"""The one loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from manymodes import _checks, objectives
from manymodes.nn import MixtureDensityNetwork
from manymodes.objectives import Objective
from manymodes.training.best import BestWeights
from manymodes.training.data import Data, Rows, as_rows, split
from manymodes.training.history import History
from manymodes.training.progress import progress_bar
from manymodes.training.randomness import isolated
from manymodes.training.schedule import WarmUpAndDecay, default_batch_size, default_max_epochs
from manymodes.training.step import Stepper

Callback = Callable[[History], None]


def fit(
    network: MixtureDensityNetwork,
    data: Data,
    *,
    objective: Objective = objectives.nll,
    validation: float | Data = 0.1,
    max_epochs: int | None = None,
    batch_size: int | None = None,
    lr: float = 2e-3,
    weight_decay: float = 1e-2,
    warm_up: float = 0.1,
    clip_norm: float = 1.0,
    patience: int | None = None,
    initialise: bool = True,
    random_state: int | None = None,
    callbacks: Iterable[Callback] = (),
    progress: bool | None = None,
) -> History:
    """Fit a network to data, in place, and leave it with the weights of its best epoch.

    AdamW with warm-up and cosine decay; gradients are clipped; a batch whose loss or gradient is not finite is
    skipped and counted. Scaling and the spread of initial locations are learned from the training rows.

    Args:
        network: The network; it stays on its device.
        data: ``(x, y)`` or ``(x, y, weight)`` with x (N, ...), y (N, D), weight (N,), in the user's units. Targets
            that are missing, censored or rounded are handed in as ``distributions.Incomplete``.
        objective: What to minimise, a function of ``(distribution, y, weight)``.
        validation: Share of rows held out to choose the best epoch, or those rows themselves.
        max_epochs: Passes over the training rows; by default enough for some 3,000 steps.
        batch_size: Rows per step; by default about an eighth of them, from 16 to 512.
        lr: Highest learning rate.
        weight_decay: Decay of weight matrices (not of biases) by AdamW.
        warm_up: Share of the steps over which the learning rate rises.
        clip_norm: Largest norm of the gradient.
        patience: Stop after so many epochs without improvement; None runs them all.
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
    started = time.monotonic()
    _check_kinds(network, objective, callbacks)
    rows = as_rows("data", data, network)
    with isolated(random_state, network.device) as generator:
        train, held_out = _training_and_validation(network, rows, validation, generator)
        n_batches = -(-len(train) // _or_default("batch_size", batch_size, default_batch_size(len(train))))
        max_epochs = _or_default("max_epochs", max_epochs, default_max_epochs(n_batches))
        schedule = WarmUpAndDecay(lr, warm_up, max_epochs * n_batches)
        stepper = Stepper(network, objective, lr=schedule, weight_decay=weight_decay, clip_norm=clip_norm)
        best = BestWeights(network, patience)
        history = History(max_epochs=max_epochs, n_train=len(train), n_validation=len(held_out))
        if initialise:
            network.initialise(train.x, train.y, generator)
        train, held_out = train.scaled(network), held_out.scaled(network)
        try:
            with progress_bar(progress, max_epochs) as show:
                followers: list[Callback] = [show, *callbacks]
                for epoch in range(max_epochs):
                    losses = stepper.epoch(train, n_batches, generator)
                    history.skipped_batches += n_batches - len(losses)
                    _record(history, losses, evaluate(network, held_out, objective))
                    stop = best.update(epoch, history.validation_loss[-1])
                    history.best_epoch, history.seconds = best.epoch, time.monotonic() - started
                    for follower in followers:
                        follower(history)
                    if stop:
                        break
        finally:  # an interruption, too, leaves the best weights so far
            best.restore()
            network.eval()
    if best.epoch < 0:
        raise FloatingPointError(
            "the objective was not finite on the validation rows after any epoch, so no weights could be chosen; check "
            "the objective and the backbone, or lower lr."
        )
    return history


@torch.no_grad()
def evaluate(network: MixtureDensityNetwork, scaled: Rows, objective: Objective, chunk: int = 10_000) -> float:
    """Return the objective on rows in scaled units, averaged over chunks of bounded size."""
    network.eval()
    total = 0.0
    for index in torch.arange(len(scaled), device=scaled.y.device).split(chunk):
        part = scaled.take(index)
        total += float(objective(network.scaled_distribution(part.x), part.y, part.weight)) * len(part)
    return total / len(scaled)


def _check_kinds(network: object, objective: object, callbacks: object) -> None:
    _checks.instance("network", network, MixtureDensityNetwork)
    if not callable(objective):
        raise TypeError(f"objective must be a function, say manymodes.objectives.nll; got {objective!r}.")
    if callable(callbacks):
        raise TypeError("callbacks must be a list of functions; got a function.")


def _training_and_validation(
    network: MixtureDensityNetwork, rows: Rows, validation: float | Data, generator: torch.Generator
) -> tuple[Rows, Rows]:
    if isinstance(validation, (tuple, list)):
        return rows, as_rows("validation", validation, network)
    fraction = _checks.number_between("validation", validation, 0.0, 1.0)
    return split(rows, fraction, generator)


def _or_default(name: str, value: int | None, default: int) -> int:
    return default if value is None else _checks.integer_at_least(name, value, 1)


def _record(history: History, losses: list[Tensor], validation_loss: float) -> None:
    if not losses:
        raise FloatingPointError(
            f"every batch of epoch {history.n_epochs + 1} had a loss or gradient that is not finite, so nothing "
            "could be learned from it; check the objective and the backbone, or lower lr."
        )
    history.train_loss.append(float(torch.stack(losses).mean()))
    history.validation_loss.append(validation_loss)
