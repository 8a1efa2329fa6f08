import json

import numpy as np
import pytest

import manymodes as mm
from manymodes import runtime
from manymodes.apps.cli import main
from manymodes.apps.export import export_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a model and the summary of its fit, as ``fit`` writes them."""
    made = tmp_path_factory.mktemp("model")
    rng = np.random.default_rng(0)
    X, y = {"size": rng.normal(size=60)}, {"price": rng.normal(size=60)}
    model = mm.MDNRegressor(2, preset="fast", n_members=2, hidden_sizes=(8,), max_epochs=2, random_state=0).fit(X, y)
    model.save(made / "model.mm")
    score = {"crps": 0.5, "rmse": 1.0, "mae": 0.75, "coverage_90": 0.875}
    own = {"n_rows": 12, "log_score": 1.25, "log_score_standard_error": 0.1, "targets": {"price": score}}
    summary = {"rows": {"held_out": 12}, "scores": {"model": own, "unconditional": {**own, "log_score": None}}}
    (made / "summary.json").write_text(json.dumps(summary))
    return made


def test_the_command_writes_a_folder_that_predicts_without_torch(folder, tmp_path, capsys):
    assert main(["export", str(folder), "--output", str(tmp_path / "out")]) == 0
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "MODEL_CARD.md",
        "model.json",
        "parameters.onnx",
        "runtime.py",
    ]
    rows = {"size": np.array([0.5, -1.0])}
    exported, model = runtime.load(tmp_path / "out"), mm.load(folder)
    np.testing.assert_allclose(exported.predict_distribution(rows).mean[:, 0], model.predict(rows).ravel(), rtol=1e-9)
    assert f"Exported: {tmp_path / 'out'}" in capsys.readouterr().err


def test_the_folder_lies_beside_the_model_unless_another_is_named(folder, tmp_path, capsys):
    copy = tmp_path / "houses"
    copy.mkdir()
    (copy / "model.mm").write_bytes((folder / "model.mm").read_bytes())
    assert main(["export", str(copy), "--to", "onnx"]) == 0
    assert (tmp_path / "houses-onnx" / "runtime.py").is_file()


def test_the_card_tells_the_scores_of_the_fit(folder, tmp_path):
    export_model(folder, tmp_path / "out", overwrite=False)
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert "On 12 rows held out" in card
    assert "| model | price | 1.25 | 0.5 | 1 | 0.75 | 87.5% |" in card
    assert "| unconditional | price |  | 0.5 |" in card


def test_what_cannot_be_exported_is_told_in_a_sentence(folder, tmp_path, capsys):
    (tmp_path / "there").mkdir()
    no_format = 'Invalid value "pmml" for --to. Choose from: "onnx". See manymodes --help.'
    for tokens, sentence in (
        (["--output", str(tmp_path / "there")], "exists already; choose another folder or pass --overwrite."),
        (["--output", str(tmp_path / "new"), "--to", "pmml"], no_format),
    ):
        capsys.readouterr()
        assert main(["export", str(folder), *tokens]) == 2
        assert capsys.readouterr().err.strip().endswith(sentence)


def test_other_models_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    model = mm.MDNForecaster(2, context=4, n_members=2, hidden_sizes=(8,), max_epochs=1, random_state=0).fit(
        rng.normal(size=80)
    )
    model.save(tmp_path / "series.mm")
    with pytest.raises(ValueError, match=r"holds a MDNForecaster, and only an MDNRegressor can be exported; export"):
        export_model(tmp_path / "series.mm", tmp_path / "out", overwrite=False)
