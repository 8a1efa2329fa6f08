"""Highest-density regions: they hold their level, and nothing smaller does."""

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
    Beta,
    Component,
    Concatenation,
    DiagonalNormal,
    Gamma,
    LogNormal,
    Mixture,
    PointMass,
    Poisson,
    Product,
    Region,
    Truncated,
    VonMises,
)

from .test_mixture import make
from .test_turning import alone, column, drawn, every_family, fine_grid, log_density

LEVELS = (0.01, 0.5, 0.9, 0.99, 0.999999)


def ends_of(region: Region) -> tuple[Tensor, Tensor]:
    """Return low and high of all intervals, (J, N, 1), 0 where there is none."""
    return region.low.T.nan_to_num(0.0).unsqueeze(-1), region.high.T.nan_to_num(0.0).unsqueeze(-1)


def assert_well_formed(mixture: Mixture, region: Region) -> None:
    """Intervals are disjoint and ascend, and the mass of each is what the cdf says."""
    low, high = region.low, region.high
    assert torch.equal(low.isnan(), ~region.mask)
    assert torch.equal(high.isnan(), ~region.mask)
    assert (low <= high)[region.mask].all()
    assert (high[:, :-1] < low[:, 1:])[region.mask[:, 1:]].all()
    assert (region.mask[:, :-1] | ~region.mask[:, 1:]).all()
    a, b = ends_of(region)
    below, above = mixture.cdf(b) - mixture.cdf(a), mixture.sf(a) - mixture.sf(b)
    mass = torch.where(mixture.cdf(a) > 0.5, above, below).squeeze(-1).T
    assert (torch.where(region.mask, mass, 0.0) - region.mass).abs().max() < 1e-12


def assert_nothing_smaller_holds_it(mixture: Mixture, region: Region, slack: float = 1e-6) -> None:
    """The density is at least the level inside, on a fine grid, and at most the level outside.

    Next to ends of supports, where a density may have a pole, single numbers hold too little to matter.
    """
    points = fine_grid(mixture)
    ends = torch.stack(mixture.components.ends()).squeeze(-1).permute(0, 2, 1).flatten(0, 1)  # (2 K, N)
    clear = ((points.unsqueeze(1) - ends).abs() > 1e-12).all(1)
    height, border = log_density(mixture, points), region.log_level
    inside = region.contains(points)
    assert (height >= border - slack)[inside & clear].all()
    assert (height <= border + slack)[~inside & clear].all()


@every_family
def test_a_region_holds_its_level_and_has_the_highest_densities(name):
    mixture = drawn(name, n=20, seed=11)
    levels = torch.tensor(LEVELS, dtype=torch.float64).repeat(4)
    region = mixture.highest_density_region(levels)
    assert (region.total_mass - levels).abs().max() < 1e-6
    assert_well_formed(mixture, region)
    assert_nothing_smaller_holds_it(mixture, region)


@every_family
def test_the_density_at_an_end_is_that_of_the_border_unless_it_jumps_there(name):
    mixture = drawn(name, n=7, seed=12)
    region = mixture.highest_density_region(0.8)
    for end, outwards in zip(ends_of(region), (-1.0, 1.0), strict=True):
        at = log_density(mixture, end.squeeze(-1)).T
        step = 4e-16 * end.abs() + 1e-300
        beyond = log_density(mixture, (end + outwards * step).squeeze(-1)).T
        within = log_density(mixture, (end - outwards * step).squeeze(-1)).T
        seam = (end.squeeze(-1).T.abs() - math.pi).abs() < 1e-12 if name == "von mises" else torch.tensor(False)
        border = region.log_level.unsqueeze(-1)
        smooth = (within - beyond).abs() < 1e-6
        seam = seam | (end.squeeze(-1).T.abs() < 1e-12)  # a pole
        assert ((at - border).abs() < 1e-6)[region.mask & smooth & ~seam].all()
        assert ((beyond <= border + 1e-6) & (within >= border - 1e-6))[region.mask & ~smooth & ~seam].all()


@pytest.mark.parametrize("level", [0.3, 0.9])
def test_no_set_of_grid_cells_of_that_probability_is_shorter(level):
    mixture = make(n=12, k=4, d=1, seed=3)
    region = mixture.highest_density_region(level)
    cells = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    width = cells[1] - cells[0]
    for row in range(12):
        below = mixture[row : row + 1].cdf(cells.reshape(-1, 1, 1)).flatten()
        mass = below.diff().sort(descending=True).values.cumsum(0)
        shortest = (1 + (mass < level).sum()) * width
        length = (region.high - region.low)[row, region.mask[row]].sum()
        assert length == pytest.approx(shortest.item(), abs=20 * width.item())


@pytest.mark.parametrize("level", [0.01, 0.5, 0.9, 0.999999])
@pytest.mark.parametrize("concentration", [0.02, 0.2, 0.6, 0.95])
def test_a_pole_at_an_end_still_leaves_a_region_of_the_level(concentration, level):
    # Beyond its pole a gamma falls, so that the region is what lies below the quantile.
    mixture = alone(Gamma(column([concentration]), column([1.0])))
    region = mixture.highest_density_region(level)
    assert region.low.item() < 1e-300
    assert region.total_mass.item() == pytest.approx(level, abs=1e-6)
    assert stats.gamma(concentration).cdf(region.high.item()) == pytest.approx(level, abs=1e-6)


@pytest.mark.parametrize("level", [0.3, 0.9, 0.99])
def test_a_density_with_a_pole_at_both_ends_has_a_region_of_two_pieces(level):
    mixture = alone(Beta(column([0.4]), column([0.4])))
    region = mixture.highest_density_region(level)
    assert region.count.item() == 2
    assert region.total_mass.item() == pytest.approx(level, abs=1e-6)
    assert region.high[0, 0].item() == pytest.approx(stats.beta(0.4, 0.4).ppf(level / 2), rel=1e-5)
    assert region.low[0, 1].item() == pytest.approx(stats.beta(0.4, 0.4).ppf(1 - level / 2), rel=1e-5)


@pytest.mark.parametrize("level", [0.01, 0.5, 0.9])
def test_a_region_of_a_uniform_density_is_not_smaller_than_its_level(level):
    mixture = alone(Beta(column([1.0]), column([1.0]), 2.0, 4.0))
    region = mixture.highest_density_region(level)
    assert region.total_mass.item() >= level - 1e-6
    assert region.total_mass.item() == pytest.approx((region.high - region.low).sum().item() / 2)


def test_truncation_far_beyond_where_probabilities_underflow_leaves_a_region_next_to_the_end():
    # At 44 and more standard deviations the normal is an exponential to a few per mille.
    mixture = alone(Truncated(DiagonalNormal(column([-2.5]), column([0.03])), 0.0, 2.0))
    region = mixture.highest_density_region(0.9)
    assert region.low.item() == 0
    assert region.high.item() == pytest.approx(math.log(10) * 0.03**2 / 2.5, rel=1e-3)
    assert region.total_mass.item() == pytest.approx(0.9, abs=1e-6)


def test_separate_modes_make_separate_intervals_in_rows_of_their_own_number():
    loc = torch.tensor([[-5.0, 0.0, 5.0], [0.0, 0.1, 5.0], [0.0, 0.1, -0.1]], dtype=torch.float64).unsqueeze(-1)
    mixture = Mixture(
        Categorical(torch.ones(3, 3, dtype=torch.float64)), DiagonalNormal(loc, torch.full_like(loc, 0.5))
    )
    region = mixture.highest_density_region(0.9)
    assert region.count.tolist() == [3, 2, 1]
    assert region.low.shape == (3, 3)
    torch.testing.assert_close(region.total_mass, torch.full((3,), 0.9, dtype=torch.float64), rtol=0, atol=1e-9)
    torch.testing.assert_close(region.mass[0], torch.full((3,), 0.3, dtype=torch.float64), rtol=0, atol=1e-6)


def test_a_region_of_one_normal_is_its_central_interval():
    region = alone(DiagonalNormal(column([3.0]), column([2.0]))).highest_density_region(0.95)
    assert region.low.item() == pytest.approx(3 + 2 * stats.norm.ppf(0.025), rel=1e-12)
    assert region.high.item() == pytest.approx(3 + 2 * stats.norm.ppf(0.975), rel=1e-12)
    assert region.log_level.item() == pytest.approx(stats.norm(3, 2).logpdf(region.high.item()), rel=1e-9)


@pytest.mark.parametrize(("scale", "shift"), [(1e-6, 0.0), (1e6, 0.0), (1e-6, 1.0), (1e6, 1e12)])
def test_regions_move_along_with_shifts_and_scales(scale, shift):
    plain, moved = make(n=10, k=4, d=1), make(n=10, k=4, d=1, scale=scale, shift=shift / scale)
    moved = make(n=10, k=4, d=1).affine(shift, scale)
    before, after = plain.highest_density_region(0.9), moved.highest_density_region(0.9)
    assert torch.equal(before.mask, after.mask)
    rounding = 1e-8 * scale + 1e-14 * shift
    assert (before.low * scale + shift - after.low).abs().nan_to_num().max() < rounding
    assert (before.high * scale + shift - after.high).abs().nan_to_num().max() < rounding


def test_every_row_may_have_a_level_of_its_own():
    mixture, levels = make(n=4, d=1), torch.tensor([0.1, 0.5, 0.9, 0.99], dtype=torch.float64)
    together = mixture.highest_density_region(levels)
    torch.testing.assert_close(together.total_mass, levels, rtol=0, atol=1e-9)
    for row in range(4):
        one = mixture[row : row + 1].highest_density_region(levels[row].item())
        torch.testing.assert_close(together.low[row, together.mask[row]], one.low[one.mask], rtol=0, atol=1e-9)


def test_larger_levels_hold_smaller_ones():
    mixture = drawn("student", n=14, seed=5)
    small, large = mixture.highest_density_region(0.5), mixture.highest_density_region(0.8)
    middle = 0.5 * (small.low + small.high).T
    for places in (small.low.T, small.high.T, middle):
        assert large.contains(places.nan_to_num(0.0))[small.mask.T].all()


def test_contains_tells_inside_from_outside_for_any_leading_shape():
    mixture = make(n=4, d=1)
    region = mixture.highest_density_region(0.8)
    y = mixture.sample((20_000,), generator=torch.Generator().manual_seed(0))
    inside = region.contains(y)
    assert inside.shape == (20_000, 4)
    # A share of 20,000 draws is off by 5 standard errors, 0.0142, in fewer than 1 of 100,000 seeds.
    assert (inside.double().mean(0) - 0.8).abs().max() < 0.0142
    assert torch.equal(inside, region.contains(y.squeeze(-1)))
    assert torch.equal(region.contains(y[0]), inside[0])
    assert region.contains(region.low[:, 0]).all()
    assert region.contains(region.high[:, :1]).all()
    assert not region.contains(torch.full((4, 1), 1e6, dtype=torch.float64)).any()
    height = mixture.log_prob(y)
    clear = (height - region.log_level).abs() > 1e-6
    assert torch.equal((height > region.log_level)[clear], inside[clear])


def test_contains_treats_one_row_like_others():
    region = make(n=1, d=1).highest_density_region(0.8)
    y = torch.linspace(-9, 9, 50, dtype=torch.float64)
    one_by_one = torch.tensor([region.contains(value.reshape(1, 1)).item() for value in y])
    assert torch.equal(region.contains(y.reshape(50, 1, 1)).squeeze(-1), one_by_one)
    assert torch.equal(region.contains(y.reshape(50, 1)).reshape(-1), one_by_one)


# --- atoms ---


def zero_inflated(zero: float, ceiling: float | None = None) -> Mixture:
    """Zeros, maybe a ceiling at 50, and a lognormal."""
    spread = LogNormal(column([1.0, 3.0]), column([0.5, 0.2]))
    places = [0.0] if ceiling is None else [0.0, 50.0]
    rest = 1 - zero - (ceiling or 0.0)
    weights = [zero, *([] if ceiling is None else [ceiling]), 0.6 * rest, 0.4 * rest]
    return alone(Concatenation(PointMass(column(places)), spread), weights)


def test_atoms_come_first_and_intervals_hold_the_rest():
    mixture = zero_inflated(0.2, 0.1)
    region = mixture.highest_density_region(0.9)
    assert region.atoms.location.tolist() == [[0.0, 50.0]]
    torch.testing.assert_close(region.atoms.mass, torch.tensor([[0.2, 0.1]], dtype=torch.float64))
    assert region.mass.sum().item() == pytest.approx(0.6, abs=1e-9)
    assert region.total_mass.item() == pytest.approx(0.9, abs=1e-9)
    spread = alone(mixture.components.groups[1], [0.6, 0.4]).highest_density_region(0.6 / 0.7)
    torch.testing.assert_close(region.low, spread.low)
    torch.testing.assert_close(region.high, spread.high)
    torch.testing.assert_close(region.log_level, spread.log_level + math.log(0.7))
    inside = [region.contains(torch.tensor([[y]], dtype=torch.float64)).item() for y in (0.0, 50.0, 49.9, -1.0)]
    assert inside == [True, True, False, False]


def test_the_heaviest_atoms_alone_reach_a_small_level():
    region = zero_inflated(0.2, 0.1).highest_density_region(0.15)
    assert region.atoms.count.item() == 1
    assert region.atoms.mass[region.atoms.mask].tolist() == pytest.approx([0.2])
    assert region.count.item() == 0
    assert region.total_mass.item() == pytest.approx(0.2)
    assert region.contains(torch.zeros(1, 1, dtype=torch.float64)).item()
    assert not region.contains(torch.full((1, 1), 50.0, dtype=torch.float64)).item()


def test_atoms_are_ranked_by_mass_and_those_in_one_place_are_added_up():
    places = PointMass(column([7.0, 0.0, 7.0, 3.0]))
    region = alone(places, [0.2, 0.3, 0.2, 0.3]).highest_density_region(0.65)
    assert region.count.item() == 0
    assert region.atoms.location[region.atoms.mask].tolist()[0] == 7.0
    assert region.atoms.mass[region.atoms.mask].tolist() == pytest.approx([0.4, 0.3])
    assert region.total_mass.item() == pytest.approx(0.7)


def test_rows_with_and_without_need_of_intervals_share_a_result():
    components = Concatenation(
        PointMass(torch.zeros(2, 1, 1).double()),
        DiagonalNormal(torch.ones(2, 1, 1).double(), torch.ones(2, 1, 1).double()),
    )
    weights = torch.tensor([[0.95, 0.05], [0.1, 0.9]], dtype=torch.float64)
    region = Mixture(Categorical(weights), components).highest_density_region(0.9)
    assert region.count.tolist() == [0, 1]
    torch.testing.assert_close(region.total_mass, torch.tensor([0.95, 0.9], dtype=torch.float64), rtol=0, atol=1e-9)
    assert not region.contains(torch.full((2, 1), 1.0, dtype=torch.float64))[0]


def test_atoms_without_weight_belong_to_no_region():
    mixture = alone(Concatenation(PointMass(column([5.0])), DiagonalNormal(column([0.0]), column([1.0]))), [0.0, 1.0])
    region = mixture.highest_density_region(0.9)
    assert region.atoms.count.item() == 0
    assert region.high.item() == pytest.approx(stats.norm.ppf(0.95))
    assert not region.contains(torch.full((1, 1), 5.0, dtype=torch.float64)).item()


@pytest.mark.parametrize("place", [0.3, 40.0, 1e12, 1e30])
def test_components_without_weight_change_no_region(place):
    pair = alone(DiagonalNormal(column([0.0, place]), column([1.0, 1e-9])), [1.0, 0.0]).highest_density_region(0.9)
    one = alone(DiagonalNormal(column([0.0]), column([1.0]))).highest_density_region(0.9)
    torch.testing.assert_close(pair.low, one.low)
    torch.testing.assert_close(pair.high, one.high)


# --- angles ---


def test_an_angle_at_the_seam_has_a_region_on_both_sides_of_the_cut():
    region = alone(VonMises(column([math.pi]), column([5.0]))).highest_density_region(0.5)
    reach = math.pi - stats.vonmises(5.0).ppf(0.75)
    assert region.count.item() == 2
    assert region.low[0].tolist() == pytest.approx([-math.pi, reach], abs=1e-7)
    assert region.high[0].tolist() == pytest.approx([-reach, math.pi], abs=1e-7)
    assert region.mass[0].tolist() == pytest.approx([0.25, 0.25], abs=1e-7)


@pytest.mark.parametrize("turn", [0.0, 1.0, 2.5, math.pi, -2.9])
def test_turning_angles_changes_no_length_and_no_level(turn):
    components = VonMises(column([0.0, 1.5, -2.0]), column([5.0, 20.0, 1.0]))
    plain = alone(components).highest_density_region(0.7)
    turned = alone(components.affine(turn, 1.0)).highest_density_region(0.7)
    assert turned.log_level.item() == pytest.approx(plain.log_level.item(), abs=1e-7)
    assert turned.total_mass.item() == pytest.approx(0.7, abs=1e-7)
    lengths = [(region.high - region.low)[region.mask].sum().item() for region in (plain, turned)]
    assert lengths[0] == pytest.approx(lengths[1], abs=1e-6)


# --- shapes, precisions, tables ---


def test_a_double_batch_keeps_its_shape():
    mixture = make(n=6, d=1)
    loc, logits = mixture.components.loc.reshape(2, 3, 3, 1), mixture.logits.reshape(2, 3, 3)
    double = Mixture(Categorical(logits=logits), DiagonalNormal(loc, mixture.components.scale.reshape(2, 3, 3, 1)))
    region, flat = double.highest_density_region(0.9), mixture.highest_density_region(0.9)
    assert region.low.shape[:2] == region.log_level.shape == region.count.shape == (2, 3)
    torch.testing.assert_close(region.low.flatten(0, 1), flat.low, equal_nan=True)
    y = torch.zeros(2, 3, 1, dtype=torch.float64)
    assert torch.equal(region.contains(y).flatten(), flat.contains(y.reshape(6, 1)))


def test_an_empty_batch_has_an_empty_region():
    region = make(n=0, d=1).highest_density_region(0.9)
    assert region.count.shape == region.total_mass.shape == (0,)
    assert region.to_dict()["low"] == []


@pytest.mark.parametrize("level", [0.01, 0.5, 0.9, 0.99])
def test_single_precision_regions_agree_with_double_ones(level):
    mixture = make(n=30, k=4, d=1, dtype=torch.float32)
    region, exact = mixture.highest_density_region(level), mixture.to(torch.float64).highest_density_region(level)
    assert region.low.dtype == region.mass.dtype == region.log_level.dtype == torch.float32
    assert (region.total_mass - level).abs().max() < 1e-5
    a, b = ends_of(region)
    mass = (mixture.to(torch.float64).cdf(b.double()) - mixture.to(torch.float64).cdf(a.double())).squeeze(-1).T
    held = torch.where(region.mask, mass, 0.0).sum(-1)
    assert (held - level).abs().max() < 1e-4
    assert (region.log_level - exact.log_level).abs().max() < 1e-3


def test_a_marginal_of_several_dimensions_is_chosen_by_dim():
    blocks = Product(DiagonalNormal(column([0.0, 4.0]), column([1.0, 1.0])), Poisson(column([2.0, 3.0])))
    mixture = alone(blocks)
    torch.testing.assert_close(
        mixture.highest_density_region(0.9, dim=0).low, mixture.marginal(0).highest_density_region(0.9).low
    )
    counts = mixture.highest_density_region(0.9, dim=1)
    assert (counts.low == counts.low.round())[counts.mask].all()
    torch.testing.assert_close(mixture.highest_density_region(0.9, dim=-1).low, counts.low, equal_nan=True)


def test_a_region_is_a_long_table_and_prints_its_intervals():
    loc = column([-5.0, 5.0])
    region = alone(DiagonalNormal(loc, torch.ones_like(loc))).highest_density_region(0.9)
    table = region.to_dict()
    assert list(table) == ["row", "low", "high", "mass", "kind"]
    assert table["row"] == [0, 0]
    assert table["mass"] == pytest.approx([0.45, 0.45])
    assert repr(region) == "Region(low=-6.645, high=-3.355, mass=0.45; low=3.355, high=6.645, mass=0.45)"
    assert repr(make(n=4, d=1).highest_density_region(0.9)).startswith("Region(rows=4, count=")


def test_a_table_of_regions_and_modes_holds_the_atoms_too():
    zero = column([0.0])
    mixture = alone(Concatenation(PointMass(zero), DiagonalNormal(zero + 5, zero + 1)), [0.3, 0.7])
    region = mixture.highest_density_region(0.9)
    table = region.to_dict()
    assert table["kind"] == ["interval", "atom"]
    assert sum(table["mass"]) == pytest.approx(0.9)
    assert (table["low"][1], table["high"][1]) == (0, 0)
    assert repr(region).endswith("; atom: low=0, high=0, mass=0.3)")
    assert mixture.modes().to_dict()["kind"] == ["mode", "atom"]


@pytest.mark.parametrize("backend", ["pandas", "polars"])
def test_a_region_becomes_a_data_frame(backend):
    region = make(n=4, d=1).highest_density_region(0.9)
    frame = region.to_frame(backend)
    assert type(frame).__module__.startswith(backend)
    assert list(frame.columns) == ["row", "low", "high", "mass", "kind"]
    np.testing.assert_allclose(np.asarray(frame["mass"]), region.mass[region.mask].numpy())


# --- refusals ---


@pytest.mark.parametrize("level", [0, 1, -1, 2.0, math.nan, 0.0, 1.0])
def test_a_level_that_is_no_probability_is_refused(level):
    with pytest.raises(InputError) as caught:
        make(d=1).highest_density_region(level)
    assert str(caught.value) == f"level must be a number > 0 and < 1; got {level}."


def test_a_missing_dimension_is_asked_for():
    with pytest.raises(InputError) as caught:
        make(d=2).highest_density_region(0.9)
    assert str(caught.value) == (
        "dim must name one of the 2 target dimensions; got None. For the joint density, see highest_density_level."
    )


@pytest.mark.parametrize("dim", [2, -3])
def test_a_dimension_that_is_not_there_is_refused(dim):
    with pytest.raises(InputError, match="target dimensions from 0 to 1; got"):
        make(d=2).highest_density_region(0.9, dim=dim)


def test_counts_beside_a_density_have_no_region():
    parts: list[Component] = [Poisson(column([3.0])), DiagonalNormal(column([0.0]), column([1.0]))]
    with pytest.raises(InputError) as caught:
        alone(Concatenation(*parts)).highest_density_region(0.9)
    assert str(caught.value) == (
        "modes and regions need components of one measure in each target dimension; got counts beside a density."
    )
