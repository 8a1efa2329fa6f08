"""Candidate solutions of inverse problems, and how good they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions.results import Table
from manymodes.metrics.matching import Answers, ModeAgreement, agreement

_FLAT = ("error", "log_prob", "mass", "from_mode", "mask")  # one number of each candidate


@dataclass(frozen=True, eq=False, repr=False)
class Candidates(Table):
    """Candidate solutions of each row, the best first; rows with fewer are filled up.

    Attributes:
        y: Solutions, (N, C, D); NaN where ``mask`` is False.
        x: Outcomes of the forward function, (N, C, F), likewise.
        error: How far outcomes are from the wanted ones, (N, C); infinite where ``mask`` is False.
        log_prob: Log-density of the mode or sample that each began as, (N, C), before it was refined: that moved it to
            where the forward function wants it, and what a narrow density says of that place tells how inaccurate the
            density is, not how probable the solution.
        mass: Probability of the modes that led here, (N, C); 0 for what only samples led to.
        from_mode: Which modes led to, (N, C); to the others samples only.
        mask: Which entries are candidates, (N, C).
        is_angle: Which dimensions of y are angles, (D,).
    """

    y: Tensor
    x: Tensor
    error: Tensor
    log_prob: Tensor
    mass: Tensor
    from_mode: Tensor
    mask: Tensor
    is_angle: Tensor

    @property
    def count(self) -> Tensor:
        """How many candidates each row has, (N,)."""
        return self.mask.sum(-1)

    @property
    def best(self) -> Tensor:
        """The first candidate of each row, (N, D)."""
        return self.y[:, 0]

    @property
    def diversity(self) -> Tensor:
        """Mean distance of two candidates of a row, (N,), in the units of y; NaN where there is one only."""
        gap = torch.linalg.vector_norm(self.wrapped(self.y.unsqueeze(-2) - self.y.unsqueeze(-3)), dim=-1)
        pair = self.mask.unsqueeze(-1) & self.mask.unsqueeze(-2)
        pairs = self.count * (self.count - 1)
        return torch.where(pair, gap, 0.0).sum((-1, -2)) / torch.where(pairs > 0, pairs, torch.nan)

    def within(self, tolerance: float) -> Candidates:
        """Return the same with those only whose error is at most a tolerance; others leave gaps, see ``mask``."""
        return self.only(self.mask & (self.error <= _checks.positive("tolerance", tolerance)))

    def only(self, mask: Tensor) -> Candidates:
        """Return the same with some entries only, (N, C); others leave gaps."""
        return Candidates(
            y=torch.where(mask.unsqueeze(-1), self.y, torch.nan),
            x=torch.where(mask.unsqueeze(-1), self.x, torch.nan),
            error=self.error.masked_fill(~mask, torch.inf),
            log_prob=self.log_prob.masked_fill(~mask, -torch.inf),
            mass=self.mass.masked_fill(~mask, 0.0),
            from_mode=self.from_mode & mask,
            mask=mask,
            is_angle=self.is_angle,
        )

    def take(self, places: Tensor) -> Candidates:
        """Return entries of each row by their places, (N, C)."""
        flat = {name: getattr(self, name).gather(1, places) for name in _FLAT}
        wide = {
            name: value.gather(1, places.unsqueeze(-1).expand(*places.shape, value.shape[-1]))
            for name, value in (("y", self.y), ("x", self.x))
        }
        return Candidates(**flat, **wide, is_angle=self.is_angle)

    def wrapped(self, difference: Tensor) -> Tensor:
        """Return differences of solutions, (..., D), with those of angles the shorter way around."""
        around = torch.remainder(difference + torch.pi, 2 * torch.pi) - torch.pi
        return torch.where(self.is_angle, around, difference)

    def to_dict(self) -> dict[str, list[Any]]:
        """Return a long table: one candidate a line, named by its row and its rank, both counted from 0."""
        row, rank = (number[self.mask] for number in torch.meshgrid(*map(torch.arange, self.mask.shape), indexing="ij"))
        parts = {"row": row, "rank": rank, **_columns("y", self.y), **_columns("x", self.x)}
        parts |= {"error": self.error, "log_prob": self.log_prob, "mass": self.mass}
        table = {name: (part[self.mask] if part.dim() > 1 else part).tolist() for name, part in parts.items()}
        return {**table, "source": ["mode" if mode else "sample" for mode in self.from_mode[self.mask].tolist()]}

    def __repr__(self) -> str:
        low, high = (int(value) for value in self.count.aminmax()) if len(self.mask) else (0, 0)
        first = self.error[:, :1].double().median() if self.error.numel() else torch.tensor(torch.nan)
        return f"Candidates(rows={len(self.mask)}, count={low} to {high}, median error of the first={float(first):.3g})"


def success_at(candidates: Candidates, tolerance: float, k: int = 1) -> Tensor:
    """Return which rows have a right one among their first k candidates, (N,).

    Counted in the order that ``solve`` gave them. Ranked by density, it tells how good the model's first k proposals
    are; ranked by error, with right ones first, whether there is a right one at all.

    Args:
        candidates: Candidates of N rows.
        tolerance: Error up to which a candidate is right.
        k: How many count.

    Raises:
        ValueError: A tolerance that is not > 0, or k below 1.
    """
    _checks.instance("candidates", candidates, Candidates)
    tolerance = _checks.positive("tolerance", tolerance)
    k = _checks.integer_at_least("k", k, 1)
    return (candidates.mask & (candidates.error <= tolerance))[:, :k].any(-1)


def error_by_count(candidates: Candidates) -> Tensor:
    """Return the least error among the first 1, 2, ..., C candidates, (N, C), in the order that ``solve`` gave them.

    Where a row has fewer candidates, it is that of all it has. Ranked by density it falls with the number of proposals;
    ranked by error the first is the best already, but for right ones that are all alike.
    """
    _checks.instance("candidates", candidates, Candidates)
    return candidates.error.cummin(-1).values


def solution_agreement(
    candidates: Candidates, solutions: Tensor, tolerance: float | Sequence[float] | Tensor
) -> ModeAgreement:
    """Return how candidates agree with all solutions that are known, as ``metrics.mode_agreement`` does for modes.

    To count only what the forward function confirms, hand in ``candidates.within(error)``.

    Args:
        candidates: Candidates of N rows.
        solutions: The valid solutions, (N, T, D); rows with fewer are filled up with NaN.
        tolerance: How far a candidate may be from a solution, in the units of y: a number, or one for each dimension,
            (D,), which makes an ellipsoid.

    Raises:
        ValueError: Solutions of another shape, one that is NaN in some dimensions only, or a tolerance that is not > 0.
    """
    _checks.instance("candidates", candidates, Candidates)
    found = Answers(candidates.y, candidates.mass, candidates.mask)
    return agreement(found, solutions, tolerance, candidates.wrapped, "solutions")


def _columns(name: str, values: Tensor) -> dict[str, Tensor]:
    dims = values.shape[-1]
    return {name if dims == 1 else f"{name}_{dim}": values[..., dim] for dim in range(dims)}
