"""Products of blocks of different families, against SciPy block by block and against brute force."""

import itertools
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
    LowRankNormal,
    Mixture,
    PointMass,
    Poisson,
    Product,
    StudentT,
    VonMises,
)

N, K = 4, 3
ANGLE, LENGTH, COUNT = 0, 1, 2


def uniform(low, high, *shape, seed=0, dtype=torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)).to(dtype)


def trio(n=N, k=K, dtype=torch.float64) -> Product:
    """An angle beside a length beside a count."""
    return Product(
        VonMises(uniform(-2, 2, n, k, 1, seed=1, dtype=dtype), uniform(1, 6, n, k, 1, seed=2, dtype=dtype)),
        Gamma(uniform(1.5, 6, n, k, 1, seed=3, dtype=dtype), uniform(0.3, 1, n, k, 1, seed=4, dtype=dtype)),
        Poisson(uniform(1, 9, n, k, 1, seed=5, dtype=dtype)),
    )


def triangular(n, k, d, seed=7) -> Tensor:
    return torch.diag_embed(uniform(0.4, 1.2, n, k, d, seed=seed)) + uniform(-0.5, 0.5, n, k, d, d, seed=seed).tril(-1)


def five(n=N, k=K) -> Product:
    """Two correlated dimensions between two lengths and one heavy tail."""
    return Product(
        LogNormal(uniform(-1, 1, n, k, 1, seed=1), uniform(0.3, 0.8, n, k, 1, seed=2)),
        FullNormal(uniform(-2, 2, n, k, 2, seed=3), triangular(n, k, 2)),
        StudentT(uniform(3, 9, n, k, 2, seed=4), uniform(-1, 1, n, k, 2, seed=5), uniform(0.4, 1, n, k, 2, seed=6)),
    )


def mixed(components, seed=9) -> Mixture:
    logits = uniform(-1, 1, *components.batch_shape, seed=seed).to(components.mean.dtype)
    return Mixture(Categorical(logits=logits, validate_args=len(logits) > 0), components)


def scipy_trio(parts: Product) -> list:
    angle, length, count = parts.blocks
    return [
        stats.vonmises(angle.concentration[..., 0].numpy(), angle.loc[..., 0].numpy()),
        stats.gamma(length.concentration[..., 0].numpy(), scale=length.scale[..., 0].numpy()),
        stats.poisson(count.rate[..., 0].numpy()),
    ]


def close(got: Tensor, expected, rtol=1e-9, atol=1e-12) -> None:
    np.testing.assert_allclose(got.detach().numpy(), expected, rtol=rtol, atol=atol)


POINT = torch.tensor([0.7, 2.1, 4.0], dtype=torch.float64)  # an angle, a length and a count


def test_the_log_density_is_the_sum_of_scipys_over_blocks():
    parts = trio()
    angle, length, count = scipy_trio(parts)
    expected = angle.logpdf(0.7) + length.logpdf(2.1) + count.logpmf(4)
    close(parts.log_prob(POINT.expand(N, 1, 3)), expected)


def test_a_block_of_correlated_dimensions_keeps_its_correlation():
    parts, y = five(), uniform(0.2, 2, 5, seed=11)
    lengths, pair, heavy = parts.blocks
    got = parts.log_prob(y.expand(N, 1, 5))
    for n, k in itertools.product(range(N), range(K)):
        covariance = (pair.scale_tril[n, k] @ pair.scale_tril[n, k].T).numpy()
        expected = stats.lognorm(lengths.scale[n, k].item(), scale=lengths.loc[n, k].exp().item()).logpdf(y[0].item())
        expected += stats.multivariate_normal(pair.loc[n, k].numpy(), covariance).logpdf(y[1:3].numpy())
        student = stats.t(heavy.df[n, k].numpy(), heavy.loc[n, k].numpy(), heavy.scale[n, k].numpy())
        expected += student.logpdf(y[3:].numpy()).sum()
        assert got[n, k].item() == pytest.approx(expected, rel=1e-9)


def test_cdfs_and_quantiles_are_the_blocks_by_column():
    parts = trio()
    angle, length, count = scipy_trio(parts)
    cdf = parts.cdf(POINT.expand(N, 1, 3))
    close(cdf[..., ANGLE], angle.cdf(0.7) - angle.cdf(-math.pi), rtol=1e-6)
    close(cdf[..., LENGTH], length.cdf(2.1))
    close(cdf[..., COUNT], count.cdf(4))
    close(parts.sf(POINT.expand(N, 1, 3)) + cdf, np.ones((N, K, 3)))
    for level in (0.01, 0.3, 0.5, 0.99):
        quantile = parts.icdf(torch.full((N, K, 3), level, dtype=torch.float64))
        close(quantile[..., LENGTH], length.ppf(level))
        close(quantile[..., COUNT], count.ppf(level))
        close(parts.cdf(quantile)[..., ANGLE], np.full((N, K), level), rtol=1e-8)
        upper = parts.isf(torch.full((N, K, 3), level, dtype=torch.float64))
        close(upper[..., LENGTH], length.isf(level))
        close(upper[..., COUNT], count.isf(level))


def test_moments_are_the_blocks_by_column():
    parts = trio()
    _, length, count = scipy_trio(parts)
    close(parts.mean[..., LENGTH], length.mean())
    close(parts.mean[..., COUNT], count.mean())
    close(parts.mean[..., ANGLE], parts.blocks[0].loc[..., 0].numpy())
    close(parts.variance[..., LENGTH], length.var())
    close(parts.variance[..., COUNT], count.var())
    moment = mixed(five()).central_moment(2)
    assert moment.shape == (N, 5)


@pytest.mark.parametrize("dims", [p for r in (1, 2, 3) for p in itertools.permutations(range(3), r)], ids=str)
def test_every_subset_in_every_order_is_the_marginal(dims):
    parts = trio()
    angle, length, count = scipy_trio(parts)
    each = [angle.logpdf(0.7), length.logpdf(2.1), count.logpmf(4)]
    marginal = mixed(parts).marginal(list(dims))
    assert marginal.event_shape == (len(dims),)
    weights = mixed(parts).weights.numpy()
    expected = np.log((weights * np.exp(sum(each[dim] for dim in dims))).sum(-1))
    close(marginal.log_prob(POINT[list(dims)].expand(N, -1)), expected)


@pytest.mark.parametrize("dims", [[2, 1], [3, 2, 1], [1, 0], [4, 2, 1, 0], [4, 0, 3]])
def test_a_marginal_of_correlated_dimensions_reorders_them(dims):
    joint = five()
    y = uniform(0.2, 2, 5, seed=11)
    got = joint.marginal(dims).log_prob(y[dims].expand(N, 1, -1))
    pair, heavy = joint.blocks[1], joint.blocks[2]
    chosen = [dim for dim in dims if dim in (1, 2)]
    index = np.array(chosen, dtype=int) - 1
    for n, k in itertools.product(range(N), range(K)):
        covariance = (pair.scale_tril[n, k] @ pair.scale_tril[n, k].T).numpy()[np.ix_(index, index)]
        expected = 0.0
        if chosen:
            normal = stats.multivariate_normal(pair.loc[n, k].numpy()[index], covariance)
            expected += normal.logpdf(y[chosen].numpy())
        if 0 in dims:
            length = joint.blocks[0]
            expected += stats.lognorm(length.scale[n, k].item(), scale=length.loc[n, k].exp().item()).logpdf(
                y[0].item()
            )
        for dim in set(dims) & {3, 4}:
            own = (n, k, dim - 3)
            expected += stats.t(heavy.df[own], heavy.loc[own], heavy.scale[own]).logpdf(y[dim].item())
        assert got[n, k].item() == pytest.approx(expected, rel=1e-9)


def test_correlated_dimensions_that_are_torn_apart_are_refused_with_a_sentence():
    with pytest.raises(InputError) as caught:
        mixed(five()).marginal([1, 0, 2])
    assert str(caught.value) == "dims must keep dimensions that are correlated side by side; got [1, 0, 2]."
    apart = mixed(trio()).marginal([2, 0])  # what is independent may be
    assert apart.event_shape == (2,)


def test_an_affine_map_moves_each_block_with_its_own_jacobian():
    parts = five()
    shift = torch.tensor([0.0, 3.0, -1.0, 5.0, 0.25], dtype=torch.float64)
    scale = torch.tensor([2.0, 0.5, 10.0, 3.0, 0.1], dtype=torch.float64)
    y = uniform(0.2, 2, 6, N, 5, seed=12)
    moved = mixed(parts).affine(shift, scale)
    torch.testing.assert_close(moved.log_prob(shift + scale * y), mixed(parts).log_prob(y) - scale.log().sum())
    torch.testing.assert_close(moved.mean, shift + scale * mixed(parts).mean)
    torch.testing.assert_close(moved.icdf(0.2), shift + scale * mixed(parts).icdf(0.2))


def test_an_affine_map_that_would_move_a_count_is_refused():
    with pytest.raises(InputError, match="Poisson"):
        mixed(trio()).affine(torch.tensor([0.0, 0.0, 1.0]), 1.0)


def test_the_joint_density_of_an_angle_a_length_and_a_count_sums_to_one():
    mixture = mixed(trio())[:1]
    nodes, shares = np.polynomial.legendre.leggauss(60)
    root = 0.5 * (nodes + 1)  # lengths are 40 root^2, which smooths the density at 0
    grid = torch.tensor(list(itertools.product(math.pi * nodes, 40 * root**2, range(50))), dtype=torch.float64)
    weight = np.array([a * b for a, b, _ in itertools.product(math.pi * shares, 40 * root * shares, range(50))])
    total = (mixture.log_prob(grid.unsqueeze(1)).exp()[:, 0].numpy() * weight).sum()
    assert total == pytest.approx(1, abs=1e-6)


def test_samples_of_a_mixture_follow_each_marginal_and_stay_together():
    # Six tests at 1e-5: a false alarm in fewer than 1 of 10,000 seeds.
    mixture = mixed(trio())[:2]
    samples = mixture.sample((4000,), generator=torch.Generator().manual_seed(3))
    assert samples.shape == (4000, 2, 3)
    levels = mixture.cdf(samples)
    for row in range(2):
        for dim in (ANGLE, LENGTH):
            assert stats.kstest(levels[:, row, dim].numpy(), "uniform").pvalue > 1e-5
        counts = samples[:, row, COUNT].numpy()
        rates, weights = mixture.components.blocks[2].rate[row, :, 0].numpy(), mixture.weights[row].numpy()
        probability = (weights * stats.poisson(rates).pmf(np.arange(25)[:, None])).sum(-1)
        probability = np.append(probability[:15], 1 - probability[:15].sum())
        observed = np.append(np.bincount(counts.astype(int), minlength=15)[:15], (counts >= 15).sum())
        assert stats.chisquare(observed, 4000 * probability).pvalue > 1e-5
    # E[length * count] needs one component for all blocks of a sample.
    product = (samples[..., LENGTH] * samples[..., COUNT]).numpy()
    each = (mixture.components.mean[..., LENGTH] * mixture.components.mean[..., COUNT]).numpy()
    expected = (mixture.weights.numpy() * each).sum(-1)
    error = product.std(0) / math.sqrt(4000)
    assert (np.abs(product.mean(0) - expected) < 5 * error).all()


def test_the_modes_of_an_angle_a_length_and_a_count_are_those_of_a_fine_grid():
    parts = Product(
        VonMises(torch.tensor([[[-2.0], [1.0]]]).double(), torch.tensor([[[20.0], [30.0]]]).double()),
        Gamma(torch.tensor([[[9.0], [25.0]]]).double(), torch.tensor([[[0.2], [0.3]]]).double()),
        Poisson(torch.tensor([[[3.5], [12.5]]]).double()),
    )
    mixture = Mixture(Categorical(torch.tensor([[0.4, 0.6]]).double()), parts)
    modes = mixture.modes()
    assert modes.count.tolist() == [2]
    # Well separated: each mode is its component's (2 pi to the density of the other is below 1e-8).
    expected = [[-2.0, 8 * 0.2, 3.0], [1.0, 24 * 0.3, 12.0]]
    found = sorted(modes.location[0].tolist())
    np.testing.assert_allclose(found, expected, atol=1e-5)
    for mode, height in zip(modes.location[0], modes.log_density[0], strict=True):
        assert mixture.log_prob(mode.unsqueeze(0)).item() == pytest.approx(height.item())
        for dim, step in itertools.product(range(3), (1e-3, -1e-3)):
            moved = mode.clone()
            moved[dim] += step * (1000 if dim == COUNT else 1)
            assert mixture.log_prob(moved.unsqueeze(0)).item() < height.item()
    assert modes.mass.sum().item() == pytest.approx(1)


@pytest.mark.parametrize("given", [[ANGLE], [COUNT], [COUNT, ANGLE], [LENGTH, COUNT]])
def test_what_is_known_of_one_block_weighs_the_components_of_the_others(given):
    mixture = mixed(trio())
    angle, length, count = scipy_trio(mixture.components)
    each = [angle.logpdf(0.7), length.logpdf(2.1), count.logpmf(4)]
    others = [dim for dim in range(3) if dim not in given]
    conditional = mixture.conditional(given, POINT[given].expand(N, -1))
    share = mixture.weights.numpy() * np.exp(sum(each[dim] for dim in given))
    share /= share.sum(-1, keepdims=True)
    close(conditional.weights, share)
    close(
        conditional.log_prob(POINT[others].expand(N, -1)),
        np.log((share * np.exp(sum(each[d] for d in others))).sum(-1)),
    )


def test_shapes_hold_where_components_and_dimensions_differ_in_number():
    mixture = mixed(five(n=2, k=3))
    assert (mixture.batch_shape, mixture.event_shape, mixture.n_components) == ((2,), (5,), 3)
    y = uniform(0.2, 2, 6, 2, 5, seed=1)
    assert mixture.log_prob(y).shape == (6, 2)
    assert mixture.cdf(y).shape == mixture.sample((6,)).shape == (6, 2, 5)
    assert mixture.mean.shape == mixture.icdf(0.5).shape == (2, 5)
    assert mixture.responsibilities(y).shape == (6, 2, 3)


def test_rows_expansions_and_casts_keep_the_density():
    mixture, y = mixed(five()), uniform(0.2, 2, N, 5, seed=1)
    expected = mixture.log_prob(y)
    for index in (0, -1, slice(1, 3), [2, 0], torch.tensor([True, False, True, False])):
        torch.testing.assert_close(mixture[index].log_prob(y[index]), expected[index])
    wide = mixture.expand((6, N))
    assert wide.batch_shape == (6, N)
    torch.testing.assert_close(wide.log_prob(y.expand(6, N, 5)), expected.expand(6, N))
    single = mixture.to(torch.float32)
    assert single.log_prob(y.float()).dtype == torch.float32
    torch.testing.assert_close(single.log_prob(y.float()).double(), expected, rtol=1e-4, atol=1e-4)


def test_an_empty_batch_stays_empty():
    empty = mixed(five(n=0))
    assert empty.log_prob(torch.zeros(0, 5, dtype=torch.float64)).shape == (0,)
    assert empty.sample((2,)).shape == (2, 0, 5)
    assert empty.icdf(0.5).shape == empty.mean.shape == (0, 5)


def test_gradients_reach_the_parameters_of_every_block():
    leaves = [
        uniform(-1, 1, N, K, 1, seed=1).requires_grad_(),
        uniform(0.3, 0.8, N, K, 1, seed=2).requires_grad_(),
        uniform(-2, 2, N, K, 2, seed=3).requires_grad_(),
        triangular(N, K, 2).requires_grad_(),
        uniform(1, 9, N, K, 1, seed=5).requires_grad_(),
    ]
    parts = Product(LogNormal(*leaves[:2]), FullNormal(*leaves[2:4], validate_args=False), Poisson(leaves[4]))
    y = torch.tensor([[0.5, 1.0, -1.0, 3.0]] * 3 + [[-0.5, 1.0, -1.0, 3.5]], dtype=torch.float64)  # one impossible row
    total = mixed(parts).log_prob(y)
    assert total[-1] == -torch.inf
    total[:-1].sum().backward(retain_graph=True)
    for leaf in leaves:
        assert leaf.grad.isfinite().all()
        assert (leaf.grad[:-1] != 0).any()
    for leaf in leaves:
        leaf.grad = None
    total.sum().backward()
    assert all(leaf.grad.isfinite().all() for leaf in leaves)


def test_the_entropy_is_the_sum_of_the_blocks():
    parts = Product(
        DiagonalNormal(uniform(-1, 1, N, K, 1, seed=1), uniform(0.3, 1, N, K, 1, seed=2)),
        Gamma(uniform(1.5, 6, N, K, 1, seed=3), uniform(0.3, 1, N, K, 1, seed=4)),
    )
    normal, gamma = parts.blocks
    expected = stats.norm(scale=normal.scale[..., 0].numpy()).entropy()
    expected = expected + stats.gamma(gamma.concentration[..., 0].numpy(), scale=gamma.scale[..., 0].numpy()).entropy()
    close(parts.entropy(), expected)


def test_a_product_inside_a_product_is_the_same_density():
    angle, length, count = trio().blocks
    nested = Product(Product(angle, length), count)
    y = POINT.expand(N, 1, 3)
    torch.testing.assert_close(nested.log_prob(y), trio().log_prob(y))
    torch.testing.assert_close(
        nested.marginal([2, 0]).log_prob(y[..., [2, 0]]), trio().marginal([2, 0]).log_prob(y[..., [2, 0]])
    )


def test_the_expected_shortfall_of_a_column_is_that_of_its_block():
    mixture = mixed(five(k=1))
    length = mixture.components.blocks[0]
    for row in range(N):
        reference = stats.lognorm(length.scale[row, 0].item(), scale=length.loc[row, 0].exp().item())
        tail, _ = integrate.quad(lambda u, r=reference: r.isf(u), 0, 0.1, epsrel=1e-10)
        assert mixture.expected_shortfall(0.9)[row, 0].item() == pytest.approx(tail / 0.1, rel=1e-6)


def test_blocks_that_do_not_fit_are_refused():
    with pytest.raises(InputError) as caught:
        Product(trio().blocks[0], trio(k=2).blocks[1])
    assert str(caught.value) == "blocks must be components of one batch shape; got (4, 3), (4, 2)."
    with pytest.raises(InputError) as caught:
        Product()
    assert str(caught.value) == "blocks must be components of one batch shape; got none."
    with pytest.raises(InputError) as caught:
        Product.of(VonMises, (DiagonalNormal, 2)).slots(3, 2)
    assert str(caught.value) == "target_dim must be 3, the dimensions of the product; got 2."


def test_a_low_rank_block_gives_the_conditional_of_its_own_covariance():
    loc, factor, scale = uniform(-1, 1, 1, 1, 3, seed=1), uniform(-1, 1, 1, 1, 3, 1, seed=2), uniform(0.3, 1, 1, 1, 3)
    mixture = mixed(Product(LowRankNormal(loc, factor, scale), Poisson(torch.full((1, 1, 1), 3.0).double())))
    covariance = (factor[0, 0] @ factor[0, 0].T + torch.diag(scale[0, 0].square())).numpy()
    conditional = mixture.conditional([1], torch.tensor([[0.5]]).double())
    gain = covariance[[0, 2], 1] / covariance[1, 1]
    mean = loc[0, 0].numpy()[[0, 2]] + gain * (0.5 - loc[0, 0, 1].item())
    close(conditional.mean[0, :2], mean)
    variance = covariance[[0, 2], [0, 2]] - gain * covariance[1, [0, 2]]
    close(conditional.variance[0, :2], variance)


def test_a_block_of_several_families_is_refused():
    loc = torch.zeros(1, 1, 1)
    groups = Concatenation(PointMass(loc), DiagonalNormal(loc, loc + 1))
    two = torch.zeros(1, 2, 1)
    with pytest.raises(InputError) as caught:
        Product(groups, VonMises(two, two + 1))
    assert str(caught.value) == (
        "blocks must each be of one family; got a Concatenation. Take a Concatenation of Products instead."
    )
