"""Pictures of calibration draw what the metrics say."""

import numpy as np
import pytest
import torch
from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from manymodes import plots
from manymodes._checks import InputError
from manymodes.distributions import DiagonalNormal, Mixture
from manymodes.metrics.bands import pit_ecdf, pit_histogram
from manymodes.metrics.reliability import coverage_curve, quantile_reliability

N = 200


@pytest.fixture
def density():
    """Two narrow answers a row, (200,), D = 1."""
    loc = torch.linspace(0, 1, N, dtype=torch.float64).reshape(N, 1, 1) + torch.tensor([[-2.0], [2.0]]).double()
    weights = torch.distributions.Categorical(torch.tensor([[0.4, 0.6]]).double().expand(N, 2))
    return Mixture(weights, DiagonalNormal(loc, torch.full_like(loc, 0.6)))


@pytest.fixture
def narrow(density):
    """The same, too narrow by half."""
    parts = density.components
    return density.with_components(DiagonalNormal(parts.loc, 0.5 * parts.scale))


@pytest.fixture
def y(density):
    """Targets drawn from the density, (N, 1)."""
    return density.sample(generator=torch.Generator().manual_seed(3))


DRAWN = (plots.reliability, plots.coverage, plots.pit)


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines()}


def test_reliability_draws_the_shares_below_quantiles(density, y, ax):
    plots.reliability(density, y, ax=ax)
    expected = quantile_reliability(density, y)
    curve = ax.get_lines()[1]
    np.testing.assert_allclose(curve.get_xdata(), expected.level)
    np.testing.assert_allclose(curve.get_ydata(), expected.share[0])
    band = ax.collections[0].get_paths()[0].vertices
    for level, low, high in zip(expected.level, expected.low, expected.high, strict=True):
        edge = band[np.isclose(band[:, 0], level.item()), 1]
        assert {round(edge.min(), 9), round(edge.max(), 9)} == {round(low.item(), 9), round(high.item(), 9)}


def test_coverage_draws_central_intervals_and_regions(density, y, ax):
    plots.coverage(density, y, levels=[0.5, 0.9], ax=ax)
    drawn = lines(ax)
    np.testing.assert_allclose(drawn["central interval"].get_ydata(), coverage_curve(density, y, [0.5, 0.9]).share[0])
    region = coverage_curve(density, y, [0.5, 0.9], kind="region")
    np.testing.assert_allclose(drawn["region"].get_ydata(), region.share[0])


def test_several_predictions_are_drawn_by_name(density, narrow, y, ax):
    plots.coverage({"right": density, "narrow": narrow}, y, kinds=["region"], ax=ax)
    drawn = lines(ax)
    expected = coverage_curve(narrow, y, kind="region").share[0]
    np.testing.assert_allclose(drawn["narrow"].get_ydata(), expected)
    assert drawn["right"].get_color() != drawn["narrow"].get_color()
    both = Figure().subplots()
    plots.coverage({"right": density, "narrow": narrow}, y, ax=both)
    assert {"right: region", "narrow: central interval"} <= set(lines(both))
    assert {"right", "narrow"} <= set(
        lines(plots.reliability({"right": density, "narrow": narrow}, y, ax=Figure().subplots()))
    )


def test_bars_are_the_histogram_and_those_outside_the_band_have_another_colour(narrow, y, ax):
    plots.pit(narrow, y, n_bins=10, ax=ax)
    expected = pit_histogram(narrow, y, n_bins=10)
    bars = sorted(ax.patches, key=lambda bar: bar.get_x())
    np.testing.assert_allclose([bar.get_height() for bar in bars], expected.count[0] / 20)
    colours = [bar.get_facecolor() for bar in bars]
    outside = expected.outside[0].tolist()
    assert any(outside)
    assert not all(outside)
    assert len({colours[i] for i in range(10) if outside[i]} & {colours[i] for i in range(10) if not outside[i]}) == 0
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["calibrated, 95 %", "outside"]


def test_several_histograms_are_outlines(density, narrow, y, ax):
    plots.pit({"right": density, "narrow": narrow}, y, ax=ax)
    outlines = [patch for patch in ax.patches if isinstance(patch, StepPatch)]
    np.testing.assert_allclose(outlines[1].get_data().values, pit_histogram(narrow, y).count[0] / 10)


def test_the_distribution_function_is_drawn_less_the_diagonal(narrow, y, ax):
    plots.pit(narrow, y, style="ecdf", ax=ax)
    expected = pit_ecdf(narrow, y)
    curve = ax.get_lines()[1]
    np.testing.assert_allclose(curve.get_ydata()[1:-1], expected.share[0] - expected.level)
    assert curve.get_ydata()[0] == curve.get_ydata()[-1] == 0


def test_ranks_by_density_take_the_place_of_pits(narrow, y, ax):
    plots.pit(narrow, y, kind="region", n_bins=5, ax=ax)
    expected = pit_histogram(narrow, y, n_bins=5, kind="region")
    bars = sorted(ax.patches, key=lambda bar: bar.get_x())
    np.testing.assert_allclose([bar.get_height() for bar in bars], expected.count[0] / 40)
    assert ax.get_xlabel() == "rank by density"


def test_one_target_dimension_is_drawn_and_regions_are_joint(ax):
    loc = torch.zeros(60, 1, 2, dtype=torch.float64)
    mixture = Mixture(torch.distributions.Categorical(torch.ones(60, 1).double()), DiagonalNormal(loc, loc + 1))
    y = mixture.sample(generator=torch.Generator().manual_seed(1))
    plots.coverage(mixture, y.numpy(), dim=1, ax=ax)
    drawn = lines(ax)
    np.testing.assert_allclose(drawn["central interval"].get_ydata(), coverage_curve(mixture, y).share[1])
    np.testing.assert_allclose(drawn["region"].get_ydata(), coverage_curve(mixture, y, kind="region").share[0])


@pytest.mark.parametrize("draw", DRAWN)
def test_targets_may_be_a_plain_list_and_predictions_of_single_precision(draw, density, y, ax):
    assert draw(density.to(torch.float32), y[:, 0].tolist(), ax=ax) is ax


@pytest.mark.parametrize("draw", DRAWN)
def test_a_picture_can_be_written_and_nothing_global_changes(draw, density, y, ax, tmp_path):
    figures = pyplot.get_fignums()
    draw(density, y, ax=ax).figure.savefig(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 1000
    assert pyplot.get_fignums() == figures


@pytest.mark.parametrize("draw", DRAWN)
def test_what_does_not_fit_is_refused(draw, density, y, ax):
    with pytest.raises(
        InputError, match=r"^y must have shape \(200, 1\) to match the rows of distribution; got \(3,\)\.$"
    ):
        draw(density, [1.0, 2.0, 3.0], ax=ax)
    with pytest.raises(InputError, match=r"^dim must be an integer from 0 to 0; got 1\.$"):
        draw(density, y, dim=1, ax=ax)
    with pytest.raises(InputError, match=r"^distribution must hold at least one prediction; got none\.$"):
        draw({}, y, ax=ax)
    with pytest.raises(TypeError, match=r"^distribution must be a Prediction, as predict_distribution or a network"):
        draw(y, y, ax=ax)
    with pytest.raises(InputError, match=r"^distribution must have batch_shape \(N,\); got \(2, 200\)\. Of members"):
        draw(density.expand((2, 200)), y, ax=ax)
    with pytest.raises(TypeError, match=r"^ax must be an Axes of matplotlib; got Figure\.$"):
        draw(density, y, ax=Figure())


def test_kinds_that_are_none_are_refused(density, y, ax):
    with pytest.raises(InputError, match=r"^kinds must be one of 'central', 'region'; got 'both'\.$"):
        plots.coverage(density, y, kinds=["both"], ax=ax)
    with pytest.raises(InputError, match=r"^kinds must hold 'central', 'region' or both; got none\.$"):
        plots.coverage(density, y, kinds=[], ax=ax)
    with pytest.raises(InputError, match=r"^style must be one of 'ecdf', 'histogram'; got 'bars'\.$"):
        plots.pit(density, y, style="bars", ax=ax)
    with pytest.raises(InputError, match=r"^kind must be one of 'central', 'region'; got 'rank'\.$"):
        plots.pit(density, y, kind="rank", ax=ax)
