import numpy as np
import pytest

from manymodes.estimators.forecasting.baselines import ExponentialSmoothing
from manymodes.estimators.forecasting.baselines.smoothing import Smoothing, filtered

RNG = np.random.default_rng(0)
BY = Smoothing(0.4, 0.1, 0.3, 0.9)
START = (10.0, 0.5, np.array([3.0, -1.0, -2.0, 0.0]))


def simulated(n_steps, rng=RNG, scale=1.0, state=START, by=BY):
    """Return a series from the equations of the model, one step after another, with a list of seasonal values."""
    level, trend, seasons = state[0], state[1], list(state[2])
    series = []
    for error in scale * rng.normal(size=n_steps):
        before = level + by.damping * trend
        season = seasons.pop(0)
        series.append(before + season + error)
        level, trend = before + by.level * error, by.damping * trend + by.trend * error
        seasons.append(season + by.season * error)
    return np.array(series), (level, trend, np.array(seasons))


def fitted(series, horizon):
    """Return a model that knows how the series was made."""
    model = ExponentialSmoothing(horizon, season=4).fit(series)
    model.weights_, model.scale_, model.start_ = BY, 1.0, START
    return model


def test_errors_are_the_shocks_that_made_the_series():
    series, _ = simulated(200, np.random.default_rng(1))
    shocks = np.random.default_rng(1).normal(size=200)
    np.testing.assert_allclose(filtered(series, START, BY).errors, shocks, atol=1e-10)


def test_states_are_those_of_the_simulation():
    series, (level, trend, seasons) = simulated(203)
    states = filtered(series, START, BY)
    assert states.levels[-1] == pytest.approx(level)
    assert states.trends[-1] == pytest.approx(trend)
    np.testing.assert_allclose(states.seasons[-4:], seasons)


def test_means_and_variances_are_those_of_simulated_futures():
    series, state = simulated(100, np.random.default_rng(2))
    horizon, n_paths = 10, 20_000
    rng = np.random.default_rng(3)
    futures = np.stack([simulated(horizon, rng, state=state)[0] for _ in range(n_paths)])
    model = fitted(series, horizon)
    seen = model.backtest(np.r_[series, futures[0]], n_paths=n_paths)
    scale = seen.distribution.stddev[0, :, 0].numpy()
    # means within 5 standard errors; standard deviations within 5 of theirs: false alarms about once in 100,000 runs
    assert (np.abs(seen.distribution.mean[0, :, 0].numpy() - futures.mean(0)) < 5 * scale / n_paths**0.5).all()
    np.testing.assert_allclose(scale, futures.std(0), rtol=5 / (2 * n_paths) ** 0.5)
    own = seen.paths[:, 0, :, 0]
    np.testing.assert_allclose(own.std(0), scale, rtol=5 / (2 * n_paths) ** 0.5)
    np.testing.assert_allclose(np.corrcoef(own.T), np.corrcoef(futures.T), atol=0.05)


def test_maximum_likelihood_finds_the_weights():
    series, _ = simulated(4000, np.random.default_rng(4))
    model = ExponentialSmoothing(4, season=4).fit(series)
    assert model.weights_.level == pytest.approx(BY.level, abs=0.06)
    assert model.weights_.season == pytest.approx(BY.season, abs=0.06)
    assert model.scale_ == pytest.approx(1.0, abs=0.04)


def test_later_values_move_states_and_not_weights():
    series, _ = simulated(120)
    model = ExponentialSmoothing(4, season=4).fit(series[:100])
    before = model.weights_
    seen = model.backtest(series, stride=8)
    assert model.weights_ == before
    again = model.backtest(series[: int(seen.origin[0]) + 4], stride=8)
    np.testing.assert_allclose(again.distribution.mean[-1], seen.distribution.mean[0])
