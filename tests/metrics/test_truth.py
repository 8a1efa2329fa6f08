"""Distances from the truth, beside closed forms, SciPy's quadrature and samples."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats
from torch.distributions import Categorical

from manymodes import datasets, metrics
from manymodes._checks import InputError
from manymodes.distributions import (
    Concatenation,
    DiagonalNormal,
    FullNormal,
    Mixture,
    Poisson,
    StudentT,
    Transformed,
    VonMises,
    pool,
)
from manymodes.distributions.transforms import Log

from .references import column, mixed
from .simulated import beside_an_atom, bimodal, counts, normal, shifted, stretched

DOUBLE = {"dtype": torch.float64}
EVERY = (metrics.regret, metrics.hellinger, metrics.wasserstein)


def normals(*parts: tuple[float, float]) -> Mixture:
    """One normal a row, of means and standard deviations."""
    loc, scale = torch.tensor(parts, **DOUBLE).T.reshape(2, -1, 1, 1)
    return Mixture(Categorical(torch.ones(len(parts), 1, **DOUBLE)), DiagonalNormal(loc, scale))


def joint(n: int, shift: float, dims: int = 3) -> Mixture:
    """One normal a row in several dimensions, correlated, away from the origin."""
    lower = torch.eye(dims, **DOUBLE) + 0.3 * torch.ones(dims, dims, **DOUBLE).tril(-1)
    components = FullNormal(torch.full((n, 1, dims), shift, **DOUBLE), lower.expand(n, 1, dims, dims))
    return Mixture(Categorical(torch.ones(n, 1, **DOUBLE)), components)


# --- one dimension ---


def test_distances_of_normals_are_those_of_their_closed_forms():
    truth = normals((0, 1), (0, 1), (1, 2), (0, 1e-4), (5e6, 3))
    prediction = normals((1, 1), (0, 3), (0, 0.5), (2e-4, 3e-4), (5e6 + 1, 3))
    (m, s), (l, t) = ((p.mean[:, 0], p.stddev[:, 0]) for p in (truth, prediction))
    divergence = (t / s).log() + (s.square() + (m - l).square()) / (2 * t.square()) - 0.5
    torch.testing.assert_close(metrics.regret(prediction, truth), divergence, rtol=1e-9, atol=0)
    overlap = (2 * s * t / (s**2 + t**2)).sqrt() * (-0.25 * (m - l) ** 2 / (s**2 + t**2)).exp()
    torch.testing.assert_close(metrics.hellinger(prediction, truth), (1 - overlap).sqrt(), rtol=1e-9, atol=0)
    moved = metrics.wasserstein(prediction, truth)
    torch.testing.assert_close(moved[[0, 4]], torch.ones(2, **DOUBLE), rtol=1e-9, atol=0)
    assert moved[1].item() == pytest.approx(2 * math.sqrt(2 / math.pi), rel=1e-9)  # |t - s| E|Z|


def test_distances_keep_their_digits_where_both_are_all_but_the_same():
    shift = torch.tensor([1e-7, 1e-5, 1e-3], **DOUBLE)
    truth, prediction = normals(*[(0, 1)] * 3), normals(*[(float(d), 1.0) for d in shift])
    torch.testing.assert_close(metrics.regret(prediction, truth), shift**2 / 2, rtol=1e-6, atol=1e-15)
    torch.testing.assert_close(metrics.hellinger(prediction, truth), shift / math.sqrt(8), rtol=1e-6, atol=3e-8)
    torch.testing.assert_close(metrics.wasserstein(prediction, truth), shift, rtol=1e-6, atol=0)


@pytest.mark.parametrize("metric", EVERY)
def test_the_truth_is_no_way_from_itself_however_it_is_written(metric):
    truth = bimodal(6)
    for same in (truth, pool([truth, truth]), truth.to(torch.float32)):
        assert metric(same, truth).max().item() < 1e-6


@pytest.mark.parametrize("metric", EVERY)
def test_scales_from_tiny_to_huge_make_no_difference(metric):
    truth = bimodal(3)
    prediction = stretched(truth, 1.7)
    expected = metric(prediction, truth)
    for unit in (1e-6, 1e6):
        found = metric(prediction.affine(3 * unit, unit), truth.affine(3 * unit, unit))
        torch.testing.assert_close(found, expected * (unit if metric is metrics.wasserstein else 1), rtol=1e-8, atol=0)


def test_distances_agree_with_scipys_quadrature():
    truth, prediction = (
        mixed(StudentT(column(3.0), column(0.0), column(1.0))),
        mixed(DiagonalNormal(column(-1.0, 1.5), column(0.6, 2.0)), 0.3, 0.7),
    )
    p = stats.t(3)
    q = [(0.3, stats.norm(-1, 0.6)), (0.7, stats.norm(1.5, 2))]

    def density(z):
        return sum(w * part.pdf(z) for w, part in q)

    def log_density(z):
        return np.logaddexp.reduce([np.log(w) + part.logpdf(z) for w, part in q])

    def whole(f):
        ends = [-np.inf, -5, -1, 0, 1, 5, np.inf]
        return sum(integrate.quad(f, a, b, epsabs=1e-13, limit=500)[0] for a, b in itertools.pairwise(ends))

    divergence = whole(lambda z: p.pdf(z) * (p.logpdf(z) - log_density(z)))
    assert metrics.regret(prediction, truth).item() == pytest.approx(divergence, rel=1e-8)
    square = whole(lambda z: 0.5 * (np.sqrt(p.pdf(z)) - np.sqrt(density(z))) ** 2)
    assert metrics.hellinger(prediction, truth).item() == pytest.approx(math.sqrt(square), rel=1e-9)
    moved = whole(lambda z: abs(p.cdf(z) - sum(w * part.cdf(z) for w, part in q)))
    assert metrics.wasserstein(prediction, truth).item() == pytest.approx(moved, rel=1e-7)


def test_the_regret_is_the_mean_excess_of_the_log_score():
    # Five standard errors: a false alarm for one seed in a million.
    X, y, density = datasets.make_toy_inverse(400, return_density=True, random_state=0)
    truth, target = density(X), torch.from_numpy(y)[:, None]
    prediction = stretched_to(truth)
    excess = metrics.log_score(prediction, target) - metrics.log_score(truth, target)
    error = excess.std() / math.sqrt(len(excess))
    assert (metrics.regret(prediction, truth).mean() - excess.mean()).abs() < 5 * error


def stretched_to(truth: Mixture) -> Mixture:
    """One normal for each row, of the right mean and standard deviation."""
    loc, scale = truth.mean.unsqueeze(-2), truth.stddev.unsqueeze(-2)
    return Mixture(Categorical(torch.ones(len(loc), 1, **DOUBLE)), DiagonalNormal(loc, scale))


def test_known_densities_are_compared_beside_scipy():
    truth = datasets.make_skew_normal(1, return_density=True)[2]([[0.5]])
    prediction = stretched_to(truth)
    shape = -4 + 4 / (1 + math.exp(-0.5))
    p = stats.skewnorm(shape, loc=0.05, scale=0.075)
    q = stats.norm(prediction.mean.item(), prediction.stddev.item())

    def whole(f):
        return sum(integrate.quad(f, a, b, epsabs=1e-14, limit=300)[0] for a, b in ((-0.9, 0), (0, 0.1), (0.1, 0.6)))

    divergence = whole(lambda z: p.pdf(z) * (p.logpdf(z) - q.logpdf(z)))
    assert metrics.regret(prediction, truth).item() == pytest.approx(divergence, rel=1e-8)
    moved = whole(lambda z: abs(p.cdf(z) - q.cdf(z)))
    assert metrics.wasserstein(prediction, truth).item() == pytest.approx(moved, rel=1e-8)


def test_what_a_prediction_takes_for_impossible_costs_everything_or_as_much_as_it_is():
    boxes = datasets.make_inverse_sinusoid(1, return_density=True)[2]
    truth, narrow = boxes([[0.5]]), datasets.make_inverse_sinusoid(1, noise=0.05, return_density=True)[2]([[0.5]])
    assert metrics.regret(narrow, truth).item() == math.inf
    low, high = truth.components.low, truth.components.high
    length = float((high - low)[0, 0])  # of one interval, of which the narrow one keeps three parts
    kept = float(torch.where(narrow.weights > 0, (narrow.components.high - narrow.components.low)[..., 0], 0.0).sum())
    assert metrics.regret(truth, narrow).item() == pytest.approx(math.log(length / kept), rel=1e-8)
    overlap = math.sqrt(kept / length)
    assert metrics.hellinger(truth, narrow).item() == pytest.approx(math.sqrt(1 - overlap), rel=1e-8)
    assert metrics.hellinger(normals((0, 1)), normals((1e3, 1))).item() == pytest.approx(1.0, abs=1e-12)


def test_probability_moves_between_atoms_and_counts_too():
    truth = normals((0, 1))
    assert metrics.wasserstein(beside_an_atom(1).affine(1, 1)[:1], truth).item() > 0
    point = mixed(Concatenation(DiagonalNormal(column(0.0), column(1.0)), Poisson(column(2.0))), 1.0, 0.0)
    assert metrics.wasserstein(point, truth).item() < 1e-9


def test_a_distance_without_end_is_infinite():
    heavy = mixed(Transformed(StudentT(column(3.0), column(0.0), column(1.0)), Log()))
    assert metrics.wasserstein(normals((0, 1)), heavy).item() == math.inf


def test_angles_are_compared_on_the_circle_but_not_moved():
    truth, prediction = (mixed(VonMises(column(loc), column(2.0))) for loc in (3.1, -3.1))
    ratio = metrics.regret(prediction, truth).item()
    gap = 2 * math.pi - 6.2
    assert ratio == pytest.approx(2 * special.iv(1, 2) / special.iv(0, 2) * (1 - math.cos(gap)), rel=1e-8)
    with pytest.raises(InputError, match=r"^wasserstein needs targets on a line; got an angle\.$"):
        metrics.wasserstein(prediction, truth)


# --- several dimensions ---


def test_joint_densities_are_compared_at_samples():
    # Six standard errors.
    truth, prediction = joint(4, 0.0), joint(4, 0.4)
    lower = truth.components.scale_tril[0, 0]
    gap = torch.linalg.solve_triangular(lower, torch.full((3, 1), 0.4, **DOUBLE), upper=False).square().sum().item()
    regret = metrics.regret(prediction, truth, n_samples=4000)
    assert (regret - gap / 2).abs().max().item() < 6 * math.sqrt(gap / 4000)
    distance = math.sqrt(1 - math.exp(-gap / 8))
    found = metrics.hellinger(prediction, truth, n_samples=4000)
    assert (found - distance).abs().max().item() < 6 * 0.5 / math.sqrt(8000)
    assert metrics.hellinger(truth, truth).max().item() == 0
    generator = torch.Generator().manual_seed(3)
    assert (metrics.regret(prediction, truth, generator=generator) != regret).all()


def test_marginals_are_moved_one_by_one():
    truth, prediction = joint(2, 0.0), joint(2, 0.4)
    torch.testing.assert_close(
        metrics.wasserstein(prediction, truth), torch.full((2,), 1.2, **DOUBLE), rtol=1e-9, atol=0
    )


# --- shapes and bad input ---


@pytest.mark.parametrize("metric", EVERY)
def test_any_batch_has_one_number_a_row(metric):
    truth = normal(6)
    prediction = shifted(truth, 0.5)
    expected = metric(prediction, truth)
    assert expected.shape == (6,)
    square = [
        Mixture(
            Categorical(part.weights.reshape(2, 3, 1)),
            DiagonalNormal(part.components.loc.reshape(2, 3, 1, 1), part.components.scale.reshape(2, 3, 1, 1)),
        )
        for part in (prediction, truth)
    ]
    torch.testing.assert_close(metric(*square), expected.reshape(2, 3))
    assert metric(prediction[:0], truth[:0]).shape == (0,)


@pytest.mark.parametrize("metric", EVERY)
def test_what_does_not_fit_is_refused(metric):
    with pytest.raises(InputError) as caught:
        metric(normal(3), normal(2))
    assert str(caught.value) == "targets of truth must have shape (3, 1) to match those of distribution; got (2, 1)."
    with pytest.raises(TypeError, match=r"^truth must be a Prediction; got ndarray\.$"):
        metric(normal(3), np.zeros((3, 1)))
    if metric is not metrics.wasserstein:
        with pytest.raises(InputError, match=rf"^{metric.__name__} needs densities; got counts or atoms\.$"):
            metric(counts(2), normal(2))
        with pytest.raises(InputError, match=r"^n_samples must be an integer >= 1; got 0\.$"):
            metric(normal(2), normal(2), n_samples=0)
