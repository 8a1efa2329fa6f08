"""``manymodes report``: the report of a fitted model, judged on the rows of a file."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from manymodes import _checks, metrics
from manymodes.apps.files import read_columns
from manymodes.apps.models import features_of, load_model, predictions_of
from manymodes.apps.report import report_page
from manymodes.apps.report.judged import Judged
from manymodes.apps.scores import Scores, score
from manymodes.apps.summary import SUMMARY_FILE
from manymodes.estimators.judged_rows import training_share
from manymodes.estimators.tables.numbers import from_columns
from manymodes.training.files import new_file


@dataclass(frozen=True)
class Reported:
    """What a report was written of.

    Attributes:
        file: Table of the rows.
        output: Page that was written.
        rows: Number of rows.
        training_share: Share of them that are rows of the fit, about.
    """

    file: str
    output: str
    rows: int
    training_share: float


def report_file(model_path: Path, file: Path, output: Path, *, overwrite: bool) -> Reported:
    """Write the report of a model on the rows of a file.

    Args:
        model_path: Folder that ``manymodes fit`` wrote, or a model file.
        file: Table with features and targets.
        output: HTML file to write, whole or not at all.
        overwrite: Whether it may exist already.
    """
    _check_output(output, overwrite=overwrite)
    judged = judged_on_file(model_path, file)
    page = report_page(judged).encode()
    with new_file(output) as stream:
        stream.write(page)
    return Reported(str(file), str(output), judged.n_rows, judged.training_share)


def judged_on_file(model_path: Path, file: Path) -> Judged:
    """Return a model beside the rows of a file that holds features and targets."""
    model, targets = load_model(model_path)
    columns = read_columns(file)
    _checks.known_columns(targets, list(columns), repr(str(file)))
    X = features_of(model, columns, file)
    y = from_columns({name: columns[name] for name in targets}, "target").values
    density, t = predictions_of(model, columns, file), torch.from_numpy(y)
    fitted: Any = getattr(model, "estimator_", model)
    return Judged(
        model=model,
        path=str(model_path),
        file=str(file),
        table=X | {name: columns[name] for name in targets},
        n_table_rows=len(y),
        X=X,
        y=t,
        density=density,
        scores={"model": score(density, t, targets)},
        log_scores={"model": metrics.log_score(density, t)},
        row_numbers=np.arange(len(y)),
        earlier_scores=_earlier_scores(model_path, targets),
        held_out=False,
        training_share=training_share(model, X, y),
        notes=[*fitted.target_notes(), *fitted.feature_notes()],
    )


def _earlier_scores(model_path: Path, targets: list[str]) -> dict[str, Scores]:
    """Return the scores of the fit, where its summary lies beside the model and is of these targets."""
    file = (model_path if model_path.is_dir() else model_path.parent) / SUMMARY_FILE
    record: Any = {}
    with suppress(OSError, ValueError):
        record = json.loads(file.read_text(encoding="utf-8"))
    known = isinstance(record, dict) and record.get("targets") == targets
    with suppress(KeyError, TypeError, AttributeError):  # of another version, or not of ours
        return {name: Scores.from_dict(own) for name, own in record["scores"].items()} if known else {}
    return {}


def _check_output(output: Path, *, overwrite: bool) -> None:
    if output.suffix.lower() not in (".html", ".htm"):
        raise _checks.InputError(f"--output must end in .html, for it is a page; got {str(output)!r}.")
    if not output.parent.is_dir():
        raise _checks.InputError(f"the folder {str(output.parent)!r} does not exist; create it first.")
    if output.exists() and not overwrite:
        raise _checks.InputError(f"{str(output)!r} exists already; choose another name or pass --overwrite.")
