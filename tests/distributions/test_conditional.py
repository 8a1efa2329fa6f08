"""Conditional distributions: every pattern of given dimensions, against joint and marginal densities."""

import itertools
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
    LogNormal,
    LowRankNormal,
    Mixture,
    Product,
    SphericalNormal,
    StudentT,
    VonMises,
)

N, K, D = 3, 2, 4


def uniform(low, high, *shape, seed=0) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def triangular(d, seed) -> Tensor:
    return torch.diag_embed(uniform(0.4, 1.2, N, K, d, seed=seed)) + uniform(-0.8, 0.8, N, K, d, d, seed=seed).tril(-1)


LOC = uniform(-2, 2, N, K, D, seed=1)
FAMILIES = {
    "diagonal": DiagonalNormal(LOC, uniform(0.3, 1.5, N, K, D, seed=2)),
    "spherical": SphericalNormal(LOC, uniform(0.3, 1.5, N, K, 1, seed=2)),
    "full": FullNormal(LOC, triangular(D, 3)),
    "low rank": LowRankNormal(LOC, uniform(-1, 1, N, K, D, 2, seed=3), uniform(0.3, 0.9, N, K, D, seed=4)),
    "product of two full": Product(
        FullNormal(LOC[..., :2], triangular(2, 5)), FullNormal(LOC[..., 2:], triangular(2, 6))
    ),
    "product of four": Product(
        VonMises(LOC[..., :1], uniform(1, 4, N, K, 1)),
        Gamma(uniform(2, 4, N, K, 1), uniform(0.3, 1, N, K, 1)),
        FullNormal(LOC[..., 2:3], triangular(1, 7)),
        StudentT(uniform(2, 5, N, K, 1), LOC[..., 3:], uniform(0.5, 1, N, K, 1)),
    ),
    "product of three and one": Product(
        FullNormal(LOC[..., :3], triangular(3, 8)), LogNormal(LOC[..., 3:], uniform(0.3, 1, N, K, 1))
    ),
}
PATTERNS = [list(p) for size in (1, 2, 3) for p in itertools.permutations(range(D), size)]
Y = uniform(0.2, 1.5, N, D, seed=11)


def mixture(name: str) -> Mixture:
    return Mixture(Categorical(logits=uniform(-1, 1, N, K, seed=12)), FAMILIES[name])


def normal_moments(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return means and covariances of components that are normal."""
    parts = FAMILIES[name]
    if name in ("full", "low rank"):
        return LOC.numpy(), parts.covariance_matrix.numpy()
    if name == "product of two full":
        covariance = torch.zeros(N, K, D, D, dtype=torch.float64)
        covariance[..., :2, :2], covariance[..., 2:, 2:] = (block.covariance_matrix for block in parts.blocks)
        return LOC.numpy(), covariance.numpy()
    return LOC.numpy(), torch.diag_embed(parts.variance.expand(N, K, D)).numpy()


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("given", PATTERNS, ids=str)
def test_the_conditional_density_is_joint_less_marginal(name, given):
    joint, others = mixture(name), [dim for dim in range(D) if dim not in given]
    conditional = joint.conditional(given, Y[:, given])
    assert (conditional.batch_shape, conditional.event_shape) == ((N,), (len(others),))
    ordered = sorted(given)
    expected = joint.log_prob(Y) - joint.marginal(ordered).log_prob(Y[:, ordered])
    torch.testing.assert_close(conditional.log_prob(Y[:, others]), expected)


@pytest.mark.parametrize("name", ["diagonal", "spherical", "full", "low rank", "product of two full"])
@pytest.mark.parametrize("given", [[0], [3], [2, 0], [1, 3], [3, 1, 2]], ids=str)
def test_moments_are_those_of_schurs_complement(name, given):
    if name == "product of two full" and given == [3, 1, 2]:
        given = [1, 2, 3]
    joint, others = mixture(name), [dim for dim in range(D) if dim not in given]
    loc, covariance = normal_moments(name)
    conditional = joint.conditional(given, Y[:, given])
    mean, second = np.zeros((N, len(others))), np.zeros((N, len(others)))
    weights = np.zeros((N, K))
    for n, k in itertools.product(range(N), range(K)):
        a, b, c = (
            covariance[n, k][np.ix_(rows, cols)] for rows, cols in ((given, given), (others, given), (others, others))
        )
        gap = Y[n, given].numpy() - loc[n, k, given]
        weights[n, k] = (
            joint.weights[n, k] * math.exp(-0.5 * gap @ np.linalg.solve(a, gap)) / math.sqrt(np.linalg.det(a))
        )
    weights /= weights.sum(-1, keepdims=True)
    for n, k in itertools.product(range(N), range(K)):
        a, b, c = (
            covariance[n, k][np.ix_(rows, cols)] for rows, cols in ((given, given), (others, given), (others, others))
        )
        gap = Y[n, given].numpy() - loc[n, k, given]
        own = loc[n, k, others] + b @ np.linalg.solve(a, gap)
        mean[n] += weights[n, k] * own
        second[n] += weights[n, k] * (np.diag(c - b @ np.linalg.solve(a, b.T)) + own**2)
    np.testing.assert_allclose(conditional.weights, weights, rtol=1e-9)
    np.testing.assert_allclose(conditional.mean, mean, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(conditional.variance, second - mean**2, rtol=1e-8)


@pytest.mark.parametrize("name", ["full", "low rank", "product of three and one"])
def test_the_conditional_integrates_to_one(name):
    joint = mixture(name)
    conditional = joint.conditional([0, 1, 3], Y[:, [0, 1, 3]])
    grid = torch.linspace(-15, 15, 6001, dtype=torch.float64)
    total = conditional.log_prob(grid.reshape(-1, 1, 1).expand(-1, N, 1)).exp().sum(0) * (grid[1] - grid[0])
    torch.testing.assert_close(total, torch.ones(N, dtype=torch.float64))


def test_one_dimension_may_be_named_by_a_number_and_from_the_end():
    joint = mixture("full")
    expected = joint.conditional([3], Y[:, 3:]).log_prob(Y[:, :3])
    torch.testing.assert_close(joint.conditional(3, Y[:, 3:]).log_prob(Y[:, :3]), expected)
    torch.testing.assert_close(joint.conditional(-1, Y[:, 3:]).log_prob(Y[:, :3]), expected)


def test_families_in_one_mixture_are_weighed_by_what_they_say_of_the_given():
    parts = Concatenation(FAMILIES["full"], FAMILIES["low rank"])
    joint = Mixture(Categorical(logits=uniform(-1, 1, N, 2 * K, seed=12)), parts)
    for given in ([0], [1, 2], [3, 0], [2, 1, 0]):
        others, ordered = [dim for dim in range(D) if dim not in given], sorted(given)
        expected = joint.log_prob(Y) - joint.marginal(ordered).log_prob(Y[:, ordered])
        torch.testing.assert_close(joint.conditional(given, Y[:, given]).log_prob(Y[:, others]), expected)


def test_each_row_of_several_families_is_conditioned_on_its_own_values():
    # As many rows as components: an axis taken for the other would go unnoticed.
    tril = torch.tensor([[1.0, 0.0], [0.9, 0.4]]).double().expand(2, 1, 2, 2)
    normal, heavy = FullNormal(torch.zeros(2, 1, 2).double(), tril), StudentT(*uniform(2, 3, 3, 2, 1, 2))
    joint = Mixture(Categorical(torch.ones(2, 2).double()), Concatenation(normal, heavy))
    value = torch.tensor([[-1.0], [1.5]]).double()
    together = joint.conditional(0, value)
    for row in range(2):
        alone = joint[row : row + 1].conditional(0, value[row : row + 1])
        torch.testing.assert_close(together.mean[row], alone.mean[0])


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("far", [1e30, -1e30, 1e300, math.inf, -math.inf])
def test_values_at_an_extreme_distance_never_give_nan(name, far):
    joint = mixture(name)
    for given in ([0], [1, 2], [3]):
        conditional = joint.conditional(given, torch.full((N, len(given)), far, dtype=torch.float64))
        others = [dim for dim in range(D) if dim not in given]
        assert not conditional.weights.isnan().any()
        torch.testing.assert_close(conditional.weights.sum(-1), torch.ones(N, dtype=torch.float64))
        assert not conditional.log_prob(Y[:, others]).isnan().any()
        assert not conditional.mean.isnan().any()


@pytest.mark.parametrize(("low", "high"), [(1e-150, 1.0), (1e-6, 1e6), (1.0, 1e150)])
def test_scales_that_differ_by_many_orders_keep_their_digits(low, high):
    # A tight correlation between a small and a large unit: rho = 0.6 in any units.
    tril = torch.tensor([[[[low, 0.0], [0.6 * high, 0.8 * high]]]], dtype=torch.float64)
    joint = Mixture(Categorical(torch.ones(1, 1).double()), FullNormal(torch.zeros(1, 1, 2).double(), tril))
    first = joint.conditional(0, torch.tensor([[2 * low]], dtype=torch.float64))
    assert first.mean.item() == pytest.approx(1.2 * high)
    assert first.components.stddev.item() == pytest.approx(0.8 * high)
    second = joint.conditional(1, torch.tensor([[2 * high]], dtype=torch.float64))
    assert second.mean.item() == pytest.approx(1.2 * low)
    assert second.components.stddev.item() == pytest.approx(0.8 * low)


def test_gradients_flow_through_values_weights_and_parameters():
    loc, tril = LOC.clone().requires_grad_(), triangular(D, 3).requires_grad_()
    logits, value = uniform(-1, 1, N, K, seed=12).requires_grad_(), Y[:, [2, 0]].clone().requires_grad_()

    def density(loc, tril, logits, value):
        joint = Mixture(
            Categorical(logits=logits, validate_args=False), FullNormal(loc, tril.tril(), validate_args=False)
        )
        return joint.conditional([2, 0], value).log_prob(Y[:, [1, 3]])

    assert torch.autograd.gradcheck(density, (loc, tril, logits, value))


@pytest.mark.parametrize(
    ("dims", "message"),
    [
        ([0, 1, 2, 3], "dims must leave at least one of the 4 target dimensions; got [0, 1, 2, 3]."),
        ([], "dims must name target dimensions from 0 to 3; got []."),
        ([4], "dims must name target dimensions from 0 to 3; got [4]."),
        ([-5], "dims must name target dimensions from 0 to 3; got [-5]."),
        ([1, 1], "dims must name each target dimension once; got [1, 1]."),
        ([3, -1], "dims must name each target dimension once; got [3, -1]."),
    ],
)
def test_dimensions_that_cannot_be_given_are_refused(dims, message):
    with pytest.raises(InputError) as caught:
        mixture("full").conditional(dims, torch.zeros(N, len(dims)).double())
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["full", "product of four"])
@pytest.mark.parametrize("shape", [(N,), (N, 1), (N, 3), (N + 1, 2), (2,)])
def test_values_of_another_shape_are_refused_with_a_sentence(name, shape):
    with pytest.raises(InputError, match=rf"must have shape .*{N}, 2\).*got .*\.$"):
        mixture(name).conditional([0, 1], torch.zeros(shape).double())


def test_nan_among_the_values_is_refused():
    with pytest.raises(InputError, match="NaN"):
        mixture("full").conditional(0, torch.full((N, 1), math.nan).double())


def test_rows_casts_and_empty_batches_of_conditionals_hold():
    joint = mixture("full")
    expected = joint.conditional([1], Y[:, 1:2]).log_prob(Y[:, [0, 2, 3]])
    torch.testing.assert_close(joint[1:].conditional([1], Y[1:, 1:2]).log_prob(Y[1:, [0, 2, 3]]), expected[1:])
    single = joint.to(torch.float32).conditional([1], Y[:, 1:2].float()).log_prob(Y[:, [0, 2, 3]].float())
    torch.testing.assert_close(single, expected.float(), rtol=1e-4, atol=1e-4)
    empty = joint[:0].conditional([1], Y[:0, 1:2])
    assert empty.log_prob(Y[:0, [0, 2, 3]]).shape == (0,)


def test_one_value_for_all_rows_is_broadcast_like_a_target():
    joint = mixture("full")
    one = joint.conditional([1, 2], Y[:1, [1, 2]])
    all_rows = joint.conditional([1, 2], Y[:1, [1, 2]].expand(N, 2))
    torch.testing.assert_close(one.log_prob(Y[:, [0, 3]]), all_rows.log_prob(Y[:, [0, 3]]))
