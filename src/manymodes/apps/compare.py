"""``manymodes compare``: two models on the same rows, score by score, with what chance alone explains.

Differences are paired: each row is scored by both models. Of means over rows the interval is Student's t of the mean
difference; of root mean squared errors, which are no means, it holds the middle 95 % of the differences among rows
drawn anew with replacement (Efron and Tibshirani 1993, An introduction to the bootstrap, section 13.3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from manymodes import _checks, metrics
from manymodes.apps.evaluate import read_targets
from manymodes.apps.files import read_columns
from manymodes.apps.models import load_model, note_of_training_rows, predictions_of
from manymodes.apps.summary import print_table
from manymodes.distributions import Prediction

_CONFIDENCE = 0.95
_DRAWS, _MOST_DRAWN_ROWS, _FEWEST_DRAWS = 2000, 100_000_000, 200  # of the bootstrap
_SHOWN = {"log_score": "log score", "crps": "CRPS", "energy_score": "energy score", "absolute_error": "MAE"}
HOW = (
    "Lower is better. A difference is the first model's score less the second's on the same rows, ± its standard "
    "error: below 0 the first is better. Its interval holds the true one with 95 % confidence: by Student's t; of the "
    "RMSE by a bootstrap of rows. The log score is in nats, the others are in the units of the target."
)


@dataclass(frozen=True)
class Line:
    """One score of two models.

    Attributes:
        score: Its name.
        target: Its target; ``"all"`` for the joint density of several.
        first: That of the first model, over all rows.
        second: That of the second one.
        difference: The first less the second, paired; NaN where they cannot be compared.
        standard_error: Of the difference.
        low: Lower end of its 95 % interval.
        high: Upper end.
    """

    score: str
    target: str
    first: float
    second: float
    difference: float
    standard_error: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Comparison:
    """Two models on the same rows.

    Attributes:
        first: Path of the first model.
        second: Path of the second one.
        file: The table.
        rows: Number of rows.
        scores: Their scores.
        verdict: Who is ahead, in a sentence.
        notes: What to mind.
    """

    first: str
    second: str
    file: str
    rows: int
    scores: list[Line]
    verdict: str
    notes: list[str]


def compare_on_file(first: Path, second: Path, file: Path) -> Comparison:
    """Return how two models of the same targets compare on the rows of a table.

    Args:
        first: A model file, or the folder that holds it.
        second: Another one.
        file: Table with the features of both and the targets.

    Raises:
        ValueError: Models of different targets, or a model or a table that cannot be used.
    """
    paths = (first, second)
    models, targets = zip(*map(load_model, paths), strict=True)
    if sorted(targets[0]) != sorted(targets[1]):
        raise _checks.InputError(
            f"models must predict the same targets to be compared; {str(first)!r} predicts "
            f"{_checks.quoted(targets[0])}, {str(second)!r} {_checks.quoted(targets[1])}."
        )
    names, columns = targets[0], read_columns(file)
    _checks.known_columns(names, list(columns), repr(str(file)))
    y = torch.from_numpy(read_targets(columns, names))
    own, other = (predictions_of(model, columns, file) for model in models)
    order = [targets[1].index(name) for name in names]
    other = other if order == sorted(order) else other.marginal(order)
    notes = [
        note_of_training_rows(model, columns, read_targets(columns, known), f"{str(path)!r}")
        for model, known, path in zip(models, targets, paths, strict=True)
    ]
    lines = _lines(own, other, y, names)
    return Comparison(
        first=str(first),
        second=str(second),
        file=str(file),
        rows=len(y),
        scores=lines,
        verdict=_verdict(lines, *paths),
        notes=[note for note in notes if note is not None],
    )


def _lines(own: Prediction, other: Prediction, y: Tensor, names: Sequence[str]) -> list[Line]:
    table = metrics.score_table(own, y, against=other, confidence=_CONFIDENCE, names=names).to_dict()
    columns = [table[name] for name in ("score", "target", "mean", "against", "difference")]
    ends = [table[f"difference_{name}"] for name in ("standard_error", "low", "high")]
    lines = [Line(*line) for line in zip(*columns, *ends, strict=True) if line[0] in _SHOWN]
    squared = [metrics.point_error(each, y).square().numpy() for each in (own, other)]
    return lines + [_root_mean(name, squared[0][:, d], squared[1][:, d]) for d, name in enumerate(names)]


def _root_mean(target: str, own: NDArray[np.float64], other: NDArray[np.float64]) -> Line:
    """Return the root mean squared errors of two models, and their difference with its bootstrap interval."""
    rng, n_rows = np.random.default_rng(0), len(own)  # the same rows for every comparison
    n_draws = max(_FEWEST_DRAWS, min(_DRAWS, _MOST_DRAWN_ROWS // n_rows))
    drawn = (rng.integers(n_rows, size=n_rows) for _ in range(n_draws))
    differences = [math.sqrt(own[rows].mean()) - math.sqrt(other[rows].mean()) for rows in drawn]
    tail = 50 * (1 - _CONFIDENCE)
    low, high = np.percentile(differences, [tail, 100 - tail])
    first, second = math.sqrt(own.mean()), math.sqrt(other.mean())
    error = float(np.std(differences, ddof=1))
    return Line("rmse", target, first, second, first - second, error, float(low), float(high))


def _verdict(lines: Sequence[Line], first: Path, second: Path) -> str:
    """Return who is ahead by the log score, or by the CRPS where log scores cannot be compared."""
    judged = next(line for line in lines if math.isfinite(line.difference) and math.isfinite(line.standard_error))
    name = _SHOWN.get(judged.score, judged.score)
    if not judged.is_clear:
        interval = f"{_number(judged.low)} to {_number(judged.high)}"
        return (
            f"Nobody is ahead: the difference in {name} is {_number(judged.difference)}, and its 95 % interval, "
            f"{interval}, holds 0."
        )
    ahead = first if judged.difference < 0 else second
    least, most = sorted(map(abs, (judged.low, judged.high)))
    return (
        f"{ahead} is ahead: its {name} is lower by {_number(abs(judged.difference))} (95 % interval "
        f"{_number(least)} to {_number(most)})."
    )


def print_comparison(found: Comparison, console: Console) -> None:
    """Print a comparison for a person."""
    console.print(f"{found.rows} rows of {found.file}; first {found.first}, second {found.second}.", soft_wrap=True)
    names = {**_SHOWN, "rmse": "RMSE"}
    several = len({line.target for line in found.scores if line.target != "all"}) > 1
    header = ["score", *(["target"] if several else []), "first", "second", "difference", "95 % interval"]
    rows = [[names[line.score], *([line.target] if several else []), *_numbers(line)] for line in found.scores]
    print_table("Scores on the same rows", header, rows, console, n_texts=2 if several else 1)
    console.print(HOW)
    console.print(found.verdict, soft_wrap=True)


def _numbers(line: Line) -> list[str]:
    scores = [_number(line.first), _number(line.second)]
    if not math.isfinite(line.difference):
        return [*scores, "cannot be compared", ""]
    return [
        *scores,
        f"{_number(line.difference)} ± {_number(line.standard_error)}",
        f"{_number(line.low)} to {_number(line.high)}",
    ]


def _number(value: float) -> str:
    return f"{value:.4g}"
