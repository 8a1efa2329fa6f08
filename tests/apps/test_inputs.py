import io

import numpy as np
import pytest

from manymodes._checks import InputError
from manymodes.apps.files import read_columns, read_parts, write_parts
from manymodes.apps.inputs import STANDARD, input_files, is_parquet_folder


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def refusal(path) -> str:
    with pytest.raises(InputError) as caught:
        read_columns(path)
    return str(caught.value)


def test_a_folder_of_csv_files_is_read_in_the_order_of_names_and_columns_in_any(tmp_path):
    write(tmp_path / "b.csv", "x,y\n3,c\n")
    write(tmp_path / "a.csv", "y,x\na,1\nb,2\n")
    write(tmp_path / "deep" / "c.csv", "x;y\n4;d\n")
    columns = read_columns(tmp_path)
    assert list(columns) == ["y", "x"]
    assert columns["y"].tolist() == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(columns["x"], [1, 2, 3, 4])


def test_what_a_column_holds_is_decided_by_all_files(tmp_path):
    write(tmp_path / "a.csv", "x\n1\n\n2\n")
    write(tmp_path / "b.csv", "x\nmany\n")
    assert read_columns(tmp_path)["x"].tolist() == ["1", None, "2", "many"]


def test_hidden_files_and_texts_in_a_folder_are_no_tables(tmp_path):
    write(tmp_path / "a.csv", "x\n1\n")
    write(tmp_path / ".ipynb_checkpoints" / "a.csv", "x\n2\n")
    write(tmp_path / ".a.csv", "x\n3\n")
    write(tmp_path / "readme.txt", "hello")
    assert input_files(tmp_path) == [tmp_path / "a.csv"]


def test_a_pattern_names_the_files_that_match_it(tmp_path):
    for name in ("2024-2.csv", "2024-1.csv", "2023-1.csv"):
        write(tmp_path / name, "x\n1\n")
    assert input_files(tmp_path / "2024-*.csv") == [tmp_path / "2024-1.csv", tmp_path / "2024-2.csv"]
    assert len(input_files(tmp_path / "**" / "*.csv")) == 3


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path):
    path = write(tmp_path / "rate [h].csv", "x\n1\n")
    assert input_files(path) == [path]


def test_several_parquet_files_are_read_as_one_and_numbers_may_differ_in_kind(tmp_path):
    for name, values in (("a", np.array([1, 2])), ("b", np.array([0.5]))):
        write_parts(tmp_path / f"{name}.parquet", [{"x": values}])
    np.testing.assert_array_equal(read_columns(tmp_path)["x"], [1, 2, 0.5])
    np.testing.assert_array_equal(read_columns(tmp_path / "*.parquet")["x"], [1, 2, 0.5])
    assert is_parquet_folder(tmp_path)
    assert not is_parquet_folder(tmp_path / "a.parquet")


def test_parts_keep_cells_as_they_stand(tmp_path):
    write(tmp_path / "t.csv", "id,x\n007,1\n008,\n")
    (part,) = read_parts(tmp_path / "t.csv", keep=["id", "x"])
    assert part.kept["id"].tolist() == ["007", "008"]
    assert part.kept["x"].tolist() == ["1", ""]
    np.testing.assert_array_equal(part.columns["id"], [7, 8])


def test_whole_numbers_times_and_gaps_are_written_as_people_write_them(tmp_path):
    columns = {
        "whole": np.array([3.0, np.nan]),
        "share": np.array([0.1, 1e-300]),
        "day": np.array(["2024-01-02T03:04:05", "NaT"], dtype="datetime64[ns]"),
        "name": np.array(["a,b", None], dtype=object),
        "yes": np.array([True, False]),
    }
    write_parts(tmp_path / "t.csv", [columns])
    assert (tmp_path / "t.csv").read_bytes().decode() == (
        'whole,share,day,name,yes\r\n3,0.1,2024-01-02 03:04:05,"a,b",True\r\n,1e-300,,,False\r\n'
    )


def test_the_standard_input_is_a_csv_file(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("x;y\r\n1;ü\r\n".encode())))
    columns = read_columns(STANDARD)
    assert columns["x"].tolist() == [1]
    assert columns["y"].tolist() == ["ü"]
    assert refusal(STANDARD) == "the standard input is empty; it must hold a header and rows below it."


def test_files_of_other_columns_are_refused_by_name(tmp_path):
    first = write(tmp_path / "a.csv", "size,price\n1,2\n")
    other = write(tmp_path / "b.csv", "sise,price\n1,2\n")
    assert refusal(tmp_path) == f"{str(other)!r} has no column 'size'; the nearest is 'sise'."
    write(other, "size,price,extra\n1,2,3\n")
    assert refusal(tmp_path) == (
        f"{str(other)!r} has a column 'extra' that {str(first)!r} has not; all files must have the same columns."
    )
    write(other, "size,price,more,extra\n1,2,3,4\n")
    assert refusal(tmp_path) == (
        f"{str(other)!r} has columns 'more', 'extra' that {str(first)!r} has not; all files must have the same columns."
    )


def test_parquet_files_of_other_columns_or_kinds_are_refused(tmp_path):
    write_parts(tmp_path / "a.parquet", [{"x": np.zeros(2)}])
    write_parts(tmp_path / "b.parquet", [{"z": np.zeros(2)}])
    assert refusal(tmp_path) == f"{str(tmp_path / 'b.parquet')!r} has no column 'x'; it begins with 'z'."
    write_parts(tmp_path / "b.parquet", [{"x": np.array(["1", "2"], dtype=object)}])
    assert refusal(tmp_path).startswith(
        f"{str(tmp_path / 'a.parquet')!r} and the files after it must hold columns of the same kinds; "
    )


def test_paths_that_name_no_tables_are_refused(tmp_path):
    assert refusal(tmp_path) == f"{str(tmp_path)!r} holds no CSV or Parquet files."
    pattern = tmp_path / "*.csv"
    assert refusal(pattern) == (f"no file matches {str(pattern)!r}; hand in a file, a folder or another pattern.")
    assert (
        refusal(tmp_path / "no.csv") == f"{str(tmp_path / 'no.csv')!r} does not exist; hand in a CSV or Parquet file."
    )
    write(tmp_path / "notes.md", "")
    assert refusal(tmp_path / "*.md") == (
        f"{str(tmp_path / 'notes.md')!r} must end in .csv, .tsv, .txt, .parquet or .pq, which tells its format."
    )


def test_files_of_both_kinds_are_refused(tmp_path):
    write(tmp_path / "a.csv", "x\n1\n")
    write_parts(tmp_path / "b.parquet", [{"x": np.zeros(2)}])
    assert refusal(tmp_path) == (
        f"{str(tmp_path)!r} holds both CSV and Parquet files; name files of one kind, say with the pattern "
        f"{str(tmp_path / '*.csv')!r}."
    )
