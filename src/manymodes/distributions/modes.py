"""Modes of mixtures: every one in one dimension, those that components and ridges climb to in several."""

from __future__ import annotations

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions.ascent import Joint, Peaks, climb, n_entries
from manymodes.distributions.atoms import take_apart
from manymodes.distributions.component import Component, Kind
from manymodes.distributions.lattice import peaks, stretches
from manymodes.distributions.limits import filled
from manymodes.distributions.line import Line
from manymodes.distributions.results import Atoms, Modes
from manymodes.distributions.turning import find_extrema

_SEAM, _SAME_HEIGHT = 0.01, 1e-9  # of angles and of log-densities: maxima so near the cut and so alike are one
_ROWS, _ENTRIES = 5_000, 10_000_000  # of joint densities at a time, which bounds the memory


def find_modes(logits: Tensor, components: Component, *, spread_of: tuple[Tensor, Component] | None = None) -> Modes:
    """Return the modes of mixtures, (N, K) or any batch shape; worked out in double precision, without a gradient.

    Args:
        logits: Log-weights.
        components: Components.
        spread_of: Log-weights and components on the line whose spread is told of; None for those of the mixture itself.
    """
    with torch.no_grad():
        joint = _flat(logits, components)
        if components.event_shape[0] == 1:
            modes = _on_the_line(joint, None if spread_of is None else _flat(*spread_of))
        else:
            modes = _joint(joint)
        return _cast(modes.reshaped(logits.shape[:-1]), logits.dtype)


def _flat(logits: Tensor, components: Component) -> Joint:
    """Return mixtures of one batch axis, in double precision."""
    rows = components.expand(logits.shape).transformed(lambda value: value.reshape(-1, *value.shape[-2:]).double())
    return Joint(logits.reshape(-1, logits.shape[-1]).double(), rows)


# --- one dimension ---


def _on_the_line(joint: Joint, origin: Joint | None) -> Modes:
    parts = take_apart(Line.of(*joint))
    none = joint.logits.new_zeros(len(joint.logits), 0)
    if parts.spread is None:
        return _sorted(none.unsqueeze(-1), none, none, none.unsqueeze(-1), none.bool(), parts.atoms)
    location, mass = _counts(parts.spread) if parts.kind == "count" else _certified(parts.spread, parts.kind)
    mask = ~location.isnan()
    log_density = parts.spread.log_prob(filled(location.T, 0.0)).T + parts.share.unsqueeze(-1)
    mass = mass * parts.share.exp().unsqueeze(-1)
    told_of = parts.spread if origin is None else take_apart(Line.of(*origin)).spread
    spread = _line_spread(told_of or parts.spread, location)
    return _sorted(location.unsqueeze(-1), log_density, mass, spread.unsqueeze(-1), mask, parts.atoms)


def _certified(line: Line, kind: Kind) -> tuple[Tensor, Tensor]:
    """Return all maxima, (N, J), and the probability between the minima beside each."""
    maximum, low, high = basins(line)
    mass = line.masses(low, high)
    return around_the_circle(line, maximum, mass) if kind == "angle" else (maximum, mass)


def basins(line: Line) -> tuple[Tensor, Tensor, Tensor]:
    """Return all maxima of densities and the lower and upper ends of their basins, (N, J) each, NaN where none is."""
    maximum, minimum = find_extrema(line)
    there = ~maximum.isnan()
    low, high = (end.unsqueeze(-1) for end in line.ends())
    left = torch.cat([low, minimum], -1)
    last = torch.arange(maximum.shape[-1], device=low.device) == there.sum(-1, keepdim=True) - 1
    right = torch.where(last, high, torch.nn.functional.pad(minimum, (0, 1), value=torch.nan))
    return maximum, torch.where(there, left, torch.nan), torch.where(there, right, torch.nan)


def around_the_circle(line: Line, maximum: Tensor, mass: Tensor) -> tuple[Tensor, Tensor]:
    """Return maxima of angles: the two ends of [-pi, pi] are one place, and so are maxima there."""
    count = (~maximum.isnan()).sum(-1, keepdim=True)
    number = torch.arange(maximum.shape[-1], device=mass.device)
    first, final = number == 0, number == count - 1
    height = torch.where(maximum.isnan(), -torch.inf, line.log_prob(filled(maximum.T, 0.0)).T)
    at_low, at_high = first & (maximum < _SEAM - torch.pi), final & (maximum > torch.pi - _SEAM)
    top = height.gather(-1, (count - 1).clamp_min(0))
    one = at_low.any(-1, keepdim=True) & at_high.any(-1, keepdim=True) & ((height[:, :1] - top).abs() < _SAME_HEIGHT)
    # The density need not fall on both sides of an end: then it belongs to the basin on the other side.
    gone = (final & one) | ((maximum.abs() == torch.pi) & ~one & (count > 1) & (first | final))
    moved = torch.where(gone, mass, 0.0)
    to_first, to_final = moved.gather(-1, (count - 1).clamp_min(0)), moved[:, :1]
    mass = torch.where(gone, 0.0, mass) + first * to_first + (final & ~first) * torch.where(one, 0.0, to_final)
    return torch.where(gone, torch.nan, maximum), torch.where(gone, 0.0, mass)


def _counts(line: Line) -> tuple[Tensor, Tensor]:
    """Return the integers that are modes, (N, J), and the probability of the basin around each."""
    found = []
    for stretch in stretches(line):
        is_mode, basin = peaks(stretch)
        n_modes = max(int(is_mode.sum(-1).max()), 1)
        number = (is_mode.long().cumsum(-1) - 1).clamp_min(0)
        location = stretch.log_prob.new_full((len(is_mode), n_modes), torch.nan)
        location[is_mode.nonzero()[:, 0], number[is_mode]] = stretch.integer[is_mode]
        mass = torch.zeros_like(location).scatter_add(-1, basin.clamp_max(n_modes - 1), stretch.log_prob.exp())
        found.append((location, mass))
    widest = max((location.shape[-1] for location, _ in found), default=0)
    empty = line.logits.new_zeros(0, widest)
    locations = [torch.nn.functional.pad(a, (0, widest - a.shape[-1]), value=torch.nan) for a, _ in found]
    masses = [torch.nn.functional.pad(b, (0, widest - b.shape[-1])) for _, b in found]
    return torch.cat([empty, *locations]), torch.cat([empty, *masses])


def _sorted(location: Tensor, log_density: Tensor, mass: Tensor, spread: Tensor, mask: Tensor, atoms: Atoms) -> Modes:
    """Return modes, (N, J, ...), the highest first."""
    order = torch.where(mask, log_density, -torch.inf).argsort(dim=-1, descending=True, stable=True)
    front = mask.gather(-1, order).to(torch.int8).argsort(dim=-1, descending=True, stable=True)
    order = order.gather(-1, front)[:, : int(mask.sum(-1).max()) if mask.numel() else 0]
    mask = mask.gather(-1, order)
    rows = order.unsqueeze(-1).expand(*order.shape, location.shape[-1])
    location, spread = location.gather(-2, rows), spread.gather(-2, rows)
    return Modes(
        location=torch.where(mask.unsqueeze(-1), location, torch.nan),
        log_density=torch.where(mask, log_density.gather(-1, order), -torch.inf),
        mass=torch.where(mask, mass.gather(-1, order), 0.0),
        spread=torch.where(mask.unsqueeze(-1), spread, torch.nan),
        mask=mask,
        atoms=atoms,
    )


def _line_spread(line: Line, location: Tensor) -> Tensor:
    """Return standard deviations, (N, J), of the components that make the density at places (N, J)."""
    share = torch.softmax(line.parts(filled(location.T, 0.0)), -2).nan_to_num(0.0)  # (J, K, N)
    mean, variance = (torch.cat(moments).flatten(1) for moments in line.moments())
    angle = torch.tensor("angle" in [group.kinds[0] for group in line.groups], device=mean.device)
    gap, own = _deviations(mean - filled(location.T, 0.0).unsqueeze(-2), variance, angle)
    centre = torch.where(share > 0, share * gap, 0.0).sum(-2, keepdim=True)
    return torch.where(share > 0, share * (own + (gap - centre).square()), 0.0).sum(-2).sqrt().T


def _spread(joint: Joint, location: Tensor) -> Tensor:
    """Return standard deviations, (N, J, D), of the components that make the density at places (N, J, D)."""
    share = torch.softmax(joint.parts(filled(location.movedim(1, 0), 0.0)), -1).nan_to_num(0.0).unsqueeze(-1)
    mean, variance = joint.components.mean, joint.components.variance
    angle = torch.tensor([kind == "angle" for kind in joint.components.kinds], device=mean.device)
    gap, own = _deviations(mean - filled(location.movedim(1, 0), 0.0).unsqueeze(-2), variance, angle)
    centre = torch.where(share > 0, share * gap, 0.0).sum(-2, keepdim=True)
    return torch.where(share > 0, share * (own + (gap - centre).square()), 0.0).sum(-2).sqrt().movedim(0, 1)


def _deviations(gap: Tensor, variance: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Return distances and variances; of angles the shorter way round and -2 log(1 - V) (Mardia 1972)."""
    around = torch.remainder(gap + torch.pi, 2 * torch.pi) - torch.pi
    circular = -2 * (-variance.clamp(0.0, 1.0)).log1p()
    return torch.where(angle, around, gap), torch.where(angle, circular, variance)


# --- several dimensions ---


def _joint(joint: Joint) -> Modes:
    kinds = joint.components.kinds
    if any("atom" in group.kinds for group in joint.components.groups):
        raise _checks.InputError(
            "modes of a joint density need components without atoms; take the marginal of one dimension."
        )
    free = torch.tensor([kind != "count" for kind in kinds], device=joint.logits.device)
    parts = []
    n_rows = max(min(_ROWS, _ENTRIES // n_entries(joint)), 1)
    for rows in torch.arange(len(joint.logits), device=joint.logits.device).split(n_rows):
        part = joint.take(rows)
        parts.append(_of_peaks(part, climb(part, free)))
    return _stacked(parts)


def _of_peaks(joint: Joint, peaks: Peaks) -> Modes:
    location = peaks.location.movedim(0, 1)
    mask = (peaks.log_density > -torch.inf).T
    none = joint.logits.new_zeros(len(joint.logits), 0)
    atoms = Atoms(none, none, none.bool())
    return _sorted(location, peaks.log_density.T, peaks.weight.T, _spread(joint, location), mask, atoms)


def _stacked(parts: list[Modes]) -> Modes:
    """Return the modes of several runs of rows, one after another."""
    if len(parts) == 1:
        return parts[0]
    widest = max(part.mask.shape[-1] for part in parts)

    def fill(name: str, value: float | bool) -> Tensor:
        columns = [getattr(part, name) for part in parts]
        return torch.cat([_pad(column, widest, value) for column in columns])

    return Modes(
        location=fill("location", torch.nan),
        log_density=fill("log_density", -torch.inf),
        mass=fill("mass", 0.0),
        spread=fill("spread", torch.nan),
        mask=fill("mask", False),
        atoms=Atoms(*(torch.cat([getattr(p.atoms, n) for p in parts]) for n in ("location", "mass", "mask"))),
    )


def _pad(values: Tensor, width: int, value: float | bool) -> Tensor:
    """Return values (N, J, ...) filled up to (N, width, ...)."""
    missing = values.new_full((len(values), width - values.shape[1], *values.shape[2:]), value)
    return torch.cat([values, missing], 1)


def _cast(modes: Modes, dtype: torch.dtype) -> Modes:
    atoms = Atoms(modes.atoms.location.to(dtype), modes.atoms.mass.to(dtype), modes.atoms.mask)
    location, log_density = modes.location.to(dtype), modes.log_density.to(dtype)
    return Modes(location, log_density, modes.mass.to(dtype), modes.spread.to(dtype), modes.mask, atoms)
