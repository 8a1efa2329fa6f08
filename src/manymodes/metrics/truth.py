"""How far predictions are from the truth, where that is known: simulations tell, see ``datasets``.

Of one target, integrals over the line are refined until they err by 1e-10 of themselves or by 1e-15 in their units, see
``metrics.pairs``; of several targets, joint densities are compared at samples.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Prediction
from manymodes.distributions.line import Line
from manymodes.distributions.randomness import default_generator
from manymodes.distributions.shapes import slices
from manymodes.metrics.pairs import Pair, per_row

_LOST = 1e-9  # of the probability: less where a prediction has no density is rounding
_ROUND = 2**20  # numbers in samples at a time, which bounds the memory

Compare = Callable[[Tensor, Tensor], Tensor]  # of log p and log q


def regret(
    distribution: Prediction, truth: Prediction, *, n_samples: int = 1000, generator: torch.Generator | None = None
) -> Tensor:
    r"""Divergence of predictions q from the truth p: how much more the log score is than it could be, on average.

    .. math:: KL(p \| q) = \int p \log \frac pq = \int \left(p \log \frac pq - p + q\right)

    In nats; 0 for the truth alone. Infinite where a prediction takes for impossible what is not. The second form, whose
    integrand is nowhere negative, is worked out in one dimension: it keeps its digits however near both are.

    In several dimensions it is the mean of log p / q over samples of the truth, whose standard error is the standard
    deviation of log p / q over sqrt(n_samples); near 0 it may be negative.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        truth: True distributions of the same shapes.
        n_samples: Samples of each row, in several dimensions.
        generator: Source of their randomness; None takes a fixed seed.

    Returns:
        Divergences, (N,). Not averaged: the caller decides.

    Raises:
        ValueError: Distributions of different shapes, or counts or atoms.

    References:
        Kullback and Leibler (1951), On information and sufficiency, Annals of Mathematical Statistics 22.
    """
    _refuse("regret", distribution, truth)
    n_samples = _checks.integer_at_least("n_samples", n_samples, 1)
    if truth.event_shape[0] > 1:
        return _at_samples(lambda p, q: p - q, distribution, truth, (truth,), n_samples, generator)
    return per_row(distribution, truth, _divergence)


def hellinger(
    distribution: Prediction, truth: Prediction, *, n_samples: int = 1000, generator: torch.Generator | None = None
) -> Tensor:
    r"""Hellinger distance of predictions q from the truth p, from 0 for the truth to 1 for what never overlaps with it.

    .. math:: H(p, q)^2 = \tfrac12 \int \left(\sqrt p - \sqrt q\right)^2 = 1 - \int \sqrt{p q}

    In several dimensions its square is the mean of (sqrt p - sqrt q)^2 / (p + q) over samples, as many of p as of q,
    with a standard error of at most H sqrt((1 - H^2) / (2 n_samples)): that of H itself is at most half of
    sqrt((1 - H^2) / (2 n_samples)).

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        truth: True distributions of the same shapes.
        n_samples: Samples of each row of both, in several dimensions.
        generator: Source of their randomness; None takes a fixed seed.

    Returns:
        Distances, (N,). Not averaged: the caller decides.

    Raises:
        ValueError: Distributions of different shapes, or counts or atoms.

    References:
        Le Cam and Yang (2000), Asymptotics in Statistics, 2nd ed., chapter 3.
    """
    _refuse("hellinger", distribution, truth)
    n_samples = _checks.integer_at_least("n_samples", n_samples, 1)
    if truth.event_shape[0] > 1:
        square = _at_samples(_overlap_gap, distribution, truth, (truth, distribution), n_samples, generator)
    else:
        square = per_row(distribution, truth, _square_of_roots)
    return square.clamp(0.0, 1.0).sqrt()


def wasserstein(distribution: Prediction, truth: Prediction) -> Tensor:
    r"""Wasserstein distance of order 1: how far probability has to be moved to make the truth of a prediction.

    .. math:: W_1(F, G) = \int |F(z) - G(z)| \, dz

    In the units of y. In several dimensions the sum of the distances of the marginals, which says nothing of how
    dimensions go together, and is at most the distance for steps along the axes. Infinite where one of both has no
    finite mean.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        truth: True distributions of the same shapes.

    Returns:
        Distances, (N,). Not averaged: the caller decides.

    Raises:
        ValueError: Distributions of different shapes, or angles.

    References:
        Vallender (1974), Calculation of the Wasserstein distance between probability distributions on the line, Theory
        of Probability and Its Applications 18.
    """
    _refuse_other_shapes(distribution, truth)
    if "angle" in (*distribution.components.kinds, *truth.components.kinds):
        raise _checks.InputError("wasserstein needs targets on a line; got an angle.")
    dims = range(truth.event_shape[0])
    parts = [per_row(distribution.marginal(d), truth.marginal(d), _moved) for d in dims]
    none = (distribution.mean.isinf() | truth.mean.isinf()).any(-1)
    return torch.where(none, torch.inf, torch.stack(parts).sum(0))


# --- one dimension ---


def _divergence(pair: Pair) -> Tensor:
    total = pair.integral(_divergence_density)
    if all(group.everywhere for group in pair.q.groups):
        return total
    lost = pair.integral(lambda p, q, z: torch.where(q.log_prob(z) == -torch.inf, p.log_prob(z).exp(), 0.0))
    return torch.where(lost > _LOST, torch.inf, total)


def _divergence_density(p: Line, q: Line, z: Tensor) -> Tensor:
    """Return p log p / q - p + q; where one of both is 0 the other is left."""
    log_p, log_q = p.log_prob(z), q.log_prob(z)
    either = (log_p == -torch.inf) | (log_q == -torch.inf)
    density, ratio = log_p.exp(), torch.where(either, 0.0, log_q - log_p)
    near = density * (ratio.clamp_max(1.0).expm1() - ratio)
    far = log_q.exp() - density * (1 + ratio)
    return torch.where(either, density + log_q.exp(), torch.where(ratio < 1, near, far))


def _square_of_roots(pair: Pair) -> Tensor:
    return pair.integral(lambda p, q, z: 0.5 * ((0.5 * p.log_prob(z)).exp() - (0.5 * q.log_prob(z)).exp()).square())


def _moved(pair: Pair) -> Tensor:
    return pair.integral(_gap, unit=pair.width(), kinks=pair.crossings())


def _gap(p: Line, q: Line, z: Tensor) -> Tensor:
    """Return |F - G|, panel by panel from the tail that keeps its digits: far out, rounding errors would add up."""
    below, gaps = p.cdf(z[:1]).squeeze(0) < 0.5, torch.empty_like(z)
    for which, tail in ((below, Line.cdf), (~below, Line.sf)):
        panels = which.nonzero().squeeze(-1)
        gaps[:, panels] = (tail(p.take(panels), z[:, panels]) - tail(q.take(panels), z[:, panels])).abs()
    return gaps


# --- several dimensions ---


def _overlap_gap(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Return (sqrt p - sqrt q)^2 / (p + q), which is 1 - 1 / cosh of half the log-ratio."""
    half = 0.5 * (log_p - log_q)
    root = torch.tanh(0.5 * half).square()
    return torch.where(half.isnan(), 0.0, 2 * root / (1 + root))


@torch.no_grad()
def _at_samples(
    compare: Compare,
    distribution: Prediction,
    truth: Prediction,
    sources: tuple[Prediction, ...],
    n_samples: int,
    generator: torch.Generator | None,
) -> Tensor:
    """Return the means of what compares log-densities, (N,), over as many samples of each source."""
    generator = default_generator(generator, truth.logits.device)
    width = max(1, truth.event_shape[0] * max(truth.logits.numel(), distribution.logits.numel()))
    size = max(1, _ROUND // width)
    total = torch.zeros(truth.batch_shape, dtype=torch.float64, device=truth.logits.device)
    for source in sources:
        for run in slices(n_samples, size):
            y = source.sample((run.stop - run.start,), generator=generator)
            log_p, log_q = (one.log_prob(y.to(one.logits.dtype)).double() for one in (truth, distribution))
            total = total + compare(log_p, log_q).sum(0)
    return total / (n_samples * len(sources))


# --- what fits ---


def _refuse(metric: str, distribution: Prediction, truth: Prediction) -> None:
    _refuse_other_shapes(distribution, truth)
    if not (distribution.has_density and truth.has_density):
        raise _checks.InputError(f"{metric} needs densities; got counts or atoms.")


def _refuse_other_shapes(distribution: Prediction, truth: Prediction) -> None:
    _checks.instance("distribution", distribution, Prediction)
    _checks.instance("truth", truth, Prediction)
    shapes = [(*one.batch_shape, *one.event_shape) for one in (truth, distribution)]
    _checks.matches_shape("targets of truth", shapes[0], shapes[1], "to match those of distribution")
