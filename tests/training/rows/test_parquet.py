import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import manymodes as mm
from manymodes._checks import InputError
from manymodes.training import ParquetStream

from ..test_loop import network


def table(n=1000, seed=0, **more):
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(size=n), rng.integers(0, 9, n)
    return pa.table({"a": a, "b": b, "y": np.sin(6 * a) + 0.1 * b, **more})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "below").mkdir()
    pq.write_table(table(1000, 0), tmp_path / "one.parquet", row_group_size=300)
    pq.write_table(table(700, 1), tmp_path / "below" / "two.pq", row_group_size=250)
    return tmp_path


def values(stream, seed=None):
    blocks = list(stream.blocks(seed))
    return torch.cat([torch.cat(block[:2], 1) for block in blocks])


def test_a_folder_is_read_whole_and_in_the_order_of_its_names(folder):
    stream = ParquetStream(folder, ["y"], block_rows=128)
    assert (stream.features, stream.targets, stream.n_file_rows) == (["a", "b"], ["y"], 1700)
    tables = [table(700, 1), table(1000, 0)]
    expected = np.concatenate([np.stack([t[name].to_numpy() for name in "aby"], 1) for t in tables])
    np.testing.assert_array_equal(values(stream).numpy(), expected)
    files = [folder / "one.parquet", folder / "below" / "two.pq"]
    assert torch.equal(values(ParquetStream(files, ["y"])), values(stream)[[*range(700, 1700), *range(700)]])


def test_a_seed_gives_the_same_rows_in_another_order_with_row_groups_mixed(folder):
    stream = ParquetStream(folder, ["y"], block_rows=100)
    first, again, other = values(stream, 1), values(stream, 1), values(stream, 2)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(first[:, 0].sort().values, values(stream)[:, 0].sort().values)
    beginning = next(stream.blocks(1))[0], *(block[0] for block in list(stream.blocks(1))[1:4])
    assert all(not torch.equal(beginning[0], part) for part in beginning[1:])
    in_order = values(stream)[:, 0]
    places = [int((in_order == float(part[0, 0])).nonzero()) for part in beginning]
    assert min(abs(a - b) for i, a in enumerate(places) for b in places[:i]) >= 100  # none follows another


def test_a_network_learns_from_files(folder):
    net = network(f=2)
    stream = ParquetStream(folder, ["y"], features=["b", "a"])
    history = mm.fit(net, stream, max_epochs=30, batch_size=64, random_state=0, lr=1e-2)
    assert history.n_train + history.n_validation == pytest.approx(1700, abs=30)
    new = table(500, 2)
    x = torch.tensor(np.stack([new["b"].to_numpy(), new["a"].to_numpy()], 1))
    y = torch.tensor(new["y"].to_numpy())[:, None]
    assert mm.metrics.crps(net(x), y).mean() < 0.15 * y.std()


def test_weights_are_a_column(tmp_path):
    pq.write_table(table(100, w=np.arange(100.0)), tmp_path / "t.parquet")
    stream = ParquetStream(tmp_path / "t.parquet", "y", weight="w")
    assert stream.features == ["a", "b"]
    (block,) = stream.blocks(None)
    assert torch.equal(block[2], torch.arange(100.0, dtype=torch.float64))


def test_booleans_and_decimals_are_numbers(tmp_path):
    pq.write_table(
        pa.table(
            {
                "a": pa.array([True, False]),
                "b": pa.array([1, 2]).cast(pa.decimal128(21, 2)),
                "y": pa.array([1.0, 2.0], pa.float32()),
            }
        ),
        tmp_path / "t.parquet",
    )
    assert values(ParquetStream(tmp_path / "t.parquet", ["y"])).tolist() == [[1, 1, 1], [0, 2, 2]]


def refused(call):
    with pytest.raises(InputError) as caught:
        call()
    return str(caught.value)


def test_files_that_cannot_be_streamed_are_refused_by_name(tmp_path):
    file = tmp_path / "t.parquet"
    assert refused(lambda: ParquetStream(tmp_path, ["y"])) == f"{str(tmp_path)!r} holds no Parquet files."
    assert refused(lambda: ParquetStream(file, ["y"])) == (
        f"{str(file)!r} does not exist; hand in a Parquet file or a folder of them."
    )
    pq.write_table(table(50), file)
    assert refused(lambda: ParquetStream(file, ["z"])).startswith(f"{str(file)!r} has no column 'z'; ")
    assert refused(lambda: ParquetStream(file, ["a", "b", "y"])) == (
        f"{str(file)!r} has no column left to predict from; it needs one more."
    )
    content = file.read_bytes()
    file.write_bytes(content[:-20])
    assert refused(lambda: ParquetStream(file, ["y"])).startswith(f"{str(file)!r} cannot be read as Parquet: ")


def test_a_column_that_changes_its_type_midway_is_refused_before_anything_is_read(folder):
    pq.write_table(table(20).set_column(1, "b", pa.array(["x"] * 20)), folder / "three.parquet")
    assert refused(lambda: ParquetStream(folder, ["y"])) == (
        f"Column 'b' holds string in {str(folder / 'three.parquet')!r}, and a stream must hold numbers; leave it out "
        "or turn it into numbers in every file."
    )
    assert ParquetStream(folder, ["y"], features=["a"]).n_file_rows == 1720


def test_a_missing_value_is_told_by_column_row_and_file(tmp_path):
    a = np.arange(60.0)
    a[47] = np.nan
    file = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": a, "y": np.arange(60.0)}), file, row_group_size=30)
    told = refused(lambda: mm.fit(network(), ParquetStream(file, ["y"], block_rows=10), max_epochs=1))
    assert told == (
        f"Column 'a' has a missing or infinite value in row 18 of row group 2 of {str(file)!r}; leave such rows out or "
        "fill them in."
    )


def test_a_row_group_that_cannot_be_read_is_told(tmp_path):
    file = tmp_path / "t.parquet"
    pq.write_table(table(3000), file, row_group_size=1000, write_page_checksum=True, compression="none")
    content = bytearray(file.read_bytes())
    offset = pq.read_metadata(file).row_group(1).column(0).data_page_offset
    for place in range(offset + 100, offset + 400):
        content[place] ^= 0xFF
    file.write_bytes(content)
    told = refused(lambda: mm.fit(network(f=2), ParquetStream(file, ["y"]), max_epochs=1))
    assert told.startswith(f"row group 2 of {str(file)!r} cannot be read: ")
