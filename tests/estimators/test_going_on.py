"""Fits of the estimator that were interrupted or killed."""

import numpy as np
import pytest

import manymodes as mm
from manymodes._checks import InputError
from manymodes.training import Interrupted


def test_an_interrupted_fit_leaves_an_estimator_that_predicts(fail_at_judgement):
    X, y = mm.datasets.load_geyser()
    fail_at_judgement(4, KeyboardInterrupt)
    model = mm.MDNRegressor(2, preset="fast", random_state=0)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert model.history_.n_epochs == 3
    assert np.isfinite(model.predict(X)).all()


def test_a_fit_goes_on_from_its_checkpoint(tmp_path, fail_at_judgement):
    X, y = mm.datasets.load_geyser()
    settings = {"hidden_sizes": (8,), "n_members": 2, "max_epochs": 3, "random_state": 0}
    expected = mm.MDNRegressor(**settings).fit(X, y).predict(X)
    fail_at_judgement(5, RuntimeError("killed"))  # in the second epoch of the fit, after three of the race
    with pytest.raises(RuntimeError, match="killed"):
        mm.MDNRegressor(**settings).fit(X, y, checkpoint=tmp_path)
    assert (tmp_path / "race" / "fit.checkpoint").exists()
    assert (mm.MDNRegressor(**settings).fit(X, y, checkpoint=tmp_path).predict(X) == expected).all()


def test_a_checkpoint_needs_a_seed(tmp_path):
    X, y = mm.datasets.load_geyser()
    with pytest.raises(
        InputError, match=r"^random_state must be a number with a checkpoint, so that a fit can go on\.$"
    ):
        mm.MDNRegressor().fit(X, y, checkpoint=tmp_path)


def test_an_interrupted_race_leaves_no_model(fail_at_judgement):
    X, y = mm.datasets.load_geyser()
    fail_at_judgement(3, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt) as caught:
        mm.MDNRegressor(random_state=0).fit(X, y)
    assert not isinstance(caught.value, Interrupted)
