"""Pictures of forecasts of rain: two months, three days, the chance of rain, and PITs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymodes.plots import canvas
from manymodes.studies.frame.comparison import Comparison
from manymodes.studies.frame.pictures import drawn
from manymodes.studies.frame.result import Figure
from manymodes.studies.frame.work import Record
from manymodes.studies.rain.scores import STEP, Array, binned

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)  # of quantiles, day by day
AMOUNTS = np.arange(-12.0, 60.25, 0.25)  # millimetres at which distributions are kept
_SHOWN = slice(120, 190)  # days of a year: May and June
_PIT_BINS = 20


def two_months(record: Record, y: Array, dates: NDArray[np.datetime64]) -> Figure:
    """Return the forecasts of a stretch of days beside what fell.

    Args:
        record: What was kept of one model for one year, ``quantiles`` (N, Q) and ``chance`` (N,), in the order of days.
        y: Amounts, (N,).
        dates: Days, (N,).
    """
    day, low = dates[_SHOWN], record["quantiles"][_SHOWN]

    def draw(above: Any, below: Any) -> None:
        above.bar(day, record["chance"][_SHOWN], width=0.9, color=canvas.tints(3)[1])
        above.set_ylim(0, 1)
        light, strong = canvas.tints(3)[:2]
        below.fill_between(day, low[:, 0], low[:, 4], color=light, lw=0, label="5 % to 95 %", step="mid")
        below.fill_between(day, low[:, 1], low[:, 3], color=strong, lw=0, label="25 % to 75 %", step="mid")
        below.step(day, low[:, 2], where="mid", color=canvas.BLUE, lw=1.2, label="median")
        wet = y[_SHOWN] > STEP / 2
        below.plot(day[wet], y[_SHOWN][wet], "o", ms=4, color=canvas.INK, label="fell")
        below.plot(day[~wet], y[_SHOWN][~wet], "o", ms=4, mfc="white", mec=canvas.ATOM, label="nothing fell")
        canvas.finish(above, "", "chance of rain")
        canvas.finish(below, "", "mm in three days")

    caption = (
        "Ten weeks of a year that was not learned from. Above: the chance that any rain falls. Below: quantiles of the "
        "amount, with what fell. The lower quantiles lie on zero wherever the chance of a dry spell is large enough: "
        "that is the point mass."
    )
    return drawn("weeks", caption, draw, n_rows=2, size=(9.6, 5.6), sharex=True, height_ratios=(1, 2.4))


def three_days(comparison: Comparison, names: Sequence[str], days: Mapping[str, float]) -> Figure:
    """Return the probability of more than any amount on three days, of several models.

    Args:
        comparison: What was measured, with ``curves``, (J, G), the probabilities of more than ``AMOUNTS``.
        names: Names of the models.
        days: What fell on each of the days, by what it is called.
    """

    def draw(*axes: Any) -> None:
        for number, (ax, (name, fell)) in enumerate(zip(axes, days.items(), strict=True)):
            for model, color in zip(names, canvas.qualitative(len(names)), strict=True):
                ax.plot(AMOUNTS, comparison.first(model, "curves")[number], color=color, lw=1.8, label=model)
            ax.axvline(fell, color=canvas.INK, lw=1.0, ls=":", label="what fell")
            ax.set_title(name)
            ax.set_ylim(0, 1.02)
            canvas.finish(ax, "mm in three days", "probability of more")
            ax.label_outer()
            ax.get_legend().remove()
        handles, labels = axes[0].get_legend_handles_labels()
        axes[0].figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)

    caption = (
        "The probability of more than an amount, on three days. With a point mass the curve drops from one to the "
        "chance of rain exactly at zero. Densities have to bend around that step, and a Gaussian gives away "
        "probability to amounts below zero."
    )
    return drawn("days", caption, draw, n_columns=3, size=(10.5, 4.2), sharey=True)


def chances(records: Mapping[str, Sequence[Record]], happened: NDArray[np.bool_]) -> Figure:
    """Return how often it rained when so large a chance was given, all years together, by forecast.

    Args:
        records: Records with ``chance``, (N,), one a year.
        happened: Whether it rained, of all years one after another.
    """

    def draw(ax: Any) -> None:
        ax.plot([0, 1], [0, 1], color=canvas.GREY, lw=1.0)
        for (name, of_years), color in zip(records.items(), canvas.qualitative(len(records)), strict=True):
            said, seen, count = binned(np.concatenate([record["chance"] for record in of_years]), happened)
            error = 2 * np.sqrt(seen * (1 - seen) / count)
            ax.errorbar(said, seen, yerr=error, fmt="o-", ms=4, lw=1.2, elinewidth=0.8, color=color, label=name)
        ax.set_aspect("equal")
        canvas.finish(ax, "chance of rain that was given", "share of days with rain")

    caption = (
        "How often it rained when a chance was given; calibrated chances lie on the diagonal. Points are tenths of the "
        "days, bars two standard errors, which take days for independent. The members of the forecast almost always "
        "say that some rain falls."
    )
    return drawn("chances", caption, draw, size=(8.0, 5.0))


def pits(records: Mapping[str, Sequence[Record]]) -> Figure:
    """Return histograms of PITs, all years together, by forecast."""

    def draw(*axes: Any) -> None:
        for ax, (name, of_years) in zip(axes, records.items(), strict=True):
            values = np.concatenate([record["pit"] for record in of_years])
            ax.hist(values, _PIT_BINS, range=(0, 1), density=True, color=canvas.tints(3)[1], ec="white", lw=0.8)
            ax.axhline(1, color=canvas.INK, lw=0.8)
            ax.set_title(name)
            canvas.finish(ax, "PIT", "density")
            ax.label_outer()

    caption = (
        "Where the amounts fall within their forecasts; flat is calibrated. At the point mass a number is drawn "
        "between both sides of the step. Densities that have no such step heap dry days up."
    )
    return drawn("pits", caption, draw, n_columns=len(records), size=(10.5, 3.4), sharey=True)
