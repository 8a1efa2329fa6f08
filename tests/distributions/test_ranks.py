"""Ranks by density: the smallest level whose region holds a target."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.distributions import (
    Beta,
    Concatenation,
    DiagonalNormal,
    FullNormal,
    Gamma,
    Incomplete,
    Mixture,
    NegativeBinomial,
    PointMass,
    Poisson,
    Product,
    VonMises,
)
from manymodes.distributions.ranks import find_ranks

from .test_mixture import make
from .test_turning import alone, column, drawn, every_family


def targets(mixture: Mixture, n: int = 40, seed: int = 0) -> Tensor:
    return mixture.sample((n,), generator=torch.Generator().manual_seed(seed))


def counts() -> Mixture:
    """Return zero-inflated mixtures of two Poissons, three rows."""
    rate = torch.tensor([[2.0, 9.0], [0.3, 40.0], [5.0, 5.5]], dtype=torch.float64).unsqueeze(-1)
    components = Concatenation(PointMass(torch.zeros(3, 1, 1).double()), Poisson(rate))
    return Mixture(Categorical(torch.tensor([[0.2, 0.5, 0.3]] * 3, dtype=torch.float64)), components)


def beside_atoms() -> Mixture:
    return alone(
        Concatenation(PointMass(column([0.0, 3.0])), DiagonalNormal(column([1.0, 6.0]), column([1.0, 0.5]))),
        [0.1, 0.25, 0.4, 0.25],
    )


@every_family
@pytest.mark.parametrize("level", [0.05, 0.5, 0.9, 0.999])
def test_a_region_holds_a_target_where_its_rank_is_at_most_the_level(name, level):
    mixture = drawn(name, n=14, seed=5)
    y = targets(mixture)
    rank = mixture.highest_density_rank(y)
    clear = (rank - level).abs() > 1e-5
    assert torch.equal((rank <= level)[clear], mixture.highest_density_region(level).contains(y)[clear])
    assert clear.double().mean() > 0.98


@every_family
def test_the_region_of_a_level_that_is_the_rank_reaches_to_the_target(name):
    mixture = drawn(name, n=14, seed=4)
    y = targets(mixture, n=1)[0]
    rank = mixture.highest_density_rank(y)
    inner = (rank > 1e-9) & (rank < 1 - 1e-9)
    region = mixture.highest_density_region(rank.clamp(1e-9, 1 - 1e-9))
    assert (region.total_mass - rank)[inner].abs().max() < 1e-6
    level = mixture.log_prob(y)
    assert ((region.log_level - level).abs() < 1e-4 * (1 + level.abs()))[inner].all()


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_rank_of_one_normal_is_the_chi_square_probability_of_its_squared_distance(scale):
    mixture = alone(DiagonalNormal(column([0.0]), column([scale])))
    z = torch.linspace(-8, 8, 41, dtype=torch.float64)
    rank = mixture.highest_density_rank(scale * z.reshape(-1, 1, 1)).squeeze(-1)
    assert rank.numpy() == pytest.approx(stats.chi2(1).cdf(z.square().numpy()), rel=1e-9, abs=1e-12)


def test_ranks_of_draws_are_uniform():
    # Kolmogorov-Smirnov at 1e-4: a false alarm in 1 of 10,000 seeds.
    mixture = make(n=4000, k=4, d=1, seed=5)
    y = mixture.sample(generator=torch.Generator().manual_seed(1))
    assert stats.kstest(mixture.highest_density_rank(y).numpy(), "uniform").pvalue > 1e-4


def test_a_rank_is_the_share_of_draws_with_a_higher_density():
    # 20,000 draws: 5 standard errors are at most .018.
    mixture = make(n=30, k=5, d=1, seed=6)
    y = targets(mixture, n=1)[0]
    heights = mixture.log_prob(targets(mixture, n=20_000, seed=7))
    share = (heights > mixture.log_prob(y)).double().mean(0)
    assert (share - mixture.highest_density_rank(y)).abs().max() < 0.018


def test_beyond_a_support_the_rank_is_one_and_next_to_a_pole_it_is_zero():
    mixture = alone(Gamma(column([0.5]), column([1.0])))
    y = torch.tensor([-1.0, 1e-300, 1e-30, 1.0, 1e9], dtype=torch.float64).reshape(-1, 1, 1)
    expected = [1.0, 0.0, 0.0, stats.gamma(0.5).cdf(1.0), 1.0]
    assert mixture.highest_density_rank(y).flatten().tolist() == pytest.approx(expected, abs=1e-12)


def test_two_poles_share_what_is_denser():
    mixture = alone(Beta(column([0.4]), column([0.4])))
    rank = mixture.highest_density_rank(column([0.1]).squeeze(0)).item()
    assert rank == pytest.approx(2 * stats.beta(0.4, 0.4).cdf(0.1), rel=1e-6)


def test_the_rank_at_the_highest_mode_is_zero_and_far_away_it_is_one():
    mixture = make(n=20, k=4, d=1, seed=8)
    assert mixture.highest_density_rank(mixture.mode).max() < 1e-6
    assert (mixture.highest_density_rank(torch.full((20, 1), 1e12).double()) > 1 - 1e-14).all()


def test_angles_are_ranked_wherever_they_are_counted_from():
    mixture = alone(VonMises(column([3.0]), column([4.0])))
    y = torch.tensor([[-3.0]], dtype=torch.float64)
    distance = 2 * math.pi - 6.0
    expected = 2 * (stats.vonmises(4.0).cdf(distance) - 0.5)
    assert mixture.highest_density_rank(y).item() == pytest.approx(expected, rel=1e-6)
    assert mixture.highest_density_rank(y + 2 * math.pi).item() == pytest.approx(expected, rel=1e-6)


def test_counts_rank_after_the_sum_of_all_more_probable_ones():
    mixture = counts()
    integers = torch.arange(200, dtype=torch.float64)
    mass = mixture.log_prob(integers.reshape(-1, 1, 1).expand(-1, 3, 1)).exp()  # (200, 3)
    ranks = find_ranks(mixture, integers[:60].reshape(-1, 1, 1))
    denser = (mass.unsqueeze(0) * (mass.unsqueeze(0) > mass[:60].unsqueeze(1))).sum(1)
    assert (ranks.low - denser).abs().max() < 1e-12
    assert (ranks.high - ranks.low - mass[:60]).abs().max() < 1e-12


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("mixture", [counts(), beside_atoms()])
def test_regions_of_counts_and_atoms_hold_what_ranks_below_the_level(mixture, level):
    y = targets(mixture, n=200)
    inside = mixture.highest_density_region(level).contains(y)
    assert torch.equal(inside, mixture.highest_density_rank(y) < level)


def test_atoms_rank_first_and_the_heaviest_before_all():
    y = torch.tensor([3.0, 0.0, 6.0, 100.0], dtype=torch.float64).reshape(-1, 1, 1)
    ranks = find_ranks(beside_atoms(), y)
    assert ranks.low.flatten().tolist() == pytest.approx([0.0, 0.25, 0.35, 1.0], abs=1e-5)
    assert ranks.high.flatten().tolist() == pytest.approx([0.25, 0.35, 0.35, 1.0], abs=1e-5)


def test_of_atoms_alone_all_other_places_rank_last():
    mixture = alone(PointMass(column([1.0, 2.0])), [0.3, 0.7])
    y = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64).reshape(-1, 1, 1)
    assert mixture.highest_density_rank(y).flatten().tolist() == pytest.approx([0.7, 0.0, 1.0])


def test_no_integer_between_counts_has_a_rank_below_one():
    y = torch.tensor([[0.5], [-1.0], [1e9]], dtype=torch.float64)
    assert counts().highest_density_rank(y).tolist() == [1.0, 1.0, 1.0]


def test_the_joint_rank_of_one_normal_is_the_chi_square_probability():
    # 10,000 samples: 5 standard errors are at most .025.
    scale_tril = torch.tensor([[1.0, 0.0], [1.4, 0.5]], dtype=torch.float64).expand(25, 1, 2, 2)
    mixture = Mixture(Categorical(torch.ones(25, 1).double()), FullNormal(torch.zeros(25, 1, 2).double(), scale_tril))
    y = targets(mixture, n=2)
    z = torch.linalg.solve_triangular(scale_tril[0, 0], y.unsqueeze(-1), upper=False).squeeze(-1)
    expected = stats.chi2(2).cdf(z.square().sum(-1).numpy())
    assert mixture.highest_density_rank(y).numpy() == pytest.approx(expected, abs=0.025)


def test_joint_ranks_agree_with_the_joint_level_of_the_same_samples():
    mixture = make(n=30, k=3, d=2, seed=9)
    y = targets(mixture)
    level = mixture.highest_density_level(0.7, n_samples=1000)
    rank = mixture.highest_density_rank(y, n_samples=1000)
    # The level is the density of a sample of that rank: one sample in 1,000 is between.
    apart = (mixture.log_prob(y) >= level) != (rank <= 0.7)
    assert ((rank - 0.7).abs() <= 0.001)[apart].all()


def test_joint_ranks_jump_where_all_dimensions_are_counts():
    joint = Product(Poisson(column([1.3])), NegativeBinomial(column([2.0]), column([0.5])))
    mixture = alone(joint)
    y = targets(mixture, n=50)
    ranks = find_ranks(mixture, y, n_samples=20_000)
    assert ((ranks.high - ranks.low - mixture.log_prob(y).exp()).abs() < 0.02).all()


def test_samples_of_many_rows_are_taken_in_runs(monkeypatch):
    mixture = make(n=9, k=3, d=2, seed=10)
    y = targets(mixture, n=3)
    whole = mixture.highest_density_rank(y, n_samples=2000)
    monkeypatch.setattr("manymodes.distributions.ranks._MOST_SAMPLES", 10_000)
    in_runs = mixture.highest_density_rank(y, n_samples=2000)
    assert in_runs.shape == whole.shape == (3, 9)
    assert (whole - in_runs).abs().max() < 0.07


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("batch", [(), (0,), (2, 3)])
def test_ranks_have_the_shape_of_densities(batch, d):
    loc = torch.randn(*batch, 3, d, generator=torch.Generator().manual_seed(1))
    mixture = Mixture(Categorical(torch.ones(*batch, 3)), DiagonalNormal(loc, loc.abs() + 0.1))
    y = torch.zeros(4, *batch, d)
    rank = mixture.highest_density_rank(y, n_samples=50)
    assert rank.shape == (4, *batch)
    assert rank.dtype == torch.float32


def test_one_target_for_all_rows_is_broadcast():
    mixture = make(n=5, k=2, d=1, seed=11)
    y = torch.zeros(1, 1, dtype=torch.float64)
    assert torch.equal(mixture.highest_density_rank(y), mixture.highest_density_rank(y.expand(5, 1)))


def test_targets_that_cannot_be_ranked_are_refused():
    mixture = make(n=5, k=2, d=1)
    with pytest.raises(TypeError, match=r"^y must be a Tensor; got Incomplete\.$"):
        mixture.highest_density_rank(Incomplete.missing(torch.full((5, 1), math.nan)))
    with pytest.raises(InputError, match=r"^n_samples must be an integer >= 1; got 0\.$"):
        mixture.highest_density_rank(torch.zeros(5, 1).double(), n_samples=0)
    beside = alone(Concatenation(Poisson(column([3.0])), DiagonalNormal(column([0.0]), column([1.0]))))
    with pytest.raises(InputError, match="got counts beside a density"):
        beside.highest_density_rank(torch.zeros(1, 1).double())
