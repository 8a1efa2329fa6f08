import numpy as np
import pytest

from manymodes._checks import InputError
from manymodes.apps.files import check_new_file, read_columns, read_parts, write_parts


def write_columns(path, columns):
    write_parts(path, [columns])


def write(tmp_path, text, name="table.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_text(text, encoding=encoding)
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_numbers_text_and_missing_cells_are_told_apart(tmp_path, delimiter):
    text = 'a,name,b\n1,x,\n2.5,"y, z",NA\n-3e2,,7\n'.replace(",", delimiter).replace(f"y{delimiter} z", "y, z")
    columns = read_columns(write(tmp_path, text))
    np.testing.assert_array_equal(columns["a"], [1, 2.5, -300])
    assert columns["name"].tolist() == ["x", "y, z", None]
    np.testing.assert_array_equal(columns["b"], [np.nan, np.nan, 7])


def test_points_in_time_are_read_where_all_of_a_column_are(tmp_path):
    columns = read_columns(write(tmp_path, "a,b,c\n2024-02-29,2024-02-29T12:30,2024-02-29\n,NA,soon\n"))
    np.testing.assert_array_equal(columns["a"], np.array(["2024-02-29", "NaT"], dtype="datetime64[us]"))
    np.testing.assert_array_equal(columns["b"], np.array(["2024-02-29T12:30", "NaT"], dtype="datetime64[us]"))
    assert columns["c"].tolist() == ["2024-02-29", "soon"]
    assert read_columns(write(tmp_path, "a,b\n2024-02-31,1\n"))["a"].tolist() == ["2024-02-31"]


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_names(tmp_path):
    columns = read_columns(write(tmp_path, "a,b\r\n1,2\r\n", encoding="utf-8-sig"))
    assert list(columns) == ["a", "b"]
    assert columns["b"].tolist() == [2]


def test_truth_values_are_numbers_and_empty_lines_are_no_rows(tmp_path):
    columns = read_columns(write(tmp_path, "a,b\nTrue,1\n\nfalse,2\n,3\n"))
    np.testing.assert_array_equal(columns["a"], [1, 0, np.nan])
    assert columns["b"].tolist() == [1, 2, 3]


def test_lines_of_empty_cells_below_a_table_are_no_rows_but_those_inside_are(tmp_path):
    columns = read_columns(write(tmp_path, "a,b\n1,2\n,\n3,4\n,\n , \n"))
    np.testing.assert_array_equal(columns["a"], [1, np.nan, 3])


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1,5", "-2", "", "3,25e1"], [1.5, -2, np.nan, 32.5]),
        (["0,125", "1,250"], [0.125, 1.25]),
        (["1,250", "12,000"], ["1,250", "12,000"]),
        (["1,5", "2.5"], ["1,5", "2.5"]),
        (["1,5", "Ayr"], ["1,5", "Ayr"]),
    ],
)
def test_decimal_commas_between_semicolons_are_numbers_unless_they_may_be_thousands(tmp_path, cells, values):
    columns = read_columns(write(tmp_path, "n;a\n" + "".join(f"1;{cell}\n" for cell in cells)))
    np.testing.assert_array_equal(columns["a"], np.array(values, object if isinstance(values[0], str) else float))


def test_an_empty_line_in_a_single_column_is_a_missing_cell(tmp_path):
    np.testing.assert_array_equal(read_columns(write(tmp_path, "a\n1\n\n3\n\n"))["a"], [1, np.nan, 3])


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "folder"])
def test_parts_of_a_table_are_the_whole(tmp_path, name):
    columns = {"a": np.arange(250.0), "b": np.arange(250.0) ** 2}
    if name == "folder":
        (tmp_path / name).mkdir()
        write_columns(tmp_path / name / "1.parquet", {key: column[:180] for key, column in columns.items()})
        write_columns(tmp_path / name / "2.parquet", {key: column[180:] for key, column in columns.items()})
    else:
        write_columns(tmp_path / name, columns)
    parts = list(read_parts(tmp_path / name, 100))
    assert max(len(part.columns["a"]) for part in parts) == 100
    assert {part.n_all for part in parts} == {250}
    for key, column in columns.items():
        np.testing.assert_array_equal(np.concatenate([part.columns[key] for part in parts]), column)


@pytest.mark.parametrize("name", ["out.csv", "out.parquet", "out.tsv"])
def test_parts_are_written_as_the_whole_would_be(tmp_path, name):
    columns = {"a": np.array([0.1, np.nan, 1e-300]), "b": np.array([1.0, 2.0, 3.0])}
    parts = ({key: column[i : i + 1] for key, column in columns.items()} for i in range(3))
    write_parts(tmp_path / name, parts)
    again = read_columns(tmp_path / name)
    for key, column in columns.items():
        np.testing.assert_array_equal(again[key], column)


def test_a_table_whose_parts_fail_is_not_written(tmp_path):
    def parts():
        yield {"a": np.zeros(3)}
        raise InputError("no more")

    with pytest.raises(InputError, match="no more"):
        write_parts(tmp_path / "t.csv", parts())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["out.csv", "out.parquet", "out.tsv"])
def test_what_is_written_is_read_back(tmp_path, name):
    columns = {"a": np.array([0.1, np.nan, 1e-300]), "b": np.array([1.0, 2.0, 3.0])}
    write_columns(tmp_path / name, columns)
    again = read_columns(tmp_path / name)
    for key, column in columns.items():
        np.testing.assert_array_equal(again[key], column)


def test_parquet_keeps_integers_nulls_and_text(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"i": [1, None, 3], "t": ["x", None, "z"]}), tmp_path / "t.parquet")
    columns = read_columns(tmp_path / "t.parquet")
    np.testing.assert_array_equal(columns["i"], [1, np.nan, 3])
    assert columns["t"].tolist() == ["x", None, "z"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("t.csv", b"", "is empty; it must hold a header and rows below it."),
        ("t.csv", b"a,b\n", "has no rows below its header."),
        ("t.csv", b"a,b\n1,2\n3\n", "has 1 cell in line 3, but 2 in its header."),
        ("t.csv", b"a,a\n1,2\n", "has more than one column named 'a'."),
        ("t.csv", b"a\xff\n1\n", "is not UTF-8 text (byte 1); save it as CSV in UTF-8."),
        ("t.xlsx", b"PK", "must end in .csv, .tsv, .txt, .parquet or .pq, which tells its format."),
        (
            "t.csv",
            b",a\n0,1\n",
            "has no name for column 1; name it, or leave it out if it only numbers the rows.",
        ),
        ("t.parquet", b"nonsense", "cannot be read as Parquet: "),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path, name, content, sentence):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_columns(path)
    assert f"{str(path)!r} {sentence}" in str(caught.value)


@pytest.mark.parametrize("text", ["size (m, net)\ty\n1\t2\n", '"x;1;2;3";y\n1;2\n', '"a,b",y\n1,2\n'])
def test_delimiters_inside_names_are_no_delimiters(tmp_path, text):
    columns = read_columns(write(tmp_path, text, "t.tsv" if "\t" in text else "t.csv"))
    assert [column.tolist() for column in columns.values()] == [[1], [2]]


def test_a_damaged_parquet_file_is_refused_by_name(tmp_path):
    path = tmp_path / "t.parquet"
    write_columns(path, {"a": np.arange(2000.0), "b": np.arange(2000.0)})
    content = path.read_bytes()

    def flipped(start: int, end: int) -> bytes:
        return content[:start] + bytes(byte ^ 255 for byte in content[start:end]) + content[end:]

    for broken in (flipped(4, 400), flipped(3000, 3100), flipped(len(content) - 60, len(content)), content[:500]):
        path.write_bytes(broken)
        with pytest.raises(InputError) as caught:
            read_columns(path)
        assert str(caught.value).startswith(f"{str(path)!r} cannot be read as Parquet: ")
        assert "\n" not in str(caught.value)


def test_parquet_columns_of_one_name_are_refused(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table([[1.0], [2.0]], names=["a", "a"]), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="has more than one column named 'a'"):
        read_columns(tmp_path / "t.parquet")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist; hand in a CSV or Parquet file"):
        read_columns(tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match="holds no CSV or Parquet files"):
        read_columns(tmp_path)


def test_an_output_that_exists_or_has_no_folder_is_refused(tmp_path):
    path = write(tmp_path, "precious")
    with pytest.raises(InputError, match="exists already; choose another name or pass --overwrite"):
        check_new_file(path, overwrite=False)
    check_new_file(path, overwrite=True)
    with pytest.raises(InputError, match="the folder '.*no' does not exist; create it first"):
        check_new_file(tmp_path / "no" / "t.csv", overwrite=False)
