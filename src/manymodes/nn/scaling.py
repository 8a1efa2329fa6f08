"""Scaling as part of the network: buffers that are learned from data once and saved with the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from manymodes import _checks
from manymodes.distributions.constraints import Scaling
from manymodes.nn.steps import STEPS, columns, real_steps


class Standardizer(nn.Module):
    """Maps each column to mean 0 and standard deviation 1, (N, F) -> (N, F).

    A value further from the middle half of its column than ten times the width of that half counts as if it were that
    far: a few gross outliers do not squeeze all others together.

    Until ``learn`` is called it changes nothing. Statistics are kept in float64 and differences are taken
    there, so that large offsets (years, timestamps) cost no precision when the network works in float32; casts of
    the network, say ``network.float()``, leave them as they are.

    Args:
        constant_scale: Scale of a column that is constant: 1 only shifts it; infinity maps it to 0 whatever it
            becomes later, which is right for inputs, since no weight has learned what a change of it means.

    Attributes:
        loc: Mean of each column, (F,), or a scalar 0.
        scale: Standard deviation of each column, (F,), or a scalar 1.
    """

    loc: Tensor
    scale: Tensor

    def __init__(self, *, constant_scale: float = 1.0) -> None:
        super().__init__()
        self._constant_scale = constant_scale
        self.register_buffer("loc", torch.zeros((), dtype=torch.float64))
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))

    @property
    def n_features(self) -> int | None:
        """Number of columns that it takes; None before it has learned."""
        return len(self.loc) if self.loc.dim() else None

    def learn(self, values: Tensor, scalings: Sequence[Scaling] | None = None, known: Tensor | None = None) -> None:
        """Take the mean and standard deviation of each column of ``values``, (N, F).

        Args:
            values: Rows to learn from.
            scalings: How each column may be scaled; None standardises all. A column that may only be scaled is divided
                by its root mean square.
            known: Which values count, (N, F), some in every column; None for all.
        """
        if known is not None and not bool(known.all()):
            self._learn_known(values, scalings, known)
            return
        values = values.detach().to(self.loc.device, torch.float64)
        _checks.matches_shape("values", values.shape, ("N", "F"), "to be standardised column by column")
        low, high = fences(values)
        middle = 0.5 * low + 0.5 * high
        reach = torch.where(high > low, 0.5 * high - 0.5 * low, 1.0)
        # Statistics of values within [-1, 1]: their squares neither overflow nor vanish.
        unit = ((values - middle) / reach).clamp(-1.0, 1.0)
        self.loc = middle + reach * unit.mean(0)
        self.scale = torch.where(high > low, reach * unit.std(0, correction=0), self._constant_scale)
        for column, scaling in enumerate(scalings or ()):
            if scaling is not Scaling.AFFINE:
                self.scale[column] = _size(values[:, column]) if scaling is Scaling.SCALE else 1.0
                self.loc[column] = 0.0

    def _learn_known(self, values: Tensor, scalings: Sequence[Scaling] | None, known: Tensor) -> None:
        parts = []
        for column, counts in enumerate(known.unbind(-1)):
            own = Standardizer(constant_scale=self._constant_scale).to(self.loc.device)
            own.learn(values[counts, column : column + 1], None if scalings is None else scalings[column : column + 1])
            parts.append((own.loc, own.scale))
        self.loc, self.scale = (torch.cat(column) for column in zip(*parts, strict=True))

    def forward(self, values: Tensor) -> Tensor:
        """Return standardised values, (N, F), in float64 once it has learned."""
        return (values - self.loc) / self.scale

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        _in_double(self, super()._apply, fn, recurse)
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # Before `learn` the buffers are scalars: take the shape of what is loaded.
        for name in ("loc", "scale"):
            stored = state_dict.get(prefix + name)
            if stored is not None:
                setattr(self, name, torch.empty_like(stored, device=self.loc.device))
        super()._load_from_state_dict(state_dict, prefix, *args)


class TableScaling(nn.Module):
    """Maps the columns of a table to numbers that a network takes well, (N, F) -> (N, F + G).

    Numbers are standardised, and bent beyond ``reach`` standard deviations, where they go on as logarithms: no outlier
    is far away. Categories become the number of their level in ascending order, counted from 1; 0 is a level that was
    not there. A number that is missing (NaN) counts as the mean of its column, and a column of 1 where it is missing
    and 0 elsewhere, one for each of ``gaps``, comes after all others.

    Args:
        categories: Number of levels of each column that holds categories, by its place.
        gaps: Places of the columns of numbers where some may be missing, G of them.
        reach: Standard deviations up to which numbers stay as they are.
    """

    levels: Tensor

    def __init__(
        self, *, categories: Mapping[int, int] | None = None, gaps: Sequence[int] = (), reach: float = 4.0
    ) -> None:
        super().__init__()
        self.reach = _checks.positive("reach", reach)
        self.categories = dict(categories or {})
        self.gaps = list(gaps)
        self.numbers = Standardizer(constant_scale=math.inf)
        most = max(self.categories.values(), default=0)
        self.register_buffer("levels", torch.full((len(self.categories), most), torch.inf, dtype=torch.float64))

    @property
    def n_features(self) -> int | None:
        """Number of columns that it takes; None before it has learned."""
        return self.numbers.n_features

    def learn(self, values: Tensor) -> None:
        """Take the spread of each column of numbers and the levels of each one of categories, from ``values``, (N, F).

        Raises:
            ValueError: More levels in a column of categories than were announced.
        """
        known = ~values.isnan()
        known |= ~known.any(0)  # of a column of gaps alone, zeros count
        self.numbers.learn(self._filled(values), known=known)
        for place, (column, n_levels) in enumerate(self.categories.items()):
            found = values[:, column].double().unique()
            if len(found) > n_levels:
                raise _checks.InputError(f"column {column} must have at most {n_levels} levels; got {len(found)}.")
            self.levels[place, : len(found)] = found

    def forward(self, values: Tensor) -> Tensor:
        """Return scaled numbers and numbers of levels, and what is missing, (N, F + G), in float64."""
        z: Tensor = self.numbers(values)
        missing = values[:, self.gaps].isnan()
        if self.gaps:
            z[:, self.gaps] = z[:, self.gaps].masked_fill(missing, 0.0)
        scaled = bent(z, self.reach)
        for levels, column in zip(self.levels, self.categories, strict=True):
            value = values[:, column].double().contiguous()
            place = torch.searchsorted(levels, value).clamp_max(len(levels) - 1)
            scaled[:, column] = torch.where(levels[place] == value, place + 1.0, 0.0)
        return torch.cat([scaled, missing.to(scaled.dtype)], -1) if self.gaps else scaled

    def _filled(self, values: Tensor) -> Tensor:
        """Return values with zeros where they may be and are missing."""
        filled = values.double().clone()
        filled[:, self.gaps] = filled[:, self.gaps].nan_to_num(nan=0.0)
        return filled

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        _in_double(self, super()._apply, fn, recurse)
        return self


class PartScaling(nn.Module):
    """Scales several inputs by name: tables and steps are standardised, anything else stays as it is.

    Args:
        names: Names of the inputs.
        axis: Which axis of inputs of more than two holds features, which are standardised, too; None for no such axis.
    """

    def __init__(self, names: Iterable[str], axis: int | None = None) -> None:
        super().__init__()
        self._axis = axis
        self.parts = nn.ModuleDict({name: Standardizer(constant_scale=math.inf) for name in sorted(names)})

    def learn(self, x: Mapping[str, Tensor]) -> None:
        """Take the mean and standard deviation of each column of the parts that have any; padded steps do not count."""
        real = real_steps(self._matched(x))
        for name, part in x.items():
            rows = columns(part, self._axis)
            if rows is not None:
                self._of(name).learn(rows[real.flatten()] if name == STEPS and real is not None else rows)

    def forward(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the inputs, scaled, in their order."""
        scaled = {}
        for name, part in self._matched(x).items():
            scaled[name] = standardised(f"x[{name!r}]", part, self._of(name), self._axis)
        return scaled

    def _matched(self, x: Any) -> Mapping[str, Tensor]:
        if not isinstance(x, Mapping) or x.keys() != set(self.parts):
            got = _checks.quoted(x) if isinstance(x, Mapping) else type(x).__name__
            raise _checks.InputError(f"x must be a mapping with the inputs {_checks.quoted(self.parts)}; got {got}.")
        return x

    def _of(self, name: str) -> Standardizer:
        return cast(Standardizer, self.parts[name])


def bent(z: Tensor, reach: float) -> Tensor:
    """Return numbers as they are up to a reach, and as its logarithm what is beyond: no outlier is far away."""
    beyond = (z.abs() - reach).clamp_min(0.0)
    return z.clamp(-reach, reach) + z.sign() * beyond.log1p()


def standardised(name: str, x: Tensor, own: Standardizer | TableScaling, axis: int | None) -> Tensor:
    """Return inputs as their scaling maps them, or as they are where it has learned nothing.

    Args:
        name: What to call them in a sentence.
        x: A table, (N, F), or an input of more axes.
        own: Their scaling.
        axis: Which of more than two axes holds features; None where only tables are taken.

    Raises:
        ValueError: Another number of features, or more axes than are taken.
    """
    if own.n_features is None:
        return x
    if axis is None or x.dim() <= 2:
        _checks.matches_shape(name, x.shape, ("N", own.n_features), "as the network was fitted with")
        scaled: Tensor = own(x)
        return scaled
    if x.shape[axis] != own.n_features:
        raise _checks.InputError(
            f"{name} must have {own.n_features} features in axis {axis % x.dim()}, as the network was fitted with; got "
            f"{_checks.shape_text(x.shape)}."
        )
    moved: Tensor = own(x.movedim(axis, -1))
    return moved.movedim(-1, axis)


def _in_double(module: nn.Module, apply: Callable[..., Any], fn: Callable[[Tensor], Tensor], recurse: bool) -> None:
    """Move a module's buffers as ``fn`` wants, but keep what they hold in double precision."""
    kept = dict(module.named_buffers(recurse=False))
    apply(fn, recurse)
    for name, value in kept.items():
        setattr(module, name, value.to(getattr(module, name).device))


_FENCE = 10.0  # widths of the middle half of a column, beyond which a value is pulled in
_MANY_ROWS = 100_000  # quartiles of a thinned column are good enough to tell outliers


def fences(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the ends of each column, (F,), or how far from its middle half a value counts, where that is nearer."""
    low, high = values.aminmax(dim=0)
    thinned = values[:: 1 + len(values) // _MANY_ROWS]
    quarters = _quarters(thinned)
    first, third = quarters.clone()
    for column in (first == third).nonzero().squeeze(-1).tolist():  # half of it is one number: ask the others
        others = thinned[:, column][thinned[:, column] != first[column]]
        if len(others):
            quarters[:, column] = _quarters(others)
    width = _FENCE * (quarters[1] - quarters[0])
    width = torch.where(width > 0, width, torch.inf)
    inner, outer = torch.minimum(quarters[0] - width, first), torch.maximum(quarters[1] + width, third)
    return torch.maximum(low, inner), torch.minimum(high, outer)


def _quarters(values: Tensor) -> Tensor:
    """Return the first and third quartile of each column, (2, F), or of one, (2,)."""
    levels = torch.tensor([0.25, 0.75], dtype=values.dtype, device=values.device)
    return torch.quantile(values, levels, dim=0)


def _size(column: Tensor) -> Tensor:
    """Return the root mean square, of which no square overflows or vanishes; 1 where all is 0."""
    largest = column.abs().amax()
    largest = torch.where(largest > 0, largest, 1.0)
    size = largest * (column / largest).square().mean().sqrt()
    return torch.where(size > 0, size, 1.0)
