import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.distributions import (
    Beta,
    Concatenation,
    DiagonalNormal,
    Gamma,
    Laplace,
    Logistic,
    LogNormal,
    Mixture,
    NegativeBinomial,
    PointMass,
    Poisson,
    Product,
    StudentT,
    Truncated,
    VonMises,
)

from .test_mixture import make
from .test_turning import alone, column, drawn, every_family

LEVELS = torch.tensor([1e-9, 1e-4, 0.01, 0.25, 0.5, 0.75, 0.99, 1 - 1e-4, 1 - 1e-9], dtype=torch.float64)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_cdf_of_a_quantile_is_its_level_relative_to_the_nearer_tail(scale):
    mixture = make(n=50, k=5, d=2, scale=scale)
    quantiles = mixture.icdf(LEVELS[:, None, None])
    assert quantiles.shape == (9, 50, 2)
    tail = torch.minimum(LEVELS, 1 - LEVELS)[:, None, None]
    upper = (mixture.weights.unsqueeze(-1) * mixture.components.sf(quantiles.unsqueeze(-2))).sum(-2)
    share = torch.where((LEVELS > 0.5)[:, None, None], upper, mixture.cdf(quantiles))
    assert ((share - tail).abs() <= 1e-9 * tail).all()


@every_family
def test_the_quantile_of_a_target_is_the_target_up_to_conditioning(name):
    mixture = drawn(name, n=14, seed=21)
    y = mixture.sample((3,), generator=torch.Generator().manual_seed(3))
    below, above = mixture.cdf(y), mixture.sf(y)
    again = torch.where(below < 0.5, mixture.icdf(below), mixture.isf(above))
    # A rounding error of the smaller tail moves the quantile by itself over the density.
    conditioning = torch.minimum(below, above) / mixture.log_prob(y).exp().unsqueeze(-1)
    assert ((again - y).abs() <= 1e-8 * torch.maximum(y.abs(), conditioning)).all()


@every_family
def test_quantiles_reproduce_their_levels_in_both_tails(name):
    mixture = drawn(name, n=7, seed=22)
    for level in (1e-6, 0.1, 0.5):
        low, high = mixture.icdf(level), mixture.isf(level)
        # The level lies between the probabilities at neighbouring numbers, which no quantile can beat.
        for tail, y, sign in ((mixture.cdf, low, 1.0), (mixture.sf, high, -1.0)):
            step = sign * 8e-16 * y.abs()
            assert (tail(y + step) >= level * (1 - 1e-8)).all()
            assert (tail(y - step) <= level * (1 + 1e-8)).all()


@every_family
def test_quantiles_rise_with_their_level(name):
    mixture = drawn(name, n=7, seed=23)
    levels = torch.linspace(0.001, 0.999, 41, dtype=torch.float64).reshape(-1, 1, 1)
    quantiles = mixture.icdf(levels)
    assert (quantiles.diff(dim=0) >= -1e-9 * quantiles[1:].abs()).all()


@every_family
def test_single_precision_quantiles_agree_with_double_ones(name):
    mixture = drawn(name, n=7, seed=24)
    single = mixture.to(torch.float32)
    exact = single.to(torch.float64)
    for level in (0.02, 0.5, 0.9):
        found = single.icdf(level)
        assert found.dtype == torch.float32
        grain = 2e-7 * found.double().abs() * exact.log_prob(found.double()).exp().unsqueeze(-1)
        assert ((exact.cdf(found.double()) - level).abs() <= 1e-4 + grain).all()


def test_quantiles_are_found_across_a_gap_without_density():
    loc = torch.tensor([[[-1e6], [1e6]]], dtype=torch.float64)
    weights = Categorical(torch.tensor([[0.3, 0.7]], dtype=torch.float64))
    mixture = Mixture(weights, DiagonalNormal(loc, torch.full_like(loc, 1e-6)))
    assert mixture.icdf(0.299).item() == pytest.approx(-1e6)
    assert mixture.icdf(0.301).item() == pytest.approx(1e6)
    assert -1e6 <= mixture.icdf(0.3).item() <= 1e6


@pytest.mark.parametrize("gap", [1e3, 1e9, 1e15])
@pytest.mark.parametrize("family", [DiagonalNormal, Laplace, Logistic])
def test_quantiles_near_a_wide_gap_lie_on_the_right_side(family, gap):
    mixture = alone(family(column([-gap, gap]), column([1.0, 1.0])), [0.5, 0.5])
    for level in (0.4, 0.49, 0.499999):
        own = family(column([-gap]), column([1.0])).icdf(torch.tensor(2 * level, dtype=torch.float64))
        assert mixture.icdf(level).item() == pytest.approx(own.item(), rel=1e-12)
        assert mixture.icdf(1 - level).item() == pytest.approx(-own.item(), rel=1e-12)


def test_single_precision_quantiles_are_as_good_as_their_precision_allows():
    mixture = make(n=100, k=5, d=1, dtype=torch.float32)
    levels = torch.tensor([0.01, 0.3, 0.5, 0.9])[:, None, None]
    assert (mixture.cdf(mixture.icdf(levels)) - levels).abs().max() < 1e-5


def test_far_tails_keep_their_relative_accuracy():
    mixture = make(n=20, k=5, d=1)
    for tail in (1e-30, 1e-100):
        low, high = mixture.icdf(tail), mixture.isf(tail)
        assert (mixture.cdf(low) / tail - 1).abs().max() < 1e-6
        share = (mixture.weights.unsqueeze(-1) * mixture.components.sf(high.unsqueeze(-2))).sum(-2)
        assert (share / tail - 1).abs().max() < 1e-6
    torch.testing.assert_close(mixture.isf(0.3), mixture.icdf(0.7))
    single = mixture.to(torch.float32)
    torch.testing.assert_close(single.icdf(1 - 1e-9).double(), mixture.icdf(1 - 1e-9), rtol=1e-4, atol=1e-4)


TAILS = {
    "normal": (DiagonalNormal(column([1.0]), column([2.0])), stats.norm(1, 2)),
    "student": (StudentT(column([3.0]), column([1.0]), column([2.0])), stats.t(3, 1, 2)),
    "laplace": (Laplace(column([1.0]), column([2.0])), stats.laplace(1, 2)),
    "logistic": (Logistic(column([1.0]), column([2.0])), stats.logistic(1, 2)),
    "lognormal": (LogNormal(column([1.0]), column([0.5])), stats.lognorm(0.5, scale=math.e)),
    "gamma": (Gamma(column([2.5]), column([2.0])), stats.gamma(2.5, scale=2)),
}


@pytest.mark.parametrize("tail", [1e-9, 1e-30])
@pytest.mark.parametrize("name", TAILS)
def test_far_upper_quantiles_agree_with_scipy(name, tail):
    parts, reference = TAILS[name]
    for components in (parts, Concatenation(parts, parts)):  # with and without a search
        assert alone(components).isf(tail).item() == pytest.approx(reference.isf(tail), rel=1e-8)
    together = alone(Concatenation(parts, DiagonalNormal(column([-9.0]), column([0.01]))))
    assert together.isf(tail / 2).item() == pytest.approx(reference.isf(tail), rel=1e-8)


def test_levels_zero_and_one_are_infinite():
    mixture = make(n=2, d=1)
    assert (mixture.icdf(0.0) == -math.inf).all()
    assert (mixture.icdf(1.0) == math.inf).all()


@pytest.mark.parametrize(
    ("components", "low", "high"),
    [
        (LogNormal(column([0.0, 1.0]), column([1.0, 0.5])), 0.0, math.inf),
        (Gamma(column([0.5, 3.0]), column([1.0, 2.0])), 0.0, math.inf),
        (Beta(column([0.5, 3.0]), column([1.0, 2.0]), -1.0, 3.0), -1.0, 3.0),
        (VonMises(column([0.5, 3.0]), column([1.0, 2.0])), -math.pi, math.pi),
        (Truncated(DiagonalNormal(column([0.0, 1.0]), column([1.0, 2.0])), -1.0, 2.0), -1.0, 2.0),
        (Poisson(column([3.0, 9.0])), 0.0, math.inf),
        (PointMass(column([3.0, 9.0])), 3.0, 9.0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_levels_zero_and_one_are_the_ends_of_the_support(components, low, high):
    mixture = alone(components)
    assert (mixture.icdf(0.0).item(), mixture.icdf(1.0).item()) == (low, high)
    assert (mixture.isf(1.0).item(), mixture.isf(0.0).item()) == (low, high)


def test_one_component_needs_no_search():
    mixture = make(n=5, k=1)
    torch.testing.assert_close(mixture.icdf(0.2), mixture.components.icdf(torch.tensor(0.2).double())[:, 0])


def test_quantiles_of_a_truncation_whose_probability_underflows_lie_next_to_its_end():
    # 44 standard deviations out: an exponential with a mean of scale^2 / distance, to a few per mille.
    mixture = alone(Truncated(DiagonalNormal(column([-2.5]), column([0.03])), 0.0, 2.0))
    mean = 0.03**2 / 2.5
    for level in (0.01, 0.5, 0.99):
        assert mixture.icdf(level).item() == pytest.approx(-mean * math.log1p(-level), rel=2e-3)
    assert mixture.mean.item() == pytest.approx(mean, rel=2e-3)


@pytest.mark.parametrize("distance", [2.0, 6.0, 10.0, 20.0])
def test_single_precision_truncations_far_out_have_the_moments_and_quantiles_of_double_ones(distance):
    parts = Truncated(DiagonalNormal(column([-distance]), column([1.0])), 0.0, math.inf)
    exact, single = alone(parts), alone(parts).to(torch.float32)
    for name in ("mean", "variance", "median"):
        assert getattr(single, name).item() == pytest.approx(getattr(exact, name).item(), rel=1e-3), name
    assert single.isf(0.01).item() == pytest.approx(exact.isf(0.01).item(), rel=1e-3)


@pytest.mark.parametrize("level", [-0.1, 1.1, math.nan])
def test_a_level_outside_zero_to_one_is_refused(level):
    with pytest.raises(InputError) as caught:
        make().icdf(level)
    assert str(caught.value) == f"q must be a number from 0 to 1; got {level}."


def test_levels_that_do_not_broadcast_like_targets_are_refused():
    with pytest.raises(InputError, match=r"^q must be a number or have shape \(\.\.\., 4, 2\)"):
        make().icdf(torch.tensor([0.1, 0.2, 0.3]))


# --- jumps ---


def jumps_of(mixture: Mixture, places: list[float]) -> list[tuple[float, float, float]]:
    """Return each place with F just before it and F at it."""
    out = []
    for place in places:
        at = torch.tensor([[place]], dtype=torch.float64)
        before = torch.nextafter(at, torch.full_like(at, -math.inf))
        out.append((place, mixture.cdf(before).item(), mixture.cdf(at).item()))
    return out


TEN = [float(count) for count in range(10)]
COUNTS = {
    "poisson": alone(Poisson(column([0.7, 6.0])), [0.4, 0.6]),
    "one poisson": alone(Poisson(column([2.5]))),
    "negative binomial": alone(NegativeBinomial(column([2.0, 9.0]), column([0.8, 3.0])), [0.4, 0.6]),
    "zero-inflated": alone(Concatenation(PointMass(column([0.0])), Poisson(column([4.0]))), [0.3, 0.7]),
    "poisson and negative binomial": alone(
        Concatenation(Poisson(column([0.7])), NegativeBinomial(column([9.0]), column([3.0]))), [0.4, 0.6]
    ),
}


@pytest.mark.parametrize("name", COUNTS)
def test_the_quantile_of_counts_is_the_smallest_that_reaches_the_level(name):
    mixture = COUNTS[name]
    counts, before, at = (
        torch.tensor(values, dtype=torch.float64) for values in zip(*jumps_of(mixture, TEN), strict=True)
    )
    levels = torch.stack([before + 1e-9, 0.5 * (before + at), at - 1e-9]).unsqueeze(-1).unsqueeze(-1)  # (3, 10, 1, 1)
    assert torch.equal(mixture.icdf(levels).squeeze(-1).squeeze(-1), counts.expand(3, 10))
    assert torch.equal(mixture.isf(1 - levels).squeeze(-1).squeeze(-1), counts.expand(3, 10))
    assert torch.equal(mixture.icdf(at.reshape(-1, 1, 1) + 1e-9).flatten(), counts + 1)


@pytest.mark.parametrize("name", COUNTS)
def test_a_level_that_is_exactly_reached_belongs_to_the_count_that_reaches_it(name):
    mixture = COUNTS[name]
    for count, _, at in jumps_of(mixture, [0.0, 1.0, 2.0]):
        if at <= 0.5:
            assert mixture.icdf(at).item() == count
    for count in (4.0, 7.0, 9.0):
        above = mixture.sf(torch.tensor([[count]], dtype=torch.float64)).item()
        if above < 0.5:
            assert mixture.isf(above).item() == count


MIXED = alone(
    Concatenation(PointMass(column([0.0, 50.0])), LogNormal(column([1.0, 3.0]), column([0.5, 0.3]))),
    [0.2, 0.1, 0.4, 0.3],
)


def test_levels_inside_a_jump_are_the_atom():
    for place, before, at in jumps_of(MIXED, [0.0, 50.0]):
        for level in (before + 1e-9, 0.5 * (before + at), at - 1e-9):
            assert MIXED.icdf(level).item() == place
            assert MIXED.isf(1 - level).item() == place
        assert MIXED.icdf(at).item() == pytest.approx(place, abs=1e-12)
    assert MIXED.icdf(0.2 + 1e-9).item() > 0
    assert MIXED.icdf(1e-12).item() == 0
    assert MIXED.icdf(0.0).item() == 0


def test_levels_between_jumps_are_quantiles_of_the_density():
    for level in (0.25, 0.4, 0.7, 0.85, 0.95, 0.999, 1 - 1e-9):
        found = MIXED.icdf(level)
        if found.item() != 50.0:
            assert MIXED.cdf(found).item() == pytest.approx(level, abs=1e-12)


def test_an_atom_in_an_empty_gap_holds_its_levels():
    mixture = alone(
        Concatenation(DiagonalNormal(column([-100.0, 100.0]), column([1.0, 1.0])), PointMass(column([3.0]))),
        [0.4, 0.4, 0.2],
    )
    for level in (0.41, 0.5, 0.59):
        assert mixture.icdf(level).item() == 3.0
        assert mixture.isf(level).item() == 3.0
    assert mixture.icdf(0.39).item() == pytest.approx(-100 + stats.norm.ppf(0.39 / 0.4))
    assert mixture.isf(0.39).item() == pytest.approx(100 + stats.norm.isf(0.39 / 0.4))


def test_a_normal_beside_a_lognormal_has_the_quantiles_of_their_average_cdf():
    mixture = alone(
        Concatenation(DiagonalNormal(column([1.0]), column([0.5])), LogNormal(column([2.0]), column([1.0]))),
        [0.7, 0.3],
    )

    def cdf(y):
        return 0.7 * stats.norm(1, 0.5).cdf(y) + 0.3 * stats.lognorm(1.0, scale=math.e**2).cdf(y)

    for level in (1e-6, 0.05, 0.5, 0.69, 0.8, 0.9999):
        assert cdf(mixture.icdf(level).item()) == pytest.approx(level, rel=1e-9)


def test_dimensions_of_different_kinds_have_quantiles_of_their_own():
    blocks = Product(
        VonMises(column([0.0, 2.0]), column([2.0, 5.0])),
        LogNormal(column([0.0, 1.0]), column([0.5, 1.0])),
        Poisson(column([2.0, 7.0])),
    )
    mixture = alone(blocks, [0.3, 0.7])
    for level in (0.001, 0.3, 0.5, 0.77, 0.999):
        both = mixture.icdf(level)
        assert both.shape == (1, 3)
        for dim in range(3):
            assert both[0, dim].item() == pytest.approx(mixture.marginal(dim).icdf(level).item(), rel=1e-9)
    assert mixture.icdf(0.6)[0, 2].item().is_integer()


def test_quantiles_of_double_and_empty_batches_keep_their_shapes():
    mixture = make(n=6, d=2)
    loc, scale = (value.reshape(2, 3, 3, 2) for value in (mixture.components.loc, mixture.components.scale))
    double = Mixture(Categorical(logits=mixture.logits.reshape(2, 3, 3)), DiagonalNormal(loc, scale))
    torch.testing.assert_close(double.icdf(0.3), mixture.icdf(0.3).reshape(2, 3, 2))
    levels = torch.tensor([0.1, 0.9], dtype=torch.float64).reshape(2, 1, 1, 1)
    assert double.icdf(levels).shape == (2, 2, 3, 2)
    assert make(n=0, d=2).icdf(torch.full((5, 1, 1), 0.5)).shape == (5, 0, 2)


def test_components_without_weight_bend_no_quantile():
    pair = alone(DiagonalNormal(column([0.0, 1e12]), column([1.0, 1e-9])), [1.0, 0.0])
    assert pair.icdf(0.9).item() == pytest.approx(stats.norm.ppf(0.9), rel=1e-12)
    assert pair.isf(1e-30).item() == pytest.approx(stats.norm.isf(1e-30), rel=1e-12)


# --- probabilities ---


def test_the_probability_of_one_count_is_that_of_a_closed_interval():
    mixture, reference = COUNTS["one poisson"], stats.poisson(2.5)
    for count in (0, 1, 3, 9):
        assert mixture.probability(count, count).item() == pytest.approx(reference.pmf(count), rel=1e-9)
    assert mixture.probability(2, 5).item() == pytest.approx(reference.cdf(5) - reference.cdf(1), rel=1e-12)
    assert mixture.probability(1.5, 1.9).item() == 0
    assert mixture.probability(-math.inf, math.inf).item() == 1
    assert mixture.probability(-math.inf, 0).item() == pytest.approx(reference.pmf(0))


def test_atoms_at_the_ends_of_an_interval_belong_to_it():
    assert MIXED.probability(0.0, 0.0).item() == pytest.approx(0.2, rel=1e-12)
    assert MIXED.probability(50.0, 50.0).item() == pytest.approx(0.1, rel=1e-12)
    inner = MIXED.probability(1e-300, 49.999999999).item()
    assert MIXED.probability(0.0, 50.0).item() == pytest.approx(0.3 + inner, abs=1e-9)
    assert MIXED.probability(-1.0, 0.0).item() == pytest.approx(0.2, rel=1e-12)
    assert MIXED.probability(50.0, math.inf).item() == pytest.approx(MIXED.exceedance(50.0).item(), rel=1e-12)


@every_family
def test_the_probability_of_an_interval_is_a_difference_of_cdfs(name):
    mixture = drawn(name, n=7, seed=25)
    low, high = mixture.icdf(0.2), mixture.icdf(0.7)
    expected = mixture.cdf(high) - mixture.cdf(low)
    grain = 1e-15 * (1 + low.abs() * mixture.log_prob(low).exp().unsqueeze(-1))
    assert ((mixture.probability(low, high) - expected).abs() <= 1e-9 + grain).all()
    assert (mixture.probability(-math.inf, math.inf) - 1).abs().max() < 1e-14


@pytest.mark.parametrize(("low", "high"), [(8.0, 9.0), (-9.0, -8.0), (30.0, 31.0)])
def test_tiny_probabilities_of_intervals_keep_their_digits(low, high):
    mixture = alone(DiagonalNormal(column([0.0]), column([1.0])))
    a, b = (low, high) if low > 0 else (-high, -low)
    expected = stats.norm.sf(a) - stats.norm.sf(b)
    assert mixture.probability(low, high).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", TAILS)
def test_an_exceedance_counts_the_threshold_and_keeps_tiny_probabilities(name):
    parts, reference = TAILS[name]
    mixture = alone(parts)
    for threshold in (reference.isf(0.4), reference.isf(1e-12), reference.isf(1e-40)):
        assert mixture.exceedance(threshold).item() == pytest.approx(reference.sf(threshold), rel=1e-8)
    assert COUNTS["one poisson"].exceedance(3).item() == pytest.approx(stats.poisson(2.5).sf(2))
    assert MIXED.exceedance(50.0).item() - MIXED.sf(torch.full((1, 1), 50.0).double()).item() == pytest.approx(0.1)


def test_ends_out_of_order_and_nan_are_refused():
    with pytest.raises(InputError) as caught:
        make(d=1).probability(2.0, 1.0)
    assert str(caught.value) == "low must be <= high; got 2 and 1 at (0, 0)."
    with pytest.raises(InputError) as caught:
        make(d=1).exceedance(math.nan)
    assert str(caught.value) == "threshold must be a number; got NaN."


@pytest.mark.parametrize("level", [0.5, 0.9, 0.999])
def test_a_central_interval_leaves_equal_tails(level):
    mixture = make(n=10, d=2)
    low, high = mixture.central_interval(level)
    torch.testing.assert_close(mixture.cdf(low), torch.full((10, 2), (1 - level) / 2, dtype=torch.float64))
    torch.testing.assert_close(mixture.sf(high), torch.full((10, 2), (1 - level) / 2, dtype=torch.float64))


# --- tail means ---


def tail_mean(reference, level: float, upper: bool) -> float:
    """Return the average of quantiles in the tail: expected shortfall in general (Acerbi and Tasche 2002, eq. 3.3)."""
    function = reference.isf if upper else reference.ppf
    # With u = (1 - level) exp(-t) the integrand is smooth however heavy the tail.
    value, _ = integrate.quad(
        lambda t: function((1 - level) * math.exp(-t)) * math.exp(-t), 0, 300, limit=400, epsabs=1e-10, epsrel=1e-10
    )
    return value


SHORTFALL = {
    **TAILS,
    "uniform": (Beta(column([1.0]), column([1.0]), -1.0, 3.0), stats.uniform(-1, 4)),
    "heavy student": (StudentT(column([1.3]), column([1.0]), column([2.0])), stats.t(1.3, 1, 2)),
}


@pytest.mark.parametrize("tail", ["upper", "lower"])
@pytest.mark.parametrize("name", SHORTFALL)
def test_expected_shortfall_is_the_average_quantile_of_the_tail(name, tail):
    parts, reference = SHORTFALL[name]
    for level in (0.1, 0.5, 0.95, 0.999):
        expected = tail_mean(reference, level, tail == "upper")
        found = alone(Concatenation(parts, parts)).expected_shortfall(level, tail=tail).item()
        assert found == pytest.approx(expected, rel=1e-5 if name == "heavy student" else 1e-7, abs=1e-9)


@pytest.mark.parametrize("tail", ["upper", "lower"])
@pytest.mark.parametrize("level", [0.3, 0.95])
def test_expected_shortfall_of_a_mixture_matches_sorted_quantiles(level, tail):
    mixture = alone(
        Concatenation(
            DiagonalNormal(column([-3.0, 4.0]), column([1.0, 0.5])), StudentT(*map(column, ([4.0], [0.0], [1.0])))
        ),
        [0.5, 0.3, 0.2],
    )
    u = (torch.arange(4000, dtype=torch.float64).reshape(-1, 1, 1) + 0.5) / 4000 * (1 - level)
    expected = (mixture.isf(u) if tail == "upper" else mixture.icdf(u)).mean().item()
    assert mixture.expected_shortfall(level, tail=tail).item() == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("tail", ["upper", "lower"])
@pytest.mark.parametrize("level", [0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("name", COUNTS)
def test_expected_shortfall_of_counts_shares_out_the_jump(name, level, tail):
    mixture = COUNTS[name]
    counts = torch.arange(300, dtype=torch.float64)
    mass = mixture.log_prob(counts.reshape(-1, 1, 1)).exp().flatten().numpy()
    order = np.arange(300)[::-1] if tail == "upper" else np.arange(300)
    before = np.concatenate([[0.0], mass[order].cumsum()[:-1]])
    taken = np.clip(1 - level - before, 0, mass[order])
    expected = (taken * counts.numpy()[order]).sum() / (1 - level)
    assert mixture.expected_shortfall(level, tail=tail).item() == pytest.approx(expected, rel=1e-8)


def test_expected_shortfall_at_an_atom_shares_out_its_mass():
    # 0 with probability 0.2, 50 with 0.1: the worst 5 per cent are all 50, the lowest 10 per cent all 0.
    assert MIXED.expected_shortfall(0.9, tail="lower").item() == pytest.approx(0.0, abs=1e-12)
    only = alone(PointMass(column([0.0, 10.0])), [0.9, 0.1])
    assert only.expected_shortfall(0.95).item() == pytest.approx(10.0)
    assert only.expected_shortfall(0.8).item() == pytest.approx(5.0)
    assert only.expected_shortfall(0.0).item() == pytest.approx(1.0)


def test_expected_shortfall_refuses_other_tails_and_levels():
    with pytest.raises(InputError) as caught:
        make(d=1).expected_shortfall(0.9, tail="left")
    assert str(caught.value) == "tail must be one of 'lower', 'upper'; got 'left'."
    with pytest.raises(InputError) as caught:
        make(d=1).expected_shortfall(1.0)
    assert str(caught.value) == "level must be a number >= 0 and < 1; got 1.0."


# --- moments ---

MOMENTS = {
    "normal": (DiagonalNormal(column([-2.0, 3.0]), column([0.5, 2.0])), [stats.norm(-2, 0.5), stats.norm(3, 2)]),
    "student": (
        StudentT(column([5.5, 9.0]), column([-2.0, 3.0]), column([0.5, 2.0])),
        [stats.t(5.5, -2, 0.5), stats.t(9, 3, 2)],
    ),
    "laplace": (Laplace(column([-2.0, 3.0]), column([0.5, 2.0])), [stats.laplace(-2, 0.5), stats.laplace(3, 2)]),
    "lognormal": (
        LogNormal(column([0.0, 1.0]), column([0.3, 0.2])),
        [stats.lognorm(0.3), stats.lognorm(0.2, scale=math.e)],
    ),
    "gamma": (Gamma(column([0.7, 9.0]), column([1.0, 2.0])), [stats.gamma(0.7), stats.gamma(9, scale=2)]),
    "beta": (Beta(column([0.7, 9.0]), column([1.0, 2.0])), [stats.beta(0.7, 1), stats.beta(9, 2)]),
    "truncated": (
        Truncated(DiagonalNormal(column([-2.0, 3.0]), column([0.5, 2.0])), -2.5, 4.0),
        [stats.truncnorm(-1, 12, -2, 0.5), stats.truncnorm(-2.75, 0.5, 3, 2)],
    ),
    "normal and gamma": (
        Concatenation(DiagonalNormal(column([-2.0]), column([0.5])), Gamma(column([9.0]), column([2.0]))),
        [stats.norm(-2, 0.5), stats.gamma(9, scale=2)],
    ),
}


def expectation(reference, function) -> float:
    """Return E g(Y) as an integral over probability, from each tail to the middle."""
    halves = (
        integrate.quad(lambda u: function(reference.ppf(u)), 0, 0.5, epsabs=0, epsrel=1e-10, limit=300),
        integrate.quad(lambda u: function(reference.isf(u)), 0, 0.5, epsabs=0, epsrel=1e-10, limit=300),
    )
    return sum(value for value, _ in halves)


@pytest.mark.parametrize("name", MOMENTS)
def test_moments_match_quadrature(name):
    components, parts = MOMENTS[name]
    mixture = alone(components, [0.3, 0.7])

    def expect(function):
        return sum(weight * expectation(part, function) for weight, part in zip((0.3, 0.7), parts, strict=True))

    centre = expect(lambda y: y)
    central = [expect(lambda y, order=order: (y - centre) ** order) for order in (2, 3, 4)]
    slack = 1e-3 if name == "student" else 1e-6
    assert mixture.mean.item() == pytest.approx(centre, rel=1e-6)
    for order, expected in zip((2, 3, 4), central, strict=True):
        assert mixture.central_moment(order).item() == pytest.approx(expected, rel=slack)
    assert mixture.variance.item() == pytest.approx(central[0], rel=slack)
    assert mixture.skewness.item() == pytest.approx(central[1] / central[0] ** 1.5, rel=slack)
    assert mixture.kurtosis.item() == pytest.approx(central[2] / central[0] ** 2 - 3, rel=slack)


def test_moments_of_counts_match_sums():
    mixture = COUNTS["zero-inflated"]
    counts = np.arange(200.0)
    mass = mixture.log_prob(torch.tensor(counts).reshape(-1, 1, 1)).exp().flatten().numpy()
    mean = (mass * counts).sum()
    assert mixture.mean.item() == pytest.approx(mean)
    for order in (2, 3, 4):
        assert mixture.central_moment(order).item() == pytest.approx((mass * (counts - mean) ** order).sum())


def test_moments_that_do_not_exist_are_infinite():
    mixture = alone(StudentT(column([1.5, 30.0]), column([0.0, 0.0]), column([1.0, 1.0])), [0.01, 0.99])
    assert mixture.mean.item() == 0
    assert mixture.variance.item() == mixture.central_moment(4).item() == math.inf
    silent = alone(StudentT(column([1.5, 30.0]), column([0.0, 0.0]), column([1.0, 1.0])), [0.0, 1.0])
    assert silent.variance.item() == pytest.approx(30 / 28)


@pytest.mark.parametrize("seam", [math.pi, -math.pi, 0.0, 1.0])
def test_the_mean_of_angles_is_their_direction(seam):
    loc = column([seam - 0.4, seam + 0.4])
    mixture = alone(VonMises(loc, torch.full_like(loc, 8.0)))
    assert math.cos(mixture.mean.item() - seam) == pytest.approx(1)
    length = stats.vonmises(8.0).expect(np.cos, lb=-math.pi, ub=math.pi) * math.cos(0.4)
    assert mixture.variance.item() == pytest.approx(1 - length, rel=1e-7)
    with pytest.raises(InputError) as caught:
        mixture.central_moment(3)
    assert str(caught.value) == (
        "order must be 2 where a target is an angle; got 3. Take .marginal(dims) of the others first."
    )


@pytest.mark.parametrize("order", [1, 5, 2.5])
def test_moments_of_other_orders_are_refused(order):
    with pytest.raises((InputError, TypeError), match="^order must be an integer from 2 to 4; got"):
        make(d=1).central_moment(order)
