"""Backbones, inputs, callbacks and validation rows of the user's own."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import manymodes as mm
from manymodes._checks import InputError
from manymodes.estimators import neg_log_score

from .small import small

N = 120


def table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 3))
    return X, X[:, 0] + 0.1 * rng.normal(size=N)


# --- backbones ---


class Picture(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 3), nn.SiLU(), nn.Flatten(), nn.Linear(4 * 16, 8))

    def forward(self, x):
        return self.layers(x)


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(5, 4)

    def forward(self, tokens):
        return self.table(tokens).mean(-2)


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.picture, self.words, self.row = Picture(), Words(), nn.Linear(3, 4)

    def forward(self, x):
        return torch.cat([self.picture(x["picture"]), self.words(x["words"]), self.row(x["row"])], -1)


def inputs(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "picture": rng.normal(size=(N, 1, 6, 6)).astype(np.float32),
        "words": rng.integers(0, 5, size=(N, 7)),
        "row": 1e6 * rng.normal(size=(N, 3)) + 1e9,
    }


@pytest.mark.parametrize("n_members", [1, 3])
def test_pictures_words_and_several_inputs_reach_a_backbone(n_members, tmp_path):
    x = inputs()
    y = 0.5 * x["picture"][:, 0, 0, 0] + (x["row"][:, 0] - 1e9) / 1e6 + 0.1 * x["words"].sum(1)
    model = small(backbone=Both(), n_members=n_members, max_epochs=60).fit(x, y)
    assert model.score(x, y) > 0.5  # the row alone, unscaled, would swamp everything
    tensors = {name: torch.from_numpy(part) for name, part in reversed(x.items())}
    np.testing.assert_array_equal(model.predict(tensors), model.predict(x))
    assert model.predict({name: part[:5] for name, part in x.items()}).shape == (5,)
    model.save(tmp_path / "m.mm")
    loaded = mm.load(tmp_path / "m.mm", backbone=Both())
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))


def test_arrays_of_more_axes_and_tensors_are_left_as_they_are():
    x = inputs()
    assert small(backbone=Picture()).fit(x["picture"], x["picture"][:, 0, 0, 0]).predict(x["picture"]).shape == (N,)
    rows = torch.from_numpy(x["row"])
    on_tensors = small(backbone=nn.Linear(3, 4), max_epochs=2).fit(rows, rows[:, 0])
    np.testing.assert_array_equal(on_tensors.predict(x["row"]), on_tensors.predict(rows))
    words = torch.from_numpy(x["words"])
    model = small(backbone=Words()).fit(words, words.double().mean(1))
    assert model.predict(words[:7]).shape == (7,)
    assert model.sample(words[:7], 3, random_state=0).shape == (3, 7)


def test_every_answer_works_for_pictures_in_double_precision_and_bad_ones_are_refused():
    x = inputs()["picture"]
    y = x[:, 0, 0, 0] + 0.1
    model = small(backbone=Picture(), max_epochs=5).fit(x, y)
    assert model.predict(x).dtype == model.log_prob(x, y).dtype == np.float64
    assert model.predict_probability(x, 0.0).shape == (N,)
    assert np.isfinite(neg_log_score(model, x, y))
    np.testing.assert_allclose(model.predict_region(x, 0.9).total_mass, 0.9, atol=1e-9)
    with pytest.raises(InputError, match="^X must be a table, whose columns are features; this model takes inputs"):
        model.explain(x)
    with pytest.raises(InputError, match="^X must be like that of the fit; the backbone fails with it: "):
        model.predict(x[:, :, :3])
    x[3, 0, 0, 0] = np.inf
    with pytest.raises(InputError, match=r"^X must be finite and within ±1e\+150; got another value first in row 4"):
        model.predict(x)
    with pytest.raises(InputError, match=r"^X must hold numbers; got <U1\."):
        small(backbone=Picture()).fit(np.full((N, 1, 6, 6), "a"), y)


def test_frozen_parameters_and_their_statistics_stay_and_the_rest_is_trained():
    X, y = table()
    part = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8))
    part.requires_grad_(False)
    backbone = nn.Sequential(part, nn.Linear(8, 8))
    before = copy.deepcopy(backbone.state_dict())
    model = small(backbone=backbone, n_members=1).fit(X, y)
    after = model.network_.backbone.state_dict()
    for name, value in after.items():
        is_frozen = name.startswith("0.")
        assert torch.equal(value, before[name]) == is_frozen, name
    assert torch.equal(
        backbone.state_dict()["1.weight"], before["1.weight"]
    )  # the user's own module is a copy's source


def test_weights_of_a_trained_backbone_are_where_the_fit_begins():
    X, y = table()
    backbone = nn.Linear(3, 8)
    with torch.no_grad():
        backbone.weight.fill_(0.125)
    for n_members in (1, 2):
        model = small(backbone=backbone, n_members=n_members, max_epochs=1, lr=1e-9).fit(X, y)
        weights = next(iter(model.network_.backbone.parameters()))
        torch.testing.assert_close(weights, torch.full_like(weights, 0.125), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("backbone", "x", "sentence"),
    [
        (Picture(), lambda x: x["picture"][:, 0], "backbone must take x of shape (N, 6, 6); it fails: "),
        (
            Both(),
            lambda x: {"picture": x["picture"]},
            "backbone must take x['picture'] of shape (N, 1, 6, 6); it fails: ",
        ),
        (
            Both(),
            lambda x: {**x, "row": x["row"][:3]},
            "X['picture'] and X['row'] must have the same number of rows; got 120 and 3.",
        ),
        (
            nn.Linear(3, 2),
            lambda x: pd.DataFrame({"a": ["x"] * N, "b": [1.0] * N}),
            "Column 'a' must hold numbers, all",
        ),
        (
            nn.Linear(1, 2),
            lambda x: x["row"][:, :1] * np.nan,
            "Column 'x0' must hold numbers, all of them, for a backbone of your own; got a missing value in",
        ),
    ],
)
def test_inputs_that_do_not_fit_a_backbone_are_refused(backbone, x, sentence):
    y = np.random.default_rng(0).normal(size=N)
    with pytest.raises(InputError) as caught:
        small(backbone=backbone).fit(x(inputs()), y)
    assert str(caught.value).startswith(sentence)


def test_other_inputs_than_those_of_the_fit_are_refused():
    x = inputs()
    model = small(backbone=Both(), max_epochs=1).fit(x, x["row"][:, 0])
    with pytest.raises(InputError, match="^X must be what the model was fitted with, arrays that reach its backbone"):
        model.predict(pd.DataFrame({"a": [1.0]}))
    with pytest.raises(
        InputError, match="^x must be a mapping with the inputs 'picture', 'row', 'words'; got 'picture'"
    ):
        model.predict({"picture": x["picture"]})


# --- callbacks ---


def test_callbacks_see_every_epoch_of_the_fit_and_may_end_it():
    X, y = table()
    seen = []

    class Watch:
        def on_epoch_end(self, history):
            seen.append(history.validation_loss[-1])
            return history.n_epochs == 7

    model = small(frequency=None, preset="default", hidden_sizes=(8,)).fit(X, y, callbacks=[Watch(), lambda history: 1])
    assert len(seen) == model.history_.n_epochs == 7
    assert seen == model.history_.validation_loss
    assert "since a callback asked for it" in model.history_.diagnosis()
    with pytest.raises(
        TypeError, match="^callbacks must be functions of a History, or objects with a method on_epoch_end"
    ):
        small().fit(X, y, callbacks=["print"])


# --- validation rows ---


def test_rows_of_an_eval_set_choose_the_epoch():
    X, y = table()
    good, wrong = (X[:40], y[:40]), (X[:40], -5 * y[:40])
    fits = {name: small(max_epochs=60).fit(X, y, eval_set=rows) for name, rows in (("good", good), ("wrong", wrong))}
    assert fits["good"].history_.n_validation == 40
    assert fits["good"].history_.n_train == N
    assert max(fits["wrong"].history_.best_epochs) < min(fits["good"].history_.best_epochs)
    with pytest.raises(InputError, match=r"^eval_set must be one pair \(X, y\) of rows"):
        small().fit(X, y, eval_set=[good, wrong])
    with pytest.raises(ValueError, match="features"):
        small().fit(X, y, eval_set=(X[:, :2], y))


def test_groups_are_held_out_as_a_whole():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(30), 4)
    X = np.repeat(rng.normal(size=(30, 1)), 4, axis=0)
    y = np.repeat(rng.normal(size=30), 4)  # known from a sister row, but not from x
    settings = {"max_epochs": 150, "frequency": 1.5, "n_components": 1}
    apart = small(**settings).fit(X, y, groups=[f"g{number}" for number in group])
    mixed = small(**settings).fit(X, y)
    assert apart.history_.best_validation_loss > mixed.history_.best_validation_loss + 0.5
    with pytest.raises(InputError, match="^groups must name the group of every row; row 2 has none"):
        small().fit(X, y, groups=[1, pd.NA] * 60)
    with pytest.raises(InputError, match="^X and groups must have the same number of rows; got 120 and 3"):
        small().fit(X, y, groups=[1, 2, 3])
    with pytest.raises(InputError, match="^groups must name at least two groups"):
        small().fit(X, y, groups=np.zeros(120))
    with pytest.raises(InputError, match="^groups must be left out with validation_rows='last' and with an eval_set"):
        small(validation_rows="last").fit(X, y, groups=group)


def test_the_last_rows_are_held_out_where_rows_come_in_time():
    X, y = table()
    y[-15:] += 100.0  # which no other row foretells
    late = small(validation_rows="last").fit(X, y)
    assert late.history_.n_validation == 15
    assert late.history_.best_validation_loss > small().fit(X, y).history_.best_validation_loss + 1
    raced = small(frequency=None, hidden_sizes=(8,), max_epochs=5, validation_rows="last", preset="default").fit(X, y)
    assert len(raced.race_.chosen) == 1
    grouped = small(frequency=None, hidden_sizes=(8,), max_epochs=5, preset="default").fit(
        X, y, groups=np.arange(N) // 4
    )
    assert len(grouped.race_.losses) == 3
    with pytest.raises(InputError, match=r"^validation_rows must be one of 'last', 'random'; got 'first'\.$"):
        small(validation_rows="first").fit(X, y)


# --- going on ---


def test_a_second_fit_goes_on_with_the_families_of_the_first():
    X, y = table()
    model = small(warm_start=True, family="student_t", max_epochs=2).fit(X, {"a": y})
    model.set_params(family="normal").fit(X, y)
    assert model.predict_distribution(X).components.groups[0].__class__.__name__ == "StudentT"
    assert model.target_names_ == ["a"]
    model.fit(X, y, groups=np.arange(N) // 3)


def test_a_loaded_model_goes_on_too_and_its_targets_keep_their_places(tmp_path):
    X, y = table()
    both = pd.DataFrame({"a": y, "b": 10 + y})
    small(warm_start=True, max_epochs=60).fit(X, both).save(tmp_path / "m.mm")
    loaded = mm.load(tmp_path / "m.mm").set_params(max_epochs=1, lr=1e-9)
    loaded.fit(X, both[["b", "a"]])
    assert loaded.target_names_ == ["a", "b"]
    assert loaded.predict(X).mean(0)[1] > 9
    with pytest.raises(InputError, match="^y has no column 'b'"):
        loaded.fit(X, both.rename(columns={"b": "c"}))
    with pytest.raises(InputError, match=r"^y must have shape \(N, 2\) as the first fit had, with warm_start"):
        loaded.fit(X, y)


def test_a_warm_start_goes_on_where_the_first_fit_ended():
    X, y = table()
    first = small(warm_start=True, max_epochs=30).fit(X, y)
    losses = [first.history_.validation_loss[-1]]
    encoder = first.encoder_
    losses.append(first.set_params(lr=1e-4, max_epochs=2).fit(X, y).history_.validation_loss[0])
    cold = small(max_epochs=2, lr=1e-4).fit(X, y).history_.validation_loss[0]
    assert abs(losses[1] - losses[0]) < 0.2 < cold - losses[1]
    assert first.encoder_ is encoder
    with pytest.raises(ValueError, match="features"):
        first.fit(X[:, :2], y)
    assert first.predict(X).shape == (N,)
    with pytest.raises(InputError, match="^warm_start must be False with retrieval"):
        small(warm_start=True, retrieval=True, max_epochs=1).fit(X, y).fit(X, y)


# --- targets that are not fully known ---


def test_censored_targets_correct_the_bias_of_a_ceiling():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(600, 1))
    truth = 3 * X[:, 0] + rng.normal(size=600)
    seen = np.minimum(truth, 1.0)
    bound = np.where(seen == 1.0, 1.0, np.nan)
    settings = {"n_components": 1, "max_epochs": 80}
    high = np.array([[0.9]])
    naive = small(**settings).fit(X, seen).predict(high)[0]
    aware = small(**settings).fit(X, seen, y_lower=bound).predict(high)[0]
    assert naive < 1.2
    assert abs(aware - 2.7) < 0.5
    table = pd.DataFrame({"x": X[:, 0]})
    named = small(**settings).fit(table, pd.Series(seen, name="price"), y_lower=pd.Series(bound))
    np.testing.assert_allclose(named.predict(pd.DataFrame({"x": [0.9]})), [aware])


def test_rows_of_weight_zero_are_no_rows_whatever_they_hold():
    X, y = table()
    weight = np.where(np.arange(N) % 2, 1.0, 0.0)
    expected = small(max_epochs=5).fit(X, y, sample_weight=weight).predict(X)
    frame = pd.DataFrame(np.where(weight[:, None] > 0, X, np.nan))
    for spoiled, targets in ((np.where(weight[:, None] > 0, X, 1e6), y), (X, np.where(weight > 0, y, np.nan))):
        model = small(max_epochs=5).fit(spoiled, targets, sample_weight=weight)
        np.testing.assert_array_equal(model.predict(X), expected)
    assert small(max_epochs=1).fit(frame, y, sample_weight=weight).feature_notes() == []


def test_rows_whose_targets_are_partly_missing_teach_what_they_know():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 1))
    y = np.column_stack([X[:, 0], -X[:, 0]]) + 0.1 * rng.normal(size=(200, 2))
    y[::2, 1] = np.nan
    y[1::4, 0] = np.nan
    model = small(allow_missing_targets=True, max_epochs=60).fit(X, y)
    np.testing.assert_allclose(model.predict([[1.0]])[0], [1, -1], atol=0.3)
    with pytest.raises(InputError, match="^objective must be 'nll' where targets are missing or censored"):
        small(allow_missing_targets=True, objective="crps").fit(X, y)
    with pytest.raises(InputError, match="^retrieval must be False where targets are missing or censored"):
        small(allow_missing_targets=True, retrieval=True).fit(X, y)
