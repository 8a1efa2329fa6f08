"""The contract of a component family: one list of parameters, read by heads, checks and documentation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

from manymodes import _checks


@dataclass(frozen=True)
class Parameter:
    """Size and constraint of one parameter of one component.

    Attributes:
        size: Number of values per component: ``"D"`` (one per target dimension) or a fixed number.
        constraint: Where the values may lie; heads map raw network outputs into it.
    """

    size: str | int
    constraint: constraints.Constraint

    def size_for(self, target_dim: int) -> int:
        """Return the number of values per component for a target of ``target_dim`` dimensions."""
        return target_dim if self.size == "D" else int(self.size)


class Component(Distribution, ABC):
    """K components per example: ``batch_shape`` (..., K), ``event_shape`` (D,). Abstract.

    A family declares ``parameters`` once, at least one of them of size ``"D"``, and implements the abstract methods
    for tensors that broadcast against (..., K, D). Everything else follows from the declaration.
    """

    parameters: ClassVar[Mapping[str, Parameter]]
    support = constraints.independent(constraints.real, 1)

    @property
    def arg_constraints(self) -> dict[str, constraints.Constraint]:
        """Constraint of every parameter."""
        return {name: parameter.constraint for name, parameter in self.parameters.items()}

    def __init__(self, *, validate_args: bool | None = None, **values: Tensor) -> None:
        target_dim = self._target_dim(values)
        for name, value in values.items():
            size = self.parameters[name].size_for(target_dim)
            if value.dim() < 2 or value.shape[-1] != size:
                raise _checks.InputError(
                    f"{name} must have shape (..., K, {size}) for K components of {type(self).__name__} and "
                    f"D={target_dim} target dimensions; got {_checks.shape_text(value.shape)}."
                )
        batch_shape = torch.broadcast_shapes(*(value.shape[:-1] for value in values.values()))
        for name, value in values.items():
            setattr(self, name, value.expand(batch_shape + value.shape[-1:]))
        super().__init__(batch_shape, torch.Size([target_dim]), validate_args=False)
        self._validate_args = Distribution._validate_args if validate_args is None else validate_args
        if self._validate_args:
            self._check_values()

    def _target_dim(self, values: Mapping[str, Tensor]) -> int:
        name = next(name for name, parameter in self.parameters.items() if parameter.size == "D")
        shape = values[name].shape
        if len(shape) < 2 or shape[-1] < 1:
            raise _checks.InputError(
                f"{name} must have shape (..., K, D) with D >= 1; got {_checks.shape_text(shape)}."
            )
        return int(shape[-1])

    def _check_values(self) -> None:
        for name, parameter in self.parameters.items():
            legal = parameter.constraint.check(getattr(self, name))
            if not legal.all():
                index = tuple((~legal).nonzero()[0].tolist())
                raise _checks.InputError(
                    f"{name} must be {_RULES[parameter.constraint]} everywhere; "
                    f"got {getattr(self, name)[index].item():g} at {index}."
                )

    def transformed(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Return the same family with every parameter tensor changed by ``change``."""
        values = {name: change(getattr(self, name)) for name in self.parameters}
        return type(self)(**values, validate_args=False)

    def expand(self, batch_shape: _size, _instance: Distribution | None = None) -> Self:
        """Return the family with its batch shape, (..., K), expanded."""
        return self.transformed(lambda value: value.expand(torch.Size(batch_shape) + value.shape[-1:]))

    def select(self, index: Tensor) -> Self:
        """Return one chosen component per row, (S..., ..., 1), for ``index`` of shape (S..., ...)."""

        def gather(value: Tensor) -> Tensor:
            value = value.expand(index.shape + value.shape[-2:])
            where = index[..., None, None].expand(*index.shape, 1, value.shape[-1])
            return value.gather(-2, where)

        return self.transformed(gather)

    @classmethod
    @abstractmethod
    def start(cls, centres: Tensor, spread: float) -> dict[str, Tensor]:
        """Return parameters to start training from, (K, size) each.

        Args:
            centres: Where targets are dense, (K, D).
            spread: Typical distance of targets from their centre, per dimension.
        """

    @abstractmethod
    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., ..., K, D)."""

    @abstractmethod
    def log_prob(self, value: Tensor) -> Tensor:
        """Return joint log-densities, (..., K)."""

    @abstractmethod
    def marginal_log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density of each target dimension by itself, (..., K, D)."""

    @abstractmethod
    def cdf(self, value: Tensor) -> Tensor:
        """Return P(Y <= value) for each target dimension, (..., K, D)."""

    @abstractmethod
    def sf(self, value: Tensor) -> Tensor:
        """Return P(Y > value) for each target dimension, (..., K, D), accurate in the upper tail."""

    @abstractmethod
    def icdf(self, value: Tensor) -> Tensor:
        """Return the quantile of each target dimension, (..., K, D)."""

    @abstractmethod
    def isf(self, value: Tensor) -> Tensor:
        """Return y with P(Y > y) = value for each target dimension, (..., K, D), accurate for tiny values."""

    @abstractmethod
    def affine(self, shift: Tensor | float, scale: Tensor | float) -> Component:
        """Return the distribution of ``shift + scale * Y`` for ``scale`` > 0."""

    @abstractmethod
    def marginal(self, dims: list[int]) -> Self:
        """Return the same family over the chosen target dimensions."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(batch_shape={tuple(self.batch_shape)}, event_shape={tuple(self.event_shape)})"


_RULES = {constraints.real: "a number", constraints.positive: "positive"}  # in words, for messages
