"""CRPS of families that are not normal: against closed forms of scoringrules, SciPy's cdfs, and definitions."""

import math

import numpy as np
import pytest
import scoringrules
import torch
from scipy import stats
from torch.distributions import Categorical

from manymodes import metrics
from manymodes.distributions import (
    Beta,
    Concatenation,
    DiagonalNormal,
    Gamma,
    Laplace,
    Log,
    Logit,
    LogNormal,
    Mixture,
    NegativeBinomial,
    PITMap,
    PointMass,
    Poisson,
    Product,
    Recalibrated,
    StudentT,
    Transformed,
    Truncated,
    VonMises,
)
from manymodes.metrics import circular
from manymodes.metrics.cdf_distance import squared_distance

from ..distributions.registry import FAMILIES, every_family, over, quadrature
from .references import DOUBLE, alone, at, cdf_distance, column, knots, mixed

on_the_line = over(*(family for family in FAMILIES if not family.discrete and not family.angular))


# --- every family ---


@on_the_line
@pytest.mark.parametrize("level", [0.01, 0.5, 0.95])
def test_crps_matches_the_integral_of_scipys_cdf(family, level):
    reference, rule = family.reference(), quadrature(family)
    y = reference.ppf(np.full((1, 1, 1), level))
    below, above = reference.cdf(rule.points) ** 2, reference.sf(rule.points) ** 2
    expected = rule.integral(np.where(rule.points <= y, below, 0.0) + np.where(rule.points > y, above, 0.0))
    parts = family.component()
    got = squared_distance(alone(parts), torch.from_numpy(y).reshape(-1, y.shape[-1]))
    np.testing.assert_allclose(got.numpy(), expected.reshape(got.shape), rtol=1e-9)


ONES = np.ones(40)
Y = np.random.default_rng(0).normal(size=40) * 2
CLOSED_FORMS = {
    "student_t 1.5": (StudentT, (1.5, 0.3, 0.7), Y, lambda y: scoringrules.crps_t(y, 1.5, 0.3, 0.7)),
    "student_t 1.05": (StudentT, (1.05, 0.3, 0.7), Y, lambda y: scoringrules.crps_t(y, 1.05, 0.3, 0.7)),
    "laplace": (Laplace, (0.3, 0.7), Y, lambda y: scoringrules.crps_laplace(y, 0.3, 0.7)),
    "lognormal": (LogNormal, (0.3, 0.7), abs(Y), lambda y: scoringrules.crps_lognormal(y, 0.3, 0.7)),
    "gamma .3": (Gamma, (0.3, 2.0), abs(Y), lambda y: scoringrules.crps_gamma(y, 0.3, 0.5)),
    "gamma .05": (Gamma, (0.05, 2.0), abs(Y), lambda y: scoringrules.crps_gamma(y, 0.05, 0.5)),
    "gamma 300": (Gamma, (300.0, 0.01), abs(Y), lambda y: scoringrules.crps_gamma(y, 300.0, 100.0)),
    "beta .5 .5": (Beta, (0.5, 0.5, 0.0, 1.0), abs(Y) % 1, lambda y: scoringrules.crps_beta(y, 0.5, 0.5)),
    "beta .05 .1": (Beta, (0.05, 0.1, 0.0, 1.0), abs(Y) % 1, lambda y: scoringrules.crps_beta(y, 0.05, 0.1)),
    "poisson": (Poisson, (3.7,), abs(Y).round(), lambda y: scoringrules.crps_poisson(y, 3.7)),
    "poisson .01": (Poisson, (0.01,), abs(Y).round(), lambda y: scoringrules.crps_poisson(y, 0.01)),
    "negative_binomial": (
        NegativeBinomial,
        (5.0, 0.7),
        abs(Y).round(),
        lambda y: scoringrules.crps_negbinom(y, 0.7, 0.7 / 5.7),
    ),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_crps_matches_closed_forms_of_an_independent_library(name):
    family, values, y, closed_form = CLOSED_FORMS[name]
    parts = family(*(torch.full((len(y), 1, 1), value, **DOUBLE) for value in values))
    np.testing.assert_allclose(metrics.crps(alone(parts), torch.from_numpy(y)[:, None]), closed_form(y), rtol=1e-10)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_crps_does_not_depend_on_units(scale):
    components = StudentT(column(1.5, 3.0, 30.0), scale * column(-1, 0, 40), scale * column(1, 1e-4, 3))
    expected = metrics.crps(mixed(components.affine(0.0, 1 / scale), 0.5, 0.3, 0.2), at(0.4))
    torch.testing.assert_close(metrics.crps(mixed(components, 0.5, 0.3, 0.2), at(0.4 * scale)) / scale, expected)


def test_quadrature_agrees_with_the_closed_form_of_normal_mixtures():
    generator = torch.Generator().manual_seed(0)
    loc = 3 * torch.randn(30, 40, 2, generator=generator, **DOUBLE)
    scale = 10 ** (3 * torch.rand(30, 40, 2, generator=generator, **DOUBLE) - 3)
    mixture = Mixture(Categorical(torch.rand(30, 40, generator=generator, **DOUBLE)), DiagonalNormal(loc, scale))
    y = mixture.sample(generator=generator)
    torch.testing.assert_close(squared_distance(mixture, y), metrics.marginal_crps(mixture, y), rtol=1e-9, atol=0)


def test_narrow_and_far_components_of_little_weight_are_seen():
    components = Laplace(column(0.0, 1e9), column(1e-3, 1.0))
    expected = cdf_distance(
        lambda z: (1 - 1e-6) * stats.laplace.cdf(z, 0, 1e-3) + 1e-6 * stats.laplace.cdf(z, 1e9, 1),
        lambda z: (1 - 1e-6) * stats.laplace.sf(z, 0, 1e-3) + 1e-6 * stats.laplace.sf(z, 1e9, 1),
        knots(stats.laplace(0, 1e-3), stats.laplace(1e9, 1)),
        2e-3,
    )
    assert metrics.crps(mixed(components, 1 - 1e-6, 1e-6), at(2e-3)).item() == pytest.approx(expected, rel=1e-8)


# --- families made of others ---


@pytest.mark.parametrize("y", [-1.0, 0.2, 2.0, 5.0])
def test_crps_of_truncated_components_matches_scipys(y):
    rv = stats.truncnorm((-1 - 0.3) / 0.7, (2 - 0.3) / 0.7, 0.3, 0.7)
    got = metrics.crps(mixed(Truncated(DiagonalNormal(column(0.3), column(0.7)), -1.0, 2.0)), at(y))
    assert got.item() == pytest.approx(cdf_distance(rv.cdf, rv.sf, knots(rv), y), rel=1e-9)


def test_crps_of_transformed_components_is_that_of_their_image():
    y = at(1.3)
    log = Transformed(DiagonalNormal(column(0.3, 1.0), column(0.7, 0.2)), Log())
    same = LogNormal(column(0.3, 1.0), column(0.7, 0.2))
    torch.testing.assert_close(metrics.crps(mixed(log, 0.4, 0.6), y), metrics.crps(mixed(same, 0.4, 0.6), y))
    # (Y, 1 - Y) of the logistic map: in z its slope is y (1 - y), the integrals are taken there.
    logit = metrics.crps(mixed(Transformed(DiagonalNormal(column(0.3), column(4.0)), Logit())), at(0.9))
    rv = stats.norm(0.3, 4)
    slope = stats.logistic.pdf
    expected = cdf_distance(rv.cdf, rv.sf, knots(rv), stats.logistic.ppf(0.9), weight=slope)
    assert logit.item() == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("y", [0.0, 1e-9, 0.4, -0.3, 7.0])
def test_crps_beside_atoms_matches_scipys(y):
    components = Concatenation(PointMass(column(0.0, 3.0)), Gamma(column(0.3), column(2.0)))
    rv, shares = stats.gamma(0.3, scale=2.0), (0.2, 0.1, 0.7)
    got = metrics.crps(mixed(components, *shares), at(y))
    expected = cdf_distance(
        lambda z: shares[0] * (z >= 0) + shares[1] * (z >= 3) + shares[2] * rv.cdf(z),
        lambda z: shares[0] * (z < 0) + shares[1] * (z < 3) + shares[2] * rv.sf(z),
        np.append(knots(rv), [0.0, 3.0]),
        y,
    )
    assert got.item() == pytest.approx(expected, rel=1e-9)


def test_crps_of_atoms_alone_is_that_of_an_ensemble():
    places, y = np.array([0.0, 1.0, 1.0, 4.0]), np.array([1.5])
    got = metrics.crps(mixed(PointMass(column(*places)), *[0.25] * 4), at(1.5))
    assert got.item() == pytest.approx(scoringrules.crps_ensemble(y, places[None])[0], rel=1e-12)


@pytest.mark.parametrize("y", [0.0, 3.0, 2.5, 40.0, -2.0])
def test_crps_of_counts_beside_integer_atoms_matches_their_definition(y):
    components = Concatenation(PointMass(column(0.0, 12.0)), Poisson(column(3.7)))
    n = np.arange(200)
    mass = 0.7 * stats.poisson.pmf(n, 3.7) + 0.2 * (n == 0) + 0.1 * (n == 12)
    expected = mass @ abs(n - y) - 0.5 * mass @ abs(n[:, None] - n) @ mass
    assert metrics.crps(mixed(components, 0.2, 0.1, 0.7), at(y)).item() == pytest.approx(expected, rel=1e-9)


def test_crps_of_counts_beside_a_density_matches_scipys():
    components = Concatenation(Poisson(column(3.7)), Laplace(column(2.2), column(0.7)))
    count, rv = stats.poisson(3.7), stats.laplace(2.2, 0.7)
    expected = cdf_distance(
        lambda z: 0.4 * count.cdf(z) + 0.6 * rv.cdf(z),
        lambda z: 0.4 * count.sf(z) + 0.6 * rv.sf(z),
        np.append(knots(rv), np.arange(60)),
        1.3,
    )
    assert metrics.crps(mixed(components, 0.4, 0.6), at(1.3)).item() == pytest.approx(expected, rel=1e-9)


def test_crps_of_a_product_is_the_sum_of_its_marginals():
    generator = torch.Generator().manual_seed(0)
    shape = (5, 3, 1)
    first, second = (torch.rand(shape, generator=generator, **DOUBLE) + 0.2 for _ in range(2))
    components = Product(VonMises(first, second), Gamma(first, second), Poisson(4 * first), Laplace(first, second))
    mixture = Mixture(Categorical(torch.rand(5, 3, generator=generator, **DOUBLE)), components)
    y = mixture.sample(generator=generator)
    parts = metrics.marginal_crps(mixture, y)
    for d in range(4):
        torch.testing.assert_close(parts[:, [d]], metrics.marginal_crps(mixture.marginal(d), y[:, [d]]))
    torch.testing.assert_close(metrics.crps(mixture, y), parts.sum(-1))


def test_crps_of_a_recalibrated_prediction_is_that_of_its_own_cdf():
    base = mixed(DiagonalNormal(column(-1.0, 2.0), column(0.5, 1.0)), 0.3, 0.7)
    bent = PITMap(torch.tensor([0.0, 0.4, 1.0]), torch.tensor([1.5, 0.6, 1.2]))
    moved = Recalibrated(base, [bent])

    def numpy(f):
        return lambda z: f(torch.from_numpy(z).reshape(-1, 1, 1)).reshape(z.shape).numpy()

    edges = np.append(knots(stats.norm(-1, 0.5), stats.norm(2, 1)), base.icdf(torch.tensor(0.4)).item())
    expected = cdf_distance(numpy(moved.cdf), numpy(moved.sf), edges, 0.5)
    assert metrics.crps(moved, at(0.5)).item() == pytest.approx(expected, rel=1e-8)
    same = Recalibrated(base, [PITMap.identity()])
    torch.testing.assert_close(metrics.crps(same, at(0.5)), metrics.crps(base, at(0.5)))


# --- what has no mean, or lies nowhere ---


@pytest.mark.parametrize(("scale", "infinite"), [(0.5, False), (0.99, False), (1.01, True), (3.0, True)])
def test_crps_is_infinite_where_there_is_no_mean(scale, infinite):
    mixture = mixed(Transformed(Laplace(column(0.0), column(scale)), Log()))
    score = metrics.crps(mixture, at(1.0)).item()
    assert math.isinf(score) == infinite
    if scale == 0.5:  # E|Y - 1| is 1, and the mean difference 2 / (4 - 1/4) + ... is known from the integral
        y = stats.loglaplace(1 / scale)
        assert score == pytest.approx(cdf_distance(y.cdf, y.sf, np.append(knots(y), 0.0), 1.0), rel=1e-9)


def test_crps_is_finite_for_every_heavy_tail_with_a_mean():
    assert metrics.crps(mixed(StudentT(column(1.001), column(0.0), column(1.0))), at(0.0)).item() < 1
    assert metrics.crps(mixed(LogNormal(column(0.0), column(5.0))), at(1.0)).isfinite()


@pytest.mark.parametrize("y", [torch.inf, -torch.inf])
def test_crps_of_an_infinite_target_is_infinite_for_other_families_too(y):
    assert metrics.crps(mixed(Laplace(column(0.0), column(1.0))), at(y)).item() == torch.inf
    assert metrics.crps(mixed(Poisson(column(2.0))), at(y)).item() == torch.inf


def test_components_without_weight_do_not_count():
    components = StudentT(column(3.0, 1.01), column(0.0, 1e200), column(1.0, 1e200))
    expected = scoringrules.crps_t(0.4, 3.0, 0.0, 1.0)
    assert metrics.crps(mixed(components, 1.0, 0.0), at(0.4)).item() == pytest.approx(expected, rel=1e-10)


# --- shapes, precisions, gradients ---


@every_family
def test_single_precision_rounds_the_score_of_double_precision(family):
    mixture = alone(family.component())
    y = mixture.sample(generator=torch.Generator().manual_seed(0))
    low, expected = metrics.crps(mixture.to(torch.float32), y.float()), metrics.crps(mixture, y)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low.double(), expected, rtol=3e-5, atol=1e-6)


def test_batches_of_any_shape_score_row_by_row():
    generator = torch.Generator().manual_seed(0)
    loc = torch.randn(2, 3, 4, 2, generator=generator, **DOUBLE)
    mixture = Mixture(Categorical(torch.ones(2, 3, 4, **DOUBLE)), Laplace(loc, loc.abs() + 0.1))
    y = torch.randn(5, 2, 3, 2, generator=generator, **DOUBLE)
    scores = metrics.crps(mixture, y)
    assert scores.shape == (5, 2, 3)
    torch.testing.assert_close(scores[4, 1], metrics.crps(mixture[1], y[4, 1]))
    assert metrics.crps(mixture[:0], y[:, :0]).shape == (5, 0, 3)


@every_family
def test_the_gradient_of_crps_is_right_for_every_family(family):
    values = family.parameters((1, 2), 1)
    weights = Categorical(torch.tensor([[0.3, 0.7]], **DOUBLE))
    mixture = Mixture(weights, family.cls(**values))
    y = mixture.sample(generator=torch.Generator().manual_seed(1)) + (0.0 if family.discrete else 1e-3)

    def score(*learnt):
        named = {**values, **dict(zip(family.learnt, learnt, strict=True))}
        return metrics.crps(Mixture(weights, family.cls(**named)), y)

    leaves = [values[name].clone().requires_grad_() for name in family.learnt]
    assert torch.autograd.gradcheck(score, leaves, rtol=1e-4)


@pytest.mark.parametrize(("family", "narrow"), [(Laplace, 1e5), (VonMises, 1e5), (VonMises, 0.0)])
def test_the_gradient_of_crps_reaches_weights_and_targets(family, narrow, monkeypatch):
    monkeypatch.setattr(circular, "_NARROW", narrow)
    logits = torch.tensor([[0.1, -0.4], [0.3, 0.0]], **DOUBLE, requires_grad=True)
    y = torch.tensor([[0.7], [-2.0]], **DOUBLE, requires_grad=True)
    loc, width = torch.tensor([[[0.2], [1.0]], [[-1.0], [2.5]]], **DOUBLE), torch.full((2, 2, 1), 0.8, **DOUBLE)

    def score(logits, y):
        return metrics.crps(Mixture(Categorical(logits=logits), family(loc, width)), y)

    assert torch.autograd.gradcheck(score, [logits, y])


# --- propriety ---


def test_scores_of_the_cdf_are_lowest_on_average_for_the_true_distribution():
    # 1,000 draws; paired differences exceed 4 standard errors, a false alarm in 30,000 seeds.
    true = mixed(Concatenation(PointMass(column(0.0)), Gamma(column(2.0), column(1.0))), 0.3, 0.7)
    wrong = mixed(Concatenation(PointMass(column(0.0)), Gamma(column(2.0), column(1.4))), 0.15, 0.85)
    y = true.sample((1000,), generator=torch.Generator().manual_seed(11))[:, 0]
    for score in (
        metrics.marginal_crps,
        metrics.threshold_weighted_crps,
        lambda m, y: metrics.quantile_weighted_crps(m, y, lambda a: a * (1 - a)),
    ):
        gap = (score(wrong.expand((1000,)), y) - score(true.expand((1000,)), y)).squeeze()
        assert gap.mean() > 4 * gap.std() / len(gap) ** 0.5
