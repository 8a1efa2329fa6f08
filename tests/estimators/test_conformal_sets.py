"""Conformal sets from features and targets: guaranteed on new rows, and a warning on those of the fit."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from manymodes._checks import InputError
from manymodes.estimators import RecalibratedRegressor
from manymodes.estimators.baselines import UnconditionalDensity
from tests.estimators.small import small


def two_branches(n, seed):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (n, 1))
    return X, rng.choice([-1.0, 1.0], n) + 0.3 * X[:, 0] + 0.05 * rng.normal(size=n)


@pytest.fixture(scope="module")
def model():
    return small().fit(*two_branches(300, 0))


@pytest.mark.parametrize("kind", ["region", "central"])
def test_sets_of_an_estimator_hold_new_targets(model, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sets = model.conformal_sets(*two_branches(1000, 1), 0.8, kind=kind)
    X, y = two_branches(2000, 2)
    covered = sets.contains(model.predict_distribution(X), torch.from_numpy(y)[:, None]).double().mean()
    assert covered.item() == pytest.approx(0.8, abs=4 * (0.16 * (1 / 1000 + 1 / 2000)) ** 0.5)


def test_rows_of_the_fit_are_warned_of(model):
    with pytest.warns(UserWarning, match="X and y") as caught:
        model.conformal_sets(*two_branches(300, 0))
    assert caught[0].filename == __file__
    assert str(caught[0].message) == (
        "X and y must be rows that the estimator was not fitted to; about 100% of them are rows of its fit, on which "
        "its predictions look better than they are. Hand in others."
    )


def test_rows_of_the_fit_are_warned_of_through_a_recalibration():
    X, y = two_branches(200, 3)
    corrected = RecalibratedRegressor(small(), cv=2, random_state=0).fit(X, y)
    with pytest.warns(UserWarning, match="100% of them are rows of its fit"):
        corrected.conformal_sets(X, y)


def test_groups_and_baselines_have_sets_too():
    X, y = two_branches(300, 4)
    baseline = UnconditionalDensity().fit(X, y)
    groups = np.where(X[:, 0] < 0, "left", "right")
    assert set(baseline.conformal_sets(X, y, 0.8, groups=groups).thresholds) == {"left", "right"}


def test_an_estimator_without_a_fit_or_rows_has_no_sets(model):
    with pytest.raises(NotFittedError, match=r"^This MDNRegressor instance is not fitted yet"):
        small().conformal_sets(*two_branches(30, 5))
    with pytest.raises(InputError, match=r"^y must have at least 9 rows for level=0\.9; got 5\.$"):
        model.conformal_sets(*two_branches(5, 5))
    X, y = two_branches(30, 5)
    with pytest.raises(InputError, match=r"^y must have at least 1 row for fit_conformal; got 0\.$"):
        model.conformal_sets(X[:0], y[:0])


def test_what_is_no_prediction_and_what_is_no_table_gets_one_sentence(model):
    X, y = two_branches(30, 6)
    sets = model.conformal_sets(X, y, 0.8)
    for call in (lambda: sets.predict(X), lambda: sets.contains(X, y)):
        with pytest.raises(TypeError) as caught:
            call()
        assert str(caught.value) == "distribution must be a Prediction, see predict_distribution; got ndarray."
    with pytest.raises(TypeError, match=r"^X must hold rows of features; got Mixture\.$"):
        model.conformal_sets(model.predict_distribution(X), y)
    with pytest.raises(InputError, match=r"^y must have no missing values for conformal sets; got NaN in row 4\."):
        model.conformal_sets(X, np.where(np.arange(30) == 3, np.nan, y))


def test_a_model_of_rounded_targets_has_sets_too():
    X, y = two_branches(300, 7)
    model = small(rounding=0.1).fit(X, y.round(1))
    X, y = two_branches(600, 8)
    sets = model.conformal_sets(X[:300], y[:300].round(1), 0.8)
    targets = torch.from_numpy(y[300:].round(1))[:, None]
    covered = sets.contains(model.predict_distribution(X[300:]), targets).double().mean()
    assert covered.item() == pytest.approx(0.8, abs=4 * (0.16 * 2 / 300) ** 0.5)
