"""Every study, quickly: what its folder holds is whole, and says what all studies have to say."""

import json
import math
import os
from html.parser import HTMLParser
from pathlib import Path

import pytest

from manymodes import studies
from manymodes.studies import STUDIES
from manymodes.studies.frame import models

DATA = Path(os.environ.get("MANYMODES_DATA", Path(__file__).parents[3] / "shared" / "data"))
COMPARED = {models.MDN, models.LEAST_SQUARES, models.GAUSSIAN, models.ENSEMBLE, models.BOOSTING, models.NEIGHBOURS}
SCORES = {"model", "log-likelihood", "MSE of mean", "MSE of best mode", "calibration error"}
OTHERS = {  # what is compared where nothing is a regression of rows: forecasts of series, and ways to plan
    "forecast": {"mixture forecaster", "one Gaussian", "linear quantile regression", "exponential smoothing"},
    "dynamics": {"mean state", "mean return", "10 % quantile", "10 % CVaR"},
}


class Page(HTMLParser):
    """What a page shows and asks for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.sources: list[str] = []
        self.descriptions: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        values = dict(attributes)
        self.sources += [values[name] for name in ("src", "href") if values.get(name)]
        if tag == "img":
            self.descriptions.append(values["alt"])

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


@pytest.mark.parametrize("name", STUDIES)
def test_a_quick_study_compares_all_models_and_writes_a_whole_page(name, tmp_path):
    if STUDIES[name].tables and not DATA.is_dir():
        if os.environ.get("MANYMODES_REQUIRE_DATA") == "1":
            pytest.fail(f"the shared data folder is not there, which {name} needs")
        pytest.skip("the shared data folder is not there")
    studies.run(name, quick=True, data=DATA, output=tmp_path)

    record = json.loads((tmp_path / "results.json").read_text())
    assert record["study"] == name
    assert len(record["conclusions"]) >= 2
    assert len(record["figures"]) >= 2
    compared = OTHERS.get(name, COMPARED)
    scored = [table for table in record["tables"] if name in OTHERS or set(table["columns"]) >= SCORES]
    main = next(table for table in scored if {row[table["columns"][0]] for row in table["rows"]} >= compared)
    for row in main["rows"]:
        if row[main["columns"][0]] in compared:
            measured = [cell["mean"] for cell in row.values() if isinstance(cell, dict)]
            assert measured
            assert all(map(math.isfinite, measured))
    assert all("nan" not in sentence.split() for sentence in record["conclusions"])

    page = Page((tmp_path / "report.html").read_text())
    assert "What to conclude" in page.headings
    assert all(source.startswith("data:image/svg+xml;base64,") for source in page.sources)
    assert page.descriptions == [figure["caption"] for figure in record["figures"]]
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.svg")}
    assert drawn == {figure["name"] for figure in record["figures"]}
