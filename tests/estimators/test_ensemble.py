"""What an ensemble knows: its members, what it does not know, and rows unlike those of the fit."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import manymodes as mm
from manymodes._checks import InputError
from tests.estimators.small import small


@pytest.fixture(scope="module")
def wave():
    """Return a model of a noisy sine that saw nothing between -1 and 1, nor beyond 3."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, size=1200)
    x = x[np.abs(x) > 1]
    y = np.sin(2 * x) + np.where(x > 0, 0.3, 0.05) * rng.normal(size=len(x))
    model = mm.MDNRegressor(preset="fast", random_state=0)
    return model.fit({"x": x}, {"height": y})


def test_noise_is_aleatoric_where_rows_are_dense(wave):
    table = wave.predict_uncertainty({"x": np.array([-2.0, 2.0])})
    assert table["height_aleatoric"][0] == pytest.approx(0.05, abs=0.04)
    assert table["height_aleatoric"][1] == pytest.approx(0.3, abs=0.08)
    assert bool((table["height_epistemic"] < table["height_aleatoric"]).all())


def test_epistemic_numbers_grow_outside_the_training_range_and_rows_there_are_far(wave):
    near, far = {"x": np.linspace(1.2, 2.8, 30)}, {"x": np.linspace(3.6, 6.0, 30)}
    inside, outside = wave.predict_uncertainty(near), wave.predict_uncertainty(far)
    for name in ("height_epistemic", "mutual_information"):
        assert outside[name].mean() > 2 * inside[name].mean(), name
    assert outside["far"].all()
    assert inside["far"].mean() < 0.1


def test_epistemic_numbers_grow_in_a_gap_between_training_rows(wave):
    inside, gap = (wave.predict_uncertainty({"x": x}) for x in (np.linspace(1.2, 2.8, 30), np.linspace(-0.7, 0.7, 30)))
    assert gap["mutual_information"].mean() > 1.5 * inside["mutual_information"].mean()
    assert gap["far"].all()


def test_the_table_is_of_the_kind_of_the_features(wave):
    frame = pd.DataFrame({"x": [1.5, 2.0]}, index=["first", "second"])
    table = wave.predict_uncertainty(frame)
    assert list(table.index) == ["first", "second"]
    expected = ["height_aleatoric", "height_epistemic", "entropy", "mutual_information", "mode_disagreement", "far"]
    assert list(table.columns) == expected


def test_variances_add_up_to_that_of_the_prediction(wave):
    X = {"x": np.linspace(-3, 3, 20)}
    table = wave.predict_uncertainty(X)
    total = table["height_aleatoric"] ** 2 + table["height_epistemic"] ** 2
    np.testing.assert_allclose(total, wave.predict_distribution(X).variance[:, 0], rtol=1e-9)


def test_members_come_together_or_one_by_one(wave):
    X = {"x": np.linspace(-3, 3, 20)}
    (together,) = list(wave.iter_members(X))
    one_by_one = wave.predict_members(X)
    assert together.batch_shape == (len(one_by_one), 20)
    torch.testing.assert_close(together[2].mean, one_by_one[2].mean)
    torch.testing.assert_close(together.pooled(0).mean, wave.predict_distribution(X).mean)


def test_a_backbone_of_ones_own_without_a_table_knows_no_rows():
    rng = np.random.default_rng(1)
    pictures = rng.normal(size=(40, 1, 4, 4)).astype(np.float32)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.SiLU())
    model = small(backbone=backbone, random_state=0).fit(pictures, pictures.mean((1, 2, 3)))
    assert "far" not in model.predict_uncertainty(pictures)
    with pytest.raises(InputError) as error:
        model.is_far(pictures)
    assert str(error.value) == "the model must know its training rows; it was fitted to no table, or long ago."
