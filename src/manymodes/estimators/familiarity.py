"""What a fitted model keeps of its training rows: enough to know them again, and to tell what is far from all of them.

Kept are the range of every number, some sixty centres of the rows (averages of several each, by k-means) and a sketch
of their fingerprints; no row can be read off them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manymodes.estimators.training_rows import TrainingRows
from manymodes.nn.spread import spread_centres
from manymodes.training.randomness import seeded

_ROWS = 2000  # that centres and their reach are learned from
_CENTRES, _ROWS_PER_CENTRE = 64, 3
_QUANTILE = 0.99  # of the distances of rows from the centres of others: beyond is far
_FARTHEST = 10.0  # standard deviations: one wild value does not decide
_LEAST_RADIUS = 0.1  # of the usual one
_MOST_LEVELS = 50  # of categories that count in distances
_SKETCH = 4096
_PREFIX = "familiarity."


@dataclass(frozen=True, eq=False)
class Familiarity:
    """Summary of the training rows of a model.

    Attributes:
        low: Smallest value of every column, (F,), as the network takes it.
        high: Largest value, (F,).
        loc: Means of the columns, (F,).
        scale: Standard deviations, (F,), 1 where nothing varies.
        levels: Number of levels of columns that hold categories, 0 of others, (F,).
        centres: Centres of the rows, (C, V), in the units of ``_points``.
        radius: Mean distance of the rows around each centre, (C,): where rows are dense, near is nearer.
        margin: Share of its range by which the worst column of one row in a hundred exceeds that of others, ().
        reach: Radii from the nearest centre that one row in a hundred exceeds, ().
        sketch: The smallest fingerprints of the rows and their targets, ascending, (at most 4,096,).
    """

    low: Tensor
    high: Tensor
    loc: Tensor
    scale: Tensor
    levels: Tensor
    centres: Tensor
    radius: Tensor
    margin: Tensor
    reach: Tensor
    sketch: Tensor

    @classmethod
    def of_rows(cls, rows: TrainingRows, seed: int | None) -> Self | None:
        """Return the summary of the rows of a fit; None where they are no table."""
        if not isinstance(rows.x, Tensor) or rows.x.dim() != 2:
            return None
        return cls.learn(rows.x, torch.from_numpy(rows.targets.values), rows.categories, seed)

    @classmethod
    def learn(cls, x: Tensor, y: Tensor, categories: Sequence[tuple[int, int]], seed: int | None) -> Self:
        """Return the summary of rows (N, F), in which NaN is a gap, and targets (N, D)."""
        x = x.double()
        levels = torch.zeros(x.shape[1], dtype=torch.int64)
        for place, n_levels in categories:
            levels[place] = n_levels
        known = ~x.isnan()
        count = known.sum(0).clamp_min(1)
        loc = torch.where(known, x, 0.0).sum(0) / count
        scale = (torch.where(known, x - loc, 0.0).square().sum(0) / count).sqrt()
        scale = torch.where(scale > 0, scale, 1.0)
        generator = seeded(seed)
        points = _points(x[torch.randperm(len(x), generator=generator)[:_ROWS]], loc, scale, levels)
        learns, judged = points[: (len(points) + 1) // 2], points[(len(points) + 1) // 2 :]
        centres = spread_centres(learns, max(1, min(_CENTRES, len(learns) // _ROWS_PER_CENTRE)), generator)
        radius = _radius(learns, centres)
        return cls(
            **_range(x),
            margin=_usual_excess(x, generator),
            loc=loc,
            scale=scale,
            levels=levels,
            centres=centres,
            radius=radius,
            reach=torch.quantile(_radii(judged, centres, radius), _QUANTILE),
            sketch=_smallest(_fingerprints(x, y)),
        )

    def joined(self, earlier: Self | None) -> Self:
        """Return a summary of these rows and of those of an earlier fit, which began what this one went on with."""
        if earlier is None or earlier.levels.tolist() != self.levels.tolist():
            return self
        loc = 0.5 * (self.loc + earlier.loc)
        scale = (0.5 * (self.scale**2 + earlier.scale**2) + 0.25 * (self.loc - earlier.loc) ** 2).sqrt()
        own, other = self._in_units(loc, scale), earlier._in_units(loc, scale)
        return replace(
            own,
            low=torch.minimum(own.low, other.low),
            high=torch.maximum(own.high, other.high),
            centres=torch.cat([own.centres, other.centres]),
            radius=torch.cat([own.radius, other.radius]),
            margin=torch.maximum(own.margin, other.margin),
            reach=torch.maximum(own.reach, other.reach),
            sketch=_smallest(torch.cat([own.sketch, other.sketch]).numpy()),
        )

    def is_far(self, x: Tensor) -> Tensor:
        """Return which rows, (N, F), lie outside the range of a column, or farther from all centres than nearly all."""
        x = x.double()
        points = _points(x, self.loc, self.scale, self.levels)
        return (_excess(x, self.low, self.high) > self.margin) | (
            _radii(points, self.centres, self.radius) > self.reach
        )

    def share_of_training_rows(self, x: Tensor, y: Tensor) -> float:
        """Return the share of rows (N, F) with targets (N, D) that are training rows; NaN where nothing tells."""
        prints = np.unique(_fingerprints(x.double(), y))
        comparable = prints[prints <= int(self.sketch[-1])] if len(self.sketch) == _SKETCH else prints
        if not len(comparable):
            return float("nan")
        return float(np.isin(comparable, self.sketch.numpy()).mean())

    def to_tensors(self) -> dict[str, Tensor]:
        """Return what to keep in a model file, beside the tensors of the network."""
        return {_PREFIX + name: value for name, value in asdict(self).items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self | None:
        """Return what ``to_tensors`` gave; None where a file of an older version has none."""
        own = {name.removeprefix(_PREFIX): value for name, value in tensors.items() if name.startswith(_PREFIX)}
        return cls(**own) if own else None

    def _in_units(self, loc: Tensor, scale: Tensor) -> Self:
        """Return the same summary with centres where rows standardised by these numbers are."""
        numbers = self.levels == 0
        n_numbers, factor = int(numbers.sum()), (self.scale / scale)[numbers]
        centres = self.centres.clone()
        centres[:, :n_numbers] = centres[:, :n_numbers] * factor + ((self.loc - loc) / scale)[numbers]
        radius = self.radius * (factor.mean() if n_numbers else 1.0)
        return replace(self, loc=loc, scale=scale, centres=centres, radius=radius)


def is_of_familiarity(name: str) -> bool:
    """Return whether a tensor of a model file is part of this summary, and none of the network's."""
    return name.startswith(_PREFIX)


def _range(x: Tensor) -> dict[str, Tensor]:
    """Return the smallest and the largest value of every column, gaps aside."""
    known = ~x.isnan()
    return {
        "low": torch.where(known, x, torch.inf).amin(0),
        "high": torch.where(known, x, -torch.inf).amax(0),
    }


def _excess(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return how far the worst column of each row lies outside its range, in ranges, (N,)."""
    width = (high - low).clamp_min(torch.finfo(x.dtype).tiny)
    beyond = torch.maximum(low - x, x - high) / width
    return beyond.nan_to_num(0.0, posinf=torch.inf).clamp_min(0.0).amax(-1)


def _usual_excess(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return the excess over the range of one half of the rows that one in a hundred of the other half has."""
    order = torch.randperm(len(x), generator=generator)
    first, second = x[order[: (len(x) + 1) // 2]], x[order[(len(x) + 1) // 2 :]][:_ROWS]
    excess = _excess(second, **_range(first))
    return torch.quantile(torch.where(excess.isfinite(), excess, 0.0), _QUANTILE)


def _points(x: Tensor, loc: Tensor, scale: Tensor, levels: Tensor) -> Tensor:
    """Return rows as points: numbers standardised, gaps at the mean, categories at the corners of a simplex."""
    parts = [((x - loc) / scale).clamp(-_FARTHEST, _FARTHEST).nan_to_num(0.0)[:, levels == 0]]
    for place in ((levels > 0) & (levels <= _MOST_LEVELS)).nonzero().flatten().tolist():
        code = x[:, place].nan_to_num(-1.0).long()
        parts.append((code.unsqueeze(-1) == torch.arange(int(levels[place]))).double() / 2**0.5)
    return torch.cat(parts, -1)


def _radius(points: Tensor, centres: Tensor) -> Tensor:
    """Return the mean distance of the points around each centre, no less than a tenth of the usual one."""
    distance, nearest = torch.cdist(points, centres).min(-1)
    count = torch.bincount(nearest, minlength=len(centres)).clamp_min(1)
    radius = torch.bincount(nearest, distance, minlength=len(centres)) / count
    least = _LEAST_RADIUS * distance.mean()
    return radius.clamp_min(float(least) if least > 0 else 1.0)


def _radii(points: Tensor, centres: Tensor, radius: Tensor) -> Tensor:
    """Return how far points lie from the centre that is nearest for its radius, in radii, (N,)."""
    return (torch.cdist(points, centres) / radius).amin(-1)


def _fingerprints(x: Tensor, y: Tensor) -> NDArray[np.int64]:
    """Return a number for each row and its targets, spread evenly, the same on every machine, (N,).

    Bits of the values, rounded to single precision, are mixed column by column (as Steele, Lea and Flood 2014, Fast
    splittable pseudorandom number generators, figure 16).
    """
    columns = torch.cat([x.float(), y.float()], -1).numpy() + 0.0  # no negative zero
    prints = np.zeros(len(columns), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for column in columns.T:
            z = (prints + np.ascontiguousarray(column).view(np.uint32)) * np.uint64(0x9E3779B97F4A7C15)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            prints = z ^ (z >> np.uint64(31))
    return (prints >> np.uint64(1)).astype(np.int64)


def _smallest(prints: NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(np.unique(prints)[:_SKETCH])
