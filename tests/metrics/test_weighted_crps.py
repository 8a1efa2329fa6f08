"""CRPS with weights on places and on levels: against SciPy's cdfs, and integrals of pinball losses."""

import numpy as np
import pytest
import torch
from scipy import stats

from manymodes import metrics
from manymodes._checks import InputError
from manymodes.distributions import (
    Concatenation,
    DiagonalNormal,
    Laplace,
    PointMass,
    Poisson,
    StudentT,
    VonMises,
)

from .references import at, cdf_distance, column, integral, knots, mixed


def test_without_weights_the_weighted_scores_are_the_crps():
    mixture = mixed(Concatenation(PointMass(column(0.0)), Laplace(column(1.0), column(0.5))), 0.3, 0.7)
    expected = metrics.crps(mixture, at(0.4))[:, None]
    torch.testing.assert_close(metrics.threshold_weighted_crps(mixture, at(0.4)), expected)
    torch.testing.assert_close(metrics.quantile_weighted_crps(mixture, at(0.4), torch.ones_like), expected)


@pytest.mark.parametrize("y", [-3.0, 0.5, 1.7, 9.0])
@pytest.mark.parametrize(("low", "high"), [(0.0, 2.0), (1.0, np.inf), (-np.inf, 1.0), (4.0, 5.0)])
def test_threshold_weighted_crps_matches_scipys_cdf(y, low, high):
    mixture = mixed(StudentT(column(4.0), column(0.3), column(0.7)))
    rv = stats.t(4, 0.3, 0.7)
    got = metrics.threshold_weighted_crps(mixture, at(y), low=low, high=high, weight=lambda z: 1 / (1 + z.square()))
    expected = cdf_distance(rv.cdf, rv.sf, knots(rv), y, weight=lambda z: 1 / (1 + z**2), low=low, high=high)
    assert got.item() == pytest.approx(expected, rel=1e-8, abs=1e-14)


def test_ranges_that_share_the_line_share_the_crps():
    mixture, y = mixed(DiagonalNormal(column(-1.0, 2.0), column(0.5, 1.0)), 0.3, 0.7), at(0.7)
    parts = [
        metrics.threshold_weighted_crps(mixture, y, low=a, high=b) for a, b in ((-np.inf, 0), (0, 1.5), (1.5, np.inf))
    ]
    torch.testing.assert_close(sum(parts)[:, 0], metrics.crps(mixture, y))


def test_threshold_weighted_crps_of_counts_weighs_the_cells_between_integers():
    count = stats.poisson(3.7)
    got = metrics.threshold_weighted_crps(mixed(Poisson(column(3.7))), at(5.0), low=2.5, weight=lambda z: (-z).exp())
    expected = cdf_distance(
        count.cdf, count.sf, np.append(np.arange(80), 2.5), 5.0, weight=lambda z: np.exp(-z), low=2.5
    )
    assert got.item() == pytest.approx(expected, rel=1e-10)


def test_quantile_weighted_crps_is_the_weighted_integral_of_pinball_losses():
    mixture, y = mixed(DiagonalNormal(column(-1.0, 2.0), column(0.5, 1.0)), 0.3, 0.7), at(0.7)
    density = lambda z: mixture.log_prob(torch.from_numpy(z).reshape(-1, 1, 1)).exp().reshape(z.shape).numpy()  # noqa: E731
    level = lambda z: mixture.cdf(torch.from_numpy(z).reshape(-1, 1, 1)).reshape(z.shape).numpy()  # noqa: E731
    edges = np.append(knots(stats.norm(-1, 0.5), stats.norm(2, 1)), 0.7)
    for weight in (torch.square, lambda a: a * (1 - a), lambda a: (2 * a - 1) ** 2):

        def losses(q, weight=weight):  # the quantiles q are integrated over, so levels count with the density
            a = level(q)
            v = weight(torch.from_numpy(a)).numpy()
            return 2 * v * ((q >= 0.7) - a) * (q - 0.7) * density(q)

        got = metrics.quantile_weighted_crps(mixture, y, weight)
        assert got.item() == pytest.approx(integral(losses, edges), rel=1e-9)


def test_weighted_scores_of_counts_are_those_of_their_cdf():
    count = stats.poisson(3.7)
    got = metrics.quantile_weighted_crps(mixed(Poisson(column(3.7))), at(5.0), torch.square)
    expected = cdf_distance(
        count.cdf,
        count.sf,
        np.arange(80),
        5.0,
        below=lambda p: p**4 / 2,
        above=lambda q: q**2 * (1 - 4 * q / 3 + q**2 / 2),
    )
    assert got.item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda m, y: metrics.threshold_weighted_crps(m, y, low=1.0, high=1.0),
            InputError,
            "high must be a number > 1; got 1.0.",
        ),
        (
            lambda m, y: metrics.threshold_weighted_crps(m, y, low=torch.nan),
            InputError,
            "low must be a number >= -inf; got nan.",
        ),
        (
            lambda m, y: metrics.threshold_weighted_crps(m, y, weight=lambda z: -torch.ones_like(z)),
            InputError,
            "weight must return numbers >= 0; got -1.",
        ),
        (
            lambda m, y: metrics.quantile_weighted_crps(m, y, 0.5),
            TypeError,
            "weight must be a function of a tensor; got float.",
        ),
    ],
)
def test_weights_that_cannot_be_are_refused(call, error, message):
    with pytest.raises(error) as caught:
        call(mixed(Laplace(column(0.0), column(1.0))), at(0.3))
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["threshold_weighted_crps", "quantile_weighted_crps"])
def test_weighted_scores_of_angles_are_refused(name):
    call = getattr(metrics, name)
    arguments = (torch.square,) if name.startswith("quantile") else ()
    with pytest.raises(InputError) as caught:
        call(mixed(VonMises(column(0.0), column(1.0))), at(0.0), *arguments)
    assert str(caught.value) == f"{name} needs targets on a line; got an angle."
