"""Weights of mixtures made from others keep every bit."""

import copy
import pickle

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from manymodes.distributions import DiagonalNormal, Mixture, joined
from manymodes.distributions.log_weights import LogWeights

N, K = 5, 3


def logits(dtype=torch.float64):
    return torch.log_softmax(torch.randn(N, K, generator=torch.Generator().manual_seed(0), dtype=dtype), -1)


def mixture(dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    loc = torch.randn(N, K, 2, generator=generator, dtype=dtype)
    raw = torch.randn(N, K, generator=generator, dtype=dtype)
    return Mixture(Categorical(logits=raw), DiagonalNormal(loc, loc.exp()))


def test_log_weights_are_kept_as_they_are():
    assert torch.equal(LogWeights(logits()).logits, logits())
    assert torch.equal(LogWeights(logits()).expand((4, N)).logits, logits().expand(4, N, K))


@pytest.mark.parametrize("remake", [copy.deepcopy, lambda weights: pickle.loads(pickle.dumps(weights))])
def test_copies_are_equal(remake):
    assert torch.equal(remake(LogWeights(logits())).logits, logits())


def test_torch_takes_them_for_a_categorical_distribution():
    ours, torchs = LogWeights(logits()), Categorical(logits=logits())
    assert (ours.batch_shape, ours.event_shape) == (torchs.batch_shape, torchs.event_shape)
    torch.testing.assert_close(ours.probs, torchs.probs)
    torch.testing.assert_close(ours.entropy(), torchs.entropy())
    value = torch.tensor([0, 1, 2, 0, 1])
    torch.testing.assert_close(ours.log_prob(value), torchs.log_prob(value))
    torch.testing.assert_close(kl_divergence(ours, torchs), torch.zeros(N, dtype=torch.float64))
    torch.manual_seed(0)
    drawn = ours.sample((7,))
    torch.manual_seed(0)
    assert torch.equal(drawn, torchs.sample((7,)))


def test_rows_of_a_mixture_have_the_bits_that_they_had():
    whole = mixture()
    for index in (slice(1, 4), torch.tensor([4, 0, 0]), 2):
        part = whole[index]
        assert torch.equal(part.logits, whole.logits[index])
        assert torch.equal(part.mixture_distribution.logits, whole.logits[index])


def test_a_mixture_that_is_there_already_is_itself():
    whole = mixture()
    assert whole.to(torch.float64) is whole
    assert whole.to("cpu") is whole


def test_weights_sum_to_one_in_the_precision_that_is_asked_for():
    wide = mixture(torch.float32).to(torch.float64)
    torch.testing.assert_close(wide.weights.sum(-1), torch.ones(N, dtype=torch.float64), rtol=0, atol=1e-15)
    assert wide.components.loc.dtype == torch.float64


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_tempered_weights_sum_to_one(temperature):
    sums = mixture().tempered(temperature).weights.sum(-1)
    torch.testing.assert_close(sums, torch.ones(N, dtype=torch.float64), rtol=0, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_of_pooled_members_sum_to_one(dtype):
    whole = mixture(dtype)
    members = Mixture(LogWeights(torch.stack([whole.logits] * 7)), whole.components.expand((7, N, K)))
    sums = members.pooled(0).weights.sum(-1)
    torch.testing.assert_close(sums, torch.ones(N, dtype=dtype), rtol=0, atol=8 * torch.finfo(dtype).eps)


def test_weights_of_reduced_mixtures_sum_to_one():
    for reduced in (mixture().pruned(0.5), mixture().merged(0.5)):
        torch.testing.assert_close(reduced.weights.sum(-1), torch.ones(N, dtype=torch.float64), rtol=0, atol=1e-14)


def test_joined_rows_have_the_bits_that_they_had():
    whole = mixture().to("cpu")
    again = joined([whole[:2], whole[2:]])
    assert torch.equal(again.logits, whole.logits)
    assert torch.equal(again.mixture_distribution.logits, whole.logits)
