r"""Modes of joint densities in several dimensions: ascent from components and from the ridges between them.

With responsibilities r, gradients :math:`g_k` and curvatures :math:`H_k` of the components, the gradient of the
log-density is :math:`g = \sum_k r_k g_k`. A step of :math:`(\sum_k r_k H_k)^{-1} g` never lowers the density where
every :math:`H_k` majorises its component (for normals it is the fixed-point step of Carreira-Perpinan 2000); Newton's
step takes the covariance of the :math:`g_k` under r from that matrix, and is used where it climbs higher.

Starts are the components' means and points on the ridges between pairs and triples of them, where critical points lie
(Ray and Lindsay 2005): :math:`(\sum_k a_k H_k)^{-1} \sum_k a_k H_k m_k`; of many components the most telling
ridges between the heaviest only. A mode that none of these climbs to is not found, so several dimensions know no
certificate, unlike one.

References:
    Carreira-Perpinan (2000), Mode-finding for mixtures of Gaussian distributions, IEEE TPAMI 22(11).
    Ray and Lindsay (2005), The topography of multivariate normal mixtures, Annals of Statistics 33(5).
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from manymodes.distributions.component import Component

_MAX_STEPS = 500
_NUDGE = 1e-3  # of the local width: no start rests on a saddle by symmetry
_CHUNK, _ENTRIES = 20_000, 20_000_000  # starts, and numbers of their curvatures, at a time: that bounds the memory
_MANY_COMPONENTS = 6  # up to here triples and three points per pair are tried
_HEAVIEST, _RIDGES = 64, 4  # ridges between so many components at most, and so many of them for each
_SAME_MODE = 1e-3  # of the local width: two ends closer than this are one mode


class Joint(NamedTuple):
    """Joint mixtures, one a row.

    Attributes:
        logits: Log-weights, (N, K).
        components: Components, ``batch_shape`` (N, K).
    """

    logits: Tensor
    components: Component

    def take(self, rows: Tensor) -> Joint:
        """Return some rows."""
        return Joint(self.logits[rows], self.components.transformed(lambda value: value[rows]))

    def parts(self, y: Tensor) -> Tensor:
        """Return log(w_k p_k(y)) for points (..., N, D): (..., N, K)."""
        return self.logits + self.components.log_prob(y.unsqueeze(-2))

    def log_prob(self, y: Tensor) -> Tensor:
        """Return log-densities at points (..., N, D)."""
        return torch.logsumexp(self.parts(y), -1)


class Peaks(NamedTuple):
    """Modes that starts climbed to, the highest first: J of them or fewer in a row.

    Attributes:
        location: Places, (J, N, D), NaN where there is none.
        log_density: Log-densities there, (J, N), -inf where there is none.
        weight: Weight of the components that climbed there, (J, N).
        home: Which of them every start belongs to, (S, N), starts in their own order, components first.
    """

    location: Tensor
    log_density: Tensor
    weight: Tensor
    home: Tensor


def climb(joint: Joint, free: Tensor, *, ridges: bool = True) -> Peaks:
    """Return the modes that components and ridges climb to; only dimensions that are ``free``, (D,), move smoothly.

    The others are counts: they move by whole steps wherever that climbs. Without ridges only components climb, which
    costs far less where there are many.
    """
    starts = _starts(joint, ridges=ridges)  # (S, N, D)
    n_starts, n_rows, target_dim = starts.shape
    points = starts.reshape(-1, target_dim).clone()
    if not bool(free.all()):
        points = torch.where(free, points, points.round().clamp_min(0.0))
    chunk = max(min(_CHUNK, _ENTRIES // (joint.logits.shape[-1] * target_dim**2)), 1)
    for part in torch.arange(len(points), device=points.device).split(chunk):
        points[part] = _ascend(joint, part % n_rows, points[part], free)
    return _merge(joint, points.reshape(n_starts, n_rows, target_dim), free)


def n_entries(joint: Joint) -> int:
    """Return about how many numbers ``climb`` holds at a time for each row: the densities of all on each ridge."""
    n_components = joint.logits.shape[-1]
    return n_components * min(n_components, _HEAVIEST) ** 2


# --- starts ---


def _starts(joint: Joint, *, ridges: bool) -> Tensor:
    means = joint.components.mean  # (N, K, D)
    curvature = joint.components.curvature(means)  # (N, K, D, D)
    nudge = _NUDGE * curvature.diagonal(dim1=-2, dim2=-1).rsqrt().nan_to_num(0.0, 0.0, 0.0)
    starts = (means + nudge).movedim(-2, 0)
    if not ridges or means.shape[-2] == 1:
        return starts
    heaviest = joint.logits.topk(min(_HEAVIEST, means.shape[-2]), -1).indices.sort(-1).values.unsqueeze(-1)  # (N, H, 1)
    means = means.take_along_dim(heaviest, -2)
    curvature = curvature.take_along_dim(heaviest.unsqueeze(-1), -3)
    mixes = _mixes(means)
    ridge = _ridges(means, curvature, nudge.amax(-2), mixes)
    if len(ridge) > _RIDGES * means.shape[-2]:
        ridge = _most_telling(joint, ridge, mixes, heaviest.squeeze(-1), joint.log_prob(means.movedim(-2, 0)).T)
    return torch.cat([starts, ridge + nudge.amin(-2)])


def _ridges(means: Tensor, curvature: Tensor, spare: Tensor, mixes: Tensor) -> Tensor:
    """Return points between components, (S, N, D), for their means and curvatures, (N, H, D) and (N, H, D, D)."""
    unit = curvature.diagonal(dim1=-2, dim2=-1).amax(-2).rsqrt()  # (N, D): no product overflows in these units
    scaled = unit[:, None, :, None] * curvature * unit[:, None, None, :]
    centre = means.mean(-2, keepdim=True)
    pull = torch.einsum("nkij,nkj->nki", scaled, (means - centre) / unit.unsqueeze(1))
    matrix, vector = torch.einsum("sk,nkij->snij", mixes, scaled), torch.einsum("sk,nki->sni", mixes, pull)
    ridge = torch.linalg.solve_ex(matrix, vector).result * unit + centre.squeeze(1)  # (S, N, D)
    low, high = means.amin(-2), means.amax(-2)
    ridge = torch.where(ridge.isfinite().all(-1, keepdim=True), ridge, centre.squeeze(1))
    spare = (high - low) + spare
    return torch.minimum(torch.maximum(ridge, low - spare), high + spare)


def _most_telling(joint: Joint, ridges: Tensor, mixes: Tensor, numbers: Tensor, at_means: Tensor) -> Tensor:
    """Return the points, (S, N, D), where most of the density is of the components they lie between, and it is high.

    Where a third component rules its own start climbs the same mode; where the density is far below that at the means,
    no mode is near.

    Args:
        joint: The mixtures.
        ridges: Points between components, (S, N, D).
        mixes: How much each of the components counts, (S, H).
        numbers: Which components these are, (N, H).
        at_means: Log-density at their means, (N, H).
    """
    parts = joint.parts(ridges)  # (S, N, K)
    log_density = torch.logsumexp(parts, -1)
    between = mixes.unsqueeze(1) > 0
    parts = parts.gather(-1, numbers.expand(len(ridges), -1, -1))
    own = torch.logsumexp(torch.where(between, parts, -torch.inf), -1) - log_density
    drop = log_density - torch.where(between, at_means, torch.inf).amin(-1)
    best = (own + drop.clamp_max(0.0)).nan_to_num(-torch.inf).topk(_RIDGES * mixes.shape[-1], 0).indices
    return ridges.gather(0, best.unsqueeze(-1).expand(-1, -1, ridges.shape[-1]))


def _mixes(means: Tensor) -> Tensor:
    """Return the weights a of points on ridges between components, (S, H)."""
    n_components = means.shape[-2]
    few = n_components <= _MANY_COMPONENTS
    mixes = []
    for pair in combinations(range(n_components), 2):
        for share in (0.25, 0.5, 0.75) if few else (0.5,):
            mixes.append({pair[0]: 1 - share, pair[1]: share})
    if few:
        mixes += [dict.fromkeys(triple, 1 / 3) for triple in combinations(range(n_components), 3)]
    if n_components > 3:
        mixes.append(dict.fromkeys(range(n_components), 1 / n_components))
    table = means.new_zeros(len(mixes), n_components)
    for row, mix in enumerate(mixes):
        for column, share in mix.items():
            table[row, column] = share
    return table


# --- ascent ---


class _Local(NamedTuple):
    """The log-density around points (A, D), in coordinates scaled by ``unit``."""

    unit: Tensor  # (A, D)
    step: Tensor  # (A, D), of the fixed point
    newton: Tensor  # (A, D), meaningful where ``concave``
    concave: Tensor  # (A,)


def _ascend(joint: Joint, rows: Tensor, points: Tensor, free: Tensor) -> Tensor:
    points = _ascend_smoothly(joint, rows, points, free)
    while not bool(free.all()):
        stepped = _step_counts(joint.take(rows), points, free)
        if torch.equal(stepped, points):
            break
        points = _ascend_smoothly(joint, rows, stepped, free)
    return points


def _ascend_smoothly(joint: Joint, rows: Tensor, points: Tensor, free: Tensor) -> Tensor:
    points, moving = points.clone(), torch.arange(len(points), device=points.device)
    here = joint.take(rows)
    for _ in range(_MAX_STEPS if bool(free.any()) else 0):
        if len(moving) == 0:
            break
        step, settled = _step(here, points[moving], free)
        points[moving] += step
        keep = (~settled).nonzero().squeeze(-1)
        moving, here = moving[keep], here if len(keep) == len(moving) else here.take(keep)
    return points


def _step(joint: Joint, y: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
    """Return one step up from points (A, D), each in its own mixture, and whether it was too small to matter."""
    local = _local(joint, y, free)
    now = joint.log_prob(y)
    step, newton = local.unit * local.step, local.unit * local.newton
    simple, bold = joint.log_prob(y + step), joint.log_prob(y + newton)
    step = torch.where((local.concave & (bold >= simple)).unsqueeze(-1), newton, step)
    height = torch.where(local.concave, torch.maximum(bold, simple), simple)
    eps = torch.finfo(y.dtype).eps
    for _ in range(30):  # where no curvature majorises, shorter steps do
        lower = ~(height >= now - 8 * eps * now.abs())
        if not bool(lower.any()):
            break
        step = torch.where(lower.unsqueeze(-1), 0.25 * step, step)
        height = torch.where(lower, joint.log_prob(y + step), height)
    step = torch.where((height >= now - 8 * eps * now.abs()).unsqueeze(-1), step, 0.0)
    return step, (step.abs() <= local.unit * eps**0.6 + 8 * eps * y.abs()).all(-1)


def _local(joint: Joint, y: Tensor, free: Tensor) -> _Local:
    share = torch.softmax(joint.parts(y), -1).nan_to_num(0.0).unsqueeze(-1)  # (A, K, 1)
    at = y.unsqueeze(-2)
    gradients = torch.where(free, joint.components.gradient(at), 0.0)  # (A, K, D)
    curvatures = joint.components.curvature(at)  # (A, K, D, D)
    matrix = (share.unsqueeze(-1) * curvatures).sum(-3)
    matrix = torch.where(free & free.unsqueeze(-1), matrix, torch.eye(len(free), dtype=y.dtype, device=y.device))
    unit = matrix.diagonal(dim1=-2, dim2=-1).rsqrt()
    scaled = unit.unsqueeze(-1) * matrix * unit.unsqueeze(-2)
    pulls = torch.where(share > 0, gradients * unit.unsqueeze(-2), 0.0)  # (A, K, D)
    gradient = (share * pulls).sum(-2)
    spread = share.sqrt() * (pulls - gradient.unsqueeze(-2))
    step, _ = _solved(scaled, gradient)
    newton, concave = _solved(scaled - spread.mT @ spread, gradient)
    return _Local(unit, step, torch.where(concave.unsqueeze(-1), newton, step), concave)


def _solved(matrix: Tensor, vector: Tensor) -> tuple[Tensor, Tensor]:
    """Return the solution of a symmetric system and whether its matrix is positive definite."""
    factor, failed = torch.linalg.cholesky_ex(matrix.nan_to_num(0.0))
    solution = torch.cholesky_solve(vector.unsqueeze(-1), factor).squeeze(-1)
    definite = (failed == 0) & solution.isfinite().all(-1)
    return torch.where(definite.unsqueeze(-1), solution, vector), definite


def _step_counts(joint: Joint, points: Tensor, free: Tensor) -> Tensor:
    """Return points with every count moved by the best of some whole steps."""
    for dim in (~free).nonzero().squeeze(-1).tolist():
        best, height = points, joint.log_prob(points)
        for size in (1.0, -1.0, 4.0, -4.0, 32.0, -32.0, 1024.0, -1024.0):
            moved = points.clone()
            moved[:, dim] = (moved[:, dim] + size).clamp_min(0.0)
            there = joint.log_prob(moved)
            better = there > height
            best = torch.where(better.unsqueeze(-1), moved, best)
            height = torch.where(better, there, height)
        points = best
    return points


# --- merging ---


def _merge(joint: Joint, ends: Tensor, free: Tensor) -> Peaks:
    """Tell the modes among ends, (S, N, D): those that coincide or are no maxima are folded into others."""
    angle = torch.tensor([kind == "angle" for kind in joint.components.kinds], device=ends.device)
    ends = _around(ends, angle)
    log_density = joint.log_prob(ends)  # (S, N)
    order = log_density.argsort(0, descending=True)
    known, home = _Known(ends[0], angle), torch.empty_like(order)
    for number, place in enumerate(order):
        end = ends.gather(0, place[None, :, None].expand_as(ends[:1])).squeeze(0)  # (N, D)
        local = _local(joint, end, free)
        is_peak = local.concave if number else torch.ones_like(local.concave)  # the highest end is one
        height = log_density.gather(0, place.unsqueeze(0)).squeeze(0)
        home.scatter_(0, place.unsqueeze(0), known.add(end, local.unit, height, is_peak).unsqueeze(0))
    weight = torch.zeros_like(known.log_density)
    weight.scatter_add_(0, home[: joint.logits.shape[-1]], joint.logits.exp().T)  # ridges weigh nothing
    return Peaks(known.location, known.log_density, weight, home)


class _Known:
    """Modes told apart so far, those of each row in their order.

    Attributes:
        location: Places, (J, N, D), NaN where there is none.
        unit: Local widths, (J, N, D).
        log_density: Log-densities, (J, N), -inf where there is none.
    """

    def __init__(self, like: Tensor, angle: Tensor) -> None:
        self.location, self.unit = (like.new_full((0, *like.shape), torch.nan) for _ in range(2))
        self.log_density = like.new_full((0, len(like)), -torch.inf)
        self._angle = angle
        self._count = torch.zeros(len(like), dtype=torch.long, device=like.device)

    def add(self, end: Tensor, unit: Tensor, height: Tensor, is_peak: Tensor) -> Tensor:
        """Take in one end of every row, (N, ...), if it is a peak and new; return the mode it belongs to, (N,)."""
        if len(self.location) == (int(self._count.max()) if len(end) else 0):
            self._grow()
        gaps = (_around(self.location - end, self._angle).abs() / self.unit).amax(-1)  # (J, N)
        gap, home = torch.where(gaps.isnan(), torch.inf, gaps).min(0)
        is_new = is_peak & (gap >= _SAME_MODE)
        home = torch.where(is_new, self._count, home)
        rows = is_new.nonzero().squeeze(-1)
        self.location[home[rows], rows], self.unit[home[rows], rows] = end[rows], unit[rows]
        self.log_density[home[rows], rows] = height[rows]
        self._count += is_new
        return home

    def _grow(self) -> None:
        """Make room for one more mode in every row."""
        more = torch.full_like(self._count, torch.nan, dtype=self.location.dtype)
        self.location, self.unit = (
            torch.cat([old, more[None, :, None].expand(1, -1, old.shape[-1])]) for old in (self.location, self.unit)
        )
        self.log_density = torch.cat([self.log_density, torch.full_like(more, -torch.inf).unsqueeze(0)])


def _around(values: Tensor, angle: Tensor) -> Tensor:
    """Return values with angles taken into [-pi, pi)."""
    return torch.where(angle, torch.remainder(values + torch.pi, 2 * torch.pi) - torch.pi, values)
