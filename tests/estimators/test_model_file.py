import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import manymodes as mm
from manymodes._checks import InputError
from manymodes.estimators.model_file import MODEL_FORMAT
from manymodes.training.tensor_file import TensorFile

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def saved(tmp_path):
    X, y = mm.datasets.load_geyser()
    model = mm.MDNRegressor(2, n_members=2, frequency=0.1, hidden_sizes=(4,), max_epochs=2, random_state=0).fit(X, y)
    model.save(tmp_path / "model.mm")
    return tmp_path / "model.mm"


@pytest.mark.parametrize("version", range(1, MODEL_FORMAT.version + 1))
def test_every_format_version_stays_loadable(version):
    model = mm.load(FIXTURES / f"model-v{version}.mm")
    expected = json.loads((FIXTURES / f"model-v{version}.json").read_text())
    density = model.predict_distribution({"waiting_min": np.array(expected["waiting_min"])})
    # Parameters, not densities: other processors round float32 differently in the last digits.
    np.testing.assert_allclose(density.weights, expected["weights"], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(density.components.loc[..., 0], expected["loc"], rtol=1e-5)
    np.testing.assert_allclose(density.components.scale[..., 0], expected["scale"], rtol=1e-5)


@pytest.mark.parametrize("version", range(4, MODEL_FORMAT.version + 1))
def test_forecasters_of_every_format_version_stay_loadable(version):
    model = mm.load(FIXTURES / f"forecaster-v{version}.mm")
    expected = json.loads((FIXTURES / f"forecaster-v{version}.json").read_text())
    np.testing.assert_allclose(model.predict_quantiles([0.1, 0.5, 0.9]), expected["quantiles"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.sample_paths(2, random_state=0), expected["paths"], rtol=1e-4, atol=1e-5)


def test_a_file_holds_numbers_and_json_and_nothing_that_could_run(saved):
    with safe_open(saved, framework="pt") as file:
        metadata = file.metadata()
    assert set(metadata) == {"manymodes"}
    assert json.loads(metadata["manymodes"])["format_version"] == MODEL_FORMAT.version


@pytest.mark.parametrize(
    "settings", [{"atoms": (0.0,)}, {"family": "student_t"}, {"rounding": 0.5}, {"retrieval": True}]
)
def test_models_of_every_kind_predict_alike_after_loading(settings, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    y = np.where(rng.random(60) < 0.3, 0.0, X[:, 0])
    model = mm.MDNRegressor(preset="fast", max_epochs=2, n_members=2, random_state=0, **settings).fit(X, y)
    model.save(tmp_path / "m.mm")
    again = mm.load(tmp_path / "m.mm")
    rows = torch.from_numpy(y)[:, None]
    before, after = (one.predict_distribution(X).log_prob(rows) for one in (model, again))
    assert torch.equal(before, after)


@pytest.mark.parametrize("length", range(0, 64, 7))
def test_tensors_of_a_file_are_aligned_like_new_ones_so_that_products_round_alike(length, tmp_path):
    file = TensorFile("test", 1, "test file")
    file.write(tmp_path / "m.mm", {"one": torch.ones(3, 5), "two": torch.ones(7)}, {"note": "x" * length})
    tensors, _ = file.read(tmp_path / "m.mm")
    assert [value.data_ptr() % 64 for value in tensors.values()] == [0, 0]


def test_a_folder_that_holds_a_model_can_be_loaded(saved):
    assert mm.load(saved.parent).n_features_in_ == 1


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^There is no manymodes model file '.*nowhere\.mm'\.$"):
        mm.load(tmp_path / "nowhere.mm")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + bytes(100), bytes(100)])
def test_a_foreign_file_is_refused(tmp_path, content):
    (tmp_path / "model.mm").write_bytes(content)
    with pytest.raises(InputError, match="is not a manymodes model file, or it is damaged"):
        mm.load(tmp_path / "model.mm")


def test_a_safetensors_file_of_others_is_refused(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "model.mm")
    with pytest.raises(InputError, match=r"is a safetensors file, but not a manymodes model file\.$"):
        mm.load(tmp_path / "model.mm")


def test_every_truncation_is_noticed(saved):
    content = saved.read_bytes()
    for length in [*range(0, len(content), 97), len(content) - 1]:
        saved.write_bytes(content[:length])
        with pytest.raises(InputError):
            mm.load(saved)


def test_a_changed_byte_is_noticed(saved):
    content = bytearray(saved.read_bytes())
    for place in range(8, len(content), 53):
        content[place] ^= 1
        saved.write_bytes(content)
        with pytest.raises(InputError):
            mm.load(saved)
        content[place] ^= 1


def test_a_newer_version_asks_for_an_upgrade(saved):
    newer = TensorFile(MODEL_FORMAT.entry, 99, MODEL_FORMAT.noun)
    newer.write(saved, *MODEL_FORMAT.read(saved))
    with pytest.raises(InputError, match=r"has format version 99, and this manymodes reads up to 4; upgrade manymodes"):
        mm.load(saved)


def test_a_failed_save_keeps_the_old_model(saved, monkeypatch):
    before = saved.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        mm.load(saved).save(saved)
    assert saved.read_bytes() == before
    assert [file.name for file in saved.parent.iterdir()] == ["model.mm"]
