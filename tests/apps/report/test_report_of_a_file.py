import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import manymodes as mm
from manymodes import _checks
from manymodes.apps.cli import main
from manymodes.apps.fit import FitOptions, fit_file
from manymodes.apps.report import report_page
from manymodes.apps.report.anew import judged_on_file, report_file

SETTINGS = {"preset": "fast", "max_epochs": 2, "n_components": 2}


def write_table(path: Path, n: int, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=n)
    y = x + rng.choice([-1.0, 1.0], n) + 0.1 * rng.normal(size=n)
    path.write_text("\n".join(["x,y", *(f"{a:.6f},{b:.6f}" for a, b in zip(x, y, strict=True))]))
    return path


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """Return the folder of a fit, and its summary."""
    folder = tmp_path_factory.mktemp("fitted")
    file = write_table(folder / "t.csv", 100)
    options = FitOptions(file=file, targets=["y"], output=folder / "m", settings=dict(SETTINGS))
    return folder, fit_file(options, lambda _: None, verbose=False)


def test_a_fit_writes_a_report_of_its_held_out_rows(fitted):
    folder, summary = fitted
    html = (folder / "m" / "report.html").read_text()
    assert "Scores on held-out rows" in html
    assert "10 rows that it has not seen judge it here." in html
    for rival in ("a network that predicts a single bell curve", "a guess that ignores all features"):
        assert rival in html
    assert f"{summary.scores['unconditional'].log_score:.3f}" in html


def test_worst_rows_of_a_fit_have_the_numbers_of_the_file(fitted):
    folder, _ = fitted
    lines = (folder / "t.csv").read_text().splitlines()
    html = (folder / "m" / "report.html").read_text().partition('id="worst"')[2]
    rows = re.findall(r'<tr data-row="(\d+)">.*?x\xa0([\d.]+)</td>', html)
    assert len(rows) == 8
    for number, x in rows:
        assert float(lines[int(number)].partition(",")[0]) == pytest.approx(float(x), rel=1e-3)


def test_a_report_anew_is_of_other_rows_beside_the_scores_of_the_fit(fitted, tmp_path, capsys):
    folder, summary = fitted
    file = write_table(tmp_path / "later.csv", 40, seed=1)
    assert main(["report", str(folder / "m"), str(file), "--output", str(tmp_path / "r.html"), "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == {
        "file": str(file),
        "output": str(tmp_path / "r.html"),
        "rows": 40,
        "training_share": 0.0,
    }
    html = (tmp_path / "r.html").read_text()
    assert "Scores of y, at the fit, on 10 rows held out then" in html
    assert f"{summary.scores['gaussian_network'].log_score:.3f}" in html
    assert "rows of the fit, on which" not in html


def test_without_a_summary_there_are_no_scores_of_the_fit(fitted, tmp_path):
    folder, _ = fitted
    (tmp_path / "m.mm").write_bytes((folder / "m" / "model.mm").read_bytes())
    assert judged_on_file(tmp_path / "m.mm", folder / "t.csv").earlier_scores == {}
    for damaged in ("not JSON", "[]", '{"targets": ["y"], "scores": {"model": 3}}', '{"targets": ["z"], "scores": {}}'):
        (tmp_path / "summary.json").write_text(damaged)
        assert judged_on_file(tmp_path / "m.mm", folder / "t.csv").earlier_scores == {}


def test_many_rows_are_sampled_and_the_page_says_so(fitted, tmp_path):
    folder, _ = fitted
    file = write_table(tmp_path / "many.csv", 2500, seed=2)
    assert report_file(folder / "m", file, tmp_path / "r.html", overwrite=False).rows == 2500
    html = (tmp_path / "r.html").read_text()
    assert "Scores are of all 2500 rows, all else on this page of 2000 of them, drawn at random." in html
    assert "The table, many.csv, has 2500 rows." in html


def test_a_folder_of_csv_files_is_one_table(tmp_path):
    (tmp_path / "parts").mkdir()
    for part in range(2):
        write_table(tmp_path / "parts" / f"{part}.csv", 30, seed=part)
    options = FitOptions(file=tmp_path / "parts", targets=["y"], output=tmp_path / "m", settings=dict(SETTINGS))
    fit_file(options, lambda _: None, verbose=False)
    assert "The table, parts, has 60 rows." in (tmp_path / "m" / "report.html").read_text()


def test_a_fit_can_be_watched_and_ended(tmp_path):
    seen = []

    def watch(model, learning):
        assert list(learning.training_features) == ["x"]
        return [lambda history: seen.append(history.n_epochs) or len(seen) == 2]

    options = FitOptions(file=write_table(tmp_path / "t.csv", 60), targets=["y"], output=tmp_path / "m")
    options.settings.update(SETTINGS | {"max_epochs": 9})
    assert fit_file(options, lambda _: None, watch=watch).epochs["run"] == 2
    assert seen == [1, 2]
    assert "since a callback asked for it" in (tmp_path / "m" / "report.html").read_text()


def test_an_interrupted_fit_is_told_and_has_fewer_rivals(tmp_path, fail_at_judgement):
    fail_at_judgement(2, KeyboardInterrupt)
    options = FitOptions(file=write_table(tmp_path / "t.csv", 60), targets=["y"], output=tmp_path / "m")
    options.settings.update(SETTINGS)
    assert fit_file(options, lambda _: None, verbose=False).interrupted
    html = (tmp_path / "m" / "report.html").read_text()
    assert "The fit was interrupted: this is the best model until then, not the final one." in html
    assert "a guess that ignores all features" in html
    assert "a single bell curve" not in html


def test_a_worse_model_is_called_worse(fitted, tmp_path):
    folder, _ = fitted
    judged = judged_on_file(folder / "m", folder / "t.csv")
    better = judged.log_scores["model"] - 0.5
    html = report_page(replace(judged, log_scores=judged.log_scores | {"unconditional": better}))
    assert "Worse than a guess that ignores all features, by 0.50 ± 0.00 nats a row in the log score" in html
    gain = torch.linspace(-5, 5.1, len(better), dtype=better.dtype)
    noise, error = judged.log_scores["model"] + gain, float(gain.std()) / 10
    html = report_page(replace(judged, log_scores=judged.log_scores | {"unconditional": noise}))
    told = f"Beside a guess that ignores all features: no clear difference on these rows (+0.05 ± {error:.2f} nats"
    assert told in html


def test_recalibrated_models_have_reports(fitted, tmp_path):
    folder, _ = fitted
    table = np.loadtxt(folder / "t.csv", delimiter=",", skiprows=1)
    inner = mm.MDNRegressor(**SETTINGS, random_state=0).fit({"x": table[:50, 0]}, {"y": table[:50, 1]})
    model = mm.estimators.RecalibratedRegressor(inner, cv="prefit").fit({"x": table[50:, 0]}, {"y": table[50:, 1]})
    model.save(tmp_path / "m.mm")
    report_file(tmp_path / "m.mm", folder / "t.csv", tmp_path / "r.html", overwrite=False)
    assert "Calibration" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("r.txt", "--output must end in .html, for it is a page; got '{folder}/r.txt'."),
        ("no/r.html", "the folder '{folder}/no' does not exist; create it first."),
        ("there.html", "'{folder}/there.html' exists already; choose another name or pass --overwrite."),
    ],
)
def test_a_page_that_cannot_be_written_is_refused(fitted, tmp_path, output, sentence):
    folder, _ = fitted
    (tmp_path / "there.html").write_text("mine")
    with pytest.raises(_checks.InputError) as error:
        report_file(folder / "m", folder / "t.csv", tmp_path / output, overwrite=False)
    assert str(error.value) == sentence.format(folder=tmp_path)
    assert (tmp_path / "there.html").read_text() == "mine"


def test_rows_without_targets_are_refused(fitted, tmp_path):
    folder, _ = fitted
    (tmp_path / "new.csv").write_text("x\n0.5\n")
    with pytest.raises(_checks.InputError) as error:
        report_file(folder / "m", tmp_path / "new.csv", tmp_path / "r.html", overwrite=False)
    assert str(error.value) == f"{str(tmp_path / 'new.csv')!r} has no column 'y'; it begins with 'x'."
