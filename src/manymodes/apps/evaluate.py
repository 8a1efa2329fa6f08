"""``manymodes evaluate``: scores of a fitted model on rows that it has not seen."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from manymodes import _checks
from manymodes.apps.files import Columns, read_columns
from manymodes.apps.models import load_model, note_of_training_rows, predictions_of
from manymodes.apps.scores import Scores, score
from manymodes.apps.summary import print_scores, print_table
from manymodes.estimators.tables.numbers import from_columns
from manymodes.metrics import calibration_by
from manymodes.metrics.groups import GroupCalibration


@dataclass(frozen=True)
class Evaluation:
    """What a model is worth on some rows.

    Attributes:
        model: Name of the model, for people.
        scores: Scores of all rows.
        notes: What to mind.
        by: Column that groups rows; None for none.
        groups: Calibration of each group, the worst first.
    """

    model: str
    scores: Scores
    notes: list[str]
    by: str | None
    groups: tuple[GroupCalibration, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the scores, and the groups where there are any, by name."""
        groups = {} if self.by is None else {"by": self.by, "groups": [asdict(group) for group in self.groups]}
        return asdict(self.scores) | {"notes": self.notes} | groups


def evaluate_file(model_path: Path, file: Path, by: str | None = None) -> Evaluation:
    """Return the scores of a model on the rows of a table, which must hold the targets.

    Args:
        model_path: Model file, or the folder that holds it.
        file: The table.
        by: Column that groups rows, each of which gets a calibration of its own.

    Raises:
        ValueError: A model or a table that cannot be used, or groups of fewer than five rows.
    """
    model, names = load_model(model_path)
    columns = read_columns(file)
    _checks.known_columns([*names, *([] if by is None else [by])], list(columns), repr(str(file)))
    targets = read_targets(columns, names)
    distribution, y = predictions_of(model, columns, file), torch.from_numpy(targets)
    note = note_of_training_rows(model, columns, targets)
    return Evaluation(
        model=str(model_path),
        scores=score(distribution, y, names),
        notes=[] if note is None else [note],
        by=by,
        groups=() if by is None else calibration_by(distribution, y, columns[by]).groups,
    )


def read_targets(columns: Columns, names: list[str]) -> NDArray[np.float64]:
    """Return the targets of a table, (N, D), all of which must be known."""
    return from_columns({name: columns[name] for name in names}, "target").values


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print scores, and the calibration of groups, for a person."""
    print_scores({evaluation.model: evaluation.scores}, console)
    if evaluation.by is None:
        return
    targets = list(evaluation.scores.targets)
    names = [evaluation.by, *(["target"] if len(targets) > 1 else []), "verdict"]
    rows = [_line(group, targets) for group in evaluation.groups]
    title = f"Calibration by {evaluation.by}, the worst first"
    print_table(title, [*names, "rows", "coverage", "expected"], rows, console, n_texts=len(names))
    console.print(
        "Coverage of central 90 % intervals, and what calibrated predictions have in 95 of 100 cases; the verdict "
        "allows for the number of groups."
    )


def _line(group: GroupCalibration, targets: list[str]) -> list[str]:
    target = [targets[group.dim]] if len(targets) > 1 else []
    expected = f"{group.coverage_low:.1%} to {group.coverage_high:.1%}"
    return [group.group, *target, group.verdict, str(group.n_rows), f"{group.coverage:.1%}", expected]
