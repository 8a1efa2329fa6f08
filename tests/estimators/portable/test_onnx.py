import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import manymodes as mm
from manymodes import runtime
from manymodes.estimators.portable.onnx import export_onnx
from manymodes.estimators.portable.parameters import ParameterNetwork

N = 120
SMALL = {"preset": "fast", "n_members": 2, "n_components": 3, "hidden_sizes": (16, 16), "max_epochs": 2}


def columns(n: int = N, seed: int = 0) -> dict[str, np.ndarray]:
    """Return features of every kind, some missing."""
    rng = np.random.default_rng(seed)
    gappy = np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n))
    town = np.array(["Aa", "Bb", None], object)[rng.integers(0, 3, n)]
    when = np.datetime64("2021-03-01T05:00") + rng.integers(0, 9000, n).astype("timedelta64[h]")
    return {
        "size": 1e4 * rng.normal(size=n),
        "gappy": gappy,
        "town": town,
        "code": rng.integers(7, 10, n),
        "when": when,
    }


def outcomes(n: int = N, seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "angle": rng.uniform(-3, 3, n),
        "count": rng.poisson(3, n).astype(float),
        "share": rng.uniform(0.01, 0.99, n),
        "amount": rng.gamma(2.0, 1000.0, n),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("exports")


@pytest.fixture(scope="module")
def mixed(folder):
    """Return a model of features of every kind and targets of several families, and the folder of its export."""
    families = {"angle": "von_mises", "count": "negative_binomial", "share": "logit_normal", "amount": "gamma"}
    settings = {**SMALL, "target_families": families, "categorical_features": ["code"], "random_state": 0}
    model = mm.MDNRegressor(**settings).fit(columns(), outcomes())
    export_onnx(model, folder / "mixed", evaluation="Measured by a test.")
    return model, folder / "mixed"


def test_parameters_agree_with_torch_in_scaled_units(mixed):
    model, path = mixed
    exported, rows = runtime.load(path), columns(50, seed=3)
    found = exported.parameters(exported.encode(rows))
    network = ParameterNetwork(model.network_)
    expected = network(model._open(rows, 0).all())
    assert list(found) == network.names
    for name, value in zip(network.names, expected, strict=True):
        assert found[name].shape[:2] == (50, 2)
        np.testing.assert_allclose(found[name], value.numpy(), rtol=1e-9, atol=1e-9)


def test_predictions_agree_with_torch_in_the_units_of_the_targets(mixed):
    model, path = mixed
    rows, y = columns(20, seed=4), np.column_stack(list(outcomes(20, seed=5).values()))
    truth, density = model.predict_distribution(rows), runtime.load(path).predict_distribution(rows)
    np.testing.assert_allclose(density.log_prob(y), truth.log_prob(torch.from_numpy(y)).numpy(), rtol=1e-8)
    np.testing.assert_allclose(density.cdf(y), truth.cdf(torch.from_numpy(y)).numpy(), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(density.mean, truth.mean.numpy(), rtol=1e-8)


def test_the_folder_needs_numpy_and_onnxruntime_only(mixed):
    _, path = mixed
    code = """
import sys
for name in ("torch", "manymodes", "sklearn", "scipy", "pandas", "narwhals"):
    sys.modules[name] = None
import runtime
model = runtime.load(".")
rows = {"size": [1.0], "gappy": [None], "town": ["Aa"], "code": [8], "when": ["2021-05-01T00:00"]}
print(model.predict_distribution(rows).sample(3, random_state=0).shape)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("(3, 1, 4)\n", "")


def test_the_runtime_of_the_folder_is_that_of_the_package(mixed):
    _, path = mixed
    assert (path / "runtime.py").read_bytes() == Path(runtime.__file__).read_bytes()


def test_the_card_names_features_families_and_what_was_measured(mixed):
    _, path = mixed
    card = (path / "MODEL_CARD.md").read_text()
    for part in (
        "| `town` | category | `Aa`, `Bb` | yes |",
        "VonMises",
        "through a logit",
        "Measured by a test.",
        "2021",
    ):
        assert part in card


@pytest.mark.parametrize(
    "settings",
    [
        {"atoms": (0.0,), "family": "log_normal"},
        {"retrieval": True},
        {"covariance_type": "full"},
        {"backbone": nn.Sequential(nn.Linear(2, 8), nn.Tanh())},
    ],
    ids=["atoms", "retrieval", "full", "backbone"],
)
def test_other_models_agree_with_torch_too(settings, tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 2)), rng.gamma(2.0, 3.0, 80)
    y = np.column_stack([y, -y + rng.normal(size=80)]) if "covariance_type" in settings else y
    y = np.where(rng.random(80) < 0.3, 0.0, y) if "atoms" in settings else y
    model = mm.MDNRegressor(**{**SMALL, **settings, "random_state": 0}).fit(X, y)
    export_onnx(model, tmp_path / "model")
    truth, density = model.predict_distribution(X), runtime.load(tmp_path / "model").predict_distribution(X)
    at = np.asarray(y).reshape(80, -1)
    np.testing.assert_allclose(density.log_prob(at), truth.log_prob(torch.from_numpy(at)).numpy(), rtol=1e-5, atol=1e-5)


def test_pictures_are_exported_by_example(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 1, 6, 6)).astype(np.float32), rng.normal(size=60)
    backbone = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten())
    model = mm.MDNRegressor(2, backbone=backbone, max_epochs=1, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match=r"^example must hold some rows for a model whose backbone takes arrays"):
        export_onnx(model, tmp_path / "model")
    export_onnx(model, tmp_path / "model", example=X[:2])
    density = runtime.load(tmp_path / "model").predict_distribution(X)
    np.testing.assert_allclose(density.mean[:, 0], model.predict(X), rtol=1e-4, atol=1e-4)


# --- bad input ---


def test_an_existing_folder_is_kept_unless_it_may_be_replaced(mixed):
    model, path = mixed
    before = (path / "model.json").read_bytes()
    with pytest.raises(ValueError, match=r"exists already; choose another folder or pass overwrite=True\.$"):
        export_onnx(model, path)
    assert (path / "model.json").read_bytes() == before
    assert sorted(file.name for file in path.parent.iterdir()) == ["mixed"]


def test_other_models_are_refused(tmp_path):
    with pytest.raises(TypeError, match=r"^model must be a MDNRegressor, as fitted; of a recalibrated one export"):
        export_onnx(object(), tmp_path / "model")


def test_damaged_and_newer_exports_are_refused(mixed, tmp_path):
    _, path = mixed
    for name in ("model.json", "parameters.onnx"):
        (tmp_path / name).write_bytes((path / name).read_bytes())
    document = json.loads((path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**document, "format_version": 99}))
    with pytest.raises(ValueError, match=r"has format 'manymodes export' 99; this file reads 'manymodes export' 1\.$"):
        runtime.load(tmp_path)
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(ValueError, match=r"does not describe an exported model\.$"):
        runtime.load(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps(document))
    (tmp_path / "parameters.onnx").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"is damaged: its checksum does not match\. Export it again\.$"):
        runtime.load(tmp_path)
    with pytest.raises(ValueError, match=r"must hold model\.json and parameters\.onnx, which manymodes export"):
        runtime.load(tmp_path / "nowhere")


def test_rows_that_the_model_cannot_take_are_refused(mixed):
    model = runtime.load(mixed[1])
    rows = {"size": [1.0], "gappy": [None], "town": ["Aa"], "code": [8], "when": ["2021-05-01"]}
    for change, message in (
        ({"size": [None]}, r"^Column 'size' has missing values \(first: row 1\), and none was missing in the fit"),
        ({"size": ["big"]}, r"^Column 'size' must hold numbers; got"),
        ({"size": [np.inf]}, r"^Column 'size' has infinite or huge values, and a feature may have none\.$"),
        ({"when": [3.0]}, r"^Column 'when' must hold points in time; got numbers\.$"),
        ({"when": ["soon"]}, r"^Column 'when' must hold points in time; got 'soon'\.$"),
    ):
        with pytest.raises(ValueError, match=message):
            model.predict_distribution({**rows, **change})
    with pytest.raises(ValueError, match=r"^X must have the column 'when'; it has 'size', 'gappy', 'town', 'code'\.$"):
        model.predict_distribution({name: cells for name, cells in rows.items() if name != "when"})
    with pytest.raises(ValueError, match=r"^X must have shape \(N, 5\); got \(1, 2\)\.$"):
        model.predict_distribution(np.zeros((1, 2)))


def test_unknown_categories_are_taken_as_the_model_takes_them(mixed):
    model, path = mixed
    rows = {"size": [1.0], "gappy": [0.5], "town": ["Zz"], "code": [8.0], "when": np.array(["2021-05-01"], "M8[s]")}
    truth = model.predict_distribution({**rows, "town": np.array(["Zz"], object), "size": np.array([1.0])}).mean
    np.testing.assert_allclose(runtime.load(path).predict_distribution(rows).mean, truth.numpy(), rtol=1e-9)


def test_tables_of_every_kind_and_of_no_rows_are_taken(mixed):
    import pandas as pd
    import polars as pl

    model, path = mixed
    rows, exported = columns(6, seed=9), runtime.load(path)
    expected = model.predict_distribution(rows).mean.numpy()
    frame = pd.DataFrame(rows)
    for table in (frame, frame.convert_dtypes(), pl.from_pandas(frame), {k: list(v) for k, v in rows.items()}):
        np.testing.assert_allclose(exported.predict_distribution(table).mean, expected, rtol=1e-8)
    assert exported.predict_distribution(frame[:0]).mean.shape == (0, 4)
    with pytest.raises(ValueError, match=r"^Column 'gappy' must have as many rows as column 'size', 6; got 5\.$"):
        exported.predict_distribution({**rows, "gappy": rows["gappy"][:5]})
    with pytest.raises(TypeError, match=r"^X must be a data frame, a mapping of names to columns or an array"):
        exported.predict_distribution([[1.0]])


def test_time_zones_are_those_of_the_fit_and_empty_text_may_be_a_level(tmp_path):
    import pandas as pd

    when = pd.date_range("2024-01-01", periods=80, freq="7h", tz="Europe/Berlin")
    frame = pd.DataFrame({"when": when, "kind": (["", "x"] * 40)})
    y = np.sin(np.arange(80) / 3) + (frame["kind"] == "x")
    model = mm.MDNRegressor(**SMALL, random_state=0).fit(frame, y)
    export_onnx(model, tmp_path / "model")
    exported = runtime.load(tmp_path / "model")
    np.testing.assert_allclose(exported.predict_distribution(frame).mean[:, 0], model.predict(frame), rtol=1e-9)
    for other in (when.tz_convert("UTC"), when.tz_localize(None), when.map(str)):
        with pytest.raises(ValueError, match=r"^Column 'when' must hold points in time in the time zone Europe/"):
            exported.predict_distribution(frame.assign(when=other))


def test_one_scale_for_all_targets_is_exported(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)), rng.normal(size=(60, 2))
    model = mm.MDNRegressor(**SMALL, covariance_type="spherical", random_state=0).fit(X, y)
    export_onnx(model, tmp_path / "model")
    density, truth = runtime.load(tmp_path / "model").predict_distribution(X), model.predict_distribution(X)
    np.testing.assert_allclose(density.log_prob(y), truth.log_prob(torch.from_numpy(y)), rtol=1e-8)
    np.testing.assert_allclose(density.variance, truth.variance, rtol=1e-8)
