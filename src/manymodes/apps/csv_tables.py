"""CSV with the standard library: cells as they stand in files, and the columns that they make."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from manymodes import _checks
from manymodes.apps.inputs import STANDARD

Columns = dict[str, NDArray[Any]]
Cells = dict[str, list[str]]

_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
_TRUTH = {"true": 1.0, "false": 0.0}
_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?")
_COMMA = re.compile(r"[+-]?\d*(,\d+)?([eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_DELIMITERS = ",;\t|"


def read_cells(files: Sequence[Path]) -> Cells:
    """Return the cells of CSV files by column, one file below the other.

    Raises:
        ValueError: A file that is empty, damaged, or has other columns than the first.
    """
    first, *others = files
    cells = _file_cells(first)
    for file in others:
        more = _file_cells(file)
        check_same_columns(list(more), file, list(cells), first)
        for name, column in cells.items():
            column += more[name]
    return cells


def check_same_columns(names: Sequence[str], file: Path, expected: Sequence[str], first: Path) -> None:
    """Refuse a file whose columns are not those of the first; their order may differ."""
    _checks.known_columns(expected, names, repr(str(file)))
    extra = [name for name in names if name not in expected]
    if extra:
        raise _checks.InputError(
            f"{str(file)!r} has {'a column' if len(extra) == 1 else 'columns'} {_checks.quoted(extra)} that "
            f"{str(first)!r} has not; all files must have the same columns."
        )


def check_names(path: Path, names: Sequence[str]) -> None:
    """Refuse columns without a name, and names that columns share."""
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if "" in names:
        raise _checks.InputError(
            f"{_named(path)} has no name for column {names.index('') + 1}; name it, or leave it out if it only numbers "
            "the rows."
        )
    if repeated:
        raise _checks.InputError(f"{_named(path)} has more than one column named {_checks.quoted(repeated)}.")


def parsed(cells: Sequence[str]) -> NDArray[Any]:
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


def write_csv(file: BinaryIO, parts: Iterable[Mapping[str, NDArray[Any]]], delimiter: str) -> None:
    """Write tables of the same columns, one below the other; what is missing becomes an empty cell."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, delimiter=delimiter)
    try:
        for number, part in enumerate(parts):
            if number == 0:
                writer.writerow(part)
            writer.writerows(zip(*map(_cells, part.values()), strict=True))
    finally:
        text.detach()  # the file is closed by whoever opened it


def _cells(column: NDArray[Any]) -> list[str]:
    values = column.astype("datetime64[us]") if column.dtype.kind == "M" else column  # finer ones become integers
    return [_cell(value) for value in values.tolist()]


def _cell(value: Any) -> str:
    """Return a value as text; numbers are read back as they were."""
    if value is None or value != value:
        return ""
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _file_cells(path: Path) -> Cells:
    content = _content(path)
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
        delimiter = "\t" if path.suffix.lower() == ".tsv" else _delimiter(text.partition("\n")[0])
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        lines = [(reader.line_num, row) for row in reader]
    except UnicodeDecodeError as error:
        raise _checks.InputError(
            f"{_named(path)} is not UTF-8 text (byte {error.start}); save it as CSV in UTF-8."
        ) from None
    except (csv.Error, ValueError) as error:
        raise _checks.InputError(f"{_named(path)} cannot be read as CSV: {error}.") from None
    while lines and not any(cell.strip() for cell in lines[-1][1]):  # spreadsheets leave ,,,, behind
        lines.pop()
    names = [name.strip() for name in lines[0][1]] if lines else []
    check_names(path, names)
    if len(names) == 1:  # an empty line is an empty cell
        lines = [(line, row or [""]) for line, row in lines]
    rows = [row for _, row in lines[1:] if row]
    for line, row in lines[1:]:
        if row and len(row) != len(names):
            raise _checks.InputError(
                f"{_named(path)} has {_checks.counted(len(row), 'cell')} in line {line}, but {len(names)} in its "
                "header."
            )
    if not rows:
        raise _checks.InputError(f"{_named(path)} has no rows below its header.")
    columns = {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    return {name: _with_points(cells) for name, cells in columns.items()} if delimiter == ";" else columns


def _with_points(cells: list[str]) -> list[str]:
    """Return a column of numbers with decimal commas, as tables split by semicolons have them, with decimal points.

    Where all of them may be thousands as well, 1,250 say, the column stays text.
    """
    known = [cell.strip() for cell in cells if cell.strip().lower() not in _MISSING]
    with_comma = [cell for cell in known if "," in cell]
    if all(_THOUSANDS.fullmatch(cell) for cell in with_comma) or not all(_COMMA.fullmatch(cell) for cell in known):
        return cells
    return [cell.replace(",", ".") for cell in cells]


def _content(path: Path) -> bytes:
    content = sys.stdin.buffer.read() if path == STANDARD else path.read_bytes()
    if not content:
        raise _checks.InputError(f"{_named(path)} is empty; it must hold a header and rows below it.")
    return content


def _named(path: Path) -> str:
    return "the standard input" if path == STANDARD else repr(str(path))


def _delimiter(header: str) -> str:
    """Return what splits the header into most names; quoted parts stay whole."""
    return max(_DELIMITERS, key=lambda candidate: len(next(csv.reader([header], delimiter=candidate), [])))
