import math

import numpy as np
import pytest
import torch

from manymodes import metrics
from manymodes._checks import InputError
from manymodes.distributions import VonMises

from .references import at, column, mixed
from .test_scores import make


def test_errors_are_those_of_the_mean_and_the_median():
    mixture, y = make(n=50, d=2)
    mean = (mixture.weights.unsqueeze(-1) * mixture.components.loc).sum(1)
    torch.testing.assert_close(metrics.rmse(mixture, y), (y - mean).square().mean(0).sqrt())
    torch.testing.assert_close(metrics.mae(mixture, y), (y - mixture.icdf(0.5)).abs().mean(0))


def test_the_median_beats_the_mean_in_absolute_error_on_draws_of_the_prediction():
    mixture, _ = make(n=20_000)
    y = mixture.sample(generator=torch.Generator().manual_seed(11))
    assert metrics.mae(mixture, y).item() < (y - mixture.mean).abs().mean().item()


@pytest.mark.parametrize("point", ["mean", "median", "mode"])
def test_point_errors_are_positive_where_the_prediction_is_too_high(point):
    mixture, y = make(n=20, d=2)
    error = metrics.point_error(mixture, y, point)
    torch.testing.assert_close(error, getattr(mixture, point) - y)


def test_errors_of_each_example_average_to_rmse_and_mae():
    mixture, y = make(n=50, d=2)
    torch.testing.assert_close(metrics.squared_error(mixture, y).mean(0).sqrt(), metrics.rmse(mixture, y))
    torch.testing.assert_close(metrics.absolute_error(mixture, y).mean(0), metrics.mae(mixture, y))


def test_errors_of_angles_go_the_shorter_way():
    angle = mixed(VonMises(column(3.0), column(5.0)))
    for point in ("mean", "mode"):
        error = metrics.point_error(angle, at(-3.0), point).item()
        assert error == pytest.approx(6 - 2 * math.pi, abs=1e-6)


def test_points_that_are_not_there_are_refused():
    angle = mixed(VonMises(column(3.0), column(5.0)))
    with pytest.raises(InputError, match=r"^point must be 'mean' or 'mode' for an angle, which has no median\.$"):
        metrics.point_error(angle, at(0.0), "median")
    with pytest.raises(InputError, match=r"^point must be one of 'mean', 'median', 'mode'; got 'centre'\.$"):
        metrics.point_error(angle, at(0.0), "centre")
    with pytest.raises(InputError, match=r"^absolute_error needs targets on a line; got an angle\.$"):
        metrics.absolute_error(angle, at(0.0))


def test_the_squared_error_of_angles_is_lowest_on_average_at_the_mean_direction():
    truth = mixed(VonMises(column(0.0, 2.2), column(4.0, 9.0)), 0.6, 0.4)
    y = torch.linspace(-math.pi, math.pi, 4001, dtype=torch.float64)[1:, None]
    share = truth.expand((4000,)).log_prob(y).exp() * 2 * math.pi / 4000

    def average(loc: float) -> float:
        other = mixed(VonMises(column(loc), column(5.0))).expand((4000,))
        return (share * metrics.squared_error(other, y)[:, 0]).sum().item()

    best = truth.mean.item()
    grid = np.linspace(best - 3, best + 3, 61)
    averages = [average(loc) for loc in grid]
    assert grid[int(np.argmin(averages))] == pytest.approx(best)
    assert average(0.01) == pytest.approx(average(0.01 - 2 * math.pi))
