"""Which rows are left to a person: by which uncertainty, at which limit, and at which price."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from manymodes import _checks, decisions, metrics
from manymodes.distributions import Prediction
from manymodes.estimators.predictions import as_tensor
from manymodes.studies.decisions.orders import LINEAR
from manymodes.studies.frame.comparison import Model, Part
from manymodes.studies.frame.work import Record

SPREAD, WIDTH, ENTROPY, HOPED = "standard deviation", "width of 90 %", "entropy", "expected error"
SQUARE, MISS, CHANCE = "squared error of the mean", "best mode misses", "chance of a miss"
ANSWERS, ORDERS = (SQUARE, MISS), (SPREAD, ENTROPY, CHANCE)
ANSWERED = 0.7  # share of rows that tables tell the error of
NEAR = 5.0  # miles an hour: a mode that is farther off misses
PRICE, PRICED = 100.0, LINEAR[2]  # of an hour that a dispatcher watches, where a missing bicycle costs nine idle ones
_DECIMALS = 3
_N_LEVELS = 100  # of quantiles that stand for a density


def entropies(prediction: Prediction) -> Tensor:
    """Return entropies, (N,), as means over quantiles: near enough to order rows, and fast with many components."""
    levels = ((torch.arange(_N_LEVELS, dtype=prediction.logits.dtype) + 0.5) / _N_LEVELS)[:, None, None]
    return -prediction.log_prob(prediction.icdf(levels)).mean(0)


def _width(prediction: Prediction) -> Tensor:
    return (prediction.icdf(0.95) - prediction.icdf(0.05))[:, 0]


SCORES: Mapping[str, Callable[[Prediction], Tensor]] = {
    SPREAD: lambda prediction: prediction.stddev[:, 0],
    WIDTH: _width,
    ENTROPY: entropies,
    HOPED: lambda prediction: decisions.newsvendor(prediction, 1.0, 1.0).cost[:, 0],  # of the median, absolute
}


def absolute(prediction: Prediction, y: Tensor) -> Tensor:
    """Return how far targets, (N,), are from the median, (N,)."""
    return (prediction.median[:, 0] - y).abs()


def answered(prediction: Prediction, y: Tensor) -> Record:
    """Return errors of the median, what says how uncertain rows are, and what is gained by it, of every score."""
    error = absolute(prediction, y)
    found: dict[str, object] = {"error": error.numpy()}
    for name, score in SCORES.items():
        found |= _of_order(name, error, score(prediction))
    return found


def priced(prediction: Prediction, y: Tensor) -> Record:
    """Return which share of hours is handed over because the order is expected to cost more than that, and all costs.

    Whoever watches an hour costs ``PRICE`` and makes no mistake.
    """
    best = PRICED.best(prediction)
    paid, handed = PRICED.paid(PRICED.allowed(best.action), y), best.cost > PRICE
    return {
        "handed over": float(handed.double().mean()),
        "then paid": float(torch.where(handed, PRICE, paid).mean()),
    }


def limited(held: Prediction, y_held: Tensor, prediction: Prediction, y: Tensor, max_error: float) -> Record:
    """Return what a limit of uncertainty is worth that the weeks held out chose for an error; none keeps to some.

    Args:
        held: Predictions of weeks that the model did not learn from.
        y_held: Demands there, (N,).
        prediction: Predictions of the rows that judge.
        y: Demands there, (N,).
        max_error: Largest mean absolute error of what is answered.
    """
    error = absolute(prediction, y)
    try:
        rejector = decisions.fit_rejector(held, absolute(held, y_held), max_error=max_error)
        coverage, kept = rejector.coverage, ~rejector.rejects(prediction)
    except _checks.InputError:  # no row is answered
        coverage, kept = 0.0, torch.zeros_like(error, dtype=torch.bool)
    return {
        "limit: coverage held": coverage,
        "limit: coverage": float(kept.double().mean()),
        "limit: error": float(error[kept].mean()),
        "limit: error of all": float(error.mean()),
    }


def two_answers(model: Model, prediction: Prediction, part: Part) -> Record:
    """Return what uncertainties gain for two answers: the mean, and the best mode; for ``Problem.look``."""
    y = as_tensor(part.y_test).to(prediction.logits.dtype)
    mode = prediction.modes().location[:, 0]
    near = prediction.probability(mode - NEAR, mode + NEAR)[:, 0]
    errors = {
        SQUARE: (y - prediction.mean[:, 0]).square(),
        MISS: ((y - mode[:, 0]).abs() > NEAR).to(y.dtype),
    }
    orders = {SPREAD: prediction.stddev[:, 0], ENTROPY: entropies(prediction), CHANCE: 1 - near}
    found: dict[str, object] = {}
    for answer, error in errors.items():
        found[f"{answer}: error"] = error.numpy()
        for name, uncertainty in orders.items():
            found |= _of_order(f"{answer} by {name}", error, uncertainty)
    return found


def _of_order(name: str, error: Tensor, uncertainty: Tensor) -> dict[str, object]:
    uncertainty = uncertainty.double().round(decimals=_DECIMALS)  # rows that are equally certain but for rounding
    curve = metrics.risk_coverage(error, uncertainty)
    return {
        name: uncertainty.numpy(),
        f"{name}: all": curve.random_area,
        f"{name}: answered": curve.at(ANSWERED),
        f"{name}: area": curve.area,
        f"{name}: gain": round(curve.gain, _DECIMALS + 3),
    }
