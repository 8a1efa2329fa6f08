"""The usual scores of a prediction in one table, and those of two predictions compared row by row."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from scipy import special
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Prediction
from manymodes.distributions.results import Table
from manymodes.metrics.calibration import coverage
from manymodes.metrics.registry import SCORES
from manymodes.metrics.targets import exact_target

LEVEL = 0.9  # of intervals and their coverage
_JOINT = ("log_score", "crps", "energy_score")
_MARGINAL = ("marginal_crps", "interval_score", "squared_error", "absolute_error")


@dataclass(frozen=True, eq=False, repr=False)
class ScoreTable(Table):
    """Mean scores with their standard errors, one line for each score and target; lower is better, but for coverage.

    Standard errors take rows for independent; they are NaN where there is one row only.

    Attributes:
        score: Name of each line's score, see ``metrics.SCORES``; ``"coverage"`` is that of central 90 % intervals.
        target: Name of its target; ``"all"`` for scores of all targets together.
        mean: Mean over rows, (Q,).
        standard_error: Standard error of the mean, (Q,).
        n_rows: Number of rows.
        confidence: Probability that each confidence interval of a difference holds the true one.
        angles: Targets whose CRPS is proper, but not strictly: that of angles, and ``"all"`` where there are any.
        against: Mean of the other prediction, (Q,); None without one, and so is what follows.
        difference: Mean of the paired differences, this prediction's score less the other's, (Q,): below 0 this one is
            better, but for coverage, which should be near 0.9; NaN of log scores of a density beside probabilities,
            whose difference would depend on units.
        difference_standard_error: Its standard error, (Q,).
        difference_low: Lower end of its confidence interval, (Q,), by Student's t.
        difference_high: Upper end, (Q,).
    """

    score: tuple[str, ...]
    target: tuple[str, ...]
    mean: Tensor
    standard_error: Tensor
    n_rows: int
    confidence: float
    angles: frozenset[str] = frozenset()
    against: Tensor | None = None
    difference: Tensor | None = None
    difference_standard_error: Tensor | None = None
    difference_low: Tensor | None = None
    difference_high: Tensor | None = None

    @property
    def strictly_proper(self) -> tuple[bool, ...]:
        """Whether only the true distribution minimises each line's score, of what it sees."""
        return tuple(
            name in SCORES and SCORES[name].strictly_proper and not (name == "crps" and target in self.angles)
            for name, target in zip(self.score, self.target, strict=True)
        )

    def to_dict(self) -> dict[str, list[Any]]:
        """Return the table as columns, one entry a line."""
        table: dict[str, list[Any]] = {"score": list(self.score), "target": list(self.target)}
        table["strictly_proper"] = list(self.strictly_proper)
        for name in ("mean", "standard_error", "against", "difference", *_OF_DIFFERENCES):
            column: Tensor | None = getattr(self, name)
            if column is not None:
                table[name] = column.tolist()
        return table

    def __repr__(self) -> str:
        table = self.to_dict()
        marks = table.pop("strictly_proper")
        table["score"] = [f"{name}{' *' * mark}" for name, mark in zip(table["score"], marks, strict=True)]
        cells = [[name, *(_text(value) for value in column)] for name, column in table.items()]
        widths = [max(len(cell) for cell in column) for column in cells]
        lines = [
            "  ".join(
                cell.ljust(width) if i < 2 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in zip(*cells, strict=True)
        ]
        title = (
            f"{_checks.counted(self.n_rows, 'row')}; lower is better, but coverage of {LEVEL:.0%}; * strictly proper"
        )
        if self.difference is not None:
            title += f"; differences, < 0 for the first, with {self.confidence:.0%} confidence intervals"
        return "\n".join([f"ScoreTable({title})", *lines])


_OF_DIFFERENCES = ("difference_standard_error", "difference_low", "difference_high")


@torch.no_grad()
def score_table(
    distribution: Prediction,
    y: Tensor,
    *,
    against: Prediction | None = None,
    confidence: float = 0.95,
    names: Sequence[str] | None = None,
) -> ScoreTable:
    """Return the usual scores of a prediction, or of two on the same rows.

    Those of all targets: the log score and, of several targets, their sum of CRPS and the energy score; those of each
    target by itself: CRPS, interval score at 90 %, squared error of the mean, absolute error of the median, and
    coverage of the central 90 % interval. What angles have none of is left out.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D).
        against: Another prediction of the same rows; None for none. Where one has a density and the other probabilities
            of counts or atoms, their log scores have other units, and the difference is NaN.
        confidence: Probability that the confidence interval of a difference holds it, in (0, 1).
        names: Name of each target; None for ``"0"``, ``"1"``, ...

    Raises:
        ValueError: Targets or predictions of another shape, no row, a confidence outside (0, 1), or other names than
            there are targets.
        TypeError: Targets that are not exact, or ``against`` that is no prediction.

    Example:
        >>> from torch.distributions import Categorical
        >>> from manymodes.distributions import DiagonalNormal, Mixture
        >>> loc = torch.zeros(3, 1, 1, dtype=torch.float64)
        >>> density = Mixture(Categorical(logits=loc[..., 0]), DiagonalNormal(loc, loc + 1))
        >>> score_table(density, torch.tensor([[-1.0], [0.0], [2.0]], dtype=torch.float64), names=["price"])
        ScoreTable(3 rows; lower is better, but coverage of 90%; * strictly proper)
        score           target    mean  standard_error
        log_score *     all      1.752          0.6009
        ...
    """
    y = exact_target("score_table", distribution, y)
    confidence = _checks.number_between("confidence", confidence, 0.0, 1.0)
    _checks.matches_shape(
        "y", y.shape, (*distribution.batch_shape, *distribution.event_shape), "to match the predictions"
    )
    _checks.rows_at_least(y.shape[:-1].numel(), 1, "a table of scores")
    missing = y.isnan().any(-1).flatten()
    if bool(missing.any()):
        row = _checks.row(int(missing.nonzero()[0]))
        raise _checks.InputError(f"y must hold numbers for a table of scores; got NaN in {row}.")
    targets = _names(names, y.shape[-1])
    if against is not None:
        _checks.instance("against", against, Prediction)
        shape = (*against.batch_shape, *against.event_shape)
        _checks.matches_shape("the targets of against", shape, tuple(y.shape), "to match y")
    labels, columns = zip(*_scores(distribution, y, targets, _lines(distribution, against)), strict=True)
    own = torch.stack(columns)  # (Q, N)
    score, target = zip(*labels, strict=True)
    mean, error = _mean_and_error(own)
    lines = _lines(distribution, against)
    angles = frozenset(["all", *(name for name, plain in zip(targets, lines, strict=True) if not plain)])
    table = ScoreTable(score, target, mean, error, own.shape[1], confidence, frozenset() if all(lines) else angles)
    if against is None:
        return table
    other = torch.stack([column for _, column in _scores(against, y, targets, _lines(distribution, against))])
    table = _compared(table, own, other)
    return table if _measures(distribution) == _measures(against) else _without_log_score(table)


def _measures(distribution: Prediction) -> list[set[str]]:
    """Return of each target whether it has a density, or probabilities of integers or atoms, or both."""
    kinds = zip(*(group.kinds for group in distribution.components.groups), strict=True)
    return [{"density" if kind in ("real", "angle") else kind for kind in each} for each in kinds]


def _without_log_score(table: ScoreTable) -> ScoreTable:
    """Return a table whose log scores are not compared: of other measures their difference depends on units."""
    there = torch.tensor([name != "log_score" for name in table.score], device=table.mean.device)
    names = ("difference", *_OF_DIFFERENCES)
    columns: dict[str, Any] = {name: torch.where(there, getattr(table, name), math.nan) for name in names}
    return replace(table, **columns)


def _compared(table: ScoreTable, own: Tensor, other: Tensor) -> ScoreTable:
    difference, error = _mean_and_error(own - other)
    quantile = float(special.stdtrit(max(table.n_rows - 1, 1), 0.5 + 0.5 * table.confidence))
    return replace(
        table,
        against=other.mean(1),
        difference=difference,
        difference_standard_error=error,
        difference_low=difference - quantile * error,
        difference_high=difference + quantile * error,
    )


def _lines(distribution: Prediction, against: Prediction | None) -> tuple[bool, ...]:
    """Return of each target whether it is on a line, for both predictions."""
    kinds = zip(*(each.components.kinds for each in (distribution, against) if each is not None), strict=True)
    return tuple("angle" not in both for both in kinds)


def _scores(
    distribution: Prediction, y: Tensor, names: Sequence[str], on_a_line: Sequence[bool]
) -> Iterator[tuple[tuple[str, str], Tensor]]:
    """Yield scores, (N,), with their names and those of their targets."""
    for name in _JOINT if len(names) > 1 else _JOINT[:1]:
        if all(on_a_line) or not SCORES[name].on_a_line:
            yield (name, "all"), SCORES[name].function(distribution, y).double().flatten()
    for d, target in enumerate(names):
        alone = distribution.marginal(d)
        for name in _MARGINAL:
            if on_a_line[d] or not SCORES[name].on_a_line:
                values = SCORES[name].function(alone, y[..., [d]])
                yield (name.removeprefix("marginal_"), target), values.double().flatten()
        if on_a_line[d]:
            yield ("coverage", target), coverage(alone, y[..., [d]], LEVEL).double().flatten()


def _names(names: Sequence[str] | None, target_dim: int) -> list[str]:
    if names is None:
        return [str(d) for d in range(target_dim)]
    if isinstance(names, str) or len(names) != target_dim:
        raise _checks.InputError(f"names must name each of the {target_dim} target dimensions; got {names!r}.")
    found = [str(name) for name in names]
    if len(set(found)) < len(found):
        raise _checks.InputError(f"names must differ; got {_checks.quoted(found)}.")
    return found


def _mean_and_error(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return means over rows, (Q,), and their standard errors, NaN of a single row."""
    n_rows = values.shape[1]
    if n_rows == 1:
        return values[:, 0], torch.full_like(values[:, 0], math.nan)
    return values.mean(1), values.std(1) / math.sqrt(n_rows)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
