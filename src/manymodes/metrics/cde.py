"""The loss of conditional density estimation: the quadratic score, which likes no spikes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Normal, Prediction
from manymodes.distributions.families.normal import IndependentNormal
from manymodes.distributions.integrals import integral
from manymodes.distributions.lattice import stretches
from manymodes.distributions.limits import around
from manymodes.distributions.line import Line
from manymodes.distributions.randomness import default_generator
from manymodes.metrics.cdf_distance import known_places
from manymodes.metrics.targets import exact_target

_PAIRS = 2**20  # numbers worked on at a time
_ROUND = 2**20


def cde_loss(
    distribution: Prediction, y: Tensor, *, n_samples: int = 1000, generator: torch.Generator | None = None
) -> Tensor:
    r"""Conditional density estimation loss: the squared distance to the true density, up to what no prediction changes.

    .. math:: L(p, y) = \int p(z)^2 dz - 2\, p(y)

    Per unit of y (of all target dimensions together); lower is better, and mostly negative. Strictly proper. Unlike the
    log score it is bounded where the density vanishes, and ruled by places where it is large. Of counts the integral is
    a sum over integers.

    Exact for normal components of any covariance. In one dimension by quadrature, with a relative error of the integral
    below 1e-8 for bounded densities; infinite where the integral is, as for a gamma density of shape 1/2 or less. Next
    to a weaker pole numbers are too coarse to come near enough: at 0 it misses .1 % for a gamma density of shape .505,
    and less than 1e-6 from .51 on; elsewhere some per cent. For others in several dimensions the integral is the mean
    of p over samples, whose standard error is that of p(Y) over sqrt(n_samples), and carries no gradient: neither does
    the loss.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,), without atoms.
        y: Targets, (N, D).
        n_samples: Samples of each prediction, where they are needed.
        generator: Source of their randomness; None takes a fixed seed.

    Returns:
        Losses of the joint density, (N,). Not averaged: the caller decides.

    Raises:
        ValueError: Targets of another shape, atoms, or counts beside a density in one dimension.
        TypeError: Targets that are not exact.

    References:
        Izbicki and Lee (2016), Nonparametric conditional density estimation in a high-dimensional regression setting,
        J. Comput. Graph. Stat. 25.
    """
    y = exact_target("cde_loss", distribution, y)
    n_samples = _checks.integer_at_least("n_samples", n_samples, 1)
    _refuse_other_measures(distribution)
    at_target = distribution.log_prob(y).exp()
    if isinstance(distribution.components, Normal):
        square = _of_normals(distribution)
    elif distribution.event_shape == (1,):
        square = _on_line(distribution)
    else:
        square, at_target = _sampled(distribution, n_samples, generator), at_target.detach()
    return square.to(at_target.dtype) - 2 * at_target


def _refuse_other_measures(distribution: Prediction) -> None:
    kinds = list(zip(*(group.kinds for group in distribution.components.groups), strict=True))
    if any("atom" in kind for kind in kinds):
        raise _checks.InputError("cde_loss needs a density, or counts; got an atom, whose square has no integral.")
    if any(len(set(kind)) > 1 for kind in kinds):
        raise _checks.InputError("cde_loss needs components of one measure; got counts beside a density.")


# --- normals ---


def _of_normals(distribution: Prediction) -> Tensor:
    """Return the integral of the squared density, (N,): sums over pairs of components of N(m_i - m_j; 0, C_i + C_j)."""
    double = distribution.to(torch.float64)
    components = double.components.expand(double.logits.shape)
    logits = double.logits.flatten(0, -2)
    loc = components.mean.flatten(0, -3)
    pair_log_density: Callable[[Tensor, Tensor], Tensor]
    if isinstance(components, IndependentNormal):
        spread, pair_log_density = components.stddev.expand_as(components.mean).reshape(loc.shape), _independent
    else:
        covariance = cast(Any, components).covariance_matrix
        spread, pair_log_density = covariance.reshape(*loc.shape, loc.shape[-1]), _correlated
    size = max(1, _PAIRS // (logits.shape[-1] ** 2 * spread[0, 0].numel())) if len(logits) else 1
    parts = [
        torch.logsumexp((log.unsqueeze(-1) + log.unsqueeze(-2) + pair_log_density(some, width)).flatten(-2), -1).exp()
        for log, some, width in zip(logits.split(size), loc.split(size), spread.split(size), strict=True)
    ]
    return torch.cat(parts).reshape(double.batch_shape)


def _independent(loc: Tensor, scale: Tensor) -> Tensor:
    joint = torch.hypot(scale.unsqueeze(-2), scale.unsqueeze(-3))  # (n, K, K, D)
    z = (loc.unsqueeze(-2) - loc.unsqueeze(-3)) / joint
    return -(0.5 * z.square() + joint.log() + 0.5 * math.log(2 * math.pi)).sum(-1)


def _correlated(loc: Tensor, covariance: Tensor) -> Tensor:
    factor = torch.linalg.cholesky(covariance.unsqueeze(-3) + covariance.unsqueeze(-4))  # (n, K, K, D, D)
    gap = (loc.unsqueeze(-2) - loc.unsqueeze(-3)).unsqueeze(-1)
    z = torch.linalg.solve_triangular(factor, gap, upper=False).squeeze(-1)
    log_det = factor.diagonal(dim1=-2, dim2=-1).log()
    log_density: Tensor = -(0.5 * z.square() + log_det + 0.5 * math.log(2 * math.pi)).sum(-1)
    return log_density


# --- one dimension ---


def _on_line(distribution: Prediction) -> Tensor:
    double = distribution.to(torch.float64)
    line = Line.of(double.logits, double.components)
    if not len(line):
        return double.logits.sum(-1)
    if line.groups[0].kinds == ("count",):
        return torch.cat([(2 * part.log_prob).exp().sum(-1) for part in stretches(line)]).reshape(double.batch_shape)
    with torch.no_grad():
        places, infinite = torch.cat([line.turning_points(), known_places(line)]), _has_pole(line)
        known = places.isfinite()
        ends = [torch.where(known, places, torch.inf).amin(0), torch.where(known, places, -torch.inf).amax(0)]
    value = integral(lambda z, row: (2 * line.take(row).log_prob(z)).exp(), places, torch.stack(ends), len(line.logits))
    return torch.where(infinite, torch.inf, value).reshape(double.batch_shape)


def _has_pole(line: Line) -> Tensor:
    """Return which rows have a density that grows as fast as 1 / sqrt(distance) towards an end of a support."""
    poles = torch.zeros_like(line.logits[0], dtype=torch.bool)
    sizes = [int(group.batch_shape[0]) for group in line.groups]
    for group, logits in zip(line.groups, line.logits.split(sizes), strict=True):
        for end, side in zip(group.ends(), (2, 0), strict=True):
            beside = around(end)[side]
            power = (beside - end) * group.score(beside)  # of the distance
            poles |= ((power.flatten(1) <= -0.5 + 1e-9) & (logits > -torch.inf)).any(0)
    return poles


# --- several dimensions ---


@torch.no_grad()
def _sampled(distribution: Prediction, n_samples: int, generator: torch.Generator | None) -> Tensor:
    """Return the mean density of samples, (N,), some at a time."""
    generator = default_generator(generator, distribution.logits.device)
    width = max(1, distribution.logits.numel() * distribution.event_shape[0])
    size, total = max(1, _ROUND // width), torch.zeros(())
    for first in range(0, n_samples, size):
        samples = distribution.sample((min(size, n_samples - first),), generator=generator)
        total = total + distribution.log_prob(samples).exp().sum(0) / n_samples
    return total
