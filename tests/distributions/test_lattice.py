"""Counts: modes and smallest sets, against probabilities of all integers written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.distributions import (
    Component,
    Concatenation,
    DiagonalNormal,
    Mixture,
    NegativeBinomial,
    PointMass,
    Poisson,
)

from .test_turning import Draw, alone, column

N_COUNTS = 4000


def random_counts(name: str, n: int = 20, k: int = 4, seed: int = 0) -> Mixture:
    draw = Draw(n, k, seed)
    rates = draw.even(-1.5, 5).exp()
    if name == "poisson":
        components: Component = Poisson(rates)
    elif name == "negative binomial":
        components = NegativeBinomial(rates, draw.even(-1, 4).exp())
    else:
        components = Concatenation(PointMass(torch.zeros_like(rates[:, :1])), Poisson(rates))
    logits = draw.normal((n, components.batch_shape[-1]))
    return Mixture(Categorical(logits=logits), components)


def probabilities(mixture: Mixture) -> np.ndarray:
    """Return P(Y = 0), P(Y = 1) ... of every row, (N, W)."""
    counts = torch.arange(N_COUNTS, dtype=torch.float64)
    places = counts.reshape(-1, 1, 1).expand(-1, *mixture.batch_shape, 1)
    return mixture.log_prob(places).exp().T.numpy()


def runs(counts: np.ndarray) -> list[tuple[int, int]]:
    """Return the first and last of every run of consecutive integers."""
    cuts = np.flatnonzero(np.diff(counts) > 1)
    return [(int(run[0]), int(run[-1])) for run in np.split(counts, cuts + 1)]


every_kind = pytest.mark.parametrize("name", ["poisson", "negative binomial", "zero-inflated"])


@every_kind
@pytest.mark.parametrize("level", [0.01, 0.5, 0.9, 0.99, 0.999999])
def test_the_region_of_counts_is_the_smallest_set_that_reaches_the_level(name, level):
    mixture = random_counts(name)
    region, p = mixture.highest_density_region(level), probabilities(mixture)
    for row in range(len(p)):
        order = np.argsort(-p[row], kind="stable")
        total = p[row, order].cumsum()
        size = int(np.searchsorted(total, level)) + 1
        found = list(
            zip(region.low[row, region.mask[row]].tolist(), region.high[row, region.mask[row]].tolist(), strict=True)
        )
        assert sum(high - low + 1 for low, high in found) == size
        assert found == runs(np.sort(order[:size]))
        assert region.total_mass[row].item() == pytest.approx(total[size - 1], rel=1e-9)
        assert region.log_level[row].item() == pytest.approx(math.log(p[row, order[size - 1]]), abs=1e-9)
        for j, (low, high) in enumerate(found):
            assert region.mass[row, j].item() == pytest.approx(p[row, int(low) : int(high) + 1].sum(), rel=1e-9)


@every_kind
def test_modes_of_counts_are_the_integers_above_both_neighbours(name):
    mixture = random_counts(name, n=60, k=3, seed=1)
    modes, p = mixture.modes(), probabilities(mixture)
    for row in range(len(p)):
        padded = np.concatenate([[0.0], p[row], [0.0]])
        peaks = np.flatnonzero((p[row] > padded[:-2]) & (p[row] > padded[2:]) & (p[row] > 1e-13))
        found = modes.location[row, modes.mask[row], 0]
        assert sorted(found.tolist()) == peaks.tolist()
        torch.testing.assert_close(
            modes.log_density[row, modes.mask[row]].exp(), torch.tensor(p[row])[found.long()], rtol=1e-9, atol=0
        )
    assert (modes.log_density[:, 1:] <= modes.log_density[:, :-1]).all()
    torch.testing.assert_close(modes.mass.sum(-1), torch.ones(60, dtype=torch.float64), rtol=0, atol=1e-10)


def test_masses_of_count_modes_are_the_probabilities_between_the_dips():
    mixture = alone(Poisson(column([2.0, 40.0])), [0.6, 0.4])
    modes, p = mixture.modes(), probabilities(mixture)[0]
    dip = 3 + int(p[3:40].argmin())
    assert modes.count.item() == 2
    low = modes.location[0, :, 0].argmin()
    assert modes.mass[0, low].item() == pytest.approx(p[:dip].sum(), abs=p[dip] + 1e-12)
    assert modes.mass.sum().item() == pytest.approx(1, abs=1e-12)


def test_zeros_beside_counts_are_counts_and_not_atoms():
    mixture = alone(Concatenation(PointMass(column([0.0])), Poisson(column([7.5]))), [0.3, 0.7])
    modes, region = mixture.modes(), mixture.highest_density_region(0.9)
    assert modes.location[0, :, 0].tolist() == [0.0, 7.0]
    assert modes.log_density[0, 0].item() == pytest.approx(math.log(0.3 + 0.7 * math.exp(-7.5)))
    assert modes.atoms.count.item() == region.atoms.count.item() == 0
    assert region.low[0].tolist()[0] == region.high[0].tolist()[0] == 0.0
    assert region.count.item() == 2


def test_a_flat_top_is_one_mode_and_its_first_integer():
    modes = alone(Poisson(column([5.0]))).modes()  # P(4) = P(5)
    assert modes.count.item() == 1
    assert modes.location.item() in (4.0, 5.0)
    assert modes.mass.item() == pytest.approx(1)


@pytest.mark.parametrize("rate", [1e-9, 0.3, 1.5, 12_345.6])
def test_the_mode_of_one_poisson_is_the_floor_of_its_rate(rate):
    assert alone(Poisson(column([rate]))).modes().location.item() == math.floor(rate)


def test_a_level_that_one_count_reaches_is_that_count():
    region = alone(Poisson(column([0.01]))).highest_density_region(0.9)
    assert (region.low.item(), region.high.item()) == (0, 0)
    assert region.total_mass.item() == pytest.approx(math.exp(-0.01))


def test_a_level_that_is_exactly_reached_needs_no_other_count():
    reference = stats.poisson(2.5)
    exact = reference.pmf(2) + reference.pmf(3)
    region = alone(Poisson(column([2.5]))).highest_density_region(float(exact))
    assert (region.low.item(), region.high.item()) == (2, 3)


def test_a_region_of_counts_contains_its_integers_only_up_to_its_ends():
    region = alone(Poisson(column([2.0, 40.0]))).highest_density_region(0.9)
    counts = torch.arange(80, dtype=torch.float64).reshape(-1, 1, 1)
    inside = region.contains(counts).flatten()
    assert inside.sum() == (region.high - region.low + 1)[region.mask].sum()


def test_large_rates_are_enumerated_where_they_matter():
    mixture = alone(Poisson(column([1e6, 1.2e6])))
    modes, region = mixture.modes(), mixture.highest_density_region(0.5)
    assert sorted(round(place, -1) for place in modes.location[0, :, 0].tolist()) == [1e6, 1.2e6]
    assert region.count.item() == 2
    assert region.total_mass.item() == pytest.approx(0.5, abs=1e-3)


def test_counts_that_spread_too_far_are_refused():
    with pytest.raises(InputError) as caught:
        alone(Poisson(column([1.0, 1e9]))).modes()
    assert "counts must spread over at most 20,000,000 integers for modes and regions; row" in str(caught.value)


def test_rows_of_very_different_rates_share_a_batch():
    rates = torch.tensor([0.01, 3.3, 70.5, 5000.5], dtype=torch.float64).reshape(4, 1, 1)
    mixture = Mixture(Categorical(torch.ones(4, 1, dtype=torch.float64)), Poisson(rates))
    assert mixture.modes().location.flatten().tolist() == [0, 3, 70, 5000]
    region = mixture.highest_density_region(0.9)
    for row in range(4):
        one = mixture[row : row + 1].highest_density_region(0.9)
        assert region.low[row, 0] == one.low.item()
        assert region.high[row, 0] == one.high.item()


def test_counts_in_single_precision_agree_with_double():
    double = random_counts("poisson", n=30)
    single = double.to(torch.float32)
    modes, exact = single.modes(), single.to(torch.float64).modes()
    assert torch.equal(modes.location.nan_to_num(-1.0).double(), exact.location.nan_to_num(-1.0))
    region = single.highest_density_region(0.9)
    masses = probabilities(single.to(torch.float64))
    for row in range(30):
        held = sum(
            masses[row, int(low) : int(high) + 1].sum()
            for low, high in zip(region.low[row, region.mask[row]], region.high[row, region.mask[row]], strict=True)
        )
        assert held >= 0.9 - 1e-5


def test_empty_and_double_batches_of_counts_keep_their_shapes():
    rates = torch.rand(2, 3, 4, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 20
    mixture = Mixture(Categorical(torch.ones(2, 3, 4, dtype=torch.float64)), Poisson(rates))
    assert mixture.modes().count.shape == mixture.highest_density_region(0.9).count.shape == (2, 3)
    empty = Mixture(Categorical(torch.ones(0, 4), validate_args=False), Poisson(torch.ones(0, 4, 1)))
    assert empty.modes().count.shape == empty.highest_density_region(0.9).count.shape == (0,)


def test_components_of_counts_without_weight_change_nothing():
    with_idle = alone(Poisson(column([3.3, 1e12])), [1.0, 0.0])
    assert with_idle.modes().location.tolist() == [[[3.0]]]
    region = with_idle.highest_density_region(0.9)
    one = alone(Poisson(column([3.3]))).highest_density_region(0.9)
    assert (region.low.item(), region.high.item()) == (one.low.item(), one.high.item())


def test_counts_beside_a_density_or_fractional_atoms_are_refused():
    message = "modes and regions need components of one measure in each target dimension; got counts beside a density."
    rate: Tensor = column([3.0])
    for other in (DiagonalNormal(rate, rate), PointMass(column([0.5]))):
        with pytest.raises(InputError) as caught:
            alone(Concatenation(Poisson(rate), other)).modes()
        assert str(caught.value) == message
