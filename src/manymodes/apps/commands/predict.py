"""``manymodes predict``: the rows of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from manymodes import _checks
from manymodes.apps.commands.settings import AsJson, Flag, Several, Whole
from manymodes.apps.commands.talking import following, teller


def predict(
    model: Path,
    file: Path,
    /,
    *,
    output: Path,
    quantile: Annotated[list[float] | None, Several] = None,
    interval: float = 0.9,
    modes: Flag = False,
    region: Flag = False,
    samples: Whole = 0,
    keep: Annotated[list[str] | None, Several] = None,
    random_state: Whole = 0,
    overwrite: Flag = False,
    quiet: Flag = False,
    json: AsJson = False,
) -> None:
    """Predict the rows of a table: mean, median, quantiles, an interval, and log-density of known targets.

    Parameters
    ----------
    model
        Folder that fit wrote, or a model file.
    file
        Table with the features, in any order: a CSV or Parquet file, a folder of them, a pattern in quotes, or - for
        CSV from the standard input. Parquet need not fit into memory.
    output
        CSV or Parquet file to write, a row for each row of the input, or - for CSV to the standard output.
    quantile
        Levels to predict, strictly between 0 and 1. By default 0.1 0.25 0.75 0.9.
    interval
        Probability that the central interval holds.
    modes
        Write the number of modes that hold at least 5 % of the probability, and location and mass of the highest two.
    region
        Write the shortest set that holds as much as the interval: several pieces where there are several modes.
    samples
        Draws from the density of each row to write.
    keep
        Columns of the input to copy in front of the predictions, say one that names rows.
    random_state
        Seed of the draws.
    overwrite
        Replace the output file where it exists already.
    quiet
        Print nothing.
    json
        Print the number of rows and the names of the columns as JSON.
    """
    from manymodes.apps.inputs import STANDARD
    from manymodes.apps.predict import PredictOptions, predict_file
    from manymodes.apps.summary import as_json

    if json and output == STANDARD:
        raise _checks.InputError("--json must be left out with --output -, since both write to the standard output.")
    options = PredictOptions(
        model=model,
        file=file,
        output=output,
        levels=[0.1, 0.25, 0.75, 0.9] if quantile is None else quantile,
        interval=interval,
        keep=keep or [],
        modes=modes,
        region=region,
        n_samples=samples,
        random_state=random_state,
        overwrite=overwrite,
    )
    with following("predicting", "rows", quiet) as follow:
        found = predict_file(options, follow)
    if json:
        print(as_json(found))  # noqa: T201
    else:
        where = "the standard output" if output == STANDARD else output
        teller(quiet)(f"Predictions for {_checks.counted(found.rows, 'row')}: {where}")
