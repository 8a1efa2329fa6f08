r"""Modes of a normal mixture: ascent from every component mean, then merging of what coincides.

Each start climbs by the fixed-point step of Carreira-Perpinan (2000), which never lowers the density,
or by a Newton step where the log-density is concave and Newton climbs higher. In coordinates scaled by
:math:`t_d^{-2} = \sum_k r_k / s_{kd}^2`, with responsibilities r, the gradient of the log-density is
:math:`g = \sum_k r_k u_k`, :math:`u_k = t (m_k - y) / s_k^2`, its Hessian :math:`C - I` with C the
covariance of u under r, and the fixed-point step is g itself: Newton with C left out.

References:
    Carreira-Perpinan (2000), Mode-finding for mixtures of Gaussian distributions, IEEE TPAMI 22(11).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from manymodes.distributions.families import Normal

_MAX_STEPS = 200
_NUDGE = 1e-3  # of a component's scale: no start rests on a saddle by symmetry
_CHUNK = 20_000  # starts at a time, which bounds the memory
_SAME_MODE = 1e-3  # of the local scale: two ends closer than this are one mode


@dataclass(frozen=True, eq=False)
class Modes:
    """Modes of each prediction, the highest first; rows with fewer than K modes are padded.

    Attributes:
        location: Where each mode lies, (N, K, D), in the units of y; NaN where ``mask`` is False.
        log_density: Log-density there, (N, K); -inf where ``mask`` is False.
        mass: Weight of the components that climb to the mode, (N, K); the masses of a row sum to one.
        mask: Which entries are modes, (N, K).
    """

    location: Tensor
    log_density: Tensor
    mass: Tensor
    mask: Tensor

    @property
    def count(self) -> Tensor:
        """Number of modes of each prediction, (N,)."""
        return self.mask.sum(-1)

    def count_above(self, mass: float) -> Tensor:
        """Return the number of modes that hold at least ``mass`` of the probability, (N,)."""
        return (self.mask & (self.mass >= mass)).sum(-1)


def find_modes(logits: Tensor, components: Normal) -> Modes:
    """Return the modes of a mixture, see the module's description.

    Args:
        logits: Log-weights, (N, K).
        components: Components, ``batch_shape`` (N, K), ``event_shape`` (D,).
    """
    with torch.no_grad():
        starts = components.loc + _NUDGE * components.scale  # (N, K, D)
        ends = _climb(logits, components, starts.movedim(-2, 0))  # (K starts, N, D)
        return _merge(logits, components, ends)


class _Local(NamedTuple):
    """The log-density around points (S, N, D), in coordinates scaled by ``unit``."""

    unit: Tensor  # (S, N, D)
    gradient: Tensor  # (S, N, D), also the fixed-point step
    newton: Tensor  # (S, N, D), meaningful where ``concave``
    concave: Tensor  # (S, N)


def _climb(logits: Tensor, components: Normal, starts: Tensor) -> Tensor:
    """Return where each start, (S, N, D), ends; only starts that still move are worked on."""
    n_components, target_dim = components.loc.shape[-2:]
    logits = logits.reshape(-1, n_components)
    components = components.transformed(lambda value: value.reshape(-1, *value.shape[-2:]))
    points = starts.reshape(-1, target_dim).clone()  # (S * N, D)
    moving = torch.arange(len(points), device=points.device)
    for _ in range(_MAX_STEPS):
        still_moving = []
        for part in moving.split(_CHUNK):
            rows = part % len(logits)
            step, settled = _step(logits[rows], _rows_of(components, rows), points[part])
            points[part] += step
            still_moving.append(part[~settled])
        moving = torch.cat(still_moving) if still_moving else moving
        if len(moving) == 0:
            break
    return points.reshape(starts.shape)


def _rows_of(components: Normal, rows: Tensor) -> Normal:
    return components.transformed(lambda value: value[rows])


def _step(logits: Tensor, components: Normal, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return one step up from points (A, D), each in its own mixture, and whether it was too small to matter."""
    local = _local(logits, components, y)
    fixed_point, newton = y + local.unit * local.gradient, y + local.unit * local.newton
    climbs = local.concave & (_log_prob(logits, components, newton) >= _log_prob(logits, components, fixed_point))
    step = torch.where(climbs.unsqueeze(-1), newton, fixed_point) - y
    eps = torch.finfo(y.dtype).eps
    return step, (step.abs() <= local.unit * eps**0.6 + 8 * eps * y.abs()).all(-1)


def _log_prob(logits: Tensor, components: Normal, y: Tensor) -> Tensor:
    return torch.logsumexp(logits + components.log_prob(y.unsqueeze(-2)), -1)


def _local(logits: Tensor, components: Normal, y: Tensor) -> _Local:
    joint = logits + components.log_prob(y.unsqueeze(-2))
    responsibility = torch.softmax(joint, -1).unsqueeze(-1)  # (S, N, K, 1)
    log_scale = components.scale.log()
    # log t^-2 by logsumexp: precisions overflow long before their logarithms do.
    log_unit = -0.5 * torch.logsumexp(responsibility.log() - 2 * log_scale, -2, keepdim=True)  # (S, N, 1, D)
    pull = (components.loc - y.unsqueeze(-2)) / components.scale * (log_unit - log_scale).exp()
    pull = torch.where(responsibility > 0, pull, 0.0)  # (S, N, K, D)
    gradient = (responsibility * pull).sum(-2)
    spread = responsibility.sqrt() * (pull - gradient.unsqueeze(-2))
    curvature = torch.eye(y.shape[-1], dtype=y.dtype, device=y.device) - spread.mT @ spread  # (S, N, D, D)
    factor, failed = torch.linalg.cholesky_ex(curvature.nan_to_num(0.0))
    concave = failed == 0
    newton = torch.cholesky_solve(gradient.unsqueeze(-1), factor).squeeze(-1)
    newton = torch.where(concave.unsqueeze(-1), newton, gradient)
    return _Local(log_unit.squeeze(-2).exp().expand_as(y), gradient, newton, concave)


def _merge(logits: Tensor, components: Normal, ends: Tensor) -> Modes:
    """Sort the ends of a climb by density, and fold those that coincide or are no maxima into others."""
    log_density = _log_prob(logits, components, ends)  # (K, N)
    order = log_density.argsort(0, descending=True)
    ends = ends.gather(0, order.unsqueeze(-1).expand_as(ends))
    log_density = log_density.gather(0, order)
    weight = logits.exp().movedim(-1, 0).gather(0, order)
    local = _local(logits, components, ends)
    gap = (ends.unsqueeze(0) - ends.unsqueeze(1)).abs() / local.unit.unsqueeze(1)
    distance = gap.amax(-1)  # (i, j, N): of end j from end i, in the units of i

    kept = torch.zeros_like(log_density, dtype=torch.bool)
    for j in range(len(ends)):
        near = (distance[:j, j] < _SAME_MODE) & kept[:j]
        kept[j] = ~near.any(0) & (local.concave[j] if j else True)
    home = torch.where(kept.unsqueeze(1), distance, torch.inf).argmin(0)  # (j, N): the mode of end j
    mass = torch.zeros_like(weight).scatter_add_(0, home, weight)

    front = kept.to(torch.int8).argsort(dim=0, descending=True, stable=True)
    mask = kept.gather(0, front)
    location = ends.gather(0, front.unsqueeze(-1).expand_as(ends))
    return Modes(
        location=torch.where(mask.unsqueeze(-1), location, torch.nan).movedim(0, -2),
        log_density=torch.where(mask, log_density.gather(0, front), -torch.inf).movedim(0, -1),
        mass=torch.where(mask, mass.gather(0, front), 0.0).movedim(0, -1),
        mask=mask.movedim(0, -1),
    )
