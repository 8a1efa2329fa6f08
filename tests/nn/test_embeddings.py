import math

import pytest
import torch
from torch import nn

import manymodes as mm
from manymodes._checks import InputError
from manymodes.nn import (
    CategoryEmbedding,
    MixtureDensityNetwork,
    MixtureHead,
    PeriodicEmbedding,
    TableEmbedding,
    TableScaling,
)

M, N, F = 3, 6, 4


def rows(*shape, seed=0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_every_number_becomes_itself_and_a_map_of_its_waves():
    embedding, x = PeriodicEmbedding(F, out_features=5, n_frequencies=3), rows(N, F)
    out = embedding(x).unflatten(-1, (F, 5))
    torch.testing.assert_close(out[..., 0], x)
    turns = 2 * math.pi * embedding.frequencies.view(F, 3)[2] * x[:, 2:3]
    waves = torch.cat([turns.cos(), turns.sin()], -1) @ embedding.weight[2] + embedding.bias.view(F, 4)[2]
    torch.testing.assert_close(out[:, 2, 1:], waves.relu())


def test_members_embed_rows_of_their_own_with_frequencies_of_their_own():
    embedding = PeriodicEmbedding(F, frequency=[0.01, 1.0, 100.0], n_members=M)
    spread = embedding.frequencies.std(1)
    assert spread[0] < 0.02
    assert spread[2] > 50
    x = rows(M, N, F)
    together = embedding(x)
    assert together.shape == (M, N, embedding.out_features)
    torch.testing.assert_close(embedding(x[[1]].expand(M, N, F))[1], together[1])


def test_waves_stop_at_the_range_of_the_training_rows_and_the_number_goes_on():
    embedding, x = PeriodicEmbedding(1, frequency=1.0), rows(50, 1)
    embedding.learn(x)
    at_end, far = embedding(x.max().view(1, 1)), embedding(x.max().view(1, 1) + 10)
    torch.testing.assert_close(far[:, 1:], at_end[:, 1:])
    torch.testing.assert_close(far[:, 0], at_end[:, 0] + 10)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"frequency": 0.0}, "frequency must be a number > 0; got 0.0."),
        ({"frequency": [0.1, 0.2]}, "frequency must be one number or one for each member; got 2."),
        ({"out_features": 1}, "out_features must be an integer >= 2; got 1."),
    ],
)
def test_an_impossible_embedding_is_refused(settings, sentence):
    with pytest.raises(InputError) as caught:
        PeriodicEmbedding(F, **settings)
    assert str(caught.value) == sentence


def test_categories_are_vectors_and_an_unseen_one_is_zero():
    embedding = CategoryEmbedding([3, 5], n_members=M)
    levels = torch.tensor([[1.0, 5.0], [0.0, 2.0], [3.0, 0.0]]).expand(M, 3, 2)
    out = embedding(levels)
    first = embedding.tables[0].shape[-1]
    torch.testing.assert_close(out[:, 0, :first], embedding.tables[0][:, 0])
    torch.testing.assert_close(out[:, 0, first:], embedding.tables[1][:, 4])
    assert (out[:, 1, :first] == 0).all()
    assert (out[:, 2, first:] == 0).all()


def test_scaling_numbers_levels_in_ascending_order_and_gives_unseen_ones_zero():
    scaling = TableScaling(categories={1: 3})
    scaling.learn(torch.tensor([[1.0, 10.0], [2.0, -4.0], [3.0, 70.0], [4.0, 10.0]]))
    scaled = scaling(torch.tensor([[1.0, 70.0], [1.0, -4.0], [1.0, 10.0], [1.0, 11.0], [1.0, 1e9]]))
    assert scaled[:, 1].tolist() == [3, 1, 2, 0, 0]


def test_more_levels_than_announced_are_refused():
    with pytest.raises(InputError, match=r"^column 0 must have at most 2 levels; got 3\.$"):
        TableScaling(categories={0: 2}).learn(torch.tensor([[1.0], [2.0], [3.0]]))


def test_a_table_of_categories_alone_can_be_embedded():
    embedding = TableEmbedding(2, categories={0: 4, 1: 2})
    embedding.learn(torch.ones(3, 2))
    assert embedding(torch.ones(3, 2)).shape == (3, embedding.out_features)


def test_numbers_within_reach_are_standardised_and_outliers_are_bent():
    scaling, x = TableScaling(), rows(1000, 1).double()
    scaling.learn(x)
    inside = x.abs() < 3
    torch.testing.assert_close(scaling(x)[inside], ((x - x.mean()) / x.std(correction=0))[inside])
    far = scaling(torch.tensor([[1e3], [1e6], [1e200], [-1e200]], dtype=torch.float64))[:, 0]
    assert (far[:3].diff() > 0).all()
    assert far[1] < 20
    assert far.abs().max() < 500
    assert far[3].item() == pytest.approx(-far[2].item(), rel=1e-6)


@pytest.mark.parametrize("outlier", [1e4, 1e8, 1e150])
def test_one_gross_outlier_does_not_squeeze_the_other_values_together(outlier):
    x = torch.cat([rows(500, 1).double(), torch.tensor([[outlier]])])
    scaling = TableScaling()
    scaling.learn(x)
    assert 0.5 < scaling(x)[:500].std() < 1.5


def test_a_spike_and_a_constant_column_stay_finite():
    x = torch.zeros(100, 2)
    x[:5, 0] = torch.arange(1.0, 6.0)
    x[:, 1] = 0.1
    scaling = TableScaling()
    scaling.learn(x)
    scaled = scaling(x)
    assert scaled.isfinite().all()
    assert scaled[:, 0].std() > 0.5
    assert (scaling(x + 5)[:, 1] == 0).all()


# --- numbers that are missing ---


def test_a_missing_number_is_the_mean_of_the_known_ones_and_is_flagged():
    values = torch.tensor([[1.0, 5.0], [3.0, torch.nan], [5.0, 7.0], [torch.nan, 9.0]], dtype=torch.float64)
    scaling = TableScaling(gaps=[0, 1])
    scaling.learn(values)
    scaled = scaling(values)
    assert scaled.shape == (4, 4)
    assert scaled[:, 2:].tolist() == [[0, 0], [0, 1], [0, 0], [1, 0]]
    torch.testing.assert_close(scaled[:3, 0], torch.tensor([-1.5, 0.0, 1.5], dtype=torch.float64) * (2 / 3) ** 0.5)
    assert scaled[1, 1] == scaled[3, 0] == 0


def test_a_number_may_be_missing_throughout_or_known_once():
    values = torch.tensor([[torch.nan, 1.0], [torch.nan, torch.nan]])
    scaling = TableScaling(gaps=[0, 1])
    scaling.learn(values)
    assert scaling(values).tolist() == [[0, 0, 1, 0], [0, 0, 1, 1]]


def test_flags_come_through_the_embedding_as_they_are():
    embedding = TableEmbedding(2, categories={1: 3}, n_flags=1, n_members=2)
    x = torch.tensor([[0.3, 2.0, 1.0], [0.3, 2.0, 0.0]]).expand(2, 2, 3)
    out = embedding(x)
    assert out.shape == (2, 2, embedding.out_features)
    assert out[..., -1].tolist() == [[1, 0], [1, 0]]
    torch.testing.assert_close(out[:, 0, :-1], out[:, 1, :-1])


def test_a_network_learns_from_rows_with_gaps_and_refuses_others():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 2, generator=generator)
    x[::3, 1] = torch.nan
    y = torch.where(x[:, 1:].isnan(), 3.0, 0.0) + 0.1 * torch.randn(60, 1, generator=generator)
    backbone = nn.Sequential(TableEmbedding(2, n_flags=1), nn.Linear(25, 8))
    head = MixtureHead(8, target_dim=1, n_components=1)
    network = MixtureDensityNetwork(backbone, head, input_scaling=TableScaling(gaps=[1]))
    mm.fit(network, (x, y), max_epochs=200, lr=1e-2, random_state=0)
    assert network(x).mean[::3].min() > 1 > network(x).mean[1::3].max()
    x[0, 0] = torch.nan
    with pytest.raises(InputError, match="^x in data must be finite and within"):
        mm.fit(network, (x, y), max_epochs=1)
