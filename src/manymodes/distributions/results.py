"""What searches return: modes and regions with a mask for ragged rows, printable and convertible to a data frame."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor


class Table:
    """What can be seen as a table. Abstract."""

    def to_dict(self) -> dict[str, list[Any]]:
        """Return the columns of the table by name."""
        raise NotImplementedError

    def to_frame(self, backend: Literal["pandas", "polars", "pyarrow"] = "pandas") -> Any:
        """Return the table of ``to_dict`` as a data frame.

        Args:
            backend: ``"pandas"``, ``"polars"`` or ``"pyarrow"``, which must be installed.
        """
        import narwhals.stable.v2 as narwhals

        return narwhals.from_dict(self.to_dict(), backend=backend).to_native()


class _Ragged(Table):
    """Tensors (..., J) or (..., J, D) of which ``mask``, (..., J), says what is meant."""

    mask: Tensor
    _kind: ClassVar[str]
    _filling: ClassVar[Mapping[str, float]]  # what stands where there is no entry

    @property
    def count(self) -> Tensor:
        """How many entries each row has, (...)."""
        return self.mask.sum(-1)

    def _columns(self) -> Mapping[str, Tensor]:
        """Return the entries as columns of a long table, without those masked."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, list[Any]]:
        """Return a long table: one entry a line, named by its row, counted from 0 in a flattened batch, atoms last."""
        rows = torch.arange(self.mask.shape[:-1].numel(), device=self.mask.device).reshape(self.mask.shape[:-1])
        rows = rows.unsqueeze(-1).expand_as(self.mask)
        columns = {"row": rows, **self._columns()}
        table = {name: value[self.mask].tolist() for name, value in columns.items()}
        table["kind"] = [self._kind] * len(table["row"])
        atoms: Atoms | None = getattr(self, "atoms", None)
        if atoms is not None:
            for name, values in self._of_atoms(atoms.to_dict()).items():
                table[name] += values
        return table

    def _of_atoms(self, atoms: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Return a table of atoms with the columns of this one."""
        place, n = atoms["location"], len(atoms["row"])
        known = {"low": place, "high": place, "location": place, "spread": [0.0] * n, "log_density": [math.inf] * n}
        columns = ["row", *self._columns(), "kind"]
        return {name: atoms.get(name, known.get(name, [])) for name in columns}

    def reshaped(self, batch_shape: torch.Size) -> Self:
        """Return the same with its rows, flattened before, in a batch shape."""
        return type(self)(
            **{
                field.name: _reshaped(getattr(self, field.name), batch_shape)
                for field in fields(self)  # type: ignore[arg-type]
            }
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the entries of several predictions, (N1, J1), (N2, J2), ..., one after another, (N, J)."""
        most = max(part.mask.shape[-1] for part in parts)
        whole: dict[str, Any] = {}
        for field in fields(cls):  # type: ignore[arg-type]
            values = [getattr(part, field.name) for part in parts]
            if isinstance(values[0], _Ragged):
                whole[field.name] = type(values[0]).joined(values)
            else:
                whole[field.name] = torch.cat([cls._widened(field.name, value, most) for value in values])
        return cls(**whole)

    @classmethod
    def _widened(cls, name: str, value: Tensor, size: int) -> Tensor:
        """Return a tensor with so many entries a row, filled up with what stands for none."""
        if name not in cls._filling:  # one number a row
            return value
        missing = value.new_full((value.shape[0], size - value.shape[1], *value.shape[2:]), cls._filling[name])
        return torch.cat([value, missing], 1)

    def __repr__(self) -> str:
        rows = self.mask.shape[:-1].numel()
        name = type(self).__name__
        if rows != 1:
            low, high = (int(value) for value in self.count.aminmax()) if rows else (0, 0)
            return f"{name}(rows={rows}, count={low} to {high})"
        table = self.to_dict()
        entries = []
        for kind, *line in zip(table.pop("kind"), *list(table.values())[1:], strict=True):
            numbers = ", ".join(f"{key}={value:.4g}" for key, value in zip(list(table)[1:], line, strict=True))
            entries.append(numbers if kind == self._kind else f"{kind}: {numbers}")
        return f"{name}({'; '.join(entries)})"


@dataclass(frozen=True, eq=False, repr=False)
class Atoms(_Ragged):
    """Points that hold probability by themselves.

    Attributes:
        location: Where, (..., A), in the units of y; NaN where ``mask`` is False.
        mass: Probability of each, (..., A).
        mask: Which entries are atoms, (..., A).
    """

    location: Tensor
    mass: Tensor
    mask: Tensor
    _kind: ClassVar[str] = "atom"
    _filling: ClassVar[Mapping[str, float]] = {"location": math.nan, "mass": 0.0, "mask": False}

    def _columns(self) -> Mapping[str, Tensor]:
        return {"location": self.location, "mass": self.mass}


@dataclass(frozen=True, eq=False, repr=False)
class Modes(_Ragged):
    """Modes of each prediction, the highest first; rows with fewer are filled up.

    Attributes:
        location: Where each mode lies, (..., J, D), in the units of y; NaN where ``mask`` is False.
        log_density: Log-density there, (..., J); -inf where ``mask`` is False.
        mass: Probability of the mode's basin, (..., J); the masses of a row, with those of atoms, sum to one. In one
            dimension the probability between the minima on both sides; in several the weight of the components that
            climb to the mode.
        spread: Standard deviation of the components that make the mode, weighed by their responsibility there,
            (..., J, D).
        mask: Which entries are modes, (..., J).
        atoms: Atoms, listed apart.
    """

    location: Tensor
    log_density: Tensor
    mass: Tensor
    spread: Tensor
    mask: Tensor
    _kind: ClassVar[str] = "mode"
    _filling: ClassVar[Mapping[str, float]] = {
        "location": math.nan,
        "log_density": -math.inf,
        "mass": 0.0,
        "spread": math.nan,
        "mask": False,
    }
    atoms: Atoms

    def count_above(self, mass: float) -> Tensor:
        """Return the number of modes that hold at least ``mass`` of the probability, (...)."""
        return (self.mask & (self.mass >= mass)).sum(-1)

    def _columns(self) -> Mapping[str, Tensor]:
        dims = self.location.shape[-1]
        names = [""] if dims == 1 else [f"_{dim}" for dim in range(dims)]
        return {
            **{f"location{name}": self.location[..., dim] for dim, name in enumerate(names)},
            "log_density": self.log_density,
            "mass": self.mass,
            **{f"spread{name}": self.spread[..., dim] for dim, name in enumerate(names)},
        }


@dataclass(frozen=True, eq=False, repr=False)
class Region(_Ragged):
    """Highest-density regions: unions of disjoint intervals, in ascending order.

    Attributes:
        low: Lower end of each interval, (..., J), in the units of y; NaN where ``mask`` is False.
        high: Upper end, likewise; it belongs to the interval.
        mass: Probability of each interval, (..., J); 0 where ``mask`` is False.
        mask: Which entries are intervals, (..., J).
        log_level: Log-density on the border, (...): the intervals hold where the density is higher.
        atoms: Atoms that belong to the region, listed apart.
    """

    low: Tensor
    high: Tensor
    mass: Tensor
    mask: Tensor
    _kind: ClassVar[str] = "interval"
    _filling: ClassVar[Mapping[str, float]] = {"low": math.nan, "high": math.nan, "mass": 0.0, "mask": False}
    log_level: Tensor
    atoms: Atoms

    @property
    def total_mass(self) -> Tensor:
        """Probability of the region, (...)."""
        return self.mass.sum(-1) + self.atoms.mass.sum(-1)

    def contains(self, y: Tensor) -> Tensor:
        """Return which targets, (S..., ..., 1) or (S..., ...), lie in the region, (S..., ...)."""
        y = y if y.dim() > self.mask.dim() - 1 and y.shape[-1] == 1 else y.unsqueeze(-1)
        inside = (y >= self.low) & (y <= self.high) & self.mask
        return inside.any(-1) | ((y == self.atoms.location) & self.atoms.mask).any(-1)

    def _columns(self) -> Mapping[str, Tensor]:
        return {"low": self.low, "high": self.high, "mass": self.mass}


def _reshaped(value: Any, batch_shape: torch.Size) -> Any:
    if isinstance(value, _Ragged):
        return value.reshaped(batch_shape)
    return value.reshape(batch_shape + value.shape[1:])
