"""Densities of rows above one another."""

import numpy as np
import pytest
import torch
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.distributions import DiagonalNormal, Gamma, Mixture
from manymodes.plots import ridgeline


def curves(ax):
    """Return the curves, the lowest row first."""
    return [line for line in ax.get_lines() if line.get_marker() == "None"][::-1]


def labels(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def test_each_row_is_its_density_above_its_base(crossing, x, ax):
    ridgeline(crossing, x, n_rows=15, ax=ax)
    assert len(curves(ax)) == 15
    for row, curve in enumerate(curves(ax)):
        density = crossing[row : row + 1].log_prob(torch.from_numpy(curve.get_xdata())[:, None, None]).exp()[:, 0]
        np.testing.assert_allclose(curve.get_ydata() - row, 1.5 * density / density.max(), atol=1e-9)


def test_rows_share_one_grid_that_covers_their_quantiles(crossing, x, ax):
    ridgeline(crossing, x, ax=ax)
    grid = curves(ax)[0].get_xdata()
    assert all(np.array_equal(curve.get_xdata(), grid) for curve in curves(ax))
    rows = crossing[torch.from_numpy(np.linspace(0, 14, 12).round().astype(int))]
    assert grid[0] == pytest.approx(rows.icdf(0.001).min().item())
    assert grid[-1] == pytest.approx(rows.isf(0.001).max().item())


def test_rows_are_chosen_evenly_and_named_by_their_input(two_modes, ax):
    ridgeline(two_modes, np.arange(100, 115)[::-1], n_rows=3, ax=ax)
    assert labels(ax) == ["100", "107", "114"]
    assert len(curves(ax)) == 3


def test_no_more_rows_are_drawn_than_there_are(two_modes, ax):
    ridgeline(two_modes[:1], [7.0], ax=ax)
    assert labels(ax) == ["7"]


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ([0.1, 0.2, 0.3], ["0.1", "0.2", "0.3"]),
        ([1.0001, 1.0002, 2.0], ["1.0001", "1.0002", "2"]),
        ([1200.0, 1300.0, 150000.0], ["1200", "1300", "150000"]),
        ([5.0, 5.0, 6.0], ["5", "5", "6"]),
    ],
)
def test_names_tell_rows_apart(two_modes, ax, inputs, expected):
    ridgeline(two_modes[:3], inputs, ax=ax)
    assert labels(ax) == expected


def test_lower_rows_lie_in_front(two_modes, x, ax):
    ridgeline(two_modes, x, ax=ax)
    orders = [curve.get_zorder() for curve in curves(ax)]
    assert orders == sorted(orders, reverse=True)


def test_the_order_of_rows_does_not_matter(crossing, x, ax):
    order = torch.randperm(15, generator=torch.Generator().manual_seed(0))
    other = ax.figure.add_subplot()
    ridgeline(crossing, x, ax=ax)
    ridgeline(crossing[order], x[order.numpy()], ax=other)
    for one, two in zip(curves(ax), curves(other), strict=True):
        np.testing.assert_array_equal(one.get_xydata(), two.get_xydata())
    assert labels(ax) == labels(other)


def test_observed_targets_are_dots_on_their_rows(two_modes, x, ax):
    ridgeline(two_modes, x, n_rows=3, y=np.arange(15.0), ax=ax)
    dots = ax.get_lines()[-1]
    np.testing.assert_array_equal(dots.get_xydata(), [[0, 0], [7, 1], [14, 2]])
    assert curves(ax)[0].get_xdata()[-1] == 14


def test_point_masses_are_stems_and_the_rest_is_lower_in_proportion(zero_or_amount, x, ax):
    ridgeline(zero_or_amount, x, n_rows=4, ax=ax)
    stems = [line for line in ax.get_lines() if line.get_marker() == "o"][::-1]
    assert len(stems) == len(curves(ax)) == 4
    for row, (stem, curve) in enumerate(zip(stems, curves(ax), strict=True)):
        np.testing.assert_allclose(stem.get_xydata(), [[0, row + 0.9 * 0.3]])
        assert curve.get_ydata().max() == pytest.approx(row + 1.5 * 0.7)


def test_counts_are_steps_on_integers(counts, x, ax):
    ridgeline(counts, x, n_rows=2, ax=ax)
    for curve in curves(ax):
        assert curve.get_drawstyle() == "steps-mid"
        np.testing.assert_array_equal(curve.get_xdata(), curve.get_xdata().round())


def test_a_density_without_bound_is_drawn(ax):
    pole = Mixture(Categorical(torch.ones(1, 1)), Gamma(torch.full((1, 1, 1), 0.5), torch.ones(1, 1, 1)))
    ridgeline(pole, [0.0], y=[0.0], ax=ax)  # the grid begins at the pole
    assert np.isfinite(curves(ax)[0].get_ydata()).all()


def test_no_rows_are_refused(crossing, x, ax):
    with pytest.raises(InputError, match=r"^n_rows must be an integer >= 1; got 0\.$"):
        ridgeline(crossing, x, n_rows=0, ax=ax)


def test_a_needle_keeps_its_peak(ax):
    loc = torch.tensor([[[0.0], [1.2345]]], dtype=torch.float64)
    scale = torch.tensor([[[1.0], [1e-5]]], dtype=torch.float64)
    ridgeline(Mixture(Categorical(torch.ones(1, 2)), DiagonalNormal(loc, scale)), [0.0], ax=ax)
    x, y = curves(ax)[0].get_data()
    assert x[y.argmax()] == pytest.approx(1.2345, abs=1e-6)
