r"""Whether a prediction finds all valid answers: how many modes it has, where they are, and how well they are separate.

A mode counts where it holds at least ``min_mass`` of the probability; an atom of that mass counts as one, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Mixture, Modes, Prediction
from manymodes.distributions.uncertainty import listed
from manymodes.metrics.matching import Answers, ModeAgreement, agreement

MIN_MASS = 0.05
_ROWS = 20_000  # at a time, which bounds the memory
_PLACES, _ROUNDS = 65, 4  # between two modes, where the valley is looked for, and how often more closely


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
    found = _answers(distribution.modes(), min_mass)
    return agreement(found, true_modes, tolerance, distribution.wrapped)


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


def _answers(modes: Modes, min_mass: float) -> Answers:
    """Return modes and atoms that hold at least ``min_mass``."""
    min_mass = _checks.number_between("min_mass", min_mass, 0.0, 1.0, including=(0.0,))
    atoms = modes.atoms
    location, mass, mask = modes.location, modes.mass, modes.mask
    if atoms.mask.shape[-1]:
        location = torch.cat([location, atoms.location.unsqueeze(-1)], -2)
        mass, mask = torch.cat([mass, atoms.mass], -1), torch.cat([mask, atoms.mask], -1)
    return Answers(location, mass, mask & (mass >= min_mass))
