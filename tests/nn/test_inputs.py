"""Several inputs by name, from a network's scaling to a fit and a stream."""

import pytest
import torch
from torch import nn

import manymodes as mm
from manymodes._checks import InputError
from manymodes.nn import MixtureDensityNetwork, MixtureHead, PartScaling
from manymodes.training import Stream

N = 200


class Sum(nn.Module):
    def __init__(self):
        super().__init__()
        self.row, self.picture = nn.Linear(2, 8), nn.Linear(9, 8)

    def forward(self, x):
        return torch.tanh(self.row(x["row"]) + self.picture(x["picture"].flatten(-2)))


def rows(n=N, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = {
        "row": 1e5 + 1e3 * torch.randn(n, 2, generator=generator),
        "picture": torch.randn(n, 3, 3, generator=generator),
    }
    y = (x["row"][:, :1] - 1e5) / 1e3 + x["picture"][:, 0, :1]
    return x, y + 0.1 * torch.randn(n, 1, generator=generator)


def network():
    torch.manual_seed(0)
    return MixtureDensityNetwork(Sum(), MixtureHead(8, target_dim=1, n_components=2))


def test_tables_among_the_inputs_are_standardised_and_others_left_alone():
    x, _ = rows()
    scaling = PartScaling(x)
    scaling.learn(x)
    scaled = scaling(x)
    torch.testing.assert_close(scaled["row"].mean(0), torch.zeros(2, dtype=torch.float64), atol=1e-6, rtol=0)
    assert torch.equal(scaled["picture"], x["picture"])
    assert list(scaled) == list(x)


def test_a_network_learns_from_several_inputs_and_is_loaded_with_their_scaling():
    x, y = rows()
    net = network()
    history = mm.fit(net, (x, y), max_epochs=60, random_state=0)
    assert history.best_validation_loss < 0.5
    test_x, test_y = rows(seed=1)
    assert (net(test_x).mean - test_y).square().mean() < 0.5 * test_y.var()
    again = MixtureDensityNetwork(Sum(), MixtureHead(8, target_dim=1, n_components=2), input_scaling=PartScaling(x))
    again.load_state_dict(net.state_dict())
    torch.testing.assert_close(again.eval()(test_x).mean, net(test_x).mean)


def test_a_stream_of_several_inputs_is_learned_from():
    x, y = rows(2000)
    blocks = [({name: part[i : i + 250] for name, part in x.items()}, y[i : i + 250]) for i in range(0, 2000, 250)]
    net = network()
    history = mm.fit(net, Stream(blocks), max_epochs=15, batch_size=50, lr=1e-2, random_state=0)
    assert history.best_validation_loss < 0.6
    odd = [blocks[0], ({"row": blocks[1][0]["row"]}, blocks[1][1])]
    with pytest.raises(InputError, match=r"^block 2 must have the inputs x\['row'\], x\['picture'\] as before"):
        mm.fit(network(), Stream(odd), max_epochs=1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda x: {}, "x must hold at least one tensor; got an empty mapping."),
        (
            lambda x: {**x, "row": x["row"][:7]},
            "x['row'] and x['picture'] must have the same number of rows; got 7 and 200.",
        ),
        (
            lambda x: {**x, "row": torch.full((N, 2), torch.nan)},
            "x['row'] in data must be finite and within ±1e+150; got another value first in row 1. Drop those rows or "
            "fill them in.",
        ),
    ],
)
def test_inputs_that_cannot_be_are_refused(change, sentence):
    x, y = rows()
    with pytest.raises(InputError) as caught:
        mm.fit(network(), (change(x), y), max_epochs=1)
    assert str(caught.value) == sentence


def test_a_fitted_network_refuses_other_inputs():
    x, y = rows()
    net = network()
    mm.fit(net, (x, y), max_epochs=1, random_state=0)
    with pytest.raises(InputError, match=r"^x must be a mapping with the inputs 'picture', 'row'; got Tensor\.$"):
        net(x["row"])
    with pytest.raises(InputError, match=r"^x\['row'\] must have shape \(N, 2\) as the network was fitted with; got"):
        net({**x, "row": x["row"][:, :1]})
    plain = MixtureDensityNetwork(nn.Linear(2, 8), MixtureHead(8, target_dim=1, n_components=2))
    mm.fit(plain, (x["row"], y), max_epochs=1, random_state=0)
    with pytest.raises(InputError, match=r"^x must be one tensor, as the network was fitted with; got a mapping\.$"):
        plain(x)


def test_noise_on_inputs_reaches_numbers_and_no_tokens():
    x, y = rows()
    words = {**x, "word": torch.ones(N, 3, dtype=torch.int64)}

    class Checked(Sum):
        def forward(self, x):
            assert x["word"].dtype == torch.int64
            return super().forward(x)

    net = MixtureDensityNetwork(Checked(), MixtureHead(8, target_dim=1, n_components=2))
    assert mm.fit(net, (words, y), max_epochs=2, input_noise=0.5, random_state=0).n_epochs == 2
