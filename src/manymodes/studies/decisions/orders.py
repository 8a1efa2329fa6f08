"""What an order of bicycles costs, which order a density asks for, and rules of thumb that need none."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor

from manymodes import decisions
from manymodes.calibration import fit_recalibration
from manymodes.decisions import Decision
from manymodes.distributions import Mixture, Prediction
from manymodes.estimators.baselines.base import mixture_of
from manymodes.studies.decisions.rows import Month
from manymodes.studies.frame.comparison import Model
from manymodes.studies.frame.work import Record

RATIOS = (1, 3, 9, 19)  # what a missing bicycle costs beside an idle one
FINE_OF, MISSING = 500.0, 3.0  # of the two other costs: for an hour in which somebody is turned away; for a bicycle
LOAD, TRIP = 100, 60.0  # bicycles on a truck, and what its trip costs
OWN, EXPECTED = "its density", "expected"
MEAN, NORMAL, LEVEL = "its mean", "a normal of its mean and spread", "one learned quantile of it"
WIDENED = f"{OWN}, with a learned temperature"
CONSTANT, FACTOR, AGO = "its mean plus a constant", "its mean times a factor", "as many as a week ago"
_N_POINTS = 512  # for expected costs, which need not be exact
_LEVELS = torch.special.ndtr(torch.linspace(-1.0, 3.4, 45, dtype=torch.float64))  # of quantiles that may be ordered
_MOST_TRUCKS = 13
_N_TRIED = 200  # constants and factors that are tried


@dataclass(frozen=True)
class Cost:
    """What an order costs once demand is known.

    Attributes:
        name: What it is called.
        paid: Function of orders and demands.
        best: Function of predictions that returns the order with the least expected cost of every row, (N,).
        ratio: What a missing bicycle costs beside an idle one, if that is all; NaN if not.
        load: Orders are multiples of it; 0 where they are not.
    """

    name: str
    paid: Callable[[Tensor, Tensor], Tensor]
    best: Callable[[Prediction], Decision]
    ratio: float = math.nan
    load: int = 0

    def allowed(self, order: Tensor) -> Tensor:
        """Return the orders that can be placed nearest to those that are wanted."""
        order = order.clamp_min(0.0)
        return (order / self.load).round() * self.load if self.load else order

    def mean(self, order: Tensor, y: Tensor) -> float:
        """Return the mean cost of orders, (N,), at demands, (N,)."""
        return float(self.paid(self.allowed(order), y).mean())


def _linear(ratio: int) -> Cost:
    def paid(order: Tensor, y: Tensor) -> Tensor:
        return ratio * (y - order).clamp_min(0.0) + (order - y).clamp_min(0.0)

    def best(prediction: Prediction) -> Decision:
        found = decisions.newsvendor(prediction, ratio, 1.0)
        return Decision(found.action[:, 0], found.cost[:, 0])

    return Cost(f"{ratio} : 1", paid, best, ratio=ratio)


def _fined(order: Tensor, y: Tensor) -> Tensor:
    return FINE_OF * (y > order) + (order - y).clamp_min(0.0)


def _best_fined(prediction: Prediction) -> Decision:
    return decisions.best_action(prediction, quantiles(prediction), _fined, n_samples=_N_POINTS)


def quantiles(prediction: Prediction) -> Tensor:
    """Return quantiles that may be ordered, (N, A)."""
    return prediction.icdf(_LEVELS.to(prediction.logits.dtype)[:, None, None])[..., 0].T.contiguous()


def _trucked(order: Tensor, y: Tensor) -> Tensor:
    return TRIP * order / LOAD + MISSING * (y - order).clamp_min(0.0)


def _best_trucked(prediction: Prediction) -> Decision:
    trucks = torch.arange(_MOST_TRUCKS, dtype=prediction.logits.dtype) * LOAD
    return decisions.best_action(prediction, trucks, _trucked, n_samples=_N_POINTS)


LINEAR = tuple(map(_linear, RATIOS))
FINE = Cost("fine", _fined, _best_fined)
TRUCKS = Cost("trucks", _trucked, _best_trucked, load=LOAD)
COSTS = (*LINEAR, FINE, TRUCKS)


def key(cost: Cost, rule: str) -> str:
    """Return the name under which a record keeps the mean cost of a rule."""
    return f"{cost.name}: {rule}"


def ordered(prediction: Prediction, y: Tensor) -> Record:
    """Return what the orders cost that a density asks for, (y is (N,)), and what it expected them to cost."""
    found: dict[str, float] = {}
    for cost in COSTS:
        best = cost.best(prediction)
        found |= {key(cost, OWN): cost.mean(best.action, y), key(cost, EXPECTED): float(best.cost.double().mean())}
    return found


def of_mixture(held: Mixture, y_held: Tensor, prediction: Mixture, y: Tensor) -> Record:
    """Return what less than a density would cost, its mean, its spread, one quantile, and the density corrected.

    Args:
        held: Predictions of weeks that the model did not learn from.
        y_held: Demands there, (N,).
        prediction: Predictions of the rows that judge.
        y: Demands there, (N,).
    """
    normal = mixture_of(prediction.mean.unsqueeze(1), prediction.stddev.unsqueeze(1))
    of_held, of_judged = quantiles(held), quantiles(prediction)
    widened = fit_recalibration(held, y_held[:, None], kind="temperature")(prediction)
    found: dict[str, float] = {}
    for cost in COSTS:
        learned = int(np.argmin([cost.mean(order, y_held) for order in of_held.T]))
        found |= {
            key(cost, MEAN): cost.mean(prediction.mean[:, 0], y),
            key(cost, NORMAL): cost.mean(cost.best(normal).action, y),
            key(cost, WIDENED): cost.mean(cost.best(widened).action, y),
            key(cost, LEVEL): cost.mean(of_judged[:, learned], y),
            key(cost, "level"): float(_LEVELS[learned]),
        }
    return found


def of_thumb(held: Tensor, y_held: Tensor, mean: Tensor, y: Tensor, week_ago: Tensor) -> Record:
    """Return what rules cost that need a mean alone, whose constant or factor is the best on the weeks held out.

    Args:
        held: Means of weeks that the model did not learn from, (N,).
        y_held: Demands there, (N,).
        mean: Means of the rows that judge, (N,).
        y: Demands there, (N,).
        week_ago: Demands a week before them, (N,).
    """
    levels = torch.linspace(0.002, 0.998, _N_TRIED, dtype=torch.float64)
    constants = torch.quantile((y_held - held).double(), levels)
    factors = torch.quantile((y_held / held.clamp_min(1.0)).double(), levels)
    found: dict[str, float] = {}
    for cost in COSTS:
        constant = constants[int(np.argmin([cost.mean(held + each, y_held) for each in constants]))]
        factor = factors[int(np.argmin([cost.mean(held * each, y_held) for each in factors]))]
        found |= {
            key(cost, MEAN): cost.mean(mean, y),
            key(cost, CONSTANT): cost.mean(mean + constant, y),
            key(cost, FACTOR): cost.mean(mean * factor, y),
            key(cost, AGO): cost.mean(week_ago, y),
            key(cost, "constant"): float(constant),
        }
    return found


def held_out_predictions(model: Model, month: Month) -> Mixture:
    """Return predictions of the weeks held out, of a model like this one that did not learn from them."""
    part, held = month.part, month.held
    other = clone(model).fit(part.X[~held], part.y[~held])
    return cast(Mixture, other.predict_distribution(part.X[held]))


def foresight(cost: Cost, y: Tensor) -> float:
    """Return the mean cost for who knows demand, (N,): nothing, unless trucks have to drive."""
    if not cost.load:
        return cost.mean(y, y)
    return float(
        torch.stack([cost.paid(torch.full_like(y, n * cost.load), y) for n in range(_MOST_TRUCKS)]).amin(0).mean()
    )
