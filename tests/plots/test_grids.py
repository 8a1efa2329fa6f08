"""Grids on which no peak is lost, and point masses apart."""

import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid
from torch.distributions import Categorical

from manymodes.distributions import DiagonalNormal, Mixture, PointMass
from manymodes.plots import grids


def needle(scale=1e-6):
    """Half the probability in a peak far narrower than a cell."""
    loc = torch.tensor([[[0.0], [1.2345]]], dtype=torch.float64)
    wide = torch.tensor([[[1.0], [scale]]], dtype=torch.float64)
    return Mixture(Categorical(torch.ones(1, 2)), DiagonalNormal(loc, wide))


def test_limits_hold_all_but_a_thousandth_on_each_side_of_every_row(crossing):
    low, high = grids.limits(crossing)
    at = torch.tensor([low, high]).double()[:, None, None].expand(2, 15, 1)
    below, above = crossing.cdf(at)[0].max(), crossing.sf(at)[1].max()
    assert below == pytest.approx(0.001, rel=1e-4)
    assert above == pytest.approx(0.001, rel=1e-4)
    assert grids.limits(crossing, np.array([-99.0, 99.0])) == (-99, 99)


def test_a_single_point_still_has_a_range():
    assert grids.limits(Mixture(Categorical(torch.ones(1, 1)), PointMass(torch.full((1, 1, 1), 3.0)))) == (2.5, 3.5)


def test_heights_at_points_are_the_density(crossing):
    found = grids.on_points(crossing, -3.0, 3.0)
    expected = crossing.log_prob(torch.from_numpy(found.y)[:, None, None].expand(-1, 15, 1)).exp().T
    np.testing.assert_allclose(found.height, expected, atol=1e-12)
    assert np.all(np.diff(found.y) > 0)


def test_points_find_a_needle():
    found = grids.on_points(needle(), -3.0, 3.0)
    assert found.height.max() == pytest.approx(0.5 / (1e-6 * np.sqrt(2 * np.pi)), rel=1e-4)
    assert trapezoid(found.height[0], found.y) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("n_cells", [7, 400])
def test_cells_hold_the_whole_probability(n_cells):
    found = grids.on_cells(needle(), -6.0, 6.0, n_cells)
    assert found.height.sum() * 12 / n_cells == pytest.approx(1, abs=1e-6)


def test_cells_of_counts_are_integers_with_their_probabilities(counts):
    found = grids.on_cells(counts, 0.0, 40.0)
    np.testing.assert_array_equal(found.y, np.arange(-1, 42))
    expected = counts.log_prob(torch.arange(42.0).double()[:, None, None].expand(42, 15, 1)).exp().T
    np.testing.assert_allclose(found.height[:, 1:], expected, atol=1e-12)
    np.testing.assert_allclose(grids.on_points(counts, 0.0, 40.0).height, found.height, atol=1e-12)


def test_many_counts_share_cells_without_a_loss(counts):
    found = grids.on_cells(counts, 0.0, 1e5, 300)
    assert len(found.y) == 300
    width = 2 * (found.y[0] + 1.5)  # of the first cell, which begins at -1.5 and holds nearly everything
    assert width > 100
    np.testing.assert_allclose(found.height[:, 0] * width, 1, rtol=1e-6)


def test_point_masses_are_kept_apart_from_what_they_leave(zero_or_amount):
    for found in (grids.on_points(zero_or_amount, 0.0, 30.0), grids.on_cells(zero_or_amount, 0.0, 30.0)):
        np.testing.assert_allclose(found.atoms.mass, 0.3)
        np.testing.assert_allclose(found.share, 0.7)
        assert found.height.max() < 2  # no spike at 0, which is on the grid
        np.testing.assert_allclose(trapezoid(found.height, found.y), 0.7, atol=0.01)
