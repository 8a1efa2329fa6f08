import xml.etree.ElementTree as ElementTree

import pytest
import torch
from torch.distributions import Categorical

from manymodes.distributions import DiagonalNormal, Mixture
from manymodes.pages import Chart, page, paragraph, ridge_chart, section, table
from manymodes.pages.charts import _labelled_ticks, as_text, ticks


def test_text_is_escaped_wherever_it_goes():
    evil = "<script>alert('x')</script>&"
    html = page(evil, evil, [section(evil, paragraph(evil), table([evil], [[evil]]))])
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 7


def test_a_page_asks_the_network_for_nothing():
    html = page("Title", "Lead", [section("Part", paragraph("Text"))])
    for reference in ("http:", "https:", "src=", "@import", "url(", "<link"):
        assert reference not in html


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-3, 42, [0, 10, 20, 30, 40]),
        (1e6, 1.5e6, [1e6, 1.1e6, 1.2e6, 1.3e6, 1.4e6, 1.5e6]),
    ],
)
def test_ticks_are_round_and_inside(low, high, expected):
    assert ticks(low, high, 5) == pytest.approx(expected)


@pytest.mark.parametrize("limits", [(1.7e9, 1.7e9 + 100), (-73.99, -73.97), (0.0, 1e-9), (-5.0, 5.0)])
def test_the_labels_of_ticks_differ_and_say_where_they_are(limits):
    labels = [text for _, text in _labelled_ticks(limits, 6)]
    places = [float(text) for text in labels]
    assert len(set(labels)) == len(labels) >= 3
    assert places == pytest.approx(ticks(*limits, 6), abs=1e-6 * (limits[1] - limits[0]))


def test_round_numbers_are_written_as_people_write_them():
    assert [text for _, text in _labelled_ticks((0.0, 400.0), 4)] == ["0", "100", "200", "300", "400"]
    assert as_text([0.0, 0.0], 0.0) == ["0", "0"]
    assert as_text([12345.678], 0.0) == ["12346"]


def test_larger_values_are_drawn_higher_and_further_right():
    chart = Chart((0.0, 10.0), (0.0, 1.0), x_label="x", y_label="y")
    assert chart.x(2) < chart.x(3)
    assert chart.y(0.9) < chart.y(0.1)  # SVG counts downwards


def test_a_range_without_width_can_still_be_drawn():
    chart = Chart((5.0, 5.0), (0.0, 0.0), x_label="x", y_label="y")
    chart.curve([5.0], [0.0], "blue")
    ElementTree.fromstring(chart.figure("a point"))


def test_ridges_show_every_peak_and_every_outcome():
    # One peak is a thousandth as wide as the axis: a plain grid would miss it.
    loc = torch.tensor([[[0.0], [7.654]], [[3.0], [3.0]]], dtype=torch.float64)
    scale = torch.tensor([[[1.0], [1e-4]], [[0.5], [0.5]]], dtype=torch.float64)
    mixture = Mixture(Categorical(torch.ones(2, 2, dtype=torch.float64)), DiagonalNormal(loc, scale))
    svg = ridge_chart(mixture, torch.tensor([0.1, 3.2]).numpy(), ["A", "B & C"], "y", "Densities")
    figure = ElementTree.fromstring(svg)
    paths = [path.get("d") for path in figure.iter("path")]
    dots = list(figure.iter("circle"))
    assert len(paths) == len(dots) == 2
    assert [dot.find("title").text for dot in dots] == ["A: y was 0.1", "B & C: y was 3.2"]
    narrow = paths[1]  # the lowest row is drawn last
    heights = [float(point.split()[1]) for point in narrow[1:-1].split("L")]
    base = max(heights)
    tall = [height for height in heights if base - height > 40]
    assert 1 <= len(tall) <= 6
