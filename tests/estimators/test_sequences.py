"""Estimators of sequences: one target each, or one at every step, padded, packed or whole."""

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_sequence, pad_sequence

import manymodes as mm
from manymodes._checks import InputError
from manymodes.nn import CausalTransformer, Convolution, Recurrent, TemporalConvolution

N, T, F = 80, 5, 2
SETTINGS = {"max_epochs": 30, "batch_size": 20, "random_state": 0, "n_components": 2, "lr": 2e-2}


def walks(seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, T, F))
    return X, X.cumsum(1).sum(-1, keepdims=True) + 0.1 * rng.normal(size=(N, T, 1))


def ragged():
    X, y = walks()
    lengths = np.random.default_rng(1).integers(1, T + 1, N)
    return [torch.tensor(row[:n]) for row, n in zip(X, lengths, strict=True)], [
        torch.tensor(row[:n]) for row, n in zip(y, lengths, strict=True)
    ]


def model(backbone, **settings):
    return mm.MDNRegressor(backbone=backbone, **(SETTINGS | settings))


@pytest.mark.parametrize(
    "backbone",
    [Recurrent(F, 16), TemporalConvolution(F, 16, n_layers=2), CausalTransformer(F, 16)],
    ids=["recurrent", "convolution", "transformer"],
)
def test_a_sequence_has_one_target(backbone):
    X, y = walks()
    fitted = model(backbone).fit(X, y[:, -1, 0])
    assert fitted.predict(X).shape == (N,)
    assert fitted.score(X, y[:, -1, 0]) > 0.7


def test_signals_of_several_channels_are_taken():
    X, y = walks()
    fitted = model(Convolution(F, (16,), dims=1, grid=T, out_features=16)).fit(X.transpose(0, 2, 1), y[:, -1, 0])
    assert fitted.score(X.transpose(0, 2, 1), y[:, -1, 0]) > 0.7


def test_every_step_has_a_target(tmp_path):
    X, y = walks()
    fitted = model(Recurrent(F, 16, every_step=True)).fit(X, y)
    density = fitted.predict_distribution(X)
    assert (density.batch_shape, density.event_shape) == ((N, T), (1,))
    assert fitted.predict(X).shape == (N, T, 1)
    assert fitted.predict(X, point="median").shape == (N, T, 1)
    assert fitted.predict_quantiles(X, [0.1, 0.5]).shape == (N, T, 1, 2)
    assert fitted.predict_interval(X).shape == (N, T, 1, 2)
    assert fitted.sample(X, 3, random_state=0).shape == (3, N, T, 1)
    assert fitted.log_prob(X, y).shape == (N, T)
    assert fitted.score(X, y) > 0.8
    fitted.save(tmp_path / "model.mm")
    again = mm.load(tmp_path / "model.mm", backbone=Recurrent(F, 16, every_step=True))
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))


def test_several_members_predict_every_step():
    X, y = walks()
    fitted = model(Recurrent(F, 8, every_step=True), n_members=2, max_epochs=3).fit(X, y)
    assert fitted.predict_distribution(X).n_components == 4


def test_packed_and_padded_sequences_are_one_model():
    X, y = ragged()
    packed = pack_sequence(X, enforce_sorted=False)
    padded = {"steps": pad_sequence(X, batch_first=True), "lengths": torch.tensor(list(map(len, X)))}
    backbone = Recurrent(F, 8, every_step=True)
    one = model(backbone, max_epochs=3).fit(packed, pack_sequence(y, enforce_sorted=False))
    other = model(backbone, max_epochs=3).fit(
        padded, pad_sequence(y, batch_first=True, padding_value=torch.nan).numpy()
    )
    np.testing.assert_array_equal(one.predict(packed), other.predict(padded))
    scores = one.log_prob(packed, pack_sequence(y, enforce_sorted=False))
    assert (np.isnan(scores) == (np.arange(T) >= padded["lengths"].numpy()[:, None])).all()
    assert one.score(packed, pack_sequence(y, enforce_sorted=False)) < 1.0


def test_padded_steps_are_no_targets_when_these_are_looked_at():
    X, y = ragged()
    packed = pack_sequence(X, enforce_sorted=False)
    fitted = model(Recurrent(F, 8, every_step=True), max_epochs=1).fit(
        packed, pack_sequence([50.0 + own for own in y], enforce_sorted=False)
    )
    assert fitted.network_.target_scaling.loc.item() == pytest.approx(50.0, abs=2.0)


@pytest.mark.parametrize(
    ("fit", "sentence"),
    [
        (
            lambda X, y: model(Recurrent(F, 8)).fit(X, y),
            "y must have shape (N, 1) for features at 1 step of each row, as the backbone gives them; got (N, 5, 1).",
        ),
        (
            lambda X, y: mm.MDNRegressor().fit(X[:, 0], y),
            "y must have shape (N,) or (N, D); got (80, 5, 1).",
        ),
        (
            lambda X, y: model(Recurrent(F, 8, every_step=True)).fit(X, y, y_lower=y),
            "y_lower and y_upper must be left out with targets at every step.",
        ),
        (
            lambda X, y: model(Recurrent(F, 8, every_step=True), max_epochs=1).fit(X, y).score(X, y[:, 0]),
            "y must have shape (N, T, D) as the model was fitted with; got another one.",
        ),
        (
            lambda X, y: model(Recurrent(F, 8, every_step=True), max_epochs=1).fit(X, y).score(X, y[:, :3]),
            "y must have shape (80, 5, 1) to match the steps of X; got (80, 3, 1).",
        ),
        (
            lambda X, y: model(Recurrent(F, 8, every_step=True), max_epochs=1).fit(X, y).log_prob(X, y[:, :1]),
            "y must have shape (80, 5, 1) to match the steps of X; got (80, 1, 1).",
        ),
        (
            lambda X, y: model(Recurrent(F, 8, every_step=True), max_epochs=1).fit(X, y).predict_modes(X),
            "predict_modes needs one target a row; got targets at every step. Ask predict_distribution(X).",
        ),
        (
            lambda X, y: model(Recurrent(F, 8, every_step=True)).fit_stream(
                mm.training.Stream(lambda: iter([(torch.tensor(X), torch.tensor(y))]))
            ),
            "stream must hold tables, (N, F) and (N, D); got more axes. Take manymodes.fit.",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(fit, sentence):
    with pytest.raises(InputError) as caught:
        fit(*walks())
    assert str(caught.value) == sentence


def test_targets_that_are_packed_otherwise_are_refused():
    X, y = ragged()
    with pytest.raises(InputError) as caught:
        model(Recurrent(F, 8, every_step=True)).fit(
            pack_sequence(X, enforce_sorted=False), pack_sequence(y[::-1], enforce_sorted=False)
        )
    assert str(caught.value) == "y must be packed as X is, sequence by sequence; got other lengths."


def test_sequences_weigh_what_they_are_given_when_they_are_scored():
    X, y = walks()
    fitted = model(Recurrent(F, 8, every_step=True), max_epochs=2).fit(X, y)
    weight = np.arange(N) % 2
    assert fitted.score(X, y, weight) == pytest.approx(fitted.score(X[1::2], y[1::2]))
