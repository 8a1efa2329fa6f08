"""``manymodes report``: a page about a fitted model and the rows of a table."""

from __future__ import annotations

from pathlib import Path

from manymodes import _checks
from manymodes.apps.commands.settings import AsJson, Flag
from manymodes.apps.commands.talking import teller


def report(
    model: Path,
    file: Path,
    /,
    *,
    output: Path = Path("report.html"),
    overwrite: Flag = False,
    quiet: Flag = False,
    json: AsJson = False,
) -> None:
    """Judge a model on the rows of a table, and write a page about it: one HTML file that opens from disk.

    It shows scores, densities, calibration, which features matter, the rows that were predicted worst, the data, how
    training went, and how to use the model.

    Parameters
    ----------
    model
        Folder that fit wrote, or a model file.
    file
        Table with features and targets, best of rows that the model has not seen: a CSV or Parquet file, a folder of
        them, a pattern in quotes, or - for CSV from the standard input.
    output
        HTML file to write.
    overwrite
        Replace the page where it exists already.
    quiet
        Print nothing.
    json
        Print the path of the page, the number of rows, and how many of them the fit knew, about, as JSON.
    """
    from manymodes.apps.report.anew import report_file
    from manymodes.apps.summary import as_json

    tell = teller(quiet)
    tell(f"Judging {model} on the rows of {file} ...")
    found = report_file(model, file, output, overwrite=overwrite)
    if json:
        print(as_json(found))  # noqa: T201
    else:
        tell(f"Report on {_checks.counted(found.rows, 'row')}: {output}")
