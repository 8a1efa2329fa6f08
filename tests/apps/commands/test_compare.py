import json
import math

import numpy as np
import pytest
import torch

import manymodes as mm
from manymodes import metrics
from manymodes.apps.cli import main
from manymodes.apps.compare import _root_mean
from manymodes.apps.files import read_columns
from tests.apps.commands.tables import houses, refused, write_csv


@pytest.fixture(scope="module")
def compared(folder):
    from manymodes.apps.compare import compare_on_file

    return compare_on_file(folder / "first", folder / "second", folder / "new.csv")


@pytest.fixture(scope="module")
def pair(folder):
    columns = read_columns(folder / "new.csv")
    y = torch.tensor(columns["price"])[:, None]
    return [mm.load(folder / name).predict_distribution(columns) for name in ("first", "second")], y


def test_differences_are_paired_and_their_intervals_are_students(compared, pair):
    densities, y = pair
    for name, score in (("log_score", metrics.log_score), ("crps", metrics.crps)):
        line = next(line for line in compared.scores if line.score == name)
        first, second = (score(density, y).numpy() for density in densities)
        assert (line.first, line.second) == pytest.approx((first.mean(), second.mean()))
        error = (first - second).std(ddof=1) / math.sqrt(40)
        assert (line.difference, line.standard_error) == pytest.approx(((first - second).mean(), error))
        assert line.high - line.difference == pytest.approx(2.022691 * error, rel=1e-6)  # the 97.5 % point, 39 degrees


def test_errors_of_points_are_those_of_the_metrics(compared, pair):
    densities, y = pair
    for name, error in (("rmse", metrics.rmse), ("absolute_error", metrics.mae)):
        line = next(line for line in compared.scores if line.score == name)
        assert (line.first, line.second) == pytest.approx(tuple(float(error(density, y)) for density in densities))


def test_the_bootstrap_of_root_mean_squares_agrees_with_the_delta_method():
    rng = np.random.default_rng(1)
    own, other = rng.gamma(2, size=(2, 4000))
    line = _root_mean("y", own, other)
    slopes = own / (2 * math.sqrt(own.mean())) - other / (2 * math.sqrt(other.mean()))
    assert line.standard_error == pytest.approx(slopes.std() / math.sqrt(4000), rel=0.06)  # 2,000 draws: 1.6 % each
    assert line.low < line.difference < line.high
    assert line == _root_mean("y", own, other)


def test_who_is_ahead_is_said(inside, capsys):
    assert main(["compare", "first", "second", "new.csv"]) == 0
    forth = " ".join(capsys.readouterr().out.split())
    assert "40 rows of new.csv; first first, second second." in forth
    assert "first is ahead: its log score is lower by " in forth
    assert main(["compare", "second", "first", "new.csv", "--json"]) == 0
    back = json.loads(capsys.readouterr().out)
    assert back["verdict"].startswith("first is ahead: its log score is lower by ")
    assert back["scores"][0]["low"] > 0
    assert main(["compare", "first", "first", "new.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == (
        "Nobody is ahead: the difference in log score is 0, and its 95 % interval, 0 to 0, holds 0."
    )


def test_rows_of_a_fit_are_told_unless_it_is_to_be_quiet(inside, capsys):
    assert main(["compare", "first", "second", "houses.csv"]) == 0
    notes = capsys.readouterr().err.splitlines()
    assert notes == [
        f"Mind: about 90% of these rows are rows of the fit, on which {name!r} looks better than it is."
        for name in ("first", "second")
    ]
    assert main(["compare", "first", "second", "houses.csv", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_targets_may_come_in_another_order(tmp_path):
    from manymodes.apps.compare import compare_on_file

    file, scores = write_csv(tmp_path / "t.csv", houses()), {}
    for name, targets in (("a", ["price", "size"]), ("b", ["size", "price"])):
        wanted = [word for target in targets for word in ("--target", target)]
        fitted = [
            "fit",
            str(file),
            *wanted,
            "--drop",
            "id",
            "--preset",
            "fast",
            "--max-epochs",
            "2",
            "--quiet",
            "--json",
        ]
        assert main([*fitted, "--output", str(tmp_path / name)]) == 0
    for pair in ("ab", "ba"):
        found = compare_on_file(*(tmp_path / name for name in pair), file)
        scores[pair] = {(line.score, line.target): (line.first, line.second) for line in found.scores}
    assert len(scores["ab"]) == 9
    for line, (first, second) in scores["ab"].items():
        samples = 0.01 if line[0] == "energy_score" else 1e-9  # which is estimated from samples
        assert scores["ba"][line] == pytest.approx((second, first), rel=samples)


def test_log_scores_of_counts_and_densities_are_not_compared_but_crps_is(tmp_path, capsys):
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 3, 80)
    file = write_csv(tmp_path / "t.csv", {"x": x, "n": rng.poisson(np.exp(x))})
    for family in ("normal", "poisson"):
        fitted = ["fit", file, "--target", "n", "--preset", "fast", "--max-epochs", "2", "--quiet", "--json"]
        assert main([*map(str, fitted), "--family", family, "--output", str(tmp_path / family)]) == 0
    capsys.readouterr()
    assert main(["compare", *(str(tmp_path / name) for name in ("normal", "poisson")), str(file)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "cannot be compared" in text
    assert "CRPS is lower by" in text or "the difference in CRPS is" in text


def test_models_of_different_targets_are_refused(inside, tmp_path, capsys):
    fitted = [
        "fit",
        "houses.csv",
        "--target",
        "size",
        "--drop",
        "id",
        "--preset",
        "fast",
        "--max-epochs",
        "1",
        "--quiet",
    ]
    assert main([*fitted, "--json", "--output", str(tmp_path / "other")]) == 0
    assert refused(capsys, "compare", "first", tmp_path / "other", "new.csv") == (
        "models must predict the same targets to be compared; 'first' predicts 'price', "
        f"{str(tmp_path / 'other')!r} 'size'."
    )


def test_a_table_without_the_target_is_refused(inside, tmp_path, capsys):
    columns = houses(5)
    del columns["price"]
    file = write_csv(tmp_path / "t.csv", columns)
    assert refused(capsys, "compare", "first", "second", file) == (
        f"{str(file)!r} has no column 'price'; it begins with 'id', 'size', 'town'."
    )
