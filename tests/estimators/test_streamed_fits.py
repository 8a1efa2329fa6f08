"""The estimator on rows that need not fit into memory."""

import numpy as np
import pytest
import torch

import manymodes as mm
from manymodes._checks import InputError
from manymodes.distributions import Incomplete
from manymodes.training import Stream
from manymodes.training.step import Stepper

QUICK = {"preset": "fast", "random_state": 0}


def wave(n=3000, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (n, 2))
    return X, np.sin(3 * X[:, 0]) + X[:, 1] + 0.1 * rng.normal(size=n)


def stream(X, y, size=400) -> Stream:
    x, t = torch.tensor(X), torch.tensor(y).reshape(len(y), -1)
    return Stream(list(zip(x.split(size), t.split(size), strict=True)))


def test_a_stream_is_learned_as_well_as_a_table():
    (X, y), (X_new, y_new) = wave(), wave(1000, seed=1)
    table = mm.MDNRegressor(**QUICK).fit(X, y)
    streamed = mm.MDNRegressor(**QUICK).fit_stream(stream(X, y))
    t = torch.tensor(y_new)[:, None]
    scores = [float(mm.metrics.crps(model.predict_distribution(X_new), t).mean()) for model in (table, streamed)]
    assert scores[1] < 1.1 * scores[0]
    assert streamed.predict(X_new).shape == (1000,)
    assert streamed.target_notes() == table.target_notes() == []


def test_names_are_remembered_and_a_saved_model_predicts_the_same(tmp_path):
    X, y = wave(500)
    model = mm.MDNRegressor(**QUICK, max_epochs=2).fit_stream(stream(X, y), names=(["a", "b"], ["y"]))
    assert model.feature_names_in_.tolist() == ["a", "b"]
    assert model.target_names_ == ["y"]
    model.save(tmp_path / "model.mm")
    columns = {"b": X[:, 1], "a": X[:, 0]}
    assert (mm.load(tmp_path / "model.mm").predict(columns) == model.predict(columns)).all()


def test_several_targets_are_streamed():
    X, y = wave(500)
    model = mm.MDNRegressor(**QUICK, max_epochs=2).fit_stream(stream(X, np.column_stack([y, -y])))
    assert model.predict(X).shape == (500, 2)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"rounding": 0.1}, "rounding must be left out for a stream, whose rows are not in memory."),
        ({"retrieval": True}, "retrieval must be left out for a stream, whose rows are not in memory."),
    ],
)
def test_settings_that_need_all_rows_are_refused(settings, sentence):
    with pytest.raises(InputError) as caught:
        mm.MDNRegressor(**QUICK, **settings).fit_stream(stream(*wave(100)))
    assert str(caught.value) == sentence


def test_all_rows_are_gone_through_once_before_the_first_step(monkeypatch):
    X, y = wave(800)
    passes, steps = [], []
    blocks, step = Stream.blocks, Stepper.step

    def counted(self, seed):
        passes.append(len(steps))
        return blocks(self, seed)

    monkeypatch.setattr(Stream, "blocks", counted)
    monkeypatch.setattr(Stepper, "step", lambda self, batch: steps.append(1) or step(self, batch))
    mm.MDNRegressor(**QUICK, max_epochs=3).fit_stream(stream(X, y))
    assert passes.count(0) == 2  # to look, and to learn


def test_incomplete_targets_are_refused_in_words():
    x = torch.randn(50, 2)
    blocks = Stream([(x, Incomplete.rounded(x[:, :1], 0.1))])
    with pytest.raises(InputError, match=r"^stream must hold exact targets; got Incomplete\. Take manymodes\.fit for"):
        mm.MDNRegressor(**QUICK).fit_stream(blocks)


def test_a_constant_target_and_what_is_no_stream_are_refused():
    X, y = wave(100)
    with pytest.raises(InputError, match="^column 0 of y must take at least two different values"):
        mm.MDNRegressor(**QUICK).fit_stream(stream(X, 0 * y))
    with pytest.raises(TypeError, match=r"^stream must be a Stream"):
        mm.MDNRegressor(**QUICK).fit_stream(X)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"validation_rows": "last"}, "validation_rows must be 'random' for a stream; got 'last'."),
        ({"warm_start": True}, "warm_start must be False for a stream; got True."),
    ],
)
def test_what_a_stream_cannot_do_is_refused(setting, sentence):
    with pytest.raises(InputError) as caught:
        mm.MDNRegressor(**QUICK, **setting).fit_stream(stream(*wave(100)))
    assert str(caught.value) == sentence
