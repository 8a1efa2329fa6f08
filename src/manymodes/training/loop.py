"""The one loop."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from manymodes import _checks, objectives
from manymodes.nn import MixtureDensityNetwork
from manymodes.objectives import Objective
from manymodes.training.best import BestWeights
from manymodes.training.checkpoint import Checkpoint, Journal
from manymodes.training.execution import Execution, Work
from manymodes.training.followers import followers_of
from manymodes.training.history import History
from manymodes.training.plan import plan_of
from manymodes.training.progress import progress_bar
from manymodes.training.randomness import isolated
from manymodes.training.rows.data import Data
from manymodes.training.rows.partition import Partition
from manymodes.training.rows.sources import Source, source_of
from manymodes.training.rows.streams import Stream
from manymodes.training.run import Run
from manymodes.training.schedule import Pace, WarmUpAndDecay, default_batch_size, default_max_epochs
from manymodes.training.step import Stepper
from manymodes.training.world import World


def fit(
    network: MixtureDensityNetwork,
    data: Data | Stream | Iterable[Data],
    *,
    objective: Objective = objectives.nll,
    validation: float | Data | Tensor | Partition = 0.1,
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
    compile: bool | str = "auto",  # noqa: A002  # as torch calls it
    fade_dropout: bool = True,
    patience: int | None = None,
    time_limit: float | None = None,
    initialise: bool = True,
    checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
    random_state: int | None = None,
    callbacks: Iterable[Any] = (),
    progress: bool | None = None,
) -> History:
    """Fit a network to data, in place, and leave it with the weights of its best epoch.

    AdamW with warm-up and cosine decay; gradients are clipped; a batch whose loss or gradient is not finite is
    skipped and counted. Scaling and the spread of initial locations are learned from the training rows. The members
    of a network are trained in one pass, each with validation rows, batches, clipping and a best epoch of its own.

    Where ``torch.distributed`` is initialised, say by ``torchrun``, its processes fit the network together: all of them
    are handed the same data, take a share of each batch, and end with the same weights.

    Args:
        network: The network; it stays on its device.
        data: ``(x, y)`` or ``(x, y, weight)`` with x (N, ...), y (N, D), weight (N,), in the user's units. Several
            inputs are handed in as a dict of tensors, which the backbone then takes; targets that are missing, censored
            or rounded, as ``distributions.Incomplete``. Targets at every step of a sequence are (N, T, D), their
            weights (N, T), 0 where there is none; sequences of different lengths come packed, as ``PackedSequence``
            each, or padded, see ``nn.sequences``. What does not fit into memory comes as blocks of such rows,
            which are read anew for every pass: a ``DataLoader``, a ``training.Stream`` or a ``training.ParquetStream``.
        objective: What to minimise, a function of ``(distribution, y, weight)``.
        validation: Share of rows that each member holds out to choose its best epoch; or numbers of rows that each
            member holds out, (M, n), or (n,) without members; or a ``training.Partition``, which can keep groups
            of rows together; or rows of their own, as ``data``. Of a stream all
            members hold out the same rows, and those among the stream's sample choose.
        max_epochs: Passes over the training rows; by default enough for ``n_steps``. A long pass over a stream counts
            as several epochs in the history, of 2,000 steps each.
        n_steps: Steps to take, about, where ``max_epochs`` is left open; by default some 3,000.
        least_epochs: Passes to make at least, whatever ``n_steps``.
        batch_size: Rows per step; by default about an eighth of them, from 16 to 512.
        lr: Highest learning rate.
        weight_decay: Decay of weight matrices (not of biases) by AdamW.
        warm_up: Share of the steps over which the learning rate rises.
        clip_norm: Largest norm of the gradient.
        input_noise: Standard deviation of normal noise, fresh in every batch, on inputs in scaled units.
        target_noise: The same on targets.
        precision: Of matrix products while training: ``"full"``, ``"bfloat16"``, ``"tf32"`` (of GPUs), or ``"auto"``
            for bfloat16 on devices that have instructions for it, where layers are plain and wide. Likelihoods, weights
            and validation keep the network's precision.
        compile: Whether steps are compiled, which takes some 30 seconds, or 4 where the same sizes were compiled
            before; ``"auto"`` compiles networks of this package on a CPU where a fit is long enough to repay it, see
            ``training.execution``.
        fade_dropout: Whether the dropout of this package's backbones fades over the first three tenths of the fit, so
            that scales do not account for its noise.
        patience: Stop after so many epochs without improvement of any member; None runs them all.
        time_limit: Seconds that the fit may take: the learning rate then falls with the time, too; None for any.
        initialise: Learn scaling and initial locations; False continues a fitted network.
        checkpoint: Folder, or a ``training.Checkpoint``, where the fit writes down how far it is and, started again,
            goes on from there; None for none.
        random_state: Seed of validation rows, batches and dropout; None draws a fresh one.
        callbacks: Called with the history after every epoch; one that returns True ends the fit. An object with a
            method ``on_epoch_end`` may have another one, ``on_fit_start``, called with the network before the first.
        progress: Show a progress bar; None shows it on a terminal.

    Returns:
        The history of losses in scaled units.

    Raises:
        ValueError: Shapes that do not fit, values that are not finite or outside the support of the family, settings
            out of range.
        TypeError: Arguments of the wrong kind.
        FloatingPointError: A whole epoch without one finite batch, or no finite validation loss at all.
        Interrupted: Ctrl-C after the first epoch; the network has the best weights so far.

    References:
        Loshchilov and Hutter (2019), Decoupled weight decay regularization.
    """
    settings = Settings(
        max_epochs=max_epochs,
        n_steps=n_steps,
        least_epochs=least_epochs,
        batch_size=batch_size,
        lr=lr,
        weight_decay=weight_decay,
        warm_up=warm_up,
        clip_norm=clip_norm,
        input_noise=input_noise,
        target_noise=target_noise,
        precision=precision,
        compile=compile,
        fade_dropout=fade_dropout,
        patience=patience,
        time_limit=time_limit,
        initialise=initialise,
    )
    _check_kinds(network, objective)
    followers = followers_of(callbacks)
    source = source_of(network, data, validation)
    world = World.current()
    about = vars(settings) | {"objective": objective, "processes": world.size}
    about |= {"time_limit": None}  # it may be another one when a fit goes on
    journal = Journal(checkpoint, lambda: plan_of(network, source.rows, validation, about), random_state)
    world.check_same({"the number of rows in data": len(source.rows), "the place in checkpoint": journal.place})
    if journal.is_finished:
        return journal.load_network(network.eval())
    # Also where somebody has switched gradients off.
    with (
        torch.inference_mode(mode=False),
        torch.enable_grad(),
        isolated(world.agreed(journal.seed), network.device) as generator,
    ):
        run = _prepared(network, source, objective, settings, generator, journal, world)
        with (
            run.execution.applied(),
            progress_bar(progress if world.is_first else False, run.history.max_epochs) as show,
        ):
            for start in followers.starts:
                start(network)
            run.epochs([show, *followers.epochs])
    return run.history


@dataclass(frozen=True)
class Settings:
    """The settings of a fit, as ``fit`` takes them."""

    max_epochs: int | None
    n_steps: int | None
    least_epochs: int | None
    batch_size: int | None
    lr: float
    weight_decay: float
    warm_up: float
    clip_norm: float
    input_noise: float
    target_noise: float
    precision: str
    compile: bool | str
    fade_dropout: bool
    patience: int | None
    time_limit: float | None
    initialise: bool


def _prepared(
    network: MixtureDensityNetwork,
    source: Source,
    objective: Objective,
    settings: Settings,
    generator: torch.Generator,
    journal: Journal,
    world: World,
) -> Run:
    """Return a run that is about to begin, or to go on where the journal ends."""
    parts = source.split(generator)
    batch_size, n_batches, max_epochs = _lengths(settings, source, source.n_train(parts), world)
    work = Work(
        n_rows=-(-batch_size // world.size) * math.prod(source.rows.y.shape[1:-1]),
        n_steps=n_batches * max_epochs,
        has_time_limit=settings.time_limit is not None,
        is_exact=isinstance(source.rows.y, Tensor),
    )
    execution = _execution(network, objective, settings, work, journal, world)
    pace = Pace(max_epochs * n_batches, settings.time_limit, world)
    stepper = _stepper(network, objective, settings, execution, pace, world, generator.initial_seed())
    n_held_out = parts.held_out_index.shape[-1]
    history = History(max_epochs=max_epochs, n_train=source.n_train(parts), n_validation=n_held_out)
    best = BestWeights(network, settings.patience)
    if journal.saved is not None:
        history = journal.load_network(network)
    elif settings.initialise:
        seen = parts.train.take(parts.train_index.unique())
        network.initialise(seen.x, seen.known_targets(), generator)
    world.check_same({"the number of weights": sum(weight.numel() for weight in network.parameters())})
    world.spread([value for value in network.state_dict().values() if value.is_floating_point()])
    scaled = parts.scaled(network)
    run = Run(
        network=network,
        parts=scaled,
        feed=source.feed(scaled, batch_size, generator, world, even=execution.compiled),
        n_batches=n_batches,
        objective=objective,
        stepper=stepper,
        pace=pace,
        best=best,
        history=history,
        journal=journal,
        execution=execution,
        world=world,
    )
    if journal.saved is not None:
        run.take_up(journal.saved)
    return run


def _stepper(
    network: MixtureDensityNetwork,
    objective: Objective,
    settings: Settings,
    execution: Execution,
    pace: Pace,
    world: World,
    seed: int,
) -> Stepper:
    return Stepper(
        network,
        objective,
        schedule=WarmUpAndDecay(settings.lr, settings.warm_up),
        pace=pace,
        weight_decay=settings.weight_decay,
        clip_norm=settings.clip_norm,
        input_noise=settings.input_noise,
        target_noise=settings.target_noise,
        execution=execution,
        fade_dropout=settings.fade_dropout,
        world=world,
        seed=seed,
    )


def _execution(
    network: MixtureDensityNetwork,
    objective: Objective,
    settings: Settings,
    work: Work,
    journal: Journal,
    world: World,
) -> Execution:
    """Return the means of a fit: those of its checkpoint, or what the rules say; threads are each process's own."""
    if journal.saved is None:
        own = Execution.chosen(network, objective, work, precision=settings.precision, compiled=settings.compile)
    else:
        own = Execution(**journal.saved.document["execution"])
        own.refuse_elsewhere(network.device)
    return replace(world.agreed(own), n_threads=own.n_threads)


def _lengths(settings: Settings, source: Source, n_train: int, world: World) -> tuple[int, int, int]:
    """Return the rows of a batch, the steps of an epoch and the number of epochs."""
    batch_size = _or_default("batch_size", settings.batch_size, default_batch_size(n_train))
    if min(batch_size, n_train) < 2 * world.size and not world.is_alone:
        raise _checks.InputError(f"batch_size must be at least 2 for each of {world.size} processes; got {batch_size}.")
    n_batches = -(-n_train // batch_size)
    usual = default_max_epochs(n_batches, settings.n_steps, settings.least_epochs)
    max_epochs = _or_default("max_epochs", settings.max_epochs, usual)
    if source.longest_epoch is not None and n_batches > source.longest_epoch:
        n_batches, max_epochs = source.longest_epoch, -(-max_epochs * n_batches // source.longest_epoch)
    world.check_same({"steps in an epoch": n_batches, "epochs": max_epochs})
    return batch_size, n_batches, max_epochs


def _check_kinds(network: object, objective: object) -> None:
    _checks.instance("network", network, MixtureDensityNetwork)
    if not callable(objective):
        raise TypeError(f"objective must be a function, say manymodes.objectives.nll; got {objective!r}.")


def _or_default(name: str, value: int | None, default: int) -> int:
    return default if value is None else _checks.integer_at_least(name, value, 1)
