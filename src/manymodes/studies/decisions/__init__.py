"""Decisions: how many bicycles to provide when one too few costs more than one too many, and what not to answer."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from manymodes.distributions import Mixture, Prediction
from manymodes.estimators import MDNRegressor
from manymodes.estimators.baselines import LeastSquaresNetwork
from manymodes.estimators.predictions import as_tensor
from manymodes.studies.decisions import orders, pictures, rejects, tables, words
from manymodes.studies.decisions.rows import HELD, MONTH, N_CUTS, Month, month_of, readings
from manymodes.studies.frame import models
from manymodes.studies.frame.comparison import READING, READING_MODES, Comparison, Model, Part, Problem, compare
from manymodes.studies.frame.pictures import score_dots
from manymodes.studies.frame.result import Block, Result, Section
from manymodes.studies.frame.work import Record, Work

_LIMITS = (20.0, 500.0)  # bicycles: the largest error of what is answered, and that of a quick look


class Judged(NamedTuple):
    """What was measured.

    Attributes:
        bikes: Of months of bicycles.
        traffic: Of readings of traffic.
        months: The months of bicycles, in the order of seeds.
    """

    bikes: Comparison
    traffic: Comparison
    months: list[Month]


def study(work: Work) -> Result:
    """Order bicycles for months that follow those that were learned from, and leave uncertain rows to a person."""
    judged = _judged(work)
    return Result(
        title="How many bicycles, when one too few costs more than one too many?",
        problem=[
            "A forecast is there to decide something. Who provides bicycles for the next day has to say a number for "
            "every hour before demand is known: each one too many stands idle, each one too few turns somebody away. "
            "If both cost the same, the middle of the forecast is the right number. If to turn somebody away costs "
            "nine times as much, it is the number that demand exceeds one time in ten. A forecast of the mean does not "
            "say what that is; a density does, for every ratio of costs.",
            "The bicycles are those rented in Washington, hour by hour, in 2011 and 2012 (Fanaee-T and Gama 2013). "
            "Models know the hour, the day and the weather, as if its forecast were right; and what is known at "
            "midnight: rentals of the same hour the day before and a week before, and the mean of the week before. "
            f"They learn from the year before a day, and the {MONTH} days from it on judge them: {N_CUTS} times, "
            "from January to November 2012. Costs are what their orders would have cost in these days.",
            f"{models.WHO} The networks have the preset 'fast'.",
            "Second, a model may refuse to answer, and leave the row to a person. Which rows it should leave depends "
            "on what an error costs, and that is looked at twice: on bicycles, and on the speed of traffic at a given "
            "flow, where cars drive freely or queue, so that a row may be uncertain without any doubt where its best "
            "mode is (freeway I-880, lane 2; Petty et al. 1996).",
        ],
        conclusions=_conclusions(work, judged),
        sections=[
            Section("One too few, one too many", _orders(judged)),
            Section("When the cost is no quantile", _shapes(judged)),
            Section("Not to answer: bicycles", _refused(judged)),
            Section("Not to answer: two speeds", _two_speeds(judged)),
            Section("Scores", _scores(judged)),
        ],
    )


# --- what is measured ---


def _judged(work: Work) -> Judged:
    data, seeds = work.table("bike-sharing"), work.seeds(N_CUTS)
    months = {seed: month_of(work, data, seed) for seed in seeds}
    hurry: dict[str, Any] = work.pick({}, {"max_epochs": 4})
    usual, n_rows = models.standard(work, preset="fast", **hurry), work.pick(200, 20)

    def look(model: Model, prediction: Prediction, part: Part) -> Record:
        return _look(work, model, prediction, next(month for month in months.values() if month.part is part))

    bikes = Problem("bicycles", lambda seed: months[seed].part, usual, mode_rows=n_rows, look=look)
    traffic = work.table("speedflow-lane2")

    def split(seed: int) -> Part:
        return readings(traffic, seed)

    fewer = {name: make for name, make in usual.items() if name != models.NEIGHBOURS}  # modes of 129 kernels take long
    speeds = Problem("traffic", split, fewer, mode_rows=n_rows, look=rejects.two_answers)
    return Judged(compare(work, bikes, seeds), compare(work, speeds, seeds), list(months.values()))


def _look(work: Work, model: Model, prediction: Prediction, month: Month) -> Record:
    """Return the costs of orders and the errors of answers."""
    part, dtype = month.part, prediction.logits.dtype
    y, y_held = (as_tensor(values).to(dtype) for values in (part.y_test, part.y[month.held]))
    found = {**orders.ordered(prediction, y), **rejects.answered(prediction, y), **rejects.priced(prediction, y)}
    if isinstance(model, LeastSquaresNetwork):
        held, week_ago = orders.held_out_predictions(model, month), as_tensor(month.week_ago).to(dtype)
        mean = prediction.mean[:, 0]
        rules = orders.of_thumb(held.mean[:, 0], y_held, mean, y, week_ago)
        return {**found, **rules, "mean": mean.numpy()}
    if isinstance(model, MDNRegressor):
        held = orders.held_out_predictions(model, month)
        found |= orders.of_mixture(held, y_held, cast(Mixture, prediction), y)
        found |= rejects.limited(held, y_held, prediction, y, work.pick(*_LIMITS))
        found |= pictures.kept(prediction)
    return found


# --- what to conclude ---


def _conclusions(work: Work, judged: Judged) -> list[str]:
    bikes, traffic = judged.bikes, judged.traffic
    return [
        words.of_density(bikes),
        words.of_rules(bikes),
        words.of_expected(bikes),
        words.of_widened(bikes),
        words.of_fine(bikes),
        words.of_normal(bikes),
        *bikes.conclusions("crps", of=" on bicycles"),
        words.of_rejects(bikes),
        words.of_limit(bikes, work.pick(*_LIMITS)),
        words.of_price(bikes),
        words.of_two_answers(traffic),
    ]


# --- what to show ---


def _orders(judged: Judged) -> list[Block]:
    bikes, month = judged.bikes, judged.months[0]
    return [
        f"An idle bicycle costs 1 an hour, a missing one 1, {', '.join(f'{ratio}' for ratio in orders.RATIOS[1:-1])} "
        f"or {orders.RATIOS[-1]}. The best order is then the quantile at which a share of 1/2, 3/4, 9/10 or 19/20 of "
        "the density lies below. Beside the orders that densities ask for stand rules that need a mean alone: the mean "
        "plus a constant, or times a factor, which would have been best in the last "
        f"{HELD} days before the month, by a model that had not learned from them; and the rentals of a week before. "
        "'One learned quantile' takes the level that was best on these days instead of the one that theory says, and a "
        "temperature, two numbers learned on them, sharpens or widens the density before it is asked, which could be "
        "done to every other density, too. Who "
        "knew demand would pay nothing, so all these costs are what perfect information would be worth.",
        tables.costs(bikes, orders.LINEAR, "Mean cost of an hour, by what a missing bicycle costs beside an idle one."),
        pictures.relative(bikes),
        pictures.a_week(bikes, month),
        tables.expected(bikes),
    ]


def _shapes(judged: Judged) -> list[Block]:
    bikes = judged.bikes
    return [
        "Two other costs. A fine: as soon as one person is turned away in an hour, the hour costs "
        f"{orders.FINE_OF:.0f}, however many they are, and idle bicycles cost 1 each. The best order is where the "
        "chance of one more person, times the fine, falls below the chance that the bicycle is idle: that depends on "
        "the density there, and is another quantile in every hour. Trucks: bicycles come by trucks of "
        f"{orders.LOAD}, a trip costs {orders.TRIP:.0f}, a missing bicycle {orders.MISSING:.0f}; one more truck drives "
        "if what it is expected to save is worth the trip. Orders are found by comparing expected costs "
        "(decisions.best_action).",
        tables.costs(bikes, (orders.FINE, orders.TRUCKS), "Mean cost of an hour with a fine, and with trucks."),
        tables.foresight(judged.months, bikes),
        pictures.levels(bikes),
    ]


def _refused(judged: Judged) -> list[Block]:
    bikes = judged.bikes
    return [
        "The answer is the median, its error the distance to what was rented. Rows are answered from the most certain "
        "on. The gain is the share of what the best order, that of the errors themselves, gains over a random one; 0 "
        "is random.",
        pictures.refused(bikes),
        tables.refused(bikes),
        tables.by_score(bikes),
        f"At a price: a dispatcher who watches an hour costs {rejects.PRICE:.0f}, and makes no mistake. Hours are "
        "handed over whose order is expected to cost more than that (Chow 1970), where a missing bicycle costs nine "
        "idle ones.",
        tables.priced(bikes),
    ]


def _two_speeds(judged: Judged) -> list[Block]:
    return [
        f"Two answers to one row: the mean, judged by its squared error, and the highest mode, which misses if it is "
        f"more than {rejects.NEAR:.0f} mph off. Where nine cars in ten drive at 60 and one at 20, the variance is "
        "large, and the mean errs at each of them; but the mode is right nine times in ten, and the entropy hardly "
        "larger than where all drive at 60.",
        pictures.two_answers(judged.traffic),
        tables.two_answers(judged.traffic),
    ]


def _scores(judged: Judged) -> list[Block]:
    return [
        judged.bikes.table("Hours of bicycles of months not learned from, mean over months."),
        score_dots(judged.bikes, "crps", "crps", "CRPS, bicycles"),
        judged.traffic.table("Readings of traffic, three tenths drawn at random, mean over draws."),
        READING,
        READING_MODES,
        "Demand is a whole number, and all models give it a density.",
    ]
