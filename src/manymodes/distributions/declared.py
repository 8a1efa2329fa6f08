"""Families with one declared list of parameters, read by heads, checks and documentation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from manymodes import _checks
from manymodes.distributions.component import Change, Component, Kind
from manymodes.distributions.constraints import Scaling, rule
from manymodes.distributions.shapes import common_shape


@dataclass(frozen=True)
class Parameter:
    """Shape and constraint of one parameter of one component.

    Attributes:
        shape: Sizes, where ``"D"`` stands for the number of target dimensions and ``"R"`` for the rank of a family
            that has one.
        constraint: Where the values may lie; heads map raw network outputs into it.
        default: A value in the units of the target, where the user, not the network, gives the parameter: a bound, or
            the place of an atom. None where the network gives it.
    """

    shape: tuple[str | int, ...]
    constraint: constraints.Constraint
    default: float | None = None

    def sizes(self, target_dim: int, rank: int = 0) -> tuple[int, ...]:
        """Return the sizes for a target of ``target_dim`` dimensions."""
        known = {"D": target_dim, "R": rank}
        return tuple(known[size] if isinstance(size, str) else size for size in self.shape)


DEFAULT_RANK = 2  # of families that have one


class Declared(Component):
    """A family with a declared list of parameters, at least one of them of shape ``("D",)``. Abstract.

    Everything that treats parameters alike follows from the declaration: checks, broadcasting, indexing, casts.
    """

    parameters: ClassVar[Mapping[str, Parameter]]
    scaling: ClassVar[Scaling] = Scaling.AFFINE
    kind: ClassVar[Kind] = "real"

    @property
    def arg_constraints(self) -> dict[str, constraints.Constraint]:
        """Constraint of every parameter."""
        return {name: parameter.constraint for name, parameter in self.parameters.items()}

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kind of each target dimension."""
        return (self.kind,) * self.event_shape[0]

    def __init__(self, *, validate_args: bool | None = None, **values: Tensor) -> None:
        target_dim = self._target_dim(values)
        batch_shape = common_shape(self._batch_of(name, value, target_dim) for name, value in values.items())
        for name, value in values.items():
            setattr(
                self,
                name,
                value.expand(batch_shape + value.shape[len(value.shape) - len(self.parameters[name].shape) :]),
            )
        super().__init__(batch_shape, torch.Size([target_dim]), validate_args=False)
        self._validate_args = Distribution._validate_args if validate_args is None else validate_args
        if self._validate_args:
            self._check_values()

    def transformed(self, change: Change) -> Self:
        """Return the same distribution with every tensor, seen as (..., K, size), changed by ``change``."""
        values = {}
        for name, parameter in self.parameters.items():
            value = getattr(self, name)
            if len(parameter.shape) == 1:
                values[name] = change(value)
            else:
                sizes = value.shape[-len(parameter.shape) :]
                values[name] = change(value.flatten(-len(parameter.shape))).unflatten(-1, sizes)
        return type(self)(**values, validate_args=False)

    def with_values(self, **values: Tensor) -> Self:
        """Return the same distribution with some parameters replaced."""
        kept = {name: getattr(self, name) for name in self.parameters if name not in values}
        return type(self)(**kept, **values, validate_args=False)

    def ends(self) -> tuple[Tensor, Tensor]:
        """Return infinite ends: the support is the whole line unless a family says otherwise."""
        infinite = torch.full_like(self.mean, torch.inf)
        return -infinite, infinite

    @classmethod
    @abstractmethod
    def start(cls, centres: Tensor, spread: Tensor) -> dict[str, Tensor]:
        """Return parameters to start training from, ``(K, *shape)`` each; those with a default are left out.

        Args:
            centres: Where targets are dense, (K, D).
            spread: Typical distance of targets from their centre, (D,).
        """

    # --- private ---

    def _target_dim(self, values: Mapping[str, Tensor]) -> int:
        name = next(name for name, parameter in self.parameters.items() if parameter.shape == ("D",))
        shape = values[name].shape
        if len(shape) < 2 or shape[-1] < 1:
            raise _checks.InputError(
                f"{name} must have shape (..., K, D) with D >= 1; got {_checks.shape_text(shape)}."
            )
        return int(shape[-1])

    def _batch_of(self, name: str, value: Tensor, target_dim: int) -> torch.Size:
        """Return the batch shape, (..., K), of one parameter, or refuse its shape."""
        n_event = len(self.parameters[name].shape)
        rank = value.shape[-1] if value.dim() else 0
        sizes = self.parameters[name].sizes(target_dim, rank)
        if value.dim() > n_event and value.shape[-n_event:] == torch.Size(sizes):
            return value.shape[:-n_event]
        raise _checks.InputError(
            f"{name} must have shape {_checks.shape_text(('...', 'K', *sizes))} for K components of "
            f"{type(self).__name__} and D={target_dim} target dimensions; got {_checks.shape_text(value.shape)}."
        )

    def _given(self, value: Tensor | float, like: Tensor) -> Tensor:
        """Return what a user gives, say a bound, as a parameter that broadcasts against ``like``, (..., K, D)."""
        given = torch.as_tensor(value, dtype=like.dtype, device=like.device)
        return given if given.dim() > 1 else given.expand(1, *like.shape[-1:])

    def _check_values(self) -> None:
        for name, parameter in self.parameters.items():
            if not getattr(self, name).numel():
                continue  # torch's own check of matrices trips over none
            legal = parameter.constraint.check(getattr(self, name))
            if not legal.all():
                index = tuple((~legal).nonzero()[0].tolist())
                value: Any = getattr(self, name)[index]
                got = f"{value.item():g}" if value.dim() == 0 else value.tolist()
                raise _checks.InputError(
                    f"{name} must be {rule(parameter.constraint)} everywhere; got {got} at {index}."
                )
