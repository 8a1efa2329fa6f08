"""Atoms beside densities and counts: exact zeros, ceilings, and zero inflation of one of two outputs."""

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
    Gamma,
    LogNormal,
    Mixture,
    NegativeBinomial,
    PointMass,
    Poisson,
    Product,
    Truncated,
    VonMises,
    entropy,
)


def column(*values, dtype=torch.float64) -> Tensor:
    return torch.tensor(values, dtype=dtype).reshape(1, -1, 1)


def at(*values, dtype=torch.float64) -> Tensor:
    return torch.tensor(values, dtype=dtype).reshape(-1, 1, 1)  # (S, N=1, D=1)


def weighed(components, *weights) -> Mixture:
    return Mixture(Categorical(torch.tensor([weights], dtype=torch.float64)), components)


def zeros_and_normals() -> Mixture:
    """An atom of 0.3 at 0 beside two normals that cover it."""
    return weighed(
        Concatenation(PointMass(column(0.0)), DiagonalNormal(column(-1.0, 2.0), column(1.0, 0.5))), 0.3, 0.5, 0.2
    )


def normals(y):
    return 0.5 * stats.norm(-1, 1).pdf(y) + 0.2 * stats.norm(2, 0.5).pdf(y)


def jump_cdf(y):
    return 0.5 * stats.norm(-1, 1).cdf(y) + 0.2 * stats.norm(2, 0.5).cdf(y) + 0.3 * (y >= 0)


def inflated_poisson() -> Mixture:
    return weighed(Concatenation(PointMass(column(0.0)), Poisson(column(1.5, 7.0))), 0.25, 0.35, 0.4)


# --- densities ---


def test_at_an_atom_a_density_contributes_nothing():
    assert zeros_and_normals().log_prob(at(0.0)).item() == pytest.approx(math.log(0.3))


def test_elsewhere_an_atom_contributes_nothing():
    for y in (-1.0, -5e-324, 5e-324, 1e-12, 2.0):
        assert zeros_and_normals().log_prob(at(y)).exp().item() == pytest.approx(normals(y))
    assert zeros_and_normals().log_prob(at(-0.0)).item() == pytest.approx(math.log(0.3))


def test_atoms_and_the_integral_of_the_density_add_up_to_one():
    mixture = weighed(
        Concatenation(PointMass(column(0.0, 3.0)), DiagonalNormal(column(1.0), column(0.7)), PointMass(column(0.0))),
        0.2,
        0.15,
        0.55,
        0.1,
    )
    atoms = mixture.log_prob(at(0.0, 3.0)).exp()[:, 0]
    np.testing.assert_allclose(atoms, [0.3, 0.15])
    density, _ = integrate.quad(lambda y: mixture.log_prob(at(y)).exp().item(), -6, 8, epsrel=1e-10)
    assert density + atoms.sum().item() == pytest.approx(1, abs=1e-8)


def test_counts_do_contribute_at_an_atom_on_an_integer():
    mixture = inflated_poisson()
    counts = np.arange(12)
    expected = 0.35 * stats.poisson(1.5).pmf(counts) + 0.4 * stats.poisson(7).pmf(counts) + 0.25 * (counts == 0)
    np.testing.assert_allclose(mixture.log_prob(at(*map(float, counts)))[:, 0].exp(), expected)
    np.testing.assert_allclose(mixture.cdf(at(*map(float, counts)))[:, 0, 0], expected.cumsum())
    everything = mixture.log_prob(at(*map(float, range(80)))).exp().sum()
    assert everything.item() == pytest.approx(1)


@pytest.mark.parametrize(
    ("atom", "target"),
    [
        (torch.float64, torch.float32),
        (torch.float32, torch.float64),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_an_atom_is_met_in_the_coarser_of_two_precisions(atom, target):
    parts = Concatenation(
        PointMass(column(0.3, dtype=atom)), DiagonalNormal(column(0.3, dtype=atom), column(1.0, dtype=atom))
    )
    mixture = Mixture(Categorical(torch.tensor([[0.4, 0.6]], dtype=atom)), parts)
    y = at(0.3, dtype=target)
    assert mixture.log_prob(y).item() == pytest.approx(math.log(0.4), rel=1e-6)
    assert mixture.cdf(y).item() == pytest.approx(0.4 + 0.3, rel=1e-6)
    assert mixture.sf(y).item() == pytest.approx(0.3, rel=1e-6)
    beside = at(0.3 + 1e-5, dtype=target)
    assert mixture.log_prob(beside).item() == pytest.approx(math.log(0.6 * stats.norm.pdf(0)), rel=1e-4)
    assert mixture.probability(0.3, 0.3).item() == pytest.approx(0.4, rel=1e-5)
    assert mixture.exceedance(0.3).item() == pytest.approx(0.7, rel=1e-5)
    assert mixture.responsibilities(y)[0, 0].tolist() == [1, 0]


def test_a_cast_mixture_meets_its_atoms_still():
    mixture = weighed(Concatenation(PointMass(column(0.3)), DiagonalNormal(column(0.0), column(1.0))), 0.4, 0.6)
    single = mixture.to(torch.float32)
    for y in (at(0.3), at(0.3).float()):
        assert single.log_prob(y).item() == pytest.approx(math.log(0.4), rel=1e-6)
    assert single.to(torch.float64).cdf(at(0.3) + 1e-6).item() == pytest.approx(
        0.4 + 0.6 * stats.norm.cdf(0.3), rel=1e-5
    )


def test_responsibilities_at_an_atom_are_shared_by_atoms_alone():
    parts = Concatenation(PointMass(column(1.0, 1.0)), DiagonalNormal(column(1.0), column(1e-6)))
    assert weighed(parts, 0.1, 0.3, 0.6).responsibilities(at(1.0))[0, 0].tolist() == pytest.approx([0.25, 0.75, 0])


def test_an_affine_map_moves_an_atom_without_a_jacobian():
    moved = zeros_and_normals().affine(5.0, 100.0)
    assert moved.log_prob(at(5.0)).item() == pytest.approx(math.log(0.3))
    assert moved.log_prob(at(105.0)).exp().item() == pytest.approx(normals(1.0) / 100)
    assert moved.probability(5.0, 5.0).item() == pytest.approx(0.3)


def test_gradients_at_an_atom_and_beside_it_are_finite_and_reach_the_weights():
    logits = torch.tensor([[0.1, 0.2, -0.3]] * 3, dtype=torch.float64).requires_grad_()
    loc, scale = torch.zeros(3, 1, 1).double().requires_grad_(), torch.ones(3, 1, 1).double().requires_grad_()
    gamma = torch.full((3, 1, 1), 0.5).double().requires_grad_()  # a pole at the atom
    parts = Concatenation(PointMass(torch.zeros(3, 1, 1).double()), DiagonalNormal(loc, scale), Gamma(gamma, scale))
    y = torch.tensor([[0.0], [0.7], [-0.7]], dtype=torch.float64)
    Mixture(Categorical(logits=logits), parts).log_prob(y).sum().backward()
    weights = logits.detach().softmax(-1)
    torch.testing.assert_close(logits.grad[0], torch.eye(3).double()[0] - weights[0])
    assert all(leaf.grad.isfinite().all() for leaf in (logits, loc, scale, gamma))
    assert loc.grad[0].item() == scale.grad[0].item() == gamma.grad[0].item() == 0
    assert loc.grad[1].item() != 0


def test_gradients_are_finite_where_only_atoms_could_be_and_are_not():
    logits = torch.zeros(1, 2).double().requires_grad_()
    total = Mixture(Categorical(logits=logits), PointMass(column(0.0, 1.0))).log_prob(at(0.5))
    assert total.item() == -math.inf
    total.sum().backward()
    assert logits.grad.isfinite().all()


# --- probabilities and quantiles ---


def test_the_cdf_jumps_by_the_weight_of_the_atom():
    mixture = zeros_and_normals()
    points = np.array([-40.0, -1.0, -1e-300, 0.0, 1e-300, 1.5, 40.0])
    np.testing.assert_allclose(mixture.cdf(at(*points))[:, 0, 0], jump_cdf(points), atol=1e-15)
    np.testing.assert_allclose(mixture.sf(at(*points))[:, 0, 0], 1 - jump_cdf(points), atol=1e-15)
    assert mixture.probability(0.0, 0.0).item() == pytest.approx(0.3)
    assert mixture.probability(-math.inf, -1e-300).item() == pytest.approx(jump_cdf(-1e-300))
    assert mixture.probability(0.0, math.inf).item() == pytest.approx(1 - jump_cdf(-1e-300))


def test_quantiles_inside_a_jump_are_the_atom_and_elsewhere_solve_the_cdf():
    mixture = zeros_and_normals()
    below, above = jump_cdf(-1e-300), jump_cdf(0.0)
    for level in (below + 1e-9, 0.5 * (below + above), above - 1e-9):
        assert mixture.icdf(level).item() == 0
        assert mixture.isf(1 - level).item() == 0
    for level in (1e-9, 0.3 * below, below - 1e-6, above + 1e-6, 0.9, 1 - 1e-9):
        y = mixture.icdf(level).item()
        assert jump_cdf(y) == pytest.approx(level, rel=1e-7)
    assert mixture.central_interval(0.2)[0].item() != 0
    assert mixture.median.item() == 0


def test_between_atoms_the_quantile_is_the_smallest_number_that_reaches_the_level():
    mixture = weighed(PointMass(column(-1.0, 0.3, 2.0)), 0.25, 0.5, 0.25)
    for level, expected in ((0.1, -1.0), (0.25, -1.0), (0.250001, 0.3), (0.75, 0.3), (0.750001, 2.0), (1.0, 2.0)):
        assert mixture.icdf(level).item() == expected
    assert mixture.isf(0.25).item() == 0.3
    assert mixture.isf(0.249999).item() == 2.0


@pytest.mark.parametrize("level", [1e-6, 0.25, 0.3, 0.5, 0.9, 0.999999])
def test_quantiles_of_inflated_counts_are_the_smallest_counts_that_reach_the_level(level):
    counts = np.arange(200)
    cdf = 0.25 + 0.35 * stats.poisson(1.5).cdf(counts) + 0.4 * stats.poisson(7).cdf(counts)
    assert inflated_poisson().icdf(level).item() == counts[cdf >= level][0]


def test_quantiles_with_an_atom_off_the_integers_are_right():
    mixture = weighed(Concatenation(PointMass(column(2.5)), Poisson(column(3.0))), 0.5, 0.5)
    places = np.sort(np.append(np.arange(60.0), 2.5))
    cdf = 0.5 * stats.poisson(3).cdf(np.floor(places)) + 0.5 * (places >= 2.5)
    for level in (0.05, 0.2, 0.3, 0.6, 0.72, 0.9, 0.99):
        assert mixture.icdf(level).item() == places[cdf >= level][0]


def test_samples_hold_the_atom_as_often_as_its_weight():
    # Binomial at 4.5 standard errors and one Kolmogorov-Smirnov test at 1e-5.
    samples = zeros_and_normals().sample((8000,), generator=torch.Generator().manual_seed(0))[:, 0, 0].numpy()
    assert abs((samples == 0).mean() - 0.3) < 4.5 * math.sqrt(0.3 * 0.7 / 8000)
    rest = samples[samples != 0]
    assert stats.kstest(rest, lambda y: (jump_cdf(y) - 0.3 * (y >= 0)) / 0.7).pvalue > 1e-5


# --- moments ---


def test_moments_hold_the_atom():
    mixture = zeros_and_normals()
    mean = 0.5 * -1 + 0.2 * 2
    second = 0.5 * (1 + 1) + 0.2 * (0.25 + 4)
    third = 0.5 * stats.norm(-1, 1).moment(3) + 0.2 * stats.norm(2, 0.5).moment(3)
    assert mixture.mean.item() == pytest.approx(mean)
    assert mixture.variance.item() == pytest.approx(second - mean**2)
    assert mixture.central_moment(3).item() == pytest.approx(third - 3 * mean * second + 2 * mean**3)


@pytest.mark.parametrize("level", [0.05, 0.4, 0.6, 0.9])
@pytest.mark.parametrize("tail", ["upper", "lower"])
def test_the_expected_shortfall_shares_an_atom_on_its_border(level, tail):
    mixture = zeros_and_normals()
    side = 1 if tail == "upper" else -1
    levels = (np.arange(200_000) + 0.5) / 200_000 * (1 - level)
    grid = np.concatenate([np.linspace(-8, 0, 200_001)[:-1], [-1e-300, 0.0], np.linspace(0, 6, 200_001)[1:]])
    quantile = np.interp(1 - levels if side > 0 else levels, jump_cdf(grid), grid)
    assert mixture.expected_shortfall(level, tail=tail).item() == pytest.approx(quantile.mean(), abs=2e-4)


def test_the_entropy_with_respect_to_its_measure_is_that_of_the_choice_and_the_density():
    mixture = weighed(Concatenation(PointMass(column(0.0)), DiagonalNormal(column(5.0), column(2.0))), 0.3, 0.7)
    expected = -0.3 * math.log(0.3) - 0.7 * math.log(0.7) + 0.7 * stats.norm(5, 2).entropy()
    estimate = entropy(mixture, standard_error=0.01)
    assert abs(estimate.value.item() - expected) < 5 * max(estimate.standard_error.item(), 1e-9)


# --- modes and regions ---


def test_modes_list_atoms_apart_and_all_masses_add_up():
    modes = zeros_and_normals().modes()
    assert modes.atoms.location.tolist() == [[0.0]]
    assert modes.atoms.mass[0].tolist() == pytest.approx([0.3])
    grid = np.linspace(-6, 6, 600_001)
    heights = normals(grid)
    peaks = grid[1:-1][(heights[1:-1] > heights[:-2]) & (heights[1:-1] > heights[2:])]
    np.testing.assert_allclose(modes.location[0, :, 0].sort().values, peaks, atol=1e-4)
    assert modes.mass.sum().item() == pytest.approx(0.7)
    np.testing.assert_allclose(modes.log_density[0].exp(), normals(modes.location[0, :, 0].numpy()))


def test_a_mode_on_the_place_of_an_atom_keeps_the_height_and_spread_of_its_density():
    mixture = weighed(Concatenation(PointMass(column(0.0)), DiagonalNormal(column(0.0), column(2.0))), 0.3, 0.7)
    modes = mixture.modes()
    assert modes.location.tolist() == [[[0.0]]]
    assert modes.log_density.item() == pytest.approx(math.log(0.7 * stats.norm(0, 2).pdf(0)))
    assert modes.spread.item() == pytest.approx(2.0)
    assert modes.mass.item() == pytest.approx(0.7)


def test_atoms_on_one_place_are_listed_once_the_heaviest_first():
    parts = Concatenation(PointMass(column(1.0, 0.3, 1.0)), DiagonalNormal(column(0.0), column(1.0)))
    atoms = weighed(parts, 0.1, 0.2, 0.15, 0.55).modes().atoms
    assert atoms.location[atoms.mask].tolist() == [1.0, 0.3]
    assert atoms.mass[atoms.mask].tolist() == pytest.approx([0.25, 0.2])
    assert atoms.count.tolist() == [2]


def test_inflated_counts_have_the_modes_of_their_probabilities():
    counts = np.arange(60)
    pmf = 0.25 * (counts == 0) + 0.35 * stats.poisson(1.5).pmf(counts) + 0.4 * stats.poisson(7).pmf(counts)
    inner = [c for c in range(1, 59) if pmf[c] > pmf[c - 1] and pmf[c] > pmf[c + 1]]
    expected = [c for c in [0, *inner] if c or pmf[0] > pmf[1]]
    modes = inflated_poisson().modes()
    found = modes.location[0, :, 0][modes.mask[0]].sort().values.tolist()
    assert found == expected
    assert modes.mass.sum().item() + modes.atoms.mass.sum().item() == pytest.approx(1)


def test_only_atoms_have_a_heaviest_one_as_their_mode():
    mixture = weighed(PointMass(column(-1.0, 4.0)), 0.3, 0.7)
    assert mixture.mode.tolist() == [[4.0]]
    assert mixture.mean.item() == pytest.approx(2.5)


@pytest.mark.parametrize("level", [0.2, 0.5, 0.9])
def test_a_region_takes_the_atom_first_and_then_the_shortest_intervals(level):
    region = zeros_and_normals().highest_density_region(level)
    assert region.atoms.location[region.atoms.mask].tolist() == [0.0]
    assert region.contains(at(0.0)).item()
    low, high = region.low[region.mask].numpy(), region.high[region.mask].numpy()
    continuous = sum(jump_cdf(b) - jump_cdf(a) - 0.3 * (a < 0 <= b) for a, b in zip(low, high, strict=True))
    assert continuous == pytest.approx(max(level - 0.3, 0), abs=1e-6)
    if level > 0.3:
        assert region.total_mass.item() == pytest.approx(level, abs=1e-6)
        ends = normals(np.concatenate([low, high]))
        np.testing.assert_allclose(ends, ends[0], rtol=1e-4)


# --- several dimensions ---


def inflated_pair() -> Mixture:
    """Zero inflation of the second of two outputs: an amount that is 0 in a part of the cases, beside a length."""
    correlated = FullNormal(torch.tensor([[[1.0, 2.0]]]).double(), torch.tensor([[[[1.0, 0.0], [0.6, 0.8]]]]).double())
    zeros = Product(DiagonalNormal(column(-1.0), column(0.5)), PointMass(column(0.0)))
    return weighed(Concatenation(zeros, correlated), 0.4, 0.6)


PAIR = stats.multivariate_normal([1, 2], [[1, 0.6], [0.6, 1]])


def test_an_atom_in_one_of_two_dimensions_hides_densities_there_alone():
    mixture = inflated_pair()
    on = mixture.log_prob(torch.tensor([[0.3, 0.0]]).double()).item()
    assert on == pytest.approx(math.log(0.4 * stats.norm(-1, 0.5).pdf(0.3)))
    off = mixture.log_prob(torch.tensor([[0.3, 0.1]]).double()).item()
    assert off == pytest.approx(math.log(0.6) + PAIR.logpdf([0.3, 0.1]))
    # A 0 in the first dimension is no atom.
    off = mixture.log_prob(torch.tensor([[0.0, 0.1]]).double()).item()
    assert off == pytest.approx(math.log(0.6) + PAIR.logpdf([0.0, 0.1]))


def test_margins_and_conditionals_of_an_inflated_pair_keep_the_measure():
    mixture = inflated_pair()
    amount = mixture.marginal(1)
    assert amount.log_prob(at(0.0)).item() == pytest.approx(math.log(0.4))
    assert amount.log_prob(at(1.0)).item() == pytest.approx(math.log(0.6 * stats.norm(2, 1).pdf(1)))
    length = mixture.marginal(0)
    expected = 0.4 * stats.norm(-1, 0.5).pdf(0.3) + 0.6 * stats.norm(1, 1).pdf(0.3)
    assert length.log_prob(at(0.3)).exp().item() == pytest.approx(expected)
    given_zero = mixture.conditional(1, torch.tensor([[0.0]]).double())
    assert given_zero.log_prob(at(0.3)).item() == pytest.approx(stats.norm(-1, 0.5).logpdf(0.3))
    given_amount = mixture.conditional(1, torch.tensor([[1.0]]).double())
    assert given_amount.log_prob(at(0.3)).item() == pytest.approx(stats.norm(1 - 0.6, 0.8).logpdf(0.3))
    given_length = mixture.conditional(0, torch.tensor([[0.3]]).double())
    share = 0.4 * stats.norm(-1, 0.5).pdf(0.3) / expected
    assert given_length.log_prob(at(0.0)).exp().item() == pytest.approx(share)
    assert given_length.icdf(0.5 * share + stats.norm(2 - 0.42, 0.8).cdf(0) * (1 - share)).item() == 0


def test_samples_and_quantiles_of_an_inflated_pair_meet_the_atom():
    mixture = inflated_pair()
    samples = mixture.sample((4000,), generator=torch.Generator().manual_seed(0))[:, 0]
    assert abs((samples[:, 1] == 0).double().mean().item() - 0.4) < 4.5 * math.sqrt(0.24 / 4000)
    assert not (samples[:, 0] == 0).any()
    below = 0.6 * stats.norm(2, 1).cdf(0)
    assert mixture.icdf(below + 0.2)[0, 1].item() == 0
    density = mixture.log_prob(samples.unsqueeze(1))[:, 0]
    assert (density > -torch.inf).all()


def test_joint_modes_of_atoms_are_refused_with_a_sentence():
    with pytest.raises(InputError) as caught:
        inflated_pair().modes()
    assert str(caught.value) == (
        "modes of a joint density need components without atoms; take the marginal of one dimension."
    )
    assert inflated_pair().marginal(1).modes().count.tolist() == [1]


def test_inflated_counts_beside_an_angle_sum_to_one():
    parts = Concatenation(
        Product(VonMises(column(0.0), column(2.0)), PointMass(column(0.0))),
        Product(VonMises(column(1.0), column(3.0)), NegativeBinomial(column(2.0), column(1.5))),
    )
    mixture = weighed(parts, 0.35, 0.65)
    y = torch.tensor([[0.4, 0.0]]).double()
    expected = 0.35 * stats.vonmises(2).pdf(0.4) + 0.65 * stats.vonmises(3, 1).pdf(0.4) * stats.nbinom(
        1.5, 1.5 / 3.5
    ).pmf(0)
    assert mixture.log_prob(y).exp().item() == pytest.approx(expected)
    counts = torch.stack([torch.full((400,), 0.4), torch.arange(400.0)], -1).double().unsqueeze(1)
    total = mixture.log_prob(counts).exp().sum().item()
    assert total == pytest.approx(0.35 * stats.vonmises(2).pdf(0.4) + 0.65 * stats.vonmises(3, 1).pdf(0.4))


# --- censored normals: a density that is cut at its atom ---


def test_a_truncated_density_ends_on_its_atom():
    body = Truncated(DiagonalNormal(column(0.5), column(1.0)), 0.0, math.inf)
    mixture = weighed(Concatenation(PointMass(column(0.0)), body), 0.2, 0.8)
    kept = stats.norm(0.5, 1).sf(0)
    assert mixture.log_prob(at(0.0)).item() == pytest.approx(math.log(0.2))
    assert mixture.log_prob(at(5e-324)).exp().item() == pytest.approx(0.8 * stats.norm(0.5, 1).pdf(0) / kept)
    assert mixture.log_prob(at(-1e-9)).item() == -math.inf
    assert mixture.icdf(0.1).item() == mixture.icdf(0.2).item() == 0
    assert mixture.icdf(0.6).item() == pytest.approx(stats.norm(0.5, 1).isf(0.5 * kept))
    modes = mixture.modes()
    assert modes.location[0, 0, 0].item() == pytest.approx(0.5, abs=1e-6)
    assert modes.mass.sum().item() == pytest.approx(0.8)


def test_a_heavy_tail_beside_an_atom_has_its_own_mode():
    mixture = weighed(Concatenation(PointMass(column(0.0)), LogNormal(column(1.0), column(0.5))), 0.6, 0.4)
    modes = mixture.modes()
    assert modes.location[0, 0, 0].item() == pytest.approx(math.exp(1 - 0.25))
    assert mixture.mode.item() == 0  # which holds more than the basin beside it
    assert mixture.median.item() == 0
    lighter = weighed(Concatenation(PointMass(column(0.0)), LogNormal(column(1.0), column(0.5))), 0.4, 0.6)
    assert lighter.mode.item() == pytest.approx(math.exp(0.75))


def test_an_atom_alone_is_a_family_with_shapes_like_any_other():
    place = torch.arange(24.0).reshape(4, 3, 2).double()
    parts = PointMass(place)
    assert (parts.batch_shape, parts.event_shape, parts.kinds) == ((4, 3), (2,), ("atom", "atom"))
    assert parts.log_prob(place).tolist() == [[0.0] * 3] * 4
    assert parts.log_prob(place + 1).tolist() == [[-math.inf] * 3] * 4
    assert parts.sample((5,)).shape == (5, 4, 3, 2)
    assert parts.marginal([1]).log_prob(place[..., 1:]).tolist() == [[0.0] * 3] * 4
    assert parts.log_prob(torch.zeros(7, 4, 1, 2).double()).shape == (7, 4, 3)
    assert Mixture(Categorical(torch.ones(4, 3)), parts).log_prob(torch.zeros(7, 4, 2).double()).shape == (7, 4)
