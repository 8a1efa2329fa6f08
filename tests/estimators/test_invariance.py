"""Nothing but the data counts: neither the order of columns nor units nor anybody's seeds; and scikit-learn's tools."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from .small import small

N = 120


def anything(seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "a": rng.normal(size=N),
            "b": np.where(rng.random(N) < 0.2, np.nan, rng.normal(size=N)),
            "c": rng.choice(["x", "y", "z"], N),
            "d": np.datetime64("2024-01-01") + rng.integers(0, 300, N).astype("timedelta64[D]"),
            "e": rng.integers(0, 5, N),
        }
    )
    return frame, frame.a + (frame.c == "x") + 0.1 * rng.normal(size=N)


@pytest.mark.parametrize("order", [["e", "d", "c", "b", "a"], ["c", "a", "e", "b", "d"]])
def test_the_order_of_columns_changes_no_prediction(order):
    X, y = anything()
    np.testing.assert_array_equal(small().fit(X[order], y).predict(X[order]), small().fit(X, y).predict(X))
    numbers = X[["a", "e"]].to_numpy()
    turned = small().fit(numbers[:, ::-1], y).predict(numbers[:, ::-1])
    np.testing.assert_array_equal(turned, small().fit(numbers, y).predict(numbers))


@pytest.mark.parametrize("unit", [1e-9, 2.54, 1e9])
def test_units_change_no_prediction(unit):
    X, y = anything()
    other = X.assign(a=unit * X.a + 3 * unit, b=-unit + unit * X.b, e=unit * X.e)
    expected = small().fit(X, y).predict(X)
    found = small().fit(other, unit * y + 7 * unit).predict(other)
    np.testing.assert_allclose((found - 7 * unit) / unit, expected, rtol=1e-3, atol=1e-3)


def test_seeds_of_others_change_nothing_and_are_not_changed():
    X, y = anything()
    predictions = []
    for seed in (1, 2):
        np.random.seed(seed)
        torch.manual_seed(seed)
        before = np.random.get_state()[1].copy(), torch.get_rng_state()
        model = small(dropout=0.2).fit(X, y)
        predictions.append(model.predict(X))
        model.predict(X, point="medoid"), model.explain(X[:3]), model.sample(X, 2, random_state=0)
        assert (np.random.get_state()[1] == before[0]).all()
        assert torch.equal(torch.get_rng_state(), before[1])
    np.testing.assert_array_equal(*predictions)


def test_copies_processes_and_cross_validation_work_with_frames():
    X, y = anything()
    model = small(max_epochs=5).fit(X, y)
    expected = model.predict(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), expected)
    np.testing.assert_array_equal(clone(model).fit(X, y).predict(X), expected)
    parts = joblib.Parallel(n_jobs=2)(joblib.delayed(model.predict)(X[i : i + 40]) for i in (0, 40, 80))
    np.testing.assert_allclose(np.concatenate(parts), expected, rtol=1e-12)
    assert cross_val_predict(small(max_epochs=5), X, y, cv=3, n_jobs=2).shape == (N,)
    wrapped = TransformedTargetRegressor(small(max_epochs=5), func=np.arcsinh, inverse_func=np.sinh).fit(X, y)
    assert np.isfinite(wrapped.predict(X)).all()
    numbers = make_column_transformer((OneHotEncoder(), ["c"]), ("passthrough", ["a", "e"]))
    assert make_pipeline(numbers, small(max_epochs=5)).fit(X, y).predict(X).shape == (N,)


def test_names_of_features_are_checked():
    X, y = anything()
    model = small(max_epochs=1).fit(X, y)
    assert model.n_features_in_ == 5
    assert model.feature_names_in_.tolist() == list(X)
    with pytest.raises(ValueError, match="Feature names must be in the same order as they were in fit"):
        model.predict(X[["e", "d", "c", "b", "a"]])
    with pytest.raises(ValueError, match="Feature names seen at fit time, yet now missing"):
        model.predict(X.drop(columns="c"))
