r"""Whether a prediction finds all valid answers: how many modes it has, where they are, and how well they are separate.

A mode counts where it holds at least ``min_mass`` of the probability; an atom of that mass counts as one, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Mixture, Modes, Prediction
from manymodes.distributions.results import Table
from manymodes.distributions.uncertainty import listed

MIN_MASS = 0.05
_ROWS = 20_000  # at a time, which bounds the memory
_PLACES, _ROUNDS = 65, 4  # between two modes, where the valley is looked for, and how often more closely


class _Answers(NamedTuple):
    """Modes and atoms: places (..., J, D), masses and a mask (..., J)."""

    location: Tensor
    mass: Tensor
    mask: Tensor


# --- how many ---


def n_modes(distribution: Prediction, *, min_mass: float = MIN_MASS) -> Tensor:
    """Number of modes of each prediction, (N,), that hold at least a share of the probability; atoms count, too.

    Args:
        distribution: Predictions with ``batch_shape`` (N,), or any other.
        min_mass: Least probability of a mode's basin, in [0, 1).
    """
    _checks.instance("distribution", distribution, Prediction)
    return _answers(distribution.modes(), min_mass).mask.sum(-1)


def mode_votes(members: Mixture | Sequence[Mixture], *, min_mass: float = MIN_MASS) -> Tensor:
    """Share of an ensemble's members that see 0, 1, 2, ... modes in each row: how sure it is of their number.

    Args:
        members: Predictions of all members: a mixture with ``batch_shape`` (M, N), or M of ``batch_shape`` (N,), as
            ``MDNRegressor.predict_members`` returns them.
        min_mass: Least probability of a mode's basin, in [0, 1).

    Returns:
        Shares, (N, J + 1), J being the most modes that any member sees anywhere; they sum to one.

    Raises:
        ValueError: No members, or predictions that do not describe the same rows.
    """
    count = torch.stack([n_modes(member, min_mass=min_mass) for member in listed(members)])  # (M, N)
    numbers = torch.arange(int(count.max()) + 1 if count.numel() else 1, device=count.device)
    return (count.unsqueeze(-1) == numbers).double().mean(0)


# --- the right ones? ---


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


def mode_agreement(
    distribution: Prediction,
    true_modes: Tensor,
    tolerance: float | Sequence[float] | Tensor,
    *,
    min_mass: float = MIN_MASS,
) -> ModeAgreement:
    """Return how the modes of predictions agree with those that are known to be right.

    Found and true modes are paired one to one, the nearest first, as long as they are within the tolerance. Angles are
    apart the shorter way around.

    Args:
        distribution: Predictions with ``batch_shape`` (N,), ``event_shape`` (D,).
        true_modes: The valid answers, (N, T, D); rows with fewer are filled up with NaN.
        tolerance: How far a found mode may be from a true one, in the units of y: a number, or one for each target
            dimension, (D,), which makes an ellipsoid.
        min_mass: Least probability of a mode that counts as found, in [0, 1).

    Raises:
        ValueError: True modes of another shape, an answer that is NaN in some dimensions only, or a tolerance that is
            not > 0.
    """
    _checks.instance("distribution", distribution, Prediction)
    width = _tolerance(tolerance, distribution)
    found = _answers(distribution.modes(), min_mass)
    true, there = _true_modes(true_modes, distribution)
    gap = distribution.wrapped(found.location.unsqueeze(-2) - true.unsqueeze(-3))  # (N, J, T, D)
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


def _true_modes(true_modes: Tensor, distribution: Prediction) -> tuple[Tensor, Tensor]:
    """Return true modes, (N, T, D), and which of them are there, (N, T), or refuse what does not fit."""
    _checks.instance("true_modes", true_modes, Tensor)
    batch: tuple[int | str, ...] = tuple(distribution.batch_shape)
    expected = (*batch, "T", distribution.event_shape[0])
    _checks.matches_shape("true_modes", true_modes.shape, expected, "to match batch_shape and event_shape")
    missing = true_modes.isnan()
    if bool((missing.any(-1) != missing.all(-1)).any()):
        raise _checks.InputError("true_modes must hold numbers, or NaN in all dimensions of an answer that is none.")
    return true_modes.to(distribution.logits), ~missing.any(-1)


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


# --- how separate? ---


@dataclass(frozen=True, eq=False, repr=False)
class ModeSeparation:
    """How separate the two heaviest modes of each prediction are; NaN where there is only one.

    Attributes:
        ashman_d: Distance in units of the spread, (N,); above 2 two normal components are clearly apart.
        valley: Lowest density between the two over that of the lower one, (N,), from 0 (apart) to 1 (one shoulder).
        distance: Distance of the two, (N,), in the units of y.
    """

    ashman_d: Tensor
    valley: Tensor
    distance: Tensor

    def __repr__(self) -> str:
        two = int((~self.distance.isnan()).sum())
        return (
            f"ModeSeparation(rows={self.distance.numel()}, with two modes={two}, "
            f"ashman_d={float(self.ashman_d.nanmean()):.3g}, valley={float(self.valley.nanmean()):.3g})"
        )


def mode_separation(distribution: Prediction) -> ModeSeparation:
    r"""Return how separate the two heaviest modes of each prediction are.

    .. math:: D = \frac{\sqrt 2\, |m_1 - m_2|}{\sqrt{s_1^2 + s_2^2}}, \qquad
        V = \frac{\min_{0 \le t \le 1} p(m_1 + t (m_2 - m_1))}{\min(p(m_1), p(m_2))}

    with the modes m and the spreads s of the components that make them, in several dimensions those along the line
    between the modes, as if dimensions were uncorrelated. Of angles the line is the shorter way around. Of counts it
    leads over the integers nearest to it. In several dimensions a way around may lead less deep.

    Args:
        distribution: Predictions with ``batch_shape`` (N,), or any other.

    Raises:
        ValueError: Atoms, which are apart from everything.

    References:
        Ashman, Bird and Zepf (1994), Detecting bimodality in astronomical datasets, Astronomical Journal 108, eq. 12.
    """
    _checks.instance("distribution", distribution, Prediction)
    if any("atom" in group.kinds for group in distribution.components.groups):
        raise _checks.InputError("mode_separation needs components without atoms: those are apart from everything.")
    batch = distribution.batch_shape
    if not batch or batch[0] <= _ROWS:
        return ModeSeparation(*_separation(distribution))
    runs = [_separation(distribution[start : start + _ROWS]) for start in range(0, batch[0], _ROWS)]
    return ModeSeparation(*(torch.cat(parts) for parts in zip(*runs, strict=True)))


def _separation(distribution: Prediction) -> tuple[Tensor, Tensor, Tensor]:
    modes = distribution.modes()
    if modes.mask.shape[-1] < 2:
        none = torch.full(modes.mask.shape[:-1], torch.nan, dtype=modes.mass.dtype, device=modes.mass.device)
        return none, none, none
    heaviest = torch.where(modes.mask, modes.mass, -1.0).topk(2, -1).indices  # (N, 2)
    two = modes.mask.gather(-1, heaviest).all(-1)
    index = heaviest.unsqueeze(-1).expand(*heaviest.shape, modes.location.shape[-1])
    place, spread = (part.gather(-2, index) for part in (modes.location, modes.spread))
    step = distribution.wrapped(place[..., 1, :] - place[..., 0, :])  # (N, D)
    distance = torch.linalg.vector_norm(step, dim=-1)
    along = (step / distance.unsqueeze(-1)).square()
    own = (along * spread.square().sum(-2)).sum(-1)
    start, step = (torch.where(two.unsqueeze(-1), part, 0.0) for part in (place[..., 0, :], step))
    valley = _lowest(distribution, start, step) - modes.log_density.gather(-1, heaviest).amin(-1)
    figures = ((2 / own).sqrt() * distance, valley.exp().clamp_max(1.0), distance)
    ashman_d, valley, distance = (torch.where(two, figure, torch.nan) for figure in figures)
    return ashman_d, valley, distance


def _lowest(distribution: Prediction, start: Tensor, step: Tensor) -> Tensor:
    """Return the lowest log-density on the way from one place to another, (N,)."""
    whole = torch.tensor([kind == "count" for kind in distribution.components.kinds], device=start.device)
    even = torch.linspace(0, 1, _PLACES, dtype=start.dtype, device=start.device)
    even = even.reshape(-1, *(1,) * (start.dim() - 1))
    share, width = even.expand(-1, *start.shape[:-1]), 1.0  # (P, N)
    lowest = torch.full_like(start[..., 0], torch.inf)
    with torch.no_grad():
        for _ in range(_ROUNDS):
            places = start + share.unsqueeze(-1) * step
            heights = distribution.log_prob(distribution.wrapped(torch.where(whole, places.round(), places)))
            least, where = heights.min(0)
            lowest = torch.minimum(lowest, least)
            centre = share.gather(0, where.unsqueeze(0)).squeeze(0)
            width = width * 2 / (_PLACES - 1)  # both cells beside the lowest place
            share = (centre + width * (even - 0.5)).clamp(0.0, 1.0)
    return lowest


def _answers(modes: Modes, min_mass: float) -> _Answers:
    """Return modes and atoms that hold at least ``min_mass``."""
    min_mass = _checks.number_between("min_mass", min_mass, 0.0, 1.0, including=(0.0,))
    atoms = modes.atoms
    location, mass, mask = modes.location, modes.mass, modes.mask
    if atoms.mask.shape[-1]:
        location = torch.cat([location, atoms.location.unsqueeze(-1)], -2)
        mass, mask = torch.cat([mass, atoms.mass], -1), torch.cat([mask, atoms.mask], -1)
    return _Answers(location, mass, mask & (mass >= min_mass))


def _tolerance(tolerance: float | Sequence[float] | Tensor, distribution: Prediction) -> Tensor:
    width = torch.as_tensor(tolerance, dtype=distribution.logits.dtype, device=distribution.logits.device)
    if width.dim():
        _checks.matches_shape("tolerance", width.shape, tuple(distribution.event_shape), "or be a number")
    if not bool((width > 0).all()):
        raise _checks.InputError(f"tolerance must be > 0 in every dimension; got {tolerance}.")
    return width
