"""Counts: probabilities of all integers that matter, written out, with modes and smallest sets read off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions.limits import filled
from manymodes.distributions.line import Line

_TAIL = 1e-13  # probability left out on each side
_LARGEST_WIDTH = 20_000_000
_CHUNK = 2_000_000  # values of (rows, integers, components) at a time, which bounds the memory


class Stretch(NamedTuple):
    """Probabilities of consecutive integers for some rows.

    Attributes:
        rows: Which rows.
        integer: The integers, (n, W); every row has its own first one.
        log_prob: Log-probabilities, (n, W); -inf where a row's stretch is over.
    """

    rows: slice
    integer: Tensor
    log_prob: Tensor


def stretches(line: Line) -> Iterator[Stretch]:
    """Yield the log-probabilities of all integers that hold more than 1e-13 beyond them, in chunks of rows.

    Raises:
        ValueError: A row that spreads over more than twenty million integers.
    """
    tail = torch.full_like(line.logits[0], _TAIL)
    first = filled(line.quantiles(tail, upper=False), torch.inf).amin(0)
    last = filled(line.quantiles(tail, upper=True), -torch.inf).amax(0)
    width = (last - first + 1).long()
    start = 0
    while start < len(line):
        widest = width[start:].cummax(0).values * torch.arange(1, len(line) - start + 1, device=width.device)
        n_rows = max(1, int((widest * len(line.logits) <= _CHUNK).sum()))
        rows = slice(start, start + n_rows)
        most = int(width[rows].max())
        if most > _LARGEST_WIDTH:
            raise _checks.InputError(
                f"counts must spread over at most {_LARGEST_WIDTH:,} integers for modes and regions; "
                f"{_checks.row(start)} spreads over {most:,}."
            )
        steps = torch.arange(most, dtype=line.logits.dtype, device=line.logits.device)
        integer = first[rows, None] + steps
        log_prob = line.take(rows).log_prob(integer.T).T
        yield Stretch(rows, integer, log_prob.masked_fill(integer > last[rows, None], -torch.inf))
        start += n_rows


def peaks(stretch: Stretch) -> tuple[Tensor, Tensor]:
    """Return which integers are modes, and the number of the basin that each integer belongs to, (n, W) each.

    Of a flat top, the first integer is the mode.
    """
    p = stretch.log_prob
    before, after = torch.nn.functional.pad(p, (1, 0), value=-torch.inf)[:, :-1], _next_other(p)
    rises, falls = p > before, p > after
    valley = (p < before) & (p < after)  # the first integer of a dip opens a new basin
    return rises & falls, valley.long().cumsum(-1)


def smallest_set(stretch: Stretch, level: Tensor) -> tuple[Tensor, Tensor]:
    """Return which integers make the smallest set that holds ``level``, (n, W), and its lowest log-probability."""
    mass, order = stretch.log_prob.exp().sort(dim=-1, descending=True, stable=True)
    before = mass.cumsum(-1) - mass
    taken = (before < level.unsqueeze(-1) * (1 - 1e-12)) & (mass > 0)
    lowest = torch.where(taken, mass, torch.inf).amin(-1).log()
    return torch.zeros_like(taken).scatter(-1, order, taken), lowest


def _next_other(p: Tensor) -> Tensor:
    """Return for each integer the probability of the next one that differs from it; -inf where none does."""
    n = p.shape[-1]
    same = torch.nn.functional.pad(p[:, 1:] == p[:, :-1], (0, 1))
    index = torch.arange(n, device=p.device).expand_as(p)
    ends = torch.where(same, n, index).flip(-1).cummin(-1).values.flip(-1)  # last integer of each flat stretch
    padded = torch.nn.functional.pad(p, (0, 1), value=-torch.inf)
    return padded.gather(-1, (ends + 1).clamp_max(n))
