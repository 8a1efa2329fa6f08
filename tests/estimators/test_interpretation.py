import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from scipy import integrate, stats
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.inspection import permutation_importance as sklearn_importance
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.distributions import DiagonalNormal, Mixture
from manymodes.estimators import MDNRegressor, partial_distribution
from manymodes.estimators import interpretation as meaning
from manymodes.estimators.tables import frames

LEVELS = {"blue": -1.0, "red": 2.0}


class Known(BaseEstimator):
    """Two normals per row: y_d is (d + 1) x0 + shift_k with sd exp(x1 / 2) for components of weights 0.3 and 0.7."""

    def __init__(self, target_names=("y",), gap=0.0):
        self.target_names, self.gap = target_names, gap
        self.target_names_ = list(target_names)

    def fit(self, X, y):
        return self

    def predict_distribution(self, X) -> Mixture:
        cells = [frames.cells(frames.column(X, place)) for place in range(2)]
        x0, x1 = (torch.tensor([LEVELS.get(cell, cell) for cell in column], dtype=torch.float64) for column in cells)
        slope = torch.arange(1.0, len(self.target_names) + 1)
        loc = x0[:, None, None] * slope + torch.tensor([0.0, self.gap])[:, None]  # (N, K, D)
        scale = (x1 / 2).exp()[:, None, None].expand(loc.shape)
        weights = torch.tensor([0.3, 0.7], dtype=torch.float64).expand(len(x0), 2)
        return Mixture(Categorical(weights), DiagonalNormal(loc, scale))


def table(n=60, n_features=3, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, n_features))


def as_kind(X: np.ndarray, kind: str):
    columns = {f"x{place}": column for place, column in enumerate(X.T)}
    return {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table, "mapping": dict}[kind](columns)


def values(result, name) -> np.ndarray:
    place = frames.column_names(result).index(name)
    return np.array(frames.cells(frames.column(result, place)))


def importance(X, y, *, seed=0, **settings) -> dict[str, tuple[float, float]]:
    result = meaning.permutation_importance(Known(), X, y, random_state=seed, **settings)
    numbers = zip(result["importance"].tolist(), result["standard_error"].tolist(), strict=True)
    return dict(zip(result["feature"].tolist(), numbers, strict=True))


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(300, 3)), columns=["useful", "noise", "little"])
    y = 2 * X["useful"] + 0.3 * X["little"] + 0.3 * rng.normal(size=300)
    model = MDNRegressor(
        n_components=2, n_members=1, frequency=0.1, hidden_sizes=(16,), max_epochs=20, random_state=0, lr=1e-2
    )
    return model.fit(X[:200], y[:200]), X[200:], y[200:]


# --- permutation importance ---


def test_a_feature_that_decides_everything_ranks_first_and_noise_is_within_three_errors_of_nothing(fitted):
    model, X, y = fitted
    result = meaning.permutation_importance(model, X, y)
    assert isinstance(result, pd.DataFrame)
    assert list(result.columns) == ["feature", "importance", "standard_error"]
    assert result["feature"].iloc[0] == "useful"
    assert (result["importance"].diff().dropna() <= 0).all()
    noise = result.set_index("feature").loc["noise"]
    assert abs(noise["importance"]) < 3 * noise["standard_error"]
    assert result["importance"].iloc[0] > 10 * abs(noise["importance"])


def test_a_feature_that_the_model_does_not_read_has_an_importance_of_exactly_0():
    X = table()
    assert importance(X, X[:, 0])["x2"] == (0.0, 0.0)


def test_importance_agrees_with_scikit_learn(fitted):
    # Both permute the same 100 rows at random: they differ by the permutations only, whose errors scikit-learn tells.
    model, X, y = fitted

    def log_score(model, X, y):
        return model.predict_distribution(X).log_prob(torch.tensor(np.asarray(y))[:, None]).mean().item()

    theirs = sklearn_importance(model, X, y, scoring=log_score, n_repeats=30, random_state=1)
    ours = meaning.permutation_importance(model, X, y, n_repeats=30).set_index("feature")
    for f, name in enumerate(X.columns):
        error = theirs.importances_std[f] * (2 / 30) ** 0.5
        assert abs(ours["importance"][name] - theirs.importances_mean[f]) < 4 * error  # 1 of 5,000 seeds


def test_importance_is_the_closed_form_on_average_and_its_standard_error_tells_how_it_varies():
    # x0 shifts the mean of a unit normal: what is lost is E (x - x')^2 / 2 = 1, or nothing where a permutation leaves a
    # row in its place, 1 of 80 times. Over 300 tables the spread is known to 5 %.
    found = []
    for seed in range(300):
        X = table(80, 2, seed) * [1.0, 0.0]
        y = X[:, 0] + np.random.default_rng(1000 + seed).normal(size=80)
        found.append(importance(X, y, features=["x0"])["x0"])
    mean, error = np.mean(found, 0)
    spread = np.std(np.array(found)[:, 0], ddof=1)
    assert abs(mean - 79 / 80) < 4 * spread / 300**0.5  # 1 of 15,000 seeds
    assert 0.85 < error / spread < 1.3  # 4 errors around the 1.06 of 1,500 other tables: repeats are few


def test_importance_of_a_feature_does_not_depend_on_which_others_are_asked_for():
    X = table()
    assert importance(X, X[:, 0], features=[1])["x1"] == importance(X, X[:, 0])["x1"]


def test_rows_are_drawn_and_seeds_matter():
    X = table(200)
    first, again, other = (importance(X, X[:, 0], n_rows=50, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first["x0"] != other["x0"]
    assert importance(X, X[:, 0], n_rows=200) == importance(X, X[:, 0], n_rows=9999)


def test_targets_of_a_frame_are_matched_by_name():
    X, model = table(), Known(("near", "far"))
    y = pd.DataFrame({"near": X[:, 0], "far": 2 * X[:, 0]})
    expected = meaning.permutation_importance(model, X, y.to_numpy())
    for given in (y[["far", "near"]], pl.from_pandas(y[["far", "near"]])):
        np.testing.assert_array_equal(
            meaning.permutation_importance(model, X, given)["importance"], expected["importance"]
        )
    with pytest.raises(InputError, match=r"^y has no column 'near'; the nearest are 'nearer', 'far'\.$"):
        meaning.permutation_importance(model, X, y.rename(columns={"near": "nearer"}))


# --- partial dependence ---


def test_partial_dependence_is_the_closed_form_of_the_averaged_mixture():
    X = table(40)
    grid = [-1.0, 0.5, 2]
    result = meaning.partial_dependence(Known(("near", "far"), gap=3.0), X, "x0", grid=grid)
    np.testing.assert_array_equal(result["value"], grid)
    scale = np.exp(X[:, 1] / 2)
    variance = (scale**2).mean() + 9 * 0.3 * 0.7
    for slope, name in ((1, "near"), (2, "far")):
        np.testing.assert_allclose(result[f"{name}_mean"], slope * np.array(grid) + 0.7 * 3, atol=1e-10)
        np.testing.assert_allclose(result[f"{name}_sd"], variance**0.5, atol=1e-10)
        for q, level in (("q0.05", 0.05), ("q0.5", 0.5), ("q0.95", 0.95)):
            at = np.array(result[f"{name}_{q}"])[:, None] - slope * np.array(grid)[:, None]  # (G, 1)
            below = 0.3 * stats.norm.cdf(at / np.exp(X[:, 1] / 2)) + 0.7 * stats.norm.cdf(
                (at - 3) / np.exp(X[:, 1] / 2)
            )
            np.testing.assert_allclose(below.mean(1), level, atol=1e-10)


def test_the_log_score_is_that_of_the_rows_with_the_feature_set():
    X = table(40)
    result = meaning.partial_dependence(Known(), X, "x1", y=X[:, 2], grid=[0.0, 1.0])
    for value, score in zip(result["value"], result["log_score"], strict=True):
        expected = -stats.norm.logpdf(X[:, 2], X[:, 0], np.exp(value / 2)).mean()
        assert score == pytest.approx(expected, abs=1e-10)
    assert "log_score" not in meaning.partial_dependence(Known(), X, "x1", grid=[0.0])


def test_the_grid_spans_the_column_and_has_all_of_few_values():
    X = table(100)
    X[:, 1] = np.arange(100) % 3
    spread = meaning.partial_dependence(Known(), X, "x0", n_grid=5)["value"]
    np.testing.assert_array_equal(spread, np.sort(X[:, 0])[[0, 25, 50, 74, 99]])
    np.testing.assert_array_equal(meaning.partial_dependence(Known(), X, 1)["value"], [0.0, 1.0, 2.0])


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "mapping"])
def test_levels_of_text_are_a_grid_also_where_no_drawn_row_has_them(kind):
    X = as_kind(table(50), kind)
    X = frames.with_column(X, 0, np.array(["blue"] * 49 + ["red"]))
    result = meaning.partial_dependence(Known(), X, "x0", n_rows=5)
    assert values(result, "value").tolist() == ["blue", "red"]
    np.testing.assert_allclose(values(result, "y_mean"), [-1.0, 2.0], atol=1e-12)


# --- components ---


def test_curves_of_a_model_with_one_feature_are_its_components():
    X = np.linspace(-1, 1, 40)[:, None]
    model = MDNRegressor(n_components=2, n_members=1, frequency=0.1, hidden_sizes=(8,), max_epochs=3, random_state=0)
    model.fit(X, np.column_stack([X, -X]))
    result = meaning.component_curves(model, X, 0, grid=[-0.5, 0.25])
    density = model.predict_distribution([[-0.5], [0.25]])
    np.testing.assert_array_equal(result["value"], [-0.5, -0.5, 0.25, 0.25])
    np.testing.assert_array_equal(result["component"], [0, 1, 0, 1])
    np.testing.assert_allclose(result["weight"], density.weights.flatten(), rtol=1e-10)
    for d, name in enumerate(["y0", "y1"]):
        np.testing.assert_allclose(result[f"{name}_location"], density.components.mean[..., d].flatten(), rtol=1e-10)
        scale = density.components.variance[..., d].flatten() ** 0.5
        np.testing.assert_allclose(result[f"{name}_scale"], scale, rtol=1e-10)


def test_curves_keep_the_moments_of_the_averaged_density_of_a_member(fitted):
    model, X, _ = fitted
    curves = meaning.component_curves(model, X, "useful", n_grid=4)
    whole = meaning.partial_dependence(model, X, "useful", grid=curves["value"].unique())
    for value, part in curves.groupby("value"):
        line = whole[whole["value"] == value].iloc[0]
        mean = (part["weight"] * part["y_location"]).sum()
        square = (part["weight"] * (part["y_scale"] ** 2 + part["y_location"] ** 2)).sum()
        assert part["weight"].sum() == pytest.approx(1)
        assert mean == pytest.approx(line["y_mean"])
        assert (square - mean**2) ** 0.5 == pytest.approx(line["y_sd"])


def test_each_member_has_curves_of_its_own_and_one_that_is_not_there_is_refused():
    X = table(40, 2)
    model = MDNRegressor(n_components=3, n_members=2, frequency=0.1, hidden_sizes=(8,), max_epochs=2, random_state=0)
    model.fit(X, X[:, 0])
    first, second = (meaning.component_curves(model, X, 0, grid=[0.0], member=member) for member in (0, 1))
    assert len(first["weight"]) == len(second["weight"]) == 3
    assert (first["y_location"] != second["y_location"]).all()
    with pytest.raises(InputError, match=r"^member must be an integer from 0 to 1; got 2\.$"):
        meaning.component_curves(model, X, 0, member=2)


# --- single rows ---


def explained(X, **settings) -> pd.DataFrame:
    model = settings.pop("model", Known())
    return pd.DataFrame(meaning.explain(model, X, **settings)).set_index(["row", "feature"])


def test_information_is_the_divergence_of_two_normals_where_one_value_stands_in():
    # The error of an average of 20,000 draws is worked out from the closed form's own ratio: a bound of 5 errors.
    X = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [2.0, -1.0, 0.0]])
    result = explained(X, background=np.array([[0.5, 0.4, 0.0]]), n_draws=20_000)
    for row, (x0, x1, _) in enumerate(X):
        for feature, other in (("x0", (0.5, np.exp(x1 / 2))), ("x1", (x0, np.exp(0.2)))):
            own = (x0, np.exp(x1 / 2))
            exact = np.log(other[1] / own[1]) + (own[1] ** 2 + (own[0] - other[0]) ** 2) / (2 * other[1] ** 2) - 0.5
            y = stats.norm.rvs(*own, size=100_000, random_state=0)
            error = (stats.norm.logpdf(y, *own) - stats.norm.logpdf(y, *other)).std() / 20_000**0.5
            assert abs(result["information"][row, feature] - exact) < 5 * error


def test_information_is_lost_to_the_average_over_all_background_rows():
    X, background = np.array([[1.5, 0.0]]), np.array([[-1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [3.0, 0.0]])
    result = explained(X, background=background, n_draws=20_000)

    def loss(y):
        average = np.mean([stats.norm.pdf(y, b) for b in background[:, 0]])
        return stats.norm.pdf(y, 1.5) * (stats.norm.logpdf(y, 1.5) - np.log(average))

    exact = integrate.quad(loss, -8, 11)[0]
    assert abs(result["information"][0, "x0"] - exact) < 0.031  # 5 errors of a log ratio whose sd is 0.87
    assert result["y_mean_shift"][0, "x0"] == pytest.approx(1.5 - 0.5, abs=1e-12)


def test_a_feature_that_never_differs_from_the_background_tells_exactly_nothing():
    X = np.column_stack([table(30, 2), np.full(30, 5.0)])
    X[:, 1] = 1.0
    result = explained(X)
    for feature in ("x1", "x2"):
        part = result.xs(feature, level="feature")
        assert (part[["information", "standard_error", "y_mean_shift"]] == 0).all(axis=None)
    assert (result.xs("x0", level="feature")["information"] != 0).all()


def test_shifts_of_the_mean_are_signed_and_in_the_units_of_each_target():
    X = table(10)
    result = explained(X, model=Known(("near", "far")))
    shift = X[:, 0] - X[:, 0].mean()
    np.testing.assert_allclose(result.xs("x0", level="feature")["near_mean_shift"], shift, atol=1e-12)
    np.testing.assert_allclose(result.xs("x0", level="feature")["far_mean_shift"], 2 * shift, atol=1e-12)


def test_rows_are_explained_in_order_with_their_cells_as_text():
    X = pd.DataFrame({"x0": ["blue", "red"], "x1": [0.5, 1.0], "note": ["a", None]}, index=[9, 4])
    result = meaning.explain(Known(), X)
    assert list(result.columns) == ["row", "feature", "value", "information", "standard_error", "y_mean_shift"]
    assert result["row"].tolist() == [0, 0, 0, 1, 1, 1]
    assert result["feature"].tolist() == ["x0", "x1", "note"] * 2
    assert result["value"].tolist() == ["blue", "0.5", "a", "red", "1.0", "missing"]


def test_large_tables_are_worked_off_in_parts_with_the_same_answer(monkeypatch):
    X = table(23)
    whole = explained(X)
    monkeypatch.setattr(meaning, "_AT_ONCE", 2 * 23 * 30 * 4)  # four rows at a time
    pd.testing.assert_frame_equal(explained(X), whole)


# --- tables of every kind ---


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "mapping"])
def test_every_kind_of_table_gives_the_same_numbers_as_its_own_kind_and_is_left_alone(kind):
    X = table(30)
    frame, untouched = as_kind(X.copy(), kind), as_kind(X.copy(), kind)
    asked = {
        "importance": lambda X: meaning.permutation_importance(Known(), X, table(30)[:, 0]),
        "y_q0.95": lambda X: meaning.partial_dependence(Known(), X, "x0", n_grid=3),
        "information": lambda X: meaning.explain(Known(), X, n_draws=3),
    }
    for name, ask in asked.items():
        result = ask(frame)
        assert isinstance(result, type(frame))
        np.testing.assert_array_equal(values(result, name), ask(X)[name])
    for place in range(3):
        np.testing.assert_array_equal(frames.column(frame, place), frames.column(untouched, place))


def test_columns_of_a_mapping_are_found_by_the_names_of_the_fit(fitted):
    model, X, y = fitted
    shuffled = {"price": y.to_numpy(), **{name: X[name].to_numpy() for name in ("little", "noise", "useful")}}
    mapped = meaning.permutation_importance(model, shuffled, y)
    framed = meaning.permutation_importance(model, X, y)
    assert dict(zip(*map(mapped.get, ("feature", "importance")), strict=True)) == dict(
        zip(framed["feature"], framed["importance"], strict=True)
    )
    part = meaning.component_curves(model, shuffled, 0, n_grid=3)  # place 0 of the fit: useful
    np.testing.assert_array_equal(part["weight"], meaning.component_curves(model, X, "useful", n_grid=3)["weight"])


# --- refused ---


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (
            lambda X: meaning.partial_dependence(Known(), X, "x9"),
            "X has no column 'x9'; the nearest are 'x0', 'x1', 'x2'.",
        ),
        (lambda X: meaning.explain(Known(), X, features=[3]), "feature must be an integer from 0 to 2; got 3."),
        (
            lambda X: meaning.permutation_importance(Known(), X, X[:, 0], n_repeats=0),
            "n_repeats must be an integer >= 1; got 0.",
        ),
        (
            lambda X: meaning.permutation_importance(Known(), X, X[:5, 0]),
            "X and y must have the same number of rows; got 60 and 5.",
        ),
        (
            lambda X: meaning.permutation_importance(Known(), X, [np.nan, *X[1:, 0]]),
            "Column 0 of y has 1 missing value (NaN; first: row 1), and a target may have none; drop those rows, or "
            "pass allow_missing_targets=True.",
        ),
        (
            lambda X: meaning.permutation_importance(Known(), X[:1], X[:1, 0]),
            "the number of rows of X must be an integer >= 2; got 1.",
        ),
        (lambda X: meaning.partial_dependence(Known(), X, 0, n_rows=0), "n_rows must be an integer >= 1; got 0."),
        (lambda X: meaning.partial_dependence(Known(), X, 0, n_grid=0), "n_grid must be an integer >= 1; got 0."),
        (
            lambda X: meaning.partial_dependence(Known(), X, 0, grid=[]),
            "grid must hold at least 1 value of 'x0'; got none.",
        ),
        (lambda X: meaning.explain(Known(), X, n_background=0), "n_background must be an integer >= 1; got 0."),
        (lambda X: meaning.explain(Known(), X, n_draws=0), "n_draws must be an integer >= 2; got 0."),
    ],
)
def test_what_cannot_be_asked_is_refused(ask, sentence):
    with pytest.raises(InputError) as caught:
        ask(table())
    assert str(caught.value) == sentence


def test_a_model_that_is_not_fitted_is_refused():
    model, X = MDNRegressor(), table()
    for ask in (
        lambda: meaning.permutation_importance(model, X, X[:, 0]),
        lambda: meaning.partial_dependence(model, X, 0),
        lambda: meaning.component_curves(model, X, 0),
        lambda: meaning.explain(model, X),
    ):
        with pytest.raises(NotFittedError):
            ask()


def test_the_average_that_is_drawn_is_the_one_that_is_tabled():
    X = np.random.default_rng(0).normal(size=(30, 2))
    density, grid = partial_distribution(Known(), X, "x0", n_grid=3)
    table = meaning.partial_dependence(Known(), X, "x0", n_grid=3)
    assert density.batch_shape == (3,)
    np.testing.assert_allclose(table["value"], grid)
    np.testing.assert_allclose(density.mean[:, 0], table["y_mean"])


def test_a_background_of_one_row_explains_nothing_and_is_refused():
    X = np.random.default_rng(0).normal(size=(30, 2))
    with pytest.raises(InputError, match="^background must be given, whose values stand in for unknown ones"):
        meaning.explain(Known(), X[:1])
    told = meaning.explain(Known(), X[:3], background=X)
    assert (told["standard_error"] > 0).all()
