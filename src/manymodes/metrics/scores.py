"""Proper scoring rules of densities and cdfs: losses that the true density, and only it, minimises on average."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Incomplete, JointDensity, Normal, Prediction
from manymodes.metrics.cdf_distance import Weighing, Weight, squared_distance
from manymodes.metrics.normal_crps import normal_crps
from manymodes.metrics.targets import exact_target


def log_score(distribution: JointDensity, y: Tensor | Incomplete) -> Tensor:
    r"""Logarithmic score of each target, the negative log-likelihood.

    .. math:: \mathrm{LogS}(p, y) = -\log p(y)

    In nats for the density per unit of y: it may well be negative, where the density exceeds 1. Strictly
    proper; lower is better.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D); ``Incomplete`` where they are missing, censored or rounded. What is exact counts with its
            density, what lies in an interval with its probability, what is missing not at all.

    Returns:
        Scores of the joint density, (N,).

    References:
        Good (1952), Rational decisions, J. R. Stat. Soc. B 14.
    """
    _checks.instance("distribution", distribution, JointDensity)
    return -distribution.log_prob(y)


def crps(distribution: Prediction, y: Tensor) -> Tensor:
    r"""Continuous ranked probability score of each target, summed over target dimensions.

    .. math:: \mathrm{CRPS}(F, y) = \int \left(F(z) - 1\{y \le z\}\right)^2 dz
        = \mathbb{E}|Y - y| - \tfrac12 \mathbb{E}|Y - Y'|

    In closed form for normal components, see ``metrics.normal_crps``; a sum over integers for counts; for all others,
    atoms among them, by quadrature whose relative error is below 1e-8, see ``metrics.cdf_distance``. Distances between
    angles are those around the circle, in radians. Infinite where the prediction has no finite mean.

    In the units of y; lower is better. Strictly proper in one dimension, among distributions with a finite mean, but of
    angles only proper: half circles do not tell all distributions apart. In several, only for the marginals, see
    ``energy_score``. Carries the gradient in y and in all parameters but the places of atoms; that of components that
    are not normal takes memory for all rows at once.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D).

    Returns:
        Scores, (N,). Not averaged: the caller decides. See ``marginal_crps`` for those of each target dimension.

    Raises:
        ValueError: Targets of another shape, or counts that spread over more than twenty million integers.
        TypeError: Targets that are not exact.

    References:
        Grimit, Gneiting, Berrocal and Johnson (2006), The continuous ranked probability score for
        circular variables and its application to mesoscale forecast ensemble verification, eq. 5; Matheson and Winkler
        (1976), Scoring rules for continuous probability distributions, Management Science 22.
    """
    return _per_dimension(distribution, exact_target("crps", distribution, y)).sum(-1)


def marginal_crps(distribution: Prediction, y: Tensor) -> Tensor:
    """Continuous ranked probability score of each target dimension by itself, (N, D), see ``crps``.

    Strictly proper; of angles only proper.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D).

    Raises:
        ValueError: Targets of another shape, or counts that spread over more than twenty million integers.
        TypeError: Targets that are not exact.
    """
    return _per_dimension(distribution, exact_target("marginal_crps", distribution, y))


def threshold_weighted_crps(
    distribution: Prediction,
    y: Tensor,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    weight: Weight | None = None,
) -> Tensor:
    r"""CRPS with a weight on places: how well a range of values is predicted, say the upper tail.

    .. math:: \int_l^h w(z) \left(F(z) - 1\{y \le z\}\right)^2 dz

    By quadrature, of counts a sum over integers; the error is below 1e-8 of the score, or 1e-12 of the unweighted one
    where that is more. In the units of y; lower is better. Proper; strictly where all places have a weight > 0.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,), without angles.
        y: Targets, (N, D).
        low: Lower end l of the range.
        high: Upper end h, above ``low``.
        weight: Function of a tensor of places that returns their weights w >= 0, smooth in between; None for 1.

    Returns:
        Scores of each target dimension by itself, (N, D).

    Raises:
        ValueError: Targets of another shape, angles, ends that do not ascend, or weights below 0.
        TypeError: Targets that are not exact.

    References:
        Gneiting and Ranjan (2011), Comparing density forecasts using threshold- and quantile-weighted scoring rules,
        J. Bus. Econ. Stat. 29.
    """
    y = exact_target("threshold_weighted_crps", distribution, y, on_a_line=True)
    low = _checks.number_between("low", low, -math.inf, math.inf, including=(-math.inf,))
    high = _checks.number_between("high", high, low, math.inf, including=(math.inf,))
    return squared_distance(distribution, y, Weighing(low, high, of_place=_checked("weight", weight)))


def quantile_weighted_crps(distribution: Prediction, y: Tensor, weight: Weight) -> Tensor:
    r"""CRPS with a weight on levels of quantiles: how well some of the quantiles are predicted, say the upper ones.

    .. math:: 2 \int_0^1 v(a) \left(1\{y \le F^{-1}(a)\} - a\right) \left(F^{-1}(a) - y\right) da

    With v = 1 it is the CRPS. Worked out between places, where it reads
    :math:`\int_{-\infty}^y V_0(F(z)) dz + \int_y^\infty V_1(F(z)) dz` with
    :math:`V_0(p) = 2 \int_0^p v(a)\, a\, da` and :math:`V_1(p) = 2 \int_p^1 v(a) (1 - a) da`; the error is below
    1e-8 of the score where v is a polynomial of at most 30th order, or as smooth. In the units of y; lower is better.
    Proper; strictly where all levels have a weight > 0.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,), without angles.
        y: Targets, (N, D).
        weight: Function of a tensor of levels in (0, 1) that returns their weights v >= 0, say ``torch.square``.

    Returns:
        Scores of each target dimension by itself, (N, D).

    Raises:
        ValueError: Targets of another shape, angles, or weights below 0.
        TypeError: Targets that are not exact.

    References:
        Gneiting and Ranjan (2011), Comparing density forecasts using threshold- and quantile-weighted scoring rules,
        J. Bus. Econ. Stat. 29.
    """
    y = exact_target("quantile_weighted_crps", distribution, y, on_a_line=True)
    return squared_distance(distribution, y, Weighing(of_level=_checked("weight", weight)))


def _per_dimension(distribution: Prediction, y: Tensor) -> Tensor:
    """Return the CRPS of each target dimension, (N, D)."""
    components = distribution.components
    if not isinstance(components, Normal):
        return squared_distance(distribution, y)
    loc, scale = components.loc, components.stddev
    parts, loc, scale = torch.broadcast_tensors(y.unsqueeze(-2), loc, scale)  # (..., N, K, D)
    dtype = torch.promote_types(y.dtype, loc.dtype)

    def rows(value: Tensor) -> Tensor:
        return value.to(dtype).expand(loc.shape).movedim(-2, 0).flatten(1)  # (K, R)

    targets = parts[..., 0, :].to(dtype)
    score = normal_crps(rows(distribution.weights.unsqueeze(-1)), rows(loc), rows(scale), targets.flatten())
    return score.reshape(targets.shape)


def _checked(name: str, weight: Weight | None) -> Weight | None:
    """Return a function of weights that refuses what they cannot be."""
    if weight is None:
        return None
    if not callable(weight):
        raise TypeError(f"{name} must be a function of a tensor; got {type(weight).__name__}.")

    def checked(at: Tensor) -> Tensor:
        values = torch.as_tensor(weight(at), dtype=at.dtype, device=at.device).expand_as(at)
        if not bool((values >= 0).all()):
            raise _checks.InputError(f"{name} must return numbers >= 0; got {values[~(values >= 0)][0].item():g}.")
        return values

    return checked
