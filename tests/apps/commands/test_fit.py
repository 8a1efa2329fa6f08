import io
import json

import pytest

import manymodes as mm
from manymodes.apps.cli import main
from tests.apps.commands.tables import houses, refused, write_csv

ASKED = ["--target", "price", "--drop", "id", "--preset", "fast", "--max-epochs", "1", "--quiet", "--json"]


def test_the_standard_input_a_pattern_and_a_folder_make_the_same_model_as_one_file(inside, tmp_path, monkeypatch):
    columns = houses()
    (tmp_path / "parts").mkdir()
    for name, rows in (("b", slice(25, 60)), ("a", slice(0, 25))):
        write_csv(tmp_path / "parts" / f"{name}.csv", {key: column[rows] for key, column in columns.items()})
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((inside / "houses.csv").read_bytes())))
    models = set()
    for place, file in enumerate(("houses.csv", "-", tmp_path / "parts", tmp_path / "parts" / "*.csv")):
        output = tmp_path / str(place)
        assert main(["fit", str(file), *ASKED, "--output", str(output)]) == 0
        model = mm.load(output)
        models.add(tuple(model.predict({"size": [60.0, 120.0], "town": ["Ayr", "Bath"]}).ravel().tolist()))
    assert len(models) == 1


def test_what_a_target_is_like_can_be_said(inside, tmp_path):
    said = ["--family", "gamma", "--atoms", "0", "--objective", "nll", "--covariance-type", "diag", "--device", "cpu"]
    assert main(["fit", "houses.csv", *ASKED, *said, "--output", str(tmp_path / "m")]) == 0
    model = mm.load(tmp_path / "m")
    assert (model.family, tuple(model.atoms), model.objective, model.device) == ("gamma", (0.0,), "nll", "cpu")
    assert model.architecture_.families == ("gamma",)


def test_a_fit_never_replaces_another_that_was_faster(inside, tmp_path, capsys, monkeypatch):
    output = tmp_path / "m"

    def meanwhile(judged):
        output.mkdir()
        (output / "model.mm").write_text("of another fit")
        return "page"

    monkeypatch.setattr("manymodes.apps.fit.report_page", meanwhile)
    sentence = refused(capsys, "fit", "houses.csv", *ASKED, "--output", str(output))
    (beside,) = tmp_path.glob("m-*")
    assert sentence == f"'{output}' came to be while this fit ran, so it was written to '{beside}' instead."
    assert (output / "model.mm").read_text() == "of another fit"
    assert mm.load(beside).target_names_ == ["price"]
    assert sorted(path.name for path in beside.iterdir()) == ["model.mm", "report.html", "summary.json"]


def test_columns_that_came_out_as_text_are_refused_unless_they_are_categories(inside, tmp_path, capsys):
    columns = houses()
    columns["size"] = [f"{size:.1f}".replace(".", ",") for size in columns["size"]]
    table = str(write_csv(tmp_path / "commas.csv", columns))
    asked = ["fit", table, *ASKED, "--output", str(tmp_path / "m")]
    assert "'size' holds numbers with commas" in refused(capsys, *asked)
    assert not (tmp_path / "m").exists()
    assert main([*asked, "--categorical", "size"]) == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--preset", "fats"],
            'Invalid value "fats" for --preset. Choose from: "fast", "default", "best". Did you mean "fast"? See '
            "manymodes --help.",
        ),
        (
            ["--covariance-type", "fully"],
            'Invalid value "fully" for --covariance-type. Choose from: "diag", "spherical", "full", "low_rank". Did '
            'you mean "full"? See manymodes --help.',
        ),
        (
            ["--objective", "nl"],
            "objective must be one of 'crps', 'energy', 'ngem', 'nll', or a mix of different ones such as '0.7 nll + "
            "0.3 crps'; got 'nl'.",
        ),
        (["--device", "abacus"], "device must name a device that this machine has, say 'cpu'; got 'abacus'."),
        (
            ["--atoms", "0", "--rounding", "1"],
            "atoms must be left out with rounding: a cell of values holds no single one.",
        ),
    ],
)
def test_settings_that_do_not_exist_or_exclude_each_other_are_refused(inside, tmp_path, capsys, options, sentence):
    words = ["fit", "houses.csv", "--target", "price", "--drop", "id", "--output", tmp_path / "m", "--quiet"]
    assert refused(capsys, *words, *options) == sentence
    assert list(tmp_path.iterdir()) == []


def test_a_fit_is_told_as_json_and_nothing_else(inside, tmp_path, capsys):
    assert main(["fit", "houses.csv", *ASKED, "--output", str(tmp_path / "m")]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["model"] == str(tmp_path / "m" / "model.mm")
    assert shown.err == ""
