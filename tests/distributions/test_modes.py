import pytest
import torch
from torch.distributions import Categorical

from manymodes.distributions import DiagonalNormal, Mixture

from .test_mixture import make


def mixture_of(loc, scale, weights) -> Mixture:
    loc, scale = torch.tensor(loc).double(), torch.tensor(scale).double()
    return Mixture(Categorical(torch.tensor(weights).double()), DiagonalNormal(loc, scale))


def peaks_on_a_grid(mixture: Mixture, low=-15.0, high=15.0, n=20_001) -> torch.Tensor:
    grid = torch.linspace(low, high, n, dtype=torch.float64)
    log_density = mixture.log_prob(grid[:, None, None].expand(n, *mixture.batch_shape, 1))
    inner = log_density[1:-1]
    return ((inner > log_density[:-2]) & (inner >= log_density[2:])).sum(0)


def test_modes_in_one_dimension_are_those_of_a_fine_grid():
    mixture = make(n=100, k=5, d=1, seed=5)
    assert torch.equal(mixture.modes().count, peaks_on_a_grid(mixture))


def test_every_mode_is_a_maximum_and_the_highest_comes_first():
    mixture = make(n=200, k=4, d=3, seed=2)
    modes = mixture.modes()
    step = 1e-4
    for sign in (-1, 1):
        for d in range(3):
            moved = modes.location.clone()
            moved[..., d] += sign * step
            nearby = mixture.log_prob(moved.movedim(1, 0).nan_to_num()).movedim(0, 1)
            assert (nearby <= modes.log_density + 1e-12)[modes.mask].all()
    heights = modes.log_density
    assert (heights[:, 1:] <= heights[:, :-1]).all()
    torch.testing.assert_close(modes.mass.sum(-1), torch.ones(200, dtype=torch.float64))


def test_components_that_overlap_share_one_mode():
    modes = mixture_of([[[0.0], [0.5]]], [[[1.0], [1.0]]], [[0.5, 0.5]]).modes()
    assert modes.count.item() == 1
    assert modes.location[0, 0, 0].item() == pytest.approx(0.25, abs=1e-8)
    assert modes.mass[0, 0].item() == pytest.approx(1)
    assert modes.location[0, 1].isnan().all()


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
    torch.testing.assert_close(modes.location[8990:], some.location, equal_nan=True)
    assert torch.equal(modes.mask[8990:], some.mask)


def test_small_modes_can_be_left_out_of_the_count():
    modes = mixture_of([[[-5.0], [5.0]]], [[[1.0], [1.0]]], [[0.98, 0.02]]).modes()
    assert modes.count.item() == 2
    assert modes.count_above(0.05).item() == 1


def test_the_point_prediction_mode_is_the_highest():
    mixture = mixture_of([[[-5.0], [5.0]]], [[[1.0], [0.1]]], [[0.6, 0.4]])
    assert mixture.mode.item() == pytest.approx(5, abs=1e-6)
