"""Scores of predictions on rows with known targets, as plain numbers for summaries."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from manymodes import _checks, metrics
from manymodes.distributions import Prediction

LEVEL = 0.9
MODE_MASS = 0.05  # a mode counts from this share of the probability


@dataclass(frozen=True)
class TargetScores:
    """Scores of one target by itself, means over rows, in its units.

    Attributes:
        crps: Continuous ranked probability score.
        rmse: Root mean squared error of the mean.
        mae: Mean absolute error of the median; NaN for angles, which have none.
        coverage_90: Share of targets inside the central 90 % interval; NaN for angles.
    """

    crps: float
    rmse: float
    mae: float
    coverage_90: float


@dataclass(frozen=True)
class Scores:
    """Scores of a model on rows with known targets.

    Attributes:
        n_rows: Number of rows.
        log_score: Mean of -log p(y), joint over targets, in nats.
        log_score_standard_error: Its standard error; None for a single row.
        targets: Scores of each target by itself.
    """

    n_rows: int
    log_score: float
    log_score_standard_error: float | None
    targets: dict[str, TargetScores]

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Scores:
        """Read the scores of a summary, where null stands for what is not finite."""
        targets = {
            name: TargetScores(**{key: math.nan if value is None else value for key, value in own.items()})
            for name, own in record["targets"].items()
        }
        log_score = math.inf if record["log_score"] is None else record["log_score"]
        return cls(record["n_rows"], log_score, record["log_score_standard_error"], targets)


def score(distribution: Prediction, y: Tensor, names: Sequence[str]) -> Scores:
    """Return the scores of predictions (N,) for targets (N, D) of the given names."""
    log_scores = metrics.log_score(distribution, y)
    n_rows = len(y)
    error = float(log_scores.std()) / math.sqrt(n_rows) if n_rows > 1 else None
    targets = {name: _score_target(distribution.marginal(d), y[:, [d]]) for d, name in enumerate(names)}
    return Scores(n_rows, float(log_scores.mean()), error, targets)


def count_modes(distribution: Prediction) -> dict[int, float]:
    """Return the share of rows with 1, 2, ... modes that hold at least ``MODE_MASS`` of the probability."""
    counts = Counter(distribution.modes().count_above(MODE_MASS).tolist())
    total = sum(counts.values())
    return {count: counts[count] / total for count in sorted(counts)}


def describe_modes(shares: dict[int, float]) -> str:
    """Return a sentence that says how many modes typical predictions have."""
    typical = max(shares, key=lambda count: shares[count])
    spread = ", ".join(f"{count} in {share:.0%}" for count, share in shares.items())
    return (
        f"A typical prediction has {_checks.counted(typical, 'mode')} (modes that hold at least {MODE_MASS:.0%} of the "
        f"probability: {spread} of the held-out rows)."
    )


def _score_target(distribution: Prediction, y: Tensor) -> TargetScores:
    on_a_line = "angle" not in distribution.kinds
    with torch.no_grad():
        return TargetScores(
            crps=float(metrics.crps(distribution, y).mean()),
            rmse=float(metrics.rmse(distribution, y)),
            mae=float(metrics.mae(distribution, y)) if on_a_line else math.nan,
            coverage_90=float(metrics.coverage(distribution, y, LEVEL).mean()) if on_a_line else math.nan,
        )
