"""The energy score: a proper score of the joint density in several dimensions, estimated from samples."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.distributions import Categorical

from manymodes import _checks
from manymodes.distributions import (
    Component,
    DiagonalNormal,
    JointDensity,
    Mixture,
    Normal,
    Prediction,
    SphericalNormal,
)
from manymodes.distributions.randomness import default_generator
from manymodes.distributions.sampled import SampledDensity
from manymodes.metrics.scores import crps
from manymodes.metrics.targets import exact_target

_ROUND = 2**22  # numbers drawn at a time, so that memory does not grow with the samples


def energy_score(
    distribution: JointDensity, y: Tensor, *, n_samples: int = 200, generator: torch.Generator | None = None
) -> Tensor:
    r"""Energy score of each target: the CRPS of the joint density, with Euclidean distances.

    .. math:: \mathrm{ES}(F, y) = \mathbb{E}\|Y - y\| - \tfrac12 \mathbb{E}\|Y - Y'\|

    Strictly proper among densities with a finite mean, whatever the number of target dimensions; lower is better. A
    distance adds up target dimensions: those of different units should be standardised first, as training does.

    Normal components in one dimension have a closed form, see ``crps``. Others are estimated without bias from samples,
    each paired with the next; an estimate may thus be negative. Its standard error is about sd(Y) / sqrt(n_samples) or
    less for a row, and that of the mean over N rows less again by sqrt(N): four times the samples halve it.

    Where the prediction carries gradients, each component gives the same share of the samples, at least two, which
    count with its weight. Gradients in weights then do not depend on which component a sample came from, and those in
    components not on the density in between, as with ``Mixture.rsample``: they are unbiased, too, and far less noisy.
    Autoregressive densities have no such shares; their gradient goes along the samples.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D).
        n_samples: Samples of each prediction, at least 2.
        generator: Source of randomness; None takes a fixed seed.

    Returns:
        Scores, (N,). Not averaged: the caller decides.

    Raises:
        ValueError: Targets of another shape, angles, or counts and atoms whose gradient is asked for.
        TypeError: Targets that are not exact.

    References:
        Gneiting and Raftery (2007), Strictly proper scoring rules, prediction, and estimation, J. Am. Stat. Assoc.
        102, section 4.3.
    """
    y = exact_target("energy_score", distribution, y, joint=True)
    n_samples = _checks.integer_at_least("n_samples", n_samples, 2)
    if "angle" in distribution.kinds:
        raise _checks.InputError("energy_score needs targets on a line; got an angle. Take log_score.")
    if isinstance(distribution, Prediction) and _has_closed_form(distribution):
        return crps(distribution, y)
    generator = default_generator(generator, y.device)
    estimate = _with_gradient if _carries_gradient(distribution, y) else _without_gradient
    n_rounds = max(min(-(-n_samples * y.numel() // _ROUND), n_samples // 2), 1)
    sizes = [n_samples // n_rounds + (i < n_samples % n_rounds) for i in range(n_rounds)]
    rounds = [size / n_samples * estimate(distribution, y, size, generator) for size in sizes]
    return torch.stack(rounds).sum(0)


def _has_closed_form(distribution: Prediction) -> bool:
    return isinstance(distribution.components, Normal) and distribution.event_shape == (1,)


def _carries_gradient(distribution: JointDensity, y: Tensor) -> bool:
    carries = distribution.log_prob(y.detach()).requires_grad  # it depends on every parameter
    if carries and not distribution.has_density:
        raise _checks.InputError(
            "energy_score has no gradient for counts and atoms; take log_score, or score under torch.no_grad()."
        )
    if carries and not isinstance(distribution, (Mixture, SampledDensity)) and distribution.event_shape[0] > 1:
        raise _checks.InputError(
            "energy_score has no gradient for recalibrated densities of several dimensions; use torch.no_grad()."
        )
    return carries


def _without_gradient(distribution: JointDensity, y: Tensor, n_samples: int, generator: torch.Generator) -> Tensor:
    return _of_samples(distribution.sample((n_samples,), generator=generator), y)


def _of_samples(samples: Tensor, y: Tensor) -> Tensor:
    """Return the estimate from samples, (S, N, D), each paired with the next."""
    samples = samples.movedim(0, -2)  # (N, S, D)
    near = _length(samples - y.unsqueeze(-2)).mean(-1)
    apart = _length(samples - samples.roll(1, -2)).mean(-1)
    return near - 0.5 * apart


def _with_gradient(distribution: JointDensity, y: Tensor, n_samples: int, generator: torch.Generator) -> Tensor:
    if isinstance(distribution, SampledDensity):
        return _of_samples(distribution.rsample((n_samples,), generator=generator), y)
    return _by_component(cast(Prediction, distribution), y, n_samples, generator)


def _by_component(distribution: Prediction, y: Tensor, n_samples: int, generator: torch.Generator) -> Tensor:
    size = max(-(-n_samples // distribution.components.batch_shape[-1]), 2)
    groups = [_component_samples(group, size, generator) for group in distribution.components.groups]
    samples = torch.cat(groups, -2).movedim(0, -2)  # (N, K, S, D)
    weights = distribution.weights
    near = _length(samples - y.unsqueeze(-2).unsqueeze(-2)).mean(-1)  # (..., N, K)
    others = _picked(samples.roll(1, -2), weights.detach(), generator)
    apart = _length(samples - others).mean(-1)  # (N, K)
    # Weights come in twice, but those of the others are chances: here is their part of the gradient.
    twice = 2 * weights - weights.detach()
    return (weights * near).sum(-1) - 0.5 * (twice * apart).sum(-1)


def _picked(samples: Tensor, weights: Tensor, generator: torch.Generator) -> Tensor:
    """Return samples of the mixture, (N, 1, S, D): of each (N, K, S, D) that of one component, drawn by weight."""
    *batch, n_components, size, target_dim = samples.shape
    flat = weights.reshape(-1, n_components)
    index = torch.multinomial(flat, size, replacement=True, generator=generator).reshape(*batch, 1, size, 1)
    return samples.gather(-3, index.expand(*batch, 1, size, target_dim))


def _component_samples(group: Component, size: int, generator: torch.Generator) -> Tensor:
    """Return samples of every component, (S, N, K, D), with gradients."""
    if isinstance(group, (DiagonalNormal, SphericalNormal)):
        shape = (size, *group.loc.shape)
        noise = torch.randn(shape, generator=generator, dtype=group.loc.dtype, device=group.loc.device)
        return group.loc + group.scale * noise
    alone = group.transformed(lambda value: value.unsqueeze(-2))  # (N, K, 1): mixtures of one component each
    weights = Categorical(logits=torch.zeros(alone.batch_shape, device=generator.device), validate_args=False)
    return Mixture(weights, alone, validate_args=False).rsample((size,), generator=generator)


def _length(difference: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(difference, dim=-1)
    return length
