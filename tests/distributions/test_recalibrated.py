"""Recalibrated densities: density, cdf, quantiles, moments, modes, regions and samples of one distribution."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch.distributions import Categorical

from manymodes import metrics
from manymodes._checks import InputError
from manymodes.distributions import (
    Concatenation,
    DiagonalNormal,
    FullNormal,
    Gamma,
    Incomplete,
    Mixture,
    PITMap,
    PointMass,
    Poisson,
    Recalibrated,
    StudentT,
    VonMises,
    entropy,
    entropy_bounds,
    joined,
    kl_divergence,
    mutual_information,
)

DOUBLE = torch.float64
BENT = PITMap(torch.tensor([0.0, 0.1, 0.3, 0.7, 1.0]), torch.tensor([3.0, 1.0, 0.5, 0.2, 4.0]))
SKEWED = PITMap(torch.tensor([0.0, 0.5, 1.0]), torch.tensor([1.0, 2.0, 0.3]))
STEEP = PITMap(torch.tensor([0.0, 0.02, 1.0]), torch.tensor([40.0, 0.6, 0.6]))  # so steep that samples are quantiles


def weights(*values):
    return Categorical(torch.tensor(values, dtype=DOUBLE))


def column(*values):
    return torch.tensor(values, dtype=DOUBLE).reshape(1, -1, 1)


def normals():
    return Mixture(weights([0.3, 0.2, 0.5]), DiagonalNormal(column(0.6, 3.8, -3.9), column(0.47, 0.37, 0.14)))


def gammas():
    return Mixture(weights([0.6, 0.4]), Gamma(column(0.7, 9.0), column(1.0, 2.0)))


def students():
    return Mixture(weights([0.5, 0.5]), StudentT(column(3.5, 9.0), column(-2.0, 1.0), column(0.3, 1.0)))


def with_atoms():
    return Mixture(
        weights([0.3, 0.2, 0.5]), Concatenation(PointMass(column(0.0, 3.0)), DiagonalNormal(column(1.0), column(2.0)))
    )


def counts():
    return Mixture(weights([0.3, 0.7]), Poisson(column(3.0, 20.0)))


DENSITIES = pytest.mark.parametrize("make", [normals, gammas, students], ids=lambda make: make.__name__)
ALL = pytest.mark.parametrize("make", [normals, gammas, students, with_atoms, counts], ids=lambda make: make.__name__)


def integral(density, f, low=-math.inf, high=math.inf):
    """Return the integral of f p between turning points, by SciPy."""
    tails = torch.logspace(-15, -1, 15, dtype=DOUBLE).reshape(-1, 1, 1)
    inner = density.components.turning_points().flatten()
    points = torch.cat([inner, density.icdf(tails).flatten(), density.isf(tails).flatten()])
    edges = sorted({min(max(p, low), high) for p in points[points.isfinite()].tolist()})

    def value(y):
        return f(y) * float(density.log_prob(torch.tensor([[y]], dtype=DOUBLE)).exp())

    pairs = pairwise(edges)
    return sum(quad(value, a, b, epsabs=1e-12, epsrel=1e-9, limit=30)[0] for a, b in pairs if b - a > 1e-14)


# --- one distribution ---


@DENSITIES
def test_the_density_integrates_to_one(make):
    assert integral(Recalibrated(make(), [BENT]), lambda y: 1.0) == pytest.approx(1.0, abs=1e-6)


@DENSITIES
def test_the_cdf_is_the_integral_of_the_density(make):
    density = Recalibrated(make(), [BENT])
    middle = density.icdf(0.37).item()
    assert integral(density, lambda y: 1.0, high=middle) == pytest.approx(0.37, abs=1e-6)
    assert density.sf(torch.tensor([[middle]], dtype=DOUBLE)).item() == pytest.approx(0.63, abs=1e-12)


@ALL
def test_the_identity_leaves_every_answer_as_it_was(make):
    base, same = make(), Recalibrated(make(), [PITMap.identity()])
    y = base.sample((7,), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(same.log_prob(y), base.log_prob(y))
    torch.testing.assert_close(same.cdf(y), base.cdf(y))
    levels = torch.tensor([0.01, 0.4, 0.9]).reshape(-1, 1, 1)
    torch.testing.assert_close(same.icdf(levels), base.icdf(levels))
    torch.testing.assert_close(same.mean, base.mean, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(same.variance, base.variance, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(same.modes().location, base.modes().location, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(same.modes().spread, base.modes().spread, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(same.highest_density_region(0.8).low, base.highest_density_region(0.8).low)
    torch.testing.assert_close(same.expected_shortfall(0.9), base.expected_shortfall(0.9), rtol=1e-5, atol=1e-6)


@ALL
def test_quantiles_undo_the_cdf(make):
    density = Recalibrated(make(), [BENT])
    levels = torch.tensor([1e-9, 0.001, 0.2, 0.5, 0.8, 0.9999], dtype=DOUBLE).reshape(-1, 1, 1)
    y = density.icdf(levels)
    before = density.cdf(torch.nextafter(y, torch.full_like(y, -torch.inf)))
    reached = density.cdf(y)
    assert bool((reached >= levels * (1 - 1e-9)).all())
    assert bool((before <= levels * (1 + 1e-9)).all())


def test_far_upper_quantiles_keep_their_digits():
    density = Recalibrated(normals(), [BENT])
    tiny = torch.tensor([1e-30, 1e-12], dtype=DOUBLE).reshape(-1, 1, 1)
    torch.testing.assert_close(density.sf(density.isf(tiny)), tiny, rtol=1e-8, atol=0.0)


@DENSITIES
def test_moments_agree_with_quadrature(make):
    density = Recalibrated(make(), [BENT])
    mean = integral(density, lambda y: y)
    assert density.mean.item() == pytest.approx(mean, rel=1e-5)
    # The variance of a Student's t with 3.5 degrees has a tail that quadrature of neither kind ends.
    tolerance = 0.02 if make is students else 1e-5
    assert density.variance.item() == pytest.approx(integral(density, lambda y: (y - mean) ** 2), rel=tolerance)


@DENSITIES
def test_tail_means_agree_with_quadrature(make):
    density = Recalibrated(make(), [BENT])
    at = density.isf(0.1).item()
    beyond = integral(density, lambda y: y, low=at) / 0.1
    assert density.expected_shortfall(0.9).item() == pytest.approx(beyond, rel=1e-4)


@ALL
@pytest.mark.parametrize("pit_map", [BENT, STEEP], ids=["bent", "steep"])
def test_samples_follow_the_cdf(make, pit_map):
    density = Recalibrated(make(), [pit_map])
    y = density.sample((4000,), generator=torch.Generator().manual_seed(1))
    for place in density.icdf(torch.tensor([0.1, 0.5, 0.9]).reshape(-1, 1, 1)):
        share, expected = (y <= place).double().mean(), density.cdf(place)
        assert abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / 4000) + 1e-12  # 6e-5 false alarms


@ALL
def test_regions_hold_their_level_and_are_the_densest_places(make):
    density = Recalibrated(make(), [SKEWED])
    region = density.highest_density_region(0.8)
    assert region.total_mass.item() == pytest.approx(0.8, abs=0.05 if make is counts else 1e-6)
    y = density.sample((3000,), generator=torch.Generator().manual_seed(2))
    share = region.contains(y).double().mean()
    assert abs(share - region.total_mass.item()) < 4 * math.sqrt(0.16 / 3000)
    ranks = density.highest_density_rank(y)
    assert bool((region.contains(y) == (ranks < 0.8)).double().mean() > 0.999)


@DENSITIES
def test_no_place_on_a_fine_grid_is_denser_than_the_highest_mode(make):
    density = Recalibrated(make(), [BENT])
    modes = density.modes()
    grid = density.icdf(torch.linspace(0.0005, 0.9995, 4001, dtype=DOUBLE).reshape(-1, 1, 1))
    heights = density.log_prob(grid).squeeze(-1)
    inner = (heights[1:-1] > heights[:-2]) & (heights[1:-1] > heights[2:])
    peaks = grid.flatten()[1:-1][inner]
    found = modes.location[0, :, 0]
    step = (grid[2:] - grid[:-2]).flatten()[inner]
    assert bool(((peaks.unsqueeze(-1) - found).abs().amin(-1) <= step).all())
    assert modes.log_density[0, 0] >= heights.max() - 1e-9
    assert modes.mass.sum().item() == pytest.approx(1.0, abs=1e-9)


def test_atoms_hold_what_the_map_makes_of_their_jump():
    density = Recalibrated(with_atoms(), [BENT])
    base = with_atoms()
    for place in (0.0, 3.0):
        at = torch.tensor([[place]], dtype=DOUBLE)
        before = torch.nextafter(at, torch.tensor(-torch.inf, dtype=DOUBLE))
        expected = BENT.forward(base.cdf(at)) - BENT.forward(base.cdf(before))
        torch.testing.assert_close(density.log_prob(at).exp(), expected.squeeze(-1))
        torch.testing.assert_close(density.probability(place, place), expected)


def test_counts_hold_what_the_map_makes_of_their_jumps():
    density = Recalibrated(counts(), [BENT])
    k = torch.arange(90, dtype=DOUBLE).reshape(-1, 1, 1)
    probability = density.log_prob(k).exp().squeeze(-1)
    assert probability.sum().item() == pytest.approx(1.0, abs=1e-12)
    mean = (probability * k.flatten()).sum()
    assert density.mean.item() == pytest.approx(mean.item(), rel=1e-10)
    assert density.variance.item() == pytest.approx(float((probability * (k.flatten() - mean) ** 2).sum()), rel=1e-9)


def test_a_censored_target_has_the_probability_of_its_interval():
    density = Recalibrated(normals(), [BENT])
    low, high = torch.tensor([[0.5]], dtype=DOUBLE), torch.tensor([[torch.inf]], dtype=DOUBLE)
    torch.testing.assert_close(density.log_prob(Incomplete(low, high)).exp(), density.sf(low).squeeze(-1))


def test_metrics_take_it_like_a_mixture():
    base = normals().expand((50,))
    density = Recalibrated(base, [BENT])
    y = density.sample(generator=torch.Generator().manual_seed(3))
    assert metrics.log_score(density, y).shape == (50,)
    assert metrics.pit(density, y).shape == (50, 1)
    assert abs(metrics.pit(density, y).mean().item() - 0.5) < 4 * math.sqrt(1 / 12 / 50)


# --- several dimensions ---


@pytest.fixture(scope="module")
def joint():
    generator = torch.Generator().manual_seed(5)
    scale_tril = torch.randn(3, 2, 2, 2, generator=generator, dtype=DOUBLE).tril(-1) + 0.7 * torch.eye(2, dtype=DOUBLE)
    loc = 2 * torch.randn(3, 2, 2, generator=generator, dtype=DOUBLE)
    return Recalibrated(
        Mixture(weights([0.3, 0.7], [0.5, 0.5], [0.9, 0.1]), FullNormal(loc, scale_tril)), [BENT, SKEWED]
    )


def test_the_joint_density_integrates_to_one(joint):
    line = torch.linspace(-16, 16, 801, dtype=DOUBLE)
    grid = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 1, 2).expand(-1, 3, -1)
    total = joint.log_prob(grid).exp().sum(0) * (line[1] - line[0]) ** 2
    torch.testing.assert_close(total, torch.ones(3, dtype=DOUBLE), rtol=0, atol=2e-3)


def test_joint_samples_follow_the_marginals_and_the_density(joint):
    y = joint.sample((4000,), generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(y.mean(0), joint.mean, rtol=0, atol=0.15)
    torch.testing.assert_close(y.std(0), joint.stddev, rtol=0.06, atol=0.0)
    inside = joint.log_prob(y) >= joint.highest_density_level(0.7)
    assert bool(((inside.double().mean(0) - 0.7).abs() < 0.04).all())


def test_what_is_exact_in_several_dimensions(joint):
    y = joint.sample(generator=torch.Generator().manual_seed(6))
    first, given = joint.marginal(0), joint.conditional(0, y[:, [0]])
    torch.testing.assert_close(first.log_prob(y[:, [0]]) + given.log_prob(y[:, [1]]), joint.log_prob(y))
    assert isinstance(first, Recalibrated)
    assert isinstance(given, Recalibrated)


def test_the_density_of_a_later_dimension_alone_agrees_with_samples(joint):
    second = joint.marginal(1)
    y = joint.sample((4000,), generator=torch.Generator().manual_seed(8))[..., [1]]
    assert bool(((second.cdf(y).mean(0) - 0.5).abs() < 0.03).all())
    torch.testing.assert_close(joint.cdf(y[0].expand(-1, 2))[:, [1]], second.cdf(y[0]))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda joint: joint.modes(),
            "modes of a recalibrated density need one target dimension; take a marginal, a conditional, or base.",
        ),
        (
            lambda joint: joint.conditional(1, torch.zeros(3, 1, dtype=DOUBLE)),
            "dims must be the first dimensions in order, of a recalibrated density; got 1.",
        ),
        (
            lambda joint: joint.marginal([1, 0]),
            "dims must be one dimension or the first ones in order, of a recalibrated density; got [1, 0].",
        ),
        (
            lambda joint: joint.log_prob(Incomplete.missing(torch.full((3, 2), torch.nan, dtype=DOUBLE))),
            "y must be exact for a recalibrated density of several dimensions; take base.",
        ),
    ],
)
def test_what_nothing_is_known_of_is_refused(joint, ask, message):
    with pytest.raises(InputError) as error:
        ask(joint)
    assert str(error.value) == message


# --- life ---


def test_rows_precision_and_units_change_as_for_a_mixture():
    base = Mixture(
        weights([0.5, 0.5], [0.2, 0.8]), DiagonalNormal(column(0.0, 3.0).expand(2, -1, -1), column(1.0, 0.5))
    )
    density = Recalibrated(base, [BENT])
    torch.testing.assert_close(density[1:].mean, density.mean[1:])
    torch.testing.assert_close(density.affine(5.0, 2.0).mean, 5 + 2 * density.mean, rtol=1e-9, atol=1e-9)
    single = density.to(torch.float32)
    assert single.log_prob(torch.zeros(2, 1)).dtype == torch.float32
    torch.testing.assert_close(single.mean.double(), density.mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(joined([density[:1], density[1:]]).mean, density.mean)
    assert density.expand((4, 2)).log_prob(torch.zeros(4, 2, 1, dtype=DOUBLE)).shape == (4, 2)


def test_gradients_reach_the_parameters_of_the_mixture():
    loc, scale = column(0.0, 2.0).requires_grad_(), column(1.0, 0.5).requires_grad_()
    density = Recalibrated(Mixture(weights([0.4, 0.6]), DiagonalNormal(loc, scale)), [BENT])
    y = torch.tensor([[0.7]], dtype=DOUBLE)

    def score(loc, scale):
        return Recalibrated(Mixture(weights([0.4, 0.6]), DiagonalNormal(loc, scale)), [BENT]).log_prob(y)

    density.log_prob(y).sum().backward()
    assert bool((loc.grad != 0).all())
    assert torch.autograd.gradcheck(score, (loc, scale))


@pytest.mark.parametrize(
    ("make", "maps", "message"),
    [
        (normals, [BENT, BENT], "maps must hold one map for each of the 1 target dimensions; got 2."),
        (
            lambda: Mixture(weights([1.0]), VonMises(column(0.0), column(1.0))),
            [BENT],
            "base must have targets on a line; got an angle, whose cdf begins nowhere.",
        ),
    ],
)
def test_what_cannot_be_recalibrated_is_refused(make, maps, message):
    with pytest.raises(InputError) as error:
        Recalibrated(make(), maps)
    assert str(error.value) == message


def test_many_rows_at_once_give_what_single_rows_give():
    rng = np.random.default_rng(0)
    loc = torch.from_numpy(rng.normal(size=(20, 3, 1)) * 3)
    base = Mixture(
        Categorical(logits=torch.from_numpy(rng.normal(size=(20, 3)))), DiagonalNormal(loc, loc.abs() / 4 + 0.1)
    )
    together = Recalibrated(base, [BENT])
    alone = Recalibrated(base[7:8], [BENT])
    torch.testing.assert_close(together.mean[7:8], alone.mean)
    torch.testing.assert_close(together.modes().location[7, : alone.modes().mask.shape[-1]], alone.modes().location[0])
    torch.testing.assert_close(together.highest_density_region(0.9).total_mass, torch.full((20,), 0.9, dtype=DOUBLE))


def test_moments_that_vanish_are_found_and_do_not_keep_the_search_busy():
    base = Mixture(weights([0.5, 0.5]), DiagonalNormal(column(-2.0, 2.0), column(0.5, 0.5)))
    symmetric = PITMap(torch.tensor([0.0, 0.5, 1.0]), torch.tensor([2.0, 1.0, 2.0]))
    density = Recalibrated(base, [symmetric])
    assert density.mean.item() == pytest.approx(0.0, abs=1e-8)
    assert density.skewness.item() == pytest.approx(0.0, abs=1e-8)


def test_the_entropy_is_that_of_the_recalibrated_density():
    density = Recalibrated(normals(), [BENT])
    expected = integral(density, lambda y: -float(density.log_prob(torch.tensor([[y]], dtype=DOUBLE))))
    found = entropy(density, standard_error=0.005)
    assert abs(found.value.item() - expected) < 4 * found.standard_error.item()


def test_predictions_by_different_maps_are_not_joined():
    first, second = Recalibrated(normals(), [BENT]), Recalibrated(normals(), [SKEWED])
    for other in (second, normals()):
        with pytest.raises(InputError) as error:
            joined([first, other])
        assert str(error.value) == "mixtures must all be recalibrated by the same maps where the first one is."


def test_moments_about_a_centre_of_zero_are_those_of_the_base_where_nothing_is_corrected():
    base = Mixture(weights([1.0]), DiagonalNormal(column(0.0), column(1.0)))
    density = Recalibrated(base, [PITMap.identity()])
    assert density.mean.item() == pytest.approx(0.0, abs=1e-9)
    assert density.variance.item() == pytest.approx(1.0, rel=1e-9)
    assert density.central_moment(3).item() == pytest.approx(0.0, abs=1e-8)
    assert density.skewness.item() == pytest.approx(0.0, abs=1e-8)


def test_divergence_and_mutual_information_are_sampled_from_the_recalibrated_density():
    density, base = Recalibrated(normals(), [BENT]), normals()
    found = kl_divergence(density, base, standard_error=0.005)

    def gain(y: float) -> float:
        place = torch.tensor([[y]], dtype=DOUBLE)
        return float(density.log_prob(place) - base.log_prob(place))

    expected = integral(density, gain)
    assert abs(found.value.item() - expected) < 4 * found.standard_error.item()
    two = Mixture(weights([1.0]), DiagonalNormal(torch.zeros(1, 1, 2, dtype=DOUBLE), torch.ones(1, 1, 2, dtype=DOUBLE)))
    apart = mutual_information(Recalibrated(two, [BENT, SKEWED]), 0)
    assert apart.value.item() == pytest.approx(0.0, abs=1e-9)  # dimensions that tell nothing of each other
    with pytest.raises(TypeError, match=r"^distribution must be a Mixture; take entropy, which samples; got Rec"):
        entropy_bounds(density)


def test_the_energy_score_of_several_recalibrated_dimensions_refuses_a_gradient():
    loc = torch.zeros(1, 1, 2, dtype=DOUBLE, requires_grad=True)
    density = Recalibrated(Mixture(weights([1.0]), DiagonalNormal(loc, torch.ones(1, 1, 2, dtype=DOUBLE))), [BENT] * 2)
    y = torch.zeros(1, 2, dtype=DOUBLE)
    with pytest.raises(InputError, match="^energy_score has no gradient for recalibrated densities of several dim"):
        metrics.energy_score(density, y)
    with torch.no_grad():
        assert metrics.energy_score(density, y).isfinite().all()
