"""``manymodes evaluate``: scores on rows that a model has not seen."""

from __future__ import annotations

from pathlib import Path

from manymodes.apps.commands.settings import AsJson, Flag
from manymodes.apps.commands.talking import printer, teller


def evaluate(
    model: Path,
    file: Path,
    /,
    *,
    by: str | None = None,
    quiet: Flag = False,
    json: AsJson = False,
) -> None:
    """Score a model on the rows of a table that it has not seen.

    Parameters
    ----------
    model
        Folder that fit wrote, or a model file.
    file
        Table with features and targets: a CSV or Parquet file, a folder of them, a pattern in quotes, or - for CSV
        from the standard input.
    by
        Column that groups rows (a category, or a number, which is cut into five groups): where is the model wrong?
    quiet
        Print the scores only, and not what to mind.
    json
        Print the scores as JSON.
    """
    from manymodes.apps.evaluate import evaluate_file, print_evaluation
    from manymodes.apps.summary import as_json

    found = evaluate_file(model, file, by)
    tell = teller(quiet)
    for note in found.notes:
        tell(note)
    if json:
        print(as_json(found.to_dict()))  # noqa: T201
    else:
        print_evaluation(found, printer())
