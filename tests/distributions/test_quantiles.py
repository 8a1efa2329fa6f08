import math

import pytest
import torch
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.distributions import DiagonalNormal, Mixture

from .test_mixture import make

LEVELS = torch.tensor([1e-9, 1e-4, 0.01, 0.25, 0.5, 0.75, 0.99, 1 - 1e-4, 1 - 1e-9], dtype=torch.float64)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_cdf_of_a_quantile_is_its_level_relative_to_the_nearer_tail(scale):
    mixture = make(n=50, k=5, d=2, scale=scale)
    quantiles = mixture.icdf(LEVELS[:, None, None])
    assert quantiles.shape == (9, 50, 2)
    tail = torch.minimum(LEVELS, 1 - LEVELS)[:, None, None]
    upper = (mixture.weights.unsqueeze(-1) * mixture.components.sf(quantiles.unsqueeze(-2))).sum(-2)
    share = torch.where((LEVELS > 0.5)[:, None, None], upper, mixture.cdf(quantiles))
    assert ((share - tail).abs() <= 1e-9 * tail).all()


def test_the_quantile_of_a_target_is_the_target():
    mixture = make(n=200, k=5, d=1)
    y = mixture.sample(generator=torch.Generator().manual_seed(3))
    again = mixture.icdf(mixture.cdf(y))
    density = mixture.log_prob(y).exp().unsqueeze(-1)
    assert ((again - y).abs() <= 1e-8 * torch.maximum(y.abs(), 1e-8 / density).clamp_min(1)).all()


def test_quantiles_are_found_across_a_gap_without_density():
    loc = torch.tensor([[[-1e6], [1e6]]], dtype=torch.float64)
    weights = Categorical(torch.tensor([[0.3, 0.7]], dtype=torch.float64))
    mixture = Mixture(weights, DiagonalNormal(loc, torch.full_like(loc, 1e-6)))
    assert mixture.icdf(0.299).item() == pytest.approx(-1e6)
    assert mixture.icdf(0.301).item() == pytest.approx(1e6)
    assert -1e6 <= mixture.icdf(0.3).item() <= 1e6


def test_single_precision_quantiles_are_as_good_as_their_precision_allows():
    mixture = make(n=100, k=5, d=1, dtype=torch.float32)
    levels = torch.tensor([0.01, 0.3, 0.5, 0.9])[:, None, None]
    assert (mixture.cdf(mixture.icdf(levels)) - levels).abs().max() < 1e-5


def test_far_tails_keep_their_relative_accuracy():
    mixture = make(n=20, k=5, d=1)
    for tail in (1e-30, 1e-100):
        low, high = mixture.icdf(tail), mixture.isf(tail)
        assert (mixture.cdf(low) / tail - 1).abs().max() < 1e-6
        share = (mixture.weights.unsqueeze(-1) * mixture.components.sf(high.unsqueeze(-2))).sum(-2)
        assert (share / tail - 1).abs().max() < 1e-6
    torch.testing.assert_close(mixture.isf(0.3), mixture.icdf(0.7))
    single = mixture.to(torch.float32)
    torch.testing.assert_close(single.icdf(1 - 1e-9).double(), mixture.icdf(1 - 1e-9), rtol=1e-4, atol=1e-4)


def test_levels_zero_and_one_are_infinite():
    mixture = make(n=2, d=1)
    assert (mixture.icdf(0.0) == -math.inf).all()
    assert (mixture.icdf(1.0) == math.inf).all()


def test_one_component_needs_no_search():
    mixture = make(n=5, k=1)
    torch.testing.assert_close(mixture.icdf(0.2), mixture.components.icdf(torch.tensor(0.2).double())[:, 0])


@pytest.mark.parametrize("level", [-0.1, 1.1, math.nan])
def test_a_level_outside_zero_to_one_is_refused(level):
    with pytest.raises(InputError) as caught:
        make().icdf(level)
    assert str(caught.value) == f"q must be a number from 0 to 1; got {level}."


def test_levels_that_do_not_broadcast_like_targets_are_refused():
    with pytest.raises(InputError, match=r"^q must be a number or have shape \(\.\.\., 4, 2\)"):
        make().icdf(torch.tensor([0.1, 0.2, 0.3]))
