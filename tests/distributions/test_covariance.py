"""Normal components with correlated target dimensions, against SciPy, torch, rational arithmetic and quadrature."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.distributions import Categorical, LowRankMultivariateNormal, MultivariateNormal

from manymodes._checks import InputError
from manymodes.distributions import DiagonalNormal, Mixture
from manymodes.distributions.families import COVARIANCE_TYPES, FullNormal, LowRankNormal

N, K, D, R = 4, 3, 4, 2
INF = torch.inf
SUBSETS = [dims for size in range(1, D) for dims in itertools.permutations(range(D), size)]
SCALES = [1e-6, 1.0, 1e6]
MIXED = torch.tensor([1e-6, 1e6, 1.0, 1e3], dtype=torch.float64)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def full(scale: float | torch.Tensor = 1.0, batch: tuple[int, ...] = (N, K), target_dim: int = D) -> FullNormal:
    scale = torch.as_tensor(scale, dtype=torch.float64).expand(target_dim)
    lower = random(*batch, target_dim, target_dim, seed=1).tril(-1)
    lower = lower + torch.diag_embed(random(*batch, target_dim, seed=2).abs() + 0.3)
    return FullNormal(scale * random(*batch, target_dim), scale.unsqueeze(-1) * lower, validate_args=True)


def low_rank(
    scale: float | torch.Tensor = 1.0, batch: tuple[int, ...] = (N, K), target_dim: int = D, ratio: float = 1.0
) -> LowRankNormal:
    """Make components whose factor is ``ratio`` times as large as the scale beside it."""
    scale = torch.as_tensor(scale, dtype=torch.float64).expand(target_dim)
    factor = ratio * scale.unsqueeze(-1) * random(*batch, target_dim, R, seed=3)
    own = scale * (random(*batch, target_dim, seed=4).abs() + 0.3)
    return LowRankNormal(scale * random(*batch, target_dim), factor, own, validate_args=True)


def dense(parts: FullNormal | LowRankNormal) -> FullNormal:
    """Return the same distribution by way of LAPACK's Cholesky factor of the covariance."""
    return FullNormal(parts.loc, torch.linalg.cholesky(parts.covariance_matrix), validate_args=True)


def point(parts: FullNormal | LowRankNormal, seed: int = 5) -> torch.Tensor:
    """Return one target per row, (N, D), near the first component."""
    return (parts.loc + parts.stddev * random(*parts.loc.shape, seed=seed))[:, 0]


def interval_targets(low: float = -0.4, high: float = 0.9) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ends, (N, D): all exact; one missing; one interval; a half-line beside two missing."""
    exact = random(N, D, seed=8)
    lower, upper = exact.clone(), exact.clone()
    lower[1, 2], upper[1, 2] = -INF, INF
    lower[2, 1], upper[2, 1] = low, high
    lower[3, :3] = torch.tensor([-INF, 0.2, -INF])
    upper[3, :3] = INF
    return lower, upper


both = pytest.mark.parametrize("make", [full, low_rank])


# --- density ---


@both
@pytest.mark.parametrize("scale", [*SCALES, MIXED], ids=str)
def test_densities_agree_with_scipy_at_every_scale(make, scale):
    parts = make(scale)
    y = point(parts)
    got = parts.log_prob(y.unsqueeze(-2))
    unit = torch.as_tensor(scale, dtype=torch.float64).expand(D)
    for row, k in np.ndindex(N, K):  # in units of the scale: scipy takes variances of 1e-12 beside 1e12 for zeros
        covariance = parts.covariance_matrix[row, k] / torch.outer(unit, unit)
        reference = stats.multivariate_normal(((parts.loc[row, k]) / unit).numpy(), covariance.numpy())
        expected = reference.logpdf((y[row] / unit).numpy()) - unit.log().sum().item()
        assert got[row, k].item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("target_dim", [1, 2, 5, 9])
def test_densities_agree_with_torch_in_few_and_many_dimensions(scale, target_dim):
    thin, thick = low_rank(scale, target_dim=target_dim), full(scale, target_dim=target_dim)
    for parts in (thin, thick):
        y = point(parts).unsqueeze(-2)
        expected = (
            LowRankMultivariateNormal(thin.loc, thin.factor, thin.scale.square())
            if parts is thin
            else MultivariateNormal(thick.loc, scale_tril=thick.scale_tril)
        )
        torch.testing.assert_close(parts.log_prob(y), expected.log_prob(y), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(parts.entropy(), expected.entropy(), rtol=1e-9, atol=1e-9)


def exact_log_prob(parts: LowRankNormal, row: int, k: int, y: torch.Tensor) -> float:
    """Return the log-density by rational arithmetic; only the final logarithms are rounded."""
    number = [Fraction(float(v)) for v in y - 0.0]
    loc, own = ([Fraction(float(v)) for v in values[row, k]] for values in (parts.loc, parts.scale))
    factor = [[Fraction(float(v)) for v in line] for line in parts.factor[row, k]]
    size = range(len(loc))
    matrix = [
        [sum(a * b for a, b in zip(factor[i], factor[j], strict=True)) + (own[i] ** 2 if i == j else 0) for j in size]
        for i in size
    ]
    rest = [a - b for a, b in zip(number, loc, strict=True)]
    quadratic, log_determinant = Fraction(0), 0.0
    for i in size:  # L D L^T by elimination
        quadratic += rest[i] ** 2 / matrix[i][i]
        log_determinant += float(np.log(float(matrix[i][i])))
        for j in range(i + 1, len(loc)):
            share = matrix[j][i] / matrix[i][i]
            rest[j] -= share * rest[i]
            matrix[j] = [a - share * b for a, b in zip(matrix[j], matrix[i], strict=True)]
    return -0.5 * (float(quadratic) + log_determinant + len(loc) * float(np.log(2 * np.pi)))


@pytest.mark.parametrize("ratio", [1e-12, 1e-6, 1e-3, 1e3, 1e6])
@pytest.mark.parametrize("scale", SCALES)
def test_a_low_rank_density_is_right_where_one_part_is_tiny_beside_the_other(scale, ratio):
    # Targets are rounded to eps * ratio standard deviations, and no computation can be better than that.
    parts = low_rank(scale, ratio=ratio)
    y = parts.sample(generator=torch.Generator().manual_seed(1))[:, 0]
    got = parts.log_prob(y.unsqueeze(-2))[:, 0]
    expected = torch.tensor([exact_log_prob(parts, row, 0, y[row]) for row in range(N)], dtype=torch.float64)
    tolerance = max(1e-9, 50 * ratio * torch.finfo(torch.float64).eps)
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


def test_a_low_rank_density_survives_a_factor_a_million_million_times_its_scale():
    # The textbook form, a difference of two squares of 1e12, is off by 1e8 here. Dividing targets by the scale rounds
    # them to 1e-4, and the square of that remains.
    loc = torch.zeros(1, 1, 3, dtype=torch.float64)
    factor = 1e6 * torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64)
    parts = LowRankNormal(loc, factor.expand(1, 1, 3, 1), torch.full_like(loc, 1e-6))
    y = factor[:, 0] * 0.5  # exactly along the factor
    assert parts.log_prob(y).item() == pytest.approx(exact_log_prob(parts, 0, 0, y), rel=1e-6)


@both
def test_the_density_factorises_in_order_by_rosenblatts_transformation(make):
    parts = make(MIXED)
    y = point(parts).unsqueeze(-2)
    log_density, cdf = parts.rosenblatt(y)
    torch.testing.assert_close(log_density.sum(-1), parts.log_prob(y), rtol=1e-9, atol=1e-9)
    last = parts.condition([0, 1, 2], y[:, 0, :3])
    torch.testing.assert_close(log_density[..., 3], last.log_prob(y[..., 3:]), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(cdf[..., 3:], last.cdf(y[..., 3:]), rtol=1e-9, atol=1e-12)


@both
@pytest.mark.parametrize("target_dim", [3, 6])
def test_gradient_and_curvature_are_the_derivatives_of_the_density(make, target_dim):
    parts = make(target_dim=target_dim)
    y = point(parts).unsqueeze(-2).expand(N, K, target_dim).clone().requires_grad_()
    (expected,) = torch.autograd.grad(parts.log_prob(y).sum(), y)
    torch.testing.assert_close(parts.gradient(y), expected, rtol=1e-9, atol=1e-9)
    precision = torch.linalg.inv(parts.covariance_matrix)
    torch.testing.assert_close(parts.curvature(y), precision, rtol=1e-9, atol=1e-9)


@both
@pytest.mark.parametrize("low", [-1e30, 1e30])
def test_gradients_stay_numbers_for_extreme_parameters_and_targets(make, low):
    for exponent, far in itertools.product((-60.0, 0.0, 60.0), (0.0, 1e30, -1e300, INF)):
        parts = make(float(np.exp(exponent)))
        values = [(getattr(parts, name) + (low if name == "loc" else 0.0)) for name in parts.parameters]
        values = [value.detach().requires_grad_() for value in values]
        y = torch.full((N, 1, D), far, dtype=torch.float64)
        hidden = y.clone()
        hidden[..., 1] = INF
        parts = type(parts)(*values, validate_args=True)
        lower = torch.where(hidden == y, y, -INF)
        for log_likelihood in (parts.log_prob(y), parts.interval_log_prob(lower, hidden), parts.entropy()):
            gradients = torch.autograd.grad(log_likelihood.sum(), values, allow_unused=True, retain_graph=True)
            assert all(not gradient.isnan().any() for gradient in gradients if gradient is not None)


@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("target_dim", [4, 6])
def test_targets_at_the_end_of_the_number_line_give_no_nan(make, dtype, target_dim):
    parts = make(target_dim=target_dim).transformed(lambda value: value.to(dtype))
    largest = torch.finfo(dtype).max
    for far in (largest, -largest, torch.inf):
        y = torch.full((N, 1, target_dim), far, dtype=dtype)
        y[0, 0, 1] = 0.0
        for got in (parts.log_prob(y), parts.gradient(y), *parts.rosenblatt(y), parts.interval_log_prob(y, y)):
            assert not got.isnan().any()


# --- marginals and conditionals ---


@both
@pytest.mark.parametrize("dims", SUBSETS, ids=str)
def test_marginals_select_means_and_covariances_in_any_order(make, dims):
    parts, dims = make(), list(dims)
    marginal = parts.marginal(dims)
    assert type(marginal) is type(parts)
    torch.testing.assert_close(marginal.mean, parts.mean[..., dims])
    torch.testing.assert_close(marginal.covariance_matrix, parts.covariance_matrix[..., dims, :][..., dims])
    y = point(parts)[:, dims].unsqueeze(-2)
    expected = MultivariateNormal(marginal.mean, parts.covariance_matrix[..., dims, :][..., dims]).log_prob(y)
    torch.testing.assert_close(marginal.log_prob(y), expected, rtol=1e-9, atol=1e-9)


@both
@pytest.mark.parametrize("dims", SUBSETS, ids=str)
def test_conditionals_are_the_ratio_of_joint_and_marginal_density(make, dims):
    parts, dims = make(), list(dims)
    free = [dim for dim in range(D) if dim not in dims]
    y = point(parts)
    conditional = parts.condition(dims, y[:, dims])
    assert type(conditional) is type(parts)
    joint, given = dense(parts).log_prob(y.unsqueeze(-2)), parts.marginal(dims).log_prob(y[:, dims].unsqueeze(-2))
    got = conditional.log_prob(y[:, free].unsqueeze(-2))
    torch.testing.assert_close(got, joint - given, rtol=1e-9, atol=1e-9)


@both
@pytest.mark.parametrize("dims", SUBSETS, ids=str)
def test_conditionals_have_the_textbook_mean_and_covariance(make, dims):
    parts, dims = make(), list(dims)
    free = [dim for dim in range(D) if dim not in dims]
    y = point(parts)
    conditional, covariance = parts.condition(dims, y[:, dims]), parts.covariance_matrix
    gain = covariance[..., free, :][..., dims] @ torch.linalg.inv(covariance[..., dims, :][..., dims])
    offset = (y[:, dims].unsqueeze(-2) - parts.loc[..., dims]).unsqueeze(-1)
    torch.testing.assert_close(conditional.mean, parts.loc[..., free] + (gain @ offset).squeeze(-1))
    expected = covariance[..., free, :][..., free] - gain @ covariance[..., dims, :][..., free]
    torch.testing.assert_close(conditional.covariance_matrix, expected)


@both
def test_conditionals_keep_their_digits_when_dimensions_have_very_different_units(make):
    parts, plain = make(MIXED), make(1.0)
    y = point(plain)
    for dims in ([1], [3, 0], [2, 1, 0]):
        free = [dim for dim in range(D) if dim not in dims]
        got = parts.condition(dims, (MIXED * y)[:, dims])
        expected = plain.condition(dims, y[:, dims]).affine(0.0, MIXED[free])
        torch.testing.assert_close(got.mean, expected.mean, rtol=1e-9, atol=0)
        torch.testing.assert_close(got.stddev, expected.stddev, rtol=1e-9, atol=0)


@both
def test_each_dimension_by_itself_is_a_normal_of_its_own_standard_deviation(make):
    parts = make(MIXED)
    y = point(parts).unsqueeze(-2)
    alone = DiagonalNormal(parts.loc, parts.covariance_matrix.diagonal(dim1=-2, dim2=-1).sqrt())
    for name in ("marginal_log_prob", "cdf", "sf", "log_cdf", "log_sf", "score", "score_slope", "lower_mean"):
        torch.testing.assert_close(getattr(parts, name)(y), getattr(alone, name)(y), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(parts.upper_mean(y), alone.upper_mean(y))
    torch.testing.assert_close(parts.icdf(torch.tensor(0.1).double()), alone.icdf(torch.tensor(0.1).double()))
    torch.testing.assert_close(parts.isf(torch.tensor(0.1).double()), alone.isf(torch.tensor(0.1).double()))
    torch.testing.assert_close(parts.turning_points(), alone.turning_points())
    for order in (2, 3, 4):
        torch.testing.assert_close(parts.central_moment(order), alone.central_moment(order))
    assert (parts.turning_order, parts.kinds) == (3, ("real",) * D)


@both
def test_conditionals_and_intervals_are_right_in_many_dimensions_too(make):
    # More than four dimensions take another path, through LAPACK.
    parts, dims, free = make(target_dim=7), [6, 0, 3, 5, 1], [2, 4]
    y = point(parts)
    given = parts.marginal(dims).log_prob(y[:, dims].unsqueeze(-2))
    joint = dense(parts).log_prob(y.unsqueeze(-2))
    got = parts.condition(dims, y[:, dims]).log_prob(y[:, free].unsqueeze(-2))
    torch.testing.assert_close(got, joint - given, rtol=1e-9, atol=1e-9)
    low, high = y.clone().unsqueeze(-2), y.clone().unsqueeze(-2)
    low[..., 2], high[..., 2], high[..., 4] = -INF, INF, INF
    tail = parts.marginal([*dims, 4]).condition([0, 1, 2, 3, 4], y[:, dims]).log_sf(y[:, [4]].unsqueeze(-2))
    torch.testing.assert_close(parts.interval_log_prob(low, high), given + tail[..., 0], rtol=1e-9, atol=1e-9)


@both
@pytest.mark.parametrize("target_dim", [3, 6])
def test_gradients_of_conditionals_are_right(make, target_dim):
    parts = make(batch=(2, 2), target_dim=target_dim)
    y = point(parts)
    dims, free = [target_dim - 1, 0], list(range(1, target_dim - 1))

    def log_prob(y, *values):
        legal = [value.tril() if name == "scale_tril" else value for name, value in named(parts, values)]
        return type(parts)(*legal).condition(dims, y[:, dims]).log_prob(y[:, free].unsqueeze(-2))

    values = [getattr(parts, name).clone() for name in parts.parameters]
    assert torch.autograd.gradcheck(log_prob, [value.requires_grad_() for value in (y, *values)])


def named(parts, values):
    return zip(parts.parameters, values, strict=True)


# --- missing and interval-censored targets ---


@both
def test_exact_targets_have_the_density_as_likelihood(make):
    parts = make(MIXED)
    y = point(parts).unsqueeze(-2)
    torch.testing.assert_close(parts.interval_log_prob(y, y), parts.log_prob(y), rtol=1e-9, atol=1e-9)


@both
@pytest.mark.parametrize("dims", SUBSETS, ids=str)
def test_missing_dimensions_leave_the_marginal_of_the_others(make, dims):
    parts, dims = make(), sorted(dims)
    y = point(parts)
    low, high = torch.full_like(y, -INF), torch.full_like(y, INF)
    low[:, dims], high[:, dims] = y[:, dims], y[:, dims]
    got = parts.interval_log_prob(low.unsqueeze(-2), high.unsqueeze(-2))
    for row, k in np.ndindex(N, K):
        covariance = parts.covariance_matrix[row, k][dims][:, dims].numpy()
        expected = stats.multivariate_normal(parts.loc[row, k, dims].numpy(), covariance).logpdf(y[row, dims].numpy())
        assert got[row, k].item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@both
def test_rows_with_different_patterns_agree_with_quadrature_over_the_interval(make):
    parts = make()
    low, high = interval_targets()
    got = parts.interval_log_prob(low.unsqueeze(-2), high.unsqueeze(-2))
    assert got.shape == (N, K)
    for row, k in np.ndindex(N, K):
        expected = likelihood_by_quadrature(parts, (row, k), low[row].numpy(), high[row].numpy())
        assert got[row, k].item() == pytest.approx(expected, rel=1e-8, abs=1e-8)


def likelihood_by_quadrature(parts, index, low, high) -> float:
    seen = [d for d in range(D) if np.isfinite(low[d]) or np.isfinite(high[d])]
    reference = stats.multivariate_normal(
        parts.loc[index][seen].numpy(), parts.covariance_matrix[index][seen][:, seen].numpy()
    )
    wide = [i for i, d in enumerate(seen) if low[d] != high[d]]
    if not wide:
        return float(reference.logpdf(low[seen]))

    def density(t: float) -> float:
        y = low[seen].copy()
        y[wide[0]] = t
        return float(reference.pdf(y))

    d = seen[wide[0]]
    return float(np.log(integrate.quad(density, low[d], high[d], epsabs=0, epsrel=1e-10, limit=200)[0]))


@both
@pytest.mark.parametrize(("start", "width"), [(0.3, 1e-9), (30.0, 1.0), (-38.0, 1e-6), (300.0, INF)])
def test_intervals_far_out_or_narrow_keep_their_digits(make, start, width):
    parts = make()
    y = point(parts)
    conditional = parts.condition([0, 1, 3], y[:, [0, 1, 3]])
    low, high = y.unsqueeze(-2).expand(N, K, D).clone(), y.unsqueeze(-2).expand(N, K, D).clone()
    low[..., 2] = (conditional.mean + start * conditional.stddev)[..., 0]
    high[..., 2] = low[..., 2] + width * conditional.stddev[..., 0]
    alone = DiagonalNormal(conditional.mean, conditional.stddev)
    inside = alone.interval_log_prob(low[..., 2:3], high[..., 2:3])
    expected = inside + parts.marginal([0, 1, 3]).log_prob(y[:, [0, 1, 3]].unsqueeze(-2))
    assert expected.isfinite().all()
    torch.testing.assert_close(parts.interval_log_prob(low, high), expected, rtol=1e-8, atol=1e-8)


@both
def test_interval_likelihoods_take_sample_dimensions_and_have_finite_gradients(make):
    parts = make()
    low, high = (end.unsqueeze(-2).expand(5, N, 1, D) for end in interval_targets())
    values = {name: getattr(parts, name).clone().requires_grad_() for name in parts.parameters}
    got = type(parts)(**values).interval_log_prob(low, high)
    assert got.shape == (5, N, K)
    for gradient in torch.autograd.grad(got.sum(), list(values.values())):
        assert gradient.isfinite().all()
        assert gradient.any()


@both
def test_two_intervals_in_one_row_are_refused(make):
    low, high = interval_targets()
    high[2, 3] += 1.0
    with pytest.raises(InputError) as caught:
        make().interval_log_prob(low.unsqueeze(-2), high.unsqueeze(-2))
    assert str(caught.value) == (
        "y must hold at most one interval per row, beside exact and missing values, where target dimensions are "
        "correlated; row 3 holds 2; take components without correlation."
    )


# --- one family is the other ---


@pytest.mark.parametrize("scale", [1.0, MIXED], ids=str)
def test_low_rank_equals_full_with_the_same_covariance(scale):
    thin = low_rank(scale)
    thick = FullNormal(thin.loc, thin.scale_tril, validate_args=True)
    y = point(thin)
    ends = [end.unsqueeze(-2) * scale for end in interval_targets()]
    pairs = [
        (thin.stddev, thick.stddev),
        (thin.variance, thick.variance),
        (thin.entropy(), thick.entropy()),
        (thin.log_prob(y.unsqueeze(-2)), thick.log_prob(y.unsqueeze(-2))),
        (thin.gradient(y.unsqueeze(-2)), thick.gradient(y.unsqueeze(-2))),
        (thin.curvature(y.unsqueeze(-2)), thick.curvature(y.unsqueeze(-2))),
        (thin.interval_log_prob(*ends), thick.interval_log_prob(*ends)),
    ]
    factor = torch.tensor([2.0, 1e-3, 5.0, 1.0], dtype=torch.float64)
    for change in (
        lambda parts: parts.condition([2, 0], y[:, [2, 0]]),
        lambda parts: parts.marginal([3, 1]),
        lambda parts: parts.affine(1.5, factor),
        lambda parts: parts.affine(torch.arange(4.0).double(), 3.0),
        lambda parts: parts.widened(1.7),
    ):
        one, other = change(thin), change(thick)
        pairs += [(one.mean, other.mean), (one.covariance_matrix, other.covariance_matrix)]
    for got, expected in pairs:
        torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-18)


@both
def test_an_affine_map_moves_the_density_exactly(make):
    parts, shift = make(), torch.tensor([5.0, -1e3, 0.0, 1.0]).double()
    y = point(parts)
    moved = parts.affine(shift, MIXED)
    expected = parts.log_prob(y.unsqueeze(-2)) - MIXED.log().sum()
    torch.testing.assert_close(moved.log_prob((shift + MIXED * y).unsqueeze(-2)), expected, rtol=1e-6, atol=1e-6)


# --- samples, gradients, life ---


@both
def test_samples_have_the_stated_means_and_covariances(make):
    # 5 standard errors of each of 12 means and 30 covariances: a false alarm in fewer than 1 of 10,000 seeds.
    parts, n = make(batch=(K,)), 100_000
    samples = parts.sample((n,), generator=torch.Generator().manual_seed(0))
    assert samples.shape == (n, K, D)
    covariance, variance = parts.covariance_matrix, parts.variance
    assert ((samples.mean(0) - parts.mean).abs() < 5 * (variance / n).sqrt()).all()
    offset = samples - parts.mean
    got = (offset.unsqueeze(-1) * offset.unsqueeze(-2)).mean(0)
    error = ((covariance.square() + variance.unsqueeze(-1) * variance.unsqueeze(-2)) / n).sqrt()
    assert ((got - covariance).abs() < 5 * error).all()


@both
@pytest.mark.parametrize("target_dim", [3, 6])
def test_gradients_of_the_density_are_right_and_reach_every_parameter(make, target_dim):
    parts = make(batch=(2, K), target_dim=target_dim)
    values = [getattr(parts, name).clone() for name in parts.parameters]
    y = point(parts).unsqueeze(-2)

    def log_prob(y, *values):
        legal = [value.tril() if name == "scale_tril" else value for name, value in named(parts, values)]
        return type(parts)(*legal).log_prob(y)

    assert torch.autograd.gradcheck(log_prob, [value.requires_grad_() for value in (y, *values)])


@both
def test_the_density_can_be_mapped_over_members(make):
    parts = make(batch=(5, N, K))
    y = random(5, N, 1, D)
    got = torch.func.vmap(lambda y, *values: type(parts)(*values, validate_args=False).log_prob(y))(
        y, *(getattr(parts, name) for name in parts.parameters)
    )
    torch.testing.assert_close(got, parts.log_prob(y))


@both
@pytest.mark.parametrize("target_dim", [1, 2, 5])
def test_training_starts_from_legal_parameters_at_the_centres(make, target_dim):
    family = type(make())
    centres, spread = random(K, target_dim), random(target_dim).abs() + 0.1
    values = family.start(centres, spread)
    assert set(values) == set(family.parameters)
    parts = family(**values, validate_args=True)
    torch.testing.assert_close(parts.mean, centres)
    torch.testing.assert_close(parts.stddev, spread.expand(K, target_dim), rtol=0.02, atol=0)


def test_the_first_columns_of_a_factor_differ_so_that_they_do_not_stay_equal():
    factor = LowRankNormal.start(random(K, D), torch.ones(D).double(), rank=3)["factor"]
    assert factor.shape == (K, D, 3)
    assert (torch.linalg.matrix_rank(factor) == 3).all()


def test_a_factor_that_is_not_lower_triangular_is_refused_with_its_place():
    parts = full()
    wrong = parts.scale_tril.clone()
    wrong[1, 2] = torch.ones(D, D)
    with pytest.raises(InputError, match=r"^scale_tril must be lower triangular with a positive diagonal everywhere"):
        FullNormal(parts.loc, wrong, validate_args=True)


@both
def test_a_mixture_survives_expanding_indexing_and_changing_precision(make):
    mixture = Mixture(Categorical(logits=random(N, K)), make())
    y = point(mixture.components)
    expected = mixture.log_prob(y)
    torch.testing.assert_close(mixture.expand((3, N)).log_prob(y.expand(3, N, D)), expected.expand(3, N))
    torch.testing.assert_close(mixture[2].log_prob(y[2]), expected[2])
    single = mixture.to(torch.float32).log_prob(y.float())
    torch.testing.assert_close(single, expected.float(), rtol=1e-4, atol=1e-4)
    assert mixture.sample((7,), generator=torch.Generator().manual_seed(0)).shape == (7, N, D)


def test_covariance_types_name_all_four_families():
    assert set(COVARIANCE_TYPES) == {"diag", "spherical", "full", "low_rank"}
    assert (COVARIANCE_TYPES["full"], COVARIANCE_TYPES["low_rank"]) == (FullNormal, LowRankNormal)
