"""What ``manymodes fit`` learns from, and what it holds out: a table in memory, or a folder that is streamed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymodes import _checks
from manymodes.apps.files import Columns, read_columns
from manymodes.apps.misread import refuse_misread
from manymodes.estimators import MDNRegressor
from manymodes.estimators.row_numbers import renumber_rows
from manymodes.estimators.tables.columns import table_of
from manymodes.estimators.tables.encoding import TableEncoder
from manymodes.estimators.tables.numbers import from_columns, refuse_constant
from manymodes.training import ParquetStream
from manymodes.training.rows.sampling import look_through_parts

_FEWEST_ROWS = 10
_BASELINE_ROWS = 20_000  # of a stream that baselines learn from


class Learning(ABC):
    """Rows to learn from and rows to be judged on; abstract.

    Attributes:
        features: Names of the features.
        targets: Names of the targets.
        n_train: Rows to learn from.
        held_out: Features of the rows that are held out.
        y_held_out: Their targets, (N, D).
        row_numbers: Their places in the file, counted from 0, (N,); None where nobody counts them.
        table: Columns of features and targets, or of a sample of a large table.
        n_table_rows: Rows of the table.
    """

    features: list[str]
    targets: list[str]
    n_train: int
    held_out: Columns
    y_held_out: NDArray[np.float64]
    row_numbers: NDArray[np.intp] | None
    table: Columns
    n_table_rows: int

    @abstractmethod
    def fit(self, model: MDNRegressor, checkpoint: Path | None, callbacks: Sequence[Any] = ()) -> None:
        """Fit the model; callbacks see how far the fit to a table in memory is, see ``MDNRegressor.fit``."""

    @abstractmethod
    def fit_baseline(self, estimator: Any, encoder: TableEncoder) -> None:
        """Fit what it is compared with, which takes numbers: those that an encoder makes of the features."""


class TableLearning(Learning):
    """A table in memory.

    Args:
        file: CSV or Parquet file.
        targets: Columns to predict.
        drop: Columns that are no features.
        share: Share of the rows to hold out.
        seed: Seed of the rows that are held out.
        categorical: Features that are categories whatever they look like.
    """

    def __init__(
        self,
        file: Path,
        targets: Sequence[str],
        drop: Sequence[str],
        share: float,
        seed: int,
        categorical: Sequence[str] = (),
    ) -> None:
        columns = read_columns(file)
        _checks.known_columns([*targets, *drop], list(columns), repr(str(file)))
        self._targets = {name: columns[name] for name in targets}
        self._features = {name: column for name, column in columns.items() if name not in (*targets, *drop)}
        self.features, self.targets = list(self._features), list(targets)
        n_rows = len(next(iter(columns.values())))
        _refuse_few(n_rows, file)
        refuse_misread(self._features, categorical)
        if not self.features:
            raise _checks.InputError(f"{str(file)!r} has no column left to predict from; it needs one beside --target.")
        y = from_columns(self._targets, "target").values
        refuse_constant(y, self.targets)
        self._train, index = _split(n_rows, share, seed)
        self.n_train = len(self._train)
        self.held_out, self.y_held_out, self.row_numbers = _rows(self._features, index), y[index], index
        self.table, self.n_table_rows = self._features | self._targets, n_rows

    @property
    def training_features(self) -> Columns:
        """Features of the rows to learn from."""
        return _rows(self._features, self._train)

    def fit(self, model: MDNRegressor, checkpoint: Path | None, callbacks: Sequence[Any] = ()) -> None:
        """Fit the model to the table; its notes count rows as the file does."""
        targets = _rows(self._targets, self._train)
        try:
            model.fit(self.training_features, targets, checkpoint=checkpoint, callbacks=callbacks)
        finally:
            if hasattr(model, "history_"):
                renumber_rows(model, self._train)

    def fit_baseline(self, estimator: Any, encoder: TableEncoder) -> None:
        """Fit a baseline to the same rows."""
        features = table_of(self.training_features)
        estimator.fit(encoder.encode_fully(features), _rows(self._targets, self._train))


class FolderLearning(Learning):
    """A folder of Parquet files, which need not fit into memory; baselines learn from a sample.

    Args:
        folder: The folder.
        targets: Columns to predict.
        drop: Columns that are no features.
        share: Share of the rows to hold out, told by a hash of their values.
    """

    def __init__(self, folder: Path, targets: Sequence[str], drop: Sequence[str], share: float) -> None:
        stream = ParquetStream(folder, targets, drop=drop)
        self.features, self.targets = stream.features, list(targets)
        _refuse_few(stream.n_file_rows, folder)
        judged, own = look_through_parts(stream, share)
        refuse_constant(own.rows.points().numpy(), self.targets)
        self._stream, self._sample, self.n_train = stream.part(share, held_out=False).having(own), own.rows, own.n_rows
        self.held_out = _named(judged.rows.x.numpy(), self.features)
        self.y_held_out, self.row_numbers = judged.rows.points().numpy(), None
        sample = _named(own.rows.x.numpy(), self.features) | _named(own.rows.points().numpy(), self.targets)
        self.table, self.n_table_rows = sample, own.n_rows + judged.n_rows

    def fit(self, model: MDNRegressor, checkpoint: Path | None, callbacks: Sequence[Any] = ()) -> None:
        """Fit the model to the stream, whose fits call nobody back."""
        model.fit_stream(self._stream, names=(self.features, self.targets), checkpoint=checkpoint)

    def fit_baseline(self, estimator: Any, encoder: TableEncoder) -> None:
        """Fit a baseline to some rows of a sample."""
        rows = self._sample
        x, y = rows.x[:_BASELINE_ROWS].numpy(), rows.points()[:_BASELINE_ROWS].numpy()
        estimator.fit(encoder.encode_fully(table_of(_named(x, self.features))), _named(y, self.targets))


def _refuse_few(n_rows: int, path: Path) -> None:
    if n_rows < _FEWEST_ROWS:
        raise _checks.InputError(
            f"{str(path)!r} has {_checks.counted(n_rows, 'row')}, and a fit needs at least {_FEWEST_ROWS}."
        )


def _split(n_rows: int, share: float, random_state: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Draw the rows to learn from and those to hold out, at least two."""
    order = np.random.default_rng(random_state).permutation(n_rows)
    n_held_out = min(max(2, round(share * n_rows)), n_rows - 2)
    return order[n_held_out:], order[:n_held_out]


def _named(values: NDArray[np.float64], names: Sequence[str]) -> Columns:
    return dict(zip(names, values.T, strict=True))


def _rows(columns: Columns, index: NDArray[np.intp]) -> Columns:
    return {name: column[index] for name, column in columns.items()}
