"""Convolutions of signals and images."""

import pytest
import torch

from manymodes._checks import InputError
from manymodes.nn import Convolution, Members, MixtureDensityNetwork, MixtureHead

SHAPES = {1: (5, 3, 40), 2: (5, 3, 17, 12)}


def inputs(dims):
    return torch.randn(SHAPES[dims], generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dims", SHAPES)
def test_features_come_out_whatever_the_size(dims):
    backbone = Convolution(3, (4, 6, 8), dims=dims, out_features=10)
    assert backbone(inputs(dims)).shape == (5, 10)
    assert backbone(inputs(dims)[..., :4, :] if dims == 2 else inputs(dims)[..., :5]).shape == (5, 10)


@pytest.mark.parametrize("dims", SHAPES)
def test_members_are_the_copies_one_by_one(dims):
    backbone = Convolution(3, (4, 6), dims=dims, out_features=10)
    x = inputs(dims)
    torch.testing.assert_close(Members(backbone, 2)(x.expand(2, *x.shape)), backbone(x).expand(2, 5, 10))


@pytest.mark.parametrize("dims", SHAPES)
def test_every_channel_is_standardised(dims):
    net = MixtureDensityNetwork(
        Convolution(3, (4,), dims=dims, out_features=10), MixtureHead(10, target_dim=1, n_components=2)
    )
    x = 50.0 + 7.0 * inputs(dims)
    net.initialise(x, torch.randn(5, 1), torch.Generator())
    scaled = net.scale_input(x).movedim(1, -1).flatten(0, -2)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(scaled.std(0, correction=0), torch.ones(3))


def test_gradients_reach_every_parameter():
    backbone = Convolution(3, (4, 6), out_features=10)
    backbone(inputs(2)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in backbone.parameters())


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Convolution(1, ()), "channels must name at least one layer; got ()."),
        (lambda: Convolution(1, kernel_size=4), "kernel_size must be odd; got 4."),
        (lambda: Convolution(1, dims=3), "dims must be an integer from 1 to 2; got 3."),
        (
            lambda: Convolution(1)(torch.zeros(2, 3, 8, 8)),
            "x must have shape (N, 1, height, width) as the backbone takes channels; got (2, 3, 8, 8).",
        ),
        (
            lambda: Convolution(1, dims=1)(torch.zeros(2, 8)),
            "x must have shape (N, 1, L) as the backbone takes channels; got (2, 8).",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, sentence):
    with pytest.raises(InputError) as caught:
        make()
    assert str(caught.value) == sentence
