"""Pictures of decisions: costs over their ratio, orders through a week, levels of orders, errors over coverage."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from manymodes import metrics
from manymodes.distributions import Prediction
from manymodes.plots import canvas, risk_coverage
from manymodes.studies.decisions import orders, rejects
from manymodes.studies.decisions.orders import key
from manymodes.studies.decisions.rows import Month
from manymodes.studies.decisions.tables import RULES, rule_name
from manymodes.studies.frame import models
from manymodes.studies.frame.comparison import Comparison
from manymodes.studies.frame.pictures import drawn
from manymodes.studies.frame.result import Figure
from manymodes.studies.frame.work import Record

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_WEEK = slice(0, 24 * 7)
_SHOWN = orders.LINEAR[2]  # the cost whose orders are drawn
_MOST_DOTS = 500
_TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500)  # bicycles


def kept(prediction: Prediction) -> Record:
    """Return what pictures need of the mixture, by row that judges."""
    levels = torch.tensor(_QUANTILES, dtype=prediction.logits.dtype)[:, None, None]
    order = orders.FINE.best(prediction).action
    return {
        "quantiles": prediction.icdf(levels)[..., 0].T.numpy(),
        "order": _SHOWN.best(prediction).action.numpy(),
        "fined level": prediction.cdf(order[:, None])[:, 0].numpy(),
    }


def relative(bikes: Comparison) -> Figure:
    """Return mean costs of all ways to order over the ratio of costs, as multiples of those of the mixture."""
    others = [(model, orders.OWN) for model in bikes.records if model != models.MDN]
    rules = [(model, rule) for model, rule in RULES if model == models.LEAST_SQUARES or rule == orders.WIDENED]

    def draw(*axes: Any) -> None:
        for ax, some in zip(axes, (others, rules), strict=True):
            for (model, rule), color in zip(some, canvas.qualitative(6)[1:], strict=False):
                ax.plot(orders.RATIOS, _ratios(bikes, model, rule), "o-", ms=4, color=color, label=_short(model, rule))
            ax.axhline(1, color=canvas.BLUE, lw=1.8, label=models.MDN)
            ax.set_xscale("log")
            ax.set_xticks(orders.RATIOS, [f"{ratio} : 1" for ratio in orders.RATIOS])
            canvas.finish(ax, "cost of a missing bicycle : an idle one", "cost / cost of the mixture")
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2, fontsize="small", frameon=False)
        axes[0].set_title("orders of other densities")
        axes[1].set_title("corrected by the weeks before, and rules of thumb")
        axes[1].set_yscale("log")
        axes[1].set_yticks([1, 1.5, 2, 3, 4], ["1", "1.5", "2", "3", "4"])
        for ax in axes:
            ax.minorticks_off()

    caption = (
        "Mean cost of an hour by who orders, over that of the mixture density network, mean over months. Above the "
        "line is dearer. The right axis is logarithmic, because the mean alone is far from an order as soon as costs "
        "are unequal."
    )
    return drawn("ratios", caption, draw, n_columns=2, size=(10.0, 5.0))


def a_week(bikes: Comparison, month: Month) -> Figure:
    """Return the first week of a month: the density, what was rented, and two orders."""
    own, plain = bikes.records[models.MDN][0], bikes.records[models.LEAST_SQUARES][0]
    shown = month.order[_WEEK]
    day, y = month.hour[_WEEK] / 24, month.part.y_test[shown]
    quantiles, constant = own["quantiles"][shown], plain[key(_SHOWN, "constant")]

    def draw(ax: Any) -> None:
        light, strong = canvas.tints(3)[:2]
        ax.fill_between(day, quantiles[:, 0], quantiles[:, 4], color=light, lw=0, label="5 % to 95 %")
        ax.fill_between(day, quantiles[:, 1], quantiles[:, 3], color=strong, lw=0, label="25 % to 75 %")
        ax.plot(day, own["order"][shown], color=canvas.BLUE, lw=1.4, label="order of the mixture")
        stocked = np.maximum(plain["mean"][shown] + constant, 0)
        ax.plot(day, stocked, color=canvas.ATOM, lw=1.2, label="mean plus a constant")
        ax.plot(day, y, "o", ms=2.8, color=canvas.INK, label="rented")
        canvas.finish(ax, "days since the last that was learned from", "bicycles in the hour")

    caption = (
        f"A week that was not learned from: the mixture's quantiles, what was rented, and two orders where a missing "
        f"bicycle costs {_SHOWN.ratio:.0f} idle ones. The mixture orders little more than is expected at night, when "
        "demand is sure to be small, and much more in the rush hours; a constant on top of the mean is too much at "
        "night and too little by day."
    )
    return drawn("week", caption, draw, size=(10.5, 4.0))


def levels(bikes: Comparison) -> Figure:
    """Return which quantile the fine asks for in every hour, over the spread."""
    record = bikes.records[models.MDN][0]
    spread, level = record[rejects.SPREAD][:_MOST_DOTS], record["fined level"][:_MOST_DOTS]

    def draw(ax: Any) -> None:
        ax.plot(spread, 100 * level, "o", ms=3, color=canvas.BLUE, alpha=0.6, mec="none")
        ax.set_xscale("log")
        ticks = [tick for tick in _TICKS if spread.min() <= tick <= spread.max()]
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.minorticks_off()
        canvas.finish(ax, "standard deviation of the mixture, bicycles", "level of the order, %")

    caption = (
        "Which quantile of the density is ordered when there is a fine, one dot an hour. Where demand is well known, "
        "a few more bicycles make the fine improbable, and the order is an extreme quantile; where it is not, safety "
        "is dear. No single level suits all hours, nor all hours with one spread."
    )
    return drawn("levels", caption, draw, size=(7.4, 4.0))


def refused(bikes: Comparison) -> Figure:
    """Return the mean error of answered rows over their share, of all models, all months together."""
    shares = np.linspace(0.02, 1.0, 50)

    def draw(ax: Any) -> None:
        for model, color in zip(bikes.records, canvas.qualitative(6), strict=True):
            curves = [_curve(record, shares) for record in bikes.records[model]]
            ax.plot(shares, np.mean(curves, 0), color=color, lw=1.8, label=model)
        ax.set_xlim(0, 1)
        ax.set_ylim(bottom=0)
        canvas.finish(ax, "share of hours answered", "mean absolute error, bicycles")

    caption = (
        "Mean error of the answered hours over their share, where the standard deviation says which are answered "
        "first, mean over months. A model with the same noise everywhere cannot choose: its curve is flat."
    )
    return drawn("refused", caption, draw, size=(8.6, 4.2))


def two_answers(traffic: Comparison) -> Figure:
    """Return errors over coverage of two answers of the mixture, by three scores, all draws together."""
    records = traffic.records[models.MDN]

    def draw(*axes: Any) -> None:
        for ax, answer in zip(axes, rejects.ANSWERS, strict=True):
            error = np.concatenate([record[f"{answer}: error"] for record in records])
            scores = {
                score: np.concatenate([record[f"{answer} by {score}"] for record in records])
                for score in rejects.ORDERS
            }
            risk_coverage(error, scores, ax=ax, x_label="share of readings answered", y_label=answer)
            ax.get_legend().remove()
            ax.set_title(answer)
        handles, labels = axes[0].get_legend_handles_labels()
        axes[0].figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)

    caption = (
        "Errors of the answered readings over their share, all draws together, by the score that orders readings. "
        "Left: squared error of the mean, in (mph)²; right: share of readings that the best mode misses. The error "
        "that an answer expects of itself is the variance for the mean, and the chance of a miss for the mode."
    )
    return drawn("two-answers", caption, draw, n_columns=2, size=(10.0, 4.4))


def _ratios(bikes: Comparison, model: str, rule: str) -> list[float]:
    return [
        bikes.value(model, key(cost, rule)).mean / bikes.value(models.MDN, key(cost, orders.OWN)).mean
        for cost in orders.LINEAR
    ]


def _short(model: str, rule: str) -> str:
    return rule_name(model, rule).replace(f"{models.LEAST_SQUARES}: ", "").replace(f"{models.MDN}: ", "the mixture, ")


def _curve(record: Record, shares: Any) -> Any:
    """Return the mean error of shares of the rows, the most certain ones; those that are as certain in any order."""
    curve = metrics.risk_coverage(record["error"], record[rejects.SPREAD])
    return [curve.at(float(share)) for share in shares]
