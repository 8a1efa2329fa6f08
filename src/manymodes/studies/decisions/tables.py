"""Tables of decisions: what orders cost, what they were expected to, and what is gained by not answering."""

from __future__ import annotations

import math
from collections.abc import Sequence

from manymodes.estimators.predictions import as_tensor
from manymodes.studies.decisions import orders, rejects
from manymodes.studies.decisions.orders import Cost, key
from manymodes.studies.decisions.rows import Month
from manymodes.studies.frame import models
from manymodes.studies.frame.comparison import Comparison
from manymodes.studies.frame.result import Cell, Measured, Table

RULES: tuple[tuple[str, str], ...] = (
    (models.MDN, orders.WIDENED),
    (models.MDN, orders.LEVEL),
    (models.MDN, orders.NORMAL),
    (models.MDN, orders.MEAN),
    (models.LEAST_SQUARES, orders.CONSTANT),
    (models.LEAST_SQUARES, orders.FACTOR),
    (models.LEAST_SQUARES, orders.MEAN),
    (models.LEAST_SQUARES, orders.AGO),
)


def rule_name(model: str, rule: str) -> str:
    """Return what a way to order is called."""
    if rule == orders.AGO:
        return rule
    return model if rule == orders.OWN else f"{model}: {rule.removeprefix(f'{orders.OWN}, ')}"


def costs(bikes: Comparison, of: Sequence[Cost], caption: str) -> Table:
    """Return mean costs of all densities and of all rules."""
    ways = [*((model, orders.OWN) for model in bikes.records), *RULES]
    rows: list[list[Cell]] = [
        [rule_name(model, rule), *(bikes.value(model, key(cost, rule)) for cost in of)] for model, rule in ways
    ]
    headings = [cost.name for cost in of]
    return Table(caption, ["who orders", *headings], rows, dict.fromkeys(headings, -math.inf))


def expected(bikes: Comparison) -> Table:
    """Return what densities expected to pay beside what was paid."""
    shown = (orders.LINEAR[0], orders.LINEAR[2], orders.FINE)
    columns = [f"{cost.name}, {what}" for cost in shown for what in ("expected", "paid")]
    rows: list[list[Cell]] = [
        [model, *(bikes.value(model, key(cost, what)) for cost in shown for what in (orders.EXPECTED, orders.OWN))]
        for model in bikes.records
    ]
    return Table("Mean cost of an hour that the model expected, and that was paid.", ["model", *columns], rows)


def foresight(months: Sequence[Month], bikes: Comparison) -> str:
    """Return what foresight is worth where it is not everything, in a sentence."""
    known = Measured.over(orders.foresight(orders.TRUCKS, as_tensor(month.part.y_test)) for month in months)
    paid = bikes.value(models.MDN, key(orders.TRUCKS, orders.OWN))
    return (
        f"Who knew demand would pay no fine, but {known} an hour for trucks; beside the {paid} of the {models.MDN}, "
        f"perfect information is worth {paid.mean - known.mean:.1f} an hour."
    )


def refused(bikes: Comparison) -> Table:
    """Return what all models gain by leaving the rows unanswered whose standard deviation is large."""
    names = {"all": "error of all rows", "answered": f"of the {rejects.ANSWERED:.0%} most certain", "gain": "gain"}
    rows: list[list[Cell]] = [
        [model, *(bikes.value(model, f"{rejects.SPREAD}: {what}") for what in names)] for model in bikes.records
    ]
    ideals = dict(zip(names.values(), (-math.inf, -math.inf, math.inf), strict=True))
    caption = "Mean absolute error, bicycles, where the standard deviation says which rows to answer."
    return Table(caption, ["model", *names.values()], rows, ideals)


def by_score(bikes: Comparison) -> Table:
    """Return what every score of uncertainty gains, by model."""
    names = list(rejects.SCORES)
    rows: list[list[Cell]] = [
        [model, *(bikes.value(model, f"{name}: gain") for name in names)] for model in bikes.records
    ]
    return Table("Gain by the score that orders rows.", ["model", *names], rows, dict.fromkeys(names, math.inf))


def priced(bikes: Comparison) -> Table:
    """Return what handing over hours at a price saves."""
    alone = key(rejects.PRICED, orders.OWN)
    columns = ["model", "cost of an hour, none handed over", "handed over", "cost then"]
    rows: list[list[Cell]] = [
        [model, *(bikes.value(model, what) for what in (alone, "handed over", "then paid"))] for model in bikes.records
    ]
    ideals = {columns[1]: -math.inf, columns[3]: -math.inf}
    return Table(f"Hours handed over at {rejects.PRICE:.0f} each.", columns, rows, ideals)


def two_answers(traffic: Comparison) -> Table:
    """Return what every score gains for both answers."""
    names = [f"{answer} by {score}" for answer in rejects.ANSWERS for score in rejects.ORDERS]
    rows: list[list[Cell]] = [
        [model, *(traffic.value(model, f"{name}: gain") for name in names)] for model in traffic.records
    ]
    caption = "Gain by the answer that is judged and by the score that orders rows."
    return Table(caption, ["model", *names], rows, dict.fromkeys(names, math.inf))
