"""Products: components whose target dimensions are of different families and share one weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import final

import torch
from torch import Tensor
from torch.types import _size

from manymodes import _checks
from manymodes.distributions.blueprints import Blueprint, Slot, Units, alike, as_blueprint, nested
from manymodes.distributions.component import Change, Component, Factorised, Kind
from manymodes.distributions.composite import Composite, padded
from manymodes.distributions.constraints import Scaling
from manymodes.distributions.declared import Declared


@final
class Product(Composite):
    r"""Independent blocks of target dimensions, say an angle beside a length beside a count.

    .. math:: p_k(y) = \prod_b p_{kb}(y_b)

    Args:
        blocks: Components of one batch shape (..., K); their dimensions follow one another.

    Raises:
        ValueError: No block, a block of several families, or batch shapes that differ.
    """

    def __init__(self, *blocks: Component) -> None:
        if not blocks or any(block.batch_shape != blocks[0].batch_shape for block in blocks):
            shapes = ", ".join(_checks.shape_text(block.batch_shape) for block in blocks)
            raise _checks.InputError(f"blocks must be components of one batch shape; got {shapes or 'none'}.")
        if any(len(block.groups) > 1 for block in blocks):
            raise _checks.InputError(
                "blocks must each be of one family; got a Concatenation. Take a Concatenation of Products instead."
            )
        self.blocks = blocks
        target_dim = sum(block.event_shape[0] for block in blocks)
        super().__init__(blocks[0].batch_shape, torch.Size([target_dim]), validate_args=False)

    @staticmethod
    def of(*families: type[Declared] | Blueprint | tuple[type[Declared] | Blueprint, int]) -> ProductBlueprint:
        """Return a blueprint of families, each for one target dimension, or for n where given as (family, n)."""
        pairs = [family if isinstance(family, tuple) else (family, 1) for family in families]
        return ProductBlueprint(tuple((as_blueprint(family), n_dims) for family, n_dims in pairs))

    # --- what it is ---

    @property
    def parts(self) -> tuple[Component, ...]:
        """The blocks."""
        return self.blocks

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kind of each target dimension."""
        return sum((block.kinds for block in self.blocks), ())

    def ends(self) -> tuple[Tensor, Tensor]:
        """Return the ends of the support of each target dimension."""
        lows, highs = zip(*(block.ends() for block in self.blocks), strict=True)
        return torch.cat(lows, -1), torch.cat(highs, -1)

    def turning_points(self) -> Tensor:
        """Return the turning points of each target dimension, (..., K, D, B)."""
        return torch.cat(padded([block.turning_points() for block in self.blocks]), -2)

    def entropy(self) -> Tensor:
        """Return the sum of the blocks' entropies, (..., K)."""
        return torch.stack([block.entropy() for block in self.blocks]).sum(0)

    # --- life and samples ---

    def transformed(self, change: Change) -> Product:
        """Return the same product with every tensor changed."""
        return Product(*(block.transformed(change) for block in self.blocks))

    def select(self, index: Tensor) -> Product:
        """Return chosen components of every row."""
        return Product(*(block.select(index) for block in self.blocks))

    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., ..., K, D)."""
        return self._join(lambda block: block.sample(sample_shape, generator=generator))

    def sample_at(self, index: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return one sample, (S..., ..., D), of the component that ``index``, (S..., ...), names in each row."""
        return torch.cat([block.sample_at(index, generator) for block in self.blocks], -1)

    # --- density ---

    def log_prob(self, value: Tensor) -> Tensor:
        """Return joint log-densities, (..., K)."""
        return torch.stack([block.log_prob(y) for block, y in self._split(value)]).sum(0)

    def marginal_log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density of each target dimension by itself."""
        return self._join(lambda block, y: block.marginal_log_prob(y), value)

    def curvature(self, value: Tensor) -> Tensor:
        """Return the blocks' matrices on the diagonal, (..., K, D, D)."""
        blocks = [block.curvature(y) for block, y in self._split(value)]
        whole = blocks[0].new_zeros(*blocks[0].shape[:-2], *(2 * self.event_shape))
        start = 0
        for matrix in blocks:
            stop = start + matrix.shape[-1]
            whole[..., start:stop, start:stop] = matrix
            start = stop
        return whole

    def interval_log_prob(self, low: Tensor, high: Tensor) -> Tensor:
        """Return the joint log-likelihood, (..., K), of targets known to lie in [low, high]."""
        pairs = zip(self._split(low), self._split(high), strict=True)
        return torch.stack([block.interval_log_prob(a, b) for (block, a), (_, b) in pairs]).sum(0)

    def rosenblatt(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return the blocks' conditional log-densities and cdfs: blocks do not depend on one another."""
        densities, levels = zip(*(block.rosenblatt(y) for block, y in self._split(value)), strict=True)
        return torch.cat(densities, -1), torch.cat(levels, -1)

    # --- distributions made from this one ---

    def affine(self, shift: Tensor | float, scale: Tensor | float) -> Product:
        """Return the distribution of ``shift + scale * Y``."""
        units = Units(shift, scale)
        moved = [block.affine(*units.of(dims)) for block, dims in zip(self.blocks, self._dims(), strict=True)]
        return Product(*moved)

    def marginal(self, dims: list[int]) -> Component:
        """Return the joint distribution of the chosen target dimensions."""
        blocks: list[Component] = []
        for owner, own in self._runs(dims):
            blocks.append(self.blocks[owner].marginal(own))
        return blocks[0] if len(blocks) == 1 else Product(*blocks)

    def condition(self, dims: list[int], value: Tensor) -> Component:
        """Return the distribution of the other dimensions given ``value`` in ``dims``."""
        blocks = []
        for block, where in zip(self.blocks, self._dims(), strict=True):
            places = [i for i, dim in enumerate(dims) if where.start <= dim < where.stop]
            if not places:
                blocks.append(block)
            elif len(places) < block.event_shape[0]:
                blocks.append(block.condition([dims[i] - where.start for i in places], value[..., places]))
        return blocks[0] if len(blocks) == 1 else Product(*blocks)

    def widened(self, factor: float) -> Product:
        """Return a product whose blocks are all widened."""
        return Product(*(block.widened(factor) for block in self.blocks))

    # --- private ---

    def _dims(self) -> list[slice]:
        ends = accumulate((block.event_shape[0] for block in self.blocks), initial=0)
        return [slice(start, stop) for start, stop in pairwise(ends)]

    def _split(self, value: Tensor) -> list[tuple[Component, Tensor]]:
        """Return each block with its columns of ``value``; a size of 1 broadcasts."""
        whole = value.expand(*value.shape[:-1], self.event_shape[0]) if value.dim() else value.expand(self.event_shape)
        return [(block, whole[..., dims]) for block, dims in zip(self.blocks, self._dims(), strict=True)]

    def _join(self, ask: Callable[..., Tensor], value: Tensor | None = None) -> Tensor:
        if value is None:
            return torch.cat([ask(block) for block in self.blocks], -1)
        return torch.cat([ask(block, y) for block, y in self._split(value)], -1)

    def _runs(self, dims: list[int]) -> list[tuple[int, list[int]]]:
        """Return the chosen dimensions as runs of one block each: (block, its own dimensions)."""
        owners = [next(i for i, where in enumerate(self._dims()) if where.start <= dim < where.stop) for dim in dims]
        runs: list[tuple[int, list[int]]] = []
        for owner, dim in zip(owners, dims, strict=True):
            own = dim - self._dims()[owner].start
            if runs and runs[-1][0] == owner:
                runs[-1][1].append(own)
            else:
                runs.append((owner, [own]))
        split = {owner for i, (owner, _) in enumerate(runs) if owner in [other for other, _ in runs[:i]]}
        if any(not isinstance(self.blocks[owner], Factorised) for owner in split):
            raise _checks.InputError(f"dims must keep dimensions that are correlated side by side; got {dims}.")
        return runs


@dataclass(frozen=True)
class ProductBlueprint:
    """Blueprints side by side: each part takes so many target dimensions."""

    parts: tuple[tuple[Blueprint, int], ...]

    def slots(self, n_components: int, target_dim: int) -> dict[str, Slot]:
        """Return the slots of every part, named by its number."""
        total = sum(n_dims for _, n_dims in self.parts)
        if total != target_dim:
            raise _checks.InputError(f"target_dim must be {total}, the dimensions of the product; got {target_dim}.")
        return {
            f"{i}.{name}": slot._replace(dims=(dims.start + slot.dims[0], dims.start + slot.dims[1]))
            for i, (part, dims) in enumerate(self._dims())
            for name, slot in part.slots(n_components, dims.stop - dims.start).items()
        }

    def scalings(self, target_dim: int) -> tuple[Scaling, ...]:
        """Return each part's scaling."""
        return sum((part.scalings(n_dims) for part, n_dims in self.parts), ())

    def build(self, values: Mapping[str, Tensor], batch_shape: torch.Size, target_dim: int, units: Units) -> Product:
        """Return the product of the parts' components."""
        blocks = [
            part.build(nested(values, i), batch_shape, dims.stop - dims.start, units.of(dims))
            for i, (part, dims) in enumerate(self._dims())
        ]
        return Product(*alike(blocks))

    def start(self, centres: Tensor, spread: Tensor, units: Units) -> dict[str, Tensor]:
        """Return the parts' starts."""
        return {
            f"{i}.{name}": value
            for i, (part, dims) in enumerate(self._dims())
            for name, value in part.start(centres[:, dims], spread[dims], units.of(dims)).items()
        }

    def settled(self, components: Component) -> Component:
        """Return the product with every part settled."""
        blocks = components.blocks if isinstance(components, Product) else ()
        return Product(*(part.settled(block) for (part, _), block in zip(self.parts, blocks, strict=True)))

    def _dims(self) -> list[tuple[Blueprint, slice]]:
        out, start = [], 0
        for part, n_dims in self.parts:
            out.append((part, slice(start, start + n_dims)))
            start += n_dims
        return out
