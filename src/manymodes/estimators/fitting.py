"""From a table to a fitted network: candidates race on folds of the rows, and the winners make the ensemble."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from manymodes import training
from manymodes.estimators.architecture import Architecture, with_tuples
from manymodes.estimators.choices import Choices
from manymodes.estimators.components import ComponentSearch, search_components
from manymodes.estimators.held_out import HeldOut, repeated
from manymodes.nn import MixtureDensityNetwork
from manymodes.nn.inputs import mapped
from manymodes.training import History, Stream
from manymodes.training.followers import NOBODY, Followers
from manymodes.training.randomness import isolated, seeded
from manymodes.training.rows.data import Data, as_rows
from manymodes.training.rows.partition import Partition

_RACE_ROWS = 2000  # enough to tell candidates apart
_RACE_SHARE = 0.3  # of a time limit
_SHORTEST, _LONGEST = 0.5, 2.0  # times the planned steps, whatever the race says


@dataclass(frozen=True)
class Race:
    """What a race found: the first frequencies that ran and the validation losses of each, averaged over all rows.

    Attributes:
        frequencies: The candidates.
        losses: Their objective on rows that they did not see, in scaled units.
        chosen: Those that the members of the ensemble share.
        seconds: Time that the race took.
        length: Steps that the winner needs, as a factor of those planned: twice the share of the race after which it
            was best, so that noisy targets are fitted briefly and quiet ones long.
        components: How many components the winner needs, where that was asked.
    """

    frequencies: tuple[float, ...]
    losses: tuple[float, ...]
    chosen: tuple[float, ...]
    seconds: float
    length: float = 1.0
    components: ComponentSearch | None = None

    @classmethod
    def without(cls, frequency: float) -> Race:
        """Return the outcome where there is only one candidate."""
        return cls((frequency,), (), (frequency,), 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return the race as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Race:
        """Return the race that ``to_dict`` gave ``record`` of."""
        found = record["components"]
        components = None if found is None else ComponentSearch(**with_tuples(found))
        return cls(**with_tuples({**record, "components": components}))


class Fitted(NamedTuple):
    """A network, what it takes to build it again, and how it was fitted."""

    architecture: Architecture
    network: MixtureDensityNetwork
    history: History


@dataclass(frozen=True)
class Fitter:
    """Builds and fits networks of one architecture to one table.

    Attributes:
        architecture: What to build; its members and frequencies are decided here.
        data: ``(x, y)`` or ``(x, y, weight)``.
        stream: All rows, where ``data`` is a sample of them; else None.
        options: Options of ``training.fit``.
        backbone: The user's own backbone, or None.
        seed: Seed of everything random; None draws one.
        device: Where to train.
        time_limit: Seconds for everything; None for any.
        checkpoint: Folder of checkpoints, one for the race and one for the fit; None for none.
        held_out: Which rows choose.
        start: A fitted network to go on with; None starts anew.
        callbacks: Who follows the fit, but not the race.
    """

    architecture: Architecture
    data: Data
    stream: Stream | None
    options: Mapping[str, Any]
    backbone: nn.Module | None
    seed: int | None
    device: torch.device
    time_limit: float | None
    checkpoint: Path | None
    held_out: HeldOut
    start: MixtureDensityNetwork | None = None
    callbacks: Followers = NOBODY

    def race(self, choices: Choices) -> Race:
        """Let first frequencies race: each is trained on all folds of the rows but one, and judged on that one.

        Where there is nothing to find out, no race is run. A limit on epochs that the user set holds for it, too.
        """
        frequencies, preset = choices.frequencies, choices.preset
        if len(frequencies) == 1 and not choices.searches_components:
            return Race.without(frequencies[0])
        started, rows = time.monotonic(), self._some_rows()
        data = self.data if rows is None else tuple(mapped(part, lambda value: value[rows]) for part in self.data)
        n_folds = 1 if self.held_out.last else preset.race_folds
        share = 1 / preset.race_folds
        held_out = self.held_out.of_race(rows, len(self.data[1]), n_folds, share, self.seed)
        validation = repeated(held_out, len(frequencies))
        options = {**self.options, "n_steps": preset.race_steps, "least_epochs": 1, "validation": validation}
        limit = None if self.time_limit is None else _RACE_SHARE * self.time_limit
        smaller = replace(self.architecture, hidden_sizes=choices.race_sizes, memory_rows=0)
        entrants = [frequency for frequency in frequencies for _ in range(n_folds)]
        try:
            network, history = replace(self, architecture=smaller)._fit("race", entrants, data, options, limit)
        except training.Interrupted:
            raise KeyboardInterrupt from None  # a race leaves no model
        losses = torch.tensor(history.best_losses).reshape(-1, n_folds)
        first = int(losses.mean(-1).argmin()) * n_folds
        winners, components = slice(first, first + n_folds), None
        if choices.searches_components:
            judged = validation.held_out if isinstance(validation, Partition) else validation
            components = search_components(network, as_rows("data", data, network), judged, winners)
        return Race(
            tuple(frequencies),
            tuple(losses.mean(-1).tolist()),
            _near_best(frequencies, losses),
            time.monotonic() - started,
            self._length(history, winners),
            components,
        )

    def fit(self, race: Race, n_members: int) -> Fitted:
        """Fit an ensemble whose members share what came out of the race, in the time that is left.

        Interrupted after its first epoch, it is as good as it was until then.
        """
        limit = None if self.time_limit is None else max(self.time_limit - race.seconds, 1e-3)
        frequencies = tuple(race.chosen[member % len(race.chosen)] for member in range(n_members))
        plan = self.architecture
        if race.components is not None:
            plan = replace(plan, n_components=race.components.chosen)
        chosen = replace(self, architecture=plan)
        options = {
            **self.options,
            "n_steps": round(race.length * self.options["n_steps"]),
            "validation": self.held_out.of_fit(len(self.data[1]), chosen._n_members(frequencies), self.seed),
            "callbacks": self.callbacks,
        }
        try:
            network, history = chosen._fit("fit", frequencies, self.stream or self.data, options, limit)
        except training.Interrupted as interruption:
            network, history = interruption.network, interruption.history
        return Fitted(chosen._planned(frequencies), network, history)

    def go_on(self, race: Race, architecture: Architecture) -> tuple[MixtureDensityNetwork, History]:
        """Train the network to start with once more; nothing races."""
        _, network, history = replace(self, architecture=architecture).fit(
            replace(race, components=None), architecture.n_members or 1
        )
        return network, history

    def _n_members(self, frequencies: Sequence[float]) -> int | None:
        """Return the number of members of the network that is trained; None without a member axis."""
        return self._planned(frequencies).n_members if self.start is None else self.start.n_members

    def _planned(self, frequencies: Sequence[float]) -> Architecture:
        n_members = len(frequencies)
        if self.architecture.own_backbone_features is None:
            return replace(self.architecture, n_members=n_members, frequencies=tuple(frequencies))
        return replace(self.architecture, n_members=None if n_members == 1 else n_members)

    def _fit(
        self,
        name: str,
        frequencies: Sequence[float],
        data: Data | Stream,
        options: Mapping[str, Any],
        time_limit: float | None,
    ) -> tuple[MixtureDensityNetwork, History]:
        if self.start is not None:
            network, options = self.start, {**options, "initialise": False}
        else:
            with isolated(self.seed, self.device):
                network = self._planned(frequencies).build(self.backbone).to(self.device)
        history = training.fit(
            network,
            data,
            random_state=self.seed,
            time_limit=time_limit,
            checkpoint=None if self.checkpoint is None else self.checkpoint / name,
            **options,
        )
        return network, history

    def _length(self, history: History, winners: slice) -> float:
        """Return the steps that the winners of a race needed, as a factor of those planned for the fit."""
        best = [epoch + 1 for epoch in history.best_epochs[winners]]
        length = 2 * sum(best) / len(best) / history.n_epochs
        shortest = _SHORTEST if len(self.data[1]) <= _RACE_ROWS else 1.0  # more rows bear more steps
        return min(max(length, shortest), _LONGEST)

    def _some_rows(self) -> Tensor | None:
        """Return the numbers of the rows of the race; None for all."""
        n_all = len(self.data[1])
        if n_all <= _RACE_ROWS:
            return None
        chosen = torch.randperm(n_all, generator=seeded(self.seed))[:_RACE_ROWS]
        return chosen.sort().values if self.held_out.last else chosen


def _near_best(frequencies: Sequence[float], losses: Tensor) -> tuple[float, ...]:
    """Return the candidates whose losses, (C, folds), are within one paired standard error of the best, best first."""
    order = losses.mean(-1).argsort(stable=True)
    gap = losses[order] - losses[order[0]]
    if losses.shape[-1] == 1:  # nothing tells how sure that is
        return (frequencies[int(order[0])],)
    error = gap.std(-1) / math.sqrt(losses.shape[-1])
    near = order[gap.mean(-1) <= error]
    return tuple(frequencies[i] for i in near.tolist())
