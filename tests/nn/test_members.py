import pytest
import torch
from torch import nn

from manymodes._checks import InputError
from manymodes.nn import MLP, Members, MixtureDensityNetwork, MixtureHead, TableEmbedding, TableScaling
from manymodes.nn.members import MemberLinear

M, N, F = 3, 7, 4


def rows(*shape, seed=0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def ensemble(**settings) -> MixtureDensityNetwork:
    torch.manual_seed(0)
    embedding = TableEmbedding(F, n_members=M)
    mlp = MLP(embedding.out_features, (8, 8), n_members=M, residual=True, **settings)
    head = MixtureHead(8, target_dim=2, n_components=5, n_members=M)
    return MixtureDensityNetwork(nn.Sequential(embedding, mlp), head, input_scaling=TableScaling())


def test_each_member_is_a_linear_layer_of_its_own():
    layer, x = MemberLinear(F, 5, M), rows(M, N, F)
    out = layer(x)
    for m in range(M):
        torch.testing.assert_close(out[m], nn.functional.linear(x[m], layer.weight[m].T, layer.bias[m]))


def test_members_start_different_and_as_wide_as_one_linear_layer():
    layer = MemberLinear(100, 50, M)
    assert not torch.equal(layer.weight[0], layer.weight[1])
    assert layer.weight.abs().max().item() == pytest.approx(0.1, rel=0.01)


def test_copies_of_a_module_give_what_each_would_give_alone():
    module = nn.Sequential(nn.Linear(F, 6), nn.Tanh(), nn.Linear(6, 2))
    members, x = Members(module, M), rows(M, N, F)
    for m in range(M):
        torch.testing.assert_close(members(x)[m], module(x[m]))
    assert all(len(parameter) == M for parameter in members.parameters())


def test_dropout_differs_between_copies_and_stops_in_evaluation_mode():
    members, x = Members(nn.Sequential(nn.Linear(F, 50), nn.Dropout(0.5)), M), rows(1, N, F).expand(M, N, F)
    out = members.train()(x)
    assert not torch.equal(out[0] == 0, out[1] == 0)
    assert not (members.eval()(x) == 0).any()


def test_frozen_parameters_of_a_backbone_stay_frozen():
    module = nn.Sequential(nn.Linear(F, 6), nn.Linear(6, 2))
    module[0].requires_grad_(False)
    assert [parameter.requires_grad for parameter in Members(module, M).parameters()] == [False, False, True, True]


def test_running_statistics_are_refused_with_a_remedy():
    with pytest.raises(InputError, match=r"^a backbone with running statistics, say batch normalisation, cannot have"):
        Members(nn.BatchNorm1d(3), 2)


def test_an_ensemble_pools_its_members_with_equal_weights():
    network, x, y = ensemble(), rows(N, F), rows(N, 2, seed=1)
    pooled, members = network(x), network.members(x)
    assert pooled.batch_shape == (N,)
    assert pooled.n_components == 5 * M
    assert members.batch_shape == (M, N)
    expected = torch.logsumexp(members.log_prob(y.expand(M, N, 2)), 0) - torch.log(torch.tensor(float(M)))
    torch.testing.assert_close(pooled.log_prob(y), expected)


def test_the_loss_of_a_member_moves_that_member_alone():
    network = ensemble()
    network.members(rows(N, F))[1].log_prob(rows(N, 2)).sum().backward()
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert (parameter.grad[[0, 2]] == 0).all()
    assert any((parameter.grad[1] != 0).any() for parameter in network.parameters())


def test_every_member_starts_from_locations_spread_over_the_targets():
    network = ensemble()
    x, y = rows(200, F), rows(200, 2, seed=1)
    network.initialise(x, y, torch.Generator())
    located = network.members(x[:1]).components.loc.mean(1)  # (M, K, D)
    assert (located.std(1) > 0.3).all()


def test_member_state_has_the_member_axis_in_front_also_without_members():
    assert all(len(value) == M for value in ensemble().member_state().values())
    single = MixtureDensityNetwork(
        nn.Sequential(nn.Linear(F, 6), nn.BatchNorm1d(6)), MixtureHead(6, target_dim=1, n_components=2)
    )
    state = single.member_state()
    assert all(len(value) == 1 for value in state.values())
    assert any("running_mean" in name for name in state)
    state["head.linear.bias"][0] = 7.0
    assert (single.head.linear.bias == 7).all()


def test_dropout_of_this_package_is_drawn_for_each_member_too():
    torch.manual_seed(0)
    members = Members(MLP(F, (50,), dropout=0.5), M)
    features = members(rows(1, N, F).expand(M, N, F))
    left_out = (features == 0).float()
    assert left_out.mean().item() == pytest.approx(0.5, abs=0.05)
    assert not torch.equal(left_out[0], left_out[1])
    assert set(members.state_dict()) == {"layers/0/weight", "layers/0/bias"}
