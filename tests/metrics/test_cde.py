import math

import numpy as np
import pytest
import torch
from scipy import special, stats

from manymodes import metrics
from manymodes._checks import InputError
from manymodes.distributions import (
    Beta,
    Concatenation,
    DiagonalNormal,
    FullNormal,
    Gamma,
    Laplace,
    LowRankNormal,
    PointMass,
    Poisson,
    StudentT,
    VonMises,
)
from manymodes.metrics.cde import _of_normals, _on_line

from .references import DOUBLE, at, column, integral, knots, mixed
from .test_scores import make


def square(mixture) -> float:
    """Return the integral of the squared density: the loss where the density is as good as 0."""
    y = at(0.3)
    return (metrics.cde_loss(mixture, y) + 2 * mixture.log_prob(y).exp()).item()


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_closed_form_and_quadrature_agree_for_normals(scale):
    mixture, _ = make(n=20, k=12, scale=scale)
    torch.testing.assert_close(_on_line(mixture), _of_normals(mixture), rtol=1e-9, atol=0)


def test_covariances_of_all_kinds_agree():
    mixture, y = make(d=2)
    loc, scale = mixture.components.loc, mixture.components.scale
    expected = metrics.cde_loss(mixture, y)
    nothing = torch.zeros(*loc.shape, 1, **DOUBLE)
    for parts in (FullNormal(loc, torch.diag_embed(scale)), LowRankNormal(loc, nothing, scale)):
        torch.testing.assert_close(metrics.cde_loss(mixture.with_components(parts), y), expected)


def test_the_loss_of_correlated_normals_matches_monte_carlo():
    # 20,000 draws of 6 rows, within 4 standard errors: a false alarm in some 2,600 seeds.
    mixture, y = make(d=2)
    lower = torch.diag_embed(mixture.components.scale) + torch.ones(2, 2, **DOUBLE).tril(-1)
    mixture = mixture.with_components(FullNormal(mixture.components.loc, lower))
    heights = mixture.log_prob(mixture.sample((20_000,), generator=torch.Generator().manual_seed(0))).exp()
    exact = metrics.cde_loss(mixture, y) + 2 * mixture.log_prob(y).exp()
    assert ((exact - heights.mean(0)).abs() < 4 * heights.std(0) / 20_000**0.5).all()


FAMILIES = {
    "student_t": (StudentT(column(1.5), column(0.0), column(2.0)), stats.t(1.5, 0, 2)),
    "laplace": (Laplace(column(0.3), column(2.0)), stats.laplace(0.3, 2)),
    "gamma": (Gamma(column(2.5), column(2.0)), stats.gamma(2.5, scale=2)),
    "beta": (Beta(column(1.5), column(3.0), column(-1.0), column(2.0)), stats.beta(1.5, 3, -1, 3)),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_square_of_other_densities_matches_scipys(name):
    components, rv = FAMILIES[name]
    assert square(mixed(components)) == pytest.approx(integral(lambda z: rv.pdf(z) ** 2, knots(rv)), rel=1e-8)


def test_squares_of_counts_and_angles_are_known():
    n = np.arange(100)
    assert square(mixed(Poisson(column(4.0)))) == pytest.approx((stats.poisson.pmf(n, 4) ** 2).sum(), rel=1e-10)
    angle = special.i0(8.0) / (2 * math.pi * special.i0(4.0) ** 2)
    assert square(mixed(VonMises(column(3.0), column(4.0)))) == pytest.approx(angle, rel=1e-10)


@pytest.mark.parametrize("shape", [0.3, 0.5, 0.55, 0.6, 0.75])
def test_poles_are_integrated_where_they_can_be(shape):
    expected = math.inf
    if shape > 0.5:
        expected = math.exp(math.lgamma(2 * shape - 1) - 2 * math.lgamma(shape)) * 2 ** (1 - 2 * shape)
    assert square(mixed(Gamma(column(shape), column(1.0)))) == pytest.approx(expected, rel=1e-7)


def test_joint_densities_of_other_families_are_sampled_to_the_error_that_is_stated():
    # 5 rows within 4 standard errors: a false alarm in 3,000 seeds.
    mixture, y = make(n=5, d=2)
    laplace = mixture.with_components(Laplace(mixture.components.loc, mixture.components.scale))
    once = metrics.cde_loss(laplace, y, n_samples=500)
    generator = torch.Generator().manual_seed(7)
    heights = laplace.log_prob(laplace.sample((20_000,), generator=generator)).exp()
    expected = heights.mean(0) - 2 * laplace.log_prob(y).exp()
    assert ((once - expected).abs() < 4 * heights.std(0) * (1 / 500 + 1 / 20_000) ** 0.5).all()
    torch.testing.assert_close(metrics.cde_loss(laplace, y, n_samples=500), once, rtol=0, atol=0)


def test_the_gradient_of_the_loss_is_right():
    mixture, y = make(n=2, k=2)
    values = [mixture.components.loc.clone().requires_grad_(), mixture.components.scale.clone().requires_grad_()]
    for family in (DiagonalNormal, Laplace):

        def loss(loc, scale, family=family):
            return metrics.cde_loss(mixture.with_components(family(loc, scale)), y)

        assert torch.autograd.gradcheck(loss, values, rtol=1e-4)


def test_the_loss_is_lowest_on_average_for_the_true_density():
    # 20,000 draws; paired differences exceed 5 standard errors.
    mixture, _ = make(n=1)
    y = mixture.sample((20_000,), generator=torch.Generator().manual_seed(11))
    true = metrics.cde_loss(mixture, y)
    for wrong in (mixture.affine(0.3, 1.0), mixture.affine(0.0, 1.3), mixture.affine(0.0, 0.7)):
        gap = metrics.cde_loss(wrong, y) - true
        assert gap.mean() > 5 * gap.std() / len(gap) ** 0.5


def test_no_rows_have_no_loss():
    mixture, y = make(d=2)
    assert tuple(metrics.cde_loss(mixture[:0], y[:0]).shape) == (0,)


def test_atoms_and_mixed_measures_are_refused():
    atom = Concatenation(PointMass(column(0.0)), Laplace(column(0.0), column(1.0)))
    with pytest.raises(InputError) as caught:
        metrics.cde_loss(mixed(atom, 0.5, 0.5), at(1.0))
    assert str(caught.value) == "cde_loss needs a density, or counts; got an atom, whose square has no integral."
    counts = Concatenation(Poisson(column(2.0)), Laplace(column(0.0), column(1.0)))
    with pytest.raises(InputError) as caught:
        metrics.cde_loss(mixed(counts, 0.5, 0.5), at(1.0))
    assert str(caught.value) == "cde_loss needs components of one measure; got counts beside a density."


def test_a_pole_that_is_nearly_too_strong_is_integrated_as_well_as_numbers_allow():
    for shape, error in ((0.505, 1e-3), (0.51, 1e-6)):
        expected = math.exp(math.lgamma(2 * shape - 1) - 2 * math.lgamma(shape)) * 2 ** (1 - 2 * shape)
        assert square(mixed(Gamma(column(shape), column(1.0)))) == pytest.approx(expected, rel=error)
