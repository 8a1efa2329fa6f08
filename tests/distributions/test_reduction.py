"""Pooled, tempered, pruned and merged mixtures, and the divergences that are promised for them."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.distributions import (
    Concatenation,
    DiagonalNormal,
    FullNormal,
    Gamma,
    Laplace,
    Log,
    LogNormal,
    LowRankNormal,
    Mixture,
    PointMass,
    Poisson,
    Product,
    SphericalNormal,
    StudentT,
    pool,
)

FAMILIES = ["diagonal", "spherical", "full", "low rank"]
over_normals = pytest.mark.parametrize("family", FAMILIES)


def uniform(low, high, *shape, seed=0) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def normals(family, *batch, d=2, spread=2.0, seed=0):
    loc = uniform(-spread, spread, *batch, d, seed=seed + 1)
    if family == "diagonal":
        return DiagonalNormal(loc, uniform(0.4, 1.3, *batch, d, seed=seed + 2))
    if family == "spherical":
        return SphericalNormal(loc, uniform(0.4, 1.3, *batch, 1, seed=seed + 2))
    if family == "full":
        tril = torch.diag_embed(uniform(0.4, 1.2, *batch, d, seed=seed + 2))
        return FullNormal(loc, tril + uniform(-0.6, 0.6, *batch, d, d, seed=seed + 3).tril(-1))
    return LowRankNormal(
        loc, uniform(-0.8, 0.8, *batch, d, 1, seed=seed + 2), uniform(0.3, 0.9, *batch, d, seed=seed + 3)
    )


def mixture(components, seed=9, spread=1.0) -> Mixture:
    return Mixture(Categorical(logits=uniform(-spread, spread, *components.batch_shape, seed=seed)), components)


def moments(m: Mixture) -> tuple[Tensor, Tensor]:
    """Return mean and covariance of each row."""
    parts = m.components
    covariance = parts.covariance_matrix if hasattr(parts, "covariance_matrix") else torch.diag_embed(parts.variance)
    mean = torch.einsum("nk,nkd->nd", m.weights, parts.mean)
    gap = parts.mean - mean.unsqueeze(-2)
    return mean, torch.einsum("nk,nkij->nij", m.weights, covariance + gap.unsqueeze(-1) * gap.unsqueeze(-2))


def divergence(p: Mixture, q: Mixture, seed=0, n=20_000) -> tuple[np.ndarray, np.ndarray]:
    """Return a Monte Carlo estimate of KL(p || q) and its standard error, row by row."""
    y = p.sample((n,), generator=torch.Generator().manual_seed(seed))
    gain = (p.log_prob(y) - q.log_prob(y)).numpy()
    return gain.mean(0), gain.std(0) / math.sqrt(n)


def total_mass(m: Mixture) -> Tensor:
    """Return the integral of two-dimensional densities."""
    grid = torch.linspace(-14, 14, 401, dtype=torch.float64)
    y = torch.cartesian_prod(grid, grid).unsqueeze(1).expand(-1, m.batch_shape[0], 2)
    return m.log_prob(y).exp().sum(0) * (grid[1] - grid[0]) ** 2


# --- pooling ---

Y = uniform(-2, 2, 7, 4, 2, seed=20)


@pytest.mark.parametrize("weights", [None, [0.5, 0.2, 0.3], [2.0, 0.0, 6.0]])
@pytest.mark.parametrize("families", [("diagonal",) * 3, ("full", "diagonal", "low rank")])
def test_a_pool_is_the_weighted_average_of_densities(families, weights):
    members = [mixture(normals(family, 4, 2 + i, seed=10 * i), seed=i) for i, family in enumerate(families)]
    pooled = pool(members, weights)
    share = np.array(weights or [1, 1, 1], dtype=float)
    share /= share.sum()
    expected = sum(s * m.log_prob(Y).exp() for s, m in zip(share, members, strict=True))
    torch.testing.assert_close(pooled.log_prob(Y).exp(), expected)
    torch.testing.assert_close(pooled.cdf(Y), sum(s * m.cdf(Y) for s, m in zip(share, members, strict=True)))
    torch.testing.assert_close(pooled.mean, sum(s * m.mean for s, m in zip(share, members, strict=True)))
    assert pooled.n_components == 9
    assert pooled.batch_shape == (4,)


def test_one_family_pools_into_one_family():
    members = [mixture(normals("full", 4, 2, seed=i)) for i in range(3)]
    assert type(pool(members).components) is FullNormal
    assert type(pool([members[0], mixture(normals("diagonal", 4, 2))]).components) is Concatenation
    ranks = [LowRankNormal(torch.zeros(4, 1, 2), torch.ones(4, 1, 2, rank), torch.ones(4, 1, 2)) for rank in (1, 2)]
    both = pool([Mixture(Categorical(torch.ones(4, 1)), parts) for parts in ranks])
    expected = sum(Mixture(Categorical(torch.ones(4, 1)), parts).log_prob(Y.float()).exp() for parts in ranks) / 2
    torch.testing.assert_close(both.log_prob(Y.float()).exp(), expected)


def test_atoms_of_a_member_are_hidden_from_no_one_and_hide_densities_of_all():
    one = Mixture(Categorical(torch.ones(1, 1).double()), PointMass(torch.zeros(1, 1, 1).double()))
    other = Mixture(Categorical(torch.ones(1, 1).double()), DiagonalNormal(*torch.ones(2, 1, 1, 1).double()))
    pooled = pool([one, other], [0.25, 0.75])
    assert pooled.log_prob(torch.zeros(1, 1).double()).exp().item() == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        ([1.0], "[1.0]"),
        ([1.0, -1.0], "[1.0, -1.0]"),
        ([0, 0], "[0, 0]"),
        ([math.nan, 1.0], "[nan, 1.0]"),
        ([math.inf, 1.0], "[inf, 1.0]"),
    ],
)
def test_weights_of_a_pool_that_cannot_be_are_refused(weights, text):
    members = [mixture(normals("diagonal", 4, 2)) for _ in range(2)]
    with pytest.raises(InputError) as caught:
        pool(members, weights)
    assert str(caught.value) == f"weights must be 2 numbers >= 0, not all 0; got {text}."


def test_members_of_other_shapes_and_none_are_refused():
    with pytest.raises(InputError) as caught:
        pool([])
    assert str(caught.value) == "mixtures must hold at least 1 prediction; got none."
    with pytest.raises(InputError) as caught:
        pool([mixture(normals("diagonal", 4, 2)), mixture(normals("diagonal", 3, 2))])
    assert str(caught.value) == (
        "the targets of prediction 2 must have shape (4, 2) to match those of the first; got (3, 2)."
    )


def stacked(kind):
    """Return mixtures of M=3 members for N=4 rows."""
    if kind == "concatenation":
        return mixture(
            Concatenation(
                normals("diagonal", 3, 4, 2), StudentT(*uniform(1.5, 3, 3, 3, 4, 1, 2)), normals("full", 3, 4, 2)
            )
        )
    if kind == "product":
        return mixture(Product(normals("diagonal", 3, 4, 2, d=1), Gamma(*uniform(1, 3, 2, 3, 4, 2, 1))))
    if kind == "transformed":
        return mixture(normals("full", 3, 4, 2)).through(Log())
    return mixture(normals(kind, 3, 4, 2))


@pytest.mark.parametrize("kind", [*FAMILIES, "concatenation", "product", "transformed"])
@pytest.mark.parametrize("dim", [0, 1, -1, -2])
def test_pooling_a_batch_axis_averages_the_densities_of_its_members(kind, dim):
    members = stacked(kind)
    y = uniform(0.1, 2, 7, *(size for i, size in enumerate((3, 4)) if i != dim % 2), 2, seed=20)
    pooled = members.pooled(dim)
    expected = members.log_prob(y.unsqueeze(1 + dim % 2)).exp().mean(1 + dim % 2)
    torch.testing.assert_close(pooled.log_prob(y).exp(), expected)
    torch.testing.assert_close(pooled.weights.sum(-1), torch.ones(pooled.batch_shape, dtype=torch.float64))
    assert pooled.n_components == members.n_components * (3, 4)[dim % 2]


@pytest.mark.parametrize("dim", [2, -3])
def test_pooling_an_axis_that_is_not_there_is_refused(dim):
    with pytest.raises(InputError) as caught:
        stacked("diagonal").pooled(dim)
    assert str(caught.value) == f"dim must name one of the 2 axes of batch_shape; got {dim}."


def test_pooling_the_only_axis_leaves_one_prediction():
    members = mixture(normals("diagonal", 5, 2))
    pooled = members.pooled()
    y = uniform(-2, 2, 6, 2)
    assert pooled.batch_shape == ()
    torch.testing.assert_close(pooled.log_prob(y).exp(), members.log_prob(y.unsqueeze(1)).exp().mean(1))


# --- temperature ---


@over_normals
def test_a_temperature_divides_log_weights_and_scales_covariances(family):
    m = mixture(normals(family, 4, 3))
    for temperature in (0.25, 1.0, 4.0):
        tempered = m.tempered(temperature)
        torch.testing.assert_close(tempered.weights, torch.softmax(m.logits / temperature, -1))
        torch.testing.assert_close(tempered.components.variance, temperature * m.components.variance)
        torch.testing.assert_close(tempered.components.mean, m.components.mean)
    assert (m.tempered(1e-6).weights.amax(-1) > 0.99).all()


def test_temperatures_and_families_that_cannot_be_are_refused():
    m = mixture(normals("diagonal", 4, 3))
    for temperature in (0.0, -1.0, math.inf):
        with pytest.raises(InputError, match="^temperature must be a number > 0"):
            m.tempered(temperature)
    with pytest.raises(InputError) as caught:
        Mixture(Categorical(torch.ones(1, 1)), Poisson(torch.ones(1, 1, 1))).tempered(2.0)
    assert str(caught.value) == "the spread of Poisson cannot be changed by a factor."


# --- pruning ---


@pytest.mark.parametrize("max_kl", [1e-6, 1e-3, 0.1, 1.0])
def test_pruning_keeps_its_bound_on_the_divergence(max_kl):
    p = mixture(normals("full", 5, 8), spread=6.0)
    q = p.pruned(max_kl)
    mean, error = divergence(q, p)
    assert (mean <= max_kl + 4 * error + 1e-12).all()
    assert q.n_components <= p.n_components
    torch.testing.assert_close(total_mass(q), torch.ones(5, dtype=torch.float64), rtol=0, atol=1e-6)
    # The share that may be dropped is 1 - exp(-max_kl): no more was, and one more component would be too much.
    light = p.weights.sort(-1).values.cumsum(-1)
    spare = 1 - math.exp(-max_kl)
    expected = (light > spare).sum(-1)
    assert ((q.weights > 0).sum(-1) == expected).all()


def test_pruning_drops_what_weighs_nothing_and_keeps_rows_apart():
    weights = torch.tensor([[0.5, 0.0, 0.5], [0.0, 1.0, 0.0], [0.3, 0.3, 0.4]]).double()
    p = Mixture(Categorical(weights), normals("diagonal", 3, 3))
    q = p.pruned(1e-9)
    y = uniform(-2, 2, 6, 3, 2)
    torch.testing.assert_close(q.log_prob(y), p.log_prob(y))
    assert p[:2].pruned(1e-9).n_components == 2
    assert p[1:2].pruned(1e-9).n_components == 1


def test_pruning_concatenations_and_empty_batches_keeps_the_density():
    p = stacked("concatenation").pooled()
    q = p.pruned(0.05)
    mean, error = divergence(q, p)
    assert (mean <= 0.05 + 4 * error).all()
    assert p[:0].pruned().batch_shape == (0,)
    with pytest.raises(InputError, match="^max_kl must be a number > 0"):
        p.pruned(0.0)


# --- merging ---


@over_normals
@pytest.mark.parametrize("max_kl", [1e-3, 0.05, 0.5])
def test_merging_keeps_its_bound_on_the_divergence_and_the_moments(family, max_kl):
    p = mixture(normals(family, 5, 7, spread=1.0))
    q = p.merged(max_kl)
    mean, error = divergence(p, q)
    assert (mean <= max_kl + 4 * error + 1e-9).all()
    assert q.n_components <= p.n_components
    assert max_kl < 0.5 or q.n_components < p.n_components
    torch.testing.assert_close(total_mass(q), torch.ones(5, dtype=torch.float64), rtol=0, atol=1e-6)
    torch.testing.assert_close(q.mean, p.mean)
    if family in ("full", "low rank"):
        torch.testing.assert_close(moments(q)[1], moments(p)[1])
    elif family == "diagonal":
        torch.testing.assert_close(q.variance, p.variance)
    else:
        torch.testing.assert_close(q.variance.sum(-1), p.variance.sum(-1))


@over_normals
def test_merging_everything_leaves_one_normal_of_the_same_moments(family):
    p = mixture(normals(family, 3, 6))
    q = p.merged(1e6)
    assert q.n_components == 1
    torch.testing.assert_close(q.mean, p.mean)
    if family in ("full", "low rank"):
        torch.testing.assert_close(moments(q)[1], moments(p)[1])


@over_normals
def test_where_nothing_may_be_merged_the_density_stays(family):
    p = mixture(normals(family, 3, 4, spread=30.0))
    q = p.merged(1e-12)
    y = p.sample((20,), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(q.log_prob(y), p.log_prob(y))


def test_twins_are_merged_at_no_cost_and_rows_differ():
    loc = torch.tensor([[[0.0], [0.0], [5.0]], [[-9.0], [0.0], [9.0]]]).double()
    p = Mixture(Categorical(torch.tensor([[0.2, 0.3, 0.5]] * 2).double()), DiagonalNormal(loc, torch.ones_like(loc)))
    q = p.merged(1e-9)
    y = torch.linspace(-12, 12, 50).double().reshape(-1, 1, 1).expand(-1, 2, 1)
    torch.testing.assert_close(q.log_prob(y), p.log_prob(y))
    assert (q.weights > 0).sum(-1).tolist() == [2, 3]
    assert p[:1].merged(1e-9).n_components == 2


def test_merging_single_precision_weights_of_zero_and_empty_batches_is_safe():
    parts = normals("full", 2, 4).transformed(torch.Tensor.float)
    weights = torch.tensor([[0.5, 0.0, 0.5, 0.0], [0.0, 0.0, 1.0, 0.0]])
    q = Mixture(Categorical(weights), parts).merged(0.3)
    assert q.logits.dtype == q.components.loc.dtype == torch.float32
    assert not q.log_prob(torch.zeros(2, 2)).isnan().any()
    torch.testing.assert_close(q.weights.sum(-1), torch.ones(2))
    empty = mixture(normals("diagonal", 2, 3))[:0].merged()
    assert empty.batch_shape == (0,)


@pytest.mark.parametrize("scale", [1e-80, 1e-20, 1e20, 1e80])
def test_merging_does_not_depend_on_units(scale):
    p = mixture(normals("full", 3, 6, spread=0.7))
    expected, got = p.merged(0.05), p.affine(0.0, scale).merged(0.05)
    assert got.n_components == expected.n_components
    torch.testing.assert_close(got.weights, expected.weights)
    torch.testing.assert_close(got.components.loc / scale, expected.components.loc)


@pytest.mark.parametrize("make", [lambda: Laplace(*torch.ones(2, 1, 1, 1)), lambda: LogNormal(*torch.ones(2, 1, 1, 1))])
def test_what_is_not_normal_is_not_merged(make):
    components = make()
    with pytest.raises(InputError) as caught:
        Mixture(Categorical(torch.ones(1, 1)), components).merged()
    assert str(caught.value) == f"merging needs normal components; got {type(components).__name__}."


def test_a_bound_that_is_not_positive_is_refused():
    for method in ("merged", "pruned"):
        for max_kl in (0.0, -1.0):
            with pytest.raises(InputError, match="^max_kl must be a number > 0"):
                getattr(mixture(normals("diagonal", 1, 2)), method)(max_kl)


@pytest.mark.parametrize("max_kl", [20.0, 50.0, 1e3])
def test_pruning_without_a_bound_worth_the_name_leaves_the_heaviest(max_kl):
    probs = torch.tensor([[0.2, 0.5, 0.3]], dtype=torch.float64)
    loc = torch.tensor([[[0.0], [1.0], [2.0]]], dtype=torch.float64)
    left = Mixture(Categorical(probs), DiagonalNormal(loc, torch.ones_like(loc))).pruned(max_kl)
    assert left.weights.tolist() == [[1.0]]
    assert left.components.loc.item() == 1.0


def test_a_low_rank_mixture_in_which_nothing_is_merged_stays_what_it_is():
    loc = torch.tensor([[[0.0, 0.0], [50.0, 50.0]]], dtype=torch.float64)
    parts = LowRankNormal(loc, torch.ones(1, 2, 2, 1, dtype=torch.float64), torch.ones_like(loc))
    assert type(Mixture(Categorical(torch.ones(1, 2)), parts).merged(1e-3).components) is LowRankNormal
