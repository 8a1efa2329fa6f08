"""Entropy, divergence and mutual information of mixtures: Monte Carlo until a wanted standard error is reached.

Estimates carry no gradient; for one, average ``log_prob`` over samples of ``Mixture.rsample``.

Samples are stratified: every component gives as many, and their averages are weighed, so that no variance comes from
which component a sample is of. Where components know their entropy, only the overlap between them is left to chance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions.families.normal import IndependentNormal
from manymodes.distributions.mixture import Mixture
from manymodes.distributions.prediction import Prediction
from manymodes.distributions.randomness import default_generator

_ROUND = 64  # samples of each component at a time


@dataclass(frozen=True, eq=False)
class Estimate:
    """Averages of random numbers.

    Attributes:
        value: The averages, (N,).
        standard_error: Their standard errors, (N,).
        n_samples: How many samples of each component they are made of.
    """

    value: Tensor
    standard_error: Tensor
    n_samples: int

    def __repr__(self) -> str:
        if self.value.numel() == 1:
            return f"Estimate({self.value.item():.6g} ± {self.standard_error.item():.2g})"
        worst = self.standard_error.max().item() if self.value.numel() else 0.0
        return f"Estimate(rows={self.value.numel()}, standard_error<={worst:.2g}, n_samples={self.n_samples})"


@torch.no_grad()
def entropy(
    distribution: Prediction,
    *,
    standard_error: float = 0.01,
    max_samples: int = 100_000,
    generator: torch.Generator | None = None,
) -> Estimate:
    r"""Differential entropy of the joint density, in nats: :math:`-E \log p(Y)`.

    With responsibilities r it is :math:`\sum_k w_k (h_k - \log w_k + E_k \log r_k(Y))`: where the components' entropies
    h are known, only the last term is estimated, which vanishes as components separate.

    Args:
        distribution: Predictions, ``batch_shape`` (N,).
        standard_error: Largest standard error that is wanted, in nats.
        max_samples: Most samples per component; the standard error says what they reached.
        generator: Source of randomness; None takes a fixed seed.

    Returns:
        The entropy of each prediction, (N,).
    """
    if not isinstance(distribution, Mixture):
        return _expectation(
            distribution, lambda y, _: -distribution.log_prob(y), standard_error, max_samples, generator
        )
    weights, logits = distribution.weights, distribution.logits
    try:
        own = distribution.components.entropy()
    except _checks.InputError:
        return _expectation(
            distribution, lambda y, _: -distribution.log_prob(y), standard_error, max_samples, generator
        )

    def overlap(y: Tensor, component: Tensor) -> Tensor:
        share = torch.log_softmax(distribution.component_log_prob(y), -1)
        return share.gather(-1, component.unsqueeze(-1)).squeeze(-1)

    known = torch.where(weights > 0, weights * (own - logits), 0.0).sum(-1)
    rest = _expectation(distribution, overlap, standard_error, max_samples, generator)
    return Estimate(known + rest.value, rest.standard_error, rest.n_samples)


def entropy_bounds(distribution: Mixture) -> tuple[Tensor, Tensor]:
    r"""Lower and upper bound of the entropy of the joint density, (N,) each, in nats, without sampling.

    For normals without correlation, from the Bhattacharyya distances B and the divergences KL between components,

    .. math:: \sum_i w_i \left(h_i - \log \sum_j w_j e^{-B_{ij}}\right) \le H
        \le \sum_i w_i \left(h_i - \log \sum_j w_j e^{-KL_{ij}}\right);

    for others :math:`\sum w_i h_i \le H \le \sum w_i (h_i - \log w_i)`.

    Raises:
        ValueError: Components whose entropy has no closed form.

    References:
        Kolchinsky and Tracey (2017), Estimating mixture entropy with pairwise distances, Entropy 19, eqs. 10 to 12.
    """
    _checks.instance("distribution", distribution, Mixture, "; take entropy, which samples")
    weights, logits, own = distribution.weights, distribution.logits, distribution.components.entropy()
    components = distribution.components
    if isinstance(components, IndependentNormal):
        near, far = (torch.logsumexp(logits.unsqueeze(-2) - pair, -1) for pair in _pairwise(components))
    else:
        near, far = torch.zeros_like(logits), logits
    return tuple(torch.where(weights > 0, weights * (own - gain), 0.0).sum(-1) for gain in (near, far))  # type: ignore[return-value]


@torch.no_grad()
def kl_divergence(
    first: Prediction,
    second: Prediction,
    *,
    standard_error: float = 0.01,
    max_samples: int = 100_000,
    generator: torch.Generator | None = None,
) -> Estimate:
    r"""Divergence :math:`KL(p \| q) = E_p \log p(Y) / q(Y)` of the first from the second, in nats.

    Args:
        first: Predictions p, ``batch_shape`` (N,).
        second: Predictions q of the same shapes.
        standard_error: Largest standard error that is wanted, in nats.
        max_samples: Most samples per component.
        generator: Source of randomness; None takes a fixed seed.

    Raises:
        ValueError: Predictions of different shapes.
    """
    shapes = [(*mixture.batch_shape, *mixture.event_shape) for mixture in (first, second)]
    _checks.matches_shape("targets of second", shapes[1], shapes[0], "to match those of first")
    return _expectation(
        first, lambda y, _: first.log_prob(y) - second.log_prob(y), standard_error, max_samples, generator
    )


@torch.no_grad()
def mutual_information(
    distribution: Prediction,
    dims: int | list[int],
    *,
    standard_error: float = 0.01,
    max_samples: int = 100_000,
    generator: torch.Generator | None = None,
) -> Estimate:
    r"""Mutual information of some target dimensions and all the others, in nats.

    .. math:: E \log \frac{p(y_a, y_b)}{p(y_a)\, p(y_b)}

    Args:
        distribution: Predictions, ``batch_shape`` (N,), of at least two target dimensions.
        dims: The dimensions a; b are the others.
        standard_error: Largest standard error that is wanted, in nats.
        max_samples: Most samples per component.
        generator: Source of randomness; None takes a fixed seed.
    """
    chosen = distribution.dims(dims, some_left=True)
    others = [dim for dim in range(distribution.event_shape[0]) if dim not in chosen]
    a, b = distribution.marginal(chosen), distribution.marginal(others)

    def gain(y: Tensor, _: Tensor) -> Tensor:
        return distribution.log_prob(y) - a.log_prob(y[..., chosen]) - b.log_prob(y[..., others])

    return _expectation(distribution, gain, standard_error, max_samples, generator)


def _expectation(
    distribution: Prediction,
    f: Callable[[Tensor, Tensor], Tensor],
    standard_error: float,
    max_samples: int,
    generator: torch.Generator | None,
) -> Estimate:
    """Return the mean of f(y, component), for y (S, N, D) of components (S, N), by stratified sampling.

    Samples of what is no mixture are those of the whole, and their component is 0.
    """
    _checks.positive("standard_error", standard_error)
    _checks.integer_at_least("max_samples", max_samples, 2)
    generator = default_generator(generator, distribution.logits.device)
    if not isinstance(distribution, Mixture):
        return _of_samples(distribution, f, standard_error, max_samples, generator)
    weights, n_components = distribution.weights, distribution.n_components
    total, squares, n = torch.zeros_like(weights), torch.zeros_like(weights), 0
    with torch.no_grad():
        while True:
            size = min(_ROUND, max_samples - n) if n else min(_ROUND, max_samples)
            y = distribution.components.sample((size,), generator=generator).movedim(-2, 0)  # (K, S, N, D)
            for k in range(n_components):
                which = torch.full(y.shape[1:-1], k, device=weights.device)
                values = torch.where(weights[..., k] > 0, f(y[k], which), 0.0)
                total[..., k] += values.sum(0)
                squares[..., k] += values.square().sum(0)
            n += size
            mean = total / n
            spread = ((squares / n - mean.square()).clamp_min(0.0) / max(n - 1, 1)).sqrt()
            error = (weights * spread).square().sum(-1).sqrt()
            value = (weights * mean).sum(-1)
            error = torch.where(value.isfinite(), error, 0.0)  # one infinite value settles it
            if n >= max_samples or bool((error <= standard_error).all()):
                return Estimate(value, error, n)


def _of_samples(
    distribution: Prediction,
    f: Callable[[Tensor, Tensor], Tensor],
    standard_error: float,
    max_samples: int,
    generator: torch.Generator,
) -> Estimate:
    """Return the mean of f(y, 0) over samples of the whole, as ``_expectation`` does."""
    total = distribution.logits.new_zeros(distribution.batch_shape)
    squares, n = total, 0
    while True:
        y = distribution.sample((min(8 * _ROUND, max_samples - n),), generator=generator)
        values = f(y, torch.zeros(y.shape[:-1], dtype=torch.long, device=y.device))
        total, squares, n = total + values.sum(0), squares + values.square().sum(0), n + len(values)
        mean = total / n
        error = ((squares / n - mean.square()).clamp_min(0.0) / max(n - 1, 1)).sqrt()
        error = torch.where(mean.isfinite(), error, 0.0)
        if n >= max_samples or bool((error <= standard_error).all()):
            return Estimate(mean, error, n)


def _pairwise(components: IndependentNormal) -> tuple[Tensor, Tensor]:
    """Return the Bhattacharyya distance and the divergence of component i from j, (N, K, K) each."""
    loc, scale = components.loc, components.scale.expand_as(components.loc)
    first, second = scale.unsqueeze(-2), scale.unsqueeze(-3)  # i along -3, j along -2
    gap = loc.unsqueeze(-2) - loc.unsqueeze(-3)
    joint = torch.hypot(first, second)
    bhattacharyya = 0.25 * (gap / joint).square() + 0.5 * (joint.square() / (2 * first * second)).log()
    divergence = (second / first).log() + 0.5 * ((first / second).square() + (gap / second).square() - 1)
    return bhattacharyya.sum(-1), divergence.sum(-1)
