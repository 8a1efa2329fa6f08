"""Concatenations of families: a normal bulk and a lognormal tail, and what no component's support holds."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats
from torch import Tensor
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.distributions import (
    Beta,
    Concatenation,
    DiagonalNormal,
    FullNormal,
    Gamma,
    Laplace,
    Log,
    LogNormal,
    Mixture,
    NegativeBinomial,
    Poisson,
    Product,
    StudentT,
    Transformed,
    Truncated,
    VonMises,
)

WEIGHTS = (0.45, 0.2, 0.35)


def column(*values, dtype=torch.float64) -> Tensor:
    """Values of K components of one row and one dimension, (1, K, 1)."""
    return torch.tensor(values, dtype=dtype).reshape(1, -1, 1)


def weighed(components, *weights) -> Mixture:
    return Mixture(Categorical(torch.tensor([weights], dtype=components.mean.dtype)), components)


def bulk_and_tail() -> Mixture:
    parts = Concatenation(DiagonalNormal(column(-1.0, 2.5), column(0.8, 0.3)), LogNormal(column(1.2), column(0.7)))
    return weighed(parts, *WEIGHTS)


SCIPY = [stats.norm(-1, 0.8), stats.norm(2.5, 0.3), stats.lognorm(0.7, scale=math.exp(1.2))]


def pdf(y):
    return sum(w * part.pdf(y) for w, part in zip(WEIGHTS, SCIPY, strict=True))


def cdf(y):
    return sum(w * part.cdf(y) for w, part in zip(WEIGHTS, SCIPY, strict=True))


def sf(y):
    return sum(w * part.sf(y) for w, part in zip(WEIGHTS, SCIPY, strict=True))


def at(*values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).reshape(-1, 1, 1)  # (S, N=1, D=1)


POINTS = (-30.0, -1.3, -1e-9, 1e-9, 0.4, 2.5, 7.0, 300.0)


def test_densities_and_probabilities_are_the_weighted_sums_of_scipys():
    mixture = bulk_and_tail()
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(mixture.log_prob(at(*POINTS))[:, 0], np.log(pdf(np.array(POINTS))), rtol=1e-9)
    np.testing.assert_allclose(mixture.cdf(at(*POINTS))[:, 0, 0], cdf(np.array(POINTS)), rtol=1e-9)
    np.testing.assert_allclose(mixture.sf(at(*POINTS))[:, 0, 0], sf(np.array(POINTS)), rtol=1e-9)


def test_the_density_integrates_to_one():
    mixture = bulk_and_tail()
    total, _ = integrate.quad(lambda y: mixture.log_prob(at(y)).exp().item(), -12, 0, epsrel=1e-9)
    right, _ = integrate.quad(lambda y: mixture.log_prob(at(y)).exp().item(), 0, 400, points=[2.5], limit=300)
    assert total + right == pytest.approx(1, abs=1e-7)


@pytest.mark.parametrize("level", [1e-12, 1e-3, 0.2, 0.5, 0.77, 0.999, 1 - 1e-9])
def test_quantiles_solve_scipys_cdf(level):
    expected = optimize.brentq(lambda y: cdf(y) - level if level < 0.5 else (1 - level) - sf(y), -80, 4000, xtol=1e-13)
    assert bulk_and_tail().icdf(level).item() == pytest.approx(expected, rel=1e-7)
    assert bulk_and_tail().isf(1e-14).item() == pytest.approx(
        optimize.brentq(lambda y: math.log(sf(y)) - math.log(1e-14), 10, 1e5, xtol=1e-9), rel=1e-8
    )


def test_moments_match_quadrature():
    mixture = bulk_and_tail()
    powers = [integrate.quad(lambda y, n=n: y**n * pdf(y), -15, 900, points=[-1, 0, 2.5], limit=400)[0] for n in (1, 2)]
    assert mixture.mean.item() == pytest.approx(powers[0], rel=1e-6)
    assert mixture.variance.item() == pytest.approx(powers[1] - powers[0] ** 2, rel=1e-6)
    third = integrate.quad(lambda y: (y - powers[0]) ** 3 * pdf(y), -15, 3000, points=[-1, 0, 2.5, 20], limit=400)[0]
    assert mixture.central_moment(3).item() == pytest.approx(third, rel=1e-5)


def test_samples_follow_scipys_cdf():
    # One test at 1e-4.
    samples = bulk_and_tail().sample((8000,), generator=torch.Generator().manual_seed(5))
    assert samples.shape == (8000, 1, 1)
    assert stats.kstest(samples[:, 0, 0].numpy(), cdf).pvalue > 1e-4


def test_modes_are_the_maxima_of_scipys_density_on_a_fine_grid():
    grid = np.linspace(-6, 30, 720_001)
    heights = pdf(grid)
    peaks = grid[1:-1][(heights[1:-1] > heights[:-2]) & (heights[1:-1] > heights[2:])]
    modes = bulk_and_tail().modes()
    found = modes.location[0, :, 0][modes.mask[0]].sort().values.numpy()
    np.testing.assert_allclose(found, peaks, atol=1e-4)
    np.testing.assert_allclose(modes.log_density[0].exp(), pdf(modes.location[0, :, 0].numpy()), rtol=1e-9)
    assert modes.mass.sum().item() == pytest.approx(1)


@pytest.mark.parametrize("level", [0.3, 0.8, 0.99])
def test_a_region_holds_its_level_between_ends_of_equal_density(level):
    region = bulk_and_tail().highest_density_region(level)
    low, high = region.low[region.mask].numpy(), region.high[region.mask].numpy()
    assert (cdf(high) - cdf(low)).sum() == pytest.approx(level, abs=1e-7)
    ends = pdf(np.concatenate([low, high]))
    np.testing.assert_allclose(ends, ends[0], rtol=1e-5)
    assert region.log_level.exp().item() == pytest.approx(ends[0], rel=1e-5)
    inside = np.linspace(low[0], high[-1], 20_001)
    higher = (pdf(inside) > ends[0] * (1 + 1e-6)).mean()
    held = sum(((inside > a) & (inside < b)).mean() for a, b in zip(low, high, strict=True))
    assert held == pytest.approx(higher, abs=2e-3)


def test_weights_follow_the_order_of_the_groups():
    parts = Concatenation(LogNormal(column(1.2), column(0.7)), DiagonalNormal(column(-1.0, 2.5), column(0.8, 0.3)))
    mixture = weighed(parts, WEIGHTS[2], *WEIGHTS[:2])
    np.testing.assert_allclose(mixture.log_prob(at(0.5, 3.0))[:, 0].exp(), pdf(np.array([0.5, 3.0])))
    share = mixture.responsibilities(at(3.0))[0, 0].numpy()
    np.testing.assert_allclose(share[0], WEIGHTS[2] * SCIPY[2].pdf(3.0) / pdf(3.0))


def test_a_scaling_carries_the_jacobian_and_a_shift_of_a_lognormal_is_refused():
    mixture = bulk_and_tail()
    y = at(-2.0, 0.5, 3.0)
    torch.testing.assert_close(mixture.affine(0.0, 10.0).log_prob(10 * y), mixture.log_prob(y) - math.log(10))
    with pytest.raises(InputError, match="^shift must be 0 for LogNormal"):
        mixture.affine(1.0, 2.0)


def test_groups_over_several_dimensions_keep_their_joint_densities():
    tril = torch.tensor([[[[1.0, 0.0], [0.8, 0.6]]]], dtype=torch.float64)
    parts = Concatenation(
        FullNormal(torch.zeros(1, 1, 2).double(), tril),
        Product(
            Gamma(column(2.0, 5.0), column(1.0, 0.5)), StudentT(column(3.0, 4.0), column(0.0, 1.0), column(1.0, 2.0))
        ),
    )
    mixture, y = weighed(parts, 0.5, 0.3, 0.2), np.array([1.2, -0.4])
    expected = 0.5 * stats.multivariate_normal([0, 0], (tril[0, 0] @ tril[0, 0].T).numpy()).pdf(y)
    expected += 0.3 * stats.gamma(2).pdf(y[0]) * stats.t(3).pdf(y[1])
    expected += 0.2 * stats.gamma(5, scale=0.5).pdf(y[0]) * stats.t(4, 1, 2).pdf(y[1])
    assert mixture.log_prob(torch.tensor(y).unsqueeze(0)).exp().item() == pytest.approx(expected)
    y[0] = -1.2  # gamma is impossible here
    expected = 0.5 * stats.multivariate_normal([0, 0], (tril[0, 0] @ tril[0, 0].T).numpy()).pdf(y)
    assert mixture.log_prob(torch.tensor(y).unsqueeze(0)).exp().item() == pytest.approx(expected)
    assert mixture.conditional(0, torch.tensor([[-1.2]]).double()).weights[0, 0].item() == pytest.approx(1)


def test_batches_of_groups_broadcast_and_sizes_may_differ():
    one, many = LogNormal(column(1.2), column(0.7)), DiagonalNormal(torch.zeros(4, 2, 1), torch.ones(4, 2, 1))
    parts = Concatenation(one.transformed(torch.Tensor.float), many)
    assert (parts.batch_shape, parts.sizes) == ((4, 3), [1, 2])
    mixture = Mixture(Categorical(torch.ones(4, 3)), parts)
    assert mixture.log_prob(torch.ones(5, 4, 1)).shape == (5, 4)
    assert mixture.sample((5,)).shape == (5, 4, 1)
    assert mixture[1:3].log_prob(torch.ones(2, 1)).shape == (2,)
    assert mixture.expand((2, 4)).mean.shape == (2, 4, 1)


def test_casts_rows_and_empty_batches_keep_the_density():
    mixture = bulk_and_tail()
    expected = mixture.log_prob(at(0.5))
    torch.testing.assert_close(
        mixture.to(torch.float32).log_prob(at(0.5).float()).double(), expected, rtol=1e-5, atol=1e-5
    )
    torch.testing.assert_close(mixture[[0, 0]].log_prob(torch.tensor([[0.5], [0.5]]).double()), expected[0].expand(2))
    empty = mixture[:0]
    assert empty.log_prob(torch.zeros(0, 1).double()).shape == (0,)
    assert empty.sample((3,)).shape == (3, 0, 1)
    assert empty.icdf(0.5).shape == empty.mean.shape == (0, 1)
    assert empty.modes().count.shape == (0,)


def test_groups_that_do_not_fit_are_refused():
    with pytest.raises(InputError) as caught:
        Concatenation(DiagonalNormal(torch.zeros(1, 1, 2), torch.ones(1, 1, 2)), LogNormal(column(0.0), column(1.0)))
    assert str(caught.value) == "groups must be components of one event shape; got (2,), (1,)."
    with pytest.raises(InputError, match=r"got none\.$"):
        Concatenation()
    blueprint = Concatenation.of((DiagonalNormal, 2), (LogNormal, 1))
    with pytest.raises(InputError) as caught:
        blueprint.slots(4, 1)
    assert str(caught.value) == "n_components must be 3, the components of the concatenation; got 4."


def test_a_concatenation_of_concatenations_is_flat():
    inner = Concatenation(DiagonalNormal(column(-1.0), column(0.8)), Laplace(column(0.0), column(1.0)))
    outer = Concatenation(inner, LogNormal(column(1.2), column(0.7)))
    assert outer.sizes == [1, 1, 1]
    expected = np.log(stats.norm(-1, 0.8).pdf(0.5) + stats.laplace().pdf(0.5) + SCIPY[2].pdf(0.5)) - math.log(3)
    assert weighed(outer, 1.0, 1.0, 1.0).log_prob(at(0.5)).item() == pytest.approx(expected)


# --- what no support holds ---

BOUNDED = {
    "lognormal": lambda a, b: LogNormal(a, b.exp()),
    "gamma": lambda a, b: Gamma(a.exp(), b.exp()),
    "beta": lambda a, b: Beta(a.exp(), b.exp(), torch.zeros_like(a), torch.ones_like(a)),
    "truncated normal": lambda a, b: Truncated(DiagonalNormal(a, b.exp()), 0.0, 1.0),
    "truncated t": lambda a, b: Truncated(StudentT(1 + b.exp(), a, b.exp()), 0.0, math.inf),
    "log of normals": lambda a, b: Transformed(DiagonalNormal(a, b.exp()), Log()),
    "poisson": lambda a, b: Poisson(a.exp() + b.exp()),
    "negative binomial": lambda a, b: NegativeBinomial(a.exp(), b.exp()),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("y", [-0.3, -1e30, -math.inf, -5e-324])
def test_a_component_that_excludes_a_target_contributes_nothing_and_no_nan(name, y, dtype):
    leaves = [torch.tensor([[[0.3], [-0.4]]], dtype=dtype).requires_grad_() for _ in range(4)]
    logits = torch.tensor([[0.1, 0.2, 0.3, 0.4]], dtype=dtype).requires_grad_()
    inside = DiagonalNormal(leaves[2], leaves[3].exp())
    both = Mixture(Categorical(logits=logits), Concatenation(BOUNDED[name](*leaves[:2]), inside))
    target = torch.tensor([[y]], dtype=dtype)
    expected = logits.log_softmax(-1)[:, 2:] + inside.log_prob(target.unsqueeze(1))
    got = both.log_prob(target)
    if target.item() != 0:  # the smallest double is 0 in single precision
        torch.testing.assert_close(got, torch.logsumexp(expected, -1))
    got.sum().backward()
    assert all(leaf.grad is None or leaf.grad.isfinite().all() for leaf in [logits, *leaves])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("y", [-0.3, -1e30, -math.inf, math.inf])
def test_gradients_are_finite_where_no_support_holds_the_target(name, y, dtype):
    leaves = [torch.tensor([[[0.3], [-0.4]]] * 2, dtype=dtype).requires_grad_() for _ in range(4)]
    logits = torch.tensor([[0.1, 0.2, 0.3, 0.4]] * 2, dtype=dtype).requires_grad_()
    parts = Concatenation(BOUNDED[name](*leaves[:2]), LogNormal(leaves[2], leaves[3].exp()))
    target = torch.tensor([[y], [0.5]], dtype=dtype)  # beside an ordinary row
    both = Mixture(Categorical(logits=logits), parts)
    got = both.log_prob(target)
    assert got[0].exp() == 0
    assert got[0].item() == -math.inf or y == math.inf  # a density on the whole line fades away towards infinity
    assert got[1].isfinite()
    (-got).sum().backward()
    assert all(leaf.grad is None or leaf.grad.isfinite().all() for leaf in [logits, *leaves])
    assert both.responsibilities(target).isfinite().all()
    if got[0].item() == -math.inf:
        torch.testing.assert_close(both.responsibilities(target)[0], both.weights[0])


@pytest.mark.parametrize("name", BOUNDED)
def test_quantities_other_than_densities_have_finite_gradients_outside_too(name):
    leaves = [torch.tensor([[[0.3], [-0.4]]], dtype=torch.float64).requires_grad_() for _ in range(2)]
    for y in (-1e30, -0.3, 0.0, 1e-300, 0.5, 1.0, 1e30):
        mixture = Mixture(Categorical(torch.ones(1, 2).double()), BOUNDED[name](*leaves))
        (mixture.cdf(at(y)) - 2 * mixture.sf(at(y))).sum().backward()
    assert all(leaf.grad is None or leaf.grad.isfinite().all() for leaf in leaves)


def test_modes_of_counts_beside_a_density_are_refused_with_a_sentence():
    mixture = weighed(Concatenation(DiagonalNormal(column(0.0), column(1.0)), Poisson(column(3.0))), 0.5, 0.5)
    with pytest.raises(InputError, match=r"\.$"):
        mixture.modes()


def test_an_angle_may_have_components_of_two_widths():
    parts = Concatenation(VonMises(column(3.0), column(8.0)), VonMises(column(-3.0, 0.0), column(4.0, 1.0)))
    mixture = weighed(parts, 0.5, 0.3, 0.2)
    expected = (
        0.5 * stats.vonmises(8, 3).pdf(2.0) + 0.3 * stats.vonmises(4, -3).pdf(2.0) + 0.2 * stats.vonmises(1).pdf(2)
    )
    assert mixture.log_prob(at(2.0)).exp().item() == pytest.approx(expected)
    pieces = [(0.5, 8, 3), (0.3, 4, -3), (0.2, 1, 0)]

    def average(wave):
        each = [
            integrate.quad(lambda a, k=k, m=m: wave(a) * stats.vonmises(k, m).pdf(a), -math.pi, math.pi)
            for _, k, m in pieces
        ]
        return sum(w * value for (w, _, _), (value, _) in zip(pieces, each, strict=True))

    sine, cosine = average(math.sin), average(math.cos)
    assert mixture.mean.item() == pytest.approx(math.atan2(sine, cosine), abs=1e-6)
    assert mixture.variance.item() == pytest.approx(1 - math.hypot(sine, cosine), abs=1e-6)
