"""What a fitted estimator answers: each answer is that of the distribution it predicts."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from sklearn.metrics import r2_score

from manymodes._checks import InputError
from manymodes.distributions import medoid
from manymodes.estimators import MDNRegressor

from . import small

SMALL = {**small.SMALL, "n_components": 3, "max_epochs": 60}
N = 1100  # more than one batch of predictions


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(N, 2))
    side = rng.choice([-1, 1], size=N)
    return X, side * (2 + X[:, 0]) + 0.1 * rng.normal(size=N)


@pytest.fixture(scope="module")
def model(data):
    return MDNRegressor(**SMALL).fit(*data)


@pytest.fixture(scope="module")
def two(data):
    X, y = data
    return MDNRegressor(**SMALL).fit(X, pd.DataFrame({"a": y, "b": 10 * y + 3}))


def test_regions_hold_their_level_in_separate_pieces(model, data):
    X, _ = data
    region = model.predict_region(X, 0.8)
    np.testing.assert_allclose(region.total_mass, 0.8, atol=1e-9)
    assert region.mask.shape[0] == N
    assert (region.count == 2).double().mean() > 0.9  # two answers, and nothing between them
    low, high = region.low[:, 0], region.high[:, 0]
    expected = model.predict_distribution(X).probability(low[:, None], high[:, None])[:, 0]
    torch.testing.assert_close(region.mass[:, 0], expected)


def test_modes_are_those_of_the_distribution(model, data):
    X, _ = data
    modes, expected = model.predict_modes(X), model.predict_distribution(X).modes()
    torch.testing.assert_close(modes.location, expected.location, equal_nan=True)
    torch.testing.assert_close(modes.mass, expected.mass)
    assert len(modes.to_dict()["row"]) == int(expected.mask.sum())


def test_a_target_is_chosen_by_name_or_place(two, data):
    X, _ = data
    by_name, by_place = two.predict_region(X[:9], target="b"), two.predict_region(X[:9], target=1)
    torch.testing.assert_close(by_name.low, by_place.low, equal_nan=True)
    with pytest.raises(InputError, match="^target must name one of 'a', 'b'; got None"):
        two.predict_region(X)
    with pytest.raises(InputError, match="^y has no column 'c'"):
        two.predict_region(X, target="c")


def test_probabilities_take_ends_for_all_for_each_row_or_for_each_target(model, two, data):
    X, y = data
    density = model.predict_distribution(X)
    np.testing.assert_allclose(model.predict_probability(X, 0.0), density.sf(torch.zeros(N, 1))[:, 0])
    np.testing.assert_allclose(model.predict_probability(X, None, y), density.cdf(torch.tensor(y)[:, None])[:, 0])
    both = two.predict_probability(X, [0.0, 3.0], [5.0, 30.0])
    assert both.shape == (N, 2)
    expected = two.predict_distribution(X).probability(torch.tensor([[0.0, 3.0]]), torch.tensor([[5.0, 30.0]]))
    np.testing.assert_allclose(both, expected)


@pytest.mark.parametrize(
    ("ends", "sentence"),
    [
        ((), "low or high must be given; got neither."),
        (([0.0, 1.0],), r"low must be a number, one for each of 1 target, or have shape (1100, 1); got (2, 1)."),
        ((1.0, 0.0), "low must be <= high; got 1 and 0 at (0, 0)."),
        ((np.nan,), "low must be a number; got NaN."),
    ],
)
def test_ends_that_cannot_be_are_refused(model, data, ends, sentence):
    with pytest.raises(InputError) as caught:
        model.predict_probability(data[0], *ends)
    assert str(caught.value) == sentence


def test_log_prob_is_that_of_the_joint_density_and_follows_names(model, two, data):
    X, y = data
    expected = model.predict_distribution(X).log_prob(torch.tensor(y)[:, None])
    np.testing.assert_allclose(model.log_prob(X, y), expected, rtol=1e-12)
    frame = pd.DataFrame({"b": 10 * y + 3, "a": y})
    joint = two.predict_distribution(X).log_prob(torch.tensor(frame[["a", "b"]].to_numpy().copy()))
    np.testing.assert_allclose(two.log_prob(X, frame), joint, rtol=1e-12)
    with pytest.raises(InputError, match=r"^y must have shape \(N, 2\) as the model was fitted with; got \(1100, 1\)"):
        two.log_prob(X, y)
    with pytest.raises(InputError, match="^X and y must have the same number of rows; got 1100 and 5"):
        model.log_prob(X, y[:5])


def test_the_medoid_is_an_answer_that_happens_where_the_mean_is_none(model, data):
    X, _ = data
    heights = {point: model.log_prob(X, model.predict(X, point=point)) for point in ("mean", "medoid", "mode")}
    assert np.median(heights["mean"]) < np.median(heights["medoid"]) - 2
    assert (heights["mode"] >= heights["medoid"] - 1e-9).all()
    expected = medoid(model.predict_distribution(X))[:, 0]
    np.testing.assert_allclose(model.predict(X, point="medoid"), expected, rtol=1e-9)


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, pa.table, dict])
def test_predictions_come_as_a_frame_of_the_callers_kind(data, kind):
    X, y = data
    table = kind({"u": X[:, 0], "v": X[:, 1]})
    model = MDNRegressor(**{**SMALL, "max_epochs": 2}).fit(table, pd.Series(y, name="price"))
    frame = model.predict_frame(table, (0.1, 0.5), interval=0.8)
    assert type(frame) is type(table)
    names = list(frame.column_names if kind is pa.table else frame if kind is dict else frame.columns)
    assert names == ["price_mean", "price_median", "price_q0.1", "price_q0.5", "price_lower_80", "price_upper_80"]
    np.testing.assert_allclose(np.asarray(frame["price_mean"]), model.predict(table), rtol=1e-12)
    np.testing.assert_allclose(np.asarray(frame["price_q0.1"]), np.asarray(frame["price_lower_80"]))
    tidy = model.predict_components(table)
    assert type(tidy) is type(table)


def test_a_pandas_index_is_kept(data):
    X, y = data
    frame = pd.DataFrame(X, columns=["u", "v"], index=np.arange(N)[::-1])
    model = MDNRegressor(**{**SMALL, "max_epochs": 2}).fit(frame, y)
    assert model.predict_frame(frame).index.equals(frame.index)


def test_components_are_those_of_the_mixture(two, data):
    X, _ = data
    table, density = two.predict_components(X[:7]), two.predict_distribution(X[:7])
    assert len(table["row"]) == 7 * 6 * 2
    chosen = (table["row"] == 3) & (table["target"] == "b")
    np.testing.assert_allclose(table["weight"][chosen], density.weights[3])
    np.testing.assert_allclose(table["location"][chosen], density.components.loc[3, :, 1])
    np.testing.assert_allclose(table["scale"][chosen], density.components.scale[3, :, 1])


def test_tables_without_rows_have_predictions_without_rows(model):
    X = np.empty((0, 2))
    assert model.predict(X).shape == model.log_prob(X, np.empty(0)).shape == (0,)
    assert model.predict_quantiles(X).shape == (0, 3)
    assert model.predict_frame(X)["y_mean"].shape == (0,)
    assert model.predict_modes(X).mask.shape[0] == 0
    with pytest.raises(InputError, match="^X must have at least 1 row; got 0"):
        model.explain(X)


def test_members_average_to_the_prediction(model, data):
    X, _ = data
    members = model.predict_members(X)
    assert len(members) == 2
    np.testing.assert_allclose(np.mean([part.mean for part in members], 0), model.predict_distribution(X).mean)


def test_ends_of_several_targets_are_named_and_none_is_taken_for_another(two, data):
    X, _ = data
    named = two.predict_probability(X, {"b": 3.0})
    np.testing.assert_array_equal(named, two.predict_probability(X, [-np.inf, 3.0]))
    np.testing.assert_allclose(named[:, 0], 1)
    with pytest.raises(InputError, match=r"^low must be one number for each of 2 targets; got 3\.0\.$"):
        two.predict_probability(X, 3.0)
    with pytest.raises(InputError, match=r"^high must be numbers; got 'much'\.$"):
        two.predict_probability(X, None, "much")


def test_scores_follow_the_names_of_targets_and_leave_out_what_is_missing(two, data):
    X, y = data
    frame = pd.DataFrame({"a": y, "b": 10 * y + 3 + 5 * X[:, 0]})
    expected = r2_score(frame.to_numpy(), two.predict(X))
    assert two.score(X, frame) == pytest.approx(expected)
    assert two.score(X, frame[["b", "a"]]) == pytest.approx(expected)
    with pytest.raises(InputError, match="^y has no column 'b'"):
        two.score(X, frame.rename(columns={"b": "c"}))
    ends = pd.DataFrame({"b": np.full(N, 3.0), "a": np.zeros(N)})
    np.testing.assert_array_equal(two.predict_probability(X, ends), two.predict_probability(X, ends[["a", "b"]]))
