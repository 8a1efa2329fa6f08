"""Truncation against SciPy's truncated normal, and other families by quadrature."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.distributions import (
    DiagonalNormal,
    FullNormal,
    Gamma,
    Laplace,
    Logistic,
    LogNormal,
    Mixture,
    PointMass,
    Poisson,
    StudentT,
    Truncated,
    VonMises,
)

INF = math.inf


def column(*values, dtype=torch.float64) -> Tensor:
    return torch.tensor(values, dtype=dtype).reshape(1, -1, 1)


def at(*values, dtype=torch.float64) -> Tensor:
    return torch.tensor(values, dtype=dtype).reshape(
        -1, 1, 1
    )  # (S, K=1, D=1) for components, (S, N=1, D=1) for mixtures


def normal(low, high, loc=0.0, scale=1.0) -> Truncated:
    return Truncated(DiagonalNormal(column(loc), column(scale)), low, high)


def reference(low, high, loc=0.0, scale=1.0):
    return stats.truncnorm((low - loc) / scale, (high - loc) / scale, loc, scale)


ENDS = [(-1, 2), (0, INF), (-INF, 0.5), (30, 31), (-INF, -20), (20, INF), (5, 5.001), (-40, 40), (1e-3, 2e-3), (-8, 9)]


@pytest.mark.parametrize(("low", "high"), ENDS)
@pytest.mark.parametrize(("loc", "scale"), [(0.0, 1.0), (1.5, 0.7)])
def test_truncated_normals_agree_with_scipy(low, high, loc, scale):
    parts, truth = normal(low, high, loc, scale), reference(low, high, loc, scale)
    levels = np.array([1e-6, 0.01, 0.3, 0.5, 0.9, 0.999])
    y = truth.ppf(levels)
    np.testing.assert_allclose(parts.log_prob(at(*y))[:, 0], truth.logpdf(y), rtol=1e-8)
    np.testing.assert_allclose(parts.cdf(at(*y))[:, 0, 0], truth.cdf(y), rtol=1e-6)
    np.testing.assert_allclose(parts.sf(at(*y))[:, 0, 0], truth.sf(y), rtol=1e-6)
    width = truth.ppf(0.9) - truth.ppf(0.1)
    np.testing.assert_allclose(parts.icdf(at(*levels))[:, 0, 0], y, rtol=1e-9, atol=1e-6 * width)
    np.testing.assert_allclose(parts.isf(at(*levels))[:, 0, 0], truth.isf(levels), rtol=1e-9, atol=1e-6 * width)


@pytest.mark.parametrize(("low", "high"), ENDS)
def test_the_density_integrates_to_one(low, high):
    parts, truth = normal(low, high), reference(low, high)
    ends = truth.ppf([0.0, 1e-9, 0.01, 0.5, 0.99, 1 - 1e-9, 1.0]).clip(-60, 60)
    total = sum(
        integrate.quad(lambda y: parts.log_prob(at(y)).exp().item(), a, b, epsrel=1e-10)[0]
        for a, b in itertools.pairwise(ends)
        if a < b
    )
    assert total == pytest.approx(1, rel=1e-8)


BASES = {
    "normal": (DiagonalNormal(column(0.4), column(1.3)), stats.norm(0.4, 1.3)),
    "logistic": (Logistic(column(0.4), column(0.8)), stats.logistic(0.4, 0.8)),
    "student": (StudentT(column(2.5), column(0.4), column(0.8)), stats.t(2.5, 0.4, 0.8)),
    "laplace": (Laplace(column(0.4), column(0.8)), stats.laplace(0.4, 0.8)),
    "gamma": (Gamma(column(2.5), column(0.8)), stats.gamma(2.5, scale=0.8)),
    "lognormal": (LogNormal(column(0.4), column(0.8)), stats.lognorm(0.8, scale=math.exp(0.4))),
}
CUTS = [(-1.0, 2.0), (0.5, INF), (1.0, 1.5), (-INF, 0.9), (6.0, 7.0)]
every_base = pytest.mark.parametrize("name", BASES)
every_cut = pytest.mark.parametrize(("low", "high"), CUTS)
# Quantiles of Student's t are slow: one cut must do.
some_cuts = pytest.mark.parametrize(
    ("name", "low", "high"), [(name, *cut) for name in BASES for cut in (CUTS[1:2] if name == "student" else CUTS)]
)


def integral(f, truth, low, high) -> float:
    """Return the integral of f times the density by Gauss and Legendre's rule between many quantiles."""
    tail = 10.0 ** np.arange(-40, -2, 0.5)
    knots = np.concatenate([truth.ppf(tail), truth.ppf(np.linspace(0.01, 0.99, 25)), truth.isf(tail), [0.4, low, high]])
    knots = np.unique(knots.clip(low, high))
    knots = knots[np.isfinite(knots)]
    nodes, shares = np.polynomial.legendre.leggauss(16)
    half, middle = np.diff(knots)[:, None] / 2, (knots[1:] + knots[:-1])[:, None] / 2
    y = middle + half * nodes
    return float((half * shares * f(y) * truth.pdf(y)).sum())


def one(y):
    return np.ones_like(y)


def itself(y):
    return y


@every_base
@every_cut
def test_densities_and_probabilities_match_quadrature(name, low, high):
    base, truth = BASES[name]
    parts, kept = Truncated(base, low, high), integral(one, truth, low, high)
    inside = [truth.ppf(truth.cdf(low) + share * (truth.cdf(high) - truth.cdf(low))) for share in (0.1, 0.5, 0.95)]
    for y in inside:
        below = integral(one, truth, low, y) / kept
        assert parts.log_prob(at(y)).item() == pytest.approx(truth.logpdf(y) - math.log(kept), rel=1e-8, abs=1e-9)
        assert parts.cdf(at(y)).item() == pytest.approx(below, rel=1e-7)
        assert parts.sf(at(y)).item() == pytest.approx(1 - below, rel=1e-7)
        assert parts.icdf(parts.cdf(at(y))).item() == pytest.approx(y, rel=1e-8)
        assert parts.isf(parts.sf(at(y))).item() == pytest.approx(y, rel=1e-8)


@some_cuts
def test_moments_match_quadrature(name, low, high):
    base, truth = BASES[name]
    parts, kept = Truncated(base, low, high), integral(one, truth, low, high)
    unbounded = high == INF or low == -INF
    mean = integral(itself, truth, low, high) / kept
    assert parts.mean.item() == pytest.approx(mean, rel=1e-7)
    for order in (2, 3, 4):
        if name == "student" and unbounded and order > 2.5:
            assert parts.central_moment(order).item() == INF  # of 2.5 degrees of freedom
            continue
        scale = (integral(lambda y: abs(y - mean) ** 2, truth, low, high) / kept) ** (order / 2)
        expected = integral(lambda y, n=order: (y - mean) ** n, truth, low, high) / kept
        assert parts.central_moment(order).item() == pytest.approx(expected, rel=1e-6, abs=1e-6 * scale)


@some_cuts
def test_partial_means_match_quadrature(name, low, high):
    base, truth = BASES[name]
    parts, kept = Truncated(base, low, high), integral(one, truth, low, high)
    whole = integral(itself, truth, low, high) / kept
    shares = np.array([0.05, 0.5, 0.9])
    y = [*truth.ppf(truth.cdf(low) + shares * (truth.cdf(high) - truth.cdf(low))), -1e9, 1e9]
    lower = [integral(itself, truth, low, max(min(end, high), low)) / kept for end in y[:3]] + [0, whole]
    upper = [integral(itself, truth, max(end, low), high) / kept for end in y[:3]] + [whole, 0]
    tolerance = [1e-7] * 3 + [1e-6] * 2  # for 2.5 degrees of freedom, the mean has something beyond 1e9
    np.testing.assert_array_less(np.abs(parts.lower_mean(at(*y)).flatten().numpy() - lower), tolerance)
    np.testing.assert_array_less(np.abs(parts.upper_mean(at(*y)).flatten().numpy() - upper), tolerance)


@pytest.mark.parametrize(("low", "high"), [(30.0, 31.0), (-INF, -20.0), (20.0, INF)])
def test_moments_in_a_far_tail_keep_their_digits(low, high):
    # There Y - end is nearly exponential of rate end: SciPy's own moments lose digits, quadrature of ratios does not.
    end, side = (low, 1.0) if low > 0 else (high, -1.0)
    width = min(high - low, 60 / abs(end))

    def weighted(power):
        return integrate.quad(lambda t: t**power * math.exp(-abs(end) * t - t * t / 2), 0, width, epsrel=1e-12)[0]

    zero, one, two = (weighted(power) for power in (0, 1, 2))
    parts = normal(low, high)
    assert parts.mean.item() - end == pytest.approx(side * one / zero, rel=1e-8)
    assert parts.variance.item() == pytest.approx(two / zero - (one / zero) ** 2, rel=1e-6)


def test_closed_ends_belong_and_nothing_outside_does():
    parts = normal(-1.0, 2.0)
    assert parts.log_prob(at(-1.0)).item() == pytest.approx(reference(-1, 2).logpdf(-1.0))
    assert parts.log_prob(at(2.0)).item() == pytest.approx(reference(-1, 2).logpdf(2.0))
    beyond = [np.nextafter(-1.0, -2), np.nextafter(2.0, 3), -1e300, 1e300, -INF, INF]
    assert parts.log_prob(at(*beyond)).exp().sum().item() == 0
    assert parts.cdf(at(-1.0, 2.0)).flatten().tolist() == [0, 1]
    assert parts.sf(at(-1.0, 2.0)).flatten().tolist() == [1, 0]
    assert parts.cdf(at(-INF, -5.0, 5.0, INF)).flatten().tolist() == [0, 0, 1, 1]
    assert parts.sf(at(-INF, -5.0, 5.0, INF)).flatten().tolist() == [1, 1, 0, 0]
    assert parts.icdf(at(0.0, 1.0)).flatten().tolist() == [-1, 2]
    assert parts.isf(at(0.0, 1.0)).flatten().tolist() == [2, -1]


@pytest.mark.parametrize(("low", "high"), [(30, 31), (-INF, -20), (20, INF), (-1, 2), (5, 5.001)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_samples_stay_inside_and_follow_the_cdf(low, high, dtype):
    # Ten tests at 1e-5: a false alarm in fewer than 1 of 10,000 seeds.
    parts = Truncated(DiagonalNormal(column(0.0, dtype=dtype), column(1.0, dtype=dtype)), low, high)
    samples = parts.sample((5000,), generator=torch.Generator().manual_seed(1))
    assert samples.dtype == dtype
    assert (samples >= parts.low).all()
    assert (samples <= parts.high).all()
    if dtype == torch.float64 or high != 5.001:  # where single precision has 2,000 numbers only
        assert stats.kstest(samples.flatten().double().numpy(), reference(low, high).cdf).pvalue > 1e-5


@pytest.mark.parametrize(("low", "high"), [(-1.0, 2.0), (0.5, INF), (-INF, -3.0), (20.0, 21.0), (-0.1, 0.1)])
def test_the_log_density_has_exact_gradients(low, high):
    loc, scale = column(0.3, -0.2).requires_grad_(), column(0.9, 1.4).requires_grad_()
    y = torch.tensor([[[max(low, min(high, -1e9 if low == -INF else low + 0.05))]]], dtype=torch.float64)
    y = y.clamp(-4, 30).requires_grad_()

    def density(loc, scale, y):
        return Truncated(DiagonalNormal(loc, scale), low, high).log_prob(y)

    assert torch.autograd.gradcheck(density, (loc, scale, y))

    def heavy(loc, scale, y):
        return Truncated(Logistic(loc, scale), low, high).log_prob(y)

    assert torch.autograd.gradcheck(heavy, (loc, scale, y))


def test_the_score_is_the_derivative_of_the_log_density():
    parts = Truncated(StudentT(column(3.0), column(0.4), column(0.8)), -1.0, 2.0)
    y = at(-0.9, 0.0, 0.5, 1.9).requires_grad_()
    (expected,) = torch.autograd.grad(parts.log_prob(y).sum(), y)
    torch.testing.assert_close(parts.score(y.detach()), expected)
    assert parts.score(at(-1.5, 2.5)).abs().sum() == 0


@pytest.mark.parametrize("y", [-1e30, -1.5, -1.0, 2.0, 2.5, 1e30, INF, -INF])
@pytest.mark.parametrize(("loc", "scale"), [(0.0, 1.0), (60.0, 1.0), (-1e6, 1e-3), (0.0, 1e6), (0.5, 1e-6)])
def test_gradients_are_finite_wherever_the_target_and_the_base_lie(y, loc, scale):
    leaves = [column(loc).requires_grad_(), column(scale).requires_grad_()]
    mixture = Mixture(Categorical(torch.ones(1, 1).double()), Truncated(DiagonalNormal(*leaves), -1.0, 2.0))
    total = mixture.log_prob(at(y))
    assert not total.isnan().any()
    assert total.exp().item() == 0 or -1 <= y <= 2
    total.sum().backward()
    assert all(leaf.grad.isfinite().all() for leaf in leaves)


def test_an_affine_map_moves_the_ends_and_carries_the_jacobian():
    parts, moved = normal(-1.0, 2.0), normal(-1.0, 2.0).affine(5.0, 10.0)
    truth = reference(-5, 25, 5, 10)
    np.testing.assert_allclose(moved.log_prob(at(-5.0, 0.0, 25.0))[:, 0], truth.logpdf([-5, 0, 25]))
    assert moved.log_prob(at(25.1)).item() == -INF
    torch.testing.assert_close(moved.mean, 5 + 10 * parts.mean)
    torch.testing.assert_close(moved.icdf(at(0.3)), 5 + 10 * parts.icdf(at(0.3)))


def test_ends_of_each_dimension_and_component_stay_with_theirs():
    loc, scale = torch.zeros(4, 3, 2).double(), torch.ones(4, 3, 2).double()
    low = torch.tensor([-1.0, 0.5]).double()
    high = low + torch.arange(1.0, 7.0).reshape(3, 2).double()  # one per component
    parts = Truncated(DiagonalNormal(loc, scale), low, high)
    y = torch.tensor([0.2, 0.9]).double()
    got = parts.log_prob(y)
    for k in range(3):
        expected = sum(reference(low[d].item(), high[k, d].item()).logpdf(y[d].item()) for d in range(2))
        np.testing.assert_allclose(got[:, k], expected)
    second = parts.marginal([1])
    assert second.event_shape == (1,)
    np.testing.assert_allclose(second.log_prob(y[1:])[0, 2], reference(0.5, high[2, 1].item()).logpdf(y[1].item()))
    mixture = Mixture(Categorical(torch.ones(4, 3).double()), parts)
    assert mixture[1:3].log_prob(y.expand(2, 2)).shape == (2,)
    assert mixture.sample((5,)).shape == (5, 4, 2)
    empty = mixture[:0]
    assert empty.sample((5,)).shape == (5, 0, 2)
    assert empty.mean.shape == empty.icdf(0.5).shape == (0, 2)


def test_a_mixture_of_truncated_components_has_quantiles_modes_and_regions_inside():
    base = DiagonalNormal(column(-2.0, 0.0, 4.0), column(1.0, 0.4, 1.0))
    weights = np.array([0.4, 0.3, 0.3])
    mixture = Mixture(Categorical(torch.tensor(weights).unsqueeze(0)), Truncated(base, -1.0, 3.0))
    truths = [reference(-1, 3, loc, scale) for loc, scale in ((-2, 1), (0, 0.4), (4, 1))]

    def density(y):
        return sum(w * truth.pdf(y) for w, truth in zip(weights, truths, strict=True))

    def below(y):
        return sum(w * truth.cdf(y) for w, truth in zip(weights, truths, strict=True))

    for level in (1e-6, 0.1, 0.5, 0.8, 1 - 1e-6):
        y = mixture.icdf(level).item()
        assert below(y) == pytest.approx(level, rel=1e-8)
    assert mixture.icdf(0.0).item() == -1
    assert mixture.icdf(1.0).item() == 3
    modes = mixture.modes()
    grid = np.linspace(-1, 3, 400_001)
    height = density(grid)
    inner = grid[1:-1][(height[1:-1] > height[:-2]) & (height[1:-1] > height[2:])]
    expected = [-1.0] * int(height[0] > height[1]) + [*inner] + [3.0] * int(height[-1] > height[-2])
    np.testing.assert_allclose(modes.location[0, :, 0].sort().values, expected, atol=1e-4)
    assert modes.mass.sum().item() == pytest.approx(1)
    region = mixture.highest_density_region(0.7)
    low, high = region.low[region.mask].numpy(), region.high[region.mask].numpy()
    assert (below(high) - below(low)).sum() == pytest.approx(0.7, abs=1e-6)
    ends = [end for end in [*low, *high] if -1 < end < 3]
    np.testing.assert_allclose(density(np.array(ends)), density(ends[0]), rtol=1e-4)
    assert all(density(end) >= density(ends[0]) * (1 - 1e-4) for end in [*low, *high] if end in (-1, 3))


def test_a_truncated_density_that_rises_to_its_end_has_its_mode_there():
    mixture = Mixture(Categorical(torch.ones(1, 1).double()), normal(-INF, -20.0))
    assert mixture.modes().location.tolist() == [[[-20.0]]]
    mixture = Mixture(Categorical(torch.ones(1, 1).double()), normal(30.0, 31.0))
    assert mixture.modes().location.tolist() == [[[30.0]]]
    region = mixture.highest_density_region(0.9)
    assert region.low.item() == 30
    assert region.high.item() == pytest.approx(reference(30, 31).ppf(0.9), rel=1e-7)


def test_single_precision_keeps_the_far_tail():
    parts = Truncated(DiagonalNormal(column(0.0, dtype=torch.float32), column(1.0, dtype=torch.float32)), 30.0, 31.0)
    y = at(30.001, 30.05, 30.2, dtype=torch.float32)
    truth = reference(30, 31)
    np.testing.assert_allclose(parts.log_prob(y)[:, 0], truth.logpdf(y.flatten().numpy()), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(parts.cdf(y).flatten(), truth.cdf(y.flatten().numpy()), rtol=2e-3)
    assert parts.mean.item() == pytest.approx(truth.mean(), rel=1e-5)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (INF, INF), (math.nan, 1.0)])
def test_ends_out_of_order_are_refused(low, high):
    with pytest.raises(InputError) as caught:
        normal(low, high)
    assert str(caught.value) == f"low must be below high everywhere; got {low} and {high}."


@pytest.mark.parametrize(
    "base",
    [
        Poisson(column(2.0)),
        VonMises(column(0.0), column(2.0)),
        PointMass(column(0.0)),
        FullNormal(torch.zeros(1, 1, 2), torch.eye(2).expand(1, 1, 2, 2)),
    ],
    ids=lambda base: type(base).__name__,
)
def test_components_that_cannot_be_truncated_are_refused(base):
    with pytest.raises(InputError) as caught:
        Truncated(base, 0.0, 1.0)
    name = type(base).__name__
    assert str(caught.value) == f"base must be continuous components with independent target dimensions; got {name}."
