import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from manymodes import metrics
from manymodes.estimators import (
    CoverageError,
    MDNRegressor,
    coverage_error,
    neg_crps,
    neg_energy_score,
    neg_log_score,
)

from .small import SMALL, small

SCORERS = {"log": neg_log_score, "crps": neg_crps, "energy": neg_energy_score, "coverage": coverage_error}


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 2))
    y = np.column_stack([X[:, 0], X.sum(1)]) + 0.3 * rng.normal(size=(150, 2))
    return MDNRegressor(**SMALL).fit(X, y), X, y


def test_scores_are_the_metrics_with_the_sign_that_searches_want(fitted):
    model, X, y = fitted
    density, rows = model.predict_distribution(X), torch.tensor(y)
    assert neg_log_score(model, X, y) == pytest.approx(-float(metrics.log_score(density, rows).mean()))
    assert neg_crps(model, X, y) == pytest.approx(-float(metrics.crps(density, rows).mean()))
    assert neg_energy_score(model, X, y) == pytest.approx(-float(metrics.energy_score(density, rows).mean()))
    covered = metrics.coverage(density, rows, 0.5).double().mean(0)
    assert CoverageError(0.5)(model, X, y) == pytest.approx(-float((covered - 0.5).abs().mean()))


def test_families_that_are_not_normal_have_a_crps_too():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 1))
    y = X[:, 0] + 0.3 * rng.normal(size=150)
    normal, heavy = (small(family=family).fit(X, y) for family in ("normal", "student_t"))
    density, rows = heavy.predict_distribution(X), torch.tensor(y)[:, None]
    assert neg_crps(heavy, X, y) == pytest.approx(-float(metrics.crps(density, rows).mean()))
    assert neg_crps(heavy, X, y) == pytest.approx(neg_energy_score(heavy, X, y), rel=0.1)  # which draws samples
    assert neg_crps(heavy, X, y) == pytest.approx(neg_crps(normal, X, y), rel=0.2)


def test_weights_count(fitted):
    model, X, y = fitted
    half = np.arange(150) < 75
    assert neg_log_score(model, X, y, sample_weight=half) == pytest.approx(neg_log_score(model, X[:75], y[:75]))


def test_searches_and_cross_validation_take_them_through_pipelines(fitted):
    _, X, y = fitted
    pipeline = make_pipeline(StandardScaler(), MDNRegressor(**SMALL))
    found = cross_validate(pipeline, X, y[:, 0], cv=2, scoring=SCORERS)
    assert all(np.isfinite(found[f"test_{name}"]).all() for name in SCORERS)
    grid = {"mdnregressor__max_epochs": [1, 20]}
    search = GridSearchCV(pipeline, grid, cv=2, scoring=neg_log_score, n_jobs=2).fit(X, y[:, 0])
    assert search.best_params_ == {"mdnregressor__max_epochs": 20}
    assert neg_log_score(search, X, y[:, 0]) == pytest.approx(
        neg_log_score(search.best_estimator_[-1], search.best_estimator_[0].transform(X), y[:, 0])
    )


def test_weights_are_routed_to_fits_and_scores():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(120, 1)), rng.normal(size=120)
    weight = np.where(y > 0, 1.0, 0.0)  # what a weight of 0 leaves out would change everything
    asked = {"cv": KFold(2), "params": {"sample_weight": weight}, "return_estimator": True}
    with sklearn.config_context(enable_metadata_routing=True):
        model = MDNRegressor(**SMALL).set_fit_request(sample_weight=True)
        scorer = neg_log_score.set_score_request(sample_weight=True)
        weighted = cross_validate(model, X, y, scoring=scorer, **asked)
    for rows, fitted, score in zip(
        (slice(60), slice(60, 120)), weighted["estimator"], weighted["test_score"], strict=True
    ):
        assert fitted.predict(X).mean() > 0.4  # that of rows above 0; of all rows it is 0
        kept = weight[rows] > 0
        assert score == pytest.approx(neg_log_score(fitted, X[rows][kept], y[rows][kept]))
    assert not hasattr(neg_log_score, "_metadata_request")  # it is everybody's


def test_what_predicts_no_density_is_refused(fitted):
    _, X, y = fitted
    transformed = TransformedTargetRegressor(MDNRegressor(**SMALL)).fit(X, y[:, 0])
    assert transformed.predict(X).shape == (150,)
    for estimator in (LinearRegression().fit(X, y), transformed):
        with pytest.raises(
            TypeError, match=r"^estimator must predict densities, as MDNRegressor does, or be a pipeline"
        ):
            neg_log_score(estimator, X, y)


def test_missing_targets_score_by_what_is_known():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 1))
    y = pd.DataFrame({"a": X[:, 0], "b": rng.normal(size=80)})
    y.loc[:30, "b"] = np.nan
    model = MDNRegressor(**SMALL, allow_missing_targets=True).fit(X, y)
    density = model.predict_distribution(X[:5])
    expected = density.marginal(0).log_prob(torch.tensor(y["a"].values[:5])[:, None])
    np.testing.assert_allclose(model.log_prob(X[:5], y[:5]), expected)
    assert np.isfinite(neg_log_score(model, X, y))
