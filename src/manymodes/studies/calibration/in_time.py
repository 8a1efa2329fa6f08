"""What a correction by old rows is worth later on, and what one by recent rows is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from manymodes.calibration import fit_conformal, fit_recalibration
from manymodes.distributions import Mixture, Prediction
from manymodes.studies.calibration.repairs import AS_IS, LEVEL, targets
from manymodes.studies.calibration.rows import RECENT, Case, Later
from manymodes.studies.frame.comparison import Model
from manymodes.studies.frame.in_time import Array
from manymodes.studies.frame.work import Record

PAST, LAST, WEEKLY = "rows of the past", "the last 30 days", "the 30 days before each week"
SOURCES = (AS_IS, PAST, LAST, WEEKLY)
SAME = "same time"

_Rows = tuple[Mixture, Array]  # predictions and targets


def in_time(model: Model, held: Mixture, prediction: Mixture, case: Case) -> Record:
    """Return the log-likelihood and the share inside 90 % of corrections by old and by recent rows, week by week.

    Densities are corrected by ``fit_recalibration``, intervals by ``fit_conformal``; without a correction they are what
    the model says. Beside the weeks stand rows of the time that was learned from.
    """
    later = case.later
    if later is None:
        return {}
    past = (held, case.y_held)
    same = (model.predict_distribution(later.X_same), later.y_same)
    found: dict[str, float | Array] = {
        **_means(f"{SAME}, {AS_IS}", *_judged(same, None)),
        **_means(f"{SAME}, {PAST}", *_judged(same, past)),
    }
    week = (later.day - RECENT) // 7
    rows_of = _sources(past, model.predict_distribution(later.X_after), later)
    judged = (prediction, case.part.y_test)
    for source in SOURCES:
        log_prob, inside = np.zeros(len(week)), np.zeros(len(week))
        for rows, number in _spans(week, weekly=source == WEEKLY):
            log_prob[rows], inside[rows] = _judged(_taken(judged, rows), rows_of[source](number))
        found |= _means(source, log_prob, inside)
        found[f"{source}: weeks"] = np.array([inside[week == number].mean() for number in np.unique(week)])
    return found


def _sources(past: _Rows, after: Mixture, later: Later) -> dict[str, Callable[[int], _Rows | None]]:
    """Return functions of the number of a week to the rows that correct in it."""

    def before(day: int) -> _Rows:
        return _taken((after, later.y_after), (later.day_after >= day - RECENT) & (later.day_after < day))

    return {
        AS_IS: lambda number: None,
        PAST: lambda number: past,
        LAST: lambda number: before(RECENT),
        WEEKLY: lambda number: before(RECENT + 7 * number),
    }


def _spans(week: NDArray[np.int64], *, weekly: bool) -> list[tuple[NDArray[np.bool_], int]]:
    """Return which rows share a correction, and the first week of each span."""
    return [(week == number, int(number)) for number in np.unique(week)] if weekly else [(week >= 0, 0)]


def _judged(rows: _Rows, by: _Rows | None) -> tuple[Array, Array]:
    """Return log-densities and whether targets are inside, (N,) each."""
    prediction, y = rows[0], targets(rows[1], rows[0])
    if by is None:
        low, high = (prediction.icdf(0.5 + sign * LEVEL / 2) for sign in (-1, 1))
        return prediction.log_prob(y).numpy(), ((y >= low) & (y <= high))[:, 0].double().numpy()
    held, y_held = by[0], targets(by[1], by[0])
    corrected: Prediction = fit_recalibration(held, y_held)(prediction)
    inside = fit_conformal(held, y_held, LEVEL, kind="central").contains(prediction, y)
    return corrected.log_prob(y).numpy(), inside.double().numpy()


def _taken(rows: _Rows, which: NDArray[np.bool_]) -> _Rows:
    return rows[0][torch.from_numpy(np.flatnonzero(which))], rows[1][which]


def _means(name: str, log_prob: Array, inside: Array) -> dict[str, float]:
    return {f"{name}: log_score": float(log_prob.mean()), f"{name}: inside": float(inside.mean())}
