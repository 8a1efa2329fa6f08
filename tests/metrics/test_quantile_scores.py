import numpy as np
import pytest
import scoringrules
import torch
from scipy import stats

from manymodes import metrics
from manymodes._checks import InputError
from manymodes.distributions import Concatenation, DiagonalNormal, Laplace, PointMass, Poisson, VonMises

from .references import at, column, mixed
from .test_scores import make


@pytest.mark.parametrize("level", [0.01, 0.5, 0.9, 0.999])
def test_interval_scores_match_an_independent_library(level):
    mixture, y = make(n=50, d=2)
    low, high = mixture.central_interval(level)
    expected = scoringrules.interval_score(y.numpy(), low.numpy(), high.numpy(), 1 - level)
    np.testing.assert_allclose(metrics.interval_score(mixture, y, level), expected, rtol=1e-12)


def test_the_interval_score_of_a_normal_is_known():
    got = metrics.interval_score(mixed(DiagonalNormal(column(1.0), column(2.0))), at(7.0), 0.9)
    reach = 2 * stats.norm.ppf(0.95)
    assert got.item() == pytest.approx(2 * reach + 20 * (6 - reach), rel=1e-12)


def test_pinball_losses_match_an_independent_library():
    mixture, y = make(n=50, d=2)
    levels = [0.05, 0.3, 0.95]
    each = [scoringrules.quantile_score(y.numpy(), mixture.icdf(level).numpy(), level) for level in levels]
    np.testing.assert_allclose(metrics.pinball_loss(mixture, y, levels), np.mean(each, 0), rtol=1e-12)
    np.testing.assert_allclose(metrics.pinball_loss(mixture, y, 0.3), each[1], rtol=1e-12)


def test_twice_the_mean_pinball_loss_of_many_levels_is_near_the_crps():
    mixture, y = make(n=5)
    levels = (np.arange(200) + 0.5) / 200
    got = 2 * metrics.pinball_loss(mixture, y, list(levels))
    torch.testing.assert_close(got, metrics.marginal_crps(mixture, y), rtol=1e-3, atol=0)


def test_the_brier_score_is_the_squared_error_of_a_probability():
    mixture = mixed(Concatenation(PointMass(column(0.0)), Laplace(column(1.0), column(0.5))), 0.3, 0.7)
    rest = stats.laplace(1.0, 0.5)
    p = 0.3 + 0.7 * (rest.cdf(1.2) - rest.cdf(0.0))
    for y, happened in ((0.0, 1), (1.2, 1), (1.3, 0), (-0.1, 0)):
        assert metrics.brier_score(mixture, at(y), 0.0, 1.2).item() == pytest.approx((p - happened) ** 2, rel=1e-12)
    above = 0.7 * rest.sf(0.5)
    assert metrics.brier_score(mixture, at(0.2), low=0.5).item() == pytest.approx(above**2, rel=1e-12)


def test_brier_scores_take_ends_of_each_row_and_dimension():
    mixture, y = make(n=20, d=2)
    low = y - 0.1
    got = metrics.brier_score(mixture, y, low, low + 0.05)
    torch.testing.assert_close(got, mixture.probability(low, low + 0.05).square())


def test_quantile_scores_are_lowest_on_average_for_the_true_distribution():
    # 20,000 draws; paired differences exceed 5 standard errors, a false alarm in 10^6 seeds.
    mixture, _ = make(n=1)
    y = mixture.sample((20_000,), generator=torch.Generator().manual_seed(11))
    for score in (metrics.interval_score, lambda m, y: metrics.pinball_loss(m, y, 0.8)):
        for wrong in (mixture.affine(0.3, 1.0), mixture.affine(0.0, 1.3)):
            gap = score(wrong, y) - score(mixture, y)
            assert gap.mean() > 5 * gap.std() / len(gap) ** 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, y: metrics.interval_score(m, y, 1.0), "level must be a number > 0 and < 1; got 1.0."),
        (lambda m, y: metrics.pinball_loss(m, y, [0.5, 0.0]), "levels must be a number > 0 and < 1; got 0.0."),
        (lambda m, y: metrics.pinball_loss(m, y, []), "levels must hold at least 1 level; got none."),
        (lambda m, y: metrics.brier_score(m, y, 2.0, 1.0), "low must be <= high; got 2 and 1 at (0, 0)."),
    ],
)
def test_levels_and_events_that_cannot_be_are_refused(call, message):
    with pytest.raises(InputError) as caught:
        call(mixed(Poisson(column(2.0))), at(1.0))
    assert str(caught.value) == message


def test_intervals_of_angles_are_refused():
    with pytest.raises(InputError, match=r"^interval_score needs targets on a line; got an angle\.$"):
        metrics.interval_score(mixed(VonMises(column(0.0), column(1.0))), at(0.0))
