"""Recalibrated regressors: folds or rows held out, the usual answers, files, and a warning on training rows."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import KFold, TimeSeriesSplit

import manymodes as mm
from manymodes._checks import InputError
from manymodes.distributions import Mixture, Recalibrated
from manymodes.estimators import RecalibratedRegressor, neg_log_score
from manymodes.estimators.baselines import NearestNeighbours, UnconditionalDensity
from tests.estimators.small import small


def skewed(n, seed):
    rng = np.random.default_rng(seed)
    X = rng.uniform(size=(n, 2))
    return X, X[:, 0] + rng.exponential(size=n)


def gaussian(**changes):
    return small(n_components=1, max_epochs=30, random_state=0, **changes)


@pytest.fixture(scope="module")
def folded():
    return RecalibratedRegressor(gaussian(), cv=3, kind="spline", random_state=0).fit(*skewed(600, 0))


def test_folds_repair_a_model_that_cannot_be_skewed(folded):
    X, y = skewed(2000, 1)
    before, after = folded.estimator_.log_prob(X, y), folded.log_prob(X, y)
    gained = after - before
    assert gained.mean() > 5 * gained.std() / len(y) ** 0.5


def test_the_usual_answers_are_those_of_the_recalibrated_density(folded):
    X, y = skewed(50, 2)
    density = folded.predict_distribution(X)
    assert isinstance(density, Recalibrated)
    np.testing.assert_allclose(folded.predict(X), density.mean[:, 0])
    np.testing.assert_allclose(folded.predict(X, point="mode"), density.mode[:, 0])
    np.testing.assert_allclose(folded.predict_quantiles(X, 0.9)[:, 0], density.icdf(0.9)[:, 0])
    np.testing.assert_allclose(folded.predict_region(X, 0.8).low[:, 0], density.highest_density_region(0.8).low[:, 0])
    assert folded.sample(X, 3, random_state=0).shape == (3, 50)
    assert folded.predict_modes(X).count.min() >= 1
    assert folded.predict_frame(X)["y_median"].shape == (50,)
    assert folded.n_features_in_ == 2
    assert neg_log_score(folded, X, y) == pytest.approx(density.log_prob(torch.tensor(y)[:, None]).mean().item())
    assert 0 < folded.score(X, y) < 1


def test_a_prefit_model_is_recalibrated_by_rows_that_it_has_not_seen():
    model = gaussian().fit(*skewed(400, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prefit = RecalibratedRegressor(model, cv="prefit", kind="spline", random_state=0).fit(*skewed(400, 4))
    assert prefit.estimator_ is model
    X, y = skewed(2000, 5)
    assert prefit.log_prob(X, y).mean() > model.log_prob(X, y).mean()


def test_training_rows_are_warned_of():
    X, y = skewed(400, 6)
    model = gaussian().fit(X, y)
    with pytest.warns(UserWarning, match="X and y") as caught:
        RecalibratedRegressor(model, cv="prefit", random_state=0).fit(X, y)
    assert str(caught[0].message) == (
        "X and y must be rows that the estimator was not fitted to; about 100% of them are rows of its fit, on which "
        "its predictions look better than they are. Hand in others, or use folds, cv=5."
    )


def test_a_saved_one_predicts_the_same(folded, tmp_path):
    folded.save(tmp_path / "model.mm")
    again = mm.load(tmp_path / "model.mm")
    X, y = skewed(40, 7)
    assert isinstance(again, RecalibratedRegressor)
    np.testing.assert_array_equal(again.log_prob(X, y), folded.log_prob(X, y))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(folded)).log_prob(X, y), folded.log_prob(X, y))
    assert clone(again).get_params()["cv"] == 3


def test_baselines_are_recalibrated_too_but_have_no_file(tmp_path):
    X, y = skewed(200, 8)
    model = RecalibratedRegressor(NearestNeighbours(), cv=2, random_state=0).fit(X, y)
    assert np.isfinite(model.log_prob(X, y)).all()
    with pytest.raises(TypeError) as error:
        model.save(tmp_path / "model.mm")
    assert (
        str(error.value) == "estimator must be an MDNRegressor to be saved; got NearestNeighbours, which has no file."
    )


def test_several_targets_frames_and_weights_work():
    rng = np.random.default_rng(9)
    X = {"a": rng.normal(size=200), "b": rng.choice(["x", "y"], 200)}
    y = {"low": X["a"] + rng.normal(size=200), "high": rng.exponential(size=200)}
    model = RecalibratedRegressor(gaussian(), cv=2, kind="spline", random_state=0)
    model.fit(X, y, sample_weight=np.ones(200))
    density = model.predict_distribution(X)
    assert density.event_shape == (2,)
    assert model.predict(X).shape == (200, 2)
    assert model.target_names_ == ["low", "high"]


def test_fold_models_may_differ_in_their_number_of_components():
    from manymodes.estimators.recalibrated_regressor import _joined_folds

    X, y = skewed(60, 10)
    parts = [small(n_components=k, random_state=0).fit(X, y).predict_distribution(X) for k in (1, 3)]
    together = _joined_folds(parts)
    assert isinstance(together, Mixture)
    t = torch.tensor(np.concatenate([y, y]))[:, None]
    expected = torch.cat([part.log_prob(t[:60]) for part in parts])
    torch.testing.assert_close(together.log_prob(t), expected)


def test_a_fit_that_fails_leaves_everything_as_it_was(folded):
    before = folded.recalibration_
    with pytest.raises(ValueError, match="X and y must have the same number of rows; got 10 and 9"):
        folded.fit(np.zeros((10, 2)), np.zeros(9))
    assert folded.recalibration_ is before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cv": 1}, "cv must be an integer from 2 to 100; got 1."),
        ({"cv": "Prefit"}, "cv must be a number of folds, a splitter or 'prefit'; got 'Prefit'."),
        ({"cv": TimeSeriesSplit(3)}, "cv must hold out every row once; got folds that do not."),
        ({"kind": "platt"}, "kind must be one of 'auto', 'beta', 'spline', 'temperature'; got 'platt'."),
    ],
)
def test_bad_settings_get_one_sentence(settings, message):
    X, y = skewed(100, 11)
    with pytest.raises(InputError) as error:
        RecalibratedRegressor(UnconditionalDensity(), **settings).fit(X, y)
    assert str(error.value) == message


def test_a_refused_target_is_named_by_its_row_among_all():
    X, y = skewed(100, 13)
    y[90] = np.nan
    with pytest.raises(
        InputError, match=r"^y must have no missing values for a recalibration; got NaN in row 91\. Drop such rows\.$"
    ):
        RecalibratedRegressor(gaussian(), cv=5, random_state=0).fit(X, y)


def test_rows_of_a_group_are_never_on_both_sides_of_a_fold():

    groups = np.repeat(np.arange(6), 10)
    folds = list(RecalibratedRegressor(UnconditionalDensity(), cv=3)._folds(60, 0, groups))
    assert all(not set(groups[learns]) & set(groups[judged]) for learns, judged in folds)


def test_what_predicts_no_densities_is_refused():
    from sklearn.linear_model import LinearRegression

    with pytest.raises(TypeError) as error:
        RecalibratedRegressor(LinearRegression()).fit(*skewed(50, 12))
    assert str(error.value) == (
        "estimator must be a DensityRegressorMixin, which predicts densities; got LinearRegression."
    )


def test_folds_of_ones_own_are_used():
    X, y = skewed(90, 13)
    model = RecalibratedRegressor(UnconditionalDensity(), cv=KFold(3), random_state=0).fit(X, y)
    assert model.predict(X).shape == (90,)
