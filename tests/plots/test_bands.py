"""Bands between quantiles, and highest-density regions in several pieces."""

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection

from manymodes._checks import InputError
from manymodes.plots import density_bands


def pieces(collection):
    """Return rectangles as (left, right, low, high), sorted."""
    corners = [path.vertices[:4] for path in collection.get_paths()]
    return sorted((*c[:, 0].min(keepdims=True), c[:, 0].max(), c[:, 1].min(), c[:, 1].max()) for c in corners)


def test_the_edges_of_central_bands_are_the_quantiles(crossing, x, ax):
    density_bands(crossing, x, levels=(0.5, 0.9), ax=ax)
    for band, level in zip(ax.collections, (0.9, 0.5), strict=True):
        vertices = {tuple(vertex) for vertex in band.get_paths()[0].vertices.round(9)}
        for q in ((1 - level) / 2, (1 + level) / 2):
            edge = crossing.icdf(q)[:, 0].numpy()
            assert set(zip(x.round(9), edge.round(9), strict=True)) <= vertices


def test_the_line_is_the_median(crossing, x, ax):
    density_bands(crossing, x, ax=ax)
    (line,) = ax.get_lines()
    np.testing.assert_allclose(line.get_ydata(), crossing.median[:, 0])
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["95 %", "80 %", "50 %", "median"]


@pytest.mark.parametrize("kind", ["central", "region"])
def test_the_order_of_rows_does_not_matter(kind, crossing, x, ax):
    order = torch.randperm(15, generator=torch.Generator().manual_seed(0))
    other = ax.figure.add_subplot()
    density_bands(crossing, x, kind=kind, ax=ax)
    density_bands(crossing[order], x[order.numpy()], kind=kind, ax=other)
    for one, two in zip(ax.collections, other.collections, strict=True):
        for a, b in zip(one.get_paths(), two.get_paths(), strict=True):
            np.testing.assert_allclose(a.vertices, b.vertices, atol=1e-9)


def test_two_modes_are_two_separate_pieces_in_every_row(two_modes, x, ax):
    density_bands(two_modes, x, levels=[0.9], kind="region", ax=ax)
    found = pieces(ax.collections[0])
    assert len(found) == 30
    for _, _, low, high in found:
        assert -1.3 < low < high < -0.7 or 0.7 < low < high < 1.3


def test_the_pieces_are_the_intervals_of_the_region(crossing, x, ax):
    density_bands(crossing, x, levels=[0.8], kind="region", ax=ax)
    region = crossing.highest_density_region(0.8)
    drawn = np.array(pieces(ax.collections[0]))[:, 2:]
    expected = np.stack([region.low[region.mask], region.high[region.mask]], -1)
    np.testing.assert_allclose(drawn, expected, rtol=1e-9)  # both by row, then upwards


def test_rows_meet_halfway_and_cover_the_input(two_modes, x, ax):
    density_bands(two_modes, x, levels=[0.9], kind="region", ax=ax)
    left, right = np.array(pieces(ax.collections[0])[::2])[:, :2].T
    middle = 0.5 * (x[1:] + x[:-1])
    np.testing.assert_allclose(left, [x[0], *middle])
    np.testing.assert_allclose(right, [*middle, x[-1]])


def test_rows_of_the_same_input_lie_on_top_of_each_other(two_modes, ax):
    density_bands(two_modes[:3], [0.0, 0.0, 1.0], levels=[0.9], kind="region", ax=ax)
    assert [piece[:2] for piece in pieces(ax.collections[0])] == [(0.0, 0.5)] * 4 + [(0.5, 1.0)] * 2


def test_a_point_mass_in_the_region_is_a_line(zero_or_amount, x, ax):
    density_bands(zero_or_amount, x, levels=[0.2, 0.8], kind="region", ax=ax)
    lines = [collection for collection in ax.collections if isinstance(collection, LineCollection)]
    assert len(lines) == 2
    for collection in lines:
        segments = np.stack(collection.get_segments())
        assert segments.shape == (15, 2, 2)
        assert np.all(segments[..., 1] == 0)
    amounts = ax.collections[0].get_paths()  # of 80 %; the point mass alone holds 20 %
    assert len(amounts) == 15
    assert not ax.collections[2].get_paths()


def test_counts_are_bars_as_wide_as_an_integer(counts, x, ax):
    density_bands(counts, x, levels=[0.5], kind="region", ax=ax)
    region = counts.highest_density_region(0.5)
    ends = np.array(pieces(ax.collections[0]))[:, 2:]
    np.testing.assert_allclose(ends[:, 0], region.low[region.mask] - 0.5)
    np.testing.assert_allclose(ends[:, 1], region.high[region.mask] + 0.5)


def test_central_bands_of_counts_are_steps(counts, x, ax):
    density_bands(counts, x, ax=ax)
    (line,) = ax.get_lines()
    assert line.get_drawstyle() == "steps-mid"
    for band in ax.collections:
        heights = band.get_paths()[0].vertices[:, 1]
        np.testing.assert_array_equal(heights, heights.round())


def test_the_chosen_dimension_is_drawn_with_its_targets(plane, ax):
    density_bands(plane, [0.0, 1.0], dim=1, y=[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], ax=ax)
    median, dots = ax.get_lines()
    np.testing.assert_allclose(median.get_ydata(), [0, 20], atol=1e-9)
    np.testing.assert_array_equal(dots.get_ydata(), [2, 5])


def test_an_unknown_kind_is_refused(crossing, x, ax):
    with pytest.raises(InputError, match=r"^kind must be one of 'central', 'region'; got 'hdr'\.$"):
        density_bands(crossing, x, kind="hdr", ax=ax)
