import functools
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import check_estimator

import manymodes as mm
from manymodes._checks import InputError
from manymodes.distributions import Mixture, Normal
from manymodes.estimators.baselines import (
    BASELINES,
    Baseline,
    DeepEnsemble,
    GaussianNetwork,
    GaussianProcess,
    HistogramBoosting,
    MonteCarloDropout,
    NearestNeighbours,
    QuantileBoosting,
    UnconditionalDensity,
)

NETWORKS = ("least_squares", "gaussian_network", "deep_ensemble", "monte_carlo_dropout")
ONE_TARGET = ("quantile_boosting", "histogram_boosting")
SMALL = {"hidden_sizes": (16,), "max_epochs": 8, "batch_size": 32, "lr": 1e-2, "frequency": 0.1, "dropout": 0.1}
QUICK = {
    **{name: {"regressor": mm.MDNRegressor(**SMALL)} for name in NETWORKS},
    "monte_carlo_dropout": {"regressor": mm.MDNRegressor(**SMALL), "n_passes": 10},
    "quantile_boosting": {"n_levels": 7, "max_trees": 20},
    "histogram_boosting": {"max_trees": 10},
}
every_baseline = pytest.mark.parametrize("name", BASELINES)


def make_table() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 3)) * [1.0, 100.0, 1e-3] + [0.0, 5.0, 1e3]
    return X, np.sin(2 * X[:, 0]) + 0.3 * rng.normal(size=90)


@pytest.fixture(scope="module")
def table():
    return make_table()


def quick(name: str, **changes) -> Baseline:
    settings = {**QUICK.get(name, {}), **changes}
    if name != "gaussian_process":
        settings.setdefault("random_state", 0)
    return BASELINES[name](**settings)


@functools.cache
def fitted(name: str) -> Baseline:
    """Return a baseline fitted to the table, for tests that only ask it."""
    return quick(name).fit(*make_table())


def column(y) -> torch.Tensor:
    return torch.tensor(np.asarray(y)).reshape(-1, 1)


def scores(model, X, y) -> np.ndarray:
    return -model.predict_distribution(X).log_prob(column(y)).numpy()


# --- one interface ---


@every_baseline
@pytest.mark.parametrize("columns", [None, 1, 2])
def test_predictions_have_the_shape_of_the_target(table, name, columns):
    X, y = table
    if columns == 2 and name in ONE_TARGET:
        pytest.skip("takes one target")
    y = y if columns is None else np.column_stack([y, -y])[:, :columns]
    model, tail = quick(name).fit(X, y), () if columns is None else (columns,)
    for point in ("mean", "median", "mode") if columns != 2 else ("mean", "median"):  # modes in a plane take long
        assert model.predict(X[:7], point=point).shape == (7, *tail)
    assert model.predict_quantiles(X[:7], (0.1, 0.5)).shape == (7, *tail, 2)
    assert model.predict_interval(X[:7]).shape == (7, *tail, 2)
    assert model.sample(X[:7], 4, random_state=0).shape == (4, 7, *tail)
    assert model.score(X, y) <= 1
    density = model.predict_distribution(X[:7])
    assert isinstance(density, Mixture)
    assert isinstance(density.components, Normal)
    assert density.batch_shape == (7,)
    assert density.event_shape == (columns or 1,)
    assert density.mean.dtype == torch.float64
    assert mm.metrics.crps(density, torch.tensor(y[:7]).reshape(7, -1)).shape == (7,)


@every_baseline
def test_density_integrates_to_one(table, name):
    X, _ = table
    density = fitted(name).predict_distribution(X[:4])
    grid = torch.linspace(-15, 15, 60_001, dtype=torch.float64)
    heights = density.log_prob(grid[:, None, None].expand(-1, 4, 1)).exp()
    torch.testing.assert_close(torch.trapezoid(heights, grid, dim=0), torch.ones(4, dtype=torch.float64))


@every_baseline
def test_the_prediction_of_a_row_does_not_depend_on_the_rows_beside_it(table, name):
    X, y = table
    model = fitted(name)
    alone = np.concatenate([scores(model, X[i : i + 1], y[i : i + 1]) for i in range(10)])
    np.testing.assert_allclose(alone, scores(model, X, y)[:10], rtol=1e-9, atol=1e-9)


@every_baseline
@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_predictions_do_not_depend_on_units(table, name, unit):
    X, y = table
    ours = scores(quick(name).fit(X / unit, unit * y), X / unit, unit * y) - np.log(unit)
    # Networks are trained in single precision, and the search for the process's parameters stops at a tolerance.
    tolerance = 1e-6 if name not in (*NETWORKS, "gaussian_process") else 1e-3
    np.testing.assert_allclose(ours, scores(fitted(name), X, y), rtol=tolerance, atol=tolerance)


@every_baseline
def test_fits_follow_random_state_and_no_global_seed(table, name):
    X, y = table
    answers = []
    for global_seed in (1, 2):
        np.random.seed(global_seed)
        torch.manual_seed(global_seed)
        before = torch.get_rng_state(), np.random.get_state()[1].tolist()
        answers.append(scores(quick(name).fit(X, y), X, y))
        assert torch.equal(torch.get_rng_state(), before[0])
        assert np.random.get_state()[1].tolist() == before[1]
    np.testing.assert_array_equal(*answers)


@pytest.mark.parametrize("name", [*NETWORKS, *ONE_TARGET])
def test_another_random_state_gives_another_fit(table, name):
    X, y = table
    first, second = (scores(quick(name, random_state=seed).fit(X, y), X, y) for seed in (0, np.random.RandomState(1)))
    assert (first != second).any()


@every_baseline
def test_a_feature_that_never_varied_says_nothing_when_it_does(table, name):
    X, y = table
    X = np.column_stack([X, np.full(90, 7.0)])
    model, changed = quick(name).fit(X, y), X.copy()
    changed[:, 3] = -7000.0
    np.testing.assert_array_equal(model.predict(changed), model.predict(X))


@every_baseline
def test_a_handful_of_rows_is_enough(name):
    X, y = np.arange(5.0)[:, None], np.array([0.0, 0.0, 0.0, 1.0, 1.5])
    assert np.isfinite(scores(quick(name, **FEW_ROWS.get(name, {})).fit(X, y), X, y)).all()


FEW_ROWS = {name: {"validation_fraction": 0.3} for name in ("least_squares", "monte_carlo_dropout")}


@every_baseline
def test_a_target_of_two_values_is_enough(name):
    # Its lattice makes the smallest scale larger than its standard deviation.
    X, y = np.arange(60.0)[:, None], (np.arange(60) % 30 == 7).astype(float)
    assert np.isfinite(scores(quick(name, **FEW_ROWS.get(name, {})).fit(X, y), X, y)).all()


@every_baseline
def test_clones_and_pickles_keep_what_they_should(table, name):
    X, y = table
    model = fitted(name)
    copy = clone(model)
    assert str(copy.get_params()) == str(model.get_params())
    with pytest.raises(NotFittedError):
        copy.predict(X)
    np.testing.assert_array_equal(scores(pickle.loads(pickle.dumps(model)), X, y), scores(model, X, y))


@every_baseline
def test_frames_are_read_and_their_names_kept(table, name):
    X, y = table
    model = quick(name).fit(pd.DataFrame(X, columns=["a", "b", "c"]), pd.Series(y, name="price"))
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    assert model.target_names_ == ["price"]
    assert model.n_features_in_ == 3
    columns = dict(zip("abc", X.T, strict=True))
    np.testing.assert_array_equal(quick(name).fit(columns, y).predict(columns), fitted(name).predict(X))


@pytest.mark.parametrize("name", ["unconditional", "nearest_neighbours"])
def test_scikit_learns_own_checks_all_pass(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some checks provoke them
        results = check_estimator(quick(name), on_skip=None, on_fail="raise")
    assert len([result for result in results if result["status"] == "passed"]) >= 45


# --- truth that is known ---


def simulated(kind: str, n_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return X (N, 2), y (N,) and the true log score of each row; the second feature says nothing."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(n_rows, 2))
    mean, scale, side = np.sin(3 * X[:, 0]), np.full(n_rows, 0.3), np.zeros(n_rows)
    if kind == "uneven":
        scale = np.where(X[:, 0] > 0, 0.5, 0.1)
    if kind == "two_answers":
        side = rng.choice([-1.0, 1.0], size=n_rows)
    if kind == "unrelated":
        mean, side = np.zeros(n_rows), rng.choice([-1.0, 1.0], size=n_rows)
    y = mean + side + scale * rng.normal(size=n_rows)
    sides = [-1.0, 1.0] if side.any() else [0.0]
    density = np.mean([stats.norm.pdf(y, mean + s, scale) for s in sides], 0)
    return X, y, -np.log(density)


SERIOUS = mm.MDNRegressor(hidden_sizes=(64, 64), max_epochs=50, frequency=0.1)


@functools.cache
def serious(name: str, kind: str) -> Baseline:
    """Return a baseline fitted to 500 simulated rows."""
    settings = {"regressor": SERIOUS} if name in NETWORKS else {}
    settings |= {} if name == "gaussian_process" else {"random_state": 0}
    settings |= {"max_trees": 60, "n_levels": 11} if name == "quantile_boosting" else {}
    X, y, _ = simulated(kind, 500, seed=0)
    return BASELINES[name](**settings).fit(X, y)


def regret(name: str, kind: str) -> float:
    """Return how much worse than the truth a baseline scores on 4,000 other rows; a standard error is below 0.01."""
    X, y, true = simulated(kind, 4000, seed=1)
    return float((scores(serious(name, kind), X, y) - true).mean())


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("least_squares", 0.05),
        ("gaussian_network", 0.06),
        ("deep_ensemble", 0.06),
        ("monte_carlo_dropout", 0.05),
        ("gaussian_process", 0.03),
        ("quantile_boosting", 0.25),
        ("histogram_boosting", 0.2),
        ("nearest_neighbours", 0.2),
    ],
)
def test_constant_noise_is_found(name, most):
    # Without x the score is 0.9 worse than the truth.
    assert regret(name, "even") < most


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("least_squares", 0.4, 0.6),  # a constant width loses that much, however good the mean
        ("gaussian_network", 0.0, 0.15),
        ("deep_ensemble", 0.0, 0.15),
        ("quantile_boosting", 0.0, 0.38),
        ("histogram_boosting", 0.0, 0.38),
        ("nearest_neighbours", 0.0, 0.4),
    ],
)
def test_noise_that_depends_on_x_is_found_by_those_that_can(name, least, most):
    assert least < regret(name, "uneven") < most


@pytest.mark.parametrize("name", ["quantile_boosting", "histogram_boosting", "nearest_neighbours"])
def test_mixtures_beat_one_normal_where_there_are_two_answers(name):
    # The best single normal is 0.57 worse than the truth.
    assert regret(name, "two_answers") < 0.45


def test_the_unconditional_density_is_the_truth_where_x_says_nothing():
    assert -0.02 < regret("unconditional", "unrelated") < 0.03
    assert regret("nearest_neighbours", "unrelated") < 0.1


@pytest.mark.parametrize("name", ["deep_ensemble", "gaussian_process", "quantile_boosting", "nearest_neighbours"])
def test_intervals_hold_about_as_many_targets_as_they_say(name):
    # Of 4,000 rows 90 % should be inside; what 500 rows teach leaves some points of error.
    X, y, _ = simulated("even", 4000, seed=1)
    low, high = serious(name, "even").predict_interval(X, 0.9).T
    assert 0.85 < ((low < y) & (y < high)).mean() < 0.96


# --- each by itself ---


def test_the_unconditional_density_is_the_same_everywhere_and_has_as_many_components_as_bic_wants():
    X, y, _ = simulated("unrelated", 500, seed=0)
    model = UnconditionalDensity(random_state=0).fit(X, np.column_stack([y, 3 * y + 0.1 * X[:, 0]]))
    assert model.n_components_ == 2
    density = model.predict_distribution(X[:3])
    assert torch.equal(density.mean[0], density.mean[2])
    covariance = density.components.covariance_matrix[0]
    assert (covariance[:, 0, 1] > 0).all()  # several targets are one joint density


def test_every_process_normal_holds_the_noise():
    X, y, _ = simulated("even", 300, seed=0)
    model = GaussianProcess().fit(X, np.column_stack([y, 100 * y]))
    scale = model.predict_distribution(np.vstack([X, [[1e6, 1e6]]])).components.stddev[:, 0]  # (N, D)
    torch.testing.assert_close(scale[:-1].mean(0), torch.tensor([0.3, 30.0], dtype=torch.float64), rtol=0.1, atol=0)
    assert (scale[-1] > 2 * scale[0]).all()  # far away nothing is known


def test_constant_noise_is_measured_on_rows_left_out():
    # 50 rows measure a standard deviation of 0.3 with a standard error of 10 %.
    X, _, _ = simulated("even", 500, seed=0)
    model = serious("least_squares", "even")
    assert model.noise_.item() == pytest.approx(0.3, rel=0.3)
    density = model.predict_distribution(X)
    assert density.n_components == 1
    assert torch.equal(density.components.stddev, model.noise_.expand(500, 1, 1))


def test_an_ensemble_pools_a_normal_of_each_member(table):
    X, y = table
    model = DeepEnsemble(mm.MDNRegressor(**SMALL), n_members=3, random_state=0).fit(X, y)
    density = model.predict_distribution(X)
    assert density.n_components == 3
    assert (density.components.loc.std(1) > 0).all()
    torch.testing.assert_close(density.weights, torch.full((90, 3), 1 / 3, dtype=torch.float64))


def test_networks_take_the_settings_of_a_regressor_but_not_its_mixture(table):
    X, y = table
    regressor = mm.MDNRegressor(7, retrieval=True, objective="crps", **{**SMALL, "lr": 3e-3})
    model = GaussianNetwork(regressor, random_state=0).fit(X, y)
    assert model.predict_distribution(X).n_components == 1
    assert model.regressor_.objective == "crps"
    assert model.regressor_.lr == 3e-3
    assert regressor.n_components == 7
    assert not hasattr(regressor, "network_")
    assert model.get_params()["regressor__lr"] == 3e-3


@pytest.mark.parametrize("name", NETWORKS)
def test_settings_may_call_features_by_name(table, name):
    X, y = table
    frame = pd.DataFrame({"size": X[:, 0], "kind": np.arange(90) % 3})
    model = quick(name, regressor=mm.MDNRegressor(**SMALL, categorical_features=("kind",))).fit(frame, y)
    assert model.regressor_.architecture_.categories == ((1, 3),)
    assert model.predict(frame).shape == (90,)


def test_passes_differ_and_average_to_about_the_network_without_dropout():
    X, _, _ = simulated("even", 500, seed=0)
    model = serious("monte_carlo_dropout", "even")
    density = model.predict_distribution(X)
    assert density.n_components == 50
    spread = density.components.loc.std(1)[:, 0].numpy()
    assert (spread > 0).all()
    assert np.abs(model.predict(X) - model.regressor_.predict(X)[:, 0]).max() < spread.max()
    np.testing.assert_array_equal(model.predict(X), model.predict(X))


def test_units_are_left_out_as_often_as_the_network_says():
    X, y, _ = simulated("even", 100, seed=0)
    model = MonteCarloDropout(mm.MDNRegressor(**SMALL | {"dropout": 0.25}), n_passes=400, random_state=0).fit(X, y)
    (mask,) = model.masks_
    assert mask.shape == (400, 16)
    assert mask.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert (mask == 0).double().mean().item() == pytest.approx(0.25, abs=0.03)  # 5 standard errors


def test_a_row_does_not_count_as_its_own_neighbour_when_the_width_is_chosen():
    # The targets are noise: a row that saw its own target would choose few neighbours and a narrow kernel.
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 2)), rng.normal(size=400)
    model = NearestNeighbours(random_state=0).fit(X, y)
    assert model.n_neighbours_ >= 64
    X = np.repeat(X[:40], 10, axis=0)  # more equal rows than neighbours: some do not find themselves
    model = NearestNeighbours(random_state=0).fit(X, y)
    assert model.bandwidth_ > 0.2


def test_neighbours_choose_from_some_rows_where_there_are_many():
    X, y, _ = simulated("even", 5000, seed=0)
    model = NearestNeighbours(random_state=0).fit(X, y)
    assert scores(model, X[:500], y[:500]).mean() < 0.4


@pytest.mark.parametrize("name", ["quantile_boosting", "histogram_boosting", "nearest_neighbours"])
def test_a_far_target_costs_no_more_than_under_the_normal_of_all_targets(table, name):
    X, y = table
    far = np.full(90, y.mean() + 8 * y.std())
    expected = -stats.norm.logpdf(far, y.mean(), y.std()) - np.log(0.01)
    assert (scores(fitted(name), X, far) <= expected + 1e-6).all()


def test_components_of_quantiles_are_sorted_and_weigh_alike(table):
    X, _ = table
    components = fitted("quantile_boosting").predict_distribution(X)
    loc = components.components.loc[:, :7, 0]
    assert (loc.diff(dim=1) >= 0).all()
    torch.testing.assert_close(components.weights[:, :7], torch.full((90, 7), 0.99 / 7, dtype=torch.float64))


def test_bins_follow_the_quantiles_and_none_is_empty():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 1)), np.where(rng.random(200) < 0.6, 0.0, rng.exponential(size=200))
    model = HistogramBoosting(n_bins=10, max_trees=5, random_state=0).fit(X, y)
    assert len(model.bins_.mean) == 10 - int(10 * (y == 0).mean()) + 1  # zeros are one bin
    number = model.bins_.number(model.target_scaling_(column(y))[:, 0])
    assert number.bincount().min() > 0
    assert (number == 0).numpy().sum() == (y == 0).sum()


@pytest.mark.parametrize("name", ["unconditional", "gaussian_process", *ONE_TARGET, "nearest_neighbours"])
def test_no_component_is_narrower_than_the_lattice_of_the_target_allows(table, name):
    X, y = table
    model = quick(name).fit(X, y.round(1))
    assert model.min_scale_.item() == pytest.approx(0.1 / 6 / y.round(1).std())
    assert (model.predict_distribution(X).components.stddev >= 0.1 / 6 - 1e-9).all()


# --- refused ---


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (UnconditionalDensity(min_scale=0.0), "min_scale must be a number > 0 and < 1; got 0.0."),
        (NearestNeighbours(random_state=-1), "random_state must be an integer from 0 to 4294967295; got -1."),
        (
            GaussianProcess(max_rows=50),
            "GaussianProcess takes at most 50 rows, since its time is cubic in them; got 90. Take fewer, or raise "
            "max_rows.",
        ),
        (QuantileBoosting(n_levels=1), "n_levels must be an integer >= 2; got 1."),
        (QuantileBoosting(max_trees=0), "max_trees must be an integer >= 1; got 0."),
        (HistogramBoosting(n_bins=1), "n_bins must be an integer >= 2; got 1."),
        (HistogramBoosting(learning_rate=0.0), "learning_rate must be a number > 0; got 0.0."),
        (HistogramBoosting(validation_fraction=1.0), "validation_fraction must be a number > 0 and < 1; got 1.0."),
        (DeepEnsemble(n_members=0), "n_members must be an integer >= 1; got 0."),
        (GaussianNetwork(mm.MDNRegressor(dropout=2.0)), "dropout must be a number >= 0 and < 1; got 2.0."),
        (MonteCarloDropout(n_passes=0), "n_passes must be an integer >= 1; got 0."),
        (
            MonteCarloDropout(mm.MDNRegressor(**SMALL | {"dropout": 0.0})),
            "MonteCarloDropout needs a network with dropout; got none. Set its dropout above 0.",
        ),
    ],
)
def test_a_setting_out_of_range_is_refused(table, model, sentence):
    with pytest.raises(InputError) as caught:
        model.fit(*table)
    assert str(caught.value) == sentence


def test_settings_of_another_estimator_are_refused(table):
    with pytest.raises(TypeError, match=r"^regressor must be a MDNRegressor or None; got NearestNeighbours\.$"):
        GaussianNetwork(NearestNeighbours()).fit(*table)


@pytest.mark.parametrize("name", ONE_TARGET)
def test_trees_refuse_several_targets(table, name):
    X, y = table
    with pytest.raises(InputError) as caught:
        quick(name).fit(X, np.column_stack([y, -y]))
    what = type(quick(name)).__name__
    assert (
        str(caught.value) == f"{what} takes one target, since its trees know nothing of how several go together; got 2."
    )


@every_baseline
def test_a_failed_fit_leaves_a_fitted_model_as_it_was(table, name):
    X, y = table
    model = quick(name).fit(X, y)
    before = scores(model, X, y)
    with pytest.raises(InputError, match=r"^column 0 of y must take at least two different values; all 90 rows"):
        model.fit(X[:, :2], np.ones(90))
    np.testing.assert_array_equal(scores(model, X, y), before)
    with pytest.raises(ValueError, match="features"):
        model.predict(X[:, :2])
    with pytest.raises(InputError, match="^y must not hold NaN"):
        model.predict_distribution(X).log_prob(torch.full((90, 1), torch.nan))


@pytest.mark.parametrize("name", ["unconditional", *ONE_TARGET, "gaussian_process", "nearest_neighbours"])
def test_rows_far_from_all_others_still_have_a_density(table, name):
    X, y = table
    X_far = X.copy()
    X_far[:, 0] = 1e140
    assert np.isfinite(scores(fitted(name), X_far, y)).all()
