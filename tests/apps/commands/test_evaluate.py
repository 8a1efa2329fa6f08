import json

import numpy as np
import torch

import manymodes as mm
from manymodes import metrics
from manymodes.apps.cli import main
from manymodes.apps.files import read_columns
from tests.apps.commands.tables import houses, refused, write_csv


def test_groups_have_calibrations_of_their_own(inside, capsys):
    assert main(["evaluate", "first", "new.csv", "--by", "town", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    columns = read_columns(inside / "new.csv")
    density = mm.load("first").predict_distribution(columns)
    inside_interval = metrics.coverage(density, torch.tensor(columns["price"])[:, None], 0.9)[:, 0].numpy()
    assert found["by"] == "town"
    assert sorted(group["group"] for group in found["groups"]) == ["Ayr", "Bath"]
    for group in found["groups"]:
        rows = columns["town"] == group["group"]
        assert (group["n_rows"], group["coverage"]) == (rows.sum(), inside_interval[rows].mean())


def test_groups_are_printed_for_people(inside, capsys):
    assert main(["evaluate", "first", "new.csv", "--by", "town"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Calibration by town, the worst first" in text
    assert "Coverage of central 90 % intervals" in text


def test_what_to_mind_is_told_and_is_in_the_json(inside, capsys):
    assert main(["evaluate", "first", "houses.csv", "--json"]) == 0
    shown = capsys.readouterr()
    note = "Mind: about 90% of these rows are rows of the fit, on which the model looks better than it is."
    assert shown.err == f"{note}\n"
    assert json.loads(shown.out)["notes"] == [note]
    assert main(["evaluate", "first", "houses.csv", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_groups_that_cannot_be_made_are_refused(inside, tmp_path, capsys):
    assert refused(capsys, "evaluate", "first", "new.csv", "--by", "twon") == (
        "'new.csv' has no column 'twon'; the nearest is 'town'."
    )
    few = write_csv(tmp_path / "t.csv", houses(6) | {"shop": np.array([*"aaaab", "b"])})
    assert refused(capsys, "evaluate", "first", few, "--by", "shop") == (
        "y must have at least 5 rows for group 'a'; got 4."
    )


def test_angles_have_no_median_and_no_coverage(tmp_path, capsys):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 60)
    file = write_csv(tmp_path / "t.csv", {"x": x, "angle": np.angle(np.exp(1j * (3 * x + rng.normal(0, 0.3, 60))))})
    fitted = ["fit", file, "--target", "angle", "--family", "von_mises", "--preset", "fast", "--max-epochs", "2"]
    assert main([*map(str, fitted), "--quiet", "--json", "--output", str(tmp_path / "m")]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]["model"]["targets"]["angle"]
    assert (scores["mae"], scores["coverage_90"]) == (None, None)
    assert scores["crps"] > 0
    assert main(["evaluate", str(tmp_path / "m"), str(file)]) == 0
    assert "nan" not in capsys.readouterr().out
