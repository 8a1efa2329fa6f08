import json
import math

import numpy as np
import pytest
import torch

import manymodes as mm
from manymodes._checks import InputError
from manymodes.nn import MLP, MixtureDensityNetwork, MixtureHead
from manymodes.training.step import Stepper

SMALL = {"max_epochs": 15, "batch_size": 32, "random_state": 0, "progress": False}


def network(k=3, d=1, f=1, seed=0, **mlp) -> MixtureDensityNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return MixtureDensityNetwork(MLP(f, (16, 16), **mlp), MixtureHead(16, target_dim=d, n_components=k))


def data(n=200) -> tuple[torch.Tensor, torch.Tensor]:
    X, y = mm.datasets.make_inverse_sinusoid(n, random_state=0)
    return torch.tensor(X), torch.tensor(y)[:, None]


def weights(net) -> list[torch.Tensor]:
    return [value.clone() for value in net.state_dict().values()]


def same(first, second) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_fit_learns_and_leaves_a_network_in_evaluation_mode():
    net, (x, y) = network(), data(500)
    untrained = mm.metrics.log_score(net(x), y).mean()
    history = mm.fit(net, (x, y), max_epochs=100, lr=1e-2, random_state=0)
    assert mm.metrics.log_score(net(x), y).mean() < untrained - 1
    assert history.n_epochs == history.max_epochs == 100
    assert not net.training
    assert history.n_train + history.n_validation == 500


def test_the_same_seed_gives_the_same_weights_whatever_the_global_seed():
    fitted = []
    for global_seed in (1, 2):
        net = network(dropout=0.2)
        torch.manual_seed(global_seed)
        mm.fit(net, data(), **SMALL)
        fitted.append(weights(net))
    assert same(*fitted)
    other = network(dropout=0.2)
    mm.fit(other, data(), **{**SMALL, "random_state": 1})
    assert not same(fitted[0], weights(other))


def test_the_callers_random_state_is_neither_used_nor_moved():
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    mm.fit(network(dropout=0.2), data(), **SMALL)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()


def test_the_weights_of_the_best_epoch_are_restored():
    net, (x, y) = network(), data()
    held_out = x[150:], y[150:]
    seen = {}
    history = mm.fit(
        net,
        (x[:150], y[:150]),
        validation=held_out,
        callbacks=[lambda history: seen.setdefault(history.n_epochs - 1, weights(net))],
        lr=2e-2,
        **{**SMALL, "max_epochs": 60},
    )
    best = int(np.argmin(history.validation_loss))
    assert history.best_epoch == best < 59
    assert same(weights(net), seen[best])
    scaled = net.scaled_distribution(net.scale_input(held_out[0]))
    loss = mm.objectives.nll(scaled, net.scale_target(held_out[1])).item()
    assert loss == pytest.approx(history.best_validation_loss, rel=1e-5)


def test_patience_stops_a_fit_that_no_longer_improves():
    history = mm.fit(network(), data(60), lr=5e-2, patience=3, **{**SMALL, "max_epochs": 500})
    assert history.stopped_early
    assert history.n_epochs == history.best_epoch + 4


class Spoiled:
    """The negative log-likelihood, but not finite in chosen batches: in the loss, or only in its gradient."""

    def __init__(self, bad: set[int], where: str) -> None:
        self.bad, self.where, self.calls = bad, where, 0

    def __call__(self, distribution, y, weight):
        loss = mm.objectives.nll(distribution, y, weight)
        if not loss.requires_grad:
            return loss
        self.calls += 1
        if self.calls in self.bad:
            if self.where == "loss":
                return loss * math.nan
            return loss + 0 * (distribution.components.loc * 0).abs().sqrt().sum()  # the gradient is 0 * inf
        return loss


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_batch_that_is_not_finite_never_reaches_the_weights(where):
    net = network()
    history = mm.fit(net, data(), objective=Spoiled({2, 7, 8}, where), **SMALL)
    assert history.skipped_batches == 3
    assert all(value.isfinite().all() for value in net.state_dict().values())
    assert np.isfinite(history.train_loss).all()


def test_a_skipped_batch_leaves_no_trace_in_running_statistics():
    backbone = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.BatchNorm1d(8))
    net = MixtureDensityNetwork(Poisoned(backbone, call=3), MixtureHead(8, target_dim=1, n_components=2))
    history = mm.fit(net, data(), **SMALL)
    assert history.skipped_batches == 1
    assert all(value.isfinite().all() for value in net.state_dict().values())


class Poisoned(torch.nn.Module):
    """A backbone one of whose batches in training turns to NaN on its way in."""

    def __init__(self, backbone, call: int) -> None:
        super().__init__()
        self.backbone, self.calls, self.call = backbone, 0, call

    def forward(self, x):
        self.calls += self.training
        return self.backbone(x * math.nan if self.training and self.calls == self.call else x)


def test_validation_that_is_never_finite_stops_with_a_sentence():
    def only_in_training(distribution, y, weight):
        loss = mm.objectives.nll(distribution, y, weight)
        return loss if loss.requires_grad else loss * math.nan

    with pytest.raises(FloatingPointError, match="^the objective was not finite on the validation rows after any"):
        mm.fit(network(), data(), objective=only_in_training, **SMALL)


def test_an_interruption_leaves_the_best_weights_so_far():
    net, seen, losses = network(), {}, []

    def stop_at_30(history):
        seen[history.n_epochs - 1], losses[:] = weights(net), history.validation_loss
        if history.n_epochs == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mm.fit(net, data(60), lr=5e-2, callbacks=[stop_at_30], **{**SMALL, "max_epochs": 100})
    assert same(weights(net), seen[int(np.argmin(losses))])


def test_weights_of_any_kind_of_number_are_taken_and_gradients_of_data_are_not():
    x, y = data()
    fitted = []
    for weight in (torch.ones(200), torch.ones(200, dtype=torch.long), torch.ones(200, dtype=torch.bool)):
        net = network()
        mm.fit(net, (x.clone().requires_grad_(), y, weight), **SMALL)
        fitted.append(weights(net))
    assert same(fitted[0], fitted[1])
    assert same(fitted[0], fitted[2])


def test_an_epoch_without_a_finite_batch_stops_with_a_sentence():
    with pytest.raises(FloatingPointError, match="^every batch of epoch 1 had a loss or gradient"):
        mm.fit(network(), data(), objective=Spoiled(set(range(1000)), "loss"), **SMALL)


def test_the_learning_rate_warms_up_and_decays_over_the_whole_fit(monkeypatch):
    rates = []

    class Spy(Stepper):
        def step(self, batch):
            losses = super().step(batch)
            rates.append(self._optimizer._adamw.param_groups[0]["lr"])
            return losses

    monkeypatch.setattr("manymodes.training.loop.Stepper", Spy)
    x, y = data(64)
    mm.fit(network(), (x, y), validation=(x, y), lr=0.5, warm_up=0.1, **{**SMALL, "max_epochs": 30})
    assert len(rates) == 60
    assert np.argmax(rates) in (5, 6)
    assert 0.45 < max(rates) <= 0.5
    assert rates[:6] == sorted(rates[:6])
    assert rates[6:] == sorted(rates[6:], reverse=True)
    assert rates[-1] < 0.005


def test_a_row_of_weight_zero_is_no_row():
    x, y = data()
    weight = torch.ones(200)
    weight[::2] = 0
    with_zeros, without = network(), network()
    mm.fit(with_zeros, (x, y, weight), **SMALL)
    mm.fit(without, (x[1::2], y[1::2], weight[1::2]), **SMALL)
    assert same(weights(with_zeros), weights(without))


def test_scaling_is_learned_from_training_rows_only():
    x, y = data()
    net = network()
    mm.fit(net, (x[:100], y[:100]), validation=(x[100:] + 100, y[100:] + 100), **SMALL)
    torch.testing.assert_close(net.target_scaling.loc, y[:100].mean(0))
    torch.testing.assert_close(net.input_scaling.loc, x[:100].mean(0))


def test_validation_rows_that_are_drawn_teach_the_scaling_nothing():
    x, y = data()
    net, held_out = network(), []

    def spy(distribution, scaled_y, weight):
        loss = mm.objectives.nll(distribution, scaled_y, weight)
        if not loss.requires_grad and not held_out:
            held_out.append(scaled_y)
        return loss

    mm.fit(net, (x, y), objective=spy, **{**SMALL, "validation": 0.3, "max_epochs": 1})
    drawn = held_out[0].double() * net.target_scaling.scale + net.target_scaling.loc
    assert len(drawn) == 60
    torch.testing.assert_close(net.target_scaling.loc, (y.sum(0) - drawn.sum(0)) / 140, rtol=1e-6, atol=1e-6)
    assert (net.target_scaling.loc - y.mean(0)).abs() > 1e-4


def test_a_validation_loss_that_is_not_finite_now_and_then_is_survived(tmp_path):
    calls = []

    def now_and_then(distribution, y, weight):
        loss = mm.objectives.nll(distribution, y, weight)
        if loss.requires_grad:
            return loss
        calls.append(1)
        return loss * math.inf if len(calls) == 2 else loss

    history = mm.fit(network(), data(), objective=now_and_then, **SMALL)
    assert not math.isfinite(history.validation_loss[1])
    assert history.best_epoch != 1
    again = mm.History.from_dict(json.loads(json.dumps(history.to_dict(), allow_nan=False)))
    assert math.isnan(again.validation_loss[1])
    assert again.validation_loss[2:] == history.validation_loss[2:]


def test_a_fitted_network_can_be_continued():
    net, (x, y) = network(), data()
    mm.fit(net, (x, y), **SMALL)
    with torch.no_grad():
        loss = mm.metrics.log_score(net(x), y).mean().item()
        scaling = net.target_scaling.loc.clone()
    mm.fit(net, (x, y), initialise=False, lr=1e-5, **{**SMALL, "max_epochs": 1, "random_state": 9})
    with torch.no_grad():
        assert mm.metrics.log_score(net(x), y).mean().item() == pytest.approx(loss, abs=0.05)
    assert torch.equal(net.target_scaling.loc, scaling)


def test_no_run_stays_collapsed_on_the_conditional_mean():
    # The inverse sinusoid: a run that stays on the mean cannot score below -0.2.
    x, y = data(400)
    for seed in range(5):
        net = network(k=3, seed=seed)
        mm.fit(net, (x, y), max_epochs=80, lr=1e-2, random_state=seed)
        assert mm.metrics.log_score(net(x), y).mean() < -0.7


@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_handful_of_rows_can_be_fitted(n):
    x, y = data(n)
    net = network()
    history = mm.fit(net, (x, y), **SMALL)
    assert np.isfinite(history.validation_loss).all()
    assert net(x).log_prob(y).isfinite().all()


@pytest.mark.parametrize(
    ("changes", "kind", "sentence"),
    [
        (
            lambda x, y: (x, y[:, 0]),
            InputError,
            "y in data must have shape (N, D), also for D = 1, or (N, T, D) with a target at every step; got (200,).",
        ),
        (lambda x, y: (x, y[:9]), InputError, "x and y must have the same number of rows; got 200 and 9."),
        (
            lambda x, y: (x, y.repeat(1, 2)),
            InputError,
            "y must have shape (N, 1) to match the head's target_dim=1; got (200, 2).",
        ),
        (
            lambda x, y: (x, y, torch.ones(200, 1)),
            InputError,
            "weight must have shape (200,) to weigh every row of y; got (200, 1).",
        ),
        (
            lambda x, y: (x, y, -torch.ones(200)),
            InputError,
            "weight must be >= 0 everywhere and > 0 somewhere; got -1 to -1.",
        ),
        (lambda x, y: x, TypeError, "data must be a tuple (x, y) or (x, y, weight) of tensors; got Tensor."),
        (lambda x, y: (x.numpy(), y), TypeError, "x in data must be a torch tensor, or several by name; got ndarray."),
        (lambda x, y: (x[:1], y[:1]), InputError, "data must have at least 2 rows, 1 of them for validation; got 1."),
    ],
)
def test_data_that_cannot_be_used_is_refused(changes, kind, sentence):
    with pytest.raises(kind) as caught:
        mm.fit(network(), changes(*data()), **SMALL)
    assert str(caught.value) == sentence


def test_arguments_of_the_wrong_kind_are_refused():
    for changes, sentence in (
        ({"network": torch.nn.Linear(1, 1)}, "network must be a MixtureDensityNetwork; got Linear."),
        ({"objective": "nll"}, "objective must be a function, say manymodes.objectives.nll; got 'nll'."),
        ({"callbacks": print}, "callbacks must be a list of functions of a History; got builtin_function_or_method."),
    ):
        arguments = {"network": network(), "data": data(), **SMALL, **changes}
        with pytest.raises(TypeError) as caught:
            mm.fit(**arguments)
        assert str(caught.value) == sentence
    with pytest.raises(InputError, match=r"^validation must have at least 1 row; got 0\.$"):
        mm.fit(network(), data(), **{**SMALL, "validation": tuple(part[:0] for part in data())})


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_refused_with_its_row(bad):
    x, y = data()
    y[17] = bad
    with pytest.raises(InputError) as caught:
        mm.fit(network(), (x, y), **SMALL)
    assert str(caught.value) == (
        "y in data must be finite and within ±1e+150; got another value first in row 18. Drop those rows or fill "
        "them in."
    )


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"lr": 0.0}, "lr must be a number > 0; got 0.0."),
        ({"max_epochs": 0}, "max_epochs must be an integer >= 1; got 0."),
        ({"batch_size": 0}, "batch_size must be an integer >= 1; got 0."),
        ({"patience": 0}, "patience must be an integer >= 1; got 0."),
        ({"validation": 1.0}, "validation must be a number > 0 and < 1; got 1.0."),
        ({"weight_decay": -1}, "weight_decay must be a number >= 0; got -1."),
        ({"clip_norm": 0.0}, "clip_norm must be a number > 0; got 0.0."),
    ],
)
def test_a_setting_out_of_range_is_refused(settings, sentence):
    with pytest.raises(InputError) as caught:
        mm.fit(network(), data(), **{**SMALL, **settings})
    assert str(caught.value) == sentence


def test_progress_goes_to_standard_error_only(capsys):
    mm.fit(network(), data(), **{**SMALL, "progress": True})
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "fitting (validation loss" in shown.err
    mm.fit(network(), data(), **{**SMALL, "progress": False})
    assert capsys.readouterr().err == ""


def test_a_follower_sees_the_network_before_its_first_epoch_and_the_history_after_each():
    class Follower:
        def __init__(self):
            self.networks, self.epochs = [], []

        def on_fit_start(self, network):
            self.networks.append((network, network.head.linear.weight.detach().clone()))

        def on_epoch_end(self, history):
            self.epochs.append(history.n_epochs)

    net, follower = network(), Follower()
    mm.fit(net, data(), max_epochs=3, callbacks=[follower], random_state=0)
    ((seen, before),) = follower.networks
    assert seen is net
    assert not torch.equal(before, net.head.linear.weight)
    assert follower.epochs == [1, 2, 3]
