"""The numbers of training rows in what a fitted estimator tells of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator


def forget_rows(model: BaseEstimator) -> None:
    """Let a fitted estimator name no rows: those that it saw were drawn from a stream, where nobody counts them."""
    model.target_facts_ = tuple(replace(facts, outlier_rows=()) for facts in model.target_facts_)
    if model.history_.findings is not None:
        model.history_.findings = replace(model.history_.findings, floor_rows=())


def renumber_rows(model: BaseEstimator, rows: NDArray[np.intp]) -> None:
    """Let a fitted estimator name its training rows by other numbers.

    Args:
        model: An estimator that was fitted to rows 0, 1, ... of something.
        rows: Their numbers where the user sees them, say in a file.
    """
    model.target_facts_ = tuple(
        replace(facts, outlier_rows=tuple(int(rows[i]) for i in facts.outlier_rows)) for facts in model.target_facts_
    )
    findings = model.history_.findings
    if findings is not None:
        model.history_.findings = replace(findings, floor_rows=tuple(int(rows[i]) for i in findings.floor_rows))
