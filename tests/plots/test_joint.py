"""Joint densities of two target dimensions."""

import re

import numpy as np
import pytest
import torch
from matplotlib.contour import QuadContourSet
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.distributions import Beta, DiagonalNormal, Mixture, Poisson, Product
from manymodes.plots import joint_contour


def lines(ax):
    """Return the border of each region, the outermost first."""
    return [part for part in ax.collections if isinstance(part, QuadContourSet) and not part.filled]


def test_the_axes_handed_in_are_returned_and_labelled(plane, ax):
    assert joint_contour(plane, names=["east (m)", "north (m)"], ax=ax) is ax
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("east (m)", "north (m)")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["95 %", "80 %", "50 %"]


def test_borders_are_the_ellipses_that_hold_the_probability(plane, ax):
    joint_contour(plane, row=1, dims=(2, 0), levels=[0.5, 0.95], ax=ax)
    for border, level in zip(lines(ax), (0.95, 0.5), strict=True):
        (path,) = border.get_paths()
        away = np.hypot((path.vertices[:, 0] - 30) / 3, path.vertices[:, 1] - 10)
        radius = np.sqrt(-2 * np.log(1 - level))
        np.testing.assert_allclose(away, radius, rtol=0.03)  # of 10,000 samples, fixed seed
        np.testing.assert_allclose(away, away.mean(), rtol=1e-3)


def test_two_modes_have_two_closed_borders(ax):
    loc = torch.tensor([[[-1.0, -1.0], [1.0, 1.0]]]).double()
    apart = Mixture(Categorical(torch.ones(1, 2)), DiagonalNormal(loc, torch.full_like(loc, 0.1)))
    joint_contour(apart, levels=[0.9], ax=ax)
    (border,) = lines(ax)
    assert len(border.get_paths()[0].to_polygons()) == 2


def test_the_picture_is_the_same_every_time(plane, ax):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    joint_contour(plane, ax=ax)
    joint_contour(plane, ax=ax)
    first, second = lines(ax)[0], lines(ax)[3]
    np.testing.assert_array_equal(first.levels, second.levels)
    assert torch.equal(torch.get_rng_state(), before)


def test_targets_are_drawn_in_the_chosen_dimensions(plane, ax):
    joint_contour(plane, dims=(2, 1), y=[1.0, 2.0, 3.0], ax=ax)
    np.testing.assert_array_equal(ax.get_lines()[0].get_xydata(), [[3, 2]])
    samples = plane[0:1].sample((7,))[:, 0]
    joint_contour(plane, y=samples, ax=ax)
    np.testing.assert_array_equal(ax.get_lines()[1].get_xydata(), samples[:, :2])


def test_a_flat_density_is_drawn_up_to_its_ends(ax):
    flat = Mixture(Categorical(torch.ones(1, 1)), Beta(torch.ones(1, 1, 2), torch.ones(1, 1, 2)))
    joint_contour(flat, ax=ax)
    assert len(lines(ax)) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"row": 2}, "row must be an integer from 0 to 1; got 2."),
        ({"dims": (0, 3)}, "dims must name target dimensions from 0 to 2; got [0, 3]."),
        ({"dims": (1, 1)}, "dims must name each target dimension once; got [1, 1]."),
        ({"dims": (0, 1, 2)}, "dims must be a list of two target dimensions; got (0, 1, 2)."),
        ({"names": ["a"]}, "names must be two names, one for each of dims; got ['a']."),
        ({"names": "ab"}, "names must be two names, one for each of dims; got 'ab'."),
        ({"y": [1.0, 2.0]}, "y must have shape (S, 3) to match the target dimensions; got (1, 2)."),
        ({"y": [1.0, 2.0, np.nan]}, "y must be finite; got nan in row 3."),
        ({"levels": [2.0]}, "levels must be a number > 0 and < 1; got 2.0."),
    ],
)
def test_what_does_not_fit_is_refused(plane, ax, options, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        joint_contour(plane, ax=ax, **options)


def test_one_dimension_has_no_joint_density(crossing, ax):
    message = r"^distribution must have at least two target dimensions; got one, which contour draws\.$"
    with pytest.raises(InputError, match=message):
        joint_contour(crossing, ax=ax)


def test_counts_have_no_contours(ax):
    one = torch.ones(1, 1, 1)
    mixed = Mixture(Categorical(torch.ones(1, 1)), Product(DiagonalNormal(one, one), Poisson(one)))
    with pytest.raises(InputError, match=r"^dims must name dimensions with a density; got 1, of kind 'count'\.$"):
        joint_contour(mixed, ax=ax)
