from itertools import pairwise

import numpy as np
import pytest
import scoringrules
import torch
from scipy import integrate, stats
from torch.distributions import Categorical

from manymodes import metrics
from manymodes._checks import InputError
from manymodes.distributions import FullNormal, Laplace, LowRankNormal, Mixture
from manymodes.metrics.variogram import _absolute_moment

from .references import DOUBLE
from .test_scores import make


def correlated(n=20, seed=0) -> tuple[Mixture, torch.Tensor]:
    mixture, y = make(n=n, k=3, d=3, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    scale = mixture.components.scale
    lower = torch.diag_embed(scale) + torch.randn(n, 3, 3, 3, generator=generator, **DOUBLE).tril(-1)
    return mixture.with_components(FullNormal(mixture.components.loc, lower)), y


@pytest.mark.parametrize("p", [0.3, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("ratio", [0.0, 0.3, 3.0, 29.0, 31.0, 1e5])
def test_absolute_moments_of_normals_match_quadrature(p, ratio):
    def f(z):
        return abs(ratio + z) ** p * stats.norm.pdf(z)

    corner = [-ratio] if ratio < 12 else []
    edges = sorted([-12.0, 0.0, 12.0, *corner])
    expected = sum(integrate.quad(f, a, b, epsabs=0, epsrel=1e-11)[0] for a, b in pairwise(edges))
    got = _absolute_moment(torch.tensor(ratio * 1e-3, **DOUBLE), torch.tensor(1e-3, **DOUBLE), p)
    assert got.item() == pytest.approx(expected * 1e-3**p, rel=1e-8)


def test_the_variogram_of_the_second_order_is_that_of_means_and_variances():
    mixture, y = correlated()
    samples = [(0, 1), (0, 2), (1, 2)]
    loc, covariance = mixture.components.mean, mixture.components.covariance_matrix
    expected = torch.zeros(len(y), **DOUBLE)
    for i, j in samples:
        spread = covariance[..., i, i] + covariance[..., j, j] - 2 * covariance[..., i, j]
        moment = (mixture.weights * ((loc[..., i] - loc[..., j]).square() + spread)).sum(-1)
        expected += 2 * ((y[:, i] - y[:, j]).square() - moment).square()
    torch.testing.assert_close(metrics.variogram_score(mixture, y, 2.0), expected)


@pytest.mark.parametrize("p", [0.5, 1.0])
def test_exact_variogram_scores_match_an_independent_library_on_many_samples(p):
    mixture, y = correlated(n=5)
    samples = mixture.sample((100_000,), generator=torch.Generator().manual_seed(0)).movedim(0, 1)
    expected = scoringrules.vs_ensemble(y.numpy(), samples.numpy(), p=p)
    got = metrics.variogram_score(mixture, y, p).numpy()
    np.testing.assert_allclose(got, expected, rtol=0.03, atol=0.03 * expected.mean())


def test_covariances_of_low_rank_count_too():
    mixture, y = correlated()
    generator = torch.Generator().manual_seed(1)
    factor = torch.randn(20, 3, 3, 2, generator=generator, **DOUBLE)
    low_rank = LowRankNormal(mixture.components.loc, factor, mixture.components.loc.abs() + 0.1)
    full = FullNormal(low_rank.loc, torch.linalg.cholesky(low_rank.covariance_matrix))
    torch.testing.assert_close(
        metrics.variogram_score(mixture.with_components(low_rank), y),
        metrics.variogram_score(mixture.with_components(full), y),
    )


def test_estimates_from_samples_are_unbiased():
    # 200 estimates of 20 rows: their mean is within 4 standard errors of the exact score, a false alarm in 800 seeds.
    mixture, y = correlated()
    exact = metrics.variogram_score(mixture, y)
    shifted = mixture.with_components(Laplace(mixture.components.loc, mixture.components.stddev))
    generator = torch.Generator().manual_seed(5)
    many = torch.stack([metrics.variogram_score(shifted, y, n_samples=20, generator=generator) for _ in range(300)])
    sample = shifted.sample((40_000,), generator=torch.Generator().manual_seed(0)).movedim(0, 1)
    expected = torch.from_numpy(scoringrules.vs_ensemble(y.numpy(), sample.numpy(), p=0.5))
    error = many.std(0) / len(many) ** 0.5
    assert ((many.mean(0) - expected).abs() < 4 * error + 0.02 * expected).all()
    assert not torch.allclose(exact, expected, rtol=0.02)


def test_weights_choose_pairs():
    mixture, y = correlated()
    weights = torch.zeros(3, 3)
    weights[0, 2] = 0.5
    got = metrics.variogram_score(mixture, y, weights=weights)
    pair = metrics.variogram_score(mixture.marginal([0, 2]), y[:, [0, 2]])
    torch.testing.assert_close(got, 0.25 * pair)


def test_wrong_correlations_score_worse():
    # 5,000 draws; the paired difference exceeds 5 standard errors.
    lower = torch.tensor([[1.0, 0.0], [0.8, 0.6]], **DOUBLE).expand(1, 1, 2, 2)
    mixture = Mixture(Categorical(torch.ones(1, 1, **DOUBLE)), FullNormal(torch.zeros(1, 1, 2, **DOUBLE), lower))
    wrong = mixture.with_components(FullNormal(mixture.components.loc, torch.eye(2, **DOUBLE).expand(1, 1, 2, 2)))
    y = mixture.sample((5000,), generator=torch.Generator().manual_seed(3))[:, 0]
    gap = metrics.variogram_score(wrong.expand((5000,)), y) - metrics.variogram_score(mixture.expand((5000,)), y)
    assert gap.mean() > 5 * gap.std() / len(gap) ** 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"p": 0.0}, "p must be a number > 0 and <= 2; got 0.0."),
        ({"weights": torch.ones(2, 2)}, "weights must have shape (3, 3) to match the target dimensions; got (2, 2)."),
        ({"weights": -torch.ones(3, 3)}, "weights must be >= 0; got -1."),
        ({"n_samples": 1}, "n_samples must be an integer >= 2; got 1."),
    ],
)
def test_settings_that_cannot_be_are_refused(arguments, message):
    mixture, y = correlated()
    with pytest.raises(InputError) as caught:
        metrics.variogram_score(mixture, y, **arguments)
    assert str(caught.value) == message


def test_one_target_dimension_is_refused():
    mixture, y = make()
    with pytest.raises(InputError) as caught:
        metrics.variogram_score(mixture, y)
    assert str(caught.value) == "distribution must have at least 2 target dimensions for variogram_score; got 1."
