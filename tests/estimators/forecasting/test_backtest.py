import numpy as np
import pytest
import torch

from manymodes._checks import InputError

from .small import long_frame, small, walk


@pytest.fixture(scope="module")
def fitted():
    return small().fit(walk(160)[:120])


def test_origins_follow_the_fit_and_no_step_is_forecast_twice(fitted):
    test = fitted.backtest(walk(160))
    assert test.origin.tolist() == list(range(120, 157, 4))
    assert test.distribution.batch_shape == (10, 4)
    assert test.paths.shape == (100, 10, 4, 1)
    np.testing.assert_array_equal(test.targets[0, :, 0], walk(160)[120:124])


def test_a_forecast_sees_nothing_after_its_origin(fitted):
    series = walk(160)
    changed = series.copy()
    changed[140:] += 100.0
    one, other = (fitted.backtest(values) for values in (series, changed))
    before = torch.from_numpy(one.origin <= 140)
    assert torch.equal(one.distribution.mean[before], other.distribution.mean[before])
    assert not torch.equal(one.distribution.mean[~before], other.distribution.mean[~before])
    np.testing.assert_array_equal(one.paths[:, before.numpy()], other.paths[:, before.numpy()])


def test_a_copy_that_is_fitted_before_an_origin_sees_nothing_after_it():
    series = walk(100)
    changed = series.copy()
    changed[96:] += 100.0
    one, other = (small(n_steps=3).backtest(v, n_origins=2, refit=True) for v in (series, changed))
    assert one.origin.tolist() == [92, 96]
    assert torch.equal(one.distribution.mean, other.distribution.mean)


def test_a_refitted_forecast_is_that_of_a_fit_to_the_first_part():
    series = walk(100)
    test = small(n_steps=3).backtest(series, n_origins=1, refit=True)
    assert torch.equal(test.distribution.mean[0], small(n_steps=3).fit(series[:96]).predict_distribution().mean)


def test_a_refit_may_serve_several_origins():
    test = small(n_steps=3).backtest(walk(100), n_origins=3, refit=2)
    own = small(n_steps=3).backtest(walk(100), n_origins=3, refit=True)
    same = [torch.equal(test.distribution.mean[row], own.distribution.mean[row]) for row in range(3)]
    assert same == [True, False, True]


def test_the_forecaster_itself_is_not_touched_by_refits(fitted):
    before = fitted.predict()
    fitted.backtest(walk(100), n_origins=1, refit=True)
    np.testing.assert_array_equal(fitted.predict(), before)


def test_scores_are_those_of_each_forecast(fitted):
    test = fitted.backtest(walk(160), n_origins=3)
    scores = test.scores()
    crps = [float(torch.stack([_crps(test, row, step) for step in range(4)]).mean()) for row in range(3)]
    np.testing.assert_allclose(scores["crps"], crps)
    assert set(scores) == {"crps", "log_score", "coverage", "energy_score"}
    assert all(len(values) == 3 for values in scores.values())
    np.testing.assert_allclose(test.by_step()["crps"].mean(), scores["crps"].mean())
    assert repr(test).startswith("Backtest(3 forecasts of 4 steps: crps ")
    assert test.to_dict()["origin"] == [148, 152, 156]


def _crps(test, row, step):
    from manymodes import metrics

    return metrics.crps(test.distribution[row : row + 1, step], torch.from_numpy(test.targets[row : row + 1, step]))[0]


def test_the_energy_score_is_that_of_independent_pairs_of_paths(fitted):
    test = fitted.backtest(walk(160), n_origins=2, n_paths=2000)
    flat, y = test.paths[..., 0], test.targets[..., 0]
    for row in range(2):
        apart = np.linalg.norm(flat[:1000, None, row] - flat[None, 1000:, row], axis=-1).mean()
        expected = np.linalg.norm(flat[:, row] - y[row], axis=-1).mean() - 0.5 * apart
        np.testing.assert_allclose(test.scores()["energy_score"][row], expected, rtol=0.1)


def test_targets_that_are_missing_do_not_count(fitted):
    series = walk(160)
    series[121] = np.nan
    scores = fitted.backtest(series).scores()
    assert np.isfinite(scores["crps"]).all()
    assert np.isnan(scores["energy_score"]).tolist() == [True] + [False] * 9


def test_series_of_long_frames_go_on_at_their_times():
    whole = long_frame({"a": walk(80), "b": walk(70, 1)})
    early = whole["ds"] < np.datetime64("2024-01-03T10:00")
    model = small(n_steps=2).fit({name: values[early] for name, values in whole.items()})
    test = model.backtest(whole, n_origins=2)
    assert test.series == ["a", "a", "b", "b"]
    assert test.origin[1] == whole["ds"][79] - np.timedelta64(3, "h")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"series": walk(122)},
            "series must go on for at least horizon = 4 steps after those of the fit; got none that does; fit to a "
            "shorter part, or set refit=True.",
        ),
        (
            {"series": walk(160), "refit": True},
            "n_origins must be a number with refit=True, since each origin takes a fit; got None.",
        ),
        (
            {"series": walk(30), "refit": True, "n_origins": 10},
            "series must have at least 10 steps before the first origin, -10; lower n_origins or stride.",
        ),
    ],
)
def test_what_leaves_nothing_to_judge_is_refused(fitted, options, sentence):
    with pytest.raises(InputError) as error:
        fitted.backtest(**options)
    assert str(error.value) == sentence


def test_series_that_have_just_begun_wait_when_a_forecaster_is_fitted_anew():
    frame = long_frame({"a": walk(60), "b": walk(60, 1)}, step="D")
    keep = np.arange(120) >= 44  # a begins late
    found = small(n_steps=1).backtest({name: values[keep] for name, values in frame.items()}, n_origins=3, refit=True)
    assert set(found.series) == {"a", "b"}
    assert found.series.count("b") == 3
