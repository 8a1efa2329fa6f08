"""How answers that were found agree with those that are known to be right: pairs of the two, the nearest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions.results import Table


class Answers(NamedTuple):
    """What was found: places (..., J, D), their probabilities and a mask (..., J)."""

    location: Tensor
    mass: Tensor
    mask: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class ModeAgreement(Table):
    """Modes that were found beside those that are there.

    Attributes:
        precision: Share of found modes that are true ones, (N,); NaN where none was found.
        recall: Share of true modes that were found, (N,); NaN where there is none.
        distance: Distance of the found mode from each true one, (N, T), in the units of y; NaN where it was missed.
        mass: Probability that the prediction gives to the found mode, (N, T); 0 where it was missed, NaN where there is
            no true mode.
        n_found: Modes that were found, right or wrong, (N,).
        n_true: True modes, (N,).
    """

    precision: Tensor
    recall: Tensor
    distance: Tensor
    mass: Tensor
    n_found: Tensor
    n_true: Tensor

    @property
    def complete(self) -> Tensor:
        """Which rows found every true mode, (N,)."""
        return self.recall == 1

    @property
    def exact(self) -> Tensor:
        """Which rows found every true mode, and no other, (N,)."""
        return self.complete & (self.precision == 1)

    def to_dict(self) -> dict[str, list[Any]]:
        """Return a table: one row of a flattened batch a line, without what is told of each true mode."""
        names = ("precision", "recall", "n_found", "n_true")
        columns = {name: getattr(self, name).flatten().tolist() for name in names}
        return {"row": list(range(self.recall.numel())), **columns}

    def summary(self) -> dict[str, float]:
        """Return averages over rows, those without an answer left out."""
        there = ~self.recall.isnan()
        return {
            "precision": float(self.precision.nanmean()),
            "recall": float(self.recall.nanmean()),
            "distance": float(self.distance.nanmean()),
            "mass": float(self.mass.nanmean()),
            "complete": float(self.complete[there].double().mean()),
            "exact": float(self.exact[there].double().mean()),
        }

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={value:.3g}" for name, value in self.summary().items())
        return f"ModeAgreement(rows={self.recall.numel()}, {parts})"


def agreement(
    found: Answers,
    true_modes: Tensor,
    tolerance: float | Sequence[float] | Tensor,
    wrapped: Callable[[Tensor], Tensor],
    name: str = "true_modes",
) -> ModeAgreement:
    """Return how answers agree with those that are right, (N, T, D), paired one to one within a tolerance.

    Args:
        found: What was found.
        true_modes: The valid answers, (N, T, D); rows with fewer are filled up with NaN.
        tolerance: How far apart a pair may be: a number, or one for each target dimension, (D,).
        wrapped: Takes differences of angles around the circle.
        name: What the user calls the valid answers.

    Raises:
        ValueError: True modes of another shape, an answer that is NaN in some dimensions only, or a tolerance that is
            not > 0.
    """
    width = _tolerance(tolerance, found.location)
    true, there = _true_modes(true_modes, found.location, name)
    gap = wrapped(found.location.unsqueeze(-2) - true.unsqueeze(-3))  # (N, J, T, D)
    far = torch.linalg.vector_norm(gap / width, dim=-1)
    allowed = found.mask.unsqueeze(-1) & there.unsqueeze(-2) & (far <= 1)
    partner = _paired(torch.where(allowed, far, torch.inf))  # (N, T), -1 for none
    matched = partner >= 0
    n_found, n_true, n_matched = found.mask.sum(-1), there.sum(-1), matched.sum(-1)
    distance = _picked(torch.linalg.vector_norm(gap, dim=-1), partner)
    mass = _picked(found.mass.unsqueeze(-1).expand(far.shape), partner)
    return ModeAgreement(
        precision=n_matched / torch.where(n_found > 0, n_found.double(), torch.nan),
        recall=n_matched / torch.where(n_true > 0, n_true.double(), torch.nan),
        distance=distance,
        mass=torch.where(matched, mass, 0.0).masked_fill(~there, torch.nan),
        n_found=n_found,
        n_true=n_true,
    )


def _true_modes(true_modes: Tensor, found: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Return true modes, (N, T, D), and which of them are there, (N, T), or refuse what does not fit."""
    _checks.instance(name, true_modes, Tensor)
    batch: tuple[int | str, ...] = tuple(found.shape[:-2])
    expected = (*batch, "T", found.shape[-1])
    _checks.matches_shape(name, true_modes.shape, expected, "to match batch_shape and event_shape")
    missing = true_modes.isnan()
    if bool((missing.any(-1) != missing.all(-1)).any()):
        raise _checks.InputError(f"{name} must hold numbers, or NaN in all dimensions of an answer that is none.")
    return true_modes.to(found), ~missing.any(-1)


def _tolerance(tolerance: float | Sequence[float] | Tensor, found: Tensor) -> Tensor:
    width = torch.as_tensor(tolerance, dtype=found.dtype, device=found.device)
    if width.dim():
        _checks.matches_shape("tolerance", width.shape, tuple(found.shape[-1:]), "or be a number")
    if not bool((width > 0).all()):
        raise _checks.InputError(f"tolerance must be > 0 in every dimension; got {tolerance}.")
    return width


def _picked(values: Tensor, partner: Tensor) -> Tensor:
    """Return of values (..., J, T) those of each true mode's partner, (..., T), NaN where it has none."""
    if not values.shape[-2]:
        return torch.full(partner.shape, torch.nan, dtype=values.dtype, device=values.device)
    own = values.gather(-2, partner.clamp_min(0).unsqueeze(-2)).squeeze(-2)
    return torch.where(partner >= 0, own, torch.nan)


def _paired(far: Tensor) -> Tensor:
    """Return for each true mode its found one, (..., T), -1 for none, from distances (..., J, T); the nearest first."""
    *batch, n_found, n_true = far.shape
    left = far.flatten(-2).clone()
    partner = torch.full((*batch, n_true), -1, device=far.device)
    pair = torch.arange(n_found * n_true, device=far.device)
    for _ in range(min(n_found, n_true)):
        nearest, where = left.min(-1)
        close = nearest.isfinite().unsqueeze(-1)
        if not bool(close.any()):
            break
        own, true = where.unsqueeze(-1) // n_true, where.unsqueeze(-1) % n_true
        partner = torch.where(close & (torch.arange(n_true, device=far.device) == true), own, partner)
        left = left.masked_fill(close & ((pair // n_true == own) | (pair % n_true == true)), torch.inf)
    return partner
