"""Von Mises components: angles in radians, the normal distribution of the circle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Self, final

import torch
from numpy.polynomial.legendre import leggauss
from torch import Tensor
from torch.types import _size

from manymodes import _checks
from manymodes.distributions import constraints
from manymodes.distributions.component import Factorised, Kind
from manymodes.distributions.constraints import Scaling
from manymodes.distributions.declared import Declared, Parameter

_LARGEST_START = 1e3  # concentration to start from: scales of 0.03 radians
_LEAST_CURVATURE = 1e-3  # of the concentration, for targets opposite to the mode
_LOG_REST = 40.0  # an arc ends where the density is exp(-40) of its largest
_MAX_STEPS = 120
_LARGE = 100.0  # concentration above which Hankel's series has all digits with so many terms:
_N_TERMS = 10
_NODES, _SHARES = leggauss(32)


@final
class VonMises(Declared, Factorised):
    r"""Von Mises components, one loc and concentration per target dimension.

    .. math:: p(y) = \prod_d \frac{\exp(\kappa_d \cos(y_d - m_d))}{2 \pi I_0(\kappa_d)}

    Densities are periodic in y. Probabilities and quantiles count from -pi: targets lie in [-pi, pi].

    Args:
        loc: Mean directions, (..., K, D), in radians; any real number.
        concentration: Inverse squared widths, (..., K, D); near 0 the density is uniform, and for large ones
            it is normal with variance 1 / concentration.
        validate_args: Whether values are checked too; shapes always are.

    Raises:
        ValueError: A shape that is not the declared one, or a value outside its constraint.

    References:
        Mardia and Jupp (2000), Directional Statistics, section 3.5.4.
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "loc": Parameter(("D",), constraints.real),
        "concentration": Parameter(("D",), constraints.concentration),
    }
    scaling: ClassVar[Scaling] = Scaling.NONE
    kind: ClassVar[Kind] = "angle"
    loc: Tensor
    concentration: Tensor

    def __init__(self, loc: Tensor, concentration: Tensor, *, validate_args: bool | None = None) -> None:
        super().__init__(validate_args=validate_args, loc=loc, concentration=concentration)

    def ends(self) -> tuple[Tensor, Tensor]:
        """Return -pi and pi, (..., K, D) each."""
        end = torch.full_like(self.loc, math.pi)
        return -end, end

    @property
    def mean(self) -> Tensor:
        """Mean directions in [-pi, pi), (..., K, D)."""
        return _wrapped(self.loc)

    def turning_points(self) -> Tensor:
        """Return modes, antimodes, inflections and ends, (..., K, D, 6), in [-pi, pi].

        Inflections lie where kappa sin^2 t = cos t, so that cos t = 2 kappa / (1 + sqrt(1 + 4 kappa^2)).
        """
        root = torch.hypot(torch.ones_like(self.concentration), 2 * self.concentration)
        inflection = torch.atan2((2 / (1 + root)).sqrt(), 2 * self.concentration / (1 + root))
        points = [self.loc, self.loc - inflection, self.loc + inflection, self.loc + math.pi]
        return torch.stack([*(_wrapped(point) for point in points), *self.ends()], -1)

    def central_moment(self, order: int) -> Tensor:
        """Return the circular variance 1 - I1 / I0, the only moment about the mean that angles have.

        Raises:
            ValueError: An order above 2.
        """
        if order > 2:
            raise _checks.InputError(
                f"order must be 2 for angles, which have no moment but the circular variance; got {order}."
            )
        return _circular_variance(self.concentration)

    def lower_mean(self, value: Tensor) -> Tensor:
        """Refuse: a part of the mean of angles would depend on where they are cut open.

        Raises:
            ValueError: Always.
        """
        raise _checks.InputError("angles have no mean below a value; use cdf or mean of VonMises.")

    def upper_mean(self, value: Tensor) -> Tensor:
        """Refuse: a part of the mean of angles would depend on where they are cut open.

        Raises:
            ValueError: Always.
        """
        raise _checks.InputError("angles have no mean above a value; use sf or mean of VonMises.")

    def entropy(self) -> Tensor:
        """Return the differential entropy, (..., K), in nats."""
        return (self.concentration * _circular_variance(self.concentration) + _log_norm(self.concentration)).sum(-1)

    @classmethod
    def start(cls, centres: Tensor, spread: Tensor) -> dict[str, Tensor]:
        """Return parameters to start training from, (K, D) each: mean directions at the centres."""
        concentration = spread.square().reciprocal().clamp_max(_LARGEST_START)
        return {"loc": centres, "concentration": concentration.expand_as(centres)}

    @torch.no_grad()
    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples in [-pi, pi], (S..., ..., K, D); torch's own take no generator."""
        shape = torch.Size(sample_shape) + self.loc.shape
        angle = _centred_sample(self.concentration.double().expand(shape).reshape(-1), generator).reshape(shape)
        return _wrapped(self.loc.double() + angle).clamp(-math.pi, math.pi).to(self.loc.dtype)

    def marginal_log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density of each target dimension by itself, (..., K, D); periodic in ``value``."""
        finite = value.isfinite()
        density = _centred_log_density(torch.where(finite, value, 0.0) - self.loc, self.concentration)
        return torch.where(finite, density, -torch.inf)

    def score(self, value: Tensor) -> Tensor:
        """Return the derivative of ``marginal_log_prob`` in ``value``, (..., K, D)."""
        return -self.concentration * (torch.where(value.isfinite(), value, 0.0) - self.loc).sin()

    def marginal_curvature(self, value: Tensor) -> Tensor:
        """Return kappa sin(d) / d with d = value - loc in [-pi, pi], which majorises: a step ends at the mode.

        Bounded away from 0, where d = pi and the score is 0 too.
        """
        sinc: Tensor = torch.sinc(_wrapped(value - self.loc) / math.pi)
        return self.concentration * sinc.clamp_min(_LEAST_CURVATURE)

    def cdf(self, value: Tensor) -> Tensor:
        """Return P(-pi <= Y <= value) of each target dimension; 0 below -pi and 1 above pi."""
        return _cdf(value, _wrapped(self.loc), self.concentration)

    def sf(self, value: Tensor) -> Tensor:
        """Return P(value < Y <= pi) of each target dimension, accurate in the upper tail."""
        return _cdf(-value, -_wrapped(self.loc), self.concentration)

    def icdf(self, value: Tensor) -> Tensor:
        """Return the quantile of each target dimension in [-pi, pi], (..., K, D); carries no gradient."""
        return _quantile(value, _wrapped(self.loc), self.concentration)

    def isf(self, value: Tensor) -> Tensor:
        """Return y in [-pi, pi] with P(Y > y) = value of each target dimension; carries no gradient."""
        return -_quantile(value, -_wrapped(self.loc), self.concentration)

    def affine(self, shift: Tensor | float, scale: Tensor | float) -> VonMises:
        """Return the distribution of ``shift + Y``: angles can be turned, not scaled.

        Raises:
            ValueError: A scale that is not 1.
        """
        if not bool((torch.as_tensor(scale) == 1).all()):
            raise _checks.InputError(f"scale must be 1 for angles, which can be turned but not scaled; got {scale}.")
        return VonMises(shift + self.loc, self.concentration, validate_args=False)

    def marginal(self, dims: list[int]) -> VonMises:
        """Return the same family over the chosen target dimensions."""
        return VonMises(self.loc[..., dims], self.concentration[..., dims], validate_args=False)

    def widened(self, factor: float) -> Self:
        """Return components of ``factor`` times the width: the concentration is divided by its square."""
        return self.with_values(concentration=self.concentration / factor**2)


# --- angles and Bessel functions ---


def _wrapped(angle: Tensor) -> Tensor:
    """Return the same angle in [-pi, pi), unchanged where it lies there already."""
    return angle - 2 * math.pi * ((angle.detach() + math.pi) / (2 * math.pi)).floor()


def _centred_log_density(angle: Tensor, concentration: Tensor) -> Tensor:
    # cos - 1 by half the angle: near the mode the cosine is 1 to all digits.
    return -2 * concentration * (0.5 * angle).sin().square() - _log_norm(concentration)


def _log_norm(concentration: Tensor) -> Tensor:
    """Return log(2 pi I0(kappa)) - kappa."""
    small, large = concentration.clamp_max(_LARGE), concentration.clamp_min(_LARGE)
    exact = torch.special.i0e(small).log()
    series = _polynomial(_HANKEL_0, 1 / large).log() - 0.5 * (2 * math.pi * large).log()
    return math.log(2 * math.pi) + torch.where(concentration < _LARGE, exact, series)


def _circular_variance(concentration: Tensor) -> Tensor:
    """Return 1 - I1(kappa) / I0(kappa), without a difference where that ratio is near 1."""
    small, large = concentration.clamp_max(_LARGE), concentration.clamp_min(_LARGE)
    exact = 1 - torch.special.i1e(small) / torch.special.i0e(small)
    gaps = [first - second for first, second in zip(_HANKEL_0, _HANKEL_1, strict=True)]
    series = _polynomial(gaps, 1 / large) / _polynomial(_HANKEL_0, 1 / large)
    return torch.where(concentration < _LARGE, exact, series)


def _hankel(order: int) -> list[float]:
    """Return c_k in sqrt(2 pi x) exp(-x) I_order(x) = sum c_k x^-k (Abramowitz and Stegun 1964, 9.7.1)."""
    terms = [1.0]
    for k in range(1, _N_TERMS):
        terms.append(-terms[-1] * (4 * order**2 - (2 * k - 1) ** 2) / (8 * k))
    return terms


def _polynomial(terms: list[float], x: Tensor) -> Tensor:
    total = torch.full_like(x, terms[-1])
    for term in reversed(terms[:-1]):
        total = total * x + term
    return total


_HANKEL_0, _HANKEL_1 = _hankel(0), _hankel(1)


# --- probabilities and quantiles ---


def _cdf(value: Tensor, loc: Tensor, concentration: Tensor) -> Tensor:
    """Return P(-pi <= Y <= value) for ``loc`` in [-pi, pi].

    Seen from the mode, the arc runs from -pi - loc to value - loc. It is cut at modes and antimodes: whole halves
    between two cuts hold 1/2 each, and the two pieces at its ends are integrated, so that small ones keep their digits.
    """
    low, high = -math.pi - loc, value.clamp(-math.pi, math.pi) - loc
    first = (low.detach() / math.pi).floor().clamp(-2, 0)
    last = torch.maximum((high.detach() / math.pi).floor().clamp(-2, 1), first)
    head = _arc(low, torch.where(last > first, (first + 1) * math.pi, high), first, concentration)
    tail = _arc(torch.where(last > first, last * math.pi, high), high, last, concentration)
    probability = head + tail + 0.5 * (last - first - 1).clamp_min(0.0)
    return torch.where(value >= math.pi, 1.0, probability.clamp_max(1.0))


def _arc(low: Tensor, high: Tensor, half: Tensor, concentration: Tensor) -> Tensor:
    """Return the mass from ``low`` to ``high``, seen from the mode and inside [half pi, (half + 1) pi].

    The density falls in halves of even numbers, which are mirrored, and rises in others. Gauss and Legendre's rule
    covers the part next to the peak, outside which densities are below exp(-40) of the largest.
    """
    falls = half % 2 == 0
    end = torch.where(falls, half, half + 1) * math.pi
    low, high = torch.where(falls, end - high, low - end), torch.where(falls, end - low, high - end)
    with torch.no_grad():  # sin^2(reach / 2) - sin^2(high / 2) = rest / (2 kappa)
        square = (0.5 * high).sin().square() + 0.5 * _LOG_REST / concentration
        reach = -2 * square.clamp_max(1.0).sqrt().asin()
    width = high - torch.where(low > reach, low, reach)
    nodes, shares = (torch.as_tensor(rule, dtype=width.dtype, device=width.device) for rule in (_NODES, _SHARES))
    points = high.unsqueeze(-1) - 0.5 * width.unsqueeze(-1) * (1 - nodes)  # (..., K, D, 32)
    density = _centred_log_density(points, concentration.unsqueeze(-1)).exp()
    mass: Tensor = 0.5 * width * (shares * density).sum(-1)
    return mass


@torch.no_grad()
def _quantile(level: Tensor, loc: Tensor, concentration: Tensor) -> Tensor:
    """Return y with P(-pi <= Y <= y) = level, from the tail that keeps its digits."""
    dtype = torch.result_type(level, loc)
    level, loc, concentration = torch.broadcast_tensors(level.double(), loc.double(), concentration.double())
    sign = torch.where(level > 0.5, -1.0, 1.0).to(level)  # an upper tail is the lower one of the mirror image
    tail = torch.where(level > 0.5, 1 - level, level)
    mirrored = (sign * loc).clamp(-math.pi, math.pi)
    y = _lower_quantile(tail.reshape(-1), mirrored.reshape(-1), concentration.reshape(-1)).reshape(tail.shape)
    return (sign * y).to(dtype)


def _lower_quantile(tail: Tensor, loc: Tensor, concentration: Tensor) -> Tensor:
    """Return y with P(-pi <= Y <= y) = tail, (M,), inside a bracket that shrinks.

    By Halley's steps on log P, else by Newton's on P, else by halving the bracket. Only entries that still move are
    worked on: each step integrates.
    """
    y = torch.full_like(loc, -math.pi)
    width = concentration.rsqrt()
    start = (loc + width * torch.special.ndtri(tail)).clamp(-math.pi, math.pi)
    moving = (tail > 0).nonzero().squeeze(-1)
    y[moving] = start[moving]
    low, high = torch.full_like(loc, -math.pi), torch.full_like(loc, math.pi)
    for i in range(_MAX_STEPS):
        if len(moving) == 0:
            break
        now, centre, kappa = y[moving], loc[moving], concentration[moving]
        probability = _cdf(now, centre, kappa)
        excess = probability.log() - tail[moving].log()
        low[moving] = torch.where(excess > 0, low[moving], now)
        high[moving] = torch.where(excess > 0, now, high[moving])
        density = _centred_log_density(now - centre, kappa).exp()
        newton = excess * probability / density
        bend = -kappa * (now - centre).sin() - density / probability  # second derivative of log P over the first
        below, above = low[moving], high[moving]
        tolerance = 4 * torch.finfo(now.dtype).eps * (now.abs() + width[moving].clamp_max(1.0))
        proposal = 0.5 * below + 0.5 * above
        halley = newton / (1 - 0.5 * newton * bend).clamp(0.5, 1.5)
        linear = (probability - tail[moving]) / density  # every other time: it crawls where P rises exponentially
        for step in (linear, halley) if i % 2 else (halley,):
            inside = (now - step > below) & (now - step < above)
            short = step.abs() < (above - below) * (1.0 if i % 2 else 0.5)
            proposal = torch.where((inside & short) | (step.abs() <= tolerance), now - step, proposal)
        y[moving] = proposal
        moving = moving[((proposal - now).abs() > tolerance) & (above - below > tolerance)]
    return y


# --- sampling ---


def _centred_sample(concentration: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return angles from the mode, (M,), by rejection from wrapped Cauchy distributions (Best and Fisher 1979).

    Written in 1 - cos of the angle and in r - 1, which keep their digits for large concentrations.
    """
    excess = _envelope_excess(concentration)
    angle, waiting = torch.zeros_like(concentration), torch.arange(len(concentration), device=concentration.device)
    while len(waiting):
        kappa, gap = concentration[waiting], excess[waiting]
        u = torch.rand(3, len(waiting), generator=generator, dtype=kappa.dtype, device=kappa.device)
        half = 0.5 * math.pi * u[0]
        height = 2 * gap * half.sin().square() / (gap + 2 * half.cos().square())  # 1 - cos of the angle
        c = kappa * (gap + height)
        accepted = c.log() - u[1].log() + 1 - c >= 0
        size = 2 * (0.5 * height).clamp_max(1.0).sqrt().asin()
        angle[waiting[accepted]] = torch.where(u[2] < 0.5, -size, size)[accepted]
        waiting = waiting[~accepted]
    return angle


def _envelope_excess(concentration: Tensor) -> Tensor:
    """Return r - 1 = (1 - rho)^2 / (2 rho) of Best and Fisher (1979), without their differences."""
    double = 2 * concentration
    root = torch.hypot(torch.ones_like(double), double)
    total = 1 + root + (2 * (1 + root)).sqrt()
    rho = double / total
    rest = (1 + 1 / (double + root) + (2 * (1 + root)).sqrt()) / total  # 1 - rho
    return rest.square() / (2 * rho)
