"""What a fitted network's components are good for: a look at it, once, after a fit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor

from manymodes import _checks, objectives
from manymodes.distributions import (
    Autoregressive,
    Component,
    Declared,
    Incomplete,
    JointDensity,
    Mixture,
    Product,
    constraints,
)
from manymodes.distributions.wrapped import Wrapped
from manymodes.nn import MixtureDensityNetwork
from manymodes.training.rows.data import Rows, Split

_MOST_ROWS = 2000  # that are looked at
_DEAD = 1e-3  # mean weight and mean responsibility of a component that does nothing
_SAME = 0.1  # nats: mean difference of two components' log-densities, as between normals 0.13 scales apart
_AT_FLOOR = 1.5  # times min_scale: softplus hardly lets a scale come nearer
_NAMED_ROWS = 5


@dataclass(frozen=True)
class Findings:
    """What a fitted network's components do on its training rows; numbers that JSON can hold.

    Attributes:
        n_components: Components of each member's head.
        dead_components: How many of them have a mean weight and a mean responsibility below 0.001, averaged over
            members, and over target dimensions where each has a mixture of its own.
        duplicate_components: How many of them have nearly the density of another one that comes before them, likewise.
        min_scale: The floor of scales, in scaled units, the lowest of several targets'.
        floor_share: Share of rows whose responsible component has a scale below 1.5 times the floor.
        floor_rows: The first of those rows where most members agree, counted from 0.
        train_score: Mean negative log-likelihood of training rows in scaled units; None where it is not finite.
        validation_score: The same of validation rows.
    """

    n_components: int
    dead_components: float
    duplicate_components: float
    min_scale: float
    floor_share: float
    floor_rows: tuple[int, ...]
    train_score: float | None
    validation_score: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the findings as JSON can hold them."""
        return asdict(self) | {"floor_rows": list(self.floor_rows)}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        """Return the findings that ``to_dict`` gave ``record`` of."""
        known = [entry.name for entry in fields(cls)]
        unknown = [name for name in record if name not in known]
        if unknown:
            raise _checks.InputError(f"findings have no {_checks.quoted(unknown)}.")
        return cls(**(record | {"floor_rows": tuple(record["floor_rows"])}))


# --- looking at a network ---


@torch.no_grad()
def examine(network: MixtureDensityNetwork, parts: Split) -> Findings:
    """Return what the components of a fitted network do, on at most 2,000 training and as many validation rows.

    Args:
        network: The network, in evaluation mode.
        parts: The rows that it was fitted to, in its scaled units.
    """
    index, distribution, rows = _predicted(network, parts.train, parts.train_index)
    mixtures = _mixtures(distribution, rows.y, network.head.floors)
    logits, log_density, share, width = (torch.stack(parts) for parts in zip(*mixtures, strict=True))
    own = slice(network.head.n_components)  # those of a retrieval come after the head's
    dead = ((logits.exp().mean(-2) < _DEAD) & (share.mean(-2) < _DEAD))[..., own]
    alike = _duplicates(log_density[..., own], share[..., own])
    narrowest = width.expand(share.shape).gather(-1, share.argmax(-1, keepdim=True))
    at_floor = (narrowest.squeeze(-1) < _AT_FLOOR).any(0)
    _, unseen, held_out = _predicted(network, parts.held_out, parts.held_out_index)
    return Findings(
        n_components=network.head.n_components,
        dead_components=_per_member(dead),
        duplicate_components=_per_member(alike & ~dead),
        min_scale=min(network.head.min_scale),
        floor_share=float(at_floor.float().mean()),
        floor_rows=_commonest(index[at_floor]),
        train_score=_score(distribution, rows),
        validation_score=_score(unseen, held_out),
    )


def _predicted(network: MixtureDensityNetwork, rows: Rows, index: Tensor) -> tuple[Tensor, Mixture, Rows]:
    """Return at most 2,000 of the rows that each member has: their numbers, (M, n) or (n,), predictions, and targets.

    Of sequences the steps that count are rows; members then have as many as the one with the fewest.
    """
    n_steps = math.prod(rows.y.shape[1:-1])
    stride = -(-index.shape[-1] * n_steps // _MOST_ROWS)
    index = index[..., ::stride]
    some = rows.take(index)
    distribution = network.scaled_distribution(some.x, steps_as_rows=True)
    y, weight = some.of_steps(index.dim() - 1)
    index = index.repeat_interleave(n_steps, -1)
    if n_steps == 1 or weight is None:
        return index, distribution, Rows(None, y, weight)
    first = (weight == 0).long().argsort(dim=-1, stable=True)[..., : int((weight > 0).sum(-1).min())]
    at = (first,) if index.dim() == 1 else (torch.arange(len(index), device=index.device).unsqueeze(-1), first)
    return index[at], distribution[at], Rows(None, y[at], weight[at])


def _mixtures(distribution: JointDensity, y: Any, floors: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Yield log-weights, log-densities, responsibilities and widths of components at targets, (..., N, K) each.

    Those of a mixture, or of the mixture of each target dimension given those before it.
    """
    if isinstance(distribution, Autoregressive):
        conditionals, last = distribution.conditionals(y), (slice(None),) * len(distribution.batch_shape)
        for dim in range(distribution.event_shape[0]):
            yield from _mixtures(conditionals[(*last, dim)], y[..., dim : dim + 1], floors[dim : dim + 1])
    elif isinstance(distribution, Mixture):
        log_density = distribution.component_log_prob(y) - distribution.logits
        share = distribution.responsibilities(y)
        yield distribution.logits, log_density, share, _widths(distribution.components, floors.to(share))


def _per_member(which: Tensor) -> float:
    """Return how many components of a mixture and a member, (..., K), are marked, on average."""
    return float(which.sum(-1).float().mean())


def _duplicates(log_density: Tensor, share: Tensor) -> Tensor:
    """Return which components have the density of an earlier one where either is responsible, (..., K).

    Args:
        log_density: Log-densities of each component at the targets, (..., N, K).
        share: Responsibilities, (..., N, K).
    """
    n_components = share.shape[-1]
    found = torch.zeros_like(share[..., 0, :], dtype=torch.bool)
    for k in range(1, n_components):
        concerned = share[..., :k] + share[..., k : k + 1]  # (..., N, k)
        gap = (log_density[..., :k] - log_density[..., k : k + 1]).abs()
        gap = torch.where(concerned > 0, gap, 0.0).nan_to_num(nan=0.0)
        total = concerned.sum(-2)
        same = (concerned * gap).sum(-2) <= _SAME * total
        found[..., k] = (same & (total > _DEAD * share.shape[-2])).any(-1)
    return found


def _widths(component: Component, floors: Tensor) -> Tensor:
    """Return the narrowest of the scales that each component has from a head, (..., K); infinite without any.

    Scales count in units of their floors, (D,); one scale of several dimensions in those of the lowest.
    """
    if isinstance(component, Product):
        sizes = [block.event_shape[0] for block in component.blocks]
        pairs = zip(component.blocks, floors.split(sizes), strict=True)
        return torch.stack([_widths(block, own) for block, own in pairs]).amin(0)
    if isinstance(component, Wrapped):
        return _widths(component.base, floors)
    if not isinstance(component, Declared):
        return torch.cat([_widths(group, floors) for group in component.groups], -1)
    widths = [component.mean.new_full(component.batch_shape, torch.inf)]
    for name, parameter in component.parameters.items():
        value: Tensor = getattr(component, name)
        if parameter.constraint is constraints.scale:
            widths.append((value / (floors if value.shape[-1] > 1 else floors.amin())).amin(-1))
        elif parameter.constraint is constraints.scale_tril:
            widths.append((value.diagonal(dim1=-2, dim2=-1) / floors).amin(-1))
        elif parameter.constraint is constraints.concentration:
            widths.append((value.rsqrt() / floors).amin(-1))
    return torch.stack(widths).amin(0)


def _commonest(rows: Tensor) -> tuple[int, ...]:
    """Return the first rows among those that occur at least half as often as any."""
    if not len(rows):
        return ()
    numbers, counts = rows.unique(return_counts=True)
    first: list[int] = numbers[2 * counts >= counts.max()][:_NAMED_ROWS].tolist()
    return tuple(first)


def _score(distribution: Mixture, rows: Rows) -> float | None:
    y: Tensor | Incomplete = rows.y
    score = float(objectives.nll(distribution, y, rows.weight).mean())
    return score if math.isfinite(score) else None
