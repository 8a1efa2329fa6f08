import math

import numpy as np
import pytest
import torch

from manymodes import distributions as d
from manymodes import runtime
from manymodes.estimators.portable.components import describe_components
from tests import random_densities
from tests.random_densities import LINE


@pytest.fixture(scope="module")
def pair():
    """Return a function that makes the same random prediction twice: torch's, and the runtime's."""

    def make(name: str, target_dim: int = 1, seed: int = 0) -> tuple[d.Mixture, runtime.Density]:
        truth, document, arrays = random_densities.described(name, target_dim, seed)
        return truth, runtime.density_of(document, arrays)

    return make


def targets(truth: d.Mixture, n: int = 40) -> torch.Tensor:
    return truth.sample((n,), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", LINE)
@pytest.mark.parametrize("seed", [0, 1])
def test_densities_probabilities_and_quantiles_are_those_of_torch(pair, name, seed):
    truth, density = pair(name, seed=seed)
    y = targets(truth)
    np.testing.assert_allclose(density.log_prob(y.numpy()), truth.log_prob(y).numpy(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(density.pdf(y.numpy()), truth.log_prob(y).exp().numpy(), rtol=1e-8)
    np.testing.assert_allclose(density.cdf(y.numpy()), truth.cdf(y).numpy(), rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(density.sf(y.numpy()), truth.sf(y).numpy(), rtol=1e-9, atol=1e-14)
    levels = np.array([1e-6, 0.01, 0.3, 0.5, 0.77, 0.999]).reshape(-1, 1, 1)
    expected = truth.icdf(torch.from_numpy(levels)).numpy()
    np.testing.assert_allclose(density.icdf(levels), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", LINE)
def test_moments_are_those_of_torch(pair, name):
    truth, density = pair(name)
    np.testing.assert_allclose(density.mean, truth.mean.numpy(), rtol=1e-9)
    np.testing.assert_allclose(density.variance, truth.variance.numpy(), rtol=1e-8)


@pytest.mark.parametrize("name", LINE)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_modes_are_those_of_torch(pair, name, seed):
    truth, density = pair(name, seed=seed)
    expected = truth.modes()
    for row, found in enumerate(density.modes()):
        modes = [mode for mode in found if mode.kind == "mode"]
        atoms = [mode for mode in found if mode.kind == "atom"]
        own = expected.mask[row]
        np.testing.assert_allclose([m.location for m in modes], expected.location[row, own, 0], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose([m.log_density for m in modes], expected.log_density[row, own], rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose([m.mass for m in modes], expected.mass[row, own], rtol=1e-5, atol=1e-6)
        pointed = expected.atoms.mask[row]
        np.testing.assert_allclose([a.location for a in atoms], expected.atoms.location[row, pointed], rtol=1e-12)
        np.testing.assert_allclose([a.mass for a in atoms], expected.atoms.mass[row, pointed], rtol=1e-9)


@pytest.mark.parametrize("name", LINE)
@pytest.mark.parametrize("level", [0.3, 0.9])
def test_regions_are_those_of_torch(pair, name, level):
    truth, density = pair(name, seed=3)
    expected = truth.highest_density_region(level)
    for row, found in enumerate(density.highest_density_region(level)):
        pieces = [piece for piece in found if piece.kind == "interval"]
        own = expected.mask[row]
        np.testing.assert_allclose([p.low for p in pieces], expected.low[row, own], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose([p.high for p in pieces], expected.high[row, own], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose([p.mass for p in pieces], expected.mass[row, own], rtol=1e-6, atol=1e-7)
        held = sum(piece.mass for piece in found)
        assert held >= level - 1e-7


@pytest.mark.parametrize("name", ["normal", "full", "low_rank", "student_t", "product"])
def test_joint_densities_and_marginals_are_those_of_torch(pair, name):
    truth, density = pair(name, target_dim=3)
    y = targets(truth)
    np.testing.assert_allclose(density.log_prob(y.numpy()), truth.log_prob(y).numpy(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(density.cdf(y.numpy()), truth.cdf(y).numpy(), rtol=1e-8, atol=1e-12)
    for dim in range(truth.event_shape[0]):
        own = y[..., [dim]]
        expected = truth.marginal(dim).log_prob(own).numpy()
        np.testing.assert_allclose(density.marginal(dim).log_prob(own.numpy()), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", [*LINE, "product"])
def test_samples_follow_the_distribution(pair, name):
    # Kolmogorov and Smirnov: false alarms of 1e-4 in each of N rows and D dimensions.
    truth, density = pair(name)
    n = 4000
    drawn = density.sample(n, random_state=0)
    assert drawn.shape == (n, 3, truth.event_shape[0])
    level = np.sort(truth.cdf(torch.from_numpy(drawn)).numpy(), axis=0)
    if name in ("poisson", "negative_binomial", "atoms", "product"):  # where it jumps, what lies below each value
        before = truth.cdf(torch.from_numpy(np.nextafter(drawn, -np.inf))).numpy()
        jitter = np.random.default_rng(1).random(drawn.shape)
        level = np.sort(before + jitter * (truth.cdf(torch.from_numpy(drawn)).numpy() - before), axis=0)
    grid = np.arange(1, n + 1).reshape(-1, 1, 1) / n
    assert np.abs(level - grid).max() < math.sqrt(-0.5 * math.log(0.5e-4)) / math.sqrt(n) + 1 / n


def test_the_same_seed_gives_the_same_samples(pair):
    _, density = pair("normal")
    first, second = density.sample(5, random_state=3), density.sample(5, random_state=3)
    np.testing.assert_array_equal(first, second)
    assert (first != density.sample(5, random_state=4)).any()


def test_probabilities_of_ranges_hold_their_ends(pair):
    _, density = pair("atoms")
    weight = [
        sum(mode.mass for mode in row if mode.kind == "atom" and mode.location == 30.0) for row in density.modes()
    ]
    np.testing.assert_allclose(density.probability(30.0, 30.0)[:, 0], weight, rtol=1e-9)
    np.testing.assert_allclose(density.probability(), 1.0)
    assert (density.probability(31.0, 31.1) > 0).all()


def test_levels_targets_and_joint_searches_that_cannot_be_are_refused(pair):
    _, density = pair("normal", target_dim=2)
    with pytest.raises(ValueError, match=r"^level must be a number from 0 to 1; got 1\.5\.$"):
        density.icdf(1.5)
    with pytest.raises(
        ValueError, match=r"^y must be a number or end with shape \(3, 2\), where any size may be 1; got \(3,\)\.$"
    ):
        density.log_prob(np.zeros(3))
    for ask in (density.cdf, density.sf, density.icdf, lambda y: density.probability(low=y)):
        with pytest.raises(ValueError, match=r"must be a number or end with shape \(3, 2\), where any size may be 1"):
            ask(np.full(3, 0.5))
    with pytest.raises(ValueError, match=r"^y must be a number; got NaN\.$"):
        density.cdf(np.nan)
    with pytest.raises(ValueError, match=r"^dim must be a target dimension from 0 to 1; got 2\.$"):
        density.marginal(2)
    with pytest.raises(ValueError, match=r"^n_samples must be an integer >= 1; got -1\.$"):
        density.sample(-1)
    with pytest.raises(ValueError, match=r"^modes needs one target dimension; got 2\. Ask marginal\(dim\)\.$"):
        density.modes()
    with pytest.raises(ValueError, match=r"^level must be a number > 0 and < 1; got 0\.$"):
        density.marginal(0).highest_density_region(0)


@pytest.mark.parametrize(("low", "high"), [(-5.0, 7.0), (-1.0, 1.0), (-273.15, 100.0), (-1.0, 0.0)])
@pytest.mark.parametrize("name", ["DiagonalNormal", "Logistic", "Laplace"])
def test_families_between_any_bounds_have_the_regions_of_torch(name, low, high):
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    components = d.Transformed(getattr(d, name)(0.3 * one, 1.2 * one), d.Logit.on(low, high))
    truth = d.Mixture(torch.distributions.Categorical(logits=0 * one[..., 0]), components)
    document = {
        "n_members": 1,
        "scaling": {"shift": [0.0], "scale": [1.0]},
        "components": describe_components(components),
    }
    arrays = {
        "logits": np.zeros((1, 1, 1)),
        "0.0.loc": np.full((1, 1, 1, 1), 0.3),
        "0.0.scale": np.full((1, 1, 1, 1), 1.2),
    }
    density, expected = runtime.density_of(document, arrays), truth.highest_density_region(0.9)
    (found,) = density.highest_density_region(0.9)
    np.testing.assert_allclose([p.low for p in found], expected.low[0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose([p.high for p in found], expected.high[0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(density.mean, truth.mean, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(density.variance, truth.variance, rtol=1e-5)


def test_regions_reach_to_the_ends_where_a_density_has_poles():
    one = torch.full((1, 1, 1), 0.1, dtype=torch.float64)
    components = d.Beta(one, one)
    truth = d.Mixture(torch.distributions.Categorical(logits=0 * one[..., 0]), components)
    document = {
        "n_members": 1,
        "scaling": {"shift": [0.0], "scale": [1.0]},
        "components": describe_components(components),
    }
    shapes = {f"0.0.concentration{i}": np.full((1, 1, 1, 1), 0.1) for i in (0, 1)}
    (found,) = runtime.density_of(document, {"logits": np.zeros((1, 1, 1)), **shapes}).highest_density_region(0.9)
    expected = truth.highest_density_region(0.9)
    assert (found[0].low, found[-1].high) == (0.0, 1.0)
    np.testing.assert_allclose([p.high for p in found], expected.high[0], rtol=1e-5)
    np.testing.assert_allclose([p.mass for p in found], expected.mass[0], rtol=1e-5)
