"""What training minimises: plain functions of ``(distribution, y, weight)`` that return one number.

The loop hands them targets and predictions in scaled units, so that mixes of objectives do not depend on
the user's units. ``OBJECTIVES`` gives them the names that the estimator and the command line accept; ``named`` reads
mixes of them, too. Beside them stand regularisers, functions of the distribution alone, see ``regularised``.

Predictions of ``batch_shape`` (N,) give a scalar, those of an ensemble's members, (M, N), a number for each, (M,).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from manymodes import _checks, metrics
from manymodes.distributions import DiagonalNormal, Incomplete, JointDensity, Mixture, SphericalNormal
from manymodes.metrics.targets import refuse_incomplete

Objective = Callable[[Mixture, Any, Tensor | None], Tensor]  # of targets that are tensors, and maybe Incomplete

_DRAWS = 20  # of each prediction and step: four of each component where there are five
_TERM = re.compile(r"\s*(?P<weight>-?\d*\.?\d+(?:[eE][+-]?\d+)?)(?:\s*\*\s*|\s+)(?P<name>\w+)\s*")


def nll(distribution: JointDensity, y: Tensor | Incomplete, weight: Tensor | None = None) -> Tensor:
    """Mean negative log-likelihood of the joint density, in nats.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D); ``Incomplete`` where they are missing, censored or rounded, whose probability counts.
        weight: Weight of each example, (N,), about one on average; None weighs all alike.

    Returns:
        The weighted sum of log scores divided by N: a scalar, or one number for each member, (M,), where the
        predictions have ``batch_shape`` (M, N).

    References:
        Bishop (1994), Mixture density networks, eq. 29.
    """
    return _mean(metrics.log_score(distribution, y), weight)


def ngem(distribution: Mixture, y: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""The value of ``nll`` with another gradient: natural-gradient expectation maximisation.

    .. math:: L = \sum_k r_k \left[ -\log w_k + \sum_d \frac{(y_d - m_{kd})^2}{2} + \frac{v_{kd}}{2} \left(
        \log s_{kd} + \frac{(y_d - \bar m_{kd})^2}{2 s_{kd}^2} \right) \right]

    is what the gradient is taken of, with responsibilities r, variances :math:`v = s^2` and locations :math:`\bar m`
    held constant: that of the likelihood times the inverse Fisher information of each component. No fixed loss has that
    gradient, and values of L tell little of a fit, so the value is the likelihood's: it is that which chooses the best
    epoch. Targets should be standardised, and learning rates below some 5e-3.

    Args:
        distribution: Predictions with normal components without correlation.
        y: Targets, (N, D), all of them exact.
        weight: Weight of each example, (N,); None weighs all alike.

    Returns:
        As ``nll`` does.

    Raises:
        TypeError: Other components, or targets that are not exact.

    References:
        Chen, Bayrooti and Morad (2026), Learning mixture density via natural gradient expectation maximization,
        arXiv 2602.10602.
    """
    refuse_incomplete("ngem", y, instead="nll")
    _checks.instance("distribution", distribution, Mixture, " for ngem")
    if not isinstance(distribution.components, (DiagonalNormal, SphericalNormal)):
        raise TypeError(
            "ngem needs normal components without correlation, DiagonalNormal or SphericalNormal; "
            f"got {type(distribution.components).__name__}. Take nll."
        )
    with torch.no_grad():
        parts = distribution.component_log_prob(y)  # (N, K)
    surrogate = _surrogate(distribution, y, torch.softmax(parts, -1))
    return _mean(surrogate - surrogate.detach() - torch.logsumexp(parts, -1), weight)


def _surrogate(distribution: Mixture, y: Tensor, share: Tensor) -> Tensor:
    """Return L of ``ngem``, (N,), for responsibilities, (N, K)."""
    loc, scale = distribution.components.mean, distribution.components.stddev
    fixed = scale.detach()
    square = (y.unsqueeze(-2) - loc).square()  # (N, K, D)
    # (v / s^2) is 1, with the gradient of 1 / s^2: nothing overflows where scales are tiny.
    spread = fixed.square() * scale.log() + 0.5 * square.detach() * (fixed / scale).square()
    pull = 0.5 * (square + spread).sum(-1)
    return (share * (pull - _finite(distribution.logits))).sum(-1)


def crps(distribution: Mixture, y: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean continuous ranked probability score, summed over target dimensions: robust against far targets.

    It sees each target dimension by itself; for the joint density of several, mix it with ``nll`` or take ``energy``.
    Normal components have a closed form; others, whose integrals are worked out at every step, take many times as long,
    and cannot be compiled.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D), all of them exact.
        weight: Weight of each example, (N,); None weighs all alike.

    Returns:
        As ``nll`` does.

    Raises:
        TypeError: Targets that are not exact.

    References:
        Gneiting, Raftery, Westveld and Goldman (2005), Calibrated probabilistic forecasting using ensemble model
        output statistics and minimum CRPS estimation, Monthly Weather Review 133.
    """
    refuse_incomplete("crps", y, instead="nll")
    return _mean(metrics.crps(distribution, y), weight)


def energy(distribution: JointDensity, y: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean energy score: the CRPS of the joint density; the same where there is one target dimension.

    Where a gradient is taken, a few samples are drawn afresh at each call, seeded from torch's global generator, which
    ``fit`` seeds and restores. Elsewhere the samples are those of ``metrics.energy_score``: always the same, so that
    epochs can be compared.

    Args:
        distribution: Predictions with a density on the line.
        y: Targets, (N, D), all of them exact.
        weight: Weight of each example, (N,); None weighs all alike.

    Returns:
        As ``nll`` does.

    Raises:
        ValueError: Angles, counts or atoms.
        TypeError: Targets that are not exact.

    References:
        Gneiting and Raftery (2007), Strictly proper scoring rules, prediction, and estimation, section 4.3.
    """
    refuse_incomplete("energy", y, instead="nll")
    if not torch.is_grad_enabled():
        return _mean(metrics.energy_score(distribution, y), weight)
    seed = int(torch.randint(2**62, ()))
    generator = torch.Generator(y.device).manual_seed(seed)
    return _mean(metrics.energy_score(distribution, y, n_samples=_DRAWS, generator=generator), weight)


OBJECTIVES: Mapping[str, Objective] = {"nll": nll, "ngem": ngem, "crps": crps, "energy": energy}


# --- mixes ---


def named(objective: str | Objective) -> Objective:
    """Return the objective of a name in ``OBJECTIVES``, or of a mix written as "0.7 nll + 0.3 crps" or "0.7*nll + ...".

    A function is returned as it is.

    Raises:
        ValueError: Another name, or weights that ``mix`` refuses.

    Example:
        >>> named("0.7 nll + 0.3 crps")
        mix({'nll': 0.7, 'crps': 0.3})
    """
    if callable(objective):
        return objective
    text = objective if isinstance(objective, str) else ""
    if text in OBJECTIVES:
        return OBJECTIVES[text]
    terms = [_TERM.fullmatch(term) for term in text.split("+")]
    parts = {term["name"]: float(term["weight"]) for term in terms if term}
    if len(parts) == len(terms) and parts.keys() <= OBJECTIVES.keys():
        return mix(parts)
    raise _checks.InputError(
        f"objective must be one of {_checks.quoted(sorted(OBJECTIVES))}, or a mix of different ones such as "
        f"'0.7 nll + 0.3 crps'; got {objective!r}."
    )


def mix(parts: Mapping[str, float]) -> Objective:
    """Return the weighted mean of objectives, in scaled units.

    Args:
        parts: Weight of each objective by its name in ``OBJECTIVES``; they are >= 0 and sum to 1.

    Raises:
        ValueError: Another name, or weights that do not fit.

    Example:
        >>> mix({"nll": 0.7, "crps": 0.3}).__name__
        '0.7 nll + 0.3 crps'
    """
    _checks.instance("parts", parts, Mapping, " of names to weights")
    for name, share in parts.items():
        _checks.one_of("objective", name, OBJECTIVES)
        _checks.number_between(f"the weight of {name}", share, 0.0, 1.0, including=(0.0, 1.0))
    if abs(math.fsum(parts.values()) - 1) > 1e-9:
        text = " + ".join(f"{share}" for share in parts.values())
        raise _checks.InputError(f"the weights of a mix must sum to 1; got {text or 'none'}.")
    return _Mix(tuple((name, float(share)) for name, share in parts.items()))


@final
@dataclass(frozen=True, repr=False)
class _Mix:
    """A convex combination of objectives by name: a function that can be pickled and printed."""

    parts: tuple[tuple[str, float], ...]

    def __call__(self, distribution: Mixture, y: Any, weight: Tensor | None = None) -> Tensor:
        terms = [share * OBJECTIVES[name](distribution, y, weight) for name, share in self.parts if share]
        return torch.stack(terms).sum(0)

    @property
    def __name__(self) -> str:
        return " + ".join(f"{share!r} {name}" for name, share in self.parts)

    def __repr__(self) -> str:
        return f"mix({dict(self.parts)})"


# --- regularisers ---


def weight_entropy(distribution: Mixture) -> Tensor:
    r"""Mean entropy of the weights, in nats, from 0 to log K: how many components are alive.

    .. math:: H = -\sum_k w_k \log w_k

    Returns:
        A scalar, or one number for each member, (M,), where ``batch_shape`` is (M, N).
    """
    return _mean(-(distribution.weights * _finite(distribution.logits)).sum(-1), None)


def scale_prior(distribution: Mixture) -> Tensor:
    r"""Mean of :math:`(\log s)^2` over components and target dimensions, for their standard deviations s.

    In scaled units it is minus the log-density of a log-normal with median 1 in s, up to factors and a constant: it
    holds components back that collapse onto a few targets or grow without use. Those of infinite variance, and atoms,
    do not count.

    Returns:
        A scalar, or one number for each member, (M,), where ``batch_shape`` is (M, N).
    """
    variance = distribution.components.variance  # (N, K, D)
    counts = (variance > 0) & variance.isfinite()
    log_scale = 0.5 * torch.where(counts, variance, 1.0).log()
    return _mean(log_scale.square().mean((-1, -2)), None)


def regularised(objective: Objective, *, weight_entropy: float = 0.0, scale_prior: float = 0.0) -> Objective:
    """Return an objective plus ``scale_prior`` times its regulariser, minus ``weight_entropy`` times the entropy.

    Entropy is rewarded: it keeps components alive.

    Args:
        objective: A function of ``(distribution, y, weight)``; returned as it is where both factors are 0.
        weight_entropy: Factor of ``objectives.weight_entropy``, >= 0.
        scale_prior: Factor of ``objectives.scale_prior``, >= 0.

    Raises:
        ValueError: A factor below 0.
    """
    weight_entropy = _checks.number_between("weight_entropy", weight_entropy, 0.0, math.inf, including=(0.0,))
    scale_prior = _checks.number_between("scale_prior", scale_prior, 0.0, math.inf, including=(0.0,))
    if not (weight_entropy or scale_prior):
        return objective
    return _Regularised(objective, weight_entropy, scale_prior)


@final
@dataclass(frozen=True, repr=False)
class _Regularised:
    """An objective with its regularisers: a function that can be pickled and printed."""

    objective: Objective
    weight_entropy: float
    scale_prior: float

    def __call__(self, distribution: Mixture, y: Any, weight: Tensor | None = None) -> Tensor:
        loss = self.objective(distribution, y, weight)
        if self.scale_prior:
            loss = loss + self.scale_prior * scale_prior(distribution)
        if self.weight_entropy:
            loss = loss - self.weight_entropy * weight_entropy(distribution)
        return loss

    @property
    def __name__(self) -> str:
        return f"regularised {_name(self.objective)}"

    def __repr__(self) -> str:
        factors = f"weight_entropy={self.weight_entropy}, scale_prior={self.scale_prior}"
        return f"regularised({_name(self.objective)}, {factors})"


def parts_of(objective: Objective) -> frozenset[str]:
    """Return the names in ``OBJECTIVES`` that an objective is made of; none for a function of the user's own."""
    if isinstance(objective, _Regularised):
        return parts_of(objective.objective)
    if isinstance(objective, _Mix):
        return frozenset(name for name, _ in objective.parts)
    return frozenset(name for name, known in OBJECTIVES.items() if known is objective)


# --- private ---


def _name(objective: Objective) -> str:
    return getattr(objective, "__name__", repr(objective))


def _finite(logits: Tensor) -> Tensor:
    """Return log-weights that a weight of 0 can be multiplied by."""
    return logits.clamp_min(torch.finfo(logits.dtype).min)


def _mean(score: Tensor, weight: Tensor | None) -> Tensor:
    return (score if weight is None else score * weight).mean(-1)
