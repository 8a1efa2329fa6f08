"""What all pictures share: axes, labels, legends, and that nothing global changes."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from manymodes import plots
from manymodes.plots import canvas

ALONG_X = (plots.components, plots.density_bands, plots.ridgeline, plots.contour)


@pytest.fixture
def pyplot_state():
    """Let pyplot draw without a screen, and leave it as it was."""
    before = matplotlib.get_backend()
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")
    pyplot.switch_backend(before)


@pytest.mark.parametrize("draw", ALONG_X)
def test_the_axes_handed_in_are_returned_and_labelled(draw, crossing, x, ax):
    assert draw(crossing, x, ax=ax, x_label="time (s)", y_label="place (m)") is ax
    assert {ax.get_xlabel(), ax.get_ylabel()} == {"time (s)", "place (m)"}


@pytest.mark.parametrize("draw", ALONG_X)
def test_nothing_global_changes_when_axes_are_handed_in(draw, crossing, x, ax):
    before, figures = dict(matplotlib.rcParams), pyplot.get_fignums()
    draw(crossing, x, ax=ax)
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == figures


@pytest.mark.usefixtures("pyplot_state")
@pytest.mark.parametrize("draw", ALONG_X)
def test_without_axes_pyplot_makes_one_figure(draw, crossing, x):
    before = dict(matplotlib.rcParams)
    ax = draw(crossing, x)
    assert isinstance(ax, Axes)
    assert [pyplot.figure(number) for number in pyplot.get_fignums()] == [ax.figure]
    assert dict(matplotlib.rcParams) == before


@pytest.mark.usefixtures("pyplot_state")
@pytest.mark.parametrize("draw", ALONG_X)
def test_what_is_refused_leaves_no_figure_behind(draw, crossing, x):
    with pytest.raises(ValueError, match="^x must have shape"):
        draw(crossing, x[1:])
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("draw", ALONG_X)
def test_a_picture_can_be_written(draw, crossing, x, ax, tmp_path):
    draw(crossing, x, ax=ax)
    ax.figure.savefig(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 1000


def test_what_is_no_axes_is_refused(crossing, x):
    with pytest.raises(TypeError, match=r"^ax must be an Axes of matplotlib; got Figure\.$"):
        plots.contour(crossing, x, ax=Figure())


def test_importing_plots_does_not_import_matplotlib():
    code = "import manymodes.plots, sys\nprint('matplotlib' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


@pytest.mark.parametrize("draw", ALONG_X)
def test_without_matplotlib_a_picture_says_what_to_install(draw, crossing, x, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    message = r"^plots need matplotlib; install manymodes with its extra: pip install 'manymodes\[plots\]'\.$"
    with pytest.raises(ImportError, match=message):
        draw(crossing, x)


def test_a_legend_lies_beside_axes_where_the_figure_makes_room(crossing, x, ax):
    roomy = plots.density_bands(crossing, x, ax=Figure(layout="constrained").subplots())
    plots.density_bands(crossing, x, ax=ax)
    for axes, beside in ((roomy, True), (ax, False)):
        axes.figure.draw_without_rendering()
        legend, frame = axes.get_legend().get_window_extent(), axes.get_window_extent()
        assert (legend.x0 > frame.x1) == beside
        assert legend.x1 <= axes.figure.bbox.x1


@pytest.mark.parametrize("count", [1, 3, 6, 7, 40])
def test_colours_differ(count):
    assert len(set(canvas.qualitative(count))) == len(set(canvas.tints(count))) == count


def test_inner_tints_are_darker():
    light = [np.mean(matplotlib.colors.to_rgb(color)) for color in canvas.tints(4)]
    assert light == sorted(light, reverse=True)


def test_probabilities_are_written_as_people_write_them():
    assert [canvas.percent(level) for level in (0.5, 0.95, 0.999, 1 / 3)] == ["50 %", "95 %", "99.9 %", "33.3333 %"]
