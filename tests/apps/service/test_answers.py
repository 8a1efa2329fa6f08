"""Every answer is that of the model's own method in Python, bit for bit."""

import numpy as np
import pytest

from .rows import json_rows, python_rows

MODELS = ("prices", "two", "zeros", "counts", "angles", "gaps", "corrected")
N_ROWS = 16


@pytest.fixture
def asked(client, models):
    """Return a function that asks a model, and returns the list of its answers and the rows for Python."""

    def ask(name, operation, **options):
        names = [feature.name for feature in models[name].features]
        body = {"rows": json_rows(names, N_ROWS), **options}
        response = client.post(f"/v1/models/{name}/{operation}", json=body)
        assert response.status_code == 200, response.text
        (answers,) = response.json().values()
        assert len(answers) == N_ROWS
        return answers, models[name].model, python_rows(names, N_ROWS)

    return ask


def by_target(answers, names):
    """Answers as an array, (N, D, ...), NaN for null."""
    return np.array([[row[name] for name in names] for row in answers], dtype=float)


def numbers(values, like):
    """What Python returned with an axis for targets, also where there is one only."""
    return np.asarray(values).reshape(like.shape)


@pytest.mark.parametrize("point", ["mean", "median", "mode", "medoid"])
@pytest.mark.parametrize("name", ["prices", "two", "counts", "angles", "corrected"])
def test_points_are_those_of_predict(asked, name, point):
    answers, model, X = asked(name, "predict", point=point)
    found = by_target(answers, model.target_names_)
    np.testing.assert_array_equal(found, numbers(model.predict(X, point=point), found))


@pytest.mark.parametrize("name", MODELS)
def test_means_are_what_is_predicted_without_options(asked, name):
    answers, model, X = asked(name, "predict")
    found = by_target(answers, model.target_names_)
    np.testing.assert_array_equal(found, numbers(model.predict(X), found))


@pytest.mark.parametrize("levels", [0.5, [0.05, 0.5, 0.95, 0.999]])
@pytest.mark.parametrize("name", MODELS)
def test_quantiles_are_those_of_predict_quantiles(asked, name, levels):
    answers, model, X = asked(name, "quantiles", levels=levels)
    found = by_target(answers, model.target_names_)
    np.testing.assert_array_equal(found, numbers(model.predict_quantiles(X, levels), found))


def test_quantiles_that_are_infinite_are_null(asked):
    answers, _, _ = asked("prices", "quantiles", levels=[0, 0.5, 1])
    assert all(row["price"][0] is None and row["price"][2] is None for row in answers)
    assert all(isinstance(row["price"][1], float) for row in answers)


@pytest.mark.parametrize("name", MODELS)
def test_log_densities_are_those_of_log_prob(asked, models, name):
    names = models[name].targets
    value = 2.0 if name == "counts" else 0.5
    targets = [dict.fromkeys(names, value + i) for i in range(N_ROWS)]
    if name == "angles":
        targets = [{"way": 0.1 * i, "length": 200.0 + i} for i in range(N_ROWS)]
    answers, model, X = asked(name, "log_prob", targets=targets)
    y = {target: np.array([row[target] for row in targets]) for target in names}
    np.testing.assert_array_equal(np.array(answers, dtype=float), model.log_prob(X, y))


def test_a_target_that_nobody_knows_tells_nothing_where_the_fit_had_such(asked):
    targets = [{"price": None if i % 2 else 150.0, "rent": 0.5} for i in range(N_ROWS)]
    answers, model, X = asked("gaps", "log_prob", targets=targets)
    y = {"price": np.array([row["price"] for row in targets], dtype=float), "rent": np.full(N_ROWS, 0.5)}
    np.testing.assert_array_equal(np.array(answers, dtype=float), model.log_prob(X, y))


@pytest.mark.parametrize("name", MODELS)
def test_regions_are_those_of_predict_region(asked, models, name):
    target = models[name].targets[-1]
    answers, model, X = asked(name, "region", level=0.8, target=target)
    region = model.predict_region(X, 0.8, target=target)
    for i, row in enumerate(answers):
        for key in ("low", "high", "mass"):
            expected = getattr(region, key)[i][region.mask[i]].numpy()
            np.testing.assert_array_equal([interval[key] for interval in row["intervals"]], expected)
        atoms = region.atoms
        np.testing.assert_array_equal([atom["mass"] for atom in row["atoms"]], atoms.mass[i][atoms.mask[i]].numpy())
        total = sum(part["mass"] for part in [*row["intervals"], *row["atoms"]])
        assert total >= 0.8 - 1e-6


@pytest.mark.parametrize("name", MODELS)
def test_modes_are_those_of_predict_modes(asked, name):
    answers, model, X = asked(name, "modes")
    modes = model.predict_modes(X)
    for i, row in enumerate(answers):
        found = by_target([mode["location"] for mode in row["modes"]], model.target_names_)
        np.testing.assert_array_equal(found.reshape(-1, len(model.target_names_)), modes.location[i][modes.mask[i]])
        for key in ("log_density", "mass"):
            expected = getattr(modes, key)[i][modes.mask[i]].numpy()
            np.testing.assert_array_equal([mode[key] for mode in row["modes"]], expected)


def test_atoms_are_listed_beside_the_modes(asked):
    answers, model, X = asked("zeros", "modes")
    atoms = model.predict_modes(X).atoms
    assert [row["atoms"][0]["location"] for row in answers] == [0.0] * N_ROWS
    np.testing.assert_array_equal([row["atoms"][0]["mass"] for row in answers], atoms.mass[:, 0].numpy())


@pytest.mark.parametrize("name", MODELS)
def test_samples_are_those_of_sample_with_the_same_seed(asked, name):
    answers, model, X = asked(name, "sample", n_samples=5, random_state=3)
    found = by_target(answers, model.target_names_)  # (N, D, S)
    expected = model.sample(X, 5, random_state=3)
    np.testing.assert_array_equal(found, numbers(expected.reshape(5, N_ROWS, -1).transpose(1, 2, 0), found))


def test_samples_without_a_seed_differ_from_request_to_request(asked):
    assert asked("prices", "sample", n_samples=2)[0] != asked("prices", "sample", n_samples=2)[0]


@pytest.mark.parametrize("name", MODELS)
def test_probabilities_are_those_of_predict_probability(asked, models, name):
    low, high = {models[name].targets[0]: 0.5}, {models[name].targets[-1]: 180.0}
    answers, model, X = asked(name, "probability", low=low, high=high)
    found = by_target(answers, model.target_names_)
    np.testing.assert_array_equal(found, numbers(model.predict_probability(X, low, high), found))


def test_ends_of_intervals_may_differ_from_row_to_row_and_be_open(asked):
    low = [100.0 + i for i in range(N_ROWS)]
    answers, model, X = asked("prices", "probability", low=low, high=None)
    found = by_target(answers, ["price"])[:, 0]
    np.testing.assert_array_equal(found, model.predict_probability(X, low=np.array(low))[:, 0])


def test_a_row_alone_has_the_answer_of_python_but_for_rounding(client, models):
    model = models["prices"].model
    row = json_rows([feature.name for feature in models["prices"].features], 1)
    X = python_rows(list(row[0]), 1)
    found = client.post("/v1/models/prices/predict", json={"rows": row}).json()["predictions"][0]["price"]
    assert found == pytest.approx(model.predict(X)[0], rel=1e-12)


def test_long_questions_are_answered_in_parts_and_in_order(client, models):
    names = [feature.name for feature in models["two"].features]
    rows = json_rows(names, 37)
    found = client.post("/v1/models/two/modes", json={"rows": rows}).json()["modes"]
    modes = models["two"].model.predict_modes(python_rows(names, 37))
    for i, row in enumerate(found):
        expected = modes.location[i][modes.mask[i]].numpy()
        np.testing.assert_allclose(by_target([mode["location"] for mode in row["modes"]], ["price", "rent"]), expected)


# --- values of features ---


def test_what_the_fit_did_not_have_is_like_none_of_its_categories(client, models):
    names = [feature.name for feature in models["prices"].features]
    row, X = json_rows(names, 9)[8], {name: column[8:9] for name, column in python_rows(names, 9).items()}
    row["town"], row["zip"] = "nowhere", 77
    X["town"], X["zip"] = np.array(["nowhere"], dtype=object), np.array([77.0])
    rows, table = [row] * 8, {name: np.repeat(column, 8) for name, column in X.items()}
    found = client.post("/v1/models/prices/predict", json={"rows": rows}).json()["predictions"]
    np.testing.assert_array_equal([[entry["price"]] for entry in found], models["prices"].model.predict(table))


def test_what_never_changed_in_the_fit_may_be_anything_and_changes_nothing(client, models):
    row = json_rows([feature.name for feature in models["prices"].features], 1)[0]
    found = [
        client.post("/v1/models/prices/predict", json={"rows": [row | {"country": value}]}).json()
        for value in ("here", "there", 3, None, True)
    ]
    assert all(answer == found[0] for answer in found)


def test_times_in_other_zones_are_the_same_moments(client, models):
    times = ("2024-03-01T12:00:00Z", "2024-03-01T14:00:00+02:00", "2024-03-01 07:00:00-05:00")
    rows = [{"sold": time, "size": 100} for time in times]
    found = client.post("/v1/models/gaps/predict", json={"rows": rows}).json()["predictions"]
    assert found[0] == found[1] == found[2]


def test_a_date_is_its_first_moment(client, models):
    row = json_rows([feature.name for feature in models["prices"].features], 1)[0]
    rows = [row | {"sold": time} for time in ("2024-03-01", "2024-03-01T00:00:00", "2024-03-01 00:00")]
    found = client.post("/v1/models/prices/predict", json={"rows": rows}).json()["predictions"]
    assert found[0] == found[1] == found[2]


def test_columns_that_are_no_features_are_ignored(client, models):
    row = json_rows([feature.name for feature in models["prices"].features], 1)[0]
    answers = [
        client.post("/v1/models/prices/predict", json={"rows": [own]}).json() for own in (row, row | {"price": "?"})
    ]
    assert answers[0] == answers[1]
