import pytest
import torch
from scipy import stats
from torch.distributions import Categorical

from manymodes import metrics
from manymodes._checks import InputError
from manymodes.distributions import Concatenation, DiagonalNormal, Mixture, PointMass, Poisson, Product, VonMises
from manymodes.metrics import coverage, mae, pit, rmse

from .simulated import beside_an_atom, counts, drawn
from .test_scores import make


def test_the_pit_of_draws_from_the_prediction_is_uniform():
    # Kolmogorov-Smirnov at 1e-4: a false alarm in 1 of 10,000 seeds.
    mixture, _ = make(n=5000)
    y = mixture.sample(generator=torch.Generator().manual_seed(11))
    assert stats.kstest(metrics.pit(mixture, y)[:, 0].numpy(), "uniform").pvalue > 1e-4


def test_a_shifted_prediction_has_a_pit_that_is_not_uniform():
    mixture, _ = make(n=5000)
    y = mixture.sample(generator=torch.Generator().manual_seed(11))
    assert stats.kstest(metrics.pit(mixture.affine(0.5, 1.0), y)[:, 0].numpy(), "uniform").pvalue < 1e-6


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_the_central_interval_covers_its_level(level):
    # Binomial with 20,000 rows: 5 standard errors, a false alarm in fewer than 1 of 10^6 seeds.
    mixture, _ = make(n=20_000, d=2)
    y = mixture.sample(generator=torch.Generator().manual_seed(12))
    covered = metrics.coverage(mixture, y, level)
    assert covered.shape == (20_000, 2)
    assert ((covered.mean(0) - level).abs() < 5 * (level * (1 - level) / 20_000) ** 0.5).all()


def test_a_target_on_either_side_of_the_interval_is_not_covered():
    mixture, _ = make(n=3)
    for level, expected in ((0.04, 0.0), (0.06, 1.0), (0.94, 1.0), (0.96, 0.0)):
        assert (metrics.coverage(mixture, mixture.icdf(level), 0.9) == expected).all()


def test_a_level_that_is_no_probability_is_refused():
    mixture, y = make()
    with pytest.raises(InputError) as caught:
        metrics.coverage(mixture, y, 1.0)
    assert str(caught.value) == "level must be a number > 0 and < 1; got 1.0."


def test_coverage_beside_an_atom_is_that_of_the_central_interval():
    zero = torch.zeros(1, 1, 1, dtype=torch.float64)
    parts = Concatenation(PointMass(zero), DiagonalNormal(zero + 5, zero + 1))
    mixture = Mixture(Categorical(torch.tensor([[0.99, 0.01]], dtype=torch.float64)), parts)
    assert coverage(mixture, torch.zeros(1, 1, dtype=torch.float64)).item() == 1
    assert coverage(mixture, torch.ones(1, 1, dtype=torch.float64)).item() == 0


def test_angles_are_measured_around_the_circle():
    loc = torch.tensor([[[3.1]]], dtype=torch.float64)
    mixture = Mixture(Categorical(torch.ones(1, 1, dtype=torch.float64)), VonMises(loc, torch.full_like(loc, 50.0)))
    y = torch.tensor([[-3.1]], dtype=torch.float64)
    assert rmse(mixture, y).item() == pytest.approx(2 * torch.pi - 6.2)
    assert pit(mixture, y + 2 * torch.pi).item() == pytest.approx(pit(mixture, y).item())
    with pytest.raises(InputError, match="^mae needs targets on a line"):
        mae(mixture, y)


@pytest.mark.parametrize("mixture", [counts(4000), beside_an_atom(4000)], ids=["counts", "atom"])
def test_the_pit_of_counts_and_atoms_is_uniform_too(mixture):
    # Kolmogorov-Smirnov at 1e-4: a false alarm in 1 of 10,000 seeds.
    values = pit(mixture, drawn(mixture, seed=3))[:, 0]
    assert stats.kstest(values.numpy(), "uniform").pvalue > 1e-4
    assert len(values.unique()) == 4000


def test_the_pit_at_a_jump_lies_between_both_its_sides():
    mixture = counts(200)
    y = drawn(mixture)
    before = torch.where(y > 0, mixture.cdf(y - 1), 0.0)
    values = pit(mixture, y)
    assert ((values >= before - 1e-12) & (values <= mixture.cdf(y) + 1e-12)).all()


def test_the_pit_at_a_jump_is_repeatable_and_follows_a_generator():
    mixture = counts(50)
    y = drawn(mixture)
    assert torch.equal(pit(mixture, y), pit(mixture, y))
    other = pit(mixture, y, generator=torch.Generator().manual_seed(1))
    assert not torch.equal(pit(mixture, y), other)
    assert torch.equal(other, pit(mixture, y, generator=torch.Generator().manual_seed(1)))


def test_the_pit_is_the_cdf_where_a_target_has_a_density_whatever_the_others_are():
    loc = torch.zeros(30, 1, 1, dtype=torch.float64)
    mixture = Mixture(
        Categorical(torch.ones(30, 1).double()), Product(DiagonalNormal(loc, loc + 1), Poisson(loc + 2.5))
    )
    y = drawn(mixture)
    assert torch.equal(pit(mixture, y)[:, 0], mixture.cdf(y)[:, 0])
    assert (pit(mixture, y)[:, 1] < mixture.cdf(y)[:, 1]).all()


def test_rounding_of_many_weights_never_lifts_a_pit_above_one():
    generator = torch.Generator().manual_seed(11)
    weights = torch.rand(2000, 40, generator=generator, dtype=torch.float64)
    loc = torch.zeros(2000, 40, 1, dtype=torch.float64)
    density = Mixture(Categorical(weights), DiagonalNormal(loc, loc + 1))
    assert bool((metrics.pit(density, torch.full((2000, 1), 1e3, dtype=torch.float64)) <= 1).all())
