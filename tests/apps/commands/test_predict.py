import io
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import manymodes as mm
from manymodes.apps.cli import main
from manymodes.apps.files import read_columns
from manymodes.apps.inputs import input_files
from tests.apps.commands.tables import houses, refused, write_csv


@pytest.fixture
def predicted(folder, tmp_path):
    """Return a function that predicts the new houses and reads what was written."""

    def predict(*options, name="p.csv"):
        output = tmp_path / name
        words = ["predict", folder / "first", folder / "new.csv", "--output", output, "--overwrite", *options]
        assert main([str(word) for word in words]) == 0
        return read_columns(output)

    return predict


@pytest.fixture(scope="module")
def density(folder):
    return mm.load(folder / "first").predict_distribution(read_columns(folder / "new.csv"))


def test_modes_are_those_of_the_model(predicted, density):
    columns, modes = predicted("--modes"), density.modes()
    np.testing.assert_array_equal(columns["modes"], modes.count_above(0.05))
    for row in range(len(columns["modes"])):
        counts = modes.mask[row] & (modes.mass[row] >= 0.05)
        found = [[columns[f"price_mode_{i}"][row], columns[f"mode_{i}_mass"][row]] for i in (1, 2)]
        expected = torch.stack([modes.location[row, counts, 0], modes.mass[row, counts]], 1)[:2]
        np.testing.assert_array_equal(found[: len(expected)], expected)
        assert np.isnan(found[len(expected) :]).all()


def test_regions_are_those_of_the_model_in_ascending_pieces(predicted, density):
    texts = predicted("--region", "--interval", "0.5")["price_region_50"]
    region = density.highest_density_region(0.5)
    for row, text in enumerate(texts):
        ends = [list(map(float, piece.split(" to "))) for piece in text.split("; ")]
        known = region.mask[row]
        np.testing.assert_allclose(ends, torch.stack([region.low, region.high], -1)[row, known], rtol=1e-5)


def test_samples_are_drawn_from_the_joint_density_and_come_out_the_same_again(predicted, density):
    columns = predicted("--samples", "300", "--random-state", "3")
    draws = np.column_stack([columns[f"price_sample_{s}"] for s in range(1, 301)])
    # A mean of 300 draws is within 5 standard errors of the true one but in one of two million cases.
    error = np.abs(draws.mean(1) - density.mean[:, 0].numpy()) / (density.stddev[:, 0].numpy() / 300**0.5)
    assert error.max() < 5
    again = predicted("--samples", "300", "--random-state", "3")
    assert all((again[name] == column).all() for name, column in columns.items())
    assert (predicted("--samples", "1")["price_sample_1"] != columns["price_sample_1"]).any()


def test_several_targets_have_joint_modes_and_regions_of_their_own(tmp_path):
    columns = houses()
    del columns["id"]
    file, model, output = write_csv(tmp_path / "t.csv", columns), tmp_path / "m", tmp_path / "p.csv"
    fitted = ["fit", file, "--target", "price", "--target", "size", "--output", model, "--preset", "fast"]
    assert main([*map(str, fitted), "--max-epochs", "2", "--quiet", "--json"]) == 0
    assert main(["predict", *map(str, (model, file)), "--output", str(output), "--modes", "--region"]) == 0
    written = read_columns(output)
    named = ["price_mode_1", "size_mode_1", "mode_1_mass", "price_mode_2", "size_mode_2", "mode_2_mass"]
    assert [name for name in written if "mode_" in name] == named
    location = mm.load(model).predict_distribution(read_columns(file)).modes().location[:, 0]
    np.testing.assert_array_equal(np.column_stack([written["price_mode_1"], written["size_mode_1"]]), location)
    assert {"price_region_90", "size_region_90"} <= written.keys()


def test_copied_columns_come_first_as_they_stand_in_the_input(folder, tmp_path):
    output = tmp_path / "p.csv"
    words = ["predict", folder / "first", folder / "new.csv", "--output", output, "--keep", "id", "town"]
    assert main([str(word) for word in words]) == 0
    header, line, *_ = output.read_text().splitlines()
    assert header.startswith("id,town,price_mean,")
    assert line.startswith(f"000,{houses(40, seed=1)['town'][0]},")


def test_copied_columns_are_values_in_a_parquet_file(predicted):
    columns = predicted("--keep", "size", "town", name="p.parquet")
    np.testing.assert_array_equal(columns["size"], houses(40, seed=1)["size"])
    assert columns["town"].tolist() == houses(40, seed=1)["town"].tolist()


def test_the_standard_streams_hold_tables_and_nothing_else(inside, monkeypatch, capfdbinary):
    assert main(["predict", "first", "new.csv", "--output", "p.csv", "--overwrite"]) == 0
    expected = (inside / "p.csv").read_bytes()
    capfdbinary.readouterr()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((inside / "new.csv").read_bytes())))
    assert main(["predict", "first", "-", "--output", "-"]) == 0
    shown = capfdbinary.readouterr()
    assert shown.out == expected
    assert shown.err == b"Predictions for 40 rows: the standard output\n"


def test_a_reader_that_has_seen_enough_ends_a_command_quietly(inside, one_thread):
    command = f"{sys.executable} -m manymodes predict first new.csv --output - --samples 500 --quiet; echo $? >&2"
    result = subprocess.run(["bash", "-c", f"({command}) | head -c 20"], capture_output=True, text=True, env=one_thread)
    assert result.stdout == "price_mean,price_med"
    assert result.stderr == "0\n"


def test_what_was_written_is_told_as_json(inside, capsys):
    assert main(["predict", "first", "new.csv", "--output", "p.csv", "--overwrite", "--json", "--keep", "id"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == {
        "file": "new.csv",
        "output": "p.csv",
        "rows": 40,
        "columns": (inside / "p.csv").read_text().splitlines()[0].split(","),
    }
    assert told.err == ""


def test_all_files_of_a_folder_or_a_pattern_are_predicted(inside, tmp_path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.csv").write_bytes((inside / "new.csv").read_bytes())
    for file in (tmp_path, tmp_path / "?.csv"):
        words = ["predict", "first", file, "--output", inside / "p.csv", "--overwrite", "--keep", "id"]
        assert main([str(word) for word in words]) == 0
        assert len(input_files(file)) == 2
        assert read_columns(inside / "p.csv")["id"].tolist() == [*range(40), *range(40)]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--output", "-", "--json"],
            "--json must be left out with --output -, since both write to the standard output.",
        ),
        (["--output", "q.csv", "--keep", "twon"], "'new.csv' has no column 'twon'; the nearest is 'town'."),
        (["--output", "q.csv", "--samples", "-1"], "--samples must be an integer >= 0; got -1."),
        (["--output", "q.csv", "--interval", "1"], "--interval must be a number > 0 and < 1; got 1.0."),
        (
            ["--output", "q.csv", "--random-state", "-2"],
            "--random-state must be an integer from 0 to 4294967295; got -2.",
        ),
        (["--output", "-x"], 'Command "predict" parameter --output requires an argument. See manymodes --help.'),
        (
            ["more.csv", "--output", "q.csv"],
            "there is no place for 'more.csv'; repeat an option for several values, and put a pattern of files in "
            "quotes. See manymodes --help.",
        ),
    ],
)
def test_options_that_cannot_be_used_are_refused(inside, capsys, options, sentence):
    assert refused(capsys, "predict", "first", "new.csv", *options) == sentence
    assert not (inside / "q.csv").exists()


def test_a_copied_column_that_is_named_like_a_prediction_is_refused(inside, tmp_path, capsys):
    file = write_csv(tmp_path / "t.csv", houses(5) | {"price_mean": np.zeros(5)})
    assert refused(capsys, "predict", "first", file, "--output", tmp_path / "p.csv", "--keep", "price_mean") == (
        "--keep 'price_mean' has the name of a column of predictions; give it another name in the input, or leave it "
        "out."
    )
