"""Components along x: weights, locations and scales."""

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection, PolyCollection
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.distributions import DiagonalNormal, Mixture, StudentT, VonMises
from manymodes.plots import components


def of(kind, ax):
    return [collection for collection in ax.collections if type(collection) is kind or kind in type(collection).__mro__]


def heights(ax):
    return np.stack([line.get_ydata() for line in ax.get_lines()])


def test_the_lines_are_the_weights_and_sum_to_one(crossing, x, ax):
    components(crossing, x, ax=ax)
    np.testing.assert_allclose(heights(ax), crossing.weights.T)
    np.testing.assert_allclose(heights(ax).sum(0), 1)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["0", "1"]


@pytest.mark.parametrize("what", ["weights", "scales"])
def test_the_order_of_rows_does_not_matter(what, crossing, x, ax):
    order = torch.randperm(15, generator=torch.Generator().manual_seed(0))
    other = ax.figure.add_subplot()
    components(crossing, x, what=what, ax=ax)
    components(crossing[order], x[order.numpy()], what=what, ax=other)
    np.testing.assert_array_equal(heights(ax), heights(other))
    np.testing.assert_array_equal(other.get_lines()[0].get_xdata(), x)


def test_weights_that_never_reach_the_threshold_are_grey(crossing, x, ax):
    share = torch.tensor([0.5, 0.495, 0.005]).double().expand(15, 3)
    loc = torch.zeros(15, 3, 1).double()
    components(Mixture(Categorical(share), DiagonalNormal(loc, loc + 1)), x, ax=ax)
    assert [line.get_label() for line in ax.get_lines()] == ["0", "1", "others (1)"]
    np.testing.assert_allclose(heights(ax).sum(0), 1)


def test_location_lines_run_through_the_means(crossing, x, ax):
    components(crossing, x, what="locations", ax=ax)
    for k, lines in enumerate(of(LineCollection, ax)):
        segments = np.stack(lines.get_segments())  # (14, 2, 2)
        points = np.concatenate([segments[:, 0], segments[-1:, 1]])
        np.testing.assert_allclose(points, np.column_stack([x, crossing.components.mean[:, k, 0]]))


def test_location_lines_follow_the_weight(crossing, x, ax):
    components(crossing, x, what="locations", ax=ax)
    falling, rising = of(LineCollection, ax)
    assert np.all(np.diff(falling.get_linewidths()) < 0)
    assert np.all(np.diff(rising.get_linewidths()) > 0)
    light = rising.get_colors()[:, :3].mean(-1)
    assert np.all(np.diff(light) <= 0)
    assert light[0] - light[-1] > 0.2


def test_location_bands_are_one_standard_deviation_wide(crossing, x, ax):
    components(crossing, x, what="locations", ax=ax)
    mean, scale = crossing.components.mean[..., 0].numpy(), crossing.components.variance[..., 0].sqrt().numpy()
    bands = of(PolyCollection, ax)
    assert len(bands) == 2
    for k, band in enumerate(bands):
        vertices = {tuple(vertex) for vertex in band.get_paths()[0].vertices.round(9)}
        for side in (-1, 1):
            edge = mean[:, k] + side * scale[:, k]
            assert set(zip(x.round(9), edge.round(9), strict=True)) <= vertices


def test_locations_are_left_out_where_the_weight_is_below_the_threshold(crossing, x, ax):
    components(crossing, x, what="locations", threshold=0.5, ax=ax)
    for k, lines in enumerate(of(LineCollection, ax)):
        drawn = np.unique(np.stack(lines.get_segments())[..., 0])
        np.testing.assert_array_equal(drawn, x[crossing.weights[:, k].numpy() >= 0.5])


def test_an_infinite_variance_has_a_location_but_no_band(x, ax):
    loc = torch.zeros(15, 2, 1).double()
    df = torch.tensor([1.5, 5.0]).double()[:, None].expand(15, 2, 1)
    heavy = Mixture(Categorical(torch.ones(15, 2)), StudentT(df, loc, loc + 1))
    components(heavy, x, what="locations", ax=ax)
    assert len(of(LineCollection, ax)) == 2
    assert len(of(PolyCollection, ax)) == 1


def test_no_line_crosses_the_picture_where_an_angle_passes_pi(ax):
    angle = torch.linspace(2, 5, 15).double()[:, None, None]
    around = Mixture(Categorical(torch.ones(15, 1)), VonMises(angle, torch.full_like(angle, 25.0)))
    components(around, range(15), what="locations", ax=ax)
    (lines,) = of(LineCollection, ax)
    assert len(lines.get_segments()) == 13
    assert max(abs(b[1] - a[1]) for a, b in lines.get_segments()) < 0.3
    components(around, range(15), what="scales", ax=ax)
    np.testing.assert_allclose(
        ax.get_lines()[-1].get_ydata(), 0.2, rtol=0.03
    )  # 1 / sqrt(concentration) and a little more


def test_scales_are_standard_deviations(crossing, x, ax):
    components(crossing, x, what="scales", ax=ax)
    np.testing.assert_allclose(heights(ax), crossing.components.scale[..., 0].T)
    assert ax.get_ylabel() == "standard deviation"


def test_the_chosen_dimension_is_drawn(plane, ax):
    components(plane, [0.0, 1.0], what="scales", dim=2, ax=ax)
    np.testing.assert_allclose(heights(ax), 3)


def test_observed_targets_are_dots_among_locations(crossing, x, ax):
    y = np.arange(15.0)
    components(crossing, x[::-1], what="locations", y=y[:, None], ax=ax)
    (dots,) = [line for line in ax.get_lines() if line.get_marker() == "o"]
    np.testing.assert_array_equal(dots.get_xydata(), np.column_stack([x, y[::-1]]))


def test_a_long_legend_is_left_out(x, ax):
    loc = torch.zeros(15, 40, 1)
    components(Mixture(Categorical(torch.ones(15, 40)), DiagonalNormal(loc, loc + 1)), x, ax=ax)
    assert len(ax.get_lines()) == 40
    assert ax.get_legend() is None


def test_an_unknown_quantity_is_refused(crossing, x, ax):
    with pytest.raises(InputError, match=r"^what must be one of 'locations', 'scales', 'weights'; got 'means'\.$"):
        components(crossing, x, what="means", ax=ax)


def test_targets_beside_weights_are_refused(crossing, x, ax):
    with pytest.raises(InputError, match=r"^y can only be drawn among locations; got what='weights'\.$"):
        components(crossing, x, y=x, ax=ax)


def test_a_threshold_that_no_weight_reaches_is_refused(crossing, x, ax):
    with pytest.raises(InputError, match=r"^threshold must be at most 0\.9, the largest weight; got 0\.95\.$"):
        components(crossing, x, threshold=0.95, ax=ax)
