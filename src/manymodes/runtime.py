r"""Predictions of an exported model with NumPy, and onnxruntime for its network: one file that needs nothing else.

``manymodes export`` puts this very file beside the model that it writes, and it is ``manymodes.runtime``, too::

    import runtime

    model = runtime.load(".")
    density = model.predict_distribution({"size": [90.0], "town": ["A"]})
    density.icdf(0.9), density.modes(), density.highest_density_region(0.9), density.sample(100)

Names and meanings are those of ``manymodes.distributions``; answers are NumPy arrays, or lists of named tuples where
rows differ in length. N is the number of rows, K of components, D of target dimensions.

The file reads from top to bottom: special functions, families of components, mixtures on the line with their searches,
the density of several rows, tables, and the model. Searches differ from those of ``manymodes``: maxima are looked for
on a grid that is dense where components bend, not certified; all roots are found by one bracketed method.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

MODEL_FILE, NETWORK_FILE = "model.json", "parameters.onnx"
FORMAT, VERSION = "manymodes export", 1

_LARGEST = 1e150  # of the values of a table: squares of larger ones overflow
_TINY, _SMALL, _LARGE = float(np.finfo(np.float64).tiny), 1e-290, 1e300
_ROOT_2PI, _HALF_LOG_2PI = math.sqrt(2 * math.pi), 0.5 * math.log(2 * math.pi)


# --- special functions ---


def _each(function: Callable[[float], float]) -> Callable[[Any], Floats]:
    ufunc = np.frompyfunc(function, 1, 1)
    return lambda x: np.asarray(ufunc(np.asarray(x, np.float64)), np.float64)


_erfc, _lgamma = _each(math.erfc), _each(math.lgamma)
_NODES, _SHARES = np.polynomial.legendre.leggauss(64)
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188)  # Abramowitz and Stegun (1964), 6.1.41
_MAX_TERMS, _NORMAL_FROM = 20_000, 1e7
_NEAR_ONE, _LOOK_EVERY = 3e-15, 8  # of factors of continued fractions, and steps between looks at them


def _logsumexp(values: Floats, axis: int = -1) -> Floats:
    top = np.max(values, axis=axis, keepdims=True, initial=-np.inf)
    safe = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        total: Floats = np.log(np.exp(values - safe).sum(axis)) + np.squeeze(safe, axis)
    return total


def _normal_cdf(z: Any) -> Floats:
    return 0.5 * _erfc(-np.asarray(z) / math.sqrt(2))


def _log_poisson(y: Any, rate: Any) -> Floats:
    """Return y log(rate) - rate - log Gamma(y + 1) for y > 0, accurate where both are large (Loader 2000)."""
    y = np.asarray(y, np.float64)
    own = _stirling(y) + 0.5 * np.log(2 * math.pi * np.maximum(y, _TINY))
    y, rate = np.broadcast_arrays(y, np.asarray(rate, np.float64))
    return -own - _deviance(y, rate)


def _stirling(y: Floats) -> Floats:
    """Return log Gamma(y + 1) - (y + 1/2) log y + y - log(2 pi) / 2."""
    large = np.maximum(y, 16.0)
    found = np.array(sum(term * large ** -(2.0 * i + 1) for i, term in enumerate(_STIRLING)))
    few = y <= 16
    if few.any():
        small = np.maximum(y[few], _TINY)
        found[few] = _lgamma(small + 1) - (small + 0.5) * np.log(small) + small - _HALF_LOG_2PI
    return found


def _deviance(y: Floats, rate: Floats) -> Floats:
    """Return y log(y / rate) + rate - y without a difference where both are close."""
    gap, total = y - rate, y + rate
    ratio = gap / np.maximum(total, _TINY)
    near = np.abs(ratio) < 0.1
    v = np.where(near, ratio, 0.0)
    square, term, tail = v * v, 2 * y * v, np.zeros_like(v)
    for j in range(1, 9):  # of terms below 0.01^j
        term = term * square
        tail = tail + term / (2 * j + 1)
    far = y * (np.log(np.maximum(y, _TINY)) - np.log(np.maximum(rate, _TINY))) - gap
    return np.where(near, gap * v + tail, far)


def _gamma_tails(shape: Any, x: Any) -> tuple[Floats, Floats]:
    """Return P(X <= x) and P(X > x) of a standard gamma variable (Press et al., Numerical Recipes, section 6.2)."""
    a, y = (np.array(v, np.float64) for v in np.broadcast_arrays(shape, x))
    below, above = np.where(y > 0, 1.0, 0.0), np.where(y > 0, 0.0, 1.0)
    inside = (y > 0) & (y < np.inf)
    huge = inside & (a > _NORMAL_FROM)
    if huge.any():  # Wilson and Hilferty (1931)
        z = 3 * np.sqrt(a[huge]) * (np.cbrt(y[huge] / a[huge]) - 1 + 1 / (9 * a[huge]))
        below[huge], above[huge] = _normal_cdf(z), _normal_cdf(-z)
    for which, tail, rest, walk in (
        (inside & ~huge & (y < a + 1), below, above, _gamma_series),
        (inside & ~huge & (y >= a + 1), above, below, _gamma_fraction),
    ):
        if which.any():
            tail[which] = np.minimum(np.exp(_log_poisson(a[which], y[which])) * walk(a[which], y[which]), 1.0)
            rest[which] = 1 - tail[which]
    return below, above


def _gamma_series(a: Floats, x: Floats) -> Floats:
    """Return the sum of x^n / ((a + 1) ... (a + n)), (n,)."""

    def step(n: int, a: Floats, x: Floats, term: Floats, total: Floats) -> list[Floats]:
        term = term * (x / (a + n))
        return [a, x, term, total + term]

    return _walked(step, [a, x, np.ones_like(a), np.ones_like(a)], lambda a, x, term, total: term < 1e-17 * total)


def _gamma_fraction(a: Floats, x: Floats) -> Floats:
    """Return a Gamma(a, x) e^x x^-a, (n,), by Lentz's continued fraction."""

    def step(n: int, a: Floats, b: Floats, c: Floats, d: Floats, h: Floats) -> list[Floats]:
        an, b = -n * (n - a), b + 2
        d, c = 1 / _nonzero(an * d + b), _nonzero(b + an / c)
        return [a, b, c, d, h * (c * d)]

    b = x + 1 - a
    state = [a, b, np.full_like(b, _LARGE), 1 / b, 1 / b]
    return a * _walked(step, state, lambda a, b, c, d, h: np.abs(c * d - 1) < _NEAR_ONE)


def _walked(
    step: Callable[..., list[Floats]], state: list[Floats], is_done: Callable[..., NDArray[np.bool_]]
) -> Floats:
    """Return the last array of a state, (n,) each, after steps that go on for every entry until it is done."""
    found, left = np.empty_like(state[0]), np.arange(len(state[0]))
    for n in range(1, _MAX_TERMS):
        state = step(n, *state)
        if n % _LOOK_EVERY:
            continue
        done = is_done(*state)
        found[left[done]] = state[-1][done]
        if done.all():
            return found
        left, state = left[~done], [part[~done] for part in state]
    found[left] = state[-1]
    return found


def _beta_tails(u: Any, v: Any, first: Any, second: Any) -> tuple[Floats, Floats]:
    """Return P(U <= u) and P(U > u) of a beta variable, u + v = 1 (Press et al., section 6.4)."""
    u, v, a, b = (np.array(x, np.float64) for x in np.broadcast_arrays(u, v, first, second))
    swap = u > (a + 1) / (a + b + 2)
    x, y = np.where(swap, v, u), np.where(swap, u, v)
    p, q = np.where(swap, b, a), np.where(swap, a, b)
    inside = (x > 0) & (y > 0)
    x, y = np.where(inside, x, 0.5), np.where(inside, y, 0.5)
    front = np.exp(_log_beta_density(x, y, p, q) + np.log(x) + np.log(y)) / p
    fraction = _beta_fraction(x.ravel(), p.ravel(), q.ravel()).reshape(x.shape)
    tail = np.where(inside, np.minimum(front * fraction, 1.0), 0.0)
    return np.where(swap, 1 - tail, tail), np.where(swap, tail, 1 - tail)


def _beta_fraction(x: Floats, a: Floats, b: Floats) -> Floats:
    """Return the continued fraction of the incomplete beta function, (n,)."""

    def step(m: int, x: Floats, a: Floats, b: Floats, c: Floats, d: Floats, h: Floats) -> list[Floats]:
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for part in (even, odd):
            d, c = 1 / _nonzero(1 + part * d), _nonzero(1 + part / c)
            h = h * (c * d)
        return [x, a, b, c, d, h]

    first = 1 / _nonzero(1 - (a + b) * x / (a + 1))
    state = [x, a, b, np.ones_like(x), first, first]
    return _walked(step, state, lambda x, a, b, c, d, h: np.abs(c * d - 1) < _NEAR_ONE)


def _log_beta_density(u: Any, v: Any, a: Any, b: Any) -> Floats:
    total = a + b
    choose = _log_poisson(a, total * u) + _log_poisson(b, total * v) - _log_poisson(total, total)
    log: Floats = choose + np.log(a) + np.log(b) - np.log(total) - np.log(u) - np.log(v)
    return log


def _nonzero(x: Floats) -> Floats:
    return np.where(np.abs(x) < _TINY, _TINY, x)


def _root(f: Callable[[Floats], Floats], a: Floats, b: Floats) -> Floats:
    """Return where f changes its sign, elementwise; the ends of each bracket have different signs.

    References:
        Chandrupatla (1997), A new hybrid quadratic/bisection algorithm, Advances in Engineering Software 28.
    """
    a, b = (np.array(x, np.float64) for x in np.broadcast_arrays(a, b))
    fa, fb = f(a), f(b)
    t = np.full_like(a, 0.5)
    for _ in range(200):
        x = a + t * (b - a)
        fx = f(x)
        same = np.sign(fx) == np.sign(fa)
        c, fc = np.where(same, a, b), np.where(same, fa, fb)
        b, fb = np.where(same, b, a), np.where(same, fb, fa)
        a, fa = x, fx
        best, height = np.where(np.abs(fa) < np.abs(fb), a, b), np.minimum(np.abs(fa), np.abs(fb))
        with np.errstate(all="ignore"):
            limit = (2 * np.finfo(float).eps * np.abs(best) + 1e-305) / np.abs(b - a)
            if ((limit > 0.5) | (height == 0) | (a == b)).all():
                break
            xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
            quadratic = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
            trusted = (phi**2 < xi) & ((1 - phi) ** 2 < 1 - xi) & np.isfinite(quadratic)
        limit = np.clip(np.nan_to_num(limit, nan=0.5), 0.0, 0.5)
        t = np.clip(np.where(trusted, quadratic, 0.5), limit, 1 - limit)
    return best


# --- families: one target dimension, parameters (..., K) that broadcast against values ---

_OFFSETS = np.array([0, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4, 5.5, 8])
_STEPS = np.concatenate([-_OFFSETS[:0:-1], _OFFSETS])  # places in widths that searches look at
_BEYOND = np.array([12.0, 18, 27, 40, 60, 90, 140, 220, 400])  # widths, where tails are heavy
_TO_THE_END = 10.0 ** -np.array([1, 2, 3, 5, 8, 13, 20, 40, 80, 160, 290])  # shares of the way, beside an end


class _Family(ABC):
    """Components of one family in one target dimension. Abstract."""

    kind = "real"
    low: Any = -np.inf  # ends of the support
    high: Any = np.inf

    def __init__(self, **parameters: Floats) -> None:
        self.parameters = parameters
        self.__dict__.update(parameters)

    def map(self, change: Callable[[Floats], Floats]) -> Any:
        """Return the family with every parameter changed."""
        return type(self)(**{name: change(value) for name, value in self.parameters.items()})

    def rescaled(self, shift: float, scale: float) -> Any:
        """Return the family in the user's units, where targets in the network's are (y - shift) / scale."""
        return self

    @property
    @abstractmethod
    def mean(self) -> Floats:
        """Means, (..., K); of angles mean directions."""

    @property
    @abstractmethod
    def variance(self) -> Floats:
        """Variances, (..., K); of angles circular ones."""

    @abstractmethod
    def log_prob(self, y: Floats) -> Floats:
        """Return log-densities, or log-probabilities of counts and atoms."""

    def score(self, y: Floats) -> Floats:
        """Return the derivative of ``log_prob``; nobody asks it of counts and atoms."""
        raise NotImplementedError

    @abstractmethod
    def tails(self, y: Floats) -> tuple[Floats, Floats]:
        """Return P(Y <= y) and P(Y > y)."""

    @abstractmethod
    def sample(self, generator: np.random.Generator) -> Floats:
        """Return one draw of every component."""

    @abstractmethod
    def places(self) -> Floats:
        """Return places where the density bends, (..., K, B)."""


class _LocationScale(_Family):
    loc: Floats
    scale: Floats

    @property
    def mean(self) -> Floats:
        return self.loc

    def rescaled(self, shift: float, scale: float) -> Any:
        return type(self)(**self.parameters | {"loc": shift + scale * self.loc, "scale": scale * self.scale})

    def places(self) -> Floats:
        return self.loc[..., None] + self.scale[..., None] * _STEPS

    def z(self, y: Floats) -> Floats:
        return np.clip((y - self.loc) / self.scale, -1e150, 1e150)


class _Normal(_LocationScale):
    @property
    def variance(self) -> Floats:
        return self.scale**2

    def log_prob(self, y: Floats) -> Floats:
        return -0.5 * self.z(y) ** 2 - np.log(self.scale) - _HALF_LOG_2PI

    def score(self, y: Floats) -> Floats:
        return -self.z(y) / self.scale

    def tails(self, y: Floats) -> tuple[Floats, Floats]:
        return _normal_cdf(self.z(y)), _normal_cdf(-self.z(y))

    def sample(self, generator: np.random.Generator) -> Floats:
        return generator.normal(self.loc, self.scale)


class _StudentT(_LocationScale):
    df: Floats

    @property
    def variance(self) -> Floats:
        finite = self.df > 2
        return np.where(finite, self.scale**2 * self.df / np.where(finite, self.df - 2, 1.0), np.inf)

    def log_prob(self, y: Floats) -> Floats:
        peak = _lgamma(0.5 * self.df + 0.5) - _lgamma(0.5 * self.df) - 0.5 * np.log(math.pi * self.df)
        return peak - np.log(self.scale) - 0.5 * (self.df + 1) * np.log1p(self.z(y) ** 2 / self.df)

    def score(self, y: Floats) -> Floats:
        z = self.z(y)
        return -(self.df + 1) * z / (self.df + z * z) / self.scale

    def tails(self, y: Floats) -> tuple[Floats, Floats]:
        z = self.z(y)
        total = self.df + z * z
        outer = 0.5 * _beta_tails(self.df / total, z * z / total, 0.5 * self.df, 0.5)[0]
        return np.where(z < 0, outer, 1 - outer), np.where(z < 0, 1 - outer, outer)

    def sample(self, generator: np.random.Generator) -> Floats:
        return self.loc + self.scale * generator.standard_t(self.df)


class _Laplace(_LocationScale):
    @property
    def variance(self) -> Floats:
        return 2 * self.scale**2

    def places(self) -> Floats:
        near = np.concatenate([-_TO_THE_END, _STEPS, _TO_THE_END])  # beside the kink a minimum may be close
        return self.loc[..., None] + self.scale[..., None] * near

    def log_prob(self, y: Floats) -> Floats:
        return -np.abs(self.z(y)) - np.log(2 * self.scale)

    def score(self, y: Floats) -> Floats:
        return -np.sign(self.z(y)) / self.scale

    def tails(self, y: Floats) -> tuple[Floats, Floats]:
        z = self.z(y)
        half = 0.5 * np.exp(-np.abs(z))
        return np.where(z < 0, half, 1 - half), np.where(z < 0, 1 - half, half)

    def sample(self, generator: np.random.Generator) -> Floats:
        return generator.laplace(self.loc, self.scale)


class _Logistic(_LocationScale):
    @property
    def variance(self) -> Floats:
        return (math.pi * self.scale) ** 2 / 3

    def log_prob(self, y: Floats) -> Floats:
        z = np.abs(self.z(y))
        return -z - 2 * np.log1p(np.exp(-z)) - np.log(self.scale)

    def score(self, y: Floats) -> Floats:
        return -np.tanh(0.5 * self.z(y)) / self.scale

    def tails(self, y: Floats) -> tuple[Floats, Floats]:
        z = self.z(y)
        small = np.exp(-np.abs(z))
        less, more = small / (1 + small), 1 / (1 + small)
        return np.where(z < 0, less, more), np.where(z < 0, more, less)

    def sample(self, generator: np.random.Generator) -> Floats:
        return generator.logistic(self.loc, self.scale)


class _LogNormal(_Family):
    low = 0.0
    loc: Floats
    scale: Floats

    @property
    def mean(self) -> Floats:
        return np.exp(self.loc + 0.5 * self.scale**2)

    @property
    def variance(self) -> Floats:
        return np.expm1(self.scale**2) * np.exp(2 * self.loc + self.scale**2)

    def rescaled(self, shift: float, scale: float) -> Any:
        return _LogNormal(loc=self.loc + math.log(scale), scale=self.scale)

    def places(self) -> Floats:
        mode = self.loc - self.scale**2
        return np.exp(np.stack([self.loc, mode], -1)[..., None] + self.scale[..., None, None] * _STEPS).reshape(
            *self.loc.shape, -1
        )

    def z(self, y: Floats) -> Floats:
        return (np.log(np.maximum(y, _TINY)) - self.loc) / self.scale

    def log_prob(self, y: Floats) -> Floats:
        density = -0.5 * self.z(y) ** 2 - np.log(self.scale) - np.log(np.maximum(y, _TINY)) - _HALF_LOG_2PI
        return np.where(y > 0, density, -np.inf)

    def score(self, y: Floats) -> Floats:
        return np.where(y > 0, -(1 + self.z(y) / self.scale) / np.maximum(y, _SMALL), 0.0)

    def tails(self, y: Floats) -> tuple[Floats, Floats]:
        z = np.where(y > 0, self.z(y), -np.inf)
        return _normal_cdf(z), _normal_cdf(-z)

    def sample(self, generator: np.random.Generator) -> Floats:
        return generator.lognormal(self.loc, self.scale)


class _Gamma(_Family):
    low = 0.0
    concentration: Floats
    scale: Floats

    @property
    def mean(self) -> Floats:
        return self.concentration * self.scale

    @property
    def variance(self) -> Floats:
        return self.concentration * self.scale**2

    def rescaled(self, shift: float, scale: float) -> Any:
        return _Gamma(concentration=self.concentration, scale=scale * self.scale)

    def places(self) -> Floats:
        a = self.concentration[..., None]
        cube = np.maximum(1 - 1 / (9 * a) + _STEPS / (3 * np.sqrt(a)), 0.0) ** 3  # Wilson and Hilferty (1931)
        units = np.concatenate([a * cube, np.maximum(a - 1, 0.0), a * _TO_THE_END], -1)
        return self.scale[..., None] * units

    def log_prob(self, y: Floats) -> Floats:
        x = np.maximum(y / self.scale, _TINY)
        density = _log_poisson(self.concentration, x) + np.log(self.concentration) - np.log(x) - np.log(self.scale)
        return np.where(y > 0, density, -np.inf)

    def score(self, y: Floats) -> Floats:
        return np.where(y > 0, (self.concentration - 1) / np.maximum(y, _SMALL) - 1 / self.scale, 0.0)

    def tails(self, y: Floats) -> tuple[Floats, Floats]:
        return _gamma_tails(self.concentration, np.maximum(y, 0.0) / self.scale)

    def sample(self, generator: np.random.Generator) -> Floats:
        return generator.gamma(self.concentration, self.scale)


class _Beta(_Family):
    concentration1: Floats
    concentration0: Floats
    low: Any
    high: Any

    @property
    def mean(self) -> Floats:
        return self.low + (self.high - self.low) * self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def variance(self) -> Floats:
        a, b = self.concentration1, self.concentration0
        return (self.high - self.low) ** 2 * a * b / ((a + b) ** 2 * (a + b + 1))

    def places(self) -> Floats:
        a, b = self.concentration1[..., None], self.concentration0[..., None]
        spread = np.sqrt(1 / a + 1 / b)  # of the logit, about
        logit = np.clip(np.log(a) - np.log(b) + spread * _STEPS, -700.0, 700.0)
        with np.errstate(all="ignore"):
            mode = np.where((a > 1) & (b > 1), (a - 1) / np.maximum(a + b - 2, _TINY), 0.5)
        near = np.broadcast_to(_TO_THE_END, (*self.concentration1.shape, len(_TO_THE_END)))
        units = np.concatenate([1 / (1 + np.exp(-logit)), mode, near, 1 - near], -1)
        low, high = np.asarray(self.low)[..., None], np.asarray(self.high)[..., None]
        return low + (high - low) * units

    def units(self, y: Floats) -> tuple[Any, Floats, Floats]:
        width = self.high - self.low
        inside = (y > self.low) & (y < self.high)
        u, v = (np.where(inside, part / width, 0.5) for part in (y - self.low, self.high - y))
        return inside, np.maximum(u, _TINY), np.maximum(v, _TINY)

    def log_prob(self, y: Floats) -> Floats:
        inside, u, v = self.units(y)
        density = _log_beta_density(u, v, self.concentration1, self.concentration0) - np.log(self.high - self.low)
        return np.where(inside, density, -np.inf)

    def score(self, y: Floats) -> Floats:
        inside, u, v = self.units(y)
        u, v = np.maximum(u, _SMALL), np.maximum(v, _SMALL)
        slope = ((self.concentration1 - 1) / u - (self.concentration0 - 1) / v) / (self.high - self.low)
        return np.where(inside, slope, 0.0)

    def tails(self, y: Floats) -> tuple[Floats, Floats]:
        inside, u, v = self.units(y)
        below, above = _beta_tails(u, v, self.concentration1, self.concentration0)
        return np.where(inside, below, y >= self.high), np.where(inside, above, y < self.high)

    def sample(self, generator: np.random.Generator) -> Floats:
        return self.low + (self.high - self.low) * generator.beta(self.concentration1, self.concentration0)


class _VonMises(_Family):
    kind = "angle"
    low, high = -math.pi, math.pi
    loc: Floats
    concentration: Floats

    @property
    def mean(self) -> Floats:
        return _wrapped(self.loc)

    @property
    def resultant(self) -> Floats:
        """Mean of the cosine around ``loc``."""
        return self._integral(np.cos) / self._integral(np.ones_like)

    @property
    def variance(self) -> Floats:
        return 1 - self.resultant  # circular

    def _integral(self, of: Callable[[Floats], Floats]) -> Floats:
        """Return the integral of a function times exp(kappa (cos t - 1)) from 0 to pi."""
        kappa = self.concentration[..., None]
        reach = 2 * np.arcsin(np.sqrt(np.minimum(20 / kappa, 1.0)))
        t = 0.5 * reach * (1 + _NODES)
        return 0.5 * reach[..., 0] * (_SHARES * of(t) * np.exp(-2 * kappa * np.sin(0.5 * t) ** 2)).sum(-1)

    def places(self) -> Floats:
        return _wrapped(self.loc[..., None] + np.clip(_STEPS / np.sqrt(self.concentration)[..., None], -3.1, 3.1))

    def log_prob(self, y: Floats) -> Floats:
        return -2 * self.concentration * np.sin(0.5 * (y - self.loc)) ** 2 - np.log(2 * self._integral(np.ones_like))

    def score(self, y: Floats) -> Floats:
        return -self.concentration * np.sin(y - self.loc)

    def tails(self, y: Floats) -> tuple[Floats, Floats]:
        y = np.clip(y, -math.pi, math.pi)
        loc = _wrapped(self.loc)
        below = self._from_antimode(y - loc) - self._from_antimode(-math.pi - loc)
        above = self._from_antimode(math.pi - loc) - self._from_antimode(y - loc)
        return np.clip(below, 0.0, 1.0), np.clip(above, 0.0, 1.0)

    def _from_antimode(self, t: Floats) -> Floats:
        """Return the probability from -pi to t seen from the mode; t may be up to two turns away."""
        turns = np.floor((t + math.pi) / (2 * math.pi))
        t = t - 2 * math.pi * turns
        kappa = np.broadcast_to(self.concentration, t.shape)[..., None]
        reach = 2 * np.arcsin(np.sqrt(np.minimum(20 / kappa, 1.0)))[..., 0]
        # From the nearer of the far end and the mode, so that small tails keep their digits.
        edge = np.minimum(np.abs(t), reach)
        start = np.minimum(edge + np.sqrt(80.0 / kappa[..., 0]), reach)
        nodes = edge[..., None] + 0.5 * (start - edge)[..., None] * (1 + _NODES)
        density = np.exp(-2 * kappa * np.sin(0.5 * nodes) ** 2)
        tail = 0.5 * (start - edge) * (_SHARES * density).sum(-1) / (2 * self._integral(np.ones_like))
        return turns + np.where(t < 0, tail, 1 - tail)

    def sample(self, generator: np.random.Generator) -> Floats:
        return _wrapped(generator.vonmises(_wrapped(self.loc), self.concentration))


def _wrapped(angle: Any) -> Floats:
    turned: Floats = angle - 2 * math.pi * np.floor((angle + math.pi) / (2 * math.pi))
    return turned


class _Counts(_Family):
    kind = "count"
    low = 0.0
    rate: Floats

    @abstractmethod
    def log_mass(self, y: Floats) -> Floats:
        """Return log-probabilities of whole numbers >= 0."""

    @property
    def mean(self) -> Floats:
        return self.rate

    def places(self) -> Floats:
        return np.maximum(np.floor(self.rate[..., None] + np.sqrt(self.variance)[..., None] * _STEPS), 0.0)

    def log_prob(self, y: Floats) -> Floats:
        legal = (y >= 0) & (y == np.floor(y))
        return np.where(legal, self.log_mass(np.where(legal, y, 0.0)), -np.inf)


class _Poisson(_Counts):
    @property
    def variance(self) -> Floats:
        return self.rate

    def log_mass(self, y: Floats) -> Floats:
        return np.where(y > 0, _log_poisson(np.maximum(y, 1.0), self.rate), -self.rate)

    def tails(self, y: Floats) -> tuple[Floats, Floats]:
        above, below = _gamma_tails(np.maximum(np.floor(y) + 1, 1.0), self.rate)
        return np.where(y < 0, 0.0, below), np.where(y < 0, 1.0, above)

    def sample(self, generator: np.random.Generator) -> Floats:
        return generator.poisson(self.rate).astype(np.float64)


class _NegativeBinomial(_Counts):
    total_count: Floats

    @property
    def variance(self) -> Floats:
        return self.rate * (1 + self.rate / self.total_count)

    def log_mass(self, y: Floats) -> Floats:
        size = self.total_count
        stop, again = size / (size + self.rate), self.rate / (size + self.rate)
        total = y + size
        own = np.where(y > 0, _log_poisson(np.maximum(y, 1.0), total * again), -total * again)
        choose = _log_poisson(size, total * stop) + own - _log_poisson(total, total)
        return choose + np.log(size) - np.log(total)

    def tails(self, y: Floats) -> tuple[Floats, Floats]:
        size = self.total_count
        stop, again = size / (size + self.rate), self.rate / (size + self.rate)
        below, above = _beta_tails(stop, again, np.minimum(size, 1e9), np.maximum(np.floor(y) + 1, 1.0))
        poisson = _Poisson(rate=np.broadcast_to(self.rate, size.shape)).tails(y)
        below, above = np.where(size > 1e9, poisson[0], below), np.where(size > 1e9, poisson[1], above)
        return np.where(y < 0, 0.0, below), np.where(y < 0, 1.0, above)

    def sample(self, generator: np.random.Generator) -> Floats:
        rate = generator.standard_gamma(self.total_count) * (self.rate / self.total_count)
        return generator.poisson(rate).astype(np.float64)


class _PointMass(_Family):
    kind = "atom"
    value: Floats

    @property
    def mean(self) -> Floats:
        return self.value

    @property
    def variance(self) -> Floats:
        return np.zeros_like(self.value)

    def places(self) -> Floats:
        return self.value[..., None]

    def log_prob(self, y: Floats) -> Floats:
        return np.where(y == self.value, 0.0, -np.inf)

    def tails(self, y: Floats) -> tuple[Floats, Floats]:
        below = np.where(y >= self.value, 1.0, 0.0)
        return below, 1 - below

    def sample(self, generator: np.random.Generator) -> Floats:
        return self.value


class _Logit(_Family):
    """A family on the line, seen through a logistic map onto (low, high)."""

    def __init__(self, base: _Family, low: Any, high: Any) -> None:
        super().__init__()
        self.base = base
        self.low, self.high = low, high

    def map(self, change: Callable[[Floats], Floats]) -> Any:
        return _Logit(self.base.map(change), change(self.low), change(self.high))

    def forward(self, z: Floats) -> Floats:
        y: Floats = self.low + (self.high - self.low) / (1 + np.exp(-np.clip(z, -700.0, 700.0)))
        return y

    def inverse(self, y: Floats) -> tuple[Any, Floats]:
        inside, width = (y > self.low) & (y < self.high), self.high - self.low
        u, v = (np.maximum(np.where(inside, part / width, 0.5), _TINY) for part in (y - self.low, self.high - y))
        return inside, np.log(u) - np.log(v)  # from both ends: next to the upper one, 1 - u would be 0

    def log_slope(self, z: Floats) -> Floats:
        """Return log dy/dz."""
        slope: Floats = np.log(self.high - self.low) - np.abs(z) - 2 * np.log1p(np.exp(-np.abs(z)))
        return slope

    @property
    def mean(self) -> Floats:
        return self._moments()[0]

    @property
    def variance(self) -> Floats:
        return self._moments()[1]

    def _moments(self) -> tuple[Floats, Floats]:
        """Return mean and variance, by quadrature between places of the base."""
        far = _BEYOND * self.base.parameters["scale"][..., None]
        centre = self.base.parameters["loc"][..., None]
        z = np.sort(np.concatenate([self.base.places(), centre - far, centre + far], -1), axis=-1)
        z = np.concatenate([z[..., :1] - 60, z, z[..., -1:] + 60], -1)
        half, centre = 0.5 * np.diff(z)[..., None], 0.5 * (z[..., 1:] + z[..., :-1])[..., None]
        nodes, shares = np.polynomial.legendre.leggauss(12)
        at = centre + half * nodes  # (..., K, cells, 12)
        wide = self.map(lambda value: np.asarray(value)[..., None, None])
        mass = half * shares * np.exp(wide.base.log_prob(at))
        y = wide.forward(at)
        mean = (mass * y).sum((-2, -1)) / mass.sum((-2, -1))
        gap = y - mean[..., None, None]
        return mean, (mass * gap * gap).sum((-2, -1)) / mass.sum((-2, -1))

    def places(self) -> Floats:
        wide = self.map(lambda value: np.asarray(value)[..., None])
        near = np.broadcast_to(_TO_THE_END, (*self.base.mean.shape, len(_TO_THE_END)))
        ends = [wide.low + (wide.high - wide.low) * share for share in (near, 1 - near)]
        return np.concatenate([wide.forward(self.base.places()), *ends], -1)

    def log_prob(self, y: Floats) -> Floats:
        inside, z = self.inverse(y)
        return np.where(inside, self.base.log_prob(z) - self.log_slope(z), -np.inf)

    def score(self, y: Floats) -> Floats:
        inside, z = self.inverse(y)
        with np.errstate(over="ignore"):
            slope = (self.base.score(z) + np.tanh(0.5 * z)) * np.exp(-self.log_slope(z))
        return np.where(inside, np.clip(slope, -_LARGE, _LARGE), 0.0)

    def tails(self, y: Floats) -> tuple[Floats, Floats]:
        inside, z = self.inverse(y)
        below, above = self.base.tails(z)
        return np.where(inside, below, y >= self.high), np.where(inside, above, y < self.high)

    def sample(self, generator: np.random.Generator) -> Floats:
        return self.forward(self.base.sample(generator))


_FAMILIES: Mapping[str, type[_Family]] = {
    "DiagonalNormal": _Normal,
    "SphericalNormal": _Normal,
    "StudentT": _StudentT,
    "Laplace": _Laplace,
    "Logistic": _Logistic,
    "LogNormal": _LogNormal,
    "Gamma": _Gamma,
    "Beta": _Beta,
    "VonMises": _VonMises,
    "Poisson": _Poisson,
    "NegativeBinomial": _NegativeBinomial,
    "PointMass": _PointMass,
}


# --- mixtures on the line ---


class Mode(NamedTuple):
    """A mode: ``kind`` is "mode" or "atom"; ``mass`` is the probability of its basin, or of the atom."""

    kind: str
    location: float
    log_density: float
    mass: float


class Interval(NamedTuple):
    """A piece of a region: ``kind`` is "interval" or "atom", where both ends are the same."""

    kind: str
    low: float
    high: float
    mass: float


class _Line:
    """Mixtures in one target dimension: for each family log-weights and parameters, (..., K) both."""

    def __init__(self, parts: Sequence[tuple[Floats, _Family]]) -> None:
        self.parts = list(parts)
        self.atoms = [(w, family) for w, family in self.parts if family.kind == "atom"]
        self.spread = [(w, family) for w, family in self.parts if family.kind != "atom"]
        self.kind = self.spread[0][1].kind if self.spread else "atom"

    def row(self, n: int) -> _Line:
        """Return the mixture of one row."""
        return _Line([(w[n], family.map(lambda value: np.asarray(value)[n])) for w, family in self.parts])

    # --- of many rows at once: values (S..., N) ---

    def log_prob(self, y: Floats, *, atoms: bool = True) -> Floats:
        at = y[..., None]
        terms = [w + family.log_prob(at) for w, family in self.spread]
        if not atoms or not self.atoms:
            return _logsumexp(np.concatenate(terms, -1)) if terms else np.full(y.shape, -np.inf)
        pointed = [w + family.log_prob(at) for w, family in self.atoms]
        on_atom: NDArray[np.bool_] = np.any(np.concatenate(pointed, -1) > -np.inf, axis=-1)
        if self.kind != "count":  # a density counts for nothing beside a probability
            terms = [np.where(on_atom[..., None], -np.inf, term) for term in terms]
        return _logsumexp(np.concatenate([*terms, *pointed], -1))

    def tails(self, y: Floats) -> tuple[Floats, Floats]:
        at = y[..., None]
        pairs = [(np.exp(w), family.tails(at)) for w, family in self.parts]
        below = sum((w * low).sum(-1) for w, (low, _) in pairs)
        above = sum((w * high).sum(-1) for w, (_, high) in pairs)
        return np.asarray(below), np.asarray(above)

    def moments(self) -> tuple[Floats, Floats]:
        """Return means and variances, (N,); of angles the mean direction and the circular variance."""
        weights = np.concatenate([np.exp(w) for w, _ in self.parts], -1)
        means = np.concatenate([np.broadcast_to(family.mean, w.shape) for w, family in self.parts], -1)
        own = np.concatenate([np.broadcast_to(family.variance, w.shape) for w, family in self.parts], -1)
        if self.kind == "angle":
            cosine, sine = ((weights * (1 - own) * wave(means)).sum(-1) for wave in (np.cos, np.sin))
            return np.arctan2(sine, cosine), 1 - np.hypot(sine, cosine)
        mean = (weights * means).sum(-1)
        return mean, (weights * (own + (means - mean[..., None]) ** 2)).sum(-1)

    def icdf(self, level: Floats) -> Floats:
        """Return the smallest y with P(Y <= y) >= level, (S..., N)."""
        shape = np.broadcast_shapes(level.shape, self.parts[0][0].shape[:-1])
        level = np.broadcast_to(level, shape)
        inside = (level > 0) & (level < 1)
        target = np.where(inside, level, 0.5)
        low, high = self._bracket(target)
        if self.kind == "count":
            found = self._smallest_integer(target, low, high)
        else:
            found = _root(lambda y: self._excess(y, target), low, high)
        found = self._on_atoms(found, target)
        first, last = self.ends()
        return np.where(inside, found, np.where(level <= 0, first, last))

    def ends(self) -> tuple[Floats, Floats]:
        """Return where the support begins and ends, (N,)."""
        pairs = [_ends(w, family) for w, family in self.parts]
        lows = np.concatenate([low for low, _ in pairs], -1)
        highs = np.concatenate([high for _, high in pairs], -1)
        return lows.min(-1), highs.max(-1)

    def _excess(self, y: Floats, level: Floats) -> Floats:
        """Return log P(Y <= y) - log(level), or in the upper half minus that of the upper tail."""
        below, above = (np.log(np.maximum(tail, 1e-320)) for tail in self.tails(y))
        return np.where(level <= 0.5, below - np.log(level), np.log1p(-level) - above)

    def _bracket(self, level: Floats) -> tuple[Floats, Floats]:
        places = np.concatenate([family.places().reshape(*w.shape[:-1], -1) for w, family in self.parts], -1)
        places = np.where(np.isfinite(places), places, np.nan)
        first, last = self.ends()
        low = np.broadcast_to(np.nanmin(places, -1), level.shape).copy()
        high = np.broadcast_to(np.nanmax(places, -1), level.shape).copy()
        if self.kind == "count":
            low = np.minimum(low, 0.0) - 1
        for side, ends in ((low, first), (high, last)):
            bounded = np.isfinite(np.broadcast_to(ends, level.shape))
            side[bounded] = np.broadcast_to(ends, level.shape)[bounded]
        step = np.maximum(high - low, 1e-300)
        for _ in range(2000):
            down, up = self._excess(low, level) > 0, self._excess(high, level) < 0
            down &= low > first
            up &= high < last
            if not (down.any() or up.any()):
                break
            low, high = np.where(down, low - step, low), np.where(up, high + step, high)
            step = np.where(down | up, 2 * step, step)
        return low, high

    def _smallest_integer(self, level: Floats, low: Floats, high: Floats) -> Floats:
        low, high = np.floor(low) - 1, np.ceil(high)
        while (high - low > 1).any():
            middle = np.floor(0.5 * (low + high))
            reached = self._excess(middle, level) >= 0
            open_ = high - low > 1
            high, low = np.where(open_ & reached, middle, high), np.where(open_ & ~reached, middle, low)
        return high

    def _on_atoms(self, found: Floats, level: Floats) -> Floats:
        for w, family in self.atoms:
            for k in range(w.shape[-1]):
                place = np.broadcast_to(family.mean[..., k], level.shape)
                before = np.nextafter(place, -np.inf)
                holds = (self._excess(place, level) >= 0) & (self._excess(before, level) < 0)
                found = np.where(holds, place, found)
        return found

    # --- of one row: parameters (K,) ---

    def pointed(self) -> list[Mode]:
        """Return the atoms of a row, the heaviest first."""
        mass: dict[float, float] = {}
        for w, family in self.atoms:
            for place, weight in zip(family.mean.tolist(), np.exp(w).tolist(), strict=True):
                mass[place] = mass.get(place, 0.0) + weight
        ordered = sorted(mass.items(), key=lambda item: -item[1])
        return [Mode("atom", place, math.inf, weight) for place, weight in ordered if weight > 0]

    def modes(self) -> list[Mode]:
        """Return the modes of a row, the highest first, atoms last."""
        if not self.spread:
            return self.pointed()
        if self.kind == "count":
            return self._integer_modes()
        maxima, minima = self.extrema()
        first, last = (self._cut(), self._cut() + 2 * math.pi) if self.kind == "angle" else (-math.inf, math.inf)
        edges = [first, *minima.tolist(), last]
        mass = [self.mass(low, high) for low, high in pairwise(edges)]
        height = self.log_prob(maxima, atoms=False)
        places = _wrapped(maxima) if self.kind == "angle" else maxima
        found = [Mode("mode", *map(float, each)) for each in zip(places, height, mass, strict=True)]
        return sorted(found, key=lambda mode: -mode.log_density) + self.pointed()

    def mass(self, low: float, high: float) -> float:
        """Return the probability between two places that is no atom's; of angles also beyond pi, up to a turn."""
        if self.kind == "angle" and high > math.pi:
            beyond = self.mass(max(low - 2 * math.pi, -math.pi), high - 2 * math.pi)
            return beyond + (self.mass(low, math.pi) if low < math.pi else 0.0)
        below, above = (tail.tolist() for tail in _Line(self.spread).tails(np.array([low, high])))
        return above[0] - above[1] if above[0] < below[1] else below[1] - below[0]

    def extrema(self) -> tuple[Floats, Floats]:
        """Return all maxima and the minima between them: a rise followed by a fall, and the other way round."""
        grid = self._grid()
        height = self.log_prob(grid, atoms=False)
        step = np.diff(height)
        moves = np.flatnonzero(np.abs(step) > 1e-13 * (1 + np.abs(height[1:])))
        before = np.concatenate([[1.0], np.sign(step[moves])])  # a rise from nothing comes first,
        after = np.concatenate([np.sign(step[moves]), [-1.0]])  # a fall to nothing last
        first, last = np.concatenate([[0], moves + 1]), np.concatenate([moves, [len(grid) - 1]])
        turns = np.flatnonzero(before != after).tolist()
        places = np.array([self._turn(grid, int(first[i]), int(last[i]), before[i]) for i in turns])
        return places[::2], places[1::2]

    def _turn(self, grid: Floats, first: int, last: int, sign: float) -> float:
        """Return the place of a maximum (sign 1) or minimum (-1) near the grid points ``first`` to ``last``."""
        ends = np.array([grid[max(first - 1, 0)], grid[min(last + 1, len(grid) - 1)]])
        slopes = sign * self.score(ends)
        if slopes[0] > 0 > slopes[1]:
            return float(_root(self.score, ends[:1], ends[1:])[0])
        options = np.array([grid[first], 0.5 * (grid[first] + grid[last]), grid[last]])
        return float(options[np.argmax(sign * self.log_prob(options, atoms=False))])

    def score(self, y: Floats) -> Floats:
        """Return the derivative of the log-density of a row."""
        at = y[..., None]
        terms = np.concatenate([w + family.log_prob(at) for w, family in self.spread], -1)
        slopes = np.concatenate([family.score(at) + 0 * w for w, family in self.spread], -1)
        top = terms.max(-1, keepdims=True)
        share = np.exp(terms - np.where(np.isfinite(top), top, 0.0))
        with np.errstate(invalid="ignore"):
            slope: Floats = np.where(share > 0, share * slopes, 0.0).sum(-1) / np.maximum(share.sum(-1), _TINY)
        return slope

    def _grid(self) -> Floats:
        heavy = max(float(w.max()) for w, _ in self.spread) - 60
        places = [family.places()[w > heavy].reshape(-1) for w, family in self.spread]
        grid = np.unique(np.concatenate(places))
        low, high = self.ends()
        if self.kind == "angle":
            grid = np.unique(np.concatenate([grid, np.linspace(-math.pi, math.pi, 181)]))
            cut = self._cut()
            turned = cut + np.mod(grid - cut, 2 * math.pi)
            return np.unique(np.concatenate([[cut], turned, [cut + 2 * math.pi]]))
        first, last = _beside(float(low), float(high))
        grid = np.unique(np.concatenate([grid[(grid > first) & (grid < last)], [first, last]]))
        grid = grid[np.isfinite(grid)]
        return np.unique(np.concatenate([grid, 0.5 * grid[1:] + 0.5 * grid[:-1]]))

    def _cut(self) -> float:
        """Return where a circle is cut open: where the density is lowest."""
        places = np.linspace(-math.pi, math.pi, 721)
        return float(places[np.argmin(self.log_prob(places, atoms=False))])

    def _integers(self) -> tuple[Floats, Floats]:
        """Return the integers that matter and their log-probabilities."""
        mean, variance = (float(value) for value in self.moments())
        ends = []
        for tail, side in ((0, -1), (1, 1)):
            place, step = math.floor(mean), math.ceil(math.sqrt(variance)) + 1
            while (side > 0 or place > 0) and float(self.tails(np.array([place * 1.0]))[tail][0]) > 1e-13:
                place, step = place + side * step, 2 * step
            ends.append(max(place, 0))
        first, last = ends
        if last - first > 20_000_000:
            raise ValueError(f"counts must spread over at most 20,000,000 integers; got {last - first:,}.")
        integer = np.arange(first, last + 1, dtype=np.float64)
        return integer, self.log_prob(integer)

    def _integer_modes(self) -> list[Mode]:
        integer, log_prob = self._integers()
        kept = np.concatenate([[True], np.diff(log_prob) != 0])
        places, heights = integer[kept], log_prob[kept]
        padded = np.concatenate([[-np.inf], heights, [-np.inf]])
        peaks = np.flatnonzero((padded[1:-1] > padded[:-2]) & (padded[1:-1] > padded[2:]))
        dips = np.flatnonzero((padded[1:-1] < padded[:-2]) & (padded[1:-1] < padded[2:]))
        cuts = np.searchsorted(integer, places[dips])
        mass = [float(np.exp(part).sum()) for part in np.split(log_prob, cuts)]
        found = [Mode("mode", float(places[p]), float(heights[p]), m) for p, m in zip(peaks, mass, strict=True)]
        return sorted(found, key=lambda mode: -mode.log_density)

    # --- regions of one row ---

    def region(self, level: float) -> list[Interval]:
        """Return the smallest set that holds a probability, as intervals in ascending order, atoms last."""
        atoms: list[Interval] = []
        for atom in self.pointed() if self.kind != "count" else []:
            if sum(piece.mass for piece in atoms) >= level:
                break
            atoms.append(Interval("atom", atom.location, atom.location, atom.mass))
        missing = level - sum(piece.mass for piece in atoms)
        if missing <= 0 or not self.spread:
            return atoms
        if self.kind == "count":
            return self._integer_region(missing)
        return [*self._intervals(missing), *atoms]

    def _integer_region(self, level: float) -> list[Interval]:
        integer, log_prob = self._integers()
        mass = np.exp(log_prob)
        order = np.argsort(-mass, kind="stable")
        before = np.cumsum(mass[order]) - mass[order]
        taken = np.zeros(len(mass), bool)
        taken[order[before < level * (1 - 1e-12)]] = True
        runs = np.split(np.flatnonzero(taken), np.flatnonzero(np.diff(np.flatnonzero(taken)) > 1) + 1)
        return [
            Interval("interval", float(integer[run[0]]), float(integer[run[-1]]), float(mass[run].sum()))
            for run in runs
        ]

    def _intervals(self, level: float) -> list[Interval]:
        maxima, minima = self.extrema()
        total = float(sum(np.exp(w).sum() for w, _ in self.spread))
        level = min(level, total * (1 - 1e-12))
        feet = np.concatenate([[self._far(maxima[0], -1, level)], minima, [self._far(maxima[-1], 1, level)]])
        top = float(self.log_prob(maxima, atoms=False).max())

        def excess(log_level: Floats) -> Floats:
            pieces = self._above(maxima, feet, float(log_level[0]))
            return np.array([sum(self.mass(a, b) for a, b in pieces) - level])

        low, step = top - 1.0, 1.0
        while excess(np.array([low]))[0] < 0 and low > top - 1400:
            low, step = low - 2 * step, 2 * step
        log_level = float(_root(excess, np.array([low]), np.array([top]))[0])
        pieces = self._above(maxima, feet, log_level)
        if self.kind == "angle":
            pieces = [piece for a, b in pieces for piece in _unrolled(a, b)]
        return sorted(Interval("interval", a, b, self.mass(a, b)) for a, b in pieces if b > a)

    def _above(self, maxima: Floats, feet: Floats, log_level: float) -> list[tuple[float, float]]:
        """Return the intervals where the log-density exceeds a level: one around every maximum, joined if need be."""
        left, right = feet[:-1], feet[1:]
        high = self.log_prob(maxima, atoms=False) > log_level
        open_left, open_right = (self.log_prob(foot, atoms=False) < log_level for foot in (left, right))

        def gap(y: Floats) -> Floats:
            return self.log_prob(y, atoms=False) - log_level

        low_end, high_end = left.copy(), right.copy()
        low, high_ = (float(end) for end in self.ends())
        for ends, crossed, foot in ((low_end, high & open_left, left), (high_end, high & open_right, right)):
            if crossed.any():
                ends[crossed] = _root(gap, foot[crossed], maxima[crossed])
        if self.kind == "real":  # beside a pole, the last number inside leaves much out
            first, last = _beside(low, high_)
            low_end, high_end = np.where(low_end <= first, low, low_end), np.where(high_end >= last, high_, high_end)
        pieces: list[tuple[float, float]] = []
        for i in np.flatnonzero(high):
            if pieces and not open_left[i]:
                pieces[-1] = (pieces[-1][0], float(high_end[i]))
            else:
                pieces.append((float(low_end[i]), float(high_end[i])))
        return pieces

    def _far(self, start: float, side: int, level: float) -> float:
        """Return a place beyond which next to nothing lies, or the end of the support."""
        low, high = (float(end) for end in self.ends())
        end = low if side < 0 else high
        if self.kind == "angle":
            return self._cut() + (0.0 if side < 0 else 2 * math.pi)
        if np.isfinite(end):
            return _beside(low, high)[0 if side < 0 else 1]
        tail, rest = 0 if side < 0 else 1, min(1e-3 * (1 - level), 1e-9)
        place, step = float(start), max(abs(float(start)), 1e-9)
        while float(_Line(self.spread).tails(np.array([place]))[tail][0]) > rest and abs(place) < _LARGE:
            place, step = place + side * step, 2 * step
        return place


def _ends(weights: Floats, family: _Family) -> tuple[Floats, Floats]:
    if family.kind == "atom":
        return family.mean, family.mean
    return np.broadcast_to(family.low, weights.shape), np.broadcast_to(family.high, weights.shape)


def _beside(low: float, high: float) -> tuple[float, float]:
    """Return the first and the last number inside the ends of a support; infinite where there is none."""
    first = max(np.nextafter(low, np.inf), low + _TINY) if np.isfinite(low) else low
    last = min(np.nextafter(high, -np.inf), high - _TINY) if np.isfinite(high) else high
    return float(first), float(last)


def _unrolled(low: float, high: float) -> list[tuple[float, float]]:
    """Return an arc as intervals within [-pi, pi]: two where it crosses the cut at pi."""
    if low >= math.pi:
        return [(low - 2 * math.pi, high - 2 * math.pi)]
    return [(low, high)] if high <= math.pi else [(-math.pi, high - 2 * math.pi), (low, math.pi)]


# --- densities of several rows ---


class _Correlated(NamedTuple):
    """A block of correlated normal dimensions: means (N, K, d) and lower factors (N, K, d, d)."""

    dims: list[int]
    loc: Floats
    scale_tril: Floats

    def standardised(self, y: Floats) -> Floats:
        return np.asarray(np.linalg.solve(self.scale_tril, (y - self.loc)[..., None])[..., 0], np.float64)

    def log_prob(self, y: Floats) -> Floats:
        """Return log-densities, (S..., N, K), of targets (S..., N, 1, d)."""
        z = self.standardised(y)
        log_det = np.log(np.diagonal(self.scale_tril, axis1=-2, axis2=-1)).sum(-1)
        density: Floats = -0.5 * (z * z).sum(-1) - log_det - len(self.dims) * _HALF_LOG_2PI
        return density


class _Group(NamedTuple):
    """Components of one make-up: log-weights (N, K), a family for each dimension, and blocks of correlated ones."""

    log_weights: Floats
    families: list[_Family]
    blocks: list[_Correlated]


class Density:
    """p(y | x) of N rows over D target dimensions: the mixture of all members of an ensemble.

    Attributes:
        n_rows: Number of rows, N.
        target_dim: Number of target dimensions, D.
    """

    def __init__(self, groups: Sequence[_Group]) -> None:
        self._groups = list(groups)
        self.n_rows, self.target_dim = len(groups[0].log_weights), len(groups[0].families)

    def log_prob(self, y: ArrayLike) -> Floats:
        """Return log p(y), (S..., N), of targets (S..., N, D), in nats."""
        at = self._targets(y)[..., None, :]  # (S..., N, 1, D)
        if self.target_dim == 1:
            return self._line(0).log_prob(at[..., 0, 0])
        terms = []
        for group in self._groups:
            blocked = {d for block in group.blocks for d in block.dims}
            free = [family.log_prob(at[..., d]) for d, family in enumerate(group.families) if d not in blocked]
            joint = [block.log_prob(at[..., block.dims]) for block in group.blocks]
            terms.append(group.log_weights + sum([*free, *joint]))
        return _logsumexp(np.concatenate(terms, -1))

    def pdf(self, y: ArrayLike) -> Floats:
        """Return p(y), (S..., N), of targets (S..., N, D)."""
        return np.exp(self.log_prob(y))

    def cdf(self, y: ArrayLike) -> Floats:
        """Return P(Y_d <= y_d) of each target dimension, (S..., N, D); a number counts for all."""
        return self._per_dimension(lambda line, value: line.tails(value)[0], y)

    def sf(self, y: ArrayLike) -> Floats:
        """Return P(Y_d > y_d) of each target dimension, (S..., N, D), accurate in the upper tail."""
        return self._per_dimension(lambda line, value: line.tails(value)[1], y)

    def icdf(self, level: ArrayLike) -> Floats:
        """Return quantiles of each target dimension, (S..., N, D), for levels that broadcast like targets."""
        levels = np.asarray(level, np.float64)
        if not ((levels >= 0) & (levels <= 1)).all():
            raise ValueError(f"level must be a number from 0 to 1; got {levels.tolist()}.")
        return self._per_dimension(lambda line, value: line.icdf(value), levels)

    def probability(self, low: ArrayLike = -np.inf, high: ArrayLike = np.inf) -> Floats:
        """Return P(low <= Y_d <= high) of each target dimension, (S..., N, D)."""
        before = np.nextafter(np.asarray(low, np.float64), -np.inf)  # a closed interval holds its lower end
        upper = self.sf(before) - self.sf(high)
        return np.clip(np.where(self.sf(before) < 0.5, upper, self.cdf(high) - self.cdf(before)), 0.0, 1.0)

    @property
    def mean(self) -> Floats:
        """Means, (N, D); of angles mean directions."""
        return np.stack([self._line(d).moments()[0] for d in range(self.target_dim)], -1)

    @property
    def variance(self) -> Floats:
        """Variances, (N, D); of angles circular ones."""
        return np.stack([self._line(d).moments()[1] for d in range(self.target_dim)], -1)

    def marginal(self, dim: int) -> Density:
        """Return the density of one target dimension, counted from 0."""
        if not 0 <= dim < self.target_dim:
            raise ValueError(f"dim must be a target dimension from 0 to {self.target_dim - 1}; got {dim}.")
        return Density([_Group(group.log_weights, [group.families[dim]], []) for group in self._groups])

    def modes(self) -> list[list[Mode]]:
        """Return the modes of each row, the highest first, atoms last.

        Raises:
            ValueError: Several target dimensions; ask ``marginal``.
        """
        line = self._only_line("modes")
        return [line.row(n).modes() for n in range(self.n_rows)]

    def highest_density_region(self, level: float = 0.9) -> list[list[Interval]]:
        """Return the smallest set that holds a probability, for each row as disjoint intervals in ascending order.

        Raises:
            ValueError: A level outside (0, 1), or several target dimensions; ask ``marginal``.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must be a number > 0 and < 1; got {level}.")
        line = self._only_line("highest_density_region")
        return [line.row(n).region(level) for n in range(self.n_rows)]

    def sample(self, n_samples: int = 1, *, random_state: int | np.random.Generator | None = None) -> Floats:
        """Return draws, (S, N, D)."""
        if n_samples < 1:
            raise ValueError(f"n_samples must be an integer >= 1; got {n_samples}.")
        generator = np.random.default_rng(random_state)
        weights = np.exp(np.concatenate([group.log_weights for group in self._groups], -1))
        edges = np.cumsum(weights, -1)
        uniform = generator.random((n_samples, self.n_rows, 1)) * edges[:, -1:]
        chosen = (uniform >= edges).sum(-1).clip(0, edges.shape[-1] - 1)  # (S, N)
        out, first = np.empty((n_samples, self.n_rows, self.target_dim)), 0
        for group in self._groups:
            size = group.log_weights.shape[-1]
            place = np.nonzero((chosen >= first) & (chosen < first + size))
            out[place] = _drawn(group, place[1], chosen[place] - first, generator)
            first += size
        return out

    def _line(self, dim: int) -> _Line:
        return _Line([(group.log_weights, group.families[dim]) for group in self._groups])

    def _only_line(self, what: str) -> _Line:
        if self.target_dim > 1:
            raise ValueError(f"{what} needs one target dimension; got {self.target_dim}. Ask marginal(dim).")
        return self._line(0)

    def _targets(self, y: ArrayLike) -> Floats:
        return self._broadcast("y", y)

    def _per_dimension(self, ask: Callable[[_Line, Floats], Floats], value: ArrayLike) -> Floats:
        values = self._broadcast("y", value)
        return np.stack([ask(self._line(d), values[..., d]) for d in range(self.target_dim)], -1)

    def _broadcast(self, name: str, value: ArrayLike) -> Floats:
        """Return a number, or numbers (S..., N, D) where any size may be 1, as (S..., N, D)."""
        values, expected = np.asarray(value, np.float64), (self.n_rows, self.target_dim)
        fits = all(size in (1, wanted) for size, wanted in zip(values.shape[-2:], expected, strict=False))
        if values.ndim == 1 or not fits:
            raise ValueError(
                f"{name} must be a number or end with shape {expected}, where any size may be 1; got {values.shape}."
            )
        if np.isnan(values).any():
            raise ValueError(f"{name} must be a number; got NaN.")
        return np.broadcast_to(values, np.broadcast_shapes(values.shape, expected))


def _drawn(group: _Group, rows: NDArray[np.intp], index: NDArray[np.intp], generator: np.random.Generator) -> Floats:
    """Return one draw, (n, D), of the component ``index`` of each of some rows."""
    size = group.log_weights.shape

    def picked(value: Any) -> Floats:
        return np.broadcast_to(value, size)[rows, index]

    out = np.stack([np.broadcast_to(family.map(picked).sample(generator), rows.shape) for family in group.families], -1)
    for block in group.blocks:
        noise = generator.standard_normal((len(rows), len(block.dims), 1))
        out[:, block.dims] = block.loc[rows, index] + (block.scale_tril[rows, index] @ noise)[..., 0]
    return out


# --- tables ---

_DAY, _WEEK = 86_400.0, 7
TIME_PARTS: Mapping[str, int] = {"of_year": 2, "weekday": 1, "of_day": 2}
"""Parts of a point in time beside the seconds since 1970, and how many numbers each is.

``of_year`` and ``of_day`` are the sine and cosine of the angle of a clock hand, ``weekday`` is 0 on Mondays.
"""


def time_parts(seconds: Floats, parts: Sequence[str]) -> Floats:
    """Return seconds since 1970, (N,), and the parts asked for beside them, (N, 1 + ...).

    Where a point in time is missing, only the seconds are; the parts are in the middle of their range.
    """
    missing = np.isnan(seconds)
    known = np.where(missing, 0.0, seconds)
    columns = [seconds]
    for part in parts:
        if part == "weekday":
            weekday = (known // _DAY + 3) % _WEEK  # 1970 began on a Thursday
            columns.append(np.where(missing, (_WEEK - 1) / 2, weekday))
            continue
        turns = (known % _DAY) / _DAY if part == "of_day" else _share_of_year(known)
        columns += [np.where(missing, 0.0, wave(2 * np.pi * turns)) for wave in (np.sin, np.cos)]
    return np.column_stack(columns)


def _share_of_year(seconds: Floats) -> Floats:
    """Return which share of its year is over at each point in time."""
    day = np.floor(seconds / _DAY).astype("datetime64[D]")
    year = day.astype("datetime64[Y]")
    first, after = year.astype("datetime64[D]"), (year + 1).astype("datetime64[D]")
    over = (day - first).astype(np.float64) + (seconds % _DAY) / _DAY
    share: Floats = over / (after - first).astype(np.float64)
    return share


class _Column:
    """How one column of a table becomes numbers."""

    def __init__(self, code: Mapping[str, Any]) -> None:
        self.name, self.kind, self.levels, self.parts = (code[key] for key in ("name", "kind", "levels", "parts"))
        self.has_missing, self.unused = code["has_missing"], code["is_empty"] or code["is_constant"]
        self._zone = code["zone"]
        self._width = 1 + sum(TIME_PARTS[part] for part in self.parts)
        self._level = {level: float(place) for place, level in enumerate(self.levels)}

    def encode(self, values: Any) -> Floats:
        """Return the column as numbers, (N, width)."""
        zone, values = _without_zone(values)
        cells = np.asarray(values)
        if cells.ndim != 1:
            raise ValueError(f"Column {self.name!r} must be one value for each row; got an array of {cells.ndim} axes.")
        if self.unused:
            return np.zeros((len(cells), self._width))
        if self.kind == "category":
            return self._numbered(cells)[:, None]
        numbers = self._seconds(cells, zone) if self.kind == "time" else self._numbers(cells)
        self._refuse_missing(np.isnan(numbers))
        return time_parts(numbers, self.parts) if self.kind == "time" else numbers[:, None]

    def _numbered(self, cells: NDArray[Any]) -> Floats:
        is_level = "" in self._level
        missing = np.array([_is_missing(cell) and not (is_level and cell == "") for cell in cells.tolist()], bool)
        self._refuse_missing(missing)
        has_text = bool(self.levels) and isinstance(self.levels[0], str)
        known = [
            None if gone else self._spelled(cell, has_text) for cell, gone in zip(cells.tolist(), missing, strict=True)
        ]
        codes = np.array([self._level.get(cell, -1.0) for cell in known], np.float64)
        codes[missing] = len(self.levels)
        return codes

    def _spelled(self, cell: Any, has_text: bool) -> Any:
        """Return a cell as the levels are: text, of which a number may name one by its value, or a number."""
        if has_text and not isinstance(cell, str):
            number = _number(cell)
            named = [level for level in self.levels if number is not None and _number(level) == number]
            return named[0] if len(named) == 1 else None
        return cell if has_text else _number(cell)

    def _numbers(self, cells: NDArray[Any]) -> Floats:
        try:
            numbers = np.array([np.nan if _is_missing(cell) else float(cell) for cell in cells.tolist()], np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"Column {self.name!r} must hold numbers; got {cells.dtype} that are none.") from None
        if (np.abs(numbers) > _LARGEST).any():
            raise ValueError(f"Column {self.name!r} has infinite or huge values, and a feature may have none.")
        return numbers

    def _seconds(self, cells: NDArray[Any], zone: str) -> Floats:
        if cells.dtype.kind in "iuf":
            raise ValueError(f"Column {self.name!r} must hold points in time; got numbers.")
        texts = [None if _is_missing(cell) else cell for cell in (cells if cells.dtype.kind == "M" else cells.tolist())]
        zones = {str(getattr(cell, "tzinfo", None) or "") for cell in texts if cell is not None} - {""}
        zone = next(iter(zones), zone)
        if zone != self._zone or any(isinstance(cell, str) and _OFFSET.search(cell) for cell in texts):
            wanted = f"in the time zone {self._zone}" if self._zone else "without a time zone"
            raise ValueError(f"Column {self.name!r} must hold points in time {wanted}, as in the fit; got others.")
        texts = [_clock(cell) for cell in texts]
        try:
            times = cells if cells.dtype.kind == "M" else np.array(texts, dtype="datetime64[us]")
        except ValueError:
            shown = next(text for text in texts if not _is_time(text))
            raise ValueError(f"Column {self.name!r} must hold points in time; got {shown!r}.") from None
        seconds: Floats = (times - np.datetime64(0, "s")) / np.timedelta64(1, "s")
        return seconds

    def _refuse_missing(self, missing: NDArray[np.bool_]) -> None:
        if missing.any() and not self.has_missing:
            raise ValueError(
                f"Column {self.name!r} has missing values (first: row {int(missing.argmax()) + 1}), and none was "
                "missing in the fit; fill them in."
            )


_OFFSET = re.compile(r"(Z|[+-]\d\d:?\d\d)$")


def _without_zone(values: Any) -> tuple[str, Any]:
    """Return the time zone that a column of a frame is kept in, empty for none, and what clocks show there."""
    dtype = getattr(values, "dtype", None)
    zone = getattr(dtype, "time_zone", None) or getattr(dtype, "tz", None)
    if zone is None:
        return "", values
    change = values.dt.replace_time_zone if hasattr(values.dt, "replace_time_zone") else values.dt.tz_localize
    return str(zone), change(None)


def _clock(cell: Any) -> Any:
    """Return what clocks show where a point in time has a zone."""
    return cell.replace(tzinfo=None) if getattr(cell, "tzinfo", None) else cell


def _is_time(text: Any) -> bool:
    try:
        return np.datetime64(text, "us") is not None
    except ValueError:
        return False


def _is_missing(cell: Any) -> bool:
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    return bool(cell == "" or cell != cell)


def _number(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


# --- the model ---


_ROWS_AT_ONCE = 1024  # which bounds the memory


class Model:
    """An exported model: a table in, densities out.

    Args:
        folder: What ``manymodes export`` wrote.

    Attributes:
        features: Names of the columns that it takes.
        targets: Names of what it predicts.
        document: Everything about it that is no weight.

    Raises:
        ValueError: A folder that holds no such model, a newer one, or a damaged one.
    """

    def __init__(self, folder: str | Path) -> None:
        import onnxruntime  # type: ignore[import-untyped,unused-ignore]

        folder = Path(folder)
        self.document = _read(folder)
        encoder = self.document["encoder"]
        self._columns = [_Column(code) for code in encoder["columns"]] if encoder is not None else []
        self.features, self.targets = [column.name for column in self._columns], list(self.document["targets"])
        self._session = onnxruntime.InferenceSession(str(folder / NETWORK_FILE), providers=["CPUExecutionProvider"])

    def predict_distribution(self, X: Any) -> Density:
        """Return p(y | x) for a table: a data frame, a mapping of names to columns, or an array (N, F).

        Raises:
            ValueError: Columns that are missing or hold what the model cannot take.
        """
        encoded = self.encode(X)
        chunks = [encoded[first : first + _ROWS_AT_ONCE] for first in range(0, max(len(encoded), 1), _ROWS_AT_ONCE)]
        parts = [self.parameters(chunk) for chunk in chunks]
        return self.density({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})

    def encode(self, X: Any) -> Floats:
        """Return a table as the numbers that the network takes, (N, E); arrays as they are where it takes such."""
        if self.document["encoder"] is None:
            return np.asarray(X)
        if isinstance(X, np.ndarray):
            if X.ndim != 2 or X.shape[1] != len(self._columns):
                raise ValueError(f"X must have shape (N, {len(self._columns)}); got {X.shape}.")
            cells: list[Any] = list(X.T)
        elif isinstance(X, (list, tuple)):
            kind = type(X).__name__
            raise TypeError(f"X must be a data frame, a mapping of names to columns or an array; got a {kind}.")
        else:
            lacking = [name for name in self.features if name not in X]
            if lacking:
                raise ValueError(f"X must have the column {lacking[0]!r}; it has {', '.join(map(repr, X))}.")
            cells = [X[name] for name in self.features]
        parts = [column.encode(values) for column, values in zip(self._columns, cells, strict=True)]
        for column, part in zip(self._columns, parts, strict=True):
            if len(part) != len(parts[0]):
                raise ValueError(
                    f"Column {column.name!r} must have as many rows as column {self._columns[0].name!r}, "
                    f"{len(parts[0])}; got {len(part)}."
                )
        return np.column_stack(parts)[:, self.document["encoder"]["order"]]

    def parameters(self, encoded: Floats) -> dict[str, Floats]:
        """Return the network's answer by name, in scaled units: log-weights (N, M, K) and parameters (N, M, K, ...)."""
        names = [output.name for output in self._session.get_outputs()]
        given = encoded if len(encoded) else np.zeros((1, *encoded.shape[1:]), encoded.dtype)  # no row: one, cut off
        answers = self._session.run(names, {self._session.get_inputs()[0].name: given})
        pairs = zip(names, answers, strict=True)
        return {name: np.asarray(answer, np.float64)[: len(encoded)] for name, answer in pairs}

    def density(self, parameters: Mapping[str, Floats]) -> Density:
        """Return the density, in the units of the targets, that parameters stand for."""
        return density_of(self.document, parameters)


def load(folder: str | Path) -> Model:
    """Return the model in a folder that ``manymodes export`` wrote."""
    return Model(folder)


def _read(folder: Path) -> dict[str, Any]:
    if not (folder / MODEL_FILE).is_file() or not (folder / NETWORK_FILE).is_file():
        raise ValueError(f"{str(folder)!r} must hold {MODEL_FILE} and {NETWORK_FILE}, which manymodes export writes.")
    try:
        document: dict[str, Any] = json.loads((folder / MODEL_FILE).read_text(encoding="utf-8"))
        kind, version, checksum = document["format"], int(document["format_version"]), document["network_sha256"]
        _ = document["components"], document["encoder"], document["scaling"], document["targets"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{str(folder / MODEL_FILE)!r} does not describe an exported model.") from None
    if kind != FORMAT or version > VERSION:
        raise ValueError(
            f"{str(folder / MODEL_FILE)!r} has format {kind!r} {version}; this file reads {FORMAT!r} {VERSION}."
        )
    if hashlib.sha256((folder / NETWORK_FILE).read_bytes()).hexdigest() != checksum:
        raise ValueError(f"{str(folder / NETWORK_FILE)!r} is damaged: its checksum does not match. Export it again.")
    return document


def density_of(document: Mapping[str, Any], parameters: Mapping[str, Floats]) -> Density:
    """Return the density that a document and the parameters of a network, in scaled units, stand for."""
    shift, scale = document["scaling"]["shift"], document["scaling"]["scale"]
    logits, first, groups = parameters["logits"], 0, []
    n_rows, n_members = logits.shape[:2]
    logits = logits - _logsumexp(logits)[..., None] - math.log(n_members)
    for entry in document["components"]:
        size = entry["size"]
        n_all = n_members * size
        own = logits[..., first : first + size].reshape(n_rows, n_all)
        families: dict[int, _Family] = {}
        blocks = []
        for block in entry["blocks"]:
            values = {
                name: parameters[key].reshape(n_rows, n_all, *parameters[key].shape[3:])
                for name, key in block["parameters"].items()
            }
            block_families, correlated = _block(block, values, own.shape, shift, scale)
            families.update(zip(block["dims"], block_families, strict=True))
            blocks += correlated
        groups.append(_Group(own, [families[d] for d in sorted(families)], blocks))
        first += size
    return Density(groups)


def _block(
    block: Mapping[str, Any], values: Mapping[str, Floats], shape: tuple[int, ...], shift: Any, scale: Any
) -> tuple[list[_Family], list[_Correlated]]:
    """Return the families of a block of target dimensions, one each, and the block itself where they are correlated."""
    dims = block["dims"]
    if block["family"] in ("FullNormal", "LowRankNormal"):
        units = np.array([scale[d] for d in dims])
        loc = np.array([shift[d] for d in dims]) + units * values["loc"]
        tril = units[:, None] * _lower(values)
        families: list[_Family] = [
            _Normal(loc=loc[..., i], scale=np.sqrt((tril[..., i, :] ** 2).sum(-1))) for i in range(len(dims))
        ]
        return families, [_Correlated(dims, loc, tril)] if len(dims) > 1 else []
    family, found = _FAMILIES[block["family"]], []
    for i, d in enumerate(dims):
        own = {name: value[..., min(i, value.shape[-1] - 1)] for name, value in values.items()}  # one scale for all
        own |= {name: np.broadcast_to(float(given[i]), shape) for name, given in block["given"].items()}
        component = family(**own)
        if block["transform"] is None:
            found.append(component.rescaled(shift[d], scale[d]))
        else:
            low, high = (np.broadcast_to(float(block["transform"][end][i]), shape) for end in ("low", "high"))
            found.append(_Logit(component, low, high))
    return found, []


def _lower(values: Mapping[str, Floats]) -> Floats:
    """Return the lower factors of covariances, (N, K, d, d)."""
    if "scale_tril" in values:
        return values["scale_tril"]
    factor, scale = values["factor"], values["scale"]
    covariance = factor @ np.swapaxes(factor, -1, -2) + np.eye(scale.shape[-1]) * (scale**2)[..., None]
    return np.asarray(np.linalg.cholesky(covariance), np.float64)
