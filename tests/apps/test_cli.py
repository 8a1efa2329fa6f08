import csv
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import manymodes as mm
import manymodes.apps.fit
from manymodes.apps.cli import main
from manymodes.apps.files import read_columns, write_parts

QUICK = ["--preset", "fast", "--max-epochs", "3"]


def write_csv(path: Path, columns: dict) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def write_columns(path: Path, columns: dict) -> None:
    write_parts(path, [columns])


def read_csv(path: Path) -> dict[str, np.ndarray]:
    rows = list(csv.DictReader(path.read_text().splitlines()))
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]}


def table(n=60, seed=0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    size, age = rng.uniform(50, 200, n), rng.integers(0, 80, n)
    return {"size": size, "age": age, "price": 2 * size - age + rng.normal(0, 5, n)}


@pytest.fixture
def houses(tmp_path):
    return write_csv(tmp_path / "houses.csv", table())


@pytest.fixture
def model(tmp_path, houses):
    assert main(["fit", str(houses), "--target", "price", "--output", str(tmp_path / "model"), *QUICK]) == 0
    return tmp_path / "model"


def refused(capsys, *tokens) -> str:
    """Run a command that must be refused; return the one sentence that it prints."""
    capsys.readouterr()
    assert main([str(token) for token in tokens]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = shown.err.strip().splitlines()
    lines = [line for line in lines if not line.startswith(("Fitting ", "Writing "))]
    assert len(lines) == 1
    assert lines[0].startswith("manymodes: ")
    return lines[0].removeprefix("manymodes: ")


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


# --- the main job ---


@pytest.mark.parametrize(
    ("name", "target", "bound"),
    [("speedflow-lane2", "speed_mph", 2.6), ("uci-concrete", "compressive_strength_MPa", 3.1)],
)
def test_one_command_makes_a_model_that_beats_its_baselines_on_real_data(
    shared_table, tmp_path, capsys, name, target, bound
):
    file = write_csv(tmp_path / "table.csv", shared_table(name))
    output = tmp_path / "model"
    asked = ["--target", target, "--output", str(output), "--preset", "fast", "--json"]
    assert main(["fit", str(file), *asked]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert names(output) == ["model.mm", "report.html", "summary.json"]
    assert summary == json.loads((output / "summary.json").read_text())
    scores = {name: score["log_score"] for name, score in summary["scores"].items()}
    assert scores["model"] < bound
    assert scores["model"] < scores["unconditional"] - 0.1
    assert 0.75 < summary["scores"]["model"]["targets"][target]["coverage_90"] <= 1
    assert sum(summary["modes"].values()) == pytest.approx(1)
    if name == "speedflow-lane2":  # two branches, free flow and congestion
        assert scores["model"] < scores["gaussian_network"] - 0.3
        assert summary["modes"].get("2", 0) > 0.2

    assert main(["evaluate", str(output), str(file), "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["log_score"] < bound
    assert "of these rows are rows of the fit, on which the model looks better than it is." in shown.err
    predictions = tmp_path / "predictions.csv"
    assert main(["predict", str(output), str(file), "--output", str(predictions)]) == 0
    columns = read_csv(predictions)
    assert np.isfinite(np.column_stack(list(columns.values()))).all()
    assert -columns["log_density"].mean() < bound


def test_rows_in_notes_are_those_of_the_file(tmp_path, capsys):
    lines = ["x,y", *(f"{i % 17},{i % 17 + 0.1 * (i % 5)}" for i in range(99)), "3,1000000"]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    fitted = ["fit", str(tmp_path / "t.csv"), "--target", "y", "--output", str(tmp_path / "m"), "--preset", "fast"]
    notes = []
    for seed in range(3):  # the outlier may be among the rows that are held out
        assert (
            main([*fitted, "--json", "--quiet", "--max-epochs", "1", "--overwrite", "--random-state", str(seed)]) == 0
        )
        notes += json.loads(capsys.readouterr().out)["target_notes"]
    named = [note for note in notes if "robust standard deviations out" in note]
    assert named
    assert all("first: row 100" in note for note in named)


def test_categories_and_rounding_are_taken_from_the_command_line(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("\n".join(["x,y", *(f"{i % 4},{(i * 7) % 23}" for i in range(60))]))
    fitted = ["fit", str(tmp_path / "t.csv"), "--target", "y", "--output", str(tmp_path / "m"), "--preset", "fast"]
    fitted += ["--max-epochs", "1", "--n-components", "auto", "--categorical", "x", "--rounding", "1"]
    assert main([*fitted, "--json", "--quiet"]) == 0
    model = mm.load(tmp_path / "m")
    assert list(map(tuple, model.architecture_.categories)) == [(0, 4)]
    assert (model.rounding, model.n_components) == (1.0, "auto")


def test_the_demos_data_has_plainly_several_modes(tmp_path, capsys):
    file = Path(mm.__file__).parent / "datasets" / "geyser.csv"
    assert (
        main(
            [
                "fit",
                str(file),
                "--target",
                "duration_min",
                "--output",
                str(tmp_path / "model"),
                "--preset",
                "fast",
                "--json",
            ]
        )
        == 0
    )
    summary = json.loads(capsys.readouterr().out)
    assert sum(share for count, share in summary["modes"].items() if int(count) >= 2) > 0.5
    assert summary["scores"]["model"]["log_score"] < summary["scores"]["gaussian_network"]["log_score"]


def test_the_summary_is_for_people_and_names_what_matters(tmp_path, houses, capsys):
    assert main(["fit", str(houses), "--target", "price", "--output", str(tmp_path / "m"), *QUICK]) == 0
    shown = capsys.readouterr()
    text = " ".join(shown.out.split())
    assert (
        "60 rows, 2 features, target price: each network learned from 47 rows and chose its best epoch on 7 others"
        in text
    )
    for word in ("this model", "one Gaussian", "no features", "log score", "CRPS", "coverage", "A typical prediction"):
        assert word in text
    assert "m/report.html" in text
    assert "Fitting the model to 54 rows" in shown.err


def test_quiet_prints_no_progress(tmp_path, houses, capsys):
    main(["fit", str(houses), "--target", "price", "--output", str(tmp_path / "m"), "--quiet", *QUICK])
    assert capsys.readouterr().err == ""


def test_the_same_command_makes_the_same_model(tmp_path, houses):
    for name in ("a", "b"):
        main(["fit", str(houses), "--target", "price", "--output", str(tmp_path / name), *QUICK])
    first, second = (mm.load(tmp_path / name).network_.state_dict() for name in ("a", "b"))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_names_with_brackets_are_printed_as_they_are(tmp_path, capsys):
    columns = {"rate [/h]": table()["size"], "weight [bold]": table()["price"]}
    file, output = write_csv(tmp_path / "t.csv", columns), tmp_path / "m[red]x"
    assert main(["fit", str(file), "--target", "weight [bold]", "--output", str(output), *QUICK]) == 0
    text = "".join(capsys.readouterr().out.split())
    assert "targetweight[bold]:" in text
    assert "m[red]x/model.mm" in text
    assert (output / "model.mm").is_file()


def test_a_narrow_terminal_folds_names_and_loses_none(tmp_path, houses, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    command = ["fit", str(houses), "--target", "price", "--target", "age", "--output", str(tmp_path / "m"), *QUICK]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert "price" in shown
    assert "age" in shown


def test_a_terminal_without_unicode_still_gets_the_scores(tmp_path, houses):
    command = [sys.executable, "-m", "manymodes", "fit", str(houses), "--target", "price", "--output", "m", *QUICK]
    result = subprocess.run(
        command, capture_output=True, cwd=tmp_path, env=os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    )
    assert result.returncode == 0
    assert b"this model" in result.stdout


def test_several_targets_are_one_joint_density(tmp_path, houses, capsys):
    command = ["fit", str(houses), "--target", "price", "--target", "age", "--output", str(tmp_path / "m"), *QUICK]
    assert main([*command, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["targets"] == ["price", "age"]
    assert summary["features"] == ["size"]
    assert set(summary["scores"]["model"]["targets"]) == {"price", "age"}
    assert mm.load(tmp_path / "m").predict({"size": np.array([100.0])}).shape == (1, 2)
    main(["predict", str(tmp_path / "m"), str(houses), "--output", str(tmp_path / "p.csv")])
    assert {"price_mean", "age_median", "log_density"} <= set(read_csv(tmp_path / "p.csv"))


def test_dropped_columns_are_no_features(tmp_path, capsys):
    columns = table() | {"street": ["Main"] * 60}
    file = write_csv(tmp_path / "t.csv", columns)
    command = ["fit", str(file), "--target", "price", "--output", str(tmp_path / "m"), "--drop", "street", *QUICK]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["features"] == ["size", "age"]


# --- predictions ---


def test_predictions_are_those_of_the_model(tmp_path, houses, model):
    out = tmp_path / "p.csv"
    options = ["--quantile", "0.2", "--interval", "0.5"]
    assert main(["predict", str(model), str(houses), "--output", str(out), *options]) == 0
    columns = read_csv(out)
    assert list(columns) == [
        "price_mean",
        "price_median",
        "price_q0.2",
        "price_lower_50",
        "price_upper_50",
        "log_density",
    ]
    loaded, data = mm.load(model), read_csv(houses)
    density = loaded.predict_distribution({"size": data["size"], "age": data["age"]})
    np.testing.assert_array_equal(columns["price_mean"], density.mean[:, 0])
    np.testing.assert_array_equal(columns["price_q0.2"], density.icdf(0.2)[:, 0])
    np.testing.assert_array_equal(columns["log_density"], density.log_prob(torch.tensor(data["price"])[:, None]))


def test_columns_may_come_in_any_order_and_format(tmp_path, model):
    columns = table()
    files = [tmp_path / "p.csv", tmp_path / "p.parquet"]
    shuffled = {name: columns[name] for name in ("price", "age", "size")}
    from manymodes.apps.files import read_columns

    write_columns(tmp_path / "shuffled.parquet", shuffled)
    main(["predict", str(model), str(tmp_path / "houses.csv"), "--output", str(files[0])])
    main(["predict", str(model), str(tmp_path / "shuffled.parquet"), "--output", str(files[1])])
    first, second = map(read_columns, files)
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-12)


def test_rows_without_a_known_target_are_predicted_without_a_density(tmp_path, model):
    columns = table(5)
    columns["price"] = [1.0, "", 3.0, "unknown", 5.0]
    file = write_csv(tmp_path / "new.csv", columns)
    main(["predict", str(model), str(file), "--output", str(tmp_path / "p.csv")])
    predictions = read_csv(tmp_path / "p.csv")
    assert np.isnan(predictions["log_density"]).tolist() == [False, True, False, True, False]
    assert np.isfinite(predictions["price_mean"]).all()
    del columns["price"]
    file = write_csv(tmp_path / "new2.csv", columns)
    main(["predict", str(model), str(file), "--output", str(tmp_path / "p2.csv")])
    assert "log_density" not in read_csv(tmp_path / "p2.csv")


def test_text_times_and_gaps_are_features_and_baselines_see_them_too(tmp_path, capsys):
    rng = np.random.default_rng(0)
    shop, n = rng.choice(["north", "south"], 200), 200
    columns = {
        "day": [str(np.datetime64("2024-01-01") + i) for i in range(n)],
        "shop": shop,
        "price": np.where(rng.random(n) < 0.2, "", rng.uniform(1, 5, n).round(2)),
        "sold": np.where(shop == "north", 20, 5) + rng.normal(size=n).round(3),
    }
    file, model = write_csv(tmp_path / "sales.csv", columns), tmp_path / "m"
    command = ["fit", file, "--target", "sold", "--output", model, "--json", "--preset", "fast", "--max-epochs", "60"]
    assert main([*map(str, command)]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["feature_notes"] == ["Column 'price' has missing values, which count as such."]
    scores = summary["scores"]
    for name in ("model", "gaussian_network"):  # the shop decides
        assert scores[name]["targets"]["sold"]["rmse"] < 0.5 * scores["unconditional"]["targets"]["sold"]["rmse"]
    report = (model / "report.html").read_text()
    assert "north" in report
    assert "2024-" in report
    assert main(["predict", str(model), str(file), "--output", str(tmp_path / "p.csv")]) == 0
    assert np.isfinite(read_columns(tmp_path / "p.csv")["sold_mean"]).all()
    file = write_csv(tmp_path / "odd.csv", columns | {"day": ["some day"] * n})
    told = refused(capsys, "predict", model, file, "--output", tmp_path / "q.csv")
    assert told.endswith(
        "Column 'day' holds text, and points in time in the fit; hand in what the model was fitted with."
    )


# --- bad input: one sentence, exit code 2, nothing half-written ---


def test_a_table_that_cannot_be_fitted_is_refused(tmp_path, capsys):
    good = table()
    bad = {
        "text": good | {"price": ["cheap", *good["price"][1:]]},
        "names": good | {"size": [f"house {i}" for i in range(60)]},
        "inf": good | {"price": [*good["price"][:9], "inf", *good["price"][10:]]},
        "constant": good | {"price": [7] * 60},
        "short": {name: column[:9] for name, column in good.items()},
        "alone": {"price": good["price"]},
    }
    expected = {
        "text": "Column 'price' holds 'cheap' in row 1, and a target must hold numbers; leave it out or turn it into "
        "numbers.",
        "names": "Column 'size' holds 54 different texts in 54 rows, too many for categories; leave it out, turn it "
        "into fewer ones, or name it under categorical_features.",
        "inf": "Column 'price' has 1 missing, infinite or huge value (first: row 10), and a target may have none; drop "
        "those rows or fill them in.",
        "constant": "target 'price' must take at least two different values; all 60 rows have 7.",
        "short": "has 9 rows, and a fit needs at least 10.",
        "alone": "has no column left to predict from; it needs one beside --target.",
    }
    for name, columns in bad.items():
        file = write_csv(tmp_path / f"{name}.csv", columns)
        assert expected[name] in refused(capsys, "fit", file, "--target", "price", "--output", tmp_path / "m")
    assert names(tmp_path) == sorted(f"{name}.csv" for name in bad)


def test_a_missing_file_and_an_unknown_column_are_refused(tmp_path, houses, capsys):
    out = tmp_path / "m"
    sentence = refused(capsys, "fit", tmp_path / "no.csv", "--target", "price", "--output", out)
    assert sentence.endswith("no.csv' does not exist; hand in a CSV or Parquet file.")
    sentence = refused(capsys, "fit", houses, "--target", "Prize", "--output", out)
    assert sentence.endswith("houses.csv' has no column 'Prize'; the nearest are 'size', 'price'.")
    (tmp_path / "empty.csv").write_text("")
    sentence = refused(capsys, "fit", tmp_path / "empty.csv", "--target", "price", "--output", out)
    assert sentence.endswith("empty.csv' is empty; it must hold a header and rows below it.")
    assert names(tmp_path) == ["empty.csv", "houses.csv"]


def test_ten_rows_are_enough(tmp_path):
    file = write_csv(tmp_path / "t.csv", table(10))
    assert main(["fit", str(file), "--target", "price", "--output", str(tmp_path / "m"), *QUICK]) == 0


def test_an_existing_output_needs_overwrite_and_keeps_what_is_not_ours(tmp_path, houses, model, capsys):
    (model / "notes.txt").write_text("mine")
    before = (model / "model.mm").read_bytes()
    sentence = refused(capsys, "fit", houses, "--target", "price", "--output", model)
    assert sentence.endswith("model' exists already; choose another folder or pass --overwrite.")
    assert (model / "model.mm").read_bytes() == before
    command = ["fit", str(houses), "--target", "age", "--output", str(model), "--overwrite", *QUICK]
    assert main(command) == 0
    assert (model / "model.mm").read_bytes() != before
    assert names(model) == ["model.mm", "notes.txt", "report.html", "summary.json"]
    assert sorted(names(tmp_path)) == ["houses.csv", "model"]


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(5000)])
def test_a_damaged_or_foreign_model_is_refused(tmp_path, houses, model, capsys, content):
    (model / "model.mm").write_bytes(content)
    for command in (["predict", model, houses, "--output", tmp_path / "p.csv"], ["evaluate", model, houses]):
        assert "is not a manymodes model file, or it is damaged" in refused(capsys, *command)
    assert "p.csv" not in names(tmp_path)


def test_a_model_that_is_not_there_is_refused(tmp_path, houses, capsys):
    sentence = refused(capsys, "evaluate", tmp_path / "no", houses)
    assert sentence.startswith("There is no manymodes model file '")


def test_predictions_from_a_table_without_a_feature_are_refused(tmp_path, model, capsys):
    columns = table(5)
    columns["sise"] = columns.pop("size")
    file = write_csv(tmp_path / "new.csv", columns)
    sentence = refused(capsys, "predict", model, file, "--output", tmp_path / "p.csv")
    assert sentence.endswith("new.csv' has no column 'size'; the nearest is 'sise'.")
    columns = table(5)
    del columns["price"]
    file = write_csv(tmp_path / "new.csv", columns)
    assert "has no column 'price'" in refused(capsys, "evaluate", model, file)


def test_an_existing_predictions_file_needs_overwrite(tmp_path, houses, model, capsys):
    out = tmp_path / "p.csv"
    out.write_text("mine")
    command = ["predict", model, houses, "--output", out]
    assert refused(capsys, *command).endswith("p.csv' exists already; choose another name or pass --overwrite.")
    assert out.read_text() == "mine"
    assert main([*map(str, command), "--overwrite"]) == 0


def test_a_model_of_unnamed_columns_is_refused_by_the_command_line(tmp_path, houses, capsys):
    X, y = mm.datasets.load_geyser()
    mm.MDNRegressor(max_epochs=1).fit(X, y).save(tmp_path / "m.mm")
    assert "was fitted to arrays without column names" in refused(capsys, "evaluate", tmp_path / "m.mm", houses)


def test_a_forecaster_is_refused_with_what_to_do_instead(tmp_path, houses, capsys):
    path = tmp_path / "load.mm"
    mm.MDNForecaster(2, context=2, n_members=1, n_steps=1, random_state=0).fit(np.arange(30.0) % 7).save(path)
    assert refused(capsys, "evaluate", path, houses) == (
        f"{str(path)!r} holds a forecaster of series, which no command asks yet; in Python: "
        f"manymodes.load({str(path)!r}).predict_frame()."
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--held-out", "1.5"], "--held-out must be a number > 0 and < 1; got 1.5."),
        (["--n-components", "0"], "--n-components must be an integer >= 1; got 0."),
        (["--max-epochs", "0"], "--max-epochs must be an integer >= 1; got 0."),
        (["--random-state", "-1"], "--random-state must be an integer from 0 to 4294967295; got -1."),
        (["--n-components", "2.5"], 'Invalid value for --n-components: unable to convert "2.5" into int.'),
        (["--drop", "price"], "--target 'price' must be named once and not under --drop."),
        (["--target", "price"], "--target 'price' must be named once and not under --drop."),
    ],
)
def test_an_option_out_of_range_is_refused(tmp_path, houses, capsys, options, sentence):
    capsys.readouterr()
    assert main(["fit", str(houses), "--target", "price", "--output", str(tmp_path / "m"), "--quiet", *options]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"manymodes: {sentence}")
    assert len(shown.splitlines()) == 1
    assert names(tmp_path) == ["houses.csv"]


@pytest.mark.parametrize("tokens", [["fit"], ["nonsense"], ["fit", "a.csv", "--output", "m"], ["fit", "--wat"]])
def test_a_command_that_makes_no_sense_ends_with_code_two(tokens, capsys):
    assert main(tokens) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_an_output_that_cannot_be_created_is_refused_before_any_training(tmp_path, houses, capsys):
    (tmp_path / "file").write_text("")
    sentence = refused(capsys, "fit", houses, "--target", "price", "--output", tmp_path / "file" / "sub" / "m")
    assert sentence.endswith("file' is no folder to write to.")
    assert "Fitting" not in capsys.readouterr().err
    sentence = refused(capsys, "fit", houses, "--target", "price", "--output", houses)
    assert sentence.endswith("houses.csv' is a file; --output must name a folder.")


def test_too_little_memory_is_told_in_a_sentence(tmp_path, houses, monkeypatch, capsys):
    def exhausted(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    monkeypatch.setattr("manymodes.estimators.MDNRegressor.fit", exhausted)
    sentence = refused(capsys, "fit", houses, "--target", "price", "--output", tmp_path / "m")
    assert sentence == "there is not enough memory for this; ask for a smaller model or fewer rows."


def test_a_failure_while_moving_files_leaves_what_was_there(tmp_path, houses, model, monkeypatch, capsys):
    before = {file.name: file.read_bytes() for file in model.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    command = ["fit", houses, "--target", "age", *QUICK]
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.rename", full)
        sentence = refused(capsys, *command, "--output", tmp_path / "new")
        assert sentence == f"No space left on device: {tmp_path / 'new'}."
        patch.setattr("pathlib.Path.replace", full)
        assert refused(capsys, *command, "--output", model, "--overwrite").startswith("No space left on device")
    assert {file.name: file.read_bytes() for file in model.iterdir()} == before
    assert names(tmp_path) == ["houses.csv", "model"]


def test_predictions_on_a_full_disk_leave_the_old_ones(tmp_path, houses, model):
    out = tmp_path / "p.csv"
    out.write_text("mine")
    command = [sys.executable, "-m", "manymodes", "predict", str(model), str(houses), "--output", str(out)]

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))

    result = subprocess.run([*command, "--overwrite"], capture_output=True, text=True, preexec_fn=limit)
    assert result.returncode == 2
    assert result.stderr == f"manymodes: File too large: {out}.\n"
    assert out.read_text() == "mine"
    assert names(tmp_path) == ["houses.csv", "model", "p.csv"]


def test_another_seed_holds_out_other_rows_and_all_models_see_the_same(tmp_path, houses, monkeypatch):
    fitted = []

    def watched(name):
        kind = getattr(manymodes.apps.fit, name)

        class Spy(kind):
            def fit(self, X, y, **more):
                if isinstance(y, dict):  # not when one model is a part of another
                    fitted.append([name, X, set(y["price"])])
                return super().fit(X, y, **more)

            def predict_distribution(self, X):
                if len(fitted[-1]) == 3:
                    fitted[-1].append(len(X["size"] if isinstance(X, dict) else X))
                return super().predict_distribution(X)

        return Spy

    watched_names = ("MDNRegressor", "GaussianNetwork", "UnconditionalDensity")
    for name in watched_names:
        monkeypatch.setattr(f"manymodes.apps.fit.{name}", watched(name))
    for seed in ("0", "1"):
        command = ["fit", str(houses), "--target", "price", "--output", str(tmp_path / seed), "--random-state", seed]
        assert main([*command, *QUICK]) == 0
    first, second = fitted[:3], fitted[3:6]
    assert [part[0] for part in first] == list(watched_names)
    for name, columns, prices, n_held_out in fitted:  # scored on held-out rows, fitted to the others
        assert list(columns) == ["size", "age"] if name == "MDNRegressor" else columns.shape == (54, 2)
        assert (len(prices), n_held_out) == (54, 6)
    assert first[0][2] == first[1][2] == first[2][2]
    assert second[0][2] == second[1][2] != first[0][2]


def test_a_full_disk_leaves_the_old_model(tmp_path, houses, model):
    """The system refuses to write more than 1 kB to any file, as a full disk would."""
    before = {file.name: file.read_bytes() for file in model.iterdir()}

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))

    command = [sys.executable, "-m", "manymodes", "fit", str(houses), "--target", "price", "--output", str(model)]
    result = subprocess.run(
        [*command, "--overwrite", "--quiet", *QUICK], capture_output=True, text=True, preexec_fn=limit
    )
    assert result.returncode == 2
    assert result.stderr == f"manymodes: File too large: {model}.\n"
    assert {file.name: file.read_bytes() for file in model.iterdir()} == before
    assert names(tmp_path) == ["houses.csv", "model"]


def test_an_interrupted_fit_leaves_nothing(tmp_path, houses, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("manymodes.estimators.MDNRegressor.fit", interrupt)
    assert main(["fit", str(houses), "--target", "price", "--output", str(tmp_path / "m")]) == 130
    assert "interrupted; nothing is half-written." in capsys.readouterr().err
    assert names(tmp_path) == ["houses.csv"]


def test_a_fit_that_is_interrupted_after_its_first_epoch_writes_the_best_model_so_far(
    tmp_path, houses, fail_at_judgement, capsys
):
    fail_at_judgement(3, KeyboardInterrupt)
    output = tmp_path / "m"
    assert main(["fit", str(houses), "--target", "price", "--output", str(output), "--preset", "fast", "--json"]) == 130
    told = capsys.readouterr()
    assert f"interrupted; the best model so far was written to {output / 'model.mm'}." in told.err
    summary = json.loads(told.out)
    assert summary["epochs"]["run"] == 2
    assert list(summary["scores"]) == ["model", "unconditional"]
    assert mm.load(output).history_.ended_by == "interrupt"


def test_a_checkpoint_lets_the_same_command_go_on(tmp_path, houses):
    def command(output, *more):
        known = ["fit", str(houses), "--target", "price", "--checkpoint", str(tmp_path / "c"), *QUICK]
        return main([*known, "--output", str(tmp_path / output), *more])

    assert command("one") == 0
    assert (tmp_path / "c" / "fit" / "fit.checkpoint").exists()
    assert command("two") == 0
    assert (tmp_path / "one" / "model.mm").read_bytes() == (tmp_path / "two" / "model.mm").read_bytes()


def test_a_folder_of_parquet_files_is_predicted_part_by_part(tmp_path, model, houses, monkeypatch, capsys):
    columns = read_columns(houses)
    (tmp_path / "new").mkdir()
    for i, rows in enumerate((slice(0, 25), slice(25, 60))):
        write_columns(tmp_path / "new" / f"{i}.parquet", {name: column[rows] for name, column in columns.items()})
    monkeypatch.setattr("manymodes.apps.predict._ROWS_AT_ONCE", 10)
    assert main(["predict", str(model), str(tmp_path / "new"), "--output", str(tmp_path / "parts.csv")]) == 0
    assert main(["predict", str(model), str(houses), "--output", str(tmp_path / "whole.csv")]) == 0
    parts, whole = read_columns(tmp_path / "parts.csv"), read_columns(tmp_path / "whole.csv")
    assert len(whole["log_density"]) == 60
    for name, column in whole.items():
        np.testing.assert_allclose(parts[name], column, rtol=1e-9)
    columns["size"][47] = np.nan
    write_columns(tmp_path / "gap.csv", columns)
    told = refused(capsys, "predict", model, tmp_path / "gap.csv", "--output", tmp_path / "out.csv")
    assert "Column 'size' has 1 missing value (first: row 48)" in told
    assert not (tmp_path / "out.csv").exists()


def test_a_folder_of_parquet_files_is_learned_from_as_a_stream(tmp_path, capsys):
    (tmp_path / "houses").mkdir()
    for i in range(3):
        write_columns(tmp_path / "houses" / f"{i}.parquet", table(200, seed=i))
    command = ["fit", tmp_path / "houses", "--target", "price", "--output", tmp_path / "m", "--json"]
    assert main([*map(str, command), "--preset", "fast"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["features"] == ["size", "age"]
    assert sum(summary["rows"].values()) == pytest.approx(600, abs=20)
    assert 30 < summary["rows"]["held_out"] < 90
    scores = summary["scores"]
    assert scores["model"]["targets"]["price"]["rmse"] < 0.2 * scores["unconditional"]["targets"]["price"]["rmse"]
    model = mm.load(tmp_path / "m")
    assert model.feature_names_in_.tolist() == ["size", "age"]
    assert main(["predict", str(tmp_path / "m"), str(tmp_path / "houses"), "--output", str(tmp_path / "p.csv")]) == 0
    assert len(read_csv(tmp_path / "p.csv")["price_mean"]) == 600
    write_columns(tmp_path / "houses" / "3.parquet", {"size": np.ones(5), "age": np.ones(5)})
    told = refused(capsys, *command[:-2], tmp_path / "other")
    assert f"{str(tmp_path / 'houses' / '3.parquet')!r} has no column 'price'" in told
    assert names(tmp_path) == ["houses", "m", "p.csv"]


def torchrun(*command, processes=2):
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    launcher += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    return subprocess.run(
        [sys.executable, *launcher, "-m", "manymodes", *map(str, command)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def test_two_processes_fit_one_model_and_one_of_them_writes_it(tmp_path, houses):
    command = ["fit", houses, "--target", "price", "--json", *QUICK, "--output"]
    result = torchrun(*command, tmp_path / "two")
    assert result.returncode == 0, result.stderr
    assert main([*map(str, command), str(tmp_path / "one")]) == 0
    summaries = [json.loads((tmp_path / name / "summary.json").read_text()) for name in ("one", "two")]
    assert json.loads(result.stdout)["model"] == summaries[1]["model"]
    scores = [summary["scores"]["model"]["log_score"] for summary in summaries]
    assert scores[1] == pytest.approx(scores[0], abs=0.1)
    assert names(tmp_path) == ["houses.csv", "one", "two"]


def test_bad_input_to_several_processes_is_one_sentence_from_each(tmp_path, houses):
    result = torchrun("fit", houses, "--target", "cost", "--output", tmp_path / "m")
    assert result.returncode != 0
    assert f"manymodes: {str(houses)!r} has no column 'cost'; " in result.stderr


def test_a_world_that_nobody_started_is_refused(tmp_path, houses, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    told = refused(capsys, "fit", houses, "--target", "price", "--output", tmp_path / "m")
    assert "WORLD_SIZE=2 needs the other variables of torchrun" in told
    for size in ("0", "two"):
        monkeypatch.setenv("WORLD_SIZE", size)
        told = refused(capsys, "fit", houses, "--target", "price", "--output", tmp_path / "m")
        assert f"WORLD_SIZE must be an integer >= 1, the number of processes; got '{size}'." in told


def test_help_and_version_are_there(capsys):
    assert main(["--help"]) == 0
    assert "evaluate" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert mm.__version__ in capsys.readouterr().out
