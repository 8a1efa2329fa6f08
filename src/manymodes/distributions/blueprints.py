"""What a head needs to know of a family: which numbers a network gives, and how components are made of them.

A class of components is a blueprint by itself; ``given`` fixes what a user, not the network, decides (the bounds of a
beta, the place of an atom, a rank). ``Product.of``, ``Concatenation.of``, ``Truncated.of`` and ``Transformed.of`` make
blueprints of others. Values that a user gives are in the user's units: a blueprint carries them into the scaled units
that a network works in, and back exactly, so that a target on a bound stays on it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.distributions.constraints import Constraint

from manymodes import _checks
from manymodes.distributions.component import Component
from manymodes.distributions.constraints import Scaling
from manymodes.distributions.declared import DEFAULT_RANK, Declared

Given = float | Sequence[float]


class Slot(NamedTuple):
    """One parameter as a head sees it: so many components, so many numbers each, and where they may lie.

    ``dims`` says which target dimensions it is about, from the first to the one after the last.
    """

    n_components: int
    shape: tuple[int, ...]
    constraint: Constraint
    dims: tuple[int, int]

    @property
    def numel(self) -> int:
        """How many numbers it holds for one example."""
        return self.n_components * math.prod(self.shape)


class Units(NamedTuple):
    """Targets in a network's units are (y - shift) / scale."""

    shift: Tensor | float = 0.0
    scale: Tensor | float = 1.0

    def scaled(self, value: Given) -> Tensor:
        """Return what a user gives, a number or one per target dimension, in the network's units."""
        return (torch.as_tensor(value, dtype=torch.float64) - _on_cpu(self.shift)) / _on_cpu(self.scale)

    def of(self, dims: slice) -> Units:
        """Return the units of some target dimensions."""
        return Units(*(value[dims] if isinstance(value, Tensor) and value.dim() else value for value in self))


@runtime_checkable
class Blueprint(Protocol):
    """How components are made; see the module's description."""

    def slots(self, n_components: int, target_dim: int) -> dict[str, Slot]:
        """Return the parameters that a network gives for K components of D target dimensions."""

    def scalings(self, target_dim: int) -> tuple[Scaling, ...]:
        """Return how each target dimension may be scaled."""

    def build(self, values: Mapping[str, Tensor], batch_shape: torch.Size, target_dim: int, units: Units) -> Component:
        """Return components, ``batch_shape`` (..., K), of parameters ``(..., K, *shape)`` in the network's units."""

    def start(self, centres: Tensor, spread: Tensor, units: Units) -> dict[str, Tensor]:
        """Return parameters to start from, ``(K, *shape)`` each, for centres (K, D) and typical distances (D,).

        The blueprint of a single family takes distances of each component, (K, D), too.
        """

    def settled(self, components: Component) -> Component:
        """Return components in the user's units with what the user gave set exactly."""


@dataclass(frozen=True)
class FamilyBlueprint:
    """A declared family, with values that a user gives for parameters that have a default.

    Attributes:
        family: The class.
        values: Numbers, or one per target dimension, in the user's units.
        rank: Rank of a family that has one; None for its own choice.
    """

    family: type[Declared]
    values: Mapping[str, Given] = field(default_factory=dict)
    rank: int | None = None

    def __post_init__(self) -> None:
        family = self.family.__name__
        options = {name: part for name, part in self.family.parameters.items() if part.default is not None}
        for name, value in self.values.items():
            if not options:
                raise _checks.InputError(f"{family} has no parameter that can be given; got {name!r}.")
            _checks.one_of(f"a given parameter of {family}", name, options)
            if not bool(torch.as_tensor(value, device="cpu").isfinite().all()):  # also where "meta" is the default
                raise _checks.InputError(f"{name} must be finite for {family}; got {value}.")
        if self.rank is not None and not self._has_rank():
            raise _checks.InputError(f"rank is a setting of LowRankNormal; {family} has none.")

    def slots(self, n_components: int, target_dim: int) -> dict[str, Slot]:
        """Return the parameters without a default; what is given must fit the number of target dimensions."""
        for name, value in self.values.items():
            fits_dimensions(name, value, target_dim)
        learned = {name: part for name, part in self.family.parameters.items() if part.default is None}
        rank = self._rank(target_dim)
        return {
            name: Slot(n_components, part.sizes(target_dim, rank), part.constraint, (0, target_dim))
            for name, part in learned.items()
        }

    def scalings(self, target_dim: int) -> tuple[Scaling, ...]:
        """Return the family's scaling for every target dimension."""
        return (self.family.scaling,) * target_dim

    def build(self, values: Mapping[str, Tensor], batch_shape: torch.Size, target_dim: int, units: Units) -> Component:
        """Return the family's components."""
        like = next(iter(values.values()), torch.empty(0))
        given = {
            name: value.to(like.device, like.dtype).expand(*batch_shape, target_dim)
            for name, value in self._given(units).items()
        }
        make: Any = self.family
        components: Component = make(**values, **given, validate_args=False)
        return components

    def start(self, centres: Tensor, spread: Tensor, units: Units) -> dict[str, Tensor]:
        """Return the family's own start."""
        make: Any = self.family.start
        known: dict[str, Any] = {name: value.to(centres) for name, value in self._given(units).items()}
        if self._rank(centres.shape[1]):
            known["rank"] = self._rank(centres.shape[1])
        started: dict[str, Tensor] = make(centres, spread, **known)
        return started

    def settled(self, components: Component) -> Component:
        """Return the components with their given values set exactly."""
        given = self._given(Units())
        if not given or not isinstance(components, Declared):
            return components
        exact = {name: value.to(getattr(components, name)) for name, value in given.items()}
        return components.with_values(**{name: v.expand_as(getattr(components, name)) for name, v in exact.items()})

    def _given(self, units: Units) -> dict[str, Tensor]:
        defaults = {name: part.default for name, part in self.family.parameters.items() if part.default is not None}
        return {name: units.scaled(value) for name, value in (defaults | dict(self.values)).items()}

    def _rank(self, target_dim: int) -> int:
        if not self._has_rank():
            return 0
        return min(target_dim, DEFAULT_RANK) if self.rank is None else self.rank

    def _has_rank(self) -> bool:
        return any("R" in parameter.shape for parameter in self.family.parameters.values())


def given(family: type[Declared], *, rank: int | None = None, **values: Given) -> FamilyBlueprint:
    """Return a family with some of its parameters, or its rank, decided by you and not by the network.

    Args:
        family: A class of components, say ``Beta``.
        rank: Rank of a ``LowRankNormal``.
        values: Parameters that have a default, say ``low=0.0, high=10.0``: numbers, or one per target dimension.

    Raises:
        ValueError: A name that is no such parameter, a value that is not finite, or a rank where there is none.
    """
    return FamilyBlueprint(family, values, None if rank is None else _checks.integer_at_least("rank", rank, 1))


def as_blueprint(family: type[Declared] | Blueprint) -> Blueprint:
    """Return the blueprint of a class, or the blueprint itself.

    Raises:
        TypeError: Something else.
    """
    if isinstance(family, type) and issubclass(family, Declared) and not inspect.isabstract(family):
        return FamilyBlueprint(family)
    if isinstance(family, Blueprint) and not isinstance(family, type):
        return family
    raise TypeError(
        f"family must be a class of components or a blueprint, say DiagonalNormal or Product.of(...); got {family!r}."
    )


def fits_dimensions(name: str, value: Given, target_dim: int) -> None:
    """Refuse what a user gives, unless it is a number or one number per target dimension."""
    if torch.as_tensor(value).dim() and len(torch.as_tensor(value)) not in (1, target_dim):
        raise _checks.InputError(
            f"{name} must be a number or {target_dim} numbers, one per target dimension; got {value}."
        )


def alike(parts: list[Component]) -> list[Component]:
    """Return components in one precision and on one device: those without parameters of their own follow the others."""
    like = next((part for part in parts if "atom" not in part.kinds), parts[0]).ends()[0]
    return [part.transformed(lambda value: value.to(like)) for part in parts]


def nested(values: Mapping[str, Tensor], part: int) -> dict[str, Tensor]:
    """Return the values of one part of a blueprint that is made of others."""
    prefix = f"{part}."
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}


def _on_cpu(value: Tensor | float) -> Tensor:
    return torch.as_tensor(value).detach().to("cpu", torch.float64)
