"""Real tables from end to end: each has something that tables of numbers do not."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

import manymodes as mm
from manymodes.estimators import (
    MDNRegressor,
    coverage_error,
    explain,
    neg_energy_score,
    neg_log_score,
    partial_dependence,
    permutation_importance,
)
from manymodes.estimators.baselines import UnconditionalDensity

SMALL = {
    "n_components": 4,
    "n_members": 3,
    "frequency": 0.3,
    "hidden_sizes": (48,),
    "max_epochs": 60,
    "lr": 4e-3,
    "random_state": 0,
}
N_TRAIN, N_TEST = 1500, 800


@pytest.fixture
def drawn(shared_table):
    """Return a function that reads a table as frames: features and targets, to learn from and to be judged on."""

    def read(name, targets, change=lambda table: table):
        table = change(pd.DataFrame(shared_table(name)))
        table = table.sample(N_TRAIN + N_TEST, random_state=0)
        X, y = table.drop(columns=targets), table[targets]
        return X[:N_TRAIN], y[:N_TRAIN], X[N_TRAIN:], y[N_TRAIN:]

    return read


def baseline(X, y, X_test, y_test):
    """Return the mean log-density of a model without features."""
    numbers = (np.zeros((len(X), 1)), np.zeros((len(X_test), 1)))
    flat = UnconditionalDensity(random_state=0).fit(numbers[0], y.to_numpy())
    return flat.log_prob(numbers[1], y_test.to_numpy()).mean()


def test_bike_rentals_with_categories_a_calendar_and_counts(drawn, tmp_path):
    def change(table):
        seasons = {1: "spring", 2: "summer", 3: "fall", 4: "winter"}
        day = pd.to_datetime({"year": table.yr + 2011, "month": table.mnth, "day": 1})
        return table.assign(
            season=table.season.map(seasons),
            weathersit=pd.Categorical(table.weathersit.astype(int)),
            workingday=table.workingday > 0,
            holiday=table.holiday > 0,
            month=day,
            hum=table.hum.where(table.hum > 0.4),  # as if drier air had not been measured
        ).drop(columns=["yr", "mnth"])

    X, y, X_test, y_test = drawn("bike-sharing", ["cnt"], change)
    counts = MDNRegressor(**SMALL, target_families={"cnt": "negative_binomial"}).fit(X, y)
    assert counts.log_prob(X_test, y_test).mean() > baseline(X, y, X_test, y_test) + 0.8
    assert coverage_error(counts, X_test, y_test) > -0.06
    assert (counts.sample(X_test[:5], 20, random_state=0) % 1 == 0).all()
    plain = MDNRegressor(**{**SMALL, "max_epochs": 1}).fit(X, y)
    assert any("negative_binomial" in note for note in plain.target_notes())
    assert counts.feature_notes() == ["Column 'hum' has missing values, which count as such."]
    counts.save(tmp_path / "bikes.mm")
    odd = X_test.assign(season="monsoon")
    polars = pl.from_pandas(X_test)
    loaded = mm.load(tmp_path / "bikes.mm")
    np.testing.assert_allclose(loaded.predict(polars), counts.predict(X_test))
    assert np.isfinite(loaded.predict(odd)).all()
    importance = permutation_importance(counts, X_test, y_test, n_repeats=2, n_rows=400)
    assert importance.feature.tolist()[0] == "hr"
    assert importance.importance.iloc[0] > 5 * importance.standard_error.iloc[0]
    by_hour = partial_dependence(counts, X_test, "hr", grid=[4.0, 17.0], n_rows=100)
    assert by_hour.cnt_mean.iloc[1] > 5 * by_hour.cnt_mean.iloc[0]
    night = X_test[X_test.hr == 4].head(3)
    reasons = explain(counts, night, background=X_test.sample(60, random_state=0))
    strongest = reasons.loc[reasons.groupby("row").information.idxmax()]
    assert (strongest.feature == "hr").all()
    assert (strongest.cnt_mean_shift < 0).all()


def test_house_values_with_a_ceiling_that_is_a_bound_or_an_atom(drawn):
    X, y, X_test, y_test = drawn("california-housing", ["MedHouseVal_100kUSD"])
    top = 5.00001
    told = " ".join(MDNRegressor(**{**SMALL, "max_epochs": 1}).fit(X, y).target_notes())
    assert "hand them in as censored (y_lower or y_upper), or pass atoms=(5.00001,)" in told
    bound = y.where(y >= top)  # NaN where the value is known
    censored = MDNRegressor(**SMALL).fit(X, y, y_lower=bound)
    atom = MDNRegressor(**SMALL, atoms=(top,)).fit(X, y)
    rich, poor = X_test[(y_test >= top).to_numpy()], X_test[(y_test < 2).to_numpy()]
    for model in (censored, atom):
        assert (
            np.median(model.predict_probability(rich, top)) > 0.2 > 10 * np.median(model.predict_probability(poor, top))
        )
    beyond = [model.predict_probability(rich, top + 1e-4).mean() for model in (atom, censored)]
    assert beyond[0] < 0.15 < 0.4 < beyond[1]  # values beyond the ceiling are thought of, or are not
    known = (y_test < top).to_numpy()
    assert censored.log_prob(X_test[known], y_test[known]).mean() > baseline(X, y, X_test[known], y_test[known]) + 0.4


def test_taxi_trips_end_somewhere_in_two_dimensions(drawn):
    X, y, X_test, y_test = drawn("nyc-taxi-yellow", ["dropoff_lon", "dropoff_lat"])
    full = MDNRegressor(**{**SMALL, "frequency": 0.1}, covariance_type="full").fit(X, y)
    assert full.log_prob(X_test, y_test).mean() > baseline(X, y, X_test, y_test) + 0.02
    turned = y_test[["dropoff_lat", "dropoff_lon"]]
    np.testing.assert_array_equal(full.log_prob(X_test, turned), full.log_prob(X_test, y_test))
    assert neg_energy_score(full, X_test, y_test) > -0.03  # of degrees, where the spread is 0.03 both ways
    modes = full.predict_modes(X_test[:50])
    assert modes.location.shape[::2] == (50, 2)
    region = full.predict_region(X_test, 0.8, target="dropoff_lat")
    inside = region.contains(torch.tensor(y_test["dropoff_lat"].to_numpy()))
    assert abs(inside.double().mean() - 0.8) < 0.06
    assert list(full.predict_frame(X_test).columns[:2]) == ["dropoff_lon_mean", "dropoff_lon_median"]
    assert full.predict_frame(X_test).index.equals(X_test.index)


def test_rain_that_is_often_none_at_all(drawn):
    X, y, X_test, y_test = drawn("rain-innsbruck", ["rain_mm"])
    told = " ".join(MDNRegressor(**{**SMALL, "max_epochs": 1}).fit(X, y).target_notes())
    assert f"{(y == 0).to_numpy().mean():.1%} of 'rain_mm' are exactly 0; pass atoms=(0.0,)" in told
    rain = MDNRegressor(**SMALL, atoms=(0.0,), family="log_normal").fit(X, y)
    dry = rain.predict_probability(X_test, 0.0, 0.0)
    really = (y_test == 0).to_numpy()[:, 0]
    assert dry[really].mean() > dry[~really].mean() + 0.03
    assert abs(dry.mean() - really.mean()) < 0.04
    assert (rain.predict_quantiles(X_test, 0.01) >= 0).all()
    flat = MDNRegressor(**SMALL, atoms=(0.0,), family="log_normal").fit(0 * X, y)
    assert rain.log_prob(X_test, y_test).mean() > flat.log_prob(0 * X_test, y_test).mean() + 0.04


def test_seven_torques_are_one_joint_density(drawn):
    torques = [f"tau{i}" for i in range(1, 8)]
    X, y, X_test, y_test = drawn("sarcos", torques)
    model = MDNRegressor(**{**SMALL, "hidden_sizes": (128,), "max_epochs": 100}).fit(X, y)
    assert model.score(X_test, y_test) > 0.85
    joint = model.log_prob(X_test, y_test)
    density = model.predict_distribution(X_test)
    rows = torch.tensor(y_test.to_numpy())
    alone = sum(density.marginal(d).log_prob(rows[:, [d]]) for d in range(7))
    assert joint.mean() > baseline(X, y, X_test, y_test) + 4
    assert joint.mean() != pytest.approx(float(alone.mean()), abs=1e-3)
    assert model.predict(X_test).shape == (N_TEST, 7)
    assert model.predict(X_test[:5], point="medoid").shape == (5, 7)
    assert neg_log_score(model, X_test, y_test) == pytest.approx(joint.mean())
