"""Which files a command reads: one, those of a folder, those that a pattern matches, or the standard input."""

from __future__ import annotations

import glob
from pathlib import Path

from manymodes import _checks
from manymodes.training.rows.parquet import pyarrow

CSV, PARQUET = (".csv", ".tsv", ".txt"), (".parquet", ".pq")
STANDARD = Path("-")  # the standard input, or the standard output
_IN_FOLDERS = (".csv", ".tsv", *PARQUET)  # texts in a folder tell about the tables more often than they are some


def is_parquet(path: Path) -> bool:
    """Return whether a file's name says that it is a Parquet file."""
    return path.suffix.lower() in PARQUET


def check_suffix(path: Path) -> None:
    """Refuse a file whose name does not tell its format."""
    if path.suffix.lower() not in CSV + PARQUET:
        raise _checks.InputError(
            f"{str(path)!r} must end in {', '.join((*CSV, PARQUET[0]))} or {PARQUET[1]}, which tells its format."
        )
    if is_parquet(path):
        pyarrow()


def is_parquet_folder(path: Path) -> bool:
    """Return whether a path is a folder of Parquet files, which need not fit into memory together."""
    return path.is_dir() and is_parquet(input_files(path)[0])


def input_files(path: Path) -> list[Path]:
    """Return the files that a path names, in the order of their names; all are CSV, or all are Parquet.

    A path is a file, a folder (files in folders below it count, hidden ones do not), a pattern with ``*``, ``?`` or
    ``[]``, or ``-`` for the standard input, which holds CSV.

    Raises:
        ValueError: A path that names no file, one of an unknown kind, or files of both kinds.
    """
    if path == STANDARD or path.is_file():
        files = [path]
    elif path.is_dir():
        files = _of_folder(path)
    elif glob.has_magic(str(path)):
        files = _of_pattern(path)
    else:
        raise _checks.InputError(f"{str(path)!r} does not exist; hand in a CSV or Parquet file.")
    for file in files:
        if file != STANDARD:
            check_suffix(file)
    if len({is_parquet(file) for file in files}) > 1:
        raise _checks.InputError(
            f"{str(path)!r} holds both CSV and Parquet files; name files of one kind, say with the pattern "
            f"{str(path / '*.csv' if path.is_dir() else path.parent / '*.csv')!r}."
        )
    return files


def _of_folder(folder: Path) -> list[Path]:
    found = (file for file in folder.rglob("*") if file.suffix.lower() in _IN_FOLDERS and file.is_file())
    files = sorted(file for file in found if not _is_hidden(file.relative_to(folder)))
    if not files:
        raise _checks.InputError(f"{str(folder)!r} holds no CSV or Parquet files.")
    return files


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _of_pattern(pattern: Path) -> list[Path]:
    files = sorted(file for file in map(Path, glob.glob(str(pattern), recursive=True)) if file.is_file())  # noqa: PTH207
    if not files:
        raise _checks.InputError(f"no file matches {str(pattern)!r}; hand in a file, a folder or another pattern.")
    return files
