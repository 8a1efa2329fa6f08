import json
import shutil

import numpy as np
import pytest

import manymodes as mm
from manymodes.apps.cli import main
from manymodes.apps.files import read_columns
from manymodes.estimators import RecalibratedRegressor
from tests.apps.commands.tables import houses, refused


def told(capsys, *words) -> dict:
    capsys.readouterr()
    assert main(["info", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_what_is_inside_a_model_is_told_to_machines(folder, capsys):
    found = told(capsys, folder / "first")
    known = houses()
    rows = mm.load(folder / "first").history_
    size, town = found["features"]
    assert (size["name"], size["kind"], town["categories"]) == ("size", "number", ["Ayr", "Bath"])
    assert known["size"].min() <= size["low"] < 80 < 170 < size["high"] <= known["size"].max()
    assert found["targets"][0]["name"] == "price"
    assert found["rows"] == {"train": rows.n_train, "validation": rows.n_validation, "held_out": 6}
    assert (found["members"], found["components"], found["format_version"]) == (4, 5, 4)
    assert found["file"].endswith("houses.csv")
    assert found["epochs"]["run"] == 20
    assert found["bytes"] == (folder / "first" / "model.mm").stat().st_size
    summary = json.loads((folder / "first" / "summary.json").read_text())
    assert found["scores"] == summary["scores"]


def test_what_is_inside_a_model_is_told_to_people(inside, capsys):
    assert main(["info", "first"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Mixture density network for tables" in text
    assert "It is 4 networks of 5 components each" in text
    assert "others; 6 were held out." in text
    for word in ("Ayr, Bath", "category", "this model", "one Gaussian", "epochs"):
        assert word in text


def test_the_range_of_each_feature_is_its_own_whatever_the_order_inside(tmp_path, capsys):
    rng = np.random.default_rng(0)
    X = {
        "when": np.datetime64("2024-03-01") + rng.permutation(80),
        "tens": 10 + rng.random(80),
        "same": np.full(80, 4.0),
        "gaps": np.where(np.arange(80) % 4, 500 + rng.random(80), np.nan),
    }
    model = mm.MDNRegressor(preset="fast", max_epochs=1, random_state=0).fit(X, {"y": rng.normal(size=80)})
    model.save(tmp_path / "m.mm")
    when, tens, same, gaps = told(capsys, tmp_path / "m.mm")["features"]
    assert "2024-03-01" <= when["low"] < "2024-03-20" < "2024-05-01" < when["high"] <= "2024-05-19"
    assert 10 <= tens["low"] < tens["high"] <= 11
    assert (same["kind"], same["low"]) == ("nothing", None)
    assert 500 <= gaps["low"] < gaps["high"] <= 501
    assert gaps["may_be_missing"]
    assert not tens["may_be_missing"]


def test_a_model_without_its_summary_is_told_without_scores(folder, tmp_path, capsys):
    shutil.copy(folder / "first" / "model.mm", tmp_path / "model.mm")
    found = told(capsys, tmp_path)
    assert (found["scores"], found["file"]) == ({}, None)
    assert set(found["rows"]) == {"train", "validation"}


@pytest.mark.parametrize("text", ["{", "[]", '{"scores": {"model": 3}}', '{"rows": 1}'])
def test_a_damaged_summary_is_named_and_hides_nothing_else(folder, tmp_path, capsys, text):
    shutil.copy(folder / "first" / "model.mm", tmp_path / "model.mm")
    (tmp_path / "summary.json").write_text(text)
    found = told(capsys, tmp_path)
    assert found["scores"] == {}
    assert found["notes"][-1] == (
        f"Mind: {str(tmp_path / 'summary.json')!r} cannot be read, so nothing is told of scores."
    )


def test_a_recalibrated_model_and_a_forecaster_are_told_as_what_they_are(folder, tmp_path, capsys):
    columns = read_columns(folder / "new.csv")
    X, y = {name: columns[name] for name in ("size", "town")}, {"price": columns["price"]}
    model = RecalibratedRegressor(mm.load(folder / "first"), cv="prefit", kind="temperature", random_state=0).fit(X, y)
    model.save(tmp_path / "r.mm")
    found = told(capsys, tmp_path / "r.mm")
    assert found["kind"] == "RecalibratedRegressor"
    assert found["recalibration"] == f"temperature {model.recalibration_.temperature:.3g}"
    forecaster = mm.MDNForecaster(2, context=3, n_members=1, n_steps=1, random_state=0).fit(np.arange(30.0) % 7)
    forecaster.save(tmp_path / "f.mm")
    found = told(capsys, tmp_path / "f.mm")
    assert (found["kind"], found["horizon"], found["holds_training_rows"]) == ("MDNForecaster", 2, True)
    assert found["notes"][0] == "It holds 1 series, whose ends it goes on from, and looks 3 steps back."
    assert main(["info", str(tmp_path / "f.mm")]) == 0
    assert "It forecasts 2 steps." in capsys.readouterr().out


def test_a_model_with_a_backbone_of_ones_own_is_told_without_it(tmp_path, capsys):
    import torch

    X, y = np.random.default_rng(0).normal(size=(2, 40, 1))
    network = torch.nn.Sequential(torch.nn.Linear(1, 3), torch.nn.Tanh())
    mm.MDNRegressor(backbone=network, n_members=1, max_epochs=1, random_state=0).fit(X, y[:, 0]).save(tmp_path / "m.mm")
    assert [target["name"] for target in told(capsys, tmp_path / "m.mm")["targets"]] == ["y"]


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_files_of_every_version_are_told(version, capsys):
    from pathlib import Path

    fixtures = Path(__file__).parents[2] / "estimators" / "fixtures"
    assert told(capsys, fixtures / f"model-v{version}.mm")["format_version"] == version


def test_what_is_no_model_is_refused(inside, capsys):
    assert refused(capsys, "info", "nowhere") == "There is no manymodes model file 'nowhere'."
    assert refused(capsys, "info", "houses.csv").startswith("'houses.csv' is not a manymodes model file, or it is ")
