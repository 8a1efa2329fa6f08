"""One run of a fit: its epochs, and how to write down and take up all that changes on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from manymodes.nn import MixtureDensityNetwork
from manymodes.objectives import Objective
from manymodes.training.best import BestWeights
from manymodes.training.checkpoint import Journal, Snapshot, grouped
from manymodes.training.execution import Execution
from manymodes.training.findings import examine
from manymodes.training.gradients import member_losses
from manymodes.training.history import History
from manymodes.training.memory import Memory
from manymodes.training.randomness import random_states, set_random_states
from manymodes.training.rows.data import Rows, Split
from manymodes.training.rows.feeds import Feed
from manymodes.training.schedule import Pace
from manymodes.training.step import Stepper
from manymodes.training.world import World

Callback = Callable[[History], object]  # one that returns True ends the fit


@dataclass(eq=False)
class Run:
    """The epochs of one fit; afterwards the network has its best weights.

    Attributes:
        network: What is fitted.
        parts: Its rows in scaled units, of a stream some of them.
        feed: Where batches come from.
        n_batches: Steps of an epoch.
        objective: What judges an epoch.
        stepper: What changes the weights.
        pace: Tells whether the time is over.
        best: Keeps the best weights.
        history: Takes note of everything.
        journal: Where to write everything down.
        execution: Precision, compilation and threads.
        world: Processes that run together.
    """

    network: MixtureDensityNetwork
    parts: Split
    feed: Feed
    n_batches: int
    objective: Objective
    stepper: Stepper
    pace: Pace
    best: BestWeights
    history: History
    journal: Journal
    execution: Execution
    world: World
    _losses: list[Tensor] = field(default_factory=list)  # of the batches of this epoch, (M,) each

    def epochs(self, followers: Iterable[Callback]) -> None:
        """Go through all epochs that are left, or until patience or time is over.

        Raises:
            FloatingPointError: No weights could be chosen.
            Interrupted: Somebody interrupted the fit after its first epoch; the network has its best weights so far.
        """
        followers, memory = list(followers), Memory(self.network, self.parts)
        try:
            while self.history.n_epochs < self.history.max_epochs and not self.history.ended_by:
                self.history.ended_by = self._epoch(memory)
                if self.world.agreed(self._is_told_to_end(followers)):
                    self.history.ended_by = self.history.ended_by or "callback"
                self._write_if_due(self.history.n_epochs)
        except KeyboardInterrupt:
            if not self.history.n_epochs:
                raise
            self.history.ended_by = "interrupt"
        finally:
            self.best.restore()
            memory.close()
            self.stepper.close()
            self.network.eval()
        if bool((self.best.epochs < 0).any()):
            raise FloatingPointError(
                "the objective was not finite on the validation rows after any epoch, so no weights could be chosen; "
                "check the objective and the backbone, or lower lr."
            )
        self.history.findings = examine(self.network, self.parts)
        if self.history.ended_by == "interrupt":
            raise Interrupted(self.network, self.history)
        if self.world.is_first:
            self.journal.write(grouped(network=self.network.state_dict()), self._numbers(), is_finished=True)

    def _is_told_to_end(self, followers: Iterable[Callback]) -> bool:
        """Call what follows the fit; random numbers that it draws are its own."""
        before = random_states(self.network.device)
        told = [follower(self.history) for follower in followers]
        set_random_states(self.network.device, before)
        return any(isinstance(answer, (bool, np.bool_)) and answer for answer in told)

    def _epoch(self, memory: Memory) -> str:
        """Learn from all training rows once and take note of it; return what ends the fit now, or nothing."""
        if not self._losses:
            memory.refresh()
        self._learn()
        history, best = self.history, self.best
        self.stepper.end_epoch()
        held_out_losses = self._judged()
        gave_up = best.update(history.n_epochs, held_out_losses)
        _record(history, torch.stack(self._losses), held_out_losses)
        history.best_epochs, history.best_losses = best.epochs.tolist(), best.losses.tolist()
        history.seconds = self.pace.seconds
        self._losses = []
        return "patience" if gave_up else "time_limit" if self.pace.is_over else ""

    def _judged(self) -> Tensor:
        """Return the members' losses on the validation rows, (M,), of which every process judges its share."""
        index = self.world.share(self.parts.held_out_index)
        losses = torch.zeros(self.network.n_members or 1, dtype=self.network.dtype, device=self.network.device)
        if index.shape[-1]:
            losses = evaluate(self.network, self.parts.held_out, index, self.objective)
        self.world.average([losses], index.shape[-1])
        return losses

    def _learn(self) -> None:
        """Take the steps of this epoch that are left."""
        self.network.train()
        for batch in self.feed.batches(self.n_batches, first=len(self._losses)):
            self._losses.append(self.stepper.step(batch))
            if self.pace.is_over:
                break
            if self.stepper.agrees:  # what one process writes must do for all
                self._write_if_due(None)

    # --- checkpoints ---

    def take_up(self, saved: Snapshot) -> None:
        """Go on where a snapshot was taken; the network has its weights already."""
        self.stepper.load_state(saved.under("optimizer"))
        self.best.load_state(saved.under("best"))
        self._losses = list(saved.tensors["epoch.losses"].to(self.network.device))
        self.pace.resume(saved.document["step"], saved.document["seconds"])
        self.feed.load_state(saved.under("feed"), self.pace.step)
        set_random_states(self.network.device, saved.under("random"))

    def _write_if_due(self, ended_epochs: int | None) -> None:
        """Write down all that changes while the run goes on, if it is time."""
        if not self.world.is_first or not self.journal.is_due(ended_epochs):
            return
        tensors = grouped(
            network=self.network.state_dict(),
            optimizer=self.stepper.state(),
            best=self.best.state(),
            feed=self.feed.state(),
            random=random_states(self.network.device),
            epoch={"losses": torch.stack(self._losses) if self._losses else torch.empty(0)},
        )
        self.journal.write(tensors, self._numbers())

    def _numbers(self) -> dict[str, Any]:
        return {
            "history": self.history.to_dict(),
            "step": self.pace.step,
            "seconds": self.pace.seconds,
            "execution": vars(self.execution),
        }


class Interrupted(KeyboardInterrupt):
    """Somebody interrupted a fit whose network has the best weights of its epochs so far.

    Attributes:
        network: The network.
        history: What happened until then.
    """

    def __init__(self, network: MixtureDensityNetwork, history: History) -> None:
        super().__init__()
        self.network, self.history = network, history


@torch.no_grad()
def evaluate(
    network: MixtureDensityNetwork, rows: Rows, index: Tensor, objective: Objective, chunk: int = 10_000
) -> Tensor:
    """Return each member's objective on its rows, (M, n) or (n,), in scaled units: (M,), averaged over chunks."""
    network.eval()
    n_rows = index.shape[-1]
    chunk = max(1, chunk // math.prod(rows.y.shape[1:-1]))  # steps count like rows
    losses = [member_losses(network, rows.take(part), objective) * part.shape[-1] for part in index.split(chunk, -1)]
    return torch.stack(losses).sum(0) / n_rows


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
