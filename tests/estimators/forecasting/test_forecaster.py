import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import manymodes as mm
from manymodes.nn import Recurrent

from .small import double_well, long_frame, small, walk


@pytest.fixture(scope="module")
def walker():
    """A forecaster of a random walk, fitted well enough to be judged."""
    series = walk(1200)
    settings = {"horizon": 8, "context": 4, "n_steps": 150, "lr": 5e-3}
    return series, small(**settings).fit(series)


@pytest.fixture(scope="module")
def several():
    """A forecaster of three series in a long frame, of different lengths and units."""
    frame = long_frame({"a": walk(90, 1), "b": 1000 + 50 * walk(70, 2), "c": walk(80, 3)})
    return frame, small().fit(frame)


# --- shapes ---


@pytest.mark.parametrize("mode", ["direct", "autoregressive"])
@pytest.mark.parametrize(
    ("series", "batch", "dim"),
    [
        (walk(60), (4,), 1),
        (walk(60, n_targets=2), (4,), 2),
        ([walk(60), walk(50, 1)], (2, 4), 1),
        ({"a": walk(60, n_targets=2)}, (1, 4), 2),
    ],
)
def test_answers_have_an_axis_of_series_where_there_are_several(mode, series, batch, dim):
    model = small(mode=mode, n_steps=2, n_particles=20).fit(series)
    density = model.predict_distribution()
    assert (density.batch_shape, density.event_shape) == (batch, (dim,))
    assert model.sample_paths(7).shape == (7, *batch, dim)
    flat = () if dim == 1 else (dim,)
    assert model.predict().shape == (*batch, *flat)
    assert model.predict_quantiles([0.1, 0.5, 0.9]).shape == (*batch, *flat, 3)
    assert model.predict_distribution(2).batch_shape == (*batch[:-1], 2)


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, dict])
def test_long_frames_of_every_kind_are_forecast_alike(several, kind):
    frame, model = several
    own = small().fit(kind(frame))
    assert torch.equal(own.predict_distribution().mean, model.predict_distribution().mean)
    answer = own.predict_frame(2)
    assert type(answer) is kind
    assert (
        list(answer) if kind is dict else list(answer.columns) == ["unique_id", "ds", "y", "y_0.05", "y_0.5", "y_0.95"]
    )
    assert len(answer["y"]) == 6


def test_a_forecast_begins_after_the_last_known_value_of_each_series(several):
    frame, model = several
    answer = model.predict_frame(1)
    last = [frame["ds"][frame["unique_id"] == name].max() for name in "abc"]
    assert (answer["ds"] - last == np.timedelta64(1, "h")).all()


def test_values_that_are_missing_at_the_ends_are_as_if_they_were_not_there():
    series = walk(80)
    padded = np.concatenate([np.full(5, np.nan), series, np.full(3, np.nan)])
    one, other = (small().fit(values).predict() for values in (series, padded))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("first", "freq"), [("2020-03-27", "h"), ("2020-03-01", "D"), ("2020-01-31", "ME")])
def test_clocks_that_are_put_forward_leave_no_gap(first, freq):
    times = pd.date_range(first, periods=80, freq=freq, tz="Europe/Berlin")
    model = small(n_steps=1).fit(pd.DataFrame({"ds": times, "y": walk(80)}))
    assert len(model.predict_frame()) == 4


# --- what is forecast ---


def test_a_random_walk_spreads_with_the_root_of_the_steps(walker):
    series, model = walker
    density = model.predict_distribution()
    spread = density.stddev[:, 0].numpy() / np.sqrt(np.arange(1, 9))
    np.testing.assert_allclose(spread, 1.0, atol=0.2)
    assert np.abs(density.mean[:, 0].numpy() - series[-1]).max() < 1.0


def test_paths_of_a_random_walk_hang_together(walker):
    series, model = walker
    paths = model.sample_paths(4000, random_state=0)[..., 0] - series[-1]
    independent = model.predict_distribution().sample((4000,), generator=torch.Generator().manual_seed(0))[..., 0]
    truth = np.sqrt((np.arange(1, 9) ** 2).sum())
    assert abs(paths.sum(1).std() / truth - 1) < 0.2
    assert float(independent.sum(1).std()) / truth < 0.65
    steps = np.diff(paths, axis=1)
    assert np.abs(np.corrcoef(steps.T) - np.eye(7)).max() < 0.3


def test_every_step_of_the_paths_has_its_distribution(walker):
    _, model = walker
    paths = torch.from_numpy(model.sample_paths(2000, random_state=1))
    levels = model.predict_distribution().cdf(paths)[..., 0]
    # Uniform at every step: standard error of the mean 0.0065, of the spread less.
    assert float((levels.mean(0) - 0.5).abs().max()) < 0.033
    assert float((levels.std(0) - 12**-0.5).abs().max()) < 0.02


def test_a_season_is_followed():
    steps = np.arange(400)
    series = 5 + 3 * np.sin(2 * np.pi * steps / 12) + 0.1 * np.random.default_rng(0).normal(size=400)
    model = small(horizon=12, context=24, n_steps=120, lr=5e-3).fit(series[:-12])
    assert np.abs(model.predict() - series[-12:]).mean() < 0.3


def test_hours_of_the_day_are_told_apart_by_the_calendar():
    hour = np.arange(24 * 40) % 24
    frame = long_frame({"a": np.where((hour > 6) & (hour < 19), 5.0, 0.0)})
    model = small(context=1, n_steps=120, lr=1e-2, horizon=24, dropout=0.0).fit(frame)
    assert model.model_.view.cycles == ("day", "week")
    assert np.corrcoef(model.predict()[0], (hour[:24] > 6) & (hour[:24] < 19))[0, 1] > 0.9


def test_both_futures_of_a_double_well_are_found_with_their_probabilities():
    rng = np.random.default_rng(0)
    settings = {"horizon": 1, "context": 1, "mode": "autoregressive", "scaling": "panel", "n_particles": 500}
    learning = {"hidden_sizes": (32, 32), "dropout": 0.0, "n_steps": 350, "batch_size": 256, "lr": 1e-2, "n_members": 1}
    model = small(**settings, **learning).fit(list(double_well(300, 50, rng)))
    truth = double_well(4000, 50, rng)[:, -1]
    paths = model.sample_paths(2000, 50, series=[np.zeros(1)], random_state=0)[:, 0, -1, 0]
    bins = np.linspace(-2.5, 2.5, 16)
    shares = [np.histogram(values, bins)[0] / len(values) for values in (paths, truth)]
    assert 0.5 * np.abs(shares[0] - shares[1]).sum() < 0.08
    density = model.predict_distribution(50, series=[np.zeros(1)])[0, -1:]
    assert density.n_components == 64
    assert density.modes().count.tolist() == [2]


def test_targets_of_a_step_are_forecast_jointly():
    rng = np.random.default_rng(0)
    noise = rng.multivariate_normal([0, 0], [[1, 0.9], [0.9, 1]], 400)
    model = small(n_steps=100, lr=5e-3).fit(noise * [1.0, 100.0])
    samples = model.predict_distribution().sample((2000,), generator=torch.Generator().manual_seed(0))[:, 0].numpy()
    assert np.corrcoef(samples.T)[0, 1] > 0.7
    paths = model.sample_paths(2000, random_state=0)[:, 0]
    assert np.corrcoef(paths.T)[0, 1] > 0.7


def test_what_is_known_of_the_future_is_used():
    rng = np.random.default_rng(0)
    known = rng.normal(size=(404, 1))
    series = 3 * known[:400, 0] + 0.1 * rng.normal(size=400)
    model = small(n_steps=150, lr=1e-2).fit(series, known[:400])
    future = known[400:]
    assert np.abs(model.predict(exogenous=future) - 3 * future[:, 0]).mean() < 1.0
    np.testing.assert_array_equal(model.predict(exogenous=future), model.predict(series=series, exogenous=known))
    np.testing.assert_allclose(model.predict(2, exogenous=future[:2]), model.predict(exogenous=future)[:2])


def test_what_is_known_is_found_in_long_frames_by_its_times():
    frame = long_frame({"a": walk(60), "b": walk(60, 1)})
    times = np.datetime64("2024-01-01T00", "us") + np.arange(64) * np.timedelta64(1, "h")
    known = {"unique_id": np.repeat(["b", "a"], 64), "ds": np.tile(times, 2), "x": walk(128), "z": walk(128, 1)}
    model = small(n_steps=3).fit(frame, known)
    assert model.panel_.covariates == ("x", "z")
    other = {name: known[name] for name in ("z", "x", "ds", "unique_id")}
    torch.testing.assert_close(
        model.predict_distribution().mean, model.predict_distribution(series=frame, exogenous=other).mean
    )


def test_missing_values_are_bridged():
    series = walk(400)
    series[np.random.default_rng(1).random(400) < 0.2] = np.nan
    model = small(n_steps=60, lr=5e-3).fit(series)
    density = model.predict_distribution()
    last = series[~np.isnan(series)][-1]
    assert np.abs(density.mean[:, 0].numpy() - last).max() < 2.0
    assert bool((density.stddev < 6).all())


def test_a_step_of_which_one_target_is_missing_tells_of_the_other():
    values = walk(200, n_targets=2)
    values[::3, 1] = np.nan
    model = small(n_steps=5).fit(values)
    assert bool(model.predict_distribution().mean.isfinite().all())


def test_a_target_that_begins_late_is_forecast():
    values = walk(100, n_targets=2)
    values[:60, 1] = np.nan
    assert bool(small(n_steps=5).fit(values).predict_distribution().mean.isfinite().all())


# --- units, and what is not seen ---


def test_the_units_of_a_series_are_those_of_its_forecast_and_of_no_other(several):
    frame, model = several
    changed = {**frame, "y": np.where(frame["unique_id"] == "b", 8 * frame["y"] - 64, frame["y"])}
    one, other = (m.predict_distribution() for m in (model, small().fit(changed)))
    torch.testing.assert_close(other.mean[[0, 2]], one.mean[[0, 2]], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(other.mean[1], 8 * one.mean[1] - 64, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(other.stddev[1], 8 * one.stddev[1], rtol=1e-3, atol=1e-4)


def test_only_the_context_of_a_series_is_seen(walker):
    series, model = walker
    changed = series.copy()
    changed[:-4] = 0.0
    assert torch.equal(model.predict_distribution().mean, model.predict_distribution(series=changed).mean)


# --- settings ---


@pytest.mark.parametrize("scaling", ["series", "window", "panel"])
def test_every_scaling_forecasts(scaling):
    model = small(scaling=scaling, n_steps=3).fit([walk(60), 5 + walk(50, 1)])
    assert bool(model.predict_distribution().mean.isfinite().all())


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical", "low_rank"])
@pytest.mark.parametrize("mode", ["direct", "autoregressive"])
def test_every_covariance_forecasts(covariance_type, mode):
    model = small(covariance_type=covariance_type, mode=mode, n_steps=2, n_particles=40).fit(walk(60, n_targets=2))
    assert bool(model.predict_distribution().mean.isfinite().all())
    assert np.isfinite(model.sample_paths(5)).all()


def test_a_backbone_of_your_own_reads_windows():
    model = small(backbone=Recurrent(1, 8), n_steps=3).fit(walk(80))
    assert model.predict().shape == (4,)


def test_a_context_that_is_left_open_follows_from_season_and_horizon():
    hours = long_frame({"a": walk(300)})
    assert small(context=None, n_steps=1).fit(hours).context_ == 168
    assert small(context=None, n_steps=1, season=9).fit(hours).context_ == 18
    assert small(context=None, n_steps=1).fit(walk(300)).context_ == 12
    assert small(context=None, n_steps=1).fit(walk(15)).context_ == 7
    assert small(context=None, n_steps=1).fit([walk(30), walk(9)]).context_ == 5


def test_a_fit_is_repeated_by_its_seed():
    one, other = (small().fit(walk(80)) for _ in range(2))
    assert torch.equal(one.predict_distribution().mean, other.predict_distribution().mean)
    np.testing.assert_array_equal(one.sample_paths(5, random_state=1), other.sample_paths(5, random_state=1))


def test_distributions_of_particles_are_the_same_every_time():
    model = small(mode="autoregressive", n_steps=2, n_particles=30).fit(walk(60))
    assert torch.equal(model.predict_distribution().mean, model.predict_distribution().mean)


def test_at_most_so_many_windows_are_learned_from():
    history = small(max_windows=50, n_steps=1).fit(walk(300)).history_
    assert history.n_train + history.n_validation <= 50


def test_gaps_are_filled_when_asked_for():
    frame = long_frame({"a": walk(90)})
    frame = {name: np.delete(values, [20, 21, 50]) for name, values in frame.items()}
    assert small(fill_gaps=True, n_steps=1).fit(frame).model_.view.has_gaps


# --- as an estimator ---


def test_it_is_cloned_and_shown_as_scikit_learn_does():
    model = small()
    assert clone(model).get_params() == model.get_params()
    assert repr(mm.MDNForecaster(12, n_members=2)) == "MDNForecaster(horizon=12, n_members=2)"
    with pytest.raises(NotFittedError):
        model.predict()


def test_a_fit_that_fails_leaves_the_earlier_one(several):
    _, model = several
    before = model.predict()
    with pytest.raises(ValueError, match="horizon"):
        model.fit(walk(5))
    np.testing.assert_array_equal(model.predict(), before)


@pytest.mark.parametrize(
    "settings", [{}, {"mode": "autoregressive", "n_particles": 20}, {"scaling": "series", "horizon": 3}]
)
def test_a_loaded_forecaster_goes_on_as_the_saved_one(settings, tmp_path):
    frame = long_frame({"a": walk(60), "b": walk(50, 1)})
    times = np.datetime64("2024-01-01T00", "us") + np.arange(64) * np.timedelta64(1, "h")
    known = {"unique_id": np.repeat(["a", "b"], 64), "ds": np.tile(times, 2), "x": walk(128)}
    model = small(**settings, n_steps=3).fit(pd.DataFrame(frame), pd.DataFrame(known))
    model.save(tmp_path / "model.mm")
    again = mm.load(tmp_path / "model.mm")
    assert again.get_params() == model.get_params()
    pd.testing.assert_frame_equal(again.predict_frame(), model.predict_frame())
    np.testing.assert_array_equal(again.sample_paths(5, random_state=0), model.sample_paths(5, random_state=0))


def test_a_backbone_of_your_own_is_handed_in_on_loading(tmp_path):
    model = small(backbone=Recurrent(1, 8), n_steps=3).fit(walk(80))
    model.save(tmp_path / "model.mm")
    again = mm.load(tmp_path / "model.mm", backbone=Recurrent(1, 8))
    np.testing.assert_array_equal(again.predict(), model.predict())


def test_names_that_json_cannot_hold_are_refused_on_saving(tmp_path):
    model = small(n_steps=1).fit({("a", 1): walk(60)})
    with pytest.raises(
        ValueError, match=r"^names of series must be text or numbers to be saved; got \('a', 1\), a tuple\.$"
    ):
        model.save(tmp_path / "model.mm")


# --- what a hard look found ---


@pytest.mark.parametrize(
    ("series", "settings"),
    [
        (walk(400), {"n_members": 1}),
        (walk(60), {"n_members": 8, "horizon": 8, "context": None}),
        ([walk(30, seed) for seed in range(12)], {"n_members": 4, "horizon": 9, "context": None}),
    ],
    ids=["one member", "one short series", "many short series"],
)
def test_steps_of_a_path_depend_on_each_other_however_few_windows_are_held_out(series, settings):
    model = small(n_steps=10, **settings).fit(series)
    near = model.model_.dependence.correlation.diagonal(1)
    assert float(near.mean()) > 0.4


def test_what_is_done_to_the_users_arrays_later_changes_no_forecast():
    series, known = walk(80), walk(84, 1)[:, None]
    model = small(n_steps=2).fit(series, known)
    before = model.predict()
    series += 1000.0
    known *= 5.0
    np.testing.assert_array_equal(model.predict(), before)


def test_covariates_of_arrays_go_on_after_missing_values_at_the_end():
    known = walk(84, 1)[:, None]
    series = 3.0 * known[:80, 0]
    series[-2:] = np.nan
    model = small(n_steps=300, lr=1e-2, dropout=0.0).fit(series, known[:80])
    np.testing.assert_allclose(model.predict(exogenous=known[80:]), 3.0 * known[78:82, 0], atol=1.5)


@pytest.mark.parametrize("zone", ["America/New_York", "Etc/GMT+5", "Europe/Berlin"])
def test_hours_in_a_time_zone_are_followed_over_a_change_of_the_clock(zone):
    times = pd.date_range("2024-03-20", periods=401, freq="h", tz=zone)
    frame = pd.DataFrame({"ds": times, "y": walk(401), "x": walk(401, 1)})
    model = small(n_steps=1, horizon=1).fit(frame[["ds", "y"]][:400], frame[["ds", "x"]][:400])
    found = model.predict_frame(1, exogenous=frame[["ds", "x"]][400:])
    assert found["ds"].iloc[0] == times[400].tz_convert("UTC").tz_localize(None)


def test_fewer_paths_than_members_are_of_any_of_them():
    model = small(mode="autoregressive", n_members=4, n_steps=1).fit(walk(60))
    model.model_.network.head.linear.bias.data[..., :] += torch.arange(4.0)[:, None]  # members apart
    firsts = [model.sample_paths(1, 1, random_state=seed).item() for seed in range(60)]
    every = model.sample_paths(4000, 1, random_state=0)
    assert np.std(firsts) == pytest.approx(every.std(), rel=0.35)


def test_a_last_value_far_away_is_not_made_much_farther():
    noise = np.random.default_rng(0).normal(size=200)
    model = small(n_steps=60).fit(noise)
    for far in (1e2, 1e4):
        assert np.abs(model.predict(series=np.r_[noise, far])).max() < 3 * far


def test_masked_values_are_missing():
    series = walk(80)
    masked = np.ma.masked_array(np.where(np.arange(80) % 9 == 4, 1e6, series), np.arange(80) % 9 == 4)
    gaps = np.where(np.arange(80) % 9 == 4, np.nan, series)
    np.testing.assert_array_equal(small(n_steps=2).fit(masked).predict(), small(n_steps=2).fit(gaps).predict())


def test_a_gap_before_the_end_leaves_another_stretch_to_hold_out():
    series = np.r_[walk(80), np.full(12, np.nan), 0.0]
    assert np.isfinite(small(n_steps=1).fit(series).predict()).all()


def test_names_of_numpys_types_are_saved(tmp_path):
    small(n_steps=1).fit({np.int64(7): walk(60)}).save(tmp_path / "model.mm")
    assert mm.load(tmp_path / "model.mm").panel_.series[0].name == 7
