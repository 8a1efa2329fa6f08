import pytest
import torch
from torch import nn

import manymodes as mm
from manymodes._checks import InputError
from manymodes.nn import MLP, MixtureDensityNetwork, MixtureHead, Retrieval

M, R = 2, 60
SMALL = {"max_epochs": 15, "batch_size": 16, "random_state": 0, "progress": False}


def network(n_members: int | None = M, **settings) -> MixtureDensityNetwork:
    torch.manual_seed(0)
    retrieval = Retrieval(
        8, n_rows=R, row_features=1, target_dim=1, n_members=n_members, **{"n_neighbors": 5, **settings}
    )
    head = MixtureHead(8, target_dim=1, n_components=3, n_members=n_members)
    return MixtureDensityNetwork(MLP(1, (8,), n_members=n_members), head, retrieval=retrieval)


def data(n=R) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(n, 1, generator=generator)
    return x, torch.sin(6 * x) + 0.1 * torch.randn(n, 1, generator=generator)


def filled(**settings) -> MixtureDensityNetwork:
    net, (x, y) = network(**settings), data()
    net.initialise(x, y, torch.Generator())
    index = torch.arange(R).expand(M, R)
    net.retrieval.remember(net.scale_input(x), net.scale_target(y), index)
    net.retrieval.refresh(net.backbone)
    return net.eval()


def test_rows_that_a_member_may_not_consult_get_no_weight_where_others_are_too_few():
    net, (x, y) = filled(n_neighbors=5), data()
    allowed = torch.tensor([[0, 1, 2], [3, 4, 5]])
    net.retrieval.remember(net.scale_input(x), net.scale_target(y), allowed)
    net.retrieval.refresh(net.backbone)
    x_scaled, place = net.scale_input(x[:8]).expand(M, 8, 1), torch.arange(8).expand(M, 8)
    mixture = net.scaled_distribution(x_scaled, place)
    targets = net.scale_target(y)[:, 0]
    for member in range(M):
        for row in range(8):
            known = [i for i in allowed[member].tolist() if i != row]
            alive = mixture.weights[member, row, 3:] > 0
            found = mixture.components.mean[member, row, 3:, 0][alive]
            assert sorted(found.tolist()) == pytest.approx(sorted(targets[known].tolist()), abs=1e-6)


def test_the_neighbours_are_those_of_brute_force_and_their_targets_are_the_locations():
    net, (x, y) = filled(), data()
    x_scaled = net.scale_input(x).expand(M, R, 1)
    features = net.backbone(x_scaled)
    mixture = net.scaled_distribution(x_scaled)
    keys = net.retrieval.embed(features)
    distance = torch.cdist(keys, keys)
    nearest = distance.argsort(-1)[..., :5]
    located = mixture.components.loc[..., 3:, 0].sort(-1).values
    expected = net.scale_target(y)[nearest][..., 0].sort(-1).values
    torch.testing.assert_close(located, expected)


def test_weights_sum_to_one_and_the_gate_shares_them_between_head_and_neighbours():
    net = filled()
    x = net.scale_input(data()[0]).expand(M, R, 1)
    with torch.no_grad():
        net.retrieval.judge.weight.zero_()
        net.retrieval.judge.bias.zero_()
    weights = net.scaled_distribution(x).weights
    torch.testing.assert_close(weights.sum(-1), torch.ones(M, R))
    torch.testing.assert_close(weights[..., :3].sum(-1), torch.full((M, R), 2.0).sigmoid())


def test_a_row_is_never_its_own_neighbour_while_training():
    net = filled().train()
    x = net.scale_input(data()[0]).expand(M, R, 1)
    place = torch.arange(R).expand(M, R)
    _, index = net.retrieval._neighbours(net.retrieval.embed(net.backbone(x)), place)
    assert not (index == place.unsqueeze(-1)).any()


def test_rows_that_a_member_holds_out_are_never_its_neighbours_before_the_fit_is_over():
    net, (x, y) = filled(), data()
    allowed = torch.stack([torch.arange(0, R, 2), torch.arange(1, R, 2)])
    net.retrieval.remember(net.scale_input(x), net.scale_target(y), allowed)
    queries = net.retrieval.embed(net.backbone(net.scale_input(x).expand(M, R, 1)))
    _, index = net.retrieval._neighbours(queries, None)
    assert (index[0] % 2 == 0).all()
    assert (index[1] % 2 == 1).all()
    net.retrieval.open()
    _, index = net.retrieval._neighbours(queries, None)
    assert (index[0] % 2 == 1).any()


def test_a_search_in_chunks_finds_the_same(monkeypatch):
    net = filled()
    x = net.scale_input(data()[0]).expand(M, R, 1)
    whole = net.scaled_distribution(x).components.loc
    monkeypatch.setattr("manymodes.nn.retrieval._MOST_DISTANCES", 7 * R * M)
    torch.testing.assert_close(net.scaled_distribution(x).components.loc, whole)


@pytest.mark.parametrize("n_members", [None, M])
@pytest.mark.parametrize("n_candidates", [20, 2048])
def test_a_fit_with_retrieval_learns_and_its_gradient_reaches_every_parameter(n_members, n_candidates):
    net = network(n_members, n_candidates=n_candidates)
    history = mm.fit(net, data(), validation=0.2, lr=1e-2, **{**SMALL, "max_epochs": 40})
    assert history.best_validation_loss < history.validation_loss[0] - 0.2
    loss = -net(data()[0]).log_prob(data()[1]).mean()
    loss.backward()
    assert all((parameter.grad != 0).any() for parameter in net.retrieval.parameters())


def test_predictions_after_loading_are_those_before(tmp_path):
    X, y = data()
    model = mm.MDNRegressor(
        2, retrieval=True, n_members=2, frequency=0.1, hidden_sizes=(8,), max_epochs=3, random_state=0
    ).fit(X.numpy(), y[:, 0].numpy())
    model.save(tmp_path / "m.mm")
    again = mm.load(tmp_path / "m.mm")
    before, after = (one.predict_distribution(X.numpy()).log_prob(y.double()) for one in (model, again))
    assert torch.equal(before, after)
    assert b'\\"holds_training_rows\\": true' in (tmp_path / "m.mm").read_bytes()


def test_what_retrieval_cannot_do_is_refused():
    x, y = data()
    rounded = mm.distributions.Incomplete.rounded(y, 0.1)
    with pytest.raises(InputError, match=r"^y must hold exact targets for retrieval; got Incomplete\.$"):
        mm.fit(network(), (x, rounded), **SMALL)
    with pytest.raises(InputError, match=r"^validation must be a share of the rows for retrieval, not rows of their"):
        mm.fit(network(), (x, y), validation=(x, y), **SMALL)
    with pytest.raises(InputError, match=r"^retrieval needs the default backbone and normal components"):
        mm.MDNRegressor(retrieval=True, backbone=nn.Linear(1, 4)).fit(x.numpy(), y[:, 0].numpy())
