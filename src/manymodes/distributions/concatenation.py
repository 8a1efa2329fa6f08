"""Concatenations: groups of components of different families, one after another along the component axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.types import _size

from manymodes import _checks
from manymodes.distributions.blueprints import Blueprint, Slot, Units, alike, as_blueprint, nested
from manymodes.distributions.component import Change, Component, Kind
from manymodes.distributions.composite import Composite, padded
from manymodes.distributions.constraints import Scaling
from manymodes.distributions.declared import Declared


@final
class Concatenation(Composite):
    """Groups of components over the same targets: a normal bulk and a lognormal tail, zeros beside amounts.

    Densities are taken with respect to the Lebesgue measure plus one unit at every atom (plus the counting measure,
    for counts). So at the place of an atom of one group, continuous components of the others contribute nothing in that
    dimension; a count there does.

    Args:
        groups: Components whose batch shapes, (..., K_g), broadcast but for K_g, and of one event shape (D,).

    Raises:
        ValueError: No group, or event shapes that differ.
    """

    def __init__(self, *groups: Component) -> None:
        if not groups or any(group.event_shape != groups[0].event_shape for group in groups):
            shapes = ", ".join(_checks.shape_text(group.event_shape) for group in groups)
            raise _checks.InputError(f"groups must be components of one event shape; got {shapes or 'none'}.")
        kinds = [{group.kinds[dim] for group in groups} - {"atom"} for dim in range(groups[0].event_shape[0])]
        if any("angle" in kind and len(kind) > 1 for kind in kinds):
            raise _checks.InputError("groups must agree on which dimensions are angles; got an angle beside a number.")
        try:
            torch.broadcast_shapes(*(group.batch_shape[:-1] for group in groups))
        except RuntimeError:
            shapes = ", ".join(_checks.shape_text(group.batch_shape) for group in groups)
            raise _checks.InputError(f"groups must have batch shapes that agree but for K; got {shapes}.") from None
        leading = torch.broadcast_shapes(*(group.batch_shape[:-1] for group in groups))
        flat = [part for group in groups for part in group.groups]
        self._groups = tuple(part.expand(leading + part.batch_shape[-1:]) for part in flat)
        self.sizes = [int(part.batch_shape[-1]) for part in self._groups]
        super().__init__(leading + torch.Size([sum(self.sizes)]), groups[0].event_shape, validate_args=False)

    @staticmethod
    def of(*groups: tuple[type[Declared] | Blueprint, int]) -> ConcatenationBlueprint:
        """Return a blueprint of groups, each a family and its number of components."""
        parts: list[tuple[Blueprint, int]] = []
        for family, size in groups:
            part = as_blueprint(family)
            parts.extend(part.parts if isinstance(part, ConcatenationBlueprint) else [(part, size)])
        return ConcatenationBlueprint(tuple(parts))

    # --- what it is ---

    @property
    def groups(self) -> tuple[Component, ...]:
        """The groups, in the order of the component axis."""
        return self._groups

    @property
    def parts(self) -> tuple[Component, ...]:
        """The groups."""
        return self.groups

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kind of each target dimension: that of the first group that is not an atom there."""
        per_dimension = zip(*(group.kinds for group in self.groups), strict=True)
        return tuple(next((kind for kind in kinds if kind != "atom"), "atom") for kinds in per_dimension)

    def ends(self) -> tuple[Tensor, Tensor]:
        """Return the ends of the support of each component and target dimension."""
        lows, highs = zip(*(group.ends() for group in self.groups), strict=True)
        return torch.cat(lows, -2), torch.cat(highs, -2)

    def turning_points(self) -> Tensor:
        """Return the turning points of each target dimension, (..., K, D, B)."""
        return torch.cat(padded([group.turning_points() for group in self.groups]), -3)

    def entropy(self) -> Tensor:
        """Return the groups' entropies, (..., K)."""
        return torch.cat([group.entropy() for group in self.groups], -1)

    # --- life and samples ---

    def transformed(self, change: Change) -> Concatenation:
        """Return the same concatenation with every tensor changed."""
        return Concatenation(*(group.transformed(change) for group in self.groups))

    def select(self, index: Tensor) -> Component:
        """Refuse: a component that differs in class from row to row has no class."""
        raise _checks.InputError(
            "components of different families cannot be picked row by row; draw from them instead."
        )

    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., ..., K, D)."""
        return self._join(lambda group: group.sample(sample_shape, generator=generator))

    def sample_at(self, index: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return one sample, (S..., ..., D), of the component that ``index``, (S..., ...), names in each row."""
        drawn, start = torch.empty(0), 0
        for group, size in zip(self.groups, self.sizes, strict=True):
            own = (index - start).clamp(0, size - 1)
            here = ((index >= start) & (index < start + size)).unsqueeze(-1)
            sample = group.sample_at(own, generator)
            drawn = sample if start == 0 else torch.where(here, sample, drawn)
            start += size
        return drawn

    # --- density ---

    def log_prob(self, value: Tensor) -> Tensor:
        """Return joint log-densities, (..., K)."""
        return torch.cat(
            [
                group.log_prob(y).masked_fill((hidden & _continuous(group, y)).any(-1), -torch.inf)
                for group, y, hidden in self._with_atoms(value)
            ],
            -1,
        )

    def marginal_log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density of each target dimension by itself."""
        return torch.cat(
            [
                group.marginal_log_prob(y).masked_fill(hidden & _continuous(group, y), -torch.inf)
                for group, y, hidden in self._with_atoms(value)
            ],
            -2,
        )

    def curvature(self, value: Tensor) -> Tensor:
        """Return the groups' matrices, (..., K, D, D)."""
        return torch.cat([group.curvature(y) for group, y in self._split(value)], -3)

    def interval_log_prob(self, low: Tensor, high: Tensor) -> Tensor:
        """Return the joint log-likelihood, (..., K), of targets known to lie in [low, high]."""
        hidden = self._on_atoms(low) & (low == high)
        out = []
        for (group, a), (_, b) in zip(self._split(low), self._split(high), strict=True):
            known = group.interval_log_prob(a, b)
            out.append(known.masked_fill((hidden & _continuous(group, a)).any(-1), -torch.inf))
        return torch.cat(out, -1)

    def rosenblatt(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return the groups' conditional log-densities and cdfs."""
        densities, levels = zip(*(group.rosenblatt(y) for group, y in self._split(value)), strict=True)
        return torch.cat(densities, -2), torch.cat(levels, -2)

    # --- distributions made from this one ---

    def affine(self, shift: Tensor | float, scale: Tensor | float) -> Concatenation:
        """Return the distribution of ``shift + scale * Y``."""
        return Concatenation(*(group.affine(shift, scale) for group in self.groups))

    def marginal(self, dims: list[int]) -> Concatenation:
        """Return the joint distribution of the chosen target dimensions."""
        return Concatenation(*(group.marginal(dims) for group in self.groups))

    def condition(self, dims: list[int], value: Tensor) -> Concatenation:
        """Return the distribution of the other dimensions given ``value`` in ``dims``."""
        return Concatenation(*(group.condition(dims, value) for group in self.groups))

    def widened(self, factor: float) -> Concatenation:
        """Return the concatenation of the widened groups."""
        return Concatenation(*(group.widened(factor) for group in self.groups))

    # --- private ---

    def _split(self, value: Tensor) -> list[tuple[Component, Tensor]]:
        """Return each group with its rows of ``value``, (..., K or 1, D)."""
        if value.dim() < 2 or value.shape[-2] == 1:
            return [(group, value) for group in self.groups]
        return list(zip(self.groups, value.split(self.sizes, -2), strict=True))

    def _join(self, ask: Callable[..., Tensor], value: Tensor | None = None) -> Tensor:
        if value is None:
            return torch.cat([ask(group) for group in self.groups], -2)
        parts = [ask(group, y) for group, y in self._split(value)]
        leading = torch.broadcast_shapes(*(part.shape[:-2] for part in parts))
        return torch.cat([part.expand(leading + part.shape[-2:]) for part in parts], -2)

    def _with_atoms(self, value: Tensor) -> list[tuple[Component, Tensor, Tensor]]:
        """Return each group with its rows of ``value`` and which of their coordinates lie on an atom."""
        return [(group, y, self._on_atoms(y)) for group, y in self._split(value)]

    def _on_atoms(self, value: Tensor) -> Tensor:
        """Return which coordinates lie on an atom of any group; (..., D) or one that broadcasts to it."""
        hidden = torch.zeros((), dtype=torch.bool, device=value.device)
        for group in self.groups:
            if "atom" in group.kinds and value.shape[-2] == 1:
                atom = torch.tensor([kind == "atom" for kind in group.kinds], device=value.device)
                hidden = hidden | ((group.marginal_log_prob(value) > -torch.inf) & atom).any(-2, keepdim=True)
        return hidden


@dataclass(frozen=True)
class ConcatenationBlueprint:
    """Blueprints one after another: each part takes so many components."""

    parts: tuple[tuple[Blueprint, int], ...]

    def slots(self, n_components: int, target_dim: int) -> dict[str, Slot]:
        """Return the slots of every part, named by its number."""
        total = sum(size for _, size in self.parts)
        if total != n_components:
            raise _checks.InputError(
                f"n_components must be {total}, the components of the concatenation; got {n_components}."
            )
        return {
            f"{i}.{name}": slot
            for i, (part, size) in enumerate(self.parts)
            for name, slot in part.slots(size, target_dim).items()
        }

    def scalings(self, target_dim: int) -> tuple[Scaling, ...]:
        """Return the strictest scaling of the parts for each target dimension."""
        every = zip(*(part.scalings(target_dim) for part, _ in self.parts), strict=True)
        return tuple(max(options, key=lambda scaling: scaling.value) for options in every)

    def build(
        self, values: Mapping[str, Tensor], batch_shape: torch.Size, target_dim: int, units: Units
    ) -> Concatenation:
        """Return the concatenation of the parts' components."""
        groups = [
            part.build(nested(values, i), torch.Size([*batch_shape[:-1], size]), target_dim, units)
            for i, (part, size) in enumerate(self.parts)
        ]
        return Concatenation(*alike(groups))

    def start(self, centres: Tensor, spread: Tensor, units: Units) -> dict[str, Tensor]:
        """Return the parts' starts, each from its own run of centres."""
        runs = centres.split([size for _, size in self.parts])
        return {
            f"{i}.{name}": value
            for i, ((part, _), own) in enumerate(zip(self.parts, runs, strict=True))
            for name, value in part.start(own, spread, units).items()
        }

    def settled(self, components: Component) -> Component:
        """Return the concatenation with every part settled."""
        return Concatenation(
            *(part.settled(group) for (part, _), group in zip(self.parts, components.groups, strict=True))
        )


def _continuous(group: Component, value: Tensor) -> Tensor:
    """Return which dimensions of a group have a density, (D,)."""
    return torch.tensor([kind in ("real", "angle") for kind in group.kinds], device=value.device)
