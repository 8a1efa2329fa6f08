"""What to conclude about decisions, in sentences that follow the numbers."""

from __future__ import annotations

import math

from manymodes.studies.decisions import orders, rejects
from manymodes.studies.decisions.orders import Cost, key
from manymodes.studies.decisions.tables import RULES, rule_name
from manymodes.studies.frame import models
from manymodes.studies.frame.comparison import Comparison
from manymodes.studies.frame.result import Measured

_DEAR, _USUAL = orders.LINEAR[-1], orders.LINEAR[2]


def of_density(bikes: Comparison) -> str:
    """Return what is lost by ordering the mean, as costs grow apart."""
    first, last = (_cost(bikes, models.LEAST_SQUARES, orders.MEAN, cost) for cost in (orders.LINEAR[0], _DEAR))
    own = {cost: _cost(bikes, models.MDN, orders.OWN, cost) for cost in (orders.LINEAR[0], _DEAR)}
    return (
        f"Where a missing bicycle costs {orders.RATIOS[-1]} idle ones, the {models.LEAST_SQUARES} that orders its mean "
        f"pays {last} an hour, and the {models.MDN} that orders the quantile pays {own[_DEAR]}; where both cost the "
        f"same, they pay {first} and {own[orders.LINEAR[0]]}."
    )


def of_rules(bikes: Comparison) -> str:
    """Return who orders best at the usual ratio, and how far the mixture is from the best rule of thumb."""
    rules = [(model, rule) for model, rule in RULES if model == models.LEAST_SQUARES]
    densities = [(model, orders.OWN) for model in bikes.records if model != models.MDN]
    told = [
        _beside(bikes, kind, *_cheapest(bikes, some, _USUAL))
        for kind, some in (("rule of thumb", rules), ("other density", densities))
    ]
    own = _cost(bikes, models.MDN, orders.OWN, _USUAL)
    return f"At {_USUAL.name} the {models.MDN} pays {own} an hour: it is {' and '.join(told)}."


def of_expected(bikes: Comparison) -> str:
    """Return whether the mixture knew what it would pay, and what is gained by correcting it by recent weeks."""
    hoped, paid = (_cost(bikes, models.MDN, what, _USUAL) for what in (orders.EXPECTED, orders.OWN))
    level = Measured.over(record[key(_USUAL, "level")] for record in bikes.records[models.MDN])
    learned, widened = (_cost(bikes, models.MDN, rule, _USUAL) for rule in (orders.LEVEL, orders.WIDENED))
    told = f"At {_USUAL.name} the {models.MDN} expected to pay {hoped} an hour and paid {paid}"
    if paid.mean > 1.1 * hoped.mean:
        told += ": the coming month is less like the past than rows of the past are like each other"
    return (
        f"{told}. With a temperature that the weeks before chose, it pays {widened}; with the one quantile that was "
        f"best in these weeks, whose level is {level.mean:.3f} on average instead of 0.900, {learned}."
    )


def of_widened(bikes: Comparison) -> str:
    """Return for how many costs one corrected density is the cheapest of all ways to order, and what it saves."""
    own, ways = (models.MDN, orders.WIDENED), [*((model, orders.OWN) for model in bikes.records), *RULES]
    n_best = sum(_cheapest(bikes, ways, cost) == own for cost in orders.COSTS)
    thumb = _cheapest(bikes, [way for way in RULES if way[0] == models.LEAST_SQUARES], _USUAL)
    saved = _paired(bikes, thumb, own, _USUAL)
    told = (
        f"One temperature serves all costs, where a quantile, a constant or a factor has to be learned for each: the "
        f"density corrected by it is the cheapest of {len(ways)} ways to order for {n_best} of {len(orders.COSTS)} "
        f"costs. At {_USUAL.name} the {rule_name(*thumb)} costs {saved} more"
    )
    return f"{told}." if saved.mean > 0 else f"{told}, that is less."


def of_fine(bikes: Comparison) -> str:
    """Return what one quantile for all hours loses where the cost asks for the density."""
    own, level = (_cost(bikes, models.MDN, rule, orders.FINE) for rule in (orders.OWN, orders.LEVEL))
    gap = _paired(bikes, (models.MDN, orders.LEVEL), (models.MDN, orders.OWN), orders.FINE)
    best = _cheapest(bikes, [(model, orders.OWN) for model in bikes.records], orders.FINE)
    return (
        f"With a fine, the {models.MDN} pays {own} by its density, and {level} by one quantile of it whose level was "
        f"learned: {gap} {'more' if gap.mean > 0 else '(less is better)'}. The best density there is that of "
        f"{_the(best[0])}, with {_cost(bikes, *best, orders.FINE)}."
    )


def of_normal(bikes: Comparison) -> str:
    """Return what the shape of the density is worth beyond its mean and spread."""
    gaps = {
        cost.name: _paired(bikes, (models.MDN, orders.NORMAL), (models.MDN, orders.OWN), cost)
        for cost in (_USUAL, _DEAR, orders.FINE, orders.TRUCKS)
    }
    told = (
        f"A normal with the mean and the spread of the {models.MDN} in place of its density changes the cost of an "
        f"hour by {', '.join(f'{gap} ({name})' for name, gap in gaps.items())}; more is worse."
    )
    if any(gap.mean > 2 * (gap.error or 0.0) for gap in gaps.values()):
        return f"{told} The shape of the density is worth something beyond its spread."
    return f"{told} On bicycles the spread is what counts, hour by hour; the rest of the shape adds nothing."


def of_rejects(bikes: Comparison) -> str:
    """Return what is gained by answering the most certain rows alone."""
    own = models.MDN
    every, some = (bikes.value(own, f"{rejects.SPREAD}: {what}") for what in ("all", "answered"))
    gains = {model: bikes.value(model, f"{rejects.SPREAD}: gain") for model in bikes.records}
    best = max(gains, key=lambda model: gains[model].mean)
    return (
        f"Answering only the {rejects.ANSWERED:.0%} of hours that it is most certain of, the {own} errs by {some} "
        f"bicycles instead of {every}. That order gains {gains[own]} of what the best possible one would; the highest "
        f"gain is that of {_the(best)}, {gains[best]}, and that of the {models.LEAST_SQUARES}, whose noise is the same "
        f"everywhere, is {gains[models.LEAST_SQUARES]}."
    )


def of_limit(bikes: Comparison, max_error: float) -> str:
    """Return whether a limit that past weeks chose keeps what it promised."""
    held, kept, error, every = (
        bikes.value(models.MDN, f"limit: {what}") for what in ("coverage held", "coverage", "error", "error of all")
    )
    if math.isnan(error.mean):
        return f"No limit of uncertainty keeps the mean error below {max_error:.0f} bicycles on the weeks before."
    broken = error.mean > max_error
    return (
        f"A limit of uncertainty that keeps the mean error below {max_error:.0f} bicycles on the weeks before answers "
        f"{held.mean:.0%} there, and {kept.mean:.0%} of the month that follows, with an error of {error} (all hours: "
        f"{every}): the promise is {'broken' if broken else 'kept'} on average."
    )


def of_price(bikes: Comparison) -> str:
    """Return what handing hours over at a price saves."""
    own = models.MDN
    alone, then = bikes.value(own, key(rejects.PRICED, orders.OWN)), bikes.value(own, "then paid")
    saved = Measured.over(
        record[key(rejects.PRICED, orders.OWN)] - record["then paid"] for record in bikes.records[own]
    )
    return (
        f"If an hour can be handed over for {rejects.PRICE:.0f}, the {own} hands over "
        f"{bikes.value(own, 'handed over').mean:.0%} and pays {then} an hour instead of {alone}; the difference is "
        f"{saved}."
    )


def of_two_answers(traffic: Comparison) -> str:
    """Return which score orders which answer best, of the mixture on traffic."""
    gain = {
        (answer, score): traffic.value(models.MDN, f"{answer} by {score}: gain")
        for answer in rejects.ANSWERS
        for score in rejects.ORDERS
    }
    best = {answer: max(rejects.ORDERS, key=lambda score: gain[answer, score].mean) for answer in rejects.ANSWERS}
    square, miss = (
        ", ".join(f"{gain[answer, score]} by {score}" for score in rejects.ORDERS) for answer in rejects.ANSWERS
    )
    told = (
        f"On traffic the order that suits depends on the answer. For the squared error of the mean the gain of the "
        f"{models.MDN} is {square}; for misses of the best mode {miss}."
    )
    if best[rejects.SQUARE] == rejects.SPREAD and best[rejects.MISS] != rejects.SPREAD:
        told += " Ask which error the answer expects of itself, not how wide the density is."
    return told


def _cost(bikes: Comparison, model: str, rule: str, cost: Cost) -> Measured:
    return bikes.value(model, key(cost, rule))


def _cheapest(bikes: Comparison, ways: list[tuple[str, str]], cost: Cost) -> tuple[str, str]:
    return min(ways, key=lambda way: _cost(bikes, way[0], way[1], cost).mean)


def _paired(bikes: Comparison, first: tuple[str, str], second: tuple[str, str], cost: Cost) -> Measured:
    """Return what the first way costs more than the second, of the same months."""
    pairs = zip(bikes.records[first[0]], bikes.records[second[0]], strict=True)
    return Measured.over(one[key(cost, first[1])] - other[key(cost, second[1])] for one, other in pairs)


def _beside(bikes: Comparison, kind: str, model: str, rule: str) -> str:
    """Return whether the mixture is cheaper than another way to order, in words."""
    gap = _paired(bikes, (models.MDN, orders.OWN), (model, rule), _USUAL)
    clear = gap.error is None or abs(gap.mean) > 2 * gap.error
    order = ("cheaper than" if gap.mean < 0 else "dearer than") if clear else "level with"
    paid = _cost(bikes, model, rule, _USUAL)
    return f"{order} the best {kind}, {rule_name(model, rule)} ({paid}; the difference is {gap})"


def _the(model: str) -> str:
    return model if model == models.GAUSSIAN else f"the {model}"
