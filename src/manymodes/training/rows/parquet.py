"""Rows of Parquet files, streamed with pyarrow: the one place below the command line that knows it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from manymodes import _checks
from manymodes.training.rows.data import Data
from manymodes.training.rows.streams import Stream

_SUFFIXES = (".parquet", ".pq")
_READ_AHEAD = 2**20  # bytes of a column, rather than whole row groups
_SIDE_BY_SIDE = 4  # row groups that are read in turn, so that sorted files are mixed


class Piece(NamedTuple):
    """A row group of a file."""

    file: Path
    group: int


class ParquetStream(Stream):
    """Rows of Parquet files: a file, a folder of them, or a list; row groups come in a new order in every pass.

    Rows are shuffled within the buffer, which mixes four row groups at a time: files that are sorted by the target
    should have row groups of at most some 100,000 rows.

    Args:
        path: A file, a folder whose files (below it, too) end in ``.parquet`` or ``.pq``, or a list of files.
        targets: Columns to predict.
        features: Columns to predict from; None for all others.
        drop: Columns that are left out of those.
        weight: Column of weights; None weighs all rows alike.
        block_rows: Rows that are read at a time.
        n_rows: As in ``Stream``.
        buffer_rows: Likewise.
        sample_rows: Likewise.

    Attributes:
        features: Names of the features.
        targets: Names of the targets.
        n_file_rows: Rows in all files.

    Raises:
        ValueError: No file, one that cannot be read, or columns that are missing or hold no numbers.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        targets: Sequence[str],
        *,
        features: Sequence[str] | None = None,
        drop: Sequence[str] = (),
        weight: str | None = None,
        block_rows: int = 32_768,
        n_rows: int | None = None,
        buffer_rows: int = 131_072,
        sample_rows: int = 100_000,
    ) -> None:
        super().__init__(self._in_order, n_rows=n_rows, buffer_rows=buffer_rows, sample_rows=sample_rows)
        self._block_rows = _checks.integer_at_least("block_rows", block_rows, 1)
        files = parquet_files(path)
        names = _schema(files[0]).names
        self.targets = [targets] if isinstance(targets, str) else list(targets)
        given = [*self.targets, *([] if weight is None else [weight])]
        _checks.known_columns([*given, *drop], names, repr(str(files[0])))
        wanted = [name for name in names if name not in given] if features is None else features
        self.features = [name for name in wanted if name not in drop]
        self._weight = weight
        _check_roles(self.features, given, repr(str(files[0])))
        self._pieces: list[Piece] = []
        self.n_file_rows = 0
        for file in files:
            _check_columns(file, _schema(file), self._columns)
            content = opened(file)
            self._pieces += [Piece(file, group) for group in range(content.metadata.num_row_groups)]
            self.n_file_rows += content.metadata.num_rows
            content.close()

    def blocks(self, seed: int | None) -> Iterator[Data]:
        """Go through the rows once; a seed draws the order of the row groups and reads four of them in turn."""
        if seed is None:
            return self._in_order()
        order = torch.randperm(len(self._pieces), generator=torch.Generator().manual_seed(seed))
        return map(self._block, _in_turn(self._read(self._pieces[i]) for i in order.tolist()))

    def _in_order(self) -> Iterator[Data]:
        return (self._block(values) for piece in self._pieces for values in self._read(piece))

    @property
    def _columns(self) -> list[str]:
        return [*self.features, *self.targets, *([] if self._weight is None else [self._weight])]

    def _block(self, values: Tensor) -> Data:
        sizes = [len(self.features), len(self.targets), values.shape[1] - len(self.features) - len(self.targets)]
        x, y, weight = values.split(sizes, dim=1)
        return (x, y) if self._weight is None else (x, y, weight[:, 0])

    def _read(self, piece: Piece) -> Iterator[Tensor]:
        """Read a row group, some rows of all columns at a time, (n, C) in float64."""
        first, where = 0, f"row group {piece.group + 1} of {str(piece.file)!r}"
        for batch in batches(piece.file, group=piece.group, columns=self._columns, n_rows=self._block_rows):
            columns = [_numbers(batch.column(name), name, where) for name in self._columns]
            for name, column in zip(self._columns, columns, strict=True):
                if not np.isfinite(column).all():
                    row = first + int(np.flatnonzero(~np.isfinite(column))[0])
                    raise _checks.InputError(
                        f"Column {name!r} has a missing or infinite value in {_checks.row(row)} of {where}; leave such "
                        "rows out or fill them in."
                    )
            first += len(batch)
            yield torch.from_numpy(np.stack(columns, axis=1))


def parquet_files(path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Return the Parquet files of a folder, in the order of their names, or those that were named."""
    if not isinstance(path, (str, os.PathLike)):
        files = [Path(one) for one in path]
    elif Path(path).is_dir():
        files = sorted(file for suffix in _SUFFIXES for file in Path(path).rglob(f"*{suffix}") if file.is_file())
    else:
        files = [Path(path)]
    if not files:
        raise _checks.InputError(f"{path if isinstance(path, list) else str(path)!r} holds no Parquet files.")
    for file in files:
        if not file.is_file():
            raise _checks.InputError(f"{str(file)!r} does not exist; hand in a Parquet file or a folder of them.")
    return files


def _in_turn(streams: Iterator[Iterator[Tensor]]) -> Iterator[Tensor]:
    """Take from several streams in turn, and open the next one when one has ended."""
    waiting = iter(streams)
    current = list(islice(waiting, _SIDE_BY_SIDE))
    while current:
        for one in list(current):
            values = next(one, None)
            if values is not None:
                yield values
                continue
            current.remove(one)
            current += islice(waiting, 1)


def opened(file: Path) -> Any:
    """Return pyarrow's ``ParquetFile``.

    Raises:
        ValueError: A file that cannot be read.
    """
    arrow, parquet = pyarrow()
    try:
        return parquet.ParquetFile(file, page_checksum_verification=True, pre_buffer=False, buffer_size=_READ_AHEAD)
    except (arrow.ArrowException, OSError) as error:
        raise _checks.InputError(f"{str(file)!r} cannot be read as Parquet: {reason(error)}") from None


def batches(file: Path, *, group: int | None = None, columns: list[str] | None = None, n_rows: int) -> Iterator[Any]:
    """Read some rows of a file, or of one of its row groups, at a time, as pyarrow's record batches.

    Raises:
        ValueError: A file or a row group that cannot be read.
    """
    arrow, _ = pyarrow()
    content = opened(file)
    groups = range(content.metadata.num_row_groups) if group is None else [group]
    try:
        for number in groups:
            yield from content.iter_batches(n_rows, row_groups=[number], columns=columns, use_threads=False)
    except (arrow.ArrowException, OSError) as error:
        raise _checks.InputError(f"row group {number + 1} of {str(file)!r} cannot be read: {reason(error)}") from None
    finally:
        content.close()


def _schema(file: Path) -> Any:
    content = opened(file)
    schema = content.schema_arrow
    content.close()
    repeated = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if repeated:
        raise _checks.InputError(f"{str(file)!r} has more than one column named {_checks.quoted(repeated)}.")
    return schema


def _check_roles(features: list[str], given: list[str], where: str) -> None:
    """Refuse columns that are named twice, and a table without features."""
    twice = sorted({name for name in [*features, *given] if [*features, *given].count(name) > 1})
    if twice:
        raise _checks.InputError(f"column {_checks.quoted(twice)} must be named once: as a feature, target or weight.")
    if not features:
        raise _checks.InputError(f"{where} has no column left to predict from; it needs one more.")


def _check_columns(file: Path, schema: Any, columns: list[str]) -> None:
    arrow, _ = pyarrow()
    _checks.known_columns(columns, schema.names, repr(str(file)))
    for name in columns:
        kind = schema.field(name).type
        is_number = arrow.types.is_integer(kind) or arrow.types.is_floating(kind) or arrow.types.is_boolean(kind)
        if not (is_number or arrow.types.is_decimal(kind)):
            raise _checks.InputError(
                f"Column {name!r} holds {kind} in {str(file)!r}, and a stream must hold numbers; leave it out or turn "
                "it into numbers in every file."
            )


def _numbers(column: Any, name: str, where: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    arrow, _ = pyarrow()
    try:
        values: np.ndarray[Any, np.dtype[np.float64]] = column.cast(arrow.float64()).to_numpy(zero_copy_only=False)
    except arrow.ArrowException as error:
        raise _checks.InputError(f"Column {name!r} in {where} is no list of numbers: {reason(error)}") from None
    return values


def reason(error: Exception) -> str:
    """Return what an error says in its first line, as far as it can be printed."""
    return "".join(character for character in str(error).partition("\n")[0] if character.isprintable())


def pyarrow() -> tuple[Any, Any]:
    """Return the modules ``pyarrow`` and ``pyarrow.parquet``, which are optional."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise _checks.InputError("Parquet files need pyarrow; install it with: pip install pyarrow.") from None
    return pyarrow, pyarrow.parquet
