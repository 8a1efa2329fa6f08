import itertools
import math

import numpy as np
import pytest
import torch
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.distributions import (
    Beta,
    Concatenation,
    DiagonalNormal,
    FullNormal,
    Gamma,
    LogNormal,
    Mixture,
    Modes,
    PointMass,
    Poisson,
    Product,
    SphericalNormal,
    StudentT,
    Truncated,
    VonMises,
)

from .test_mixture import make
from .test_turning import alone, column


def mixture_of(loc, scale, weights) -> Mixture:
    loc, scale = torch.tensor(loc).double(), torch.tensor(scale).double()
    return Mixture(Categorical(torch.tensor(weights).double()), DiagonalNormal(loc, scale))


def filled(modes: Modes, width: int) -> torch.Tensor:
    """Return locations with NaN up to a number of modes: (N, width, D)."""
    missing = width - modes.location.shape[-2]
    return torch.nn.functional.pad(modes.location, (0, 0, 0, missing), value=math.nan)


def peaks_on_a_grid(mixture: Mixture, low=-15.0, high=15.0, n=20_001) -> torch.Tensor:
    grid = torch.linspace(low, high, n, dtype=torch.float64)
    log_density = mixture.log_prob(grid[:, None, None].expand(n, *mixture.batch_shape, 1))
    inner = log_density[1:-1]
    return ((inner > log_density[:-2]) & (inner >= log_density[2:])).sum(0)


def test_modes_in_one_dimension_are_those_of_a_fine_grid():
    mixture = make(n=100, k=5, d=1, seed=5)
    assert torch.equal(mixture.modes().count, peaks_on_a_grid(mixture))


def assert_local_maxima(mixture: Mixture, modes: Modes, step: float = 1e-4) -> None:
    """No neighbour is higher, in the directions of the axes, the diagonals and some at random."""
    dims = mixture.event_shape[0]
    directions = torch.randn(40, dims, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    directions = torch.cat([torch.eye(dims).double(), -torch.eye(dims).double(), directions])
    for direction in directions:
        moved = (modes.location + step * direction).nan_to_num().movedim(1, 0)
        nearby = mixture.log_prob(moved).movedim(0, 1)
        assert (nearby <= modes.log_density + 1e-12)[modes.mask].all()


def test_every_mode_is_a_maximum_and_the_highest_comes_first():
    mixture = make(n=200, k=4, d=3, seed=2)
    modes = mixture.modes()
    assert_local_maxima(mixture, modes)
    heights = modes.log_density
    assert (heights[:, 1:] <= heights[:, :-1]).all()
    torch.testing.assert_close(modes.mass.sum(-1), torch.ones(200, dtype=torch.float64))


def test_components_that_overlap_share_one_mode():
    modes = mixture_of([[[0.0], [0.5]]], [[[1.0], [1.0]]], [[0.5, 0.5]]).modes()
    assert modes.count.item() == 1
    assert modes.location[0, 0, 0].item() == pytest.approx(0.25, abs=1e-8)
    assert modes.mass[0, 0].item() == pytest.approx(1)
    assert modes.location.shape == (1, 1, 1)


def test_separate_components_are_separate_modes_with_their_weights():
    modes = mixture_of([[[-3.0, 0.0], [3.0, 1.0]]], [[[0.5, 0.5], [0.5, 0.5]]], [[0.3, 0.7]]).modes()
    assert modes.count.item() == 2
    torch.testing.assert_close(modes.location[0], torch.tensor([[3.0, 1.0], [-3.0, 0.0]]).double())
    torch.testing.assert_close(modes.mass[0], torch.tensor([0.7, 0.3]).double())


def test_no_mode_is_reported_at_a_saddle_between_symmetric_peaks():
    # The broad component's mean is a minimum of the density, by symmetry.
    modes = mixture_of([[[-1.0], [0.0], [1.0]]], [[[0.2], [3.0], [0.2]]], [[0.45, 0.1, 0.45]]).modes()
    assert modes.count.item() == 2
    assert modes.location[0, :2, 0].abs().min() > 0.9


def test_equal_components_make_one_mode():
    modes = mixture_of([[[1.0], [1.0], [1.0]]], [[[1.0]] * 3], [[0.2, 0.3, 0.5]]).modes()
    assert modes.count.item() == 1
    assert modes.location[0, 0, 0].item() == pytest.approx(1, abs=1e-8)


def test_large_batches_are_worked_on_in_parts_that_agree():
    mixture = make(n=9000, k=5, d=1, seed=8)  # 45,000 starts, more than one part
    modes, some = mixture.modes(), mixture[8990:].modes()
    torch.testing.assert_close(modes.location[8990:], filled(some, modes.mask.shape[-1]), equal_nan=True)
    assert torch.equal(modes.count[8990:], some.count)


def test_large_batches_in_several_dimensions_are_worked_on_in_parts_that_agree():
    mixture = make(n=5100, k=2, d=2, seed=8)
    modes, some = mixture.modes(), mixture[5090:].modes()
    torch.testing.assert_close(modes.location[5090:], filled(some, modes.mask.shape[-1]), equal_nan=True)


def test_small_modes_can_be_left_out_of_the_count():
    modes = mixture_of([[[-5.0], [5.0]]], [[[1.0], [1.0]]], [[0.98, 0.02]]).modes()
    assert modes.count.item() == 2
    assert modes.count_above(0.05).item() == 1


def test_the_point_prediction_mode_is_the_highest():
    mixture = mixture_of([[[-5.0], [5.0]]], [[[1.0], [0.1]]], [[0.6, 0.4]])
    assert mixture.mode.item() == pytest.approx(5, abs=1e-6)


# --- one dimension, cases with a known answer ---


@pytest.mark.parametrize("ratio", [1.99, 1.9999, 2.0001, 2.01])
def test_two_equal_normals_part_at_two_standard_deviations(ratio):
    # Holzmann and Hollmann (2022): bimodal if and only if the distance exceeds 2 scales.
    modes = alone(DiagonalNormal(column([0.0, ratio]), column([1.0, 1.0]))).modes()
    assert modes.count.item() == (2 if ratio > 2 else 1)
    assert modes.location.mean().item() == pytest.approx(ratio / 2, abs=1e-7)


def test_two_equal_normals_share_their_masses_at_the_minimum():
    modes = alone(DiagonalNormal(column([-2.0, 2.0]), column([1.0, 1.0]))).modes()
    assert modes.mass[0].tolist() == pytest.approx([0.5, 0.5], abs=1e-9)


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-9, 1e-12])
def test_nearly_equal_components_make_one_mode(gap):
    modes = alone(DiagonalNormal(column([1.0, 1.0 + gap, 1.0 - gap]), column([1.0, 1.0, 1.0]))).modes()
    assert modes.count.item() == 1
    assert modes.location.item() == pytest.approx(1, abs=1e-7)


def test_a_needle_of_tiny_weight_on_a_broad_peak_is_a_mode():
    modes = alone(DiagonalNormal(column([0.0, 0.7]), column([1.0, 1e-9])), [1 - 1e-7, 1e-7]).modes()
    assert modes.count.item() == 2
    assert modes.location[0, 0, 0].item() == pytest.approx(0.7, abs=1e-9)


def test_a_needle_too_light_to_turn_the_density_is_no_mode():
    modes = alone(DiagonalNormal(column([0.0, 0.7]), column([1.0, 0.1])), [1 - 1e-5, 1e-5]).modes()
    assert modes.count.item() == 1


def test_scales_twelve_orders_apart_keep_their_modes():
    modes = alone(DiagonalNormal(column([-1e6, 0.0, 1e6]), column([1e-6, 1e6, 1.0]))).modes()
    assert sorted(modes.location[0, :, 0].tolist()) == pytest.approx([-1e6, 0.0, 1e6], rel=1e-9, abs=1.0)


def test_a_mode_at_the_seam_of_the_circle_is_one_mode():
    for seam in (math.pi, -math.pi, math.pi - 1e-12, -math.pi + 1e-12, 3 * math.pi):
        modes = alone(VonMises(column([seam]), column([4.0]))).modes()
        assert modes.count.item() == 1
        assert math.cos(modes.location.item()) == pytest.approx(-1)
        assert modes.mass.item() == pytest.approx(1)


def test_modes_on_both_sides_of_the_seam_share_the_probability_across_it():
    loc = column([math.pi - 0.5, -math.pi + 0.5, 0.0])
    modes = alone(VonMises(loc, torch.full_like(loc, 30.0)), [0.3, 0.3, 0.4]).modes()
    assert modes.count.item() == 3
    assert sorted(modes.mass[0].tolist()) == pytest.approx([0.3, 0.3, 0.4], abs=1e-3)
    assert modes.mass.sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("distance", [0.01, 0.05, 0.1, 0.3])
@pytest.mark.parametrize("concentration", [1.0, 5.0])
def test_components_across_the_seam_merge_into_one_mode(concentration, distance):
    loc = column([math.pi - distance, -math.pi + distance])
    modes = alone(VonMises(loc, torch.full_like(loc, concentration))).modes()
    assert modes.count.item() == 1
    assert abs(modes.location.item()) == pytest.approx(math.pi, abs=1e-7)
    assert modes.mass.item() == pytest.approx(1)


def test_a_decreasing_density_has_its_mode_at_the_end_of_its_support():
    for components, end in (
        (Gamma(column([1.0]), column([2.0])), 0.0),
        (Gamma(column([0.5]), column([2.0])), 0.0),
        (Beta(column([1.0]), column([3.0]), 2.0, 5.0), 2.0),
        (Beta(column([3.0]), column([0.5]), 2.0, 5.0), 5.0),
        (Truncated(DiagonalNormal(column([0.0]), column([1.0])), 3.0, math.inf), 3.0),
        (Truncated(DiagonalNormal(column([9.0]), column([1.0])), -math.inf, 3.0), 3.0),
    ):
        modes = alone(components).modes()
        assert modes.count.item() == 1
        assert modes.location.item() == pytest.approx(end, abs=1e-12)
        assert modes.mass.item() == pytest.approx(1)


def test_a_u_shape_has_a_mode_at_each_end_and_a_uniform_one_anywhere():
    modes = alone(Beta(column([0.5]), column([0.5]))).modes()
    assert sorted(modes.location[0, :, 0].tolist()) == pytest.approx([0.0, 1.0], abs=1e-12)
    assert modes.mass[0].tolist() == pytest.approx([0.5, 0.5])
    flat = alone(Beta(column([1.0]), column([1.0]))).modes()
    assert flat.count.item() == 1
    assert 0 <= flat.location.item() <= 1
    assert flat.log_density.item() == pytest.approx(0, abs=1e-12)


def test_two_uniform_steps_have_a_mode_on_the_higher_one():
    stairs = Beta(column([1.0, 1.0]), column([1.0, 1.0]), column([0.0, 1.0]), column([2.0, 4.0]))
    modes = alone(stairs).modes()  # densities 1/4, 5/12 and 1/6
    assert modes.count.item() == 1
    assert 1 <= modes.location.item() <= 2
    assert modes.log_density.item() == pytest.approx(math.log(5 / 12))


# --- atoms ---


def test_atoms_are_listed_apart_and_masses_sum_to_one_with_them():
    parts = LogNormal(column([1.0, 3.0]), column([0.5, 0.1]))
    mixture = alone(Concatenation(PointMass(column([50.0, 0.0])), parts), [0.1, 0.2, 0.4, 0.3])
    modes = mixture.modes()
    assert modes.atoms.location.tolist() == [[0.0, 50.0]]
    assert modes.atoms.mass[0].tolist() == pytest.approx([0.2, 0.1])
    assert (modes.mass.sum() + modes.atoms.mass.sum()).item() == pytest.approx(1)
    spread = alone(parts, [4 / 7, 3 / 7]).modes()
    torch.testing.assert_close(modes.location, spread.location)
    torch.testing.assert_close(modes.log_density, spread.log_density + math.log(0.7))
    torch.testing.assert_close(modes.mass, 0.7 * spread.mass)
    torch.testing.assert_close(mixture.mode, modes.location[:, 0])


def test_a_mode_in_the_very_place_of_an_atom_keeps_its_density():
    # At 0 the density of the measure is the atom's alone; the mode beside it is a limit.
    mixture = alone(Concatenation(PointMass(column([0.0])), DiagonalNormal(column([0.0]), column([1.0]))), [0.3, 0.7])
    modes = mixture.modes()
    assert modes.count.item() == 1
    assert modes.mass.item() == pytest.approx(0.7)
    assert modes.log_density.item() == pytest.approx(math.log(0.7) - 0.5 * math.log(2 * math.pi))
    assert modes.spread.item() == pytest.approx(1)


def test_atoms_alone_have_no_mode_but_a_heaviest_place():
    mixture = alone(PointMass(column([1.0, 2.0])), [0.3, 0.7])
    modes = mixture.modes()
    assert modes.count.item() == 0
    assert modes.atoms.location.tolist() == [[2.0, 1.0]]
    assert mixture.mode.tolist() == [[2.0]]


def test_the_point_prediction_mode_is_a_number_in_every_row():
    # One row has its weight on the atom, one on the density.
    parts = Concatenation(PointMass(torch.zeros(2, 1, 1).double()), DiagonalNormal(*torch.ones(2, 2, 1, 1).double()))
    weights = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    mixture = Mixture(Categorical(weights), parts)
    assert mixture.mode.flatten().tolist() == pytest.approx([0.0, 1.0])


# --- several dimensions ---


@pytest.mark.parametrize("turn", [0.0, 0.3])
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("scale", [0.7075, 0.71, 0.715])
def test_three_normals_at_the_corners_of_a_triangle_have_a_fourth_mode(scale, size, turn):
    # Carreira-Perpinan and Williams (2003), On the number of modes of a Gaussian mixture, section 4: the centre is a
    # mode for scales above half the root of 2, in units of the radius, and the corners keep theirs a little longer.
    angles = turn + 2 * math.pi * torch.arange(3, dtype=torch.float64) / 3
    corners = size * torch.stack([angles.cos(), angles.sin()], -1).unsqueeze(0)
    mixture = alone(SphericalNormal(corners, torch.full((1, 3, 1), scale * size, dtype=torch.float64)))
    modes = mixture.modes()
    assert_local_maxima(mixture, modes, step=1e-4 * size)
    assert (modes.location[0] / size).norm(dim=-1).min() < 1e-6
    assert modes.count.item() == 4


def test_triangles_have_three_modes_when_narrow_and_one_when_broad():
    angles = 2 * math.pi * torch.arange(3, dtype=torch.float64) / 3
    corners = torch.stack([angles.cos(), angles.sin()], -1).unsqueeze(0)
    for scale, expected in ((0.4, 3), (0.65, 3), (0.8, 1), (2.0, 1)):
        mixture = alone(SphericalNormal(corners, torch.full((1, 3, 1), scale, dtype=torch.float64)))
        assert mixture.modes().count.item() == expected, scale


def covariances(*matrices) -> torch.Tensor:
    return torch.linalg.cholesky(torch.tensor(matrices, dtype=torch.float64)).unsqueeze(0)


def test_two_normals_of_different_covariance_have_three_modes():
    # Ray and Lindsay (2005), The topography of multivariate normal mixtures, figure 1.
    loc = torch.tensor([[[0.0, 0.0], [1.0, 1.0]]], dtype=torch.float64)
    for matrices in (([[1.0, 0.0], [0.0, 0.05]], [[0.05, 0.0], [0.0, 1.0]]),):
        mixture = alone(FullNormal(loc, covariances(*matrices)))
        modes = mixture.modes()
        assert modes.count.item() == 3
        assert_local_maxima(mixture, modes)
        assert modes.mass.sum().item() == pytest.approx(1)
        near = (modes.location[0] - torch.tensor([0.95, 0.05]).double()).norm(dim=-1).min()
        assert near < 0.15


def test_of_many_components_those_that_cross_keep_the_modes_between_them():
    n_crosses = 12  # as above, each far from the others
    centre = 20 * torch.arange(n_crosses, dtype=torch.float64).repeat_interleave(2).unsqueeze(-1)
    loc = centre + torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64).repeat(n_crosses, 1)
    tril = (
        torch.diag_embed(torch.tensor([[1.0, 0.05], [0.05, 1.0]], dtype=torch.float64)).sqrt().repeat(n_crosses, 1, 1)
    )
    logits = torch.zeros(1, 2 * n_crosses, dtype=torch.float64)
    modes = Mixture(Categorical(logits=logits), FullNormal(loc.unsqueeze(0), tril.unsqueeze(0))).modes()
    assert modes.count.tolist() == [3 * n_crosses]


def test_modes_in_two_dimensions_are_those_of_a_fine_grid():
    mixture = make(n=20, k=4, d=2, seed=13)
    modes = mixture.modes()
    side = torch.linspace(-8, 8, 401, dtype=torch.float64)
    places = torch.cartesian_prod(side, side)
    height = mixture.log_prob(places.unsqueeze(1).expand(-1, 20, -1)).reshape(401, 401, 20)
    inner = height[1:-1, 1:-1]
    peak = torch.ones_like(inner, dtype=torch.bool)
    for i, j in itertools.product(range(3), range(3)):
        if (i, j) != (1, 1):
            peak &= inner > height[i : i + 399, j : j + 399]
    for row in range(20):
        tops = torch.stack([side[1:-1][index] for index in peak[..., row].nonzero().T], -1)
        found = modes.location[row, modes.mask[row]]
        for top in tops:
            near = (found - top).abs().amax(-1) < 0.1
            higher = modes.log_density[row, modes.mask[row]] >= inner[..., row][peak[..., row]].min()
            assert (near & higher).any(), (row, top.tolist(), found.tolist())


def test_components_without_weight_make_no_mode_in_several_dimensions():
    modes = mixture_of([[[-3.0, 0.0], [3.0, 1.0]]], [[[0.5, 0.5], [0.5, 0.5]]], [[1.0, 0.0]]).modes()
    assert modes.count.item() == 1
    assert modes.mass.tolist() == [[1.0]]


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_units_of_a_dimension_change_no_number_of_modes(scale):
    mixture = make(n=30, k=4, d=2, seed=3)
    factor = torch.tensor([1.0, scale], dtype=torch.float64)
    before, after = mixture.modes(), mixture.affine(0.0, factor).modes()
    assert torch.equal(before.count, after.count)
    assert (before.location * factor - after.location).div(factor).abs().nan_to_num().max() < 1e-6


def test_modes_beside_counts_and_angles_are_found():
    blocks = Product(
        VonMises(column([0.0, 2.0]), column([20.0, 20.0])),
        DiagonalNormal(column([-3.0, 3.0]), column([0.5, 0.5])),
        Poisson(column([2.5, 30.5])),
    )
    modes = alone(blocks, [0.4, 0.6]).modes()
    assert modes.count.item() == 2
    order = modes.location[0, :, 1].argsort()
    torch.testing.assert_close(
        modes.location[0, order], torch.tensor([[0.0, -3.0, 2.0], [2.0, 3.0, 30.0]]).double(), atol=1e-6, rtol=0
    )


def test_heavy_tailed_components_share_modes_in_several_dimensions():
    loc = torch.tensor([[[-4.0, 0.0], [4.0, 0.0], [4.1, 0.0]]], dtype=torch.float64)
    mixture = alone(StudentT(torch.full_like(loc, 1.5), loc, torch.ones_like(loc)))
    modes = mixture.modes()
    assert modes.count.item() == 2
    assert_local_maxima(mixture, modes)
    assert sorted(modes.mass[0].tolist()) == pytest.approx([1 / 3, 2 / 3])


# --- spread, shapes, precisions, tables ---


def test_the_spread_of_a_separate_mode_is_its_components():
    modes = mixture_of([[[-50.0, 0.0], [50.0, 1.0]]], [[[0.5, 2.0], [0.25, 1.0]]], [[0.3, 0.7]]).modes()
    torch.testing.assert_close(modes.spread[0], torch.tensor([[0.25, 1.0], [0.5, 2.0]]).double())


def test_the_spread_of_a_shared_mode_counts_the_distance_of_its_components():
    modes = alone(DiagonalNormal(column([-0.5, 0.5]), column([1.0, 1.0]))).modes()
    assert modes.spread.item() == pytest.approx(math.sqrt(1.25))


def test_one_component_is_one_mode_with_all_the_mass():
    modes = make(n=5, k=1, d=3).modes()
    assert modes.count.tolist() == [1] * 5
    assert modes.mass.flatten().tolist() == pytest.approx([1.0] * 5)
    torch.testing.assert_close(modes.location, make(n=5, k=1, d=3).components.loc)
    torch.testing.assert_close(modes.spread, make(n=5, k=1, d=3).components.scale)


@pytest.mark.parametrize("d", [1, 2])
def test_double_batches_keep_their_shape(d):
    mixture = make(n=6, d=d)
    loc, scale = (value.reshape(2, 3, 3, d) for value in (mixture.components.loc, mixture.components.scale))
    double = Mixture(Categorical(logits=mixture.logits.reshape(2, 3, 3)), DiagonalNormal(loc, scale))
    modes, flat = double.modes(), mixture.modes()
    assert modes.count.shape == (2, 3)
    assert modes.location.shape[:2] == (2, 3)
    assert modes.atoms.mask.shape[:2] == (2, 3)
    torch.testing.assert_close(modes.location.flatten(0, 1), flat.location, equal_nan=True)
    torch.testing.assert_close(double.mode, mixture.mode.reshape(2, 3, d))


@pytest.mark.parametrize("d", [1, 2])
def test_empty_batches_have_no_modes(d):
    modes = make(n=0, d=d).modes()
    assert modes.count.shape == (0,)
    assert modes.to_dict()["mass"] == []
    assert modes.location.shape[-1] == d
    assert repr(modes) == "Modes(rows=0, count=0 to 0)"


@pytest.mark.parametrize("d", [1, 2])
def test_single_precision_modes_agree_with_double_ones(d):
    single = make(n=50, k=4, d=d, dtype=torch.float32)
    modes, exact = single.modes(), single.to(torch.float64).modes()
    assert modes.location.dtype == modes.mass.dtype == modes.spread.dtype == torch.float32
    assert torch.equal(modes.mask, exact.mask)
    torch.testing.assert_close(modes.location.double(), exact.location, equal_nan=True, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(modes.mass.double(), exact.mass, rtol=1e-5, atol=1e-6)


def test_modes_carry_no_gradient():
    loc = column([-2.0, 2.0]).requires_grad_()
    mixture = alone(DiagonalNormal(loc, torch.ones_like(loc)))
    assert not mixture.modes().location.requires_grad
    assert not mixture.highest_density_region(0.9).low.requires_grad


def test_rows_with_fewer_modes_are_filled_up():
    loc = torch.tensor([[[-5.0], [5.0]], [[0.0], [0.1]]], dtype=torch.float64)
    modes = Mixture(
        Categorical(torch.ones(2, 2, dtype=torch.float64)), DiagonalNormal(loc, torch.ones_like(loc))
    ).modes()
    assert modes.mask.tolist() == [[True, True], [True, False]]
    assert modes.location[1, 1].isnan().all()
    assert modes.log_density[1, 1] == -math.inf
    assert modes.mass[1, 1] == 0
    assert modes.spread[1, 1].isnan().all()


def test_modes_are_a_long_table_and_print_themselves():
    modes = alone(DiagonalNormal(column([-5.0, 5.0]), column([1.0, 0.5])), [0.75, 0.25]).modes()
    table = modes.to_dict()
    assert list(table) == ["row", "location", "log_density", "mass", "spread", "kind"]
    assert table["location"] == pytest.approx([-5.0, 5.0])
    assert repr(modes).startswith("Modes(location=-5, log_density=-1.207, mass=0.75, spread=1; location=5, ")
    assert repr(make(n=4, d=1).modes()).startswith("Modes(rows=4, count=")
    assert list(make(n=4, d=2).modes().to_dict()) == [
        "row",
        "location_0",
        "location_1",
        "log_density",
        "mass",
        "spread_0",
        "spread_1",
        "kind",
    ]


@pytest.mark.parametrize("backend", ["pandas", "polars"])
def test_modes_become_a_data_frame(backend):
    modes = make(n=4, d=2).modes()
    frame = modes.to_frame(backend)
    assert type(frame).__module__.startswith(backend)
    assert len(frame) == int(modes.count.sum())
    np.testing.assert_allclose(np.asarray(frame["location_1"]), modes.location[..., 1][modes.mask].numpy())
    assert frame["row"].to_list() == modes.mask.nonzero()[:, 0].tolist()


def test_atoms_in_a_joint_density_are_refused():
    ones = torch.ones(1, 1, 2, dtype=torch.float64)
    with pytest.raises(InputError) as caught:
        alone(Concatenation(PointMass(ones), DiagonalNormal(ones, ones))).modes()
    assert str(caught.value) == (
        "modes of a joint density need components without atoms; take the marginal of one dimension."
    )


def test_joint_modes_of_angles_meet_across_the_seam():
    angle = torch.tensor([[[3.13], [-3.13]]], dtype=torch.float64)
    parts = Product(
        VonMises(angle, torch.full_like(angle, 20.0)), DiagonalNormal(torch.zeros_like(angle), torch.ones_like(angle))
    )
    modes = Mixture(Categorical(torch.ones(1, 2, dtype=torch.float64)), parts).modes()
    assert modes.count.item() == 1
    assert modes.mass[0, 0].item() == pytest.approx(1)
    assert abs(modes.location[0, 0, 0].item()) == pytest.approx(math.pi, abs=1e-6)
    assert modes.spread[0, 0, 0].item() == pytest.approx(20**-0.5, rel=0.05)
