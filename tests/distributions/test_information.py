"""Entropy, divergence and mutual information against closed forms and quadrature, with honest standard errors."""

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
    Estimate,
    FullNormal,
    Gamma,
    Laplace,
    Mixture,
    Poisson,
    Product,
    StudentT,
    Truncated,
    entropy,
    entropy_bounds,
    kl_divergence,
    mutual_information,
)


def column(*values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).reshape(1, -1, 1)


def weighed(components, *weights) -> Mixture:
    return Mixture(Categorical(torch.tensor([weights], dtype=torch.float64)), components)


def three() -> Mixture:
    return weighed(DiagonalNormal(column(-1.0, 0.5, 3.0), column(0.6, 1.0, 0.4)), 0.3, 0.5, 0.2)


def density(y):
    return sum(w * stats.norm(m, s).pdf(y) for w, m, s in ((0.3, -1, 0.6), (0.5, 0.5, 1), (0.2, 3, 0.4)))


ENTROPY = integrate.quad(lambda y: -density(y) * math.log(density(y)), -12, 12, points=[-1, 0.5, 3], limit=200)[0]


def test_the_entropy_of_one_normal_is_exact():
    tril = torch.tensor([[[[2.0, 0.0], [0.7, 0.5]]]]).double()
    estimate = entropy(weighed(FullNormal(torch.zeros(1, 1, 2).double(), tril), 1.0))
    expected = stats.multivariate_normal([0, 0], (tril[0, 0] @ tril[0, 0].T).numpy()).entropy()
    assert estimate.value.item() == pytest.approx(expected)
    assert estimate.standard_error.item() == pytest.approx(0, abs=1e-12)


def test_the_entropy_of_components_apart_is_theirs_and_that_of_their_weights():
    apart = weighed(DiagonalNormal(column(-50.0, 50.0), column(1.0, 2.0)), 0.3, 0.7)
    expected = 0.3 * stats.norm.entropy(0, 1) + 0.7 * stats.norm.entropy(0, 2) + stats.entropy([0.3, 0.7])
    estimate = entropy(apart)
    assert estimate.value.item() == pytest.approx(expected)
    assert estimate.standard_error.item() == pytest.approx(0, abs=1e-12)


def test_the_entropy_of_twins_is_that_of_one():
    twins = weighed(DiagonalNormal(column(1.0, 1.0), column(2.0, 2.0)), 0.3, 0.7)
    assert entropy(twins).value.item() == pytest.approx(stats.norm.entropy(0, 2))


@pytest.mark.parametrize("wanted", [0.05, 0.01, 0.003])
def test_the_wanted_standard_error_is_reached_and_the_entropy_is_quadratures(wanted):
    estimate = entropy(three(), standard_error=wanted)
    assert estimate.standard_error.item() <= wanted
    assert abs(estimate.value.item() - ENTROPY) < 4.5 * wanted


def seeds(run, exact, n=200):
    """Return the errors of an estimate in its own standard errors, over seeds."""
    out = []
    for seed in range(n):
        estimate = run(torch.Generator().manual_seed(seed))
        out.append((estimate.value.item() - exact) / estimate.standard_error.item())
    return np.array(out)


def honest(errors) -> None:
    """Standard errors that are true give unit variance: from 200 seeds it is within 0.6 to 1.6 but for 1 in 10^5."""
    assert (np.abs(errors) < 4).mean() >= 0.99
    assert abs(errors.mean()) < 4.5 / math.sqrt(len(errors))
    assert 0.6 < errors.var() < 1.6


def test_standard_errors_of_the_entropy_are_honest():
    honest(seeds(lambda g: entropy(three(), standard_error=0.02, generator=g), ENTROPY))


def test_standard_errors_without_a_closed_form_are_honest():
    m = weighed(Truncated(DiagonalNormal(column(-1.0, 2.0), column(1.0, 0.5)), 0.0, math.inf), 0.4, 0.6)

    def p(y):
        return 0.4 * stats.norm.pdf(y, -1, 1) / stats.norm.sf(0, -1, 1) + 0.6 * stats.norm.pdf(
            y, 2, 0.5
        ) / stats.norm.sf(0, 2, 0.5)

    exact = integrate.quad(lambda y: -p(y) * math.log(p(y)), 0, 9, points=[1, 2], limit=200)[0]
    honest(seeds(lambda g: entropy(m, standard_error=0.05, generator=g), exact))


def test_standard_errors_of_a_divergence_are_honest():
    p, q = (
        weighed(DiagonalNormal(column(0.0), column(1.0)), 1.0),
        weighed(DiagonalNormal(column(0.7), column(1.5)), 1.0),
    )
    exact = math.log(1.5) + (1 + 0.49) / (2 * 2.25) - 0.5
    honest(seeds(lambda g: kl_divergence(p, q, standard_error=0.02, generator=g), exact))


@pytest.mark.parametrize("d", [1, 3])
def test_the_divergence_of_two_normals_is_the_closed_form(d):
    generator = torch.Generator().manual_seed(d)
    trils = [
        torch.eye(d).double() + 0.4 * torch.rand(d, d, generator=generator, dtype=torch.float64).tril()
        for _ in range(2)
    ]
    locs = [torch.rand(d, generator=generator, dtype=torch.float64) for _ in range(2)]
    p, q = (weighed(FullNormal(m.expand(1, 1, d), L.expand(1, 1, d, d)), 1.0) for m, L in zip(locs, trils, strict=True))
    s, t = (L @ L.T for L in trils)
    gap = locs[1] - locs[0]
    exact = 0.5 * (
        torch.trace(torch.linalg.solve(t, s)) + gap @ torch.linalg.solve(t, gap) - d + t.logdet() - s.logdet()
    )
    estimate = kl_divergence(p, q, standard_error=0.003)
    assert estimate.standard_error.item() <= 0.003
    assert abs(estimate.value.item() - exact.item()) < 4.5 * 0.003


def test_the_divergence_of_a_mixture_is_quadratures_and_from_itself_zero():
    other = weighed(Laplace(column(0.0, 2.0), column(1.0, 1.0)), 0.6, 0.4)

    def q(y):
        return 0.6 * stats.laplace.pdf(y) + 0.4 * stats.laplace.pdf(y, 2)

    exact = integrate.quad(
        lambda y: density(y) * math.log(density(y) / q(y)), -10, 10, points=[-1, 0, 2, 3], limit=200
    )[0]
    estimate = kl_divergence(three(), other, standard_error=0.005)
    assert abs(estimate.value.item() - exact) < 4.5 * 0.005
    itself = kl_divergence(three(), three())
    assert itself.value.item() == itself.standard_error.item() == 0


def test_the_divergence_is_infinite_where_the_second_cannot_be():
    positive = weighed(Gamma(column(2.0), column(1.0)), 1.0)
    estimate = kl_divergence(three(), positive, max_samples=1000)
    assert estimate.value.item() == math.inf


@pytest.mark.parametrize("rho", [0.0, 0.5, -0.95])
def test_the_mutual_information_of_a_correlated_normal_is_the_closed_form(rho):
    tril = torch.tensor([[[[1.0, 0.0], [rho, math.sqrt(1 - rho**2)]]]]).double()
    joint = weighed(FullNormal(torch.zeros(1, 1, 2).double(), tril), 1.0)
    for dims in (0, [1]):
        estimate = mutual_information(joint, dims, standard_error=0.005)
        assert estimate.standard_error.item() <= 0.005
        assert abs(estimate.value.item() + 0.5 * math.log(1 - rho**2)) < 4.5 * 0.005 + 1e-12


def test_the_mutual_information_of_blocks_tells_the_component():
    # Two components far apart in both dimensions: each tells log 2 of the other.
    parts = Product(DiagonalNormal(column(-40.0, 40.0), column(1.0, 1.0)), Poisson(column(1.0, 400.0)))
    estimate = mutual_information(weighed(parts, 0.5, 0.5), 0)
    assert estimate.value.item() == pytest.approx(math.log(2))
    alone = mutual_information(weighed(parts, 1.0, 0.0), 0)
    assert alone.value.item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("gap", [0.0, 0.5, 2.0, 50.0])
def test_bounds_hold_the_entropy_between_them(gap):
    m = weighed(DiagonalNormal(column(0.0, gap, -gap), column(1.0, 0.5, 2.0)), 0.3, 0.5, 0.2)

    def p(y):
        return sum(w * stats.norm.pdf(y, c, s) for w, c, s in ((0.3, 0, 1), (0.5, gap, 0.5), (0.2, -gap, 2)))

    exact = integrate.quad(
        lambda y: -p(y) * math.log(p(y)) if p(y) else 0, -gap - 25, gap + 15, points=sorted({-gap, 0.0, gap}), limit=400
    )[0]
    low, high = entropy_bounds(m)
    assert low.item() <= exact + 1e-9
    assert exact <= high.item() + 1e-9
    assert high.item() - low.item() < 1.1  # at most log 3


@pytest.mark.parametrize(
    "components",
    [
        Laplace(column(0.0, 1.0, 4.0), column(1.0, 0.5, 2.0)),
        StudentT(column(3.0, 4.0, 5.0), column(0.0, 1.0, 4.0), column(1.0, 0.5, 2.0)),
    ],
    ids=lambda c: type(c).__name__,
)
def test_bounds_of_other_families_hold_the_entropy_too(components):
    m = weighed(components, 0.3, 0.5, 0.2)
    low, high = entropy_bounds(m)
    estimate = entropy(m, standard_error=0.003)
    assert low.item() <= estimate.value.item() + 4 * 0.003
    assert estimate.value.item() - 4 * 0.003 <= high.item()


def test_each_row_has_its_own_estimate_and_a_weight_of_zero_is_silent():
    loc = torch.tensor([[[0.0], [1.0]], [[0.0], [1.0]], [[0.0], [9.0]]]).double()
    scale = torch.tensor([[[1.0], [1.0]], [[1.0], [1e-30]], [[1.0], [2.0]]]).double()
    weights = torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.2, 0.8]]).double()
    estimate = entropy(Mixture(Categorical(weights), DiagonalNormal(loc, scale)), standard_error=0.01)
    assert estimate.value.shape == estimate.standard_error.shape == (3,)
    assert (estimate.standard_error <= 0.01).all()
    assert estimate.value[1].item() == pytest.approx(stats.norm.entropy())
    low, high = entropy_bounds(Mixture(Categorical(weights), DiagonalNormal(loc, scale)))
    assert not low.isnan().any()
    assert (low <= high + 1e-12).all()


def test_a_seed_repeats_an_estimate_and_samples_are_limited():
    one, other = (entropy(three(), generator=torch.Generator().manual_seed(7)) for _ in range(2))
    assert one.value.item() == other.value.item()
    assert entropy(three()).value.item() == entropy(three()).value.item()
    few = entropy(three(), standard_error=1e-9, max_samples=100)
    assert few.n_samples == 100
    assert few.standard_error.item() > 1e-3
    assert entropy(three(), standard_error=1e-9, max_samples=2).n_samples == 2


def test_estimates_print_what_they_are():
    assert repr(Estimate(torch.tensor([1.25]), torch.tensor([0.0123]), 64)) == "Estimate(1.25 ± 0.012)"
    many = Estimate(torch.zeros(3), torch.tensor([0.1, 0.03, 0.2]), 128)
    assert repr(many) == "Estimate(rows=3, standard_error<=0.2, n_samples=128)"
    none = Estimate(torch.zeros(0), torch.zeros(0), 64)
    assert repr(none) == "Estimate(rows=0, standard_error<=0, n_samples=64)"


def test_what_cannot_be_estimated_is_refused():
    pair = weighed(DiagonalNormal(torch.zeros(1, 1, 2).double(), torch.ones(1, 1, 2).double()), 1.0)
    with pytest.raises(InputError) as caught:
        kl_divergence(three(), pair)
    assert str(caught.value) == "targets of second must have shape (1, 1) to match those of first; got (1, 2)."
    with pytest.raises(InputError) as caught:
        mutual_information(three(), 0)
    assert str(caught.value) == "dims must leave at least one of the 1 target dimensions; got 0."
    for wrong in (0.0, -1.0, math.inf):
        with pytest.raises(InputError, match="^standard_error must be a number > 0"):
            entropy(three(), standard_error=wrong)
    with pytest.raises(InputError) as caught:
        entropy(three(), max_samples=1)
    assert str(caught.value) == "max_samples must be an integer >= 2; got 1."


def test_an_empty_batch_has_no_estimates():
    empty = entropy(three()[:0])
    assert empty.value.shape == (0,)
    assert [bound.shape for bound in entropy_bounds(three()[:0])] == [(0,), (0,)]


def test_estimates_carry_no_gradient_that_would_be_half_of_one():
    loc = torch.tensor([[[0.0], [1.0]]], requires_grad=True)
    mixture = Mixture(Categorical(torch.ones(1, 2)), DiagonalNormal(loc, torch.ones(1, 2, 1)))
    assert not entropy(mixture).value.requires_grad
    assert not kl_divergence(mixture, mixture).value.requires_grad
