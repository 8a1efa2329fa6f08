"""Missing, censored and rounded targets: one likelihood, against probabilities of SciPy's."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Categorical

from manymodes import metrics, objectives
from manymodes._checks import InputError
from manymodes.distributions import (
    Concatenation,
    DiagonalNormal,
    FullNormal,
    Gamma,
    Incomplete,
    Laplace,
    Logistic,
    LogNormal,
    LowRankNormal,
    Mixture,
    PointMass,
    Poisson,
    Product,
    SphericalNormal,
    StudentT,
    Truncated,
)

INF, NAN = math.inf, math.nan
N, K, D = 4, 3, 3


def uniform(low, high, *shape, seed=0) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tensor(values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def column(*values, dtype=torch.float64) -> Tensor:
    return torch.tensor(values, dtype=dtype).reshape(1, -1, 1)


def single(components, *weights) -> Mixture:
    return Mixture(Categorical(torch.tensor([weights or (1.0,)], dtype=components.mean.dtype)), components)


def scipy_normals(family) -> tuple[object, np.ndarray, np.ndarray]:
    """Return components of a family of normals, with their means and covariances as arrays."""
    loc = uniform(-2, 2, N, K, D, seed=1)
    if family == "diagonal":
        parts = DiagonalNormal(loc, uniform(0.3, 1.5, N, K, D, seed=2))
        covariance = torch.diag_embed(parts.scale.square())
    elif family == "spherical":
        parts = SphericalNormal(loc, uniform(0.3, 1.5, N, K, 1, seed=2))
        covariance = torch.diag_embed(parts.scale.square().expand(N, K, D))
    elif family == "full":
        tril = torch.diag_embed(uniform(0.4, 1.2, N, K, D, seed=2)) + uniform(-0.8, 0.8, N, K, D, D, seed=3).tril(-1)
        parts, covariance = FullNormal(loc, tril), tril @ tril.mT
    elif family == "low rank":
        factor, scale = uniform(-1, 1, N, K, D, 2, seed=3), uniform(0.3, 0.9, N, K, D, seed=2)
        parts = LowRankNormal(loc, factor, scale)
        covariance = factor @ factor.mT + torch.diag_embed(scale.square())
    else:
        tril = torch.diag_embed(uniform(0.4, 1.2, N, K, 2, seed=2)) + uniform(-0.8, 0.8, N, K, 2, 2, seed=3).tril(-1)
        last = uniform(0.3, 1.5, N, K, 1, seed=4)
        parts = Product(FullNormal(loc[..., :2], tril), DiagonalNormal(loc[..., 2:], last))
        covariance = torch.zeros(N, K, D, D, dtype=torch.float64)
        covariance[..., :2, :2], covariance[..., 2:, 2] = tril @ tril.mT, last.square()
    return parts, loc.numpy(), covariance.numpy()


FAMILIES = ["diagonal", "spherical", "full", "low rank", "product"]
over_normals = pytest.mark.parametrize("family", FAMILIES)
LOGITS = uniform(-1, 1, N, K, seed=9)


def reference(loc, covariance, low, high) -> np.ndarray:
    """Return the log-likelihood of each row, at most one dimension of which is an interval, by conditioning."""
    weights, out = LOGITS.softmax(-1).numpy(), []
    for n in range(N):
        exact = np.flatnonzero(low[n] == high[n])
        interval = np.flatnonzero((low[n] != high[n]) & (np.isfinite(low[n]) | np.isfinite(high[n])))
        total = 0.0
        for k in range(K):
            m, c = loc[n, k], covariance[n, k]
            part = (
                stats.multivariate_normal(m[exact], c[np.ix_(exact, exact)]).pdf(low[n][exact]) if len(exact) else 1.0
            )
            for d in interval:
                gain = np.linalg.solve(c[np.ix_(exact, exact)], c[exact, d]) if len(exact) else np.zeros(0)
                centre = m[d] + gain @ (low[n][exact] - m[exact])
                normal = stats.norm(centre, math.sqrt(c[d, d] - gain @ c[exact, d]))
                part = part * (normal.cdf(high[n][d]) - normal.cdf(low[n][d]))
            total += weights[n, k] * part
        out.append(math.log(total))
    return np.array(out)


@over_normals
def test_missing_dimensions_give_the_marginal_density(family):
    parts, _, _ = scipy_normals(family)
    mixture, y = Mixture(Categorical(logits=LOGITS), parts), uniform(-2, 2, N, D, seed=5)
    for dims in ([0], [1], [2], [0, 1], [0, 2], [1, 2]):
        partly = torch.full_like(y, NAN)
        partly[:, dims] = y[:, dims]
        expected = mixture.marginal(dims).log_prob(y[:, dims])
        torch.testing.assert_close(mixture.log_prob(Incomplete.missing(partly)), expected)
    torch.testing.assert_close(mixture.log_prob(Incomplete.missing(y)), mixture.log_prob(y))
    nothing = mixture.log_prob(Incomplete.missing(torch.full_like(y, NAN)))
    torch.testing.assert_close(nothing, torch.zeros(N, dtype=torch.float64))


@over_normals
def test_rows_of_all_kinds_make_one_likelihood(family):
    parts, loc, covariance = scipy_normals(family)
    low = np.array([[0.5, -INF, 1.0], [-INF, 0.2, -INF], [0.1, 0.4, -0.3], [-0.5, -1.0, -INF]])
    high = np.array([[0.5, 0.7, 1.0], [INF, INF, INF], [0.1, 0.4, -0.3], [0.5, -1.0, INF]])
    got = Mixture(Categorical(logits=LOGITS), parts).log_prob(Incomplete(tensor(low), tensor(high)))
    np.testing.assert_allclose(got, reference(loc, covariance, low, high), rtol=1e-8)


@pytest.mark.parametrize("family", ["diagonal", "spherical", "product"])
def test_several_intervals_in_a_row_multiply_where_dimensions_are_independent(family):
    parts, loc, covariance = scipy_normals(family)
    mixture = Mixture(Categorical(logits=LOGITS), parts)
    low, high = tensor([[-0.5, -INF, 0.0]] * N), tensor([[-0.5, INF, 1.5]] * N)
    if family == "product":
        low[:, 1], high[:, 1] = 0.3, 0.3
    else:
        low[:, 1], high[:, 1] = -1.0, 0.6
    weights = mixture.weights.numpy()
    expected = np.zeros((N, K))
    for d in range(D):
        normal = stats.norm(loc[..., d], np.sqrt(covariance[..., d, d]))
        a, b = low[0, d].item(), high[0, d].item()
        if family == "product" and d < 2:
            continue
        expected += np.log(normal.cdf(b) - normal.cdf(a)) if a < b else normal.logpdf(a)
    if family == "product":
        for n in range(N):
            for k in range(K):
                joint = stats.multivariate_normal(loc[n, k, :2], covariance[n, k, :2, :2])
                expected[n, k] += joint.logpdf([-0.5, 0.3])
    got = mixture.log_prob(Incomplete(low, high)).exp()
    np.testing.assert_allclose(got, (weights * np.exp(expected)).sum(-1), rtol=1e-9)


def test_two_intervals_of_correlated_dimensions_are_refused_with_the_row():
    parts, _, _ = scipy_normals("full")
    low, high = torch.zeros(N, D).double(), torch.zeros(N, D).double()
    high[2, :2] = 1.0
    with pytest.raises(InputError, match=r"^y must hold at most one interval per row.*row 3 holds 2"):
        Mixture(Categorical(logits=LOGITS), parts).log_prob(Incomplete(low, high))


ONE = {
    "normal": (DiagonalNormal(column(0.4), column(1.3)), stats.norm(0.4, 1.3)),
    "logistic": (Logistic(column(0.4), column(0.8)), stats.logistic(0.4, 0.8)),
    "laplace": (Laplace(column(0.4), column(0.8)), stats.laplace(0.4, 0.8)),
    "student": (StudentT(column(2.5), column(0.4), column(0.8)), stats.t(2.5, 0.4, 0.8)),
    "gamma": (Gamma(column(2.5), column(0.8)), stats.gamma(2.5, scale=0.8)),
    "lognormal": (LogNormal(column(0.4), column(0.8)), stats.lognorm(0.8, scale=math.exp(0.4))),
    "truncated": (Truncated(DiagonalNormal(column(0.0), column(1.0)), 0.0, INF), stats.halfnorm()),
}
over_families = pytest.mark.parametrize("name", ONE)


@over_families
def test_censored_targets_count_with_their_probability(name):
    parts, truth = ONE[name]
    mixture = single(parts)
    for y in (0.05, 0.9, 3.0):
        value, yes = tensor([[y]]), torch.ones(1, 1, dtype=torch.bool)
        left, right = Incomplete.censored(value, left=yes), Incomplete.censored(value, right=yes)
        assert mixture.log_prob(left).item() == pytest.approx(truth.logcdf(y), rel=1e-8)
        assert mixture.log_prob(right).item() == pytest.approx(truth.logsf(y), rel=1e-8)
        assert mixture.log_prob(Incomplete.censored(value)).item() == pytest.approx(truth.logpdf(y), rel=1e-8)
    between = mixture.log_prob(Incomplete(tensor([[0.3]]), tensor([[1.1]]))).item()
    assert between == pytest.approx(math.log(truth.cdf(1.1) - truth.cdf(0.3)), rel=1e-8)


@over_families
@pytest.mark.parametrize("step", [1e-9, 1e-4, 0.1, 2.0])
def test_a_rounded_target_counts_with_the_probability_of_its_cell(name, step):
    parts, truth = ONE[name]
    got = single(parts).log_prob(Incomplete.rounded(tensor([[1.4]]), step)).item()
    nodes, shares = np.polynomial.legendre.leggauss(32)
    low, high = max(1.4 - step / 2, max(truth.support()[0], -1e9)), 1.4 + step / 2
    y = (low + high) / 2 + (high - low) / 2 * nodes
    if step == 2.0 and name == "laplace":  # has a kink inside
        expected = truth.cdf(high) - truth.cdf(low)
    else:
        expected = ((high - low) / 2 * shares * truth.pdf(y)).sum()
    assert got == pytest.approx(math.log(expected), rel=1e-6, abs=1e-6)


def test_steps_of_rounding_may_differ_by_dimension():
    parts = DiagonalNormal(torch.zeros(1, 1, 2).double(), torch.ones(1, 1, 2).double())
    cell = Incomplete.rounded(tensor([[1.0, NAN]]), tensor([0.5, 2.0]))
    got = single(parts).log_prob(cell).exp().item()
    assert got == pytest.approx(stats.norm.cdf(1.25) - stats.norm.cdf(0.75))
    assert cell.known.tolist() == [[True, False]]


@pytest.mark.parametrize("name", ["normal", "logistic", "laplace"])
@pytest.mark.parametrize("far", [-50.0, 50.0])
def test_limits_fifty_scales_away_keep_their_digits(name, far):
    parts, truth = ONE[name]
    scale = parts.scale.item()
    limit = 0.4 + far * scale
    value, yes = tensor([[limit]]), torch.ones(1, 1, dtype=torch.bool)
    left = single(parts).log_prob(Incomplete.censored(value, left=yes)).item()
    right = single(parts).log_prob(Incomplete.censored(value, right=yes)).item()
    assert left == pytest.approx(truth.logcdf(limit), rel=1e-9, abs=1e-15)
    assert right == pytest.approx(truth.logsf(limit), rel=1e-9, abs=1e-15)
    cell = single(parts).log_prob(Incomplete(value - 0.01 * scale, value + 0.01 * scale)).item()
    assert cell == pytest.approx(truth.logpdf(limit) + math.log(0.02 * scale), abs=0.05)


@over_families
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_of_far_limits_are_finite_and_pull_towards_them(name, dtype):
    parts, _ = ONE[name]
    base = parts.base if isinstance(parts, Truncated) else parts
    leaves = {
        key: getattr(base, key).to(dtype).clone().expand(6, 1, 1).clone().requires_grad_() for key in base.parameters
    }
    family = type(base)(**leaves)
    components = Truncated(family, 0.0, INF) if isinstance(parts, Truncated) else family
    mixture = Mixture(Categorical(torch.ones(6, 1, dtype=dtype)), components)
    low = torch.tensor([[50.0], [-INF], [50.0], [-50.0], [1e30], [1.0]], dtype=dtype)
    high = torch.tensor([[INF], [-50.0], [50.1], [50.0], [INF], [1.0 + 1e-5]], dtype=dtype)
    total = mixture.log_prob(Incomplete(low, high))
    assert not total.isnan().any()
    total.sum().backward()
    for leaf in leaves.values():
        assert leaf.grad.isfinite().all()
    if name in ("normal", "logistic", "laplace"):
        assert leaves["loc"].grad[0].item() > 0
        assert leaves["loc"].grad[1].item() < 0


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_through_mixed_rows_are_exact(family):
    low = tensor([[0.5, -INF, 1.0], [-INF, 0.2, -INF], [0.1, 0.4, -0.3], [-0.5, -1.0, -INF]])
    high = tensor([[0.5, 0.7, 1.0], [INF, INF, INF], [0.1, 0.4, -0.3], [0.5, -1.0, INF]])
    parts, _, _ = scipy_normals(family)
    loc = uniform(-2, 2, N, K, D, seed=1).requires_grad_()

    def density(loc, logits):
        if family == "product":
            moved = Product(
                parts.blocks[0].with_values(loc=loc[..., :2]), parts.blocks[1].with_values(loc=loc[..., 2:])
            )
        else:
            moved = parts.with_values(loc=loc)
        return Mixture(Categorical(logits=logits, validate_args=False), moved).log_prob(Incomplete(low, high))

    assert torch.autograd.gradcheck(density, (loc, LOGITS.clone().requires_grad_()))


# --- atoms and counts ---


def tobit() -> Mixture:
    return single(Concatenation(PointMass(column(0.0)), DiagonalNormal(column(1.0), column(2.0))), 0.3, 0.7)


def test_a_limit_at_an_atom_includes_it():
    body = stats.norm(1, 2)
    value, yes = tensor([[0.0]]), torch.ones(1, 1, dtype=torch.bool)
    right, left = Incomplete.censored(value, right=yes), Incomplete.censored(value, left=yes)
    assert tobit().log_prob(right).exp().item() == pytest.approx(0.3 + 0.7 * body.sf(0))
    assert tobit().log_prob(left).exp().item() == pytest.approx(0.3 + 0.7 * body.cdf(0))
    assert tobit().log_prob(Incomplete(value, value)).exp().item() == pytest.approx(0.3)
    beside = Incomplete(tensor([[1e-9]]), tensor([[2.0]]))
    assert tobit().log_prob(beside).exp().item() == pytest.approx(0.7 * (body.cdf(2) - body.cdf(0)))
    around = Incomplete(tensor([[-1.0]]), tensor([[2.0]]))
    assert tobit().log_prob(around).exp().item() == pytest.approx(0.3 + 0.7 * (body.cdf(2) - body.cdf(-1)))
    missing = Incomplete.missing(tensor([[NAN]]))
    assert tobit().log_prob(missing).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("atom", "ends"),
    [
        (torch.float32, torch.float64),
        (torch.float64, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_a_limit_at_an_atom_includes_it_in_either_precision(atom, ends):
    mixture = single(PointMass(column(0.3, 5.0, dtype=atom)), 0.4, 0.6)
    limit, far = torch.tensor([[0.3]], dtype=ends), torch.tensor([[INF]], dtype=ends)
    assert mixture.log_prob(Incomplete(limit, far)).exp().item() == pytest.approx(1.0)
    assert mixture.log_prob(Incomplete(-far, limit)).exp().item() == pytest.approx(0.4)
    assert mixture.log_prob(Incomplete(limit, limit)).exp().item() == pytest.approx(0.4)


def test_limits_of_counts_include_their_ends():
    mixture, truth = single(Poisson(column(4.0))), stats.poisson(4)
    for low, high, expected in (
        (3, INF, truth.sf(2)),
        (-INF, 3, truth.cdf(3)),
        (2, 5, truth.cdf(5) - truth.cdf(1)),
        (0, INF, 1.0),
        (4, 4, truth.pmf(4)),
        (2.5, 5.5, truth.cdf(5) - truth.cdf(2)),
    ):
        got = mixture.log_prob(Incomplete(tensor([[low]]), tensor([[high]]))).exp().item()
        assert got == pytest.approx(expected), (low, high)
    empty = mixture.log_prob(Incomplete(tensor([[2.1]]), tensor([[2.9]])))
    assert empty.exp().item() == pytest.approx(0, abs=1e-300)


def test_inflated_outputs_of_which_one_is_missing_keep_the_measure():
    zeros = Product(DiagonalNormal(column(-1.0), column(0.5)), PointMass(column(0.0)))
    amounts = DiagonalNormal(tensor([[[1.0, 2.0]]]), tensor([[[1.0, 0.5]]]))
    mixture = single(Concatenation(zeros, amounts), 0.4, 0.6)
    got = mixture.log_prob(Incomplete.missing(tensor([[NAN, 0.0]]))).item()
    assert got == pytest.approx(math.log(0.4))
    got = mixture.log_prob(Incomplete.missing(tensor([[0.3, NAN]]))).exp().item()
    assert got == pytest.approx(0.4 * stats.norm(-1, 0.5).pdf(0.3) + 0.6 * stats.norm(1, 1).pdf(0.3))
    got = mixture.log_prob(Incomplete(tensor([[0.3, 0.0]]), tensor([[0.3, INF]]))).exp().item()
    assert got == pytest.approx(
        0.4 * stats.norm(-1, 0.5).pdf(0.3) + 0.6 * stats.norm(1, 1).pdf(0.3) * stats.norm(2, 0.5).sf(0)
    )


def test_gradients_are_finite_where_an_interval_is_impossible():
    logits = torch.zeros(1, 2).double().requires_grad_()
    loc, scale = column(0.0).requires_grad_(), column(1.0).requires_grad_()
    parts = Concatenation(PointMass(column(3.0)), Truncated(DiagonalNormal(loc, scale), 0.0, 1.0))
    total = Mixture(Categorical(logits=logits), parts).log_prob(Incomplete(tensor([[5.0]]), tensor([[6.0]])))
    assert total.exp().item() == pytest.approx(0, abs=1e-300)
    total.sum().backward()
    assert all(leaf.grad.isfinite().all() for leaf in (logits, loc, scale))


# --- what users rely on around it ---


def test_scores_and_losses_take_incomplete_targets():
    parts, _, _ = scipy_normals("diagonal")
    mixture = Mixture(Categorical(logits=LOGITS), parts)
    y = uniform(-2, 2, N, D, seed=5)
    y[1, 2] = NAN
    targets = Incomplete.missing(y)
    expected = -mixture.log_prob(targets)
    torch.testing.assert_close(metrics.log_score(mixture, targets), expected)
    torch.testing.assert_close(objectives.nll(mixture, targets), expected.mean())
    weight = uniform(0.5, 1.5, N)
    torch.testing.assert_close(objectives.nll(mixture, targets, weight), (expected * weight).mean())
    share = mixture.responsibilities(targets)
    torch.testing.assert_close(share.sum(-1), torch.ones(N, dtype=torch.float64))


@pytest.mark.parametrize("shape", [(N, 2), (N + 1, D), (D,)])
def test_targets_of_another_shape_are_refused(shape):
    parts, _, _ = scipy_normals("diagonal")
    with pytest.raises(InputError, match=rf"^y must have shape \(\.\.\., {N}, {D}\)"):
        Mixture(Categorical(logits=LOGITS), parts).log_prob(Incomplete.missing(torch.zeros(shape).double()))


def test_ends_out_of_order_of_other_shapes_or_nan_are_refused():
    with pytest.raises(InputError) as caught:
        Incomplete(tensor([[1.0, 0.0], [0.0, 3.0]]), tensor([[1.0, 0.0], [0.0, 2.0]]))
    assert str(caught.value) == "low must be <= high everywhere; got 3 and 2 at (1, 1)."
    with pytest.raises(InputError) as caught:
        Incomplete(torch.zeros(2, 1), torch.zeros(2, 2))
    assert str(caught.value) == "high must have shape (2, 1) to match low; got (2, 2)."
    for low, high in ((NAN, 1.0), (1.0, NAN)):
        with pytest.raises(InputError, match="^low must be <= high everywhere; got .*nan"):
            Incomplete(tensor([[low]]), tensor([[high]]))
    with pytest.raises(InputError) as caught:
        Incomplete.rounded(torch.zeros(2, 1), 0.0)
    assert str(caught.value) == "step must be > 0; got 0.0."
    with pytest.raises(InputError):
        Incomplete.rounded(torch.zeros(2, 1), NAN)


@pytest.mark.parametrize("end", [-INF, INF])
def test_an_infinite_exact_value_has_no_density(end):
    mixture = single(LogNormal(column(0.0, 1.0), column(1.0, 1.0)), 0.5, 0.5)
    assert mixture.log_prob(Incomplete(tensor([[end]]), tensor([[end]]))).item() == -INF


def test_masks_of_another_shape_are_refused_with_a_sentence():
    with pytest.raises(InputError):
        Incomplete.censored(torch.zeros(3, 1), right=torch.ones(2, 1, dtype=torch.bool))


def test_integer_targets_that_were_rounded_keep_their_cells():
    cell = Incomplete.rounded(torch.tensor([[3]]).double(), 1)
    assert (cell.low.item(), cell.high.item()) == (2.5, 3.5)


def test_rows_points_and_casts_follow_the_ends():
    y = tensor([[1.0, NAN], [2.0, 4.0], [NAN, 8.0]])
    targets = Incomplete.censored(y, right=tensor([[0, 0], [0, 1], [0, 0]]).bool())
    assert targets.shape == (3, 2)
    assert len(targets) == 3
    assert targets[1:].low.tolist() == [[2.0, 4.0], [-INF, 8.0]]
    assert targets[[0]].high.tolist() == [[1.0, INF]]
    assert targets.points().tolist() == [[1.0, 6.0], [2.0, 4.0], [1.5, 8.0]]
    assert targets.to(torch.float32).low.dtype == torch.float32
    assert targets.known.tolist() == [[True, False], [True, True], [False, True]]
    scaled = targets.map(lambda end: 2 * end + 1)
    assert scaled.low[1].tolist() == [5.0, 9.0]
    assert scaled.high[1].tolist() == [5.0, INF]


def test_a_batch_without_rows_is_no_special_case():
    parts = DiagonalNormal(torch.zeros(0, 2, 3), torch.ones(0, 2, 3))
    mixture = Mixture(Categorical(torch.ones(0, 2), validate_args=False), parts)
    assert mixture.log_prob(Incomplete.missing(torch.zeros(0, 3))).shape == (0,)


def test_samples_in_front_are_broadcast():
    parts, _, _ = scipy_normals("full")
    mixture = Mixture(Categorical(logits=LOGITS), parts)
    y = uniform(-2, 2, 5, N, D, seed=5)
    y[:, :, 1] = NAN
    expected = mixture.marginal([0, 2]).log_prob(y[..., [0, 2]])
    torch.testing.assert_close(mixture.log_prob(Incomplete.missing(y)), expected)
