"""``manymodes predict``: the rows of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from manymodes.apps.commands.talking import teller


def predict(
    model: Path,
    file: Path,
    /,
    *,
    output: Path,
    quantile: Annotated[list[float] | None, Parameter(negative="", consume_multiple=True)] = None,
    interval: float = 0.9,
    overwrite: bool = False,
    quiet: bool = False,
) -> None:
    """Predict the rows of a table: mean, median, quantiles, an interval, and log-density of known targets.

    Parameters
    ----------
    model
        Folder that fit wrote, or a model file.
    file
        CSV or Parquet file with the features, in any order; or a folder of Parquet files.
    output
        CSV or Parquet file to write, a row for each row of the input.
    quantile
        Levels to predict, strictly between 0 and 1. By default 0.1 0.25 0.75 0.9.
    interval
        Probability that the central interval holds.
    overwrite
        Replace the output file where it exists already.
    quiet
        Print nothing.
    """
    from manymodes.apps.predict import predict_file

    tell = teller(quiet)
    levels = [0.1, 0.25, 0.75, 0.9] if quantile is None else quantile
    n_rows = predict_file(model, file, output, levels=levels, interval=interval, overwrite=overwrite)
    tell(f"Predictions for {n_rows} rows: {output}")
