"""Tables in files: CSV with the standard library, Parquet with pyarrow where it is installed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manymodes import _checks
from manymodes.apps.csv_tables import Columns, check_names, check_same_columns, parsed, read_cells, write_csv
from manymodes.apps.inputs import STANDARD, check_suffix, input_files, is_parquet
from manymodes.training.files import new_file
from manymodes.training.rows.parquet import batches, opened, pyarrow, reason

__all__ = ["Columns", "Part", "check_new_file", "read_columns", "read_parts", "write_parts"]


class Part(NamedTuple):
    """Some rows of a table.

    Attributes:
        columns: Its columns by name, as ``read_columns`` gives them.
        kept: Those that are to be copied: cells of a CSV file as they stand there, values of a Parquet file.
        n_all: Number of rows of the whole table.
    """

    columns: Columns
    kept: Columns
    n_all: int


def read_columns(path: Path) -> Columns:
    """Return the columns of a CSV or Parquet table by name: numbers as float64, times, anything else as objects.

    Empty cells, NA, NaN and null are missing: NaN, or None among text. The delimiter of a CSV file is found from its
    header.

    Args:
        path: A file, a folder or a pattern, whose files must have the same columns, or ``-`` for the standard input.

    Raises:
        ValueError: A file that does not exist, is empty, damaged or of an unknown kind, or has other columns.
    """
    files = input_files(path)
    if is_parquet(files[0]):
        return _read_parquet(files)
    return {name: parsed(column) for name, column in read_cells(files).items()}


def read_parts(path: Path, n_rows: int = 65_536, *, keep: Sequence[str] = ()) -> Iterator[Part]:
    """Return a table some rows at a time: Parquet files are read as they are needed, CSV files as a whole.

    Args:
        path: As in ``read_columns``.
        n_rows: Rows at a time.
        keep: Columns that are to be copied.

    Raises:
        ValueError: As ``read_columns``, or a column to be copied that is not there.
    """
    files = input_files(path)
    yield from (_parquet_parts if is_parquet(files[0]) else _csv_parts)(files, n_rows, keep)


def _csv_parts(files: Sequence[Path], n_rows: int, keep: Sequence[str]) -> Iterator[Part]:
    cells = read_cells(files)
    _checks.known_columns(keep, list(cells), repr(str(files[0])))
    kept = {name: np.array([cell.strip() for cell in cells[name]], dtype=object) for name in keep}
    columns = {name: parsed(column) for name, column in cells.items()}
    n_all = len(next(iter(columns.values())))
    for first in range(0, n_all, n_rows):
        rows = slice(first, first + n_rows)
        yield Part(
            {name: column[rows] for name, column in columns.items()},
            {name: column[rows] for name, column in kept.items()},
            n_all,
        )


def _parquet_parts(files: Sequence[Path], n_rows: int, keep: Sequence[str]) -> Iterator[Part]:
    n_all = 0
    for file in files:
        content = opened(file)
        check_names(file, content.schema_arrow.names)
        _checks.known_columns(keep, content.schema_arrow.names, repr(str(file)))
        n_all += content.metadata.num_rows
        content.close()
    if not n_all:
        raise _checks.InputError(f"{str(files[0])!r} has no rows below its header.")
    for file in files:
        for batch in batches(file, n_rows=n_rows):
            columns = {name: _values(batch.column(name)) for name in batch.schema.names}
            yield Part(columns, {name: columns[name] for name in keep}, n_all)


def write_parts(path: Path, parts: Iterable[Mapping[str, NDArray[Any]]]) -> None:
    """Write tables of the same columns, one below the other as they come, to a CSV or Parquet file.

    It is written whole or not at all, but for ``-``, the standard output, which gets CSV as it comes. NaN becomes an
    empty cell in CSV.
    """
    if path == STANDARD:
        write_csv(sys.stdout.buffer, parts, ",")
        return
    write = _write_parquet if is_parquet(path) else write_csv
    with new_file(path) as file:
        write(file, parts, "\t" if path.suffix.lower() == ".tsv" else ",")


def check_new_file(path: Path, *, overwrite: bool) -> None:
    """Refuse an output file of an unknown kind, in a folder that is not there, or that exists already."""
    if path == STANDARD:
        return
    check_suffix(path)
    if not path.parent.is_dir():
        raise _checks.InputError(f"the folder {str(path.parent)!r} does not exist; create it first.")
    if path.exists() and not overwrite:
        raise _checks.InputError(f"{str(path)!r} exists already; choose another name or pass --overwrite.")


def _write_parquet(file: BinaryIO, parts: Iterable[Mapping[str, NDArray[Any]]], _: str) -> None:
    arrow, parquet = pyarrow()
    tables = (arrow.table(dict(part)) for part in parts)
    first = next(tables)
    with parquet.ParquetWriter(file, first.schema, write_page_checksum=True) as writer:
        for table in chain([first], tables):
            writer.write_table(table.cast(first.schema))


def _read_parquet(files: Sequence[Path]) -> Columns:
    arrow, _ = pyarrow()
    tables = [_parquet_table(file) for file in files]
    for file, table in zip(files, tables, strict=True):
        check_same_columns(table.column_names, file, tables[0].column_names, files[0])
    names = tables[0].column_names
    try:
        whole = arrow.concat_tables([table.select(names) for table in tables], promote_options="permissive")
    except arrow.ArrowException as error:
        raise _checks.InputError(
            f"{str(files[0])!r} and the files after it must hold columns of the same kinds; {reason(error)}."
        ) from None
    if not len(whole) or not whole.column_names:
        raise _checks.InputError(f"{str(files[0])!r} has no rows below its header.")
    return {name: whole[name].to_numpy() for name in whole.column_names}


def _parquet_table(path: Path) -> Any:
    arrow, parquet = pyarrow()
    try:
        check_names(path, parquet.read_schema(path).names)
        return parquet.read_table(path, page_checksum_verification=True)
    except _checks.InputError:
        raise
    except (arrow.ArrowException, OSError) as error:
        raise _checks.InputError(f"{str(path)!r} cannot be read as Parquet: {reason(error)}") from None


def _values(column: Any) -> NDArray[Any]:
    arrow, _ = pyarrow()
    try:
        values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    except arrow.ArrowException:  # a kind that NumPy does not know
        return np.array(column.to_pylist(), dtype=object)
    return values
