"""``manymodes predict``: what a fitted model says of the rows of a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from manymodes import _checks
from manymodes.apps.answers import mode_columns, region_columns, sample_columns
from manymodes.apps.files import Columns, Part, check_new_file, read_parts, write_parts
from manymodes.apps.inputs import is_parquet
from manymodes.apps.models import load_model, predictions_of
from manymodes.distributions import Prediction
from manymodes.estimators.prediction_columns import prediction_columns
from manymodes.training.randomness import seeded

_ROWS_AT_ONCE = 16_384


@dataclass(frozen=True)
class PredictOptions:
    """What ``manymodes predict`` was asked for.

    Attributes:
        model: Model file, or the folder that holds it.
        file: Table of rows to predict.
        output: File to write, or ``-``.
        levels: Levels of the quantiles.
        interval: Probability that the central interval, and the region, holds.
        keep: Columns of the input to copy.
        modes: Whether to write modes.
        region: Whether to write highest-density regions.
        n_samples: Draws from each density.
        random_state: Seed of the draws.
        overwrite: Whether the output may exist already.
    """

    model: Path
    file: Path
    output: Path
    levels: Sequence[float] = (0.1, 0.25, 0.75, 0.9)
    interval: float = 0.9
    keep: Sequence[str] = ()
    modes: bool = False
    region: bool = False
    n_samples: int = 0
    random_state: int = 0
    overwrite: bool = False


@dataclass
class Predicted:
    """What was predicted.

    Attributes:
        file: Table of the rows.
        output: File that was written.
        rows: Number of rows.
        columns: Names of the columns that were written.
    """

    file: str
    output: str
    rows: int = 0
    columns: list[str] = field(default_factory=list)


def predict_file(options: PredictOptions, follow: Callable[[int, int], None] = lambda done, n_all: None) -> Predicted:
    """Write the predictions for every row of a table.

    Args:
        options: What to do.
        follow: Called with the number of rows that are predicted and of all rows, from time to time.

    Raises:
        ValueError: A model, a table, an output or an option that cannot be used.
    """
    check_new_file(options.output, overwrite=options.overwrite)
    _checks.number_between("--interval", options.interval, 0.0, 1.0)
    levels = sorted({_checks.number_between("--quantile", level, 0.0, 1.0) for level in options.levels})
    _checks.integer_at_least("--samples", options.n_samples, 0)
    model, names = load_model(options.model)
    generator = seeded(_checks.random_state(options.random_state, "--random-state"))
    found = Predicted(str(options.file), str(options.output))

    def predictions() -> Iterator[Columns]:
        known = None
        for part in read_parts(options.file, _ROWS_AT_ONCE, keep=options.keep):
            known = all(name in part.columns for name in names) if known is None else known  # the first part decides
            distribution = predictions_of(model, part.columns, options.file, first_row=found.rows)
            columns = _columns(options, distribution, names, levels, generator)
            columns |= {"log_density": _log_density(distribution, part.columns, names)} if known else {}
            found.columns = [*options.keep, *columns]
            found.rows += len(distribution.mean)
            yield _kept(options, part, columns) | columns
            follow(found.rows, part.n_all)

    write_parts(options.output, predictions())
    return found


def _columns(
    options: PredictOptions,
    distribution: Prediction,
    names: Sequence[str],
    levels: Sequence[float],
    generator: torch.Generator,
) -> Columns:
    """Return what is asked of predictions."""
    columns: Columns = dict(prediction_columns(distribution, names, levels, options.interval))
    if options.modes:
        columns |= mode_columns(distribution, names)
    if options.region:
        columns |= region_columns(distribution, names, options.interval)
    if options.n_samples:
        columns |= sample_columns(distribution, names, options.n_samples, generator)
    return columns


def _kept(options: PredictOptions, part: Part, predicted: Columns) -> Columns:
    """Return the columns to copy: as they stand in a CSV file, but for a Parquet file, which holds values."""
    taken = [name for name in options.keep if name in predicted]
    if taken:
        raise _checks.InputError(
            f"--keep {_checks.quoted(taken)} has the name of a column of predictions; give it another name in the "
            "input, or leave it out."
        )
    values = part.columns if is_parquet(options.output) else part.kept
    return {name: values[name] for name in options.keep}


def _log_density(distribution: Prediction, columns: Columns, names: Sequence[str]) -> NDArray[np.float64]:
    """Return log p(y) where all targets are known, NaN elsewhere: rows to predict may lack them."""
    if not all(name in columns for name in names):
        return np.full(len(distribution.mean), np.nan)
    targets = np.column_stack([_numbers(columns[name]) for name in names])
    known = np.isfinite(targets).all(axis=1)
    log_density = np.full(len(targets), np.nan)
    if known.any():
        rows = torch.from_numpy(np.flatnonzero(known))
        log_density[known] = distribution[rows].log_prob(torch.from_numpy(targets[known])).numpy()
    return log_density


def _numbers(column: NDArray[Any]) -> NDArray[np.float64]:
    """Return a column as numbers, NaN where a cell holds none (say "unknown")."""
    return np.array([_number(cell) for cell in column], dtype=np.float64)


def _number(cell: object) -> float:
    try:
        return float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan
