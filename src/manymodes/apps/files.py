"""Tables in files: CSV with the standard library, Parquet with pyarrow where it is installed."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from manymodes import _checks
from manymodes.training.files import new_file
from manymodes.training.rows.parquet import batches, opened, parquet_files, pyarrow, reason

Columns = dict[str, NDArray[Any]]

_CSV, _PARQUET = (".csv", ".tsv", ".txt"), (".parquet", ".pq")
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
_TRUTH = {"true": 1.0, "false": 0.0}
_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?")
_DELIMITERS = ",;\t|"


def read_columns(path: Path) -> Columns:
    """Return the columns of a CSV or Parquet file by name: numbers as float64, times, anything else as objects.

    Empty cells, NA, NaN and null are missing: NaN, or None among text. The delimiter of a CSV file is found from its
    header.

    Raises:
        ValueError: A file that does not exist, is empty, damaged or of an unknown kind.
    """
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise _checks.InputError(f"{str(path)!r} {what}; hand in a CSV or Parquet file.")
    _check_suffix(path)
    if path.stat().st_size == 0:
        raise _checks.InputError(f"{str(path)!r} is empty; it must hold a header and rows below it.")
    columns = _read_parquet(path) if path.suffix.lower() in _PARQUET else _read_csv(path)
    if not columns or len(next(iter(columns.values()))) == 0:
        raise _checks.InputError(f"{str(path)!r} has no rows below its header.")
    return columns


def read_parts(path: Path, n_rows: int = 65_536) -> Iterator[Columns]:
    """Return the columns of a table some rows at a time: a Parquet file or a folder of them is read as it is needed.

    Raises:
        ValueError: As ``read_columns``, or a folder without Parquet files.
    """
    if not path.is_dir() and path.suffix.lower() not in _PARQUET:
        columns = read_columns(path)
        n_all = len(next(iter(columns.values())))
        for first in range(0, n_all, n_rows):
            yield {name: column[first : first + n_rows] for name, column in columns.items()}
        return
    n_read = 0
    for file in parquet_files(path):
        _check_names(file, opened(file).schema_arrow.names)
        for batch in batches(file, n_rows=n_rows):
            n_read += len(batch)
            yield {name: _values(batch.column(name)) for name in batch.schema.names}
    if not n_read:
        raise _checks.InputError(f"{str(path)!r} has no rows below its header.")


def write_parts(path: Path, parts: Iterable[Mapping[str, NDArray[Any]]]) -> None:
    """Write tables of the same columns, one below the other as they come, to a CSV or Parquet file.

    It is written whole or not at all; NaN becomes an empty cell in CSV.
    """
    write = _write_parquet if path.suffix.lower() in _PARQUET else _write_csv
    with new_file(path) as file:
        write(file, parts, "\t" if path.suffix.lower() == ".tsv" else ",")


def _write_parquet(file: BinaryIO, parts: Iterable[Mapping[str, NDArray[Any]]], _: str) -> None:
    arrow, parquet = pyarrow()
    tables = (arrow.table(dict(part)) for part in parts)
    first = next(tables)
    with parquet.ParquetWriter(file, first.schema, write_page_checksum=True) as writer:
        for table in chain([first], tables):
            writer.write_table(table)


def _write_csv(file: BinaryIO, parts: Iterable[Mapping[str, NDArray[Any]]], delimiter: str) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, delimiter=delimiter)
    for number, part in enumerate(parts):
        if number == 0:
            writer.writerow(part)
        cells = ([_cell(value) for value in column] for column in part.values())
        writer.writerows(zip(*cells, strict=True))
    text.detach()  # the file is closed by whoever opened it


def check_new_file(path: Path, *, overwrite: bool) -> None:
    """Refuse an output file of an unknown kind, in a folder that is not there, or that exists already."""
    _check_suffix(path)
    if not path.parent.is_dir():
        raise _checks.InputError(f"the folder {str(path.parent)!r} does not exist; create it first.")
    if path.exists() and not overwrite:
        raise _checks.InputError(f"{str(path)!r} exists already; choose another name or pass --overwrite.")


def _check_suffix(path: Path) -> None:
    if path.suffix.lower() not in _CSV + _PARQUET:
        raise _checks.InputError(
            f"{str(path)!r} must end in {', '.join((*_CSV, _PARQUET[0]))} or {_PARQUET[1]}, which tells its format."
        )
    if path.suffix.lower() in _PARQUET:
        pyarrow()


def _read_csv(path: Path) -> Columns:
    try:
        text = path.read_text(encoding="utf-8-sig")
        delimiter = "\t" if path.suffix.lower() == ".tsv" else _delimiter(text.partition("\n")[0])
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        lines = [(reader.line_num, row) for row in reader]
    except UnicodeDecodeError as error:
        raise _checks.InputError(
            f"{str(path)!r} is not UTF-8 text (byte {error.start}); save it as CSV in UTF-8."
        ) from None
    except (csv.Error, ValueError) as error:
        raise _checks.InputError(f"{str(path)!r} cannot be read as CSV: {error}.") from None
    while lines and not lines[-1][1]:
        lines.pop()
    names = [name.strip() for name in lines[0][1]] if lines else []
    _check_names(path, names)
    if len(names) == 1:  # an empty line is an empty cell
        lines = [(line, row or [""]) for line, row in lines]
    rows = [row for _, row in lines[1:] if row]
    for line, row in lines[1:]:
        if row and len(row) != len(names):
            raise _checks.InputError(
                f"{str(path)!r} has {_checks.counted(len(row), 'cell')} in line {line}, but {len(names)} in its header."
            )
    cells = zip(*rows, strict=True) if rows else [()] * len(names)
    return {name: _parse(list(column)) for name, column in zip(names, cells, strict=True)}


def _delimiter(header: str) -> str:
    """Return what splits the header into most names; quoted parts stay whole."""
    return max(_DELIMITERS, key=lambda candidate: len(next(csv.reader([header], delimiter=candidate), [])))


def _check_names(path: Path, names: list[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if "" in names:
        raise _checks.InputError(
            f"{str(path)!r} has no name for column {names.index('') + 1}; name it, or leave it out if it only numbers "
            "the rows."
        )
    if repeated:
        raise _checks.InputError(f"{str(path)!r} has more than one column named {_checks.quoted(repeated)}.")


def _parse(cells: list[str]) -> NDArray[Any]:
    """Return a column as float64 where every cell is a number, true, false or missing; as times, or else as strings.

    Points in time are those of ISO 8601, without a zone. What is missing is NaN, NaT or None.
    """
    lower = {cell.strip().lower() for cell in cells} - _MISSING
    if lower and lower <= _TRUTH.keys():
        return np.array([_TRUTH.get(cell.strip().lower(), np.nan) for cell in cells])
    known = ["nan" if cell.strip().lower() in _MISSING else cell for cell in cells]
    try:
        return np.array(known, dtype=np.float64)
    except ValueError:
        known_cells = [None if cell.strip().lower() in _MISSING else cell.strip() for cell in cells]
    if all(cell is None or _TIME.fullmatch(cell) for cell in known_cells):
        with suppress(ValueError):  # the 31st of February
            return np.array(["NaT" if cell is None else cell for cell in known_cells], dtype="datetime64[us]")
    return np.array(known_cells, dtype=object)


def _read_parquet(path: Path) -> Columns:
    arrow, parquet = pyarrow()
    try:
        _check_names(path, parquet.read_schema(path).names)
        table = parquet.read_table(path, page_checksum_verification=True)
    except _checks.InputError:
        raise
    except (arrow.ArrowException, OSError) as error:
        raise _checks.InputError(f"{str(path)!r} cannot be read as Parquet: {reason(error)}") from None
    return {name: table[name].to_numpy() for name in table.column_names}


def _values(column: Any) -> NDArray[Any]:
    arrow, _ = pyarrow()
    try:
        values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    except arrow.ArrowException:  # a kind that NumPy does not know
        return np.array(column.to_pylist(), dtype=object)
    return values


def _cell(value: float) -> str:
    return "" if math.isnan(value) else repr(float(value))
