import math

import pytest
import torch

import manymodes as mm
from manymodes.estimators.components import ComponentSearch, search_components
from manymodes.nn import MixtureDensityNetwork, MixtureHead
from manymodes.training.rows.data import as_rows

M, N = 2, 4000


def network(weights, loc, scale) -> MixtureDensityNetwork:
    """Return members that all predict the same mixture, whatever x is, in unscaled units."""
    head = MixtureHead(1, target_dim=1, n_components=len(weights), n_members=M)
    raw = torch.log(torch.expm1(torch.tensor(scale) - head.min_scale[0]))
    with torch.no_grad():
        head.linear.weight.zero_()
        head.linear.bias.copy_(torch.cat([torch.tensor(weights).log(), torch.tensor(loc), raw]))
    return MixtureDensityNetwork(torch.nn.Identity(), head)


def search(net, y, *weight) -> ComponentSearch:
    rows = as_rows("data", (torch.zeros(len(y), 1), y[:, None], *weight), net)
    return search_components(net, rows, torch.arange(len(y)).expand(M, -1), slice(0, M))


def drawn(weights, loc, scale, n=N) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    k = torch.multinomial(torch.tensor(weights), n, replacement=True, generator=generator)
    return torch.tensor(loc)[k] + torch.tensor(scale)[k] * torch.randn(n, generator=generator)


def test_components_that_the_truth_lacks_are_pruned():
    y = drawn([0.5, 0.5], [-2.0, 2.0], [0.5, 0.5])
    found = search(network([0.49, 0.49, 0.01, 0.01], [-2.0, 2.0, 9.0, -9.0], [0.5, 0.5, 0.5, 0.5]), y)
    assert found.chosen == 2


def test_twins_are_merged_into_one():
    y = drawn([0.5, 0.5], [-2.0, 2.0], [0.5, 0.5])
    found = search(network([0.25, 0.25, 0.5], [-2.0, -2.0, 2.0], [0.5, 0.5, 0.5]), y)
    assert found.chosen == 2
    assert found.losses[1] == pytest.approx(found.losses[2], abs=1e-9)


def test_a_normal_cut_into_parts_is_put_together_again_with_its_variance():
    y = drawn([1.0], [0.0], [1.0])
    found = search(network([0.5, 0.5], [-0.6, 0.6], [0.8, 0.8]), y)
    assert found.chosen == 1
    expected = -torch.distributions.Normal(0.0, 1.0).log_prob(y).mean().item()
    assert found.losses[0] == pytest.approx(expected, abs=1e-6)


def test_components_that_are_needed_stay():
    y = drawn([0.3, 0.3, 0.4], [-3.0, 0.0, 3.0], [0.3, 0.3, 0.3])
    found = search(network([0.3, 0.3, 0.4], [-3.0, 0.0, 3.0], [0.3, 0.3, 0.3]), y)
    assert found.chosen == 3
    assert found.losses[0] > found.losses[1] > found.losses[2]
    truth = mm.distributions.Mixture(
        torch.distributions.Categorical(torch.tensor([0.3, 0.3, 0.4])),
        mm.distributions.DiagonalNormal(torch.tensor([[-3.0], [0.0], [3.0]]), torch.full((3, 1), 0.3)),
    )
    assert found.losses[2] == pytest.approx(-truth.log_prob(y[:, None]).mean().item(), abs=1e-5)


def test_rows_count_with_their_weights():
    net = network([0.5, 0.5], [-2.0, 2.0], [0.5, 0.5])
    y = drawn([0.5, 0.5], [-2.0, 2.0], [0.5, 0.5])
    left = torch.where(y < 0, 1.0, 1e-9)
    assert search(net, y).chosen == 2
    assert search(net, y, left).losses[1] == pytest.approx(search(net, y[y < 0]).losses[1], abs=1e-4)


def test_the_reason_names_the_numbers():
    reason = ComponentSearch((1.0, 0.51, 0.5), (0.1, 0.02, 0.0), 2).reason()
    assert reason == (
        "2 of 3 components were kept: on rows held out in the search they lose 0.010 nats to the best number, 3, "
        "within one standard error (0.020); 1 would lose 0.500 (0.100)."
    )


def test_the_estimator_takes_as_many_components_as_the_rows_ask_for_and_says_so(tmp_path):
    generator = torch.Generator().manual_seed(1)
    X = torch.rand(400, 1, generator=generator).numpy()
    sign = torch.where(torch.rand(400, generator=generator) < 0.5, -1.0, 1.0)
    y = (2 * sign + 0.1 * torch.randn(400, generator=generator)).numpy()
    small = {"frequency": 0.05, "n_members": 2, "hidden_sizes": (16,), "max_epochs": 80, "lr": 1e-2, "random_state": 0}
    model = mm.MDNRegressor("auto", **small).fit(X, y)
    search = model.race_.components
    assert search.chosen == model.architecture_.n_components
    assert 2 <= search.chosen <= 4
    assert len(search.losses) == 10
    model.save(tmp_path / "m.mm")
    assert mm.load(tmp_path / "m.mm").race_ == model.race_
    assert math.isfinite(model.score(X, y))


@pytest.mark.parametrize("settings", [{"family": "student_t"}, {"covariance_type": "full"}, {"rounding": 0.1}])
def test_five_components_are_taken_where_no_evidence_can_be_read_off(settings):
    X, y = [[0.0], [1.0], [2.0], [3.0]] * 5, [1.0, 2.0, 3.0, 4.0] * 5
    small = {"frequency": 0.1, "max_epochs": 1, "n_members": 1, "hidden_sizes": (4,)}
    model = mm.MDNRegressor("auto", **small, **settings).fit(X, y)
    assert model.architecture_.n_components == 5
    assert model.race_.components is None
