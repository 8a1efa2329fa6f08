"""``manymodes evaluate``: scores on rows that a model has not seen."""

from __future__ import annotations

import sys
from pathlib import Path

from manymodes.apps.commands.settings import AsJson
from manymodes.apps.commands.talking import printer


def evaluate(
    model: Path,
    file: Path,
    /,
    *,
    json: AsJson = False,
) -> None:
    """Score a model on the rows of a table that it has not seen.

    Parameters
    ----------
    model
        Folder that fit wrote, or a model file.
    file
        CSV or Parquet file with features and targets.
    json
        Print the scores as JSON.
    """
    from manymodes.apps.predict import evaluate_file
    from manymodes.apps.summary import as_json, print_scores

    scores, note = evaluate_file(model, file)
    if note is not None:
        print(note, file=sys.stderr)  # noqa: T201
    if json:
        print(as_json(scores))  # noqa: T201
    else:
        print_scores({str(model): scores}, printer())
