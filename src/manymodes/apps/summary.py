"""What a fit or an evaluation found, for machines (a dictionary) and for people (a table and sentences)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from manymodes import _checks
from manymodes.apps.phrases import for_people
from manymodes.apps.scores import Scores, TargetScores, describe_modes

SUMMARY_FILE = "summary.json"  # its name inside a folder that fit wrote
MODEL_NAMES = {
    "model": "this model",
    "gaussian_network": "one Gaussian",
    "unconditional": "no features",
}
READING = (
    "Lower is better, but for coverage: about 90 % of the targets should fall in the central 90 % interval. The log "
    "score is in nats, ± its standard error; the other scores are in the units of the target."
)
BASELINES = "'one Gaussian' is a network with a single component; 'no features' is the density of the target alone."


@dataclass(frozen=True)
class Summary:
    """The outcome of ``manymodes fit``.

    Attributes:
        file: Table that was read.
        features: Names of the features.
        targets: Names of the targets.
        rows: Number of rows that trained, chose the best epoch (``validation``) and were held out.
        scores: Held-out scores of the model and of the baselines.
        modes: Share of held-out predictions with 1, 2, ... modes.
        epochs: Epochs that ran and the one that was kept.
        target_notes: What was found in the targets, and what was done about it.
        feature_notes: What was found in the features.
        diagnosis: What happened while training, in sentences.
        seconds: Time from the start to the scores.
        interrupted: Whether the fit was interrupted, and the model is the best until then.
        model: Path of the model file.
        report: Path of the report.
    """

    file: str
    features: list[str]
    targets: list[str]
    rows: dict[str, int]
    scores: dict[str, Scores]
    modes: dict[int, float]
    epochs: dict[str, int]
    target_notes: list[str]
    feature_notes: list[str]
    diagnosis: list[str]
    seconds: float
    interrupted: bool
    model: str
    report: str

    def named_scores(self) -> dict[str, Scores]:
        """Return the scores under the names that a person reads."""
        return {MODEL_NAMES[name]: scores for name, scores in self.scores.items()}

    def sentences(self) -> list[str]:
        """Return what a person should know beside the table of scores."""
        rows, scores = self.rows, self.scores
        n_rows, target = sum(rows.values()), "target" if len(self.targets) == 1 else "targets"
        told = [
            f"{n_rows} rows, {_checks.counted(len(self.features), 'feature')}, {target} {', '.join(self.targets)}: "
            f"each network learned from {_checks.counted(rows['train'], 'row')} and chose its best epoch on "
            f"{rows['validation']} others; {rows['held_out']} were held out for the scores.",
            describe_modes(self.modes),
        ]
        best = min(scores, key=lambda name: scores[name].log_score)
        if best != "model":
            told.append(
                f"Mind: '{MODEL_NAMES[best]}' has the better log score here; the features or the rows may say too "
                "little about the target for a mixture."
            )
        return [for_people(line) for line in (*told, *self.target_notes, *self.feature_notes, *self.diagnosis)]


def as_json(record: Any) -> str:
    """Return a dataclass, a dictionary or a list of them as JSON; numbers that are not finite become null."""
    plain = asdict(record) if is_dataclass(record) and not isinstance(record, type) else record
    return json.dumps(_finite(plain), indent=2, allow_nan=False)


def print_summary(summary: Summary, console: Console) -> None:
    """Print a fit's outcome for a person."""
    for sentence in summary.sentences():
        console.print(sentence)
    print_scores(summary.named_scores(), console)
    console.print(BASELINES)
    console.print(f"Model:  {summary.model}", soft_wrap=True)
    console.print(f"Report: {summary.report}", soft_wrap=True)


def print_scores(scores: Mapping[str, Scores], console: Console) -> None:
    """Print tables of scores."""
    for title, header, rows in score_tables(scores):
        print_table(title, header, rows, console)
    console.print(READING)


def print_table(
    title: str, header: Sequence[str], rows: Iterable[Sequence[str]], console: Console, *, n_texts: int = 1
) -> None:
    """Print a table; so many of its columns hold names, which may fold, and the others numbers."""
    table = Table(title=Text(title), title_justify="left")
    for place, name in enumerate(header):
        is_text = place < n_texts
        table.add_column(Text(name), justify="left" if is_text else "right", overflow="fold", no_wrap=not is_text)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


class ScoreTable(NamedTuple):
    """Scores as text: a title, the names of the columns and one row for each model."""

    title: str
    header: list[str]
    rows: list[list[str]]


def score_tables(scores: Mapping[str, Scores]) -> list[ScoreTable]:
    """Return one table for a single target; for several, one for the joint density and one for each of them."""
    joint = [[name, _log_score_text(of_model)] for name, of_model in scores.items()]
    first, *others = next(iter(scores.values())).targets
    columns = ["CRPS", "RMSE", "MAE", "coverage"]

    def cells(target: str) -> list[list[str]]:
        return [_target_text(of_model.targets[target]) for of_model in scores.values()]

    if not others:
        rows = [[*start, *rest] for start, rest in zip(joint, cells(first), strict=True)]
        return [ScoreTable(f"Scores of {first}", ["model", "log score", *columns], rows)]
    tables = [ScoreTable("Scores of all targets jointly", ["model", "log score"], joint)]
    for target in (first, *others):
        rows = [[name, *rest] for name, rest in zip(scores, cells(target), strict=True)]
        tables.append(ScoreTable(f"Scores of {target}", ["model", *columns], rows))
    return tables


def _log_score_text(scores: Scores) -> str:
    error = scores.log_score_standard_error
    return f"{scores.log_score:.3f}" + ("" if error is None else f" ± {error:.3f}")


def _target_text(scores: TargetScores) -> list[str]:
    coverage = "" if math.isnan(scores.coverage_90) else f"{scores.coverage_90:.1%}"
    numbers = (scores.crps, scores.rmse, scores.mae)
    return [*("" if math.isnan(value) else f"{value:.4g}" for value in numbers), coverage]


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
