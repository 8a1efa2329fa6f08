"""The registry of component families: every test in test_families.py runs over each of them.

A family is one line of ``FAMILIES``: its class, the range of each parameter, and the distribution of SciPy that it must
agree with, as a function of the same parameters. The rest of this file is what the tests share.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from manymodes.distributions import constraints
from manymodes.distributions.component import Component
from manymodes.distributions.constraints import Scaling
from manymodes.distributions.declared import Declared
from manymodes.distributions.families.beta import Beta
from manymodes.distributions.families.counts import NegativeBinomial, Poisson
from manymodes.distributions.families.gamma import Gamma
from manymodes.distributions.families.laplace import Laplace
from manymodes.distributions.families.logistic import Logistic
from manymodes.distributions.families.lognormal import LogNormal
from manymodes.distributions.families.normal import DiagonalNormal, SphericalNormal
from manymodes.distributions.families.student_t import StudentT
from manymodes.distributions.families.von_mises import VonMises

K, D = 3, 2
BATCH = (4, K)


@dataclass(frozen=True, eq=False)
class Family:
    """One entry of the registry.

    Attributes:
        cls: The family.
        ranges: Ranges of its parameters, from which the tests draw evenly.
        scipy: A frozen distribution of SciPy's (or something with its methods) for arrays of these parameters.
        extremes: Ranges in which nothing may become NaN, where ``EXTREMES`` of the constraint do not fit.
    """

    cls: type[Declared]
    ranges: Mapping[str, tuple[float, float]]
    scipy: Callable[..., Any]
    extremes: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.cls.__name__

    @property
    def discrete(self) -> bool:
        return self.cls.kind == "count"

    @property
    def angular(self) -> bool:
        return self.cls.kind == "angle"

    @property
    def learnt(self) -> list[str]:
        """Parameters that a network gives."""
        return [name for name, parameter in self.cls.parameters.items() if parameter.default is None]

    @property
    def first(self) -> str:
        """The parameter that tells the number of target dimensions."""
        return next(name for name, parameter in self.cls.parameters.items() if parameter.shape == ("D",))

    def parameters(self, batch: tuple[int, ...] = BATCH, target_dim: int = D) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(7)
        values = {}
        for name, (low, high) in self.ranges.items():
            shape = batch + self.cls.parameters[name].sizes(target_dim)
            values[name] = low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)
        return values

    def component(self, batch: tuple[int, ...] = BATCH, target_dim: int = D) -> Declared:
        return self.cls(**self.parameters(batch, target_dim), validate_args=True)

    def traced(self, batch: tuple[int, ...] = BATCH) -> tuple[Declared, list[Tensor]]:
        """Return components and those of their parameters that a network gives, to take gradients in."""
        values = self.parameters(batch)
        leaves = [values[name].requires_grad_() for name in self.learnt]
        return self.cls(**values), leaves

    def reference(self, parts: Declared | None = None) -> Any:
        """Return SciPy's distribution of every target dimension, (..., K, D), of some components."""
        return _reference(self) if parts is None else self._frozen(parts)

    def _frozen(self, parts: Declared) -> Any:
        shape = parts.batch_shape + parts.event_shape
        values = {name: getattr(parts, name).detach().double().expand(shape).numpy() for name in self.ranges}
        return self.scipy(**values)

    def points(self, levels: tuple[float, ...] = (0.01, 0.3, 0.5, 0.9)) -> np.ndarray:
        """Return quantiles by SciPy, (levels, *BATCH, D): inside the support, away from the tails."""
        return self.reference().ppf(column(levels))

    def spread(self) -> np.ndarray:
        """Return the distance between the quartiles by SciPy, (*BATCH, D)."""
        low, high = self.points((0.25, 0.75))
        return high - low


@functools.cache
def _reference(family: Family) -> Any:
    return family._frozen(family.component())


def rounding(family: Family, y: np.ndarray) -> np.ndarray:
    """Return what a probability changes by where an angle is off by some rounding errors of pi; 0 for others."""
    return 4 * np.finfo(float).eps * math.pi * density(family.reference(), y) if family.angular else np.zeros_like(y)


def column(values: Any) -> np.ndarray:
    """Numbers in front of (*BATCH, D)."""
    return np.asarray(values, dtype=np.float64).reshape(-1, *(1,) * (len(BATCH) + 1))


def log_density(reference: Any, y: np.ndarray) -> np.ndarray:
    return reference.logpmf(y) if hasattr(reference, "logpmf") else reference.logpdf(y)


def density(reference: Any, y: np.ndarray) -> np.ndarray:
    return np.exp(log_density(reference, y))


class Rule(NamedTuple):
    """Points and weights, (n, *BATCH, D), whose weighted sums are integrals over the support, or sums for counts."""

    points: np.ndarray
    weights: np.ndarray

    def integral(self, values: np.ndarray, upto: np.ndarray | None = None) -> np.ndarray:
        """Return the integral of values at the points; up to a level of ``KNOTS``, (..., *BATCH, D), where given."""
        terms = np.where(self.weights > 0, self.weights * values, 0.0)
        if upto is None:
            return terms.sum(0)
        return np.where(self.points <= upto[:, None], terms, 0.0).sum(1)


KNOTS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_TAIL = 10.0 ** np.arange(-40, -2, 0.25)


@functools.cache
def quadrature(family: Family) -> Rule:
    """Gauss and Legendre's rule between many quantiles of SciPy's, down to tails of 1e-40."""
    reference = family.reference()
    if family.discrete:
        return Rule(reference.grid, np.ones_like(reference.grid))
    middle = reference.ppf(column(KNOTS))
    if family.angular:
        around = np.broadcast_to(column(np.linspace(-math.pi, math.pi, 33)), (33, *BATCH, D))
        knots = np.sort(np.concatenate([middle, around]), 0)
    else:
        knots = np.concatenate([reference.ppf(column(_TAIL)), middle, reference.isf(column(_TAIL[::-1]))])
    knots = np.maximum.accumulate(knots, 0)[:, None]
    nodes, shares = (column(values) for values in np.polynomial.legendre.leggauss(16))
    half = (knots[1:] - knots[:-1]) / 2
    points = ((knots[1:] + knots[:-1]) / 2 + half * nodes).reshape(-1, *knots.shape[2:])
    weights = (half * shares).reshape(points.shape)
    inside = np.isfinite(density(reference, points))  # a point that is rounded to an end may lie on a pole
    return Rule(np.where(inside, points, reference.ppf(0.5)), np.where(inside, weights, 0.0))


# --- the families ---


class ScipyVonMises:
    """SciPy's von Mises on [-pi, pi], counted from -pi; its own cdf is good to 1e-8 only, so quadrature gives it."""

    def __init__(self, loc: np.ndarray, concentration: np.ndarray) -> None:
        self.loc = loc
        self._rv = stats.vonmises(concentration, loc)

    def logpdf(self, y: np.ndarray) -> np.ndarray:
        return self._rv.logpdf(y)

    def cdf(self, y: np.ndarray) -> np.ndarray:
        return self._mass(-math.pi, y)

    def sf(self, y: np.ndarray) -> np.ndarray:
        return self._mass(y, math.pi)

    def ppf(self, level: np.ndarray) -> np.ndarray:
        # What is above the median by its complement, which is exact.
        return np.where(level > 0.5, self._root(self.sf, 1 - level, -1), self._root(self.cdf, level, 1))

    def isf(self, level: np.ndarray) -> np.ndarray:
        return np.where(level > 0.5, self._root(self.cdf, 1 - level, 1), self._root(self.sf, level, -1))

    def entropy(self) -> np.ndarray:
        return self._rv.entropy()

    def _mass(self, low: Any, high: Any) -> np.ndarray:
        nodes, shares = np.polynomial.legendre.leggauss(48)
        half, middle = (np.asarray(high - low) / 2)[..., None], (np.asarray(high + low) / 2)[..., None]
        densities = np.moveaxis(density(self, np.moveaxis(middle + half * nodes, -1, 0)), 0, -1)
        return (half * shares * densities).sum(-1)

    def _root(self, tail: Callable[[np.ndarray], np.ndarray], level: np.ndarray, sign: int) -> np.ndarray:
        low, high = (np.full(np.broadcast_shapes(np.shape(level), self.loc.shape), end) for end in (-math.pi, math.pi))
        for _ in range(56):
            middle = (low + high) / 2
            short = sign * (tail(middle) - level) < 0
            low, high = np.where(short, middle, low), np.where(short, high, middle)
        return high


class ScipyCounts:
    """A discrete distribution of SciPy's; its own isf is NaN below 1e-16, so counting gives quantiles."""

    grid = column(range(2000))

    def __init__(self, rv: Any) -> None:
        for name in ("logpmf", "cdf", "sf", "stats", "support"):
            setattr(self, name, getattr(rv, name))
        self._tables = {"cdf": rv.cdf(self.grid), "sf": rv.sf(self.grid)}

    def ppf(self, level: np.ndarray) -> np.ndarray:
        # What is above the median by its complement, which is exact.
        level = np.asarray(level)
        short = np.where(level > 0.5, self._table(level, "sf") > 1 - level, self._table(level, "cdf") < level)
        return short.sum(0).astype(float)

    def isf(self, level: np.ndarray) -> np.ndarray:
        return (self._table(level, "sf") > level).sum(0).astype(float)

    def _table(self, level: np.ndarray, method: str) -> np.ndarray:
        """Return probabilities of every count, (counts, ..., *BATCH, D), to be compared with a level."""
        return np.expand_dims(self._tables[method], tuple(range(1, np.ndim(level) - len(BATCH))))


def lognormal(loc: np.ndarray, scale: np.ndarray) -> Any:
    return stats.lognorm(scale, scale=np.exp(loc))


def gamma(concentration: np.ndarray, scale: np.ndarray) -> Any:
    return stats.gamma(concentration, scale=scale)


class ScipyBeta:
    """SciPy's beta on [low, high], whose own tail next to ``high`` loses digits: here by the mirrored distribution."""

    def __init__(self, concentration1: np.ndarray, concentration0: np.ndarray, low: np.ndarray, high: np.ndarray):
        self._low, self._high = low, high
        self._mirrored = stats.beta(concentration0, concentration1)
        rv = stats.beta(concentration1, concentration0, low, high - low)
        for name in ("logpdf", "cdf", "ppf", "stats", "support", "entropy"):
            setattr(self, name, getattr(rv, name))

    def sf(self, y: np.ndarray) -> np.ndarray:
        return self._mirrored.cdf((self._high - y) / (self._high - self._low))

    def isf(self, level: np.ndarray) -> np.ndarray:
        return self._high - (self._high - self._low) * self._mirrored.ppf(level)


def poisson(rate: np.ndarray) -> Any:
    return ScipyCounts(stats.poisson(rate))


def negative_binomial(rate: np.ndarray, total_count: np.ndarray) -> Any:
    return ScipyCounts(stats.nbinom(total_count, total_count / (total_count + rate)))


LOC, SCALE, SHAPE = (-2.0, 2.0), (0.2, 1.2), (0.6, 5.0)
LOW, HIGH, FAR_ENDS = (-1.0, -0.9), (2.0, 2.1), {"low": (-1e9, 0.0), "high": (0.1, 1e9)}

FAMILIES = [
    Family(DiagonalNormal, {"loc": LOC, "scale": SCALE}, stats.norm),
    Family(SphericalNormal, {"loc": LOC, "scale": SCALE}, stats.norm),
    Family(StudentT, {"df": (1.5, 9.0), "loc": LOC, "scale": SCALE}, stats.t),
    Family(Laplace, {"loc": LOC, "scale": SCALE}, stats.laplace),
    Family(Logistic, {"loc": LOC, "scale": SCALE}, stats.logistic),
    Family(VonMises, {"loc": LOC, "concentration": (0.2, 9.0)}, ScipyVonMises),
    Family(LogNormal, {"loc": LOC, "scale": SCALE}, lognormal, {"loc": (-60.0, 60.0)}),
    Family(Gamma, {"concentration": SHAPE, "scale": SCALE}, gamma),
    Family(Beta, {"concentration1": SHAPE, "concentration0": SHAPE, "low": LOW, "high": HIGH}, ScipyBeta, FAR_ENDS),
    Family(Poisson, {"rate": (0.3, 30.0)}, poisson),
    Family(NegativeBinomial, {"rate": (0.3, 20.0), "total_count": (0.5, 9.0)}, negative_binomial),
]

# Where nothing may become NaN: ranges of the logarithm for what is positive, of the number itself otherwise.
EXTREMES = {
    constraints.real: (-1e30, 1e30),
    constraints.scale: (-60.0, 60.0),
    constraints.rate: (-60.0, 60.0),
    constraints.concentration: (-60.0, 60.0),
    constraints.degrees_of_freedom: (-30.0, 60.0),  # of the logarithm of what is above 1
}


def extreme(family: Family, name: str, at: float) -> float:
    """Return the legal value of a parameter that lies at a place in [0, 1] of its extreme range."""
    constraint = family.cls.parameters[name].constraint
    low, high = family.extremes.get(name, EXTREMES[constraint])
    value = low + at * (high - low)
    if constraint is constraints.real:
        return value
    return math.exp(value) + (constraint is constraints.degrees_of_freedom)


# --- which tests run over which families ---


def over(*chosen: Family) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("family", chosen, ids=[family.name for family in chosen])


def over_parameters(choice: Callable[[Family, str], bool]) -> pytest.MarkDecorator:
    pairs = [(family, name) for family in FAMILIES for name in family.cls.parameters if choice(family, name)]
    return pytest.mark.parametrize(("family", "name"), pairs, ids=[f"{family.name}-{name}" for family, name in pairs])


every_family = over(*FAMILIES)
continuous = over(*(family for family in FAMILIES if not family.discrete))
angles = over(*(family for family in FAMILIES if family.angular))
counts = over(*(family for family in FAMILIES if family.discrete))
linear = over(*(family for family in FAMILIES if not family.angular))
bounded = over(*(family for family in FAMILIES if not family.cls.everywhere))
scalable = over(*(family for family in FAMILIES if family.cls.scaling is not Scaling.NONE))
shiftable = over(*(family for family in FAMILIES if family.cls.scaling is Scaling.AFFINE))
not_shiftable = over(*(f for f in FAMILIES if f.cls.scaling is not Scaling.AFFINE and not f.angular))
not_scalable = over(*(family for family in FAMILIES if family.cls.scaling is Scaling.NONE))
widening = over(*(family for family in FAMILIES if family.cls.widened is not Component.widened))
not_widening = over(*(family for family in FAMILIES if family.cls.widened is Component.widened))
with_entropy = over(*(family for family in FAMILIES if family.cls.entropy is not Component.entropy))
without_entropy = over(*(family for family in FAMILIES if family.cls.entropy is Component.entropy))
