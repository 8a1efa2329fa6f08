import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
from torch.distributions import Categorical

from manymodes.distributions import DiagonalNormal, Mixture
from manymodes.pages import (
    Chart,
    Markup,
    bar_chart,
    code,
    contents,
    page,
    paragraph,
    ridge_chart,
    section,
    sparkline,
    subheading,
    table,
)
from manymodes.pages.charts import _labelled_ticks, as_text, ticks
from manymodes.pages.ridges import _thinned
from manymodes.pages.style import STYLE


def test_text_is_escaped_wherever_it_goes():
    evil = "<script>alert('x')</script>&"
    parts = [paragraph(evil, "note"), code(evil), subheading(evil), contents({evil: evil})]
    cells = table([evil, evil], [[evil, evil]], caption=evil, attributes=[{"data-x": evil}], words=True)
    html = page(evil, evil, [section(evil, *parts, cells, anchor=evil), bar_chart([evil], [1.0], [0.1], evil, evil)])
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 24


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


def test_a_cell_of_markup_stays_markup():
    spark = sparkline([1, 0, 2], "three bars")
    assert isinstance(spark, Markup)
    assert spark in table(["a", "b"], [["x", spark]])
    assert spark.count("<rect") == 2  # nothing is drawn of an empty bin


def test_the_first_cell_of_a_row_names_it():
    html = table(["name", "value"], [["a", "1"]], words=True)
    assert '<th scope="row">a</th><td data-label="value">1</td>' in html


def test_bars_reach_from_zero_to_their_values():
    figure = ElementTree.fromstring(bar_chart(["up", "down"], [2.0, -1.0], [0.5, 0.25], "nats", "Two bars"))
    up, down = [rect for rect in figure.iter("rect") if rect.get("class") == "bar"]
    assert float(up.get("width")) == pytest.approx(2 * float(down.get("width")), abs=0.2)
    assert float(down.get("x")) + float(down.get("width")) == pytest.approx(float(up.get("x")), abs=0.2)
    assert float(up.get("y")) < float(down.get("y"))  # the first is at the top


def test_long_labels_are_shortened_and_have_room():
    chart = Chart((0.0, 1.0), (0.0, 1.0), x_label="x", labels=["a" * 60])
    assert chart.x(0.0) > 200
    chart.label(0.5, "a" * 60)
    assert "a" * 21 + "…" in chart.figure("long")


def test_points_on_straight_lines_are_left_out_and_peaks_stay():
    x = np.linspace(-5, 5, 1001)
    height = np.exp(-0.5 * (x / 0.1) ** 2)
    thin_x, thin = _thinned(x, height)
    assert len(thin) < 150
    assert thin.max() == height.max()
    assert np.abs(height - np.interp(x, thin_x, thin)).max() < 0.01


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_are_readable_on_their_ground(scheme):
    """Contrast of 4.5 to 1 for text, 3 to 1 for lines of charts: WCAG 2.1, 1.4.3 and 1.4.11."""
    block = STYLE.split("{", 1)[1] if scheme == "light" else STYLE.split("(prefers-color-scheme: dark)")[1]
    colours = dict(re.findall(r"--(\w+): (#\w{6})", block.split("}")[0]))
    for name, least in {"ink": 4.5, "soft": 4.5, "blue": 4.5, "orange": 3.0}.items():
        for ground in ("paper", "shade"):
            lighter, darker = sorted((luminance(colours[name]), luminance(colours[ground])), reverse=True)
            assert (lighter + 0.05) / (darker + 0.05) >= least, (name, ground)
