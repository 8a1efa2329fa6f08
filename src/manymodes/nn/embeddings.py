"""Embeddings of a table: numbers as waves of learned frequencies beside the numbers, categories as vectors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manymodes import _checks


class PeriodicEmbedding(nn.Module):
    r"""Each number as a vector: itself, and a learned map of waves of it, (N, F) -> (N, F * out_features).

    .. math:: e_f(x_f) = \big[x_f, \mathrm{relu}(W_f [\cos 2 \pi c_f x_f, \sin 2 \pi c_f x_f] + b_f)\big]

    The frequencies :math:`c_f` are learned, from a normal start of standard deviation ``frequency``: a small one keeps
    predictions smooth, a large one lets them jump between neighbouring values. Waves see numbers within the range that
    ``learn`` saw only: beyond it they would come back to what they say inside, so there the number alone speaks on. A
    network teaches the range to a ``TableEmbedding``; whoever uses this class by itself calls ``learn`` on scaled rows.

    Args:
        in_features: Number of columns, F.
        out_features: Numbers for each column, the column itself among them.
        n_frequencies: Waves of each column.
        frequency: Standard deviation of the first frequencies, in turns per unit of the input; one for all, or one for
            each member.
        n_members: Number of members side by side, M, (M, N, F) -> (M, N, F * out_features); None for no member axis.

    Raises:
        ValueError: A size below 1, or frequencies that are not positive or not as many as members.

    References:
        Gorishniy, Rubachev and Babenko (2022), On embeddings for numerical features in tabular deep learning, eq. 2.
    """

    low: Tensor
    high: Tensor

    def __init__(
        self,
        in_features: int,
        *,
        out_features: int = 12,
        n_frequencies: int = 16,
        frequency: float | Sequence[float] = 0.3,
        n_members: int | None = None,
    ) -> None:
        super().__init__()
        self.in_features = _checks.integer_at_least("in_features", in_features, 1)
        width = _checks.integer_at_least("out_features", out_features, 2)
        n_waves = _checks.integer_at_least("n_frequencies", n_frequencies, 1)
        self.out_features = self.in_features * width
        leading = () if n_members is None else (_checks.integer_at_least("n_members", n_members, 1),)
        start = torch.tensor([_checks.positive("frequency", value) for value in _listed(frequency)])
        if len(start) not in (1, n_members):
            raise _checks.InputError(f"frequency must be one number or one for each member; got {len(start)}.")
        first = start.reshape(-1, 1) if n_members is not None else start
        self.frequencies = nn.Parameter(torch.randn(*leading, self.in_features * n_waves) * first)
        bound = 1 / math.sqrt(2 * n_waves)
        self.weight = nn.Parameter(torch.empty(*leading, self.in_features, 2 * n_waves, width - 1))
        self.bias = nn.Parameter(torch.empty(*leading, self.in_features * (width - 1)))
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)
        self.register_buffer("low", torch.full((self.in_features,), -torch.inf))
        self.register_buffer("high", torch.full((self.in_features,), torch.inf))

    @torch.no_grad()
    def learn(self, x: Tensor) -> None:
        """Take the range of each column, (N, F), beyond which no wave goes on."""
        low, high = x.aminmax(dim=0)
        self.low.copy_(low)
        self.high.copy_(high)

    def forward(self, x: Tensor) -> Tensor:
        """Return the embedded columns, (..., N, F * out_features)."""
        numbers = x.clamp(self.low, self.high).transpose(-1, -2).unsqueeze(-1)  # (..., F, N, 1)
        turns = 2 * math.pi * self.frequencies.unflatten(-1, (self.in_features, 1, -1)) * numbers  # (..., F, N, waves)
        waves = torch.cat([turns.cos(), turns.sin()], -1)
        width = self.weight.shape[-1]
        with torch.autocast(x.device.type, enabled=False):  # a product so small gains nothing, and the waves lose
            learned = (waves @ F.pad(self.weight, (0, -width % _LANES)))[..., :width]
        learned = F.relu(learned + self.bias.unflatten(-1, (self.in_features, 1, -1))).transpose(-2, -3)
        return torch.cat([x.unsqueeze(-1), learned], -1).flatten(-2)


_LANES = 16  # of a CPU's vectors: products as wide as a multiple of it take a fraction of the time of others


def _listed(value: float | Sequence[float]) -> Sequence[float]:
    return value if isinstance(value, Sequence) else (value,)


class CategoryEmbedding(nn.Module):
    """Each category as a learned vector, from the numbers of levels, (N, C) -> (N, out_features).

    Level 0, one that was not there while training, is the vector of zeros, which training never moves.

    Args:
        n_levels: Number of levels of each column, C of them.
        n_members: Number of members side by side, M; None for no member axis.
    """

    def __init__(self, n_levels: Sequence[int], *, n_members: int | None = None) -> None:
        super().__init__()
        leading = () if n_members is None else (n_members,)
        widths = [min(_WIDEST, 1 + math.ceil(levels**0.5)) for levels in n_levels]
        self.out_features = sum(widths)
        self.tables = nn.ParameterList(
            nn.Parameter(torch.randn(*leading, levels, width)) for levels, width in zip(n_levels, widths, strict=True)
        )

    def forward(self, levels: Tensor) -> Tensor:
        """Return the vectors of each row side by side, (..., N, out_features)."""
        parts = [_looked_up(table, column) for table, column in zip(self.tables, levels.unbind(-1), strict=True)]
        return torch.cat(parts, -1)


_WIDEST = 16


def _looked_up(table: Tensor, level: Tensor) -> Tensor:
    """Return rows of a table, (..., levels, width), by number from 1, (..., N); 0 gives zeros."""
    index = (level.long() - 1).clamp_min(0).unsqueeze(-1).expand(*level.shape, table.shape[-1])
    return table.gather(-2, index) * (level > 0).unsqueeze(-1)


class TableEmbedding(nn.Module):
    """The columns of a table as one vector: numbers through ``PeriodicEmbedding``, categories as learned vectors.

    Args:
        in_features: Number of columns, F.
        categories: Number of levels of each column that holds categories, by its place; ``TableScaling`` numbers them.
        n_flags: Number of columns of 0 and 1 after all others, G, which stay as they are.
        width: Numbers for each column of numbers.
        frequency: See ``PeriodicEmbedding``.
        n_members: Number of members side by side, M, (M, N, F + G) -> (M, N, out_features); None for no member axis.

    Attributes:
        numeric: Places of the columns of numbers.
        categorical: Places of the columns of categories.
        numbers: Embedding of the former; None where there are none.
        levels: Embedding of the latter; None where there are none.
    """

    def __init__(
        self,
        in_features: int,
        *,
        categories: Mapping[int, int] | None = None,
        n_flags: int = 0,
        width: int = 12,
        frequency: float | Sequence[float] = 0.3,
        n_members: int | None = None,
    ) -> None:
        super().__init__()
        categories = categories or {}
        self._flags = slice(in_features, in_features + n_flags)
        self.categorical = list(categories)
        self.numeric = [column for column in range(in_features) if column not in categories]
        self.numbers, self.levels = None, None
        if self.numeric:
            self.numbers = PeriodicEmbedding(
                len(self.numeric), out_features=width, frequency=frequency, n_members=n_members
            )
        if categories:
            self.levels = CategoryEmbedding(list(categories.values()), n_members=n_members)
        self.out_features = n_flags + sum(part.out_features for part in (self.numbers, self.levels) if part is not None)

    def learn(self, x: Tensor) -> None:
        """Take the range of the numbers from scaled training rows, (N, F)."""
        if self.numbers is not None:
            self.numbers.learn(x[:, self.numeric])

    def forward(self, x: Tensor) -> Tensor:
        """Return the embedded rows, (..., N, out_features), of scaled columns, (..., N, F + G)."""
        parts, flags = [], x[..., self._flags]
        if self.numbers is not None:
            parts.append(self.numbers(x[..., self.numeric] if len(self.numeric) < x.shape[-1] else x))
        if self.levels is not None:
            parts.append(self.levels(x[..., self.categorical]))
        if flags.shape[-1]:
            parts.append(flags)
        return torch.cat(parts, -1) if len(parts) > 1 else parts[0]
