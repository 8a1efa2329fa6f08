import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from scipy import stats
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator
from torch import nn

import manymodes as mm
from manymodes._checks import InputError
from manymodes.estimators import MDNRegressor

SMALL = {
    "n_components": 5,
    "n_members": 2,
    "frequency": 0.1,
    "hidden_sizes": (16,),
    "max_epochs": 20,
    "batch_size": 32,
    "random_state": 0,
    "lr": 1e-2,
    "dropout": 0.0,
}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3)) * [1.0, 100.0, 1e-3] + [0.0, 5.0, 1e3]
    side = rng.choice([-1, 1], size=120)
    return X, side * (2 + X[:, 0]) + 0.1 * rng.normal(size=120)


def small(**changes) -> MDNRegressor:
    return MDNRegressor(**{**SMALL, **changes})


# --- scikit-learn's contract ---


def test_scikit_learns_own_checks_all_pass():
    # Weight equivalence is tested statistically below: any estimator that draws validation rows at random fails the
    # exact one, and scikit-learn excuses its own there.
    excused = {"check_sample_weight_equivalence_on_dense_data": "validation rows are drawn at random"}
    model = small(n_components=2, max_epochs=40, batch_size=16)
    results = check_estimator(model, expected_failed_checks=excused, on_skip=None, on_fail="raise")
    passed = [result["check_name"] for result in results if result["status"] == "passed"]
    failed = {result["check_name"] for result in results if result["status"] in ("failed", "xfail")}
    assert len(passed) >= 50
    assert failed <= set(excused)


def test_a_row_of_weight_two_counts_like_two_rows():
    # Over 12 members, the weighted and the repeated fit predict the same mean, and not that of the unweighted one.
    rng = np.random.default_rng(1)
    X, y = np.zeros((60, 1)), np.where(np.arange(60) < 30, -1.0, 1.0) + 0.3 * rng.normal(size=60)
    weight = np.where(y > 0, 3.0, 1.0)
    repeated = np.repeat(np.arange(60), weight.astype(int))
    fits = {"weighted": (X, y, weight), "repeated": (X[repeated], y[repeated], None), "plain": (X, y, None)}
    means = {}
    for name, data in fits.items():
        model = small(n_components=2, n_members=12, max_epochs=80).fit(*data)
        means[name] = [member.mean.item() for member in model.predict_members(X[:1])]
    assert stats.ttest_ind(means["weighted"], means["repeated"], equal_var=False).pvalue > 1e-3
    assert stats.ttest_ind(means["weighted"], means["plain"], equal_var=False).pvalue < 1e-3


def test_it_works_in_pipelines_searches_and_clones(table):
    X, y = table
    search = GridSearchCV(make_pipeline(StandardScaler(), small()), {"mdnregressor__n_components": [1, 2]}, cv=2)
    assert search.fit(X, y).best_params_["mdnregressor__n_components"] in (1, 2)
    assert len(cross_val_score(small(), X, y, cv=2)) == 2
    model = small(n_components=4).fit(X, y)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "network_")


def test_fits_follow_random_state_and_no_global_seed(table):
    X, y = table
    predictions = []
    for global_seed in (1, 2):
        np.random.seed(global_seed)
        torch.manual_seed(global_seed)
        predictions.append(small(dropout=0.3).fit(X, y).predict(X))
    np.testing.assert_array_equal(*predictions)
    different = small(dropout=0.3, random_state=np.random.RandomState(5)).fit(X, y).predict(X)
    assert (different != predictions[0]).any()


# --- predictions ---


@pytest.mark.parametrize("columns", [None, 1, 2])
def test_predictions_have_the_shape_of_the_target(table, columns):
    X, y = table
    y = y if columns is None else np.column_stack([y, -y])[:, :columns]
    model, tail = small().fit(X, y), () if columns is None else (columns,)
    for point in ("mean", "median", "mode"):
        assert model.predict(X, point=point).shape == (120, *tail)
    assert model.predict_quantiles(X, (0.1, 0.5, 0.6)).shape == (120, *tail, 3)
    assert model.predict_interval(X).shape == (120, *tail, 2)
    assert model.sample(X, 7, random_state=0).shape == (7, 120, *tail)
    density = model.predict_distribution(X)
    assert density.batch_shape == (120,)
    assert density.event_shape == (columns or 1,)
    assert density.mean.dtype == torch.float64


def test_predictions_are_those_of_the_density(table):
    X, y = table
    model = small().fit(X, y)
    density = model.predict_distribution(X)
    np.testing.assert_array_equal(model.predict(X), density.mean[:, 0])
    np.testing.assert_array_equal(model.predict(X, point="median"), density.icdf(0.5)[:, 0])
    np.testing.assert_array_equal(model.predict(X, point="mode"), density.modes().location[:, 0, 0])
    low, high = model.predict_interval(X, 0.8).T
    inside = density.cdf(torch.tensor(high)[:, None]) - density.cdf(torch.tensor(low)[:, None])
    np.testing.assert_allclose(inside[:, 0], 0.8)
    samples = model.sample(X, 4000, random_state=0)
    error = density.variance[:, 0].sqrt().numpy() / 4000**0.5
    assert (abs(samples.mean(0) - model.predict(X)) < 6 * error).all()  # a false alarm in fewer than 1 of 10^6 seeds


@pytest.mark.parametrize("level", [0, 1, 0.5, np.float32(0.5), np.array(0.5)])
def test_a_single_level_is_a_level(table, level):
    X, y = table
    assert small().fit(X, y).predict_quantiles(X, level).shape == (120, 1)


def test_the_prediction_of_a_row_does_not_depend_on_the_rows_beside_it(table):
    X, y = table
    model = MDNRegressor(max_epochs=30, random_state=0).fit(X, y)
    alone = np.concatenate([model.predict(X[i : i + 1]) for i in range(len(X))])
    np.testing.assert_allclose(alone, model.predict(X), rtol=1e-12, atol=1e-12)


def test_it_finds_both_answers_where_there_are_two(table):
    X, y = table
    model = small(n_components=2, max_epochs=150).fit(X, y)
    modes = model.predict_distribution([[0.0, 5.0, 1e3]]).modes()
    assert modes.count_above(0.2).item() == 2
    np.testing.assert_allclose(np.sort(modes.location[0, :2, 0]), [-2, 2], atol=0.5)


def test_a_nan_target_is_refused_by_a_prediction(table):
    X, y = table
    with pytest.raises(InputError, match="^y must not hold NaN"):
        small().fit(X, y).predict_distribution(X).log_prob(torch.full((120, 1), torch.nan))


def test_the_default_comes_near_the_floor_of_the_inverse_sinusoid():
    # The floor is -1.2824; the least-squares answer cannot score below about -0.2. 5,000 test rows: se 0.015.
    X, y = mm.datasets.make_inverse_sinusoid(1000, random_state=0)
    X_test, y_test = mm.datasets.make_inverse_sinusoid(5000, random_state=1)
    density = MDNRegressor(n_members=3, random_state=0).fit(X, y).predict_distribution(X_test)
    assert -density.log_prob(torch.tensor(y_test)[:, None]).mean() < -1.08


@pytest.mark.parametrize("unit", [1e-12, 1e-3, 1e3, 1e12])
def test_predictions_do_not_depend_on_units(table, unit):
    X, y = table
    expected = small().fit(X, y)
    model = small().fit(X / unit, unit * y)
    np.testing.assert_allclose(model.predict(X / unit), unit * expected.predict(X), rtol=1e-5, atol=1e-5 * unit)
    ours = model.predict_distribution(X / unit).log_prob(torch.tensor(unit * y)[:, None])
    theirs = expected.predict_distribution(X).log_prob(torch.tensor(y)[:, None])
    torch.testing.assert_close(ours + np.log(unit), theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("unit", [1.0, 1e-3])
def test_a_feature_that_never_varied_says_nothing_when_it_does(table, unit):
    X, y = table
    X = np.column_stack([X, np.full(120, 7 * unit)])
    changed = X.copy()
    changed[:, 3] = 7000 * unit
    model = small().fit(X, y)
    np.testing.assert_array_equal(model.predict(changed), model.predict(X))


# --- data frames ---


def frames(X: np.ndarray) -> dict[str, object]:
    columns = {"a": X[:, 0], "b": X[:, 1], "c": X[:, 2]}
    return {
        "pandas": pd.DataFrame(columns),
        "polars": pl.DataFrame(columns),
        "pyarrow": pa.table(columns),
        "mapping": columns,
    }


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "mapping"])
def test_frames_predict_what_arrays_predict_and_names_are_kept(table, kind):
    X, y = table
    expected = small().fit(X, y).predict(X)
    frame = frames(X)[kind]
    model = small().fit(frame, y)
    np.testing.assert_array_equal(model.predict(frame), expected)
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    assert model.n_features_in_ == 3


@pytest.mark.parametrize("target", [pd.Series, pl.Series])
def test_a_named_target_is_remembered(table, target):
    X, y = table
    series = target(data=y, name="price") if target is pd.Series else target("price", y)
    model = small().fit(X, series)
    assert model.target_names_ == ["price"]
    assert model.predict(X).shape == (120,)
    both = small().fit(X, pd.DataFrame({"price": y, "size": -y}))
    assert both.target_names_ == ["price", "size"]
    assert both.predict(X).shape == (120, 2)


def test_arrays_that_run_backwards_or_are_read_only_are_fine(table):
    X, y = table
    model = small().fit(X[::-1], y[::-1])
    expected = small().fit(X[::-1].copy(), y[::-1].copy())
    np.testing.assert_array_equal(model.predict(X[::-1]), expected.predict(X[::-1].copy()))
    frozen_X, frozen_y = X.copy(), y.copy()
    frozen_X.flags.writeable = frozen_y.flags.writeable = False
    np.testing.assert_array_equal(small().fit(frozen_X, frozen_y).predict(frozen_X), small().fit(X, y).predict(X))


def test_a_target_may_be_a_mapping_beside_an_array(table):
    X, y = table
    assert small().fit(X, {"price": y}).predict(X).shape == (120, 1)


def test_booleans_integers_and_nullable_columns_are_numbers():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "flag": rng.random(40) > 0.5,
            "count": rng.integers(0, 9, 40),
            "nullable": pd.array(rng.integers(0, 9, 40), dtype="Int64"),
        }
    )
    assert small().fit(frame, rng.random(40)).predict(frame).shape == (40,)


def test_columns_of_a_mapping_are_matched_by_name(table):
    X, y = table
    model = small().fit(frames(X)["mapping"], y)
    shuffled = dict(reversed(frames(X)["mapping"].items())) | {"other": y}
    np.testing.assert_array_equal(model.predict(shuffled), model.predict(frames(X)["mapping"]))
    del shuffled["b"]
    with pytest.raises(InputError, match=r"^X has no column 'b'; it begins with 'c', 'a', 'other'\.$"):
        model.predict(shuffled)


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        (
            [1.5] * 5 + ["red"] * 115,
            "Column 'b' mixes 1.5 in row 1 with 'red' in row 6; a feature must hold numbers alone, or text, or times.",
        ),
        (
            [f"text {i}" for i in range(120)],
            "Column 'b' holds 120 different texts in 120 rows, too many for categories; leave it out, turn it into "
            "fewer ones, or name it under categorical_features.",
        ),
        (
            [np.inf] + [1.0] * 119,
            "Column 'b' has 1 infinite or huge value (first: row 1), and a feature may have none; drop those rows or "
            "leave the cells empty.",
        ),
        (
            [1.0 + 2.0j] * 120,
            "Column 'b' holds complex128 values, and a feature must hold real numbers.",
        ),
        (
            [{"a": 1}] * 120,
            "Column 'b' holds {'a': 1} in row 1, and a feature must hold numbers, text or times; leave it out or turn "
            "it into such.",
        ),
    ],
)
def test_a_column_that_cannot_be_used_is_named(table, column, sentence):
    X, y = table
    frame = pd.DataFrame({"a": X[:, 0], "b": column})
    with pytest.raises(InputError) as caught:
        small().fit(frame, y)
    assert str(caught.value) == sentence


def test_columns_of_one_name_are_refused(table):
    X, y = table
    with pytest.raises(ValueError, match="(?i)unique|differ"):
        small().fit(pd.DataFrame(X, columns=["a", "b", "a"]), y)


# --- refused ---


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"n_components": 0}, "n_components must be an integer >= 1; got 0."),
        (
            {"covariance_type": "diagonal"},
            "covariance_type must be one of 'diag', 'full', 'low_rank', 'spherical'; got 'diagonal'.",
        ),
        (
            {"objective": "mse"},
            "objective must be one of 'crps', 'energy', 'ngem', 'nll', or a mix of different ones such as "
            "'0.7 nll + 0.3 crps'; got 'mse'.",
        ),
        ({"dropout": 1.0}, "dropout must be a number >= 0 and < 1; got 1.0."),
        ({"validation_fraction": 0.0}, "validation_fraction must be a number > 0 and < 1; got 0.0."),
        ({"min_scale": -1.0}, "min_scale must be a number > 0; got -1.0."),
        ({"hidden_sizes": ()}, "hidden_sizes must name at least one layer; got ()."),
        ({"lr": 0.0}, "lr must be a number > 0; got 0.0."),
    ],
)
def test_a_setting_out_of_range_is_refused(table, settings, sentence):
    with pytest.raises(InputError) as caught:
        small(**settings).fit(*table)
    assert str(caught.value) == sentence


def test_a_constant_target_is_refused(table):
    X, y = table
    with pytest.raises(InputError) as caught:
        small().fit(X, np.column_stack([y, np.full(120, 3.0)]))
    assert str(caught.value) == "column 1 of y must take at least two different values; all 120 rows have 3."
    with pytest.raises(InputError, match="^target 'price' must take at least two different values; all 120"):
        small().fit(X, pd.Series(np.full(120, 3.0), name="price"))


def test_a_row_too_extreme_for_the_network_is_refused_and_not_predicted_as_nan(table):
    X, y = table
    backbone = torch.nn.Sequential(torch.nn.Linear(X.shape[1], 8), torch.nn.SiLU())
    model, X = small(backbone=backbone).fit(X, y), X.copy()
    X[3, 0] = 1e149
    with pytest.raises(InputError, match=r"^X must stay near the training data; row 4 is too extreme for the network"):
        model.predict(X)
    with pytest.raises(InputError, match=r"^Column 0 of y must be finite and within ±1e\+150; got another value first"):
        small().fit(X[:, 1:], y * 1e200)


@pytest.mark.parametrize("bad", [{"random_state": -1}, {"random_state": 2**70}])
def test_a_seed_that_generators_refuse_is_refused_by_name(table, bad):
    with pytest.raises(InputError, match="^random_state must be an integer from 0 to 4294967295; got"):
        small(**bad).fit(*table)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", 3.5])
def test_a_device_that_is_not_there_is_refused(table, device):
    with pytest.raises(InputError, match="^device must name a device that this machine has, say 'cpu'; got "):
        small(device=device).fit(*table)


def test_a_failed_fit_leaves_a_fitted_model_as_it_was(table):
    X, y = table
    model = small().fit(pd.DataFrame(X, columns=["a", "b", "c"]), y)
    before = model.predict_distribution(pd.DataFrame(X, columns=["a", "b", "c"]))
    with pytest.raises(InputError):
        model.fit(X[:, :2], np.ones(120))
    after = model.predict_distribution(pd.DataFrame(X, columns=["a", "b", "c"]))
    assert torch.equal(before.components.loc, after.components.loc)


def test_an_unknown_point_and_a_level_that_is_no_probability_are_refused(table):
    X, y = table
    model = small().fit(X, y)
    with pytest.raises(InputError, match=r"^point must be one of 'mean', 'median', 'medoid', 'mode'; got 'best'\.$"):
        model.predict(X, point="best")
    with pytest.raises(InputError, match=r"^level must be a number > 0 and < 1; got 90\.$"):
        model.predict_interval(X, 90)
    with pytest.raises(InputError, match=r"^every level must be a number >= 0 and <= 1; got 1\.5\.$"):
        model.predict_quantiles(X, (1.5,))


# --- files ---


def assert_same_predictions(first: MDNRegressor, second: MDNRegressor, X) -> None:
    a, b = first.predict_distribution(X), second.predict_distribution(X)
    for one, other in ((a.logits, b.logits), (a.mean, b.mean)):
        assert torch.equal(one, other)
    for name in a.components.parameters:
        assert torch.equal(getattr(a.components, name), getattr(b.components, name))


@pytest.mark.parametrize("covariance_type", ["diag", "full", "low_rank", "spherical"])
def test_a_loaded_model_predicts_the_same_bit_for_bit(table, tmp_path, covariance_type):
    X, y = table
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    targets = pd.DataFrame({"price": y, "size": -y})
    model = small(covariance_type=covariance_type).fit(frame, targets)
    model.save(tmp_path / "model.mm")
    loaded = mm.load(tmp_path / "model.mm")
    assert_same_predictions(model, loaded, frame)
    assert loaded.get_params() == model.get_params()
    assert loaded.history_ == model.history_
    assert loaded.target_names_ == ["price", "size"]
    assert loaded.feature_names_in_.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(loaded.predict(frame), model.predict(frame))
    loaded.save(tmp_path / "again.mm")
    assert (tmp_path / "again.mm").read_bytes() == (tmp_path / "model.mm").read_bytes()


def test_pickle_and_joblib_keep_predictions_too(table, tmp_path):
    X, y = table
    model = small().fit(X, y)
    assert_same_predictions(model, pickle.loads(pickle.dumps(model)), X)
    joblib.dump(model, tmp_path / "model.joblib")
    assert_same_predictions(model, joblib.load(tmp_path / "model.joblib"), X)


def own_backbone(width=8) -> nn.Module:
    return nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.BatchNorm1d(width))


def test_a_model_with_its_own_backbone_is_loaded_by_handing_the_module_in(table, tmp_path):
    X, y = table
    backbone = own_backbone()
    before = [value.clone() for value in backbone.state_dict().values()]
    model = small(backbone=backbone, n_members=1).fit(X, y)
    assert all(torch.equal(a, b) for a, b in zip(before, backbone.state_dict().values(), strict=True))
    model.save(tmp_path / "model.mm")
    assert_same_predictions(model, mm.load(tmp_path / "model.mm", backbone=own_backbone()), X)
    with pytest.raises(InputError, match=r"^backbone must be the module that this model was fitted with; got None\."):
        mm.load(tmp_path / "model.mm")
    with pytest.raises(InputError, match="^backbone must have the same parameters as the saved model; "):
        mm.load(tmp_path / "model.mm", backbone=own_backbone(9))


def test_a_backbone_for_a_model_without_one_is_refused(table, tmp_path):
    small().fit(*table).save(tmp_path / "model.mm")
    with pytest.raises(InputError, match="^backbone must be left out: this model has the default one"):
        mm.load(tmp_path / "model.mm", backbone=own_backbone())


def test_a_backbone_that_returns_no_features_is_refused(table):
    with pytest.raises(InputError, match=r"^backbone must return a tensor of shape \(2, any\) for 2 rows; got \(6,\)"):
        small(backbone=nn.Flatten(0)).fit(*table)


def test_settings_of_numpy_survive_a_file(table, tmp_path):
    model = small(n_components=np.int64(3), lr=np.float32(1e-3), hidden_sizes=np.array([8, 4])).fit(*table)
    model.save(tmp_path / "model.mm")
    loaded = mm.load(tmp_path / "model.mm")
    assert loaded.n_components == 3
    assert loaded.lr == pytest.approx(1e-3)
    assert tuple(loaded.hidden_sizes) == (8, 4)
    assert_same_predictions(model, loaded, table[0])


def test_a_setting_that_no_file_can_hold_is_named_when_it_is_missing(table, tmp_path):
    small(objective=lambda *data: mm.objectives.nll(*data)).fit(*table).save(tmp_path / "model.mm")
    with pytest.warns(UserWarning, match="^'objective' could not be stored in the file and stands at its default"):
        assert mm.load(tmp_path / "model.mm").objective is None


def test_a_backbone_that_shares_weights_can_be_saved(table, tmp_path):
    layer = nn.Linear(3, 3)
    model = small(backbone=nn.Sequential(layer, nn.Tanh(), layer)).fit(*table)
    model.save(tmp_path / "model.mm")
    layer = nn.Linear(3, 3)
    loaded = mm.load(tmp_path / "model.mm", backbone=nn.Sequential(layer, nn.Tanh(), layer))
    assert_same_predictions(model, loaded, table[0])


def test_loading_draws_no_random_numbers(table, tmp_path):
    small().fit(*table).save(tmp_path / "model.mm")
    before = torch.get_rng_state()
    mm.load(tmp_path / "model.mm")
    assert torch.equal(torch.get_rng_state(), before)


def test_an_unfitted_model_is_not_saved(tmp_path):
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        small().save(tmp_path / "model.mm")
    assert not list(tmp_path.iterdir())
