"""Members trained side by side are as if each were alone."""

import math
import re

import pytest
import torch
from torch import nn

import manymodes as mm
from manymodes._checks import InputError
from manymodes.nn import MLP, Members, MixtureDensityNetwork, MixtureHead
from manymodes.nn.backbones import Dropout
from manymodes.training.gradients import member_losses
from manymodes.training.rows.data import as_rows, split
from manymodes.training.rows.partition import folds

M = 3
SMALL = {"max_epochs": 8, "batch_size": 32, "random_state": 0, "progress": False}


def ensemble(n_members: int | None = M) -> MixtureDensityNetwork:
    torch.manual_seed(1)
    head = MixtureHead(8, target_dim=1, n_components=2, n_members=n_members)
    return MixtureDensityNetwork(MLP(1, (8,), n_members=n_members), head)


def data(n=120) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(n, 1, generator=generator)
    return x, torch.sin(6 * x) + 0.1 * torch.randn(n, 1, generator=generator)


def member(network: MixtureDensityNetwork, m: int) -> list[torch.Tensor]:
    return [parameter[m].detach().clone() for parameter in network.parameters()]


def test_members_hold_out_different_rows_and_together_all_of_them():
    rows = as_rows("data", data(), ensemble())
    parts = split(rows, folds(120, 1 / M, M, torch.Generator().manual_seed(0)), M)
    assert parts.held_out_index.flatten().sort().values.tolist() == list(range(120))
    for m in range(M):
        together = torch.cat([parts.train_index[m], parts.held_out_index[m]])
        assert together.sort().values.tolist() == list(range(120))


@pytest.mark.parametrize("n_rows", [30, 391, 691, 927, 929])
def test_folds_hold_out_all_rows_though_their_number_does_not_fit(n_rows):
    held_out = folds(n_rows, 0.25, 4, torch.Generator().manual_seed(0))
    assert len(held_out.unique()) == n_rows
    assert all(len(rows.unique()) == len(rows) for rows in held_out)
    assert not torch.equal(held_out[0].sort().values, held_out[3].sort().values)


def test_tiny_shares_hold_out_a_row_of_each_members_own():
    assert len(folds(30, 1e-6, 8, torch.Generator().manual_seed(0)).unique()) == 8


def test_more_members_than_stretches_begin_again_with_the_same_rows():
    held_out = folds(121, 1 / M, 2 * M, torch.Generator().manual_seed(0))
    assert torch.equal(held_out[:M], held_out[M:])


def test_a_fit_improves_every_member_and_keeps_the_best_epoch_of_each():
    network, history = ensemble(), None
    history = mm.fit(network, data(), lr=2e-2, **{**SMALL, "max_epochs": 60, "validation": 0.3})
    assert history.n_members == M
    assert len(set(history.best_epochs)) > 1
    start = ensemble()
    start.initialise(*data(), torch.Generator())
    x, y = data()
    with torch.no_grad():
        before, after = (-net.members(x).log_prob(y.expand(M, -1, 1)).mean(-1) for net in (start, network))
    assert (after < before - 0.5).all()


def test_a_batch_that_is_not_finite_for_one_member_leaves_only_that_one_out():
    class Spoiled:
        def __init__(self, bad: bool) -> None:
            self.bad, self.calls = bad, 0

        def __call__(self, distribution, y, weight):
            loss = mm.objectives.nll(distribution, y, weight)
            if loss.requires_grad:
                self.calls += 1
                if self.bad and self.calls in (1, 4, 7):  # the first, too, when no moments exist yet
                    return loss * torch.tensor([1.0, math.nan, 1.0])
            return loss

    clean, spoiled = ensemble(), ensemble()
    mm.fit(clean, data(), objective=Spoiled(False), **SMALL)
    history = mm.fit(spoiled, data(), objective=Spoiled(True), **SMALL)
    assert history.skipped_batches == 3
    assert all(parameter.isfinite().all() for parameter in spoiled.parameters())
    for m in (0, 2):
        for a, b in zip(member(clean, m), member(spoiled, m), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
    assert any(not torch.equal(a, b) for a, b in zip(member(clean, 1), member(spoiled, 1), strict=True))


def test_the_gradient_of_each_member_is_clipped_by_its_own_norm():
    # A member with a huge loss must not shorten the steps of the others.
    def lopsided(distribution, y, weight):
        loss = mm.objectives.nll(distribution, y, weight)
        return loss * torch.tensor([1.0, 1e6, 1.0]) if loss.requires_grad else loss

    plain, skewed = ensemble(), ensemble()
    mm.fit(plain, data(), **SMALL)
    mm.fit(skewed, data(), objective=lopsided, **SMALL)
    for a, b in zip(member(plain, 0), member(skewed, 0), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_an_objective_that_averages_over_everything_is_asked_member_by_member():
    def whole(distribution, y, weight):
        return -distribution.log_prob(y).mean()

    network = ensemble()
    x, y = data()
    rows = as_rows("data", (x, y), network).take(torch.arange(120).view(M, 40))
    torch.testing.assert_close(member_losses(network, rows, whole), member_losses(network, rows, mm.objectives.nll))


def test_weights_reach_every_member():
    x, y = data()
    weight = torch.where(y[:, 0] > 0, 5.0, 1.0)
    plain, weighted = ensemble(), ensemble()
    mm.fit(plain, (x, y), lr=1e-2, **{**SMALL, "max_epochs": 60})
    mm.fit(weighted, (x, y, weight), lr=1e-2, **{**SMALL, "max_epochs": 60})
    with torch.no_grad():
        assert (weighted.members(x).mean.mean((1, 2)) > plain.members(x).mean.mean((1, 2))).all()


def test_copies_of_any_backbone_can_be_trained_side_by_side():
    backbone = Members(nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Dropout(0.1)), M)
    network = MixtureDensityNetwork(backbone, MixtureHead(8, target_dim=1, n_components=2, n_members=M))
    history = mm.fit(network, data(), lr=2e-2, **{**SMALL, "max_epochs": 30})
    assert history.validation_loss[-1] < history.validation_loss[0] - 0.3
    assert not torch.equal(*(parameter for parameter in next(network.backbone.parameters())[:2]))


def test_noise_on_inputs_and_targets_is_fresh_in_every_batch_and_never_in_validation():
    seen = []

    def spy(distribution, y, weight):
        loss = mm.objectives.nll(distribution, y, weight)
        seen.append((loss.requires_grad, y.double().sum().item()))
        return loss

    mm.fit(ensemble(None), data(), objective=spy, target_noise=0.5, **{**SMALL, "batch_size": 200, "max_epochs": 4})
    train = [total for learning, total in seen if learning]
    held_out = [total for learning, total in seen if not learning]
    assert len({round(total, 6) for total in train}) == 4
    assert len({round(total, 6) for total in held_out}) == 1


def test_noise_where_it_makes_no_sense_is_refused():
    x, _ = data()
    counts = torch.ones(120, 1).cumsum(0)
    network = MixtureDensityNetwork(
        nn.Linear(1, 8), MixtureHead(8, target_dim=1, n_components=2, family=mm.distributions.Poisson)
    )
    with pytest.raises(
        InputError, match=r"^target_noise must be 0 for families of counts, angles or bounded targets, and atoms\.$"
    ):
        mm.fit(network, (x, counts), target_noise=0.1, **SMALL)
    with pytest.raises(InputError, match=r"^input_noise must be a number >= 0"):
        mm.fit(ensemble(), data(), input_noise=-1.0, **SMALL)


def test_a_time_limit_ends_a_fit_and_the_learning_rate_has_fallen_by_then():
    history = mm.fit(ensemble(), data(2000), time_limit=0.5, **{**SMALL, "max_epochs": 100_000})
    assert history.stopped_early
    assert history.ended_by == "time_limit"
    assert history.seconds < 5


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (torch.ones(M, 120, dtype=torch.bool), "validation must hold numbers of rows, integers; got torch.bool."),
        (torch.zeros(M, 3), "validation must hold numbers of rows, integers; got torch.float32."),
        (
            torch.arange(120).expand(M, -1),
            "the number of rows in validation must be an integer from 1 to 119; got 120.",
        ),
        (
            torch.zeros(M, 0, dtype=torch.long),
            "the number of rows in validation must be an integer from 1 to 119; got 0.",
        ),
        (torch.zeros(M, 2, dtype=torch.long), "validation must name no row twice for the same member."),
    ],
)
def test_numbers_of_rows_that_cannot_be_held_out_are_refused(rows, sentence):
    with pytest.raises(InputError, match=f"^{re.escape(sentence)}$"):
        mm.fit(ensemble(), data(), **SMALL | {"validation": rows})


def test_numbers_of_rows_and_weights_of_zero_do_not_go_together():
    weight = torch.ones(120)
    weight[0] = 0
    with pytest.raises(InputError, match=r"^validation must not be numbers of rows where weights are 0; drop"):
        mm.fit(ensemble(None), (*data(), weight), **SMALL | {"validation": torch.arange(5)})


@pytest.mark.parametrize("n_members", [None, M])
@pytest.mark.parametrize(("loss", "got"), [(lambda d, y, w: -d.log_prob(y), "shape"), (lambda d, y, w: 1.0, "1.0")])
def test_an_objective_that_returns_anything_but_a_number_is_refused(n_members, loss, got):
    with pytest.raises(InputError, match=rf"^objective must return one number as a tensor, .*; got {got}"):
        mm.fit(ensemble(n_members), data(), objective=loss, **SMALL)


@pytest.mark.parametrize("fades", [True, False])
def test_dropout_fades_while_training_and_is_whole_again_afterwards(fades, monkeypatch):
    levels = []
    forward = Dropout.forward

    def spy(self, x):
        if self.training:
            levels.append(self.left_out.item() / 128)
        return forward(self, x)

    monkeypatch.setattr(Dropout, "forward", spy)
    network = MixtureDensityNetwork(MLP(1, (8,), dropout=0.5), MixtureHead(8, target_dim=1, n_components=2))
    mm.fit(network, data(), fade_dropout=fades, **SMALL)
    assert levels[0] > 0.99
    assert levels[-1] == pytest.approx(0.0, abs=0.01) if fades else set(levels) == {1.0}
    assert all(module.left_out == 128 for module in network.modules() if isinstance(module, Dropout))
