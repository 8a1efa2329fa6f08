"""Which models a service finds, and which it refuses."""

import shutil

import numpy as np
import pytest

import manymodes as mm
from manymodes._checks import InputError
from manymodes.apps.service.models import find_models

from .conftest import TINY


def refused(path):
    with pytest.raises(InputError) as error:
        find_models(path)
    return str(error.value)


def test_a_file_a_folder_of_a_fit_and_a_folder_of_such_are_found(folder, tmp_path):
    assert list(find_models(folder / "two.mm")) == ["two"]
    (tmp_path / "houses").mkdir()
    shutil.copy(folder / "prices.mm", tmp_path / "houses" / "model.mm")
    (tmp_path / "houses" / "report.html").write_text("")
    assert list(find_models(tmp_path / "houses")) == ["houses"]
    shutil.copy(folder / "two.mm", tmp_path)
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "empty").mkdir()
    assert list(find_models(tmp_path)) == ["houses", "two"]


def test_a_folder_may_be_named_by_a_dot(folder, tmp_path, monkeypatch):
    (tmp_path / "houses").mkdir()
    shutil.copy(folder / "two.mm", tmp_path / "houses" / "model.mm")
    monkeypatch.chdir(tmp_path / "houses")
    assert list(find_models(tmp_path.cwd().relative_to(tmp_path.cwd()))) == ["houses"]


def test_what_holds_no_model_is_refused(tmp_path):
    assert refused(tmp_path / "no") == (
        f"{str(tmp_path / 'no')!r} does not exist; hand in a model file, or a folder that fit wrote."
    )
    assert refused(tmp_path) == f"{str(tmp_path)!r} must hold models, *.mm or folders that fit wrote; got none."
    (tmp_path / "bad.mm").write_text("no model")
    assert "is not a manymodes model file, or it is damaged" in refused(tmp_path)


def test_two_models_of_one_name_are_refused(folder, tmp_path):
    (tmp_path / "two").mkdir()
    shutil.copy(folder / "two.mm", tmp_path)
    shutil.copy(folder / "two.mm", tmp_path / "two" / "model.mm")
    assert refused(tmp_path) == f"{str(tmp_path)!r} must hold models of different names; got two of 'two'."


def test_a_model_of_unnamed_columns_is_refused(tmp_path):
    X = np.random.default_rng(0).normal(size=(30, 2))
    mm.MDNRegressor(**TINY).fit(X, X[:, 0]).save(tmp_path / "m.mm")
    assert refused(tmp_path) == (
        f"{str(tmp_path / 'm.mm')!r} was fitted to arrays without column names, so the features of a request cannot be "
        "matched to it; fit it to a data frame or with manymodes fit."
    )


def test_a_forecaster_is_refused(tmp_path):
    path = tmp_path / "load.mm"
    mm.MDNForecaster(2, context=2, n_members=1, n_steps=1, random_state=0).fit(np.arange(30.0) % 7).save(path)
    assert refused(tmp_path) == (
        f"{str(path)!r} holds a forecaster of series, and only models of rows are served; in Python: "
        f"manymodes.load({str(path)!r}).predict_frame()."
    )


def test_a_target_without_a_name_is_called_y(tmp_path):
    X = np.random.default_rng(0).normal(size=30)
    mm.MDNRegressor(**TINY).fit({"x": X}, X).save(tmp_path / "m.mm")
    assert find_models(tmp_path)["m"].targets == ["y"]
