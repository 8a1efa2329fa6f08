"""``manymodes compare``: which of two models is better."""

from __future__ import annotations

from pathlib import Path

from manymodes.apps.commands.settings import AsJson, Flag
from manymodes.apps.commands.talking import printer, teller


def compare(
    model: Path,
    other: Path,
    file: Path,
    /,
    *,
    quiet: Flag = False,
    json: AsJson = False,
) -> None:
    """Compare two models on the rows of a table: paired differences of scores with intervals, and who is ahead.

    Parameters
    ----------
    model
        Folder that fit wrote, or a model file.
    other
        Another model of the same targets.
    file
        Table with features and targets, rows that neither model has seen: a CSV or Parquet file, a folder of them, a
        pattern in quotes, or - for CSV from the standard input.
    quiet
        Print the scores only, and not what to mind.
    json
        Print the scores as JSON.
    """
    from manymodes.apps.compare import compare_on_file, print_comparison
    from manymodes.apps.summary import as_json

    found = compare_on_file(model, other, file)
    tell = teller(quiet)
    for note in found.notes:
        tell(note)
    if json:
        print(as_json(found))  # noqa: T201
    else:
        print_comparison(found, printer())
