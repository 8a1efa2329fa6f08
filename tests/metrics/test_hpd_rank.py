"""Ranks by density: uniform where predictions are calibrated, whatever the targets are."""

import pytest
import torch
from scipy import stats
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.distributions import (
    DiagonalNormal,
    FullNormal,
    Incomplete,
    Mixture,
    PITMap,
    Poisson,
    Product,
    Recalibrated,
)
from manymodes.metrics.ranks import hpd_rank, uniforms

from .simulated import beside_an_atom, bimodal, counts, drawn


def correlated(n: int, correlation: float = 0.8) -> Mixture:
    scale_tril = torch.tensor([[1.0, 0.0], [correlation, (1 - correlation**2) ** 0.5]], dtype=torch.float64)
    loc = torch.tensor([[0.0, 0.0], [3.0, -3.0]], dtype=torch.float64).expand(n, 2, 2)
    return Mixture(Categorical(torch.ones(n, 2).double()), FullNormal(loc, scale_tril.expand(n, 2, 2, 2)))


# Kolmogorov-Smirnov at 1e-4: a false alarm in 1 of 10,000 seeds for each.
@pytest.mark.parametrize(
    "mixture", [bimodal(2000), counts(2000), beside_an_atom(2000)], ids=["bimodal", "counts", "atom"]
)
def test_ranks_of_draws_are_uniform(mixture):
    values = hpd_rank(mixture, drawn(mixture, seed=2))
    assert values.shape == (2000,)
    assert stats.kstest(values.numpy(), "uniform").pvalue > 1e-4
    assert len(values.unique()) == 2000


def test_joint_ranks_of_draws_are_uniform_and_those_of_another_correlation_are_not():
    mixture = correlated(1500)
    y = drawn(mixture, seed=4)
    assert stats.kstest(hpd_rank(mixture, y, n_samples=1000).numpy(), "uniform").pvalue > 1e-4
    # Marginals are right; only the joint density knows.
    other = correlated(1500, 0.0)
    assert stats.kstest(hpd_rank(other, y, n_samples=1000).numpy(), "uniform").pvalue < 1e-9


def test_joint_ranks_of_counts_are_uniform():
    rate = torch.full((1500, 1, 1), 1.3, dtype=torch.float64)
    mixture = Mixture(Categorical(torch.ones(1500, 1).double()), Product(Poisson(rate), Poisson(2 * rate)))
    values = hpd_rank(mixture, drawn(mixture, seed=5), n_samples=1000)
    assert stats.kstest(values.numpy(), "uniform").pvalue > 1e-4


def test_both_kinds_come_in_columns_of_double_precision():
    mixture = Mixture(Categorical(torch.ones(7, 1)), DiagonalNormal(torch.zeros(7, 1, 2), torch.ones(7, 1, 2)))
    y = torch.zeros(7, 2)
    assert uniforms(mixture, y, "central").shape == (7, 2)
    assert uniforms(mixture, y, "region").shape == (7, 1)
    assert uniforms(mixture, y, "region").dtype == torch.float64


def test_what_cannot_be_ranked_is_refused():
    mixture = bimodal(3)
    with pytest.raises(TypeError, match=r"^y must be a tensor of exact targets for hpd_rank; got Incomplete"):
        hpd_rank(mixture, Incomplete.missing(torch.full((3, 1), torch.nan)))
    with pytest.raises(InputError, match=r"^kind must be one of 'central', 'region'; got 'both'\.$"):
        uniforms(mixture, torch.zeros(3, 1).double(), "both")
    broken = Mixture(
        Categorical(torch.ones(2, 1)),
        DiagonalNormal(torch.tensor([[[0.0]], [[torch.nan]]]), torch.ones(2, 1, 1), validate_args=False),
    )
    with pytest.raises(InputError) as caught:
        uniforms(broken, torch.zeros(2, 1), "central")
    assert str(caught.value) == "y must hold numbers, and so must predictions; got NaN in row 2."


@pytest.mark.parametrize("d", [1, 2])
def test_ranks_and_pits_of_recalibrated_draws_are_uniform(d):
    base = Mixture(
        Categorical(torch.ones(300, 2).double()),
        DiagonalNormal(torch.tensor([[-1.0], [1.5]]).double().expand(300, 2, d), torch.full((300, 2, d), 0.6).double()),
    )
    pit_map = PITMap(torch.tensor([0.0, 0.3, 1.0]), torch.tensor([0.5, 2.0, 0.4]))
    prediction = Recalibrated(base, [pit_map] * d)
    y = drawn(prediction, seed=6)
    for kind in ("central", "region") if d == 1 else ("region",):
        values = hpd_rank(prediction, y, n_samples=500) if kind == "region" else uniforms(prediction, y, kind)[:, 0]
        assert stats.kstest(values.numpy(), "uniform").pvalue > 1e-4
