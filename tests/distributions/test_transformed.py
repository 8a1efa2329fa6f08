"""Components seen through monotone maps, against closed forms, SciPy and quadrature."""

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
    Concatenation,
    DiagonalNormal,
    FullNormal,
    Incomplete,
    Log,
    Logistic,
    Logit,
    LogNormal,
    Mixture,
    PointMass,
    Poisson,
    StudentT,
    Transformed,
    VonMises,
    YeoJohnson,
)

INF = math.inf
MAPS = {
    "log": Log(),
    "log above 2": Log(2.0, 0.5),
    "logit": Logit.on(-3.0, 7.0),
    **{f"power {power}": YeoJohnson(power=power) for power in (0.0, 0.5, 1.0, 1.5, 2.0)},
}
over_maps = pytest.mark.parametrize("name", MAPS)


def column(*values, dtype=torch.float64) -> Tensor:
    return torch.tensor(values, dtype=dtype).reshape(1, -1, 1)


def at(*values, dtype=torch.float64) -> Tensor:
    return torch.tensor(values, dtype=dtype).reshape(-1, 1, 1)


def normals() -> DiagonalNormal:
    return DiagonalNormal(column(-0.8, 0.7), column(0.5, 0.3))


def mixture(components, *weights) -> Mixture:
    return Mixture(Categorical(torch.tensor([weights or (0.4, 0.6)], dtype=components.mean.dtype)), components)


Z = (stats.norm(-0.8, 0.5), stats.norm(0.7, 0.3))


def base_cdf(z):
    return 0.4 * Z[0].cdf(z) + 0.6 * Z[1].cdf(z)


# --- maps ---


@over_maps
def test_a_map_and_its_inverse_undo_each_other(name):
    z = torch.linspace(-6, 6, 49, dtype=torch.float64)
    y = MAPS[name].forward(z)
    assert (y.diff() > 0).all()
    torch.testing.assert_close(MAPS[name].inverse(y), z, rtol=1e-9, atol=1e-9)


@over_maps
def test_the_slope_and_the_bend_are_the_derivatives(name):
    z = torch.linspace(-4, 4, 30, dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(MAPS[name].forward(z).sum(), z)
    torch.testing.assert_close(MAPS[name].log_slope(z.detach()), slope.log())
    (bend,) = torch.autograd.grad(MAPS[name].log_slope(z).sum(), z)
    torch.testing.assert_close(MAPS[name].bend(z.detach()), bend)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 1.5, 2.0])
def test_yeo_johnson_is_scipys(power):
    y = np.array([-30.0, -2.0, -0.3, -1e-12, 0.0, 1e-12, 0.4, 3.0, 50.0])
    expected = stats.yeojohnson(y, power)
    np.testing.assert_allclose(YeoJohnson(power=power).inverse(torch.tensor(y)), expected, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(YeoJohnson(power=power).forward(torch.tensor(expected)), y, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("power", [-0.1, 2.1, math.nan])
def test_a_power_outside_0_to_2_is_refused(power):
    with pytest.raises(InputError) as caught:
        YeoJohnson(power=power)
    assert str(caught.value) == f"power must be a number >= 0 and <= 2; got {power!r}."


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0)])
def test_bounds_of_a_logit_out_of_order_are_refused(low, high):
    with pytest.raises(InputError) as caught:
        Logit.on(low, high)
    assert str(caught.value) == f"low must be below high, and both finite; got {low} and {high}."


# --- the log of normals is LogNormal, for every method ---

LOCS, SCALES = column(-0.5, 1.0, 2.0), column(0.3, 0.7, 1.1)


def pair():
    return Transformed(DiagonalNormal(LOCS, SCALES), Log()), LogNormal(LOCS, SCALES)


POINTS = (-1.0, 0.0, 1e-300, 1e-3, 0.5, 1.0, 7.0, 1e6, 1e300)


@pytest.mark.parametrize(
    "method", ["log_prob", "marginal_log_prob", "score", "cdf", "sf", "log_cdf", "log_sf", "gradient"]
)
def test_the_log_of_normals_is_lognormal_in_everything_asked_of_a_target(method):
    through, direct = (getattr(parts, method)(at(*POINTS)) for parts in pair())
    torch.testing.assert_close(through, direct, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", ["icdf", "isf"])
def test_the_log_of_normals_has_lognormal_quantiles(method):
    levels = at(0.0, 1e-12, 0.01, 0.5, 0.999, 1.0)
    through, direct = (getattr(parts, method)(levels) for parts in pair())
    torch.testing.assert_close(through, direct, rtol=1e-9, atol=0)


def test_the_log_of_normals_has_lognormal_moments():
    through, direct = pair()
    torch.testing.assert_close(through.mean, direct.mean, rtol=1e-9, atol=0)
    for order in (2, 3, 4):
        torch.testing.assert_close(through.central_moment(order), direct.central_moment(order), rtol=1e-7, atol=0)
    y = at(-1.0, 0.0, 0.1, 1.0, 5.0, 1e9)
    torch.testing.assert_close(through.lower_mean(y), direct.lower_mean(y), rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(through.upper_mean(y), direct.upper_mean(y), rtol=1e-8, atol=1e-9)


def test_the_log_of_normals_has_lognormal_ends_intervals_samples_and_conditionals():
    through, direct = pair()
    assert [end.tolist() for end in through.ends()] == [end.tolist() for end in direct.ends()]
    seeds = [torch.Generator().manual_seed(3) for _ in range(2)]
    torch.testing.assert_close(through.sample((9,), generator=seeds[0]), direct.sample((9,), generator=seeds[1]))
    low, high = at(-INF, -INF, 0.5, 2.0, 1.0, 0.0, -3.0), at(INF, 2.0, INF, 2.0, 1.5, 4.0, 4.0)
    torch.testing.assert_close(through.interval_log_prob(low, high), direct.interval_log_prob(low, high))
    y = at(0.4, 2.0)
    for one, other in zip(through.rosenblatt(y), direct.rosenblatt(y), strict=True):
        torch.testing.assert_close(one, other)


def test_modes_and_regions_of_the_log_of_normals_are_lognormal_ones():
    through, direct = (mixture(parts, 0.3, 0.4, 0.3) for parts in pair())
    a, b = through.modes(), direct.modes()
    torch.testing.assert_close(a.location, b.location, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(a.mass, b.mass, rtol=1e-5, atol=1e-8)
    for level in (0.3, 0.9):
        one, other = through.highest_density_region(level), direct.highest_density_region(level)
        torch.testing.assert_close(one.low, other.low, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(one.high, other.high, rtol=1e-6, atol=1e-8)


def test_the_mode_of_a_lognormal_is_below_its_median():
    parts = Transformed(DiagonalNormal(column(1.3), column(0.8)), Log())
    assert mixture(parts, 1.0).mode.item() == pytest.approx(math.exp(1.3 - 0.64), rel=1e-7)
    assert mixture(parts, 1.0).median.item() == pytest.approx(math.exp(1.3))
    assert mixture(parts, 1.0).mean.item() == pytest.approx(math.exp(1.3 + 0.32))


# --- every map ---


@over_maps
def test_the_jacobian_is_exact_so_that_densities_integrate_to_one(name):
    through = mixture(normals()).through(MAPS[name])
    knots = (
        through.icdf(at(1e-9, 1e-6, 1e-3, 0.1, 0.3, 0.5, 0.8, 0.99, 1 - 1e-4, 1 - 1e-7, 1 - 1e-9)).flatten().tolist()
    )
    total = sum(
        integrate.quad(lambda y: through.log_prob(at(y)).exp().item(), a, b, epsrel=1e-9)[0]
        for a, b in itertools.pairwise(knots)
    )
    assert total == pytest.approx(1, abs=1e-7)


@over_maps
def test_probabilities_and_quantiles_are_the_bases_at_the_place_mapped_back(name):
    through = mixture(normals()).through(MAPS[name])
    z = np.array([-3.0, -0.8, 0.0, 0.7, 2.0])
    y = MAPS[name].forward(torch.tensor(z)).reshape(-1, 1, 1)
    np.testing.assert_allclose(through.cdf(y).flatten(), base_cdf(z), rtol=1e-9)
    np.testing.assert_allclose(through.sf(y).flatten(), 1 - base_cdf(z), rtol=1e-6, atol=1e-15)
    levels = (1e-6, 0.1, 0.42, 0.9, 1 - 1e-6)
    for level in levels:
        mapped = MAPS[name].forward(mixture(normals()).icdf(level))
        torch.testing.assert_close(through.icdf(level), mapped, rtol=1e-7, atol=1e-9)
    assert through.median.item() == pytest.approx(MAPS[name].forward(mixture(normals()).median).item())


@over_maps
def test_modes_are_the_maxima_in_the_units_of_the_user(name):
    through = mixture(normals()).through(MAPS[name])
    z = torch.linspace(-4, 3, 300_001, dtype=torch.float64)
    y = MAPS[name].forward(z)
    slope = np.exp(MAPS[name].log_slope(z).numpy())
    height = (0.4 * Z[0].pdf(z.numpy()) + 0.6 * Z[1].pdf(z.numpy())) / slope
    peaks = y.numpy()[1:-1][(height[1:-1] > height[:-2]) & (height[1:-1] > height[2:])]
    modes = through.modes()
    np.testing.assert_allclose(modes.location[modes.mask].flatten().sort().values, peaks, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(modes.log_density[0].exp().max(), height.max(), rtol=1e-7)
    assert modes.mass.sum().item() == pytest.approx(1)


@over_maps
@pytest.mark.parametrize("level", [0.4, 0.95])
def test_regions_hold_their_level_between_ends_of_equal_density(name, level):
    through = mixture(normals()).through(MAPS[name])
    region = through.highest_density_region(level)
    low, high = region.low[region.mask], region.high[region.mask]
    held = base_cdf(MAPS[name].inverse(high).numpy()) - base_cdf(MAPS[name].inverse(low).numpy())
    assert held.sum() == pytest.approx(level, abs=1e-6)
    ends = through.log_prob(torch.cat([low, high]).reshape(-1, 1, 1))
    torch.testing.assert_close(ends, ends[:1].expand_as(ends), rtol=1e-4, atol=1e-4)


@over_maps
def test_moments_match_quadrature_over_the_base(name):
    through = mixture(normals()).through(MAPS[name])

    def expected(f):
        def integrand(z):
            y = MAPS[name].forward(torch.tensor([z], dtype=torch.float64)).item()
            return f(y) * (0.4 * Z[0].pdf(z) + 0.6 * Z[1].pdf(z))

        return sum(
            integrate.quad(integrand, a, b, epsrel=1e-10)[0] for a, b in ((-8, -0.8), (-0.8, 0), (0, 0.7), (0.7, 6))
        )

    mean = expected(lambda y: y)
    assert through.mean.item() == pytest.approx(mean, rel=1e-6)  # the power map bends abruptly at 0
    for order in (2, 3):
        want = expected(lambda y, n=order: (y - mean) ** n)
        assert through.central_moment(order).item() == pytest.approx(want, rel=1e-5, abs=1e-8)


@over_maps
def test_samples_follow_the_mapped_cdf(name):
    # Eight tests at 1e-5: a false alarm in fewer than 1 of 10,000 seeds.
    samples = mixture(normals()).through(MAPS[name]).sample((3000,), generator=torch.Generator().manual_seed(2))
    back = MAPS[name].inverse(samples).flatten().numpy()
    assert stats.kstest(back, base_cdf).pvalue > 1e-5


@over_maps
def test_the_score_is_the_derivative_of_the_log_density(name):
    parts = Transformed(StudentT(column(4.0), column(0.2), column(0.8)), MAPS[name])
    y = MAPS[name].forward(at(-2.0, -0.5, 0.3, 1.7)).requires_grad_()
    (expected,) = torch.autograd.grad(parts.log_prob(y).sum(), y)
    torch.testing.assert_close(parts.score(y.detach()), expected)
    torch.testing.assert_close(parts.gradient(y.detach()), expected)


@over_maps
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_near_bounds_and_outside(name, dtype):
    low, high = MAPS[name].ends(torch.zeros(1, dtype=dtype))
    tiny = torch.finfo(dtype)
    near = [low, low + tiny.tiny, low.nextafter(high), high.nextafter(low), high, low - 1, high + 1]
    points = [value.item() for value in near if value.isfinite()] + [-1e30, 0.0, 1e30, -INF, INF]
    for y in points:
        leaves = [column(-0.8, 0.7, dtype=dtype).requires_grad_(), column(0.5, 0.3, dtype=dtype).requires_grad_()]
        density = mixture(DiagonalNormal(*leaves)).through(MAPS[name]).log_prob(at(y, dtype=dtype))
        assert not density.isnan().any(), y
        density.sum().backward()
        assert all(leaf.grad.isfinite().all() for leaf in leaves), y
    total = mixture(DiagonalNormal(*leaves)).through(MAPS[name]).cdf(at(*points, dtype=dtype))
    assert not total.isnan().any()
    total.sum().backward()
    assert all(leaf.grad.isfinite().all() for leaf in leaves)


@over_maps
def test_an_affine_map_behind_another_composes(name):
    through = mixture(normals()).through(MAPS[name])
    moved = through.affine(5.0, 10.0)
    y = MAPS[name].forward(at(-1.0, 0.2, 0.9))
    torch.testing.assert_close(moved.log_prob(5 + 10 * y), through.log_prob(y) - math.log(10))
    torch.testing.assert_close(moved.icdf(0.3), 5 + 10 * through.icdf(0.3))
    torch.testing.assert_close(moved.modes().location, 5 + 10 * through.modes().location, rtol=1e-6, atol=1e-6)


# --- a base of correlated dimensions ---

COVARIANCE = np.array([[1.0, 0.6, 0.2], [0.6, 0.8, -0.1], [0.2, -0.1, 0.5]])
MEAN = np.array([0.3, -0.5, 0.1])


def correlated() -> Mixture:
    tril = torch.tensor(np.linalg.cholesky(COVARIANCE)).expand(1, 1, 3, 3)
    return mixture(FullNormal(torch.tensor(MEAN).expand(1, 1, 3), tril), 1.0).through(Log())


def test_the_joint_density_of_a_correlated_base_has_the_product_of_slopes():
    y = np.array([1.5, 0.4, 2.2])
    expected = stats.multivariate_normal(MEAN, COVARIANCE).logpdf(np.log(y)) - np.log(y).sum()
    assert correlated().log_prob(torch.tensor(y).unsqueeze(0)).item() == pytest.approx(expected)
    assert correlated().log_prob(torch.tensor([[1.5, -0.4, 2.2]]).double()).item() == -INF


@pytest.mark.parametrize("dims", [[0], [2], [1, 0], [0, 2]])
def test_marginals_and_conditionals_of_a_correlated_base_are_normal_in_logs(dims):
    y = np.array([1.5, 0.4, 2.2])
    others = [dim for dim in range(3) if dim not in dims]
    marginal = stats.multivariate_normal(MEAN[dims], COVARIANCE[np.ix_(dims, dims)])
    expected = marginal.logpdf(np.log(y[dims])) - np.log(y[dims]).sum()
    got = correlated().marginal(dims).log_prob(torch.tensor(y[dims]).unsqueeze(0))
    assert got.item() == pytest.approx(expected)
    joint = stats.multivariate_normal(MEAN, COVARIANCE).logpdf(np.log(y)) - np.log(y).sum()
    conditional = correlated().conditional(dims, torch.tensor(y[dims]).unsqueeze(0))
    assert conditional.log_prob(torch.tensor(y[others]).unsqueeze(0)).item() == pytest.approx(joint - expected)


def test_bounds_of_each_dimension_stay_with_it():
    transform = Logit(torch.tensor([0.0, 10.0]).double(), torch.tensor([1.0, 5.0]).double())
    through = mixture(DiagonalNormal(torch.zeros(1, 2, 2).double(), torch.ones(1, 2, 2).double())).through(transform)
    y = torch.tensor([[0.2, 14.0]]).double()
    expected = sum(stats.norm.logpdf(math.log(u / (1 - u))) - math.log(u * (1 - u)) for u in (0.2, 0.8)) - math.log(5)
    assert through.log_prob(y).item() == pytest.approx(expected)
    assert through.log_prob(torch.tensor([[0.2, 0.5]]).double()).item() == -INF
    second = through.marginal(1)
    assert second.icdf(0.5).item() == pytest.approx(12.5)
    assert through.conditional(0, y[:, :1]).log_prob(y[:, 1:]).item() == pytest.approx(
        stats.norm.logpdf(math.log(4)) - math.log(0.8 * 0.2 * 5)
    )
    assert through.marginal([1, 0]).log_prob(y[:, [1, 0]]).item() == pytest.approx(expected)


def test_a_conditional_at_an_impossible_value_holds_no_nan():
    for value in (-1.0, 0.0, INF, 1e300):
        conditional = correlated().conditional(0, torch.tensor([[value]]).double())
        assert not conditional.log_prob(torch.tensor([[0.4, 2.2]]).double()).isnan().any()
        assert not conditional.weights.isnan().any()


# --- mixtures ---


def test_atoms_move_without_a_jacobian():
    parts = Concatenation(PointMass(column(0.0)), normals())
    through = mixture(parts, 0.25, 0.35, 0.4).through(Logit.on(0.0, 10.0))
    assert through.log_prob(at(5.0)).item() == pytest.approx(math.log(0.25))
    assert through.probability(5.0, 5.0).item() == pytest.approx(0.25)
    y = 7.0
    z = math.log(0.7 / 0.3)
    expected = (0.35 * Z[0].pdf(z) + 0.4 * Z[1].pdf(z)) / (10 * 0.7 * 0.3)
    assert through.log_prob(at(y)).exp().item() == pytest.approx(expected)
    modes = through.modes()
    assert modes.atoms.location.tolist() == [[5.0]]
    assert modes.mass.sum().item() + modes.atoms.mass.sum().item() == pytest.approx(1)


def test_a_map_of_a_map_is_both():
    once = mixture(normals()).through(YeoJohnson(power=0.5))
    twice = once.through(Log())
    y = np.array([0.1, 0.5, 1.3, 4.0])
    z = stats.yeojohnson(np.log(y), 0.5)
    slope = np.where(np.log(y) >= 0, (1 + np.abs(np.log(y))) ** -0.5, (1 + np.abs(np.log(y))) ** 0.5) / y
    expected = (0.4 * Z[0].pdf(z) + 0.6 * Z[1].pdf(z)) * slope
    np.testing.assert_allclose(twice.log_prob(at(*y)).exp().flatten(), expected)


@pytest.mark.parametrize(
    "base", [Poisson(column(2.0)), VonMises(column(0.0), column(2.0))], ids=lambda b: type(b).__name__
)
def test_what_has_no_jacobian_is_refused(base):
    with pytest.raises(InputError) as caught:
        mixture(base, 1.0).through(Log())
    assert str(caught.value) == f"base must have a density on the line; got {type(base).__name__}."


def test_incomplete_targets_are_mapped_at_both_ends():
    through = mixture(normals()).through(Log())
    low, high = [-INF, 0.5, -2.0, 1.2, -INF], [INF, INF, 0.7, 1.2, -3.0]
    rows = through.expand((5,))
    targets = Incomplete(torch.tensor(low).double().unsqueeze(1), torch.tensor(high).double().unsqueeze(1))
    got = rows.log_prob(targets).exp().tolist()
    assert got[0] == pytest.approx(1)
    assert got[1] == pytest.approx(1 - base_cdf(math.log(0.5)))
    assert got[2] == pytest.approx(base_cdf(math.log(0.7)))
    assert got[3] == pytest.approx((0.4 * Z[0].pdf(math.log(1.2)) + 0.6 * Z[1].pdf(math.log(1.2))) / 1.2)
    assert got[4] == pytest.approx(0, abs=1e-300)


def test_shapes_rows_casts_and_empty_batches_hold():
    loc, scale = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(0)).double(), torch.ones(4, 3, 2).double()
    through = Mixture(Categorical(torch.ones(4, 3).double()), DiagonalNormal(loc, scale)).through(Logit.on(0.0, 1.0))
    y = torch.full((5, 4, 2), 0.3).double()
    expected = through.log_prob(y)
    assert expected.shape == (5, 4)
    assert through.sample((5,)).shape == through.cdf(y).shape == (5, 4, 2)
    torch.testing.assert_close(through[1:3].log_prob(y[:, 1:3]), expected[:, 1:3])
    torch.testing.assert_close(through.to(torch.float32).log_prob(y.float()), expected.float(), rtol=1e-4, atol=1e-4)
    assert through[:0].mean.shape == through[:0].icdf(0.5).shape == (0, 2)
    assert through.expand((2, 4)).log_prob(y[:2]).shape == (2, 4)


def test_single_precision_near_the_bounds_of_a_logit_keeps_the_density():
    parts = Transformed(
        Logistic(column(0.0, dtype=torch.float32), column(1.0, dtype=torch.float32)), Logit.on(0.0, 1.0)
    )
    y = at(1e-30, 1e-6, 0.5, 0.999, dtype=torch.float32)  # a standard logistic through a logit is uniform
    np.testing.assert_allclose(parts.log_prob(y).flatten(), 0.0, atol=2e-5)
    np.testing.assert_allclose(parts.cdf(y).flatten(), y.flatten(), rtol=2e-5)
