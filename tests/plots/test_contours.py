"""p(y | x) over the plane."""

import numpy as np
import pytest
import torch
from matplotlib.contour import QuadContourSet
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.distributions import DiagonalNormal, Mixture, PointMass
from manymodes.plots import contour


def contours(ax):
    (drawn,) = [part for part in ax.collections if isinstance(part, QuadContourSet)]
    return drawn


def test_both_modes_are_drawn_and_the_gap_between_them_is_not(two_modes, x, ax):
    contour(two_modes, x, ax=ax)
    drawn = contours(ax)
    inner = [path for path, low in zip(drawn.get_paths(), drawn.levels, strict=False) if low > 0]
    assert len(inner) >= 11
    for path in inner:
        y = np.abs(path.vertices[:, 1])
        assert {True, False} == set((path.vertices[:, 1] > 0).tolist())
        assert y.min() > 0.5


def test_contours_lie_where_the_density_has_the_level(two_modes, x, ax):
    contour(two_modes, x, ax=ax)
    drawn = contours(ax)
    # At the outermost contour of a level the density is that level; cells are a hundredth of a scale wide.
    place = drawn.get_paths()[6].vertices[:, 1].max()
    density = two_modes.log_prob(torch.full((15, 1), place).double()).exp()[0]
    assert density.item() == pytest.approx(drawn.levels[6], rel=0.02)


def test_levels_are_even_in_the_root_of_the_density(two_modes, x, ax):
    contour(two_modes, x, n_levels=5, ax=ax)
    root = np.sqrt(contours(ax).levels)
    assert len(root) == 6
    np.testing.assert_allclose(np.diff(root), root[-1] / 5)


def test_one_needle_does_not_darken_the_rest(x, ax):
    loc, scale = torch.zeros(15, 1, 1).double(), torch.ones(15, 1, 1).double()
    scale[3] = 1e-4
    contour(Mixture(Categorical(torch.ones(15, 1)), DiagonalNormal(loc, scale)), x, ax=ax)
    drawn = contours(ax)
    assert drawn.levels[-1] == pytest.approx(0.399, rel=0.01)
    assert drawn.extend == "max"


def test_the_colour_bar_says_what_it_measures(crossing, x, ax):
    contour(crossing, x, ax=ax)
    bar = ax.figure.axes[1]
    assert bar.get_ylabel() == "p(y | x)"


def test_the_order_of_rows_does_not_matter(crossing, x, ax):
    order = torch.randperm(15, generator=torch.Generator().manual_seed(0))
    other = ax.figure.add_subplot()
    contour(crossing, x, ax=ax)
    contour(crossing[order], x[order.numpy()], ax=other)
    for one, two in zip(contours(ax).get_paths(), contours(other).get_paths(), strict=True):
        np.testing.assert_array_equal(one.vertices, two.vertices)


def test_rows_of_the_same_input_are_averaged(ax):
    loc = torch.tensor([-1.0, 1.0, 0.0]).double()[:, None, None]
    apart = Mixture(Categorical(torch.ones(3, 1)), DiagonalNormal(loc, torch.full_like(loc, 0.1)))
    loc = torch.tensor([[-1.0, 1.0], [0.0, 0.0]]).double()[..., None]
    together = Mixture(Categorical(torch.ones(2, 2)), DiagonalNormal(loc, torch.full_like(loc, 0.1)))
    other = ax.figure.add_subplot()
    contour(apart, [0.0, 0.0, 1.0], ax=ax)
    contour(together, [0.0, 1.0], ax=other)
    assert contours(ax).levels == pytest.approx(contours(other).levels, rel=0.05)


def test_counts_are_cells_around_integers(counts, x, ax):
    contour(counts, x, ax=ax)
    (mesh,) = ax.collections
    edges = mesh.get_coordinates()[:, 0, 1]
    np.testing.assert_allclose(edges % 1, 0.5)
    assert mesh.get_array().shape[1] == 15


def test_the_area_of_a_dot_is_the_probability_of_its_point_mass(zero_or_amount, x, ax):
    contour(zero_or_amount, x, ax=ax)
    dots = ax.collections[-1]
    np.testing.assert_array_equal(dots.get_offsets(), np.column_stack([x, np.zeros(15)]))
    np.testing.assert_allclose(dots.get_sizes(), 60 * 0.3)


def test_observed_targets_lie_inside_the_picture(crossing, x, ax):
    contour(crossing, x, y=np.linspace(-30, 30, 15), ax=ax)
    low, high = ax.get_ylim()
    assert low < -30
    assert high > 30
    np.testing.assert_array_equal(ax.get_lines()[-1].get_ydata(), np.linspace(-30, 30, 15))


def test_point_masses_alone_are_refused(x, ax):
    message = r"^contour needs a density or counts; got point masses alone, which ridgeline draws\.$"
    with pytest.raises(InputError, match=message):
        contour(Mixture(Categorical(torch.ones(15, 1)), PointMass(torch.zeros(15, 1, 1))), x, ax=ax)


def test_one_level_is_refused(crossing, x, ax):
    with pytest.raises(InputError, match=r"^n_levels must be an integer >= 2; got 1\.$"):
        contour(crossing, x, n_levels=1, ax=ax)
