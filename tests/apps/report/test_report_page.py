import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

import manymodes as mm
from manymodes import metrics
from manymodes.apps.report import report_page
from manymodes.apps.report.anew import judged_on_file
from manymodes.apps.report.use import python_lines

KINDS = ["counts", "angles", "atoms", "wide"]


class Page(HTMLParser):
    """What a page holds: its elements with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html, self.elements, self.open, self.texts = html, [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).replace("\xa0", " ").split())

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def pages(html):
    return {name: Page(text) for name, text in html.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_is_well_formed_and_asks_the_network_for_nothing(pages, kind):
    page = pages[kind]
    assert page.open == []
    assert not {tag for tag, _ in page.elements} & {"link", "iframe", "img", "object"}
    assert not any("src" in script for script in page.all("script"))
    assert all(a["href"].startswith("#") for a in page.all("a"))
    for reference in ("http:", "https:", "@import", "url("):
        assert reference not in page.html
    assert len(page.html) < 3_000_000


@pytest.mark.parametrize("kind", KINDS)
def test_contents_lead_to_every_section_and_nothing_else(pages, kind):
    page = pages[kind]
    anchors = [section["id"] for section in page.all("section")]
    contents = [a["href"] for a in page.all("a") if "data-row" not in a]
    assert contents == [f"#{anchor}" for anchor in anchors]
    assert anchors == ["living", "scores", "densities", "calibration", "features", "worst", "data", "training", "use"]
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(names)) == len(names)
    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("nav")) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_charts_and_tables_speak_to_screen_readers(pages, kind):
    page = pages[kind]
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in page.all("svg"))
    assert len(page.all("figcaption")) == len(page.all("figure"))
    assert all(cell["scope"] in ("row", "col") for cell in page.all("th"))
    tables = [div for div in page.all("div") if div.get("class") == "scroll"]
    assert all(div["tabindex"] == "0" and div["aria-label"] for div in tables)  # a keyboard can scroll them


@pytest.mark.parametrize("kind", KINDS)
def test_the_worst_rows_come_worst_first(judged, pages, kind):
    worst = pages[kind].html.partition('id="worst"')[2].partition("</section>")[0]
    numbers = list(dict.fromkeys(int(row) - 1 for row in re.findall(r'data-row="(\d+)"', worst)))
    scores = metrics.log_score(judged[kind].density, judged[kind].y)
    assert numbers == torch.argsort(scores, descending=True, stable=True)[:8].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_the_lines_of_python_run(judged, tmp_path, kind):
    lines = python_lines(judged[kind])
    if "rows = ..." in lines:  # too many features to write them out
        lines = re.sub(r"rows = .*", "rows = given", lines)
    space = {"given": {name: column[:1] for name, column in judged[kind].X.items()}}
    exec(lines, space)  # our own lines
    assert space["density"].batch_shape == (1,)


def test_columns_of_every_kind_are_summarised(judged, pages):
    text = pages["counts"].text
    for told in (
        "sold (target) whole number 5 to 22, median",
        "day time 2024-01-01 to 2024-02-29",
        "shop category 2 values: ",
        "The table, counts.csv, has 60 rows.",
    ):
        assert told in text
    missing = int(np.isnan(judged["counts"].X["price"]).sum())
    assert f" {missing} ({100 * missing / 60:.1f} %) " in text


def test_the_feature_that_matters_comes_first_among_many(pages):
    assert "What matters most" in pages["wide"].text
    assert re.search(r"What matters most(, in this order)?: f7", pages["wide"].text)
    assert "Of 40 features, the 20 that mattered most on 50 rows are looked at closely." in pages["wide"].text
    assert re.search(r"<td data-label=\"features\">f7\xa0\S+, .*, and 24 more", pages["wide"].html)


def test_several_targets_have_a_line_each_and_a_joint_region(pages):
    page = pages["angles"]
    assert "joint region" in page.text
    lines = re.findall(
        r'<th scope="row">(?:<a [^>]+>)?[\w.]+(?:</a>)?</th><td data-label="target">(\w+)</td>', page.html
    )
    assert lines == ["angle", "length"] * 18  # of 10 rows that are drawn, and of the 8 worst


def test_counts_are_drawn_as_steps_and_atoms_as_lines(pages):
    assert "Probability of sold for 10 rows" in pages["counts"].text
    assert "Upright lines are probabilities of exact values" in pages["atoms"].text
    assert sum(line.get("class") == "atom" for line in pages["atoms"].all("line")) == 10
    assert "or exactly 0" in pages["atoms"].text


def test_rows_of_the_fit_are_told(pages):
    assert "Mind: about 100 % of these rows are rows of the fit" in pages["atoms"].text


@pytest.mark.parametrize("n_rows", [1, 2, 4, 12])
def test_a_few_rows_are_enough_for_a_page(judged, n_rows):
    page = Page(report_page(judged["counts"].take(np.arange(n_rows))))
    assert f"here it is judged on {n_rows} row" in page.text
    assert ("One row cannot tell which features matter" in page.text) == (n_rows == 1)
    assert "nan" not in page.text.replace("nano", "")


def test_the_living_part_goes_between_contents_and_scores(judged):
    html = report_page(judged["atoms"])
    assert html.index("</nav>") < html.index('id="living"') < html.index('<section id="scores"')
    page = Page(html)
    links = [link for link in page.all("a") if link["href"] == "#living"]
    assert "Try it: move the features" in page.text
    worst = [row["data-row"] for row in page.all("tr") if "data-row" in row][-8:]
    assert [link.get("data-row") for link in links] == [None, *worst]  # from the contents, and from every worst row


def test_names_are_escaped_wherever_they_go(tmp_path, tiny, write_table):
    evil = '<script>alert("x")</script>&'
    rng = np.random.default_rng(0)
    columns = {evil: rng.uniform(size=30), evil + "2": rng.uniform(size=30)}
    write_table(tmp_path / "t.csv", columns)
    mm.MDNRegressor(**tiny).fit({evil: columns[evil]}, {evil + "2": columns[evil + "2"]}).save(tmp_path / "m.mm")
    html = report_page(judged_on_file(tmp_path / "m.mm", tmp_path / "t.csv"))
    assert html.count("<script") == 2  # of the living part
    assert "alert(" not in "".join(part.partition("</script>")[2] for part in html.split("<script")[1:]).replace(
        "alert(&quot;", ""
    )
    assert Page(html).open == []
