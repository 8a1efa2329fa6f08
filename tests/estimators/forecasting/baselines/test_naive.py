import numpy as np
import pytest
import torch

from manymodes._checks import InputError
from manymodes.estimators.forecasting.baselines import SeasonalNaive

RNG = np.random.default_rng(0)


def wave(n_steps, season=6, noise=0.1):
    return np.sin(2 * np.pi * np.arange(n_steps) / season) + noise * RNG.normal(size=n_steps)


def test_the_last_season_comes_again():
    series = wave(300)
    seen = SeasonalNaive(9, season=6).fit(series[:200]).backtest(series, stride=13)
    origin = int(seen.origin[2])
    repeated = series[origin - 6 + np.arange(9) % 6]
    middle = seen.distribution.median[2, :, 0].numpy()
    np.testing.assert_allclose(middle, repeated, atol=0.1)
    np.testing.assert_array_equal(seen.targets[2, :, 0], series[origin : origin + 9])


def test_origins_begin_after_the_fit_and_end_a_horizon_before_the_end():
    series = wave(300)
    seen = SeasonalNaive(9, season=6).fit(series[:200]).backtest(series, stride=13)
    assert seen.origin.tolist() == list(range(291 - 13 * 7, 292, 13))
    assert SeasonalNaive(9, season=6).fit(series[:291]).backtest(series).origin.tolist() == [291]


def test_quantiles_of_a_step_are_those_of_past_errors():
    series = wave(3000, noise=1.0)
    model = SeasonalNaive(3, season=6, n_levels=39).fit(series)
    errors = series[6:] - series[:-6]
    levels = np.array([0.1, 0.5, 0.9])
    seen = model.backtest(np.r_[series, wave(3)])
    found = seen.distribution.icdf(torch.from_numpy(levels)[:, None, None, None])[:, 0, 0, 0].numpy()
    expected = series[-6] + np.quantile(errors, levels)
    np.testing.assert_allclose(found, expected, atol=0.06)


def test_paths_keep_the_errors_of_whole_horizons():
    series = np.repeat(RNG.normal(size=40), 5).cumsum()  # errors of neighbouring steps are alike
    seen = SeasonalNaive(4, season=1).fit(series[:150]).backtest(series, n_paths=200)
    errors = seen.paths[:, 0, :, 0] - series[int(seen.origin[0]) - 1]
    known = np.array([series[at : at + 4] - series[at - 1] for at in range(1, 147)])
    assert np.abs(errors[:, None] - known).sum(-1).min(1).max() < 1e-12


def test_later_values_teach_nothing():
    series, other = wave(300), wave(300)
    other[:200] = series[:200]
    one, two = (SeasonalNaive(5, season=6).fit(values[:200]).backtest(values[:211]) for values in (series, other))
    np.testing.assert_array_equal(one.distribution.mean[0], two.distribution.mean[0])


def test_gaps_are_refused():
    series = wave(100)
    series[17] = np.nan
    expected = r"^series must have no missing values for SeasonalNaive; got one in row 18\.$"
    with pytest.raises(InputError, match=expected):
        SeasonalNaive(5, season=6).fit(series)


def test_several_targets_are_refused():
    expected = r"^series must be one series of one target for SeasonalNaive; got 1 series of 2 targets\.$"
    with pytest.raises(InputError, match=expected):
        SeasonalNaive(5, season=6).fit(RNG.normal(size=(50, 2)))


def test_series_that_end_with_the_fit_are_refused():
    model = SeasonalNaive(5, season=6).fit(wave(100))
    expected = r"^series must go on for at least horizon = 5 steps after the 100 of the fit; got 104 in all\.$"
    with pytest.raises(InputError, match=expected):
        model.backtest(wave(104))
