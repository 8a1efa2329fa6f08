"""Pictures of active learning: curves of scores over rows, what was chosen, noise beside ignorance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from manymodes.plots import canvas
from manymodes.studies.active_learning.rounds import LOG_SCORE, PLACES, RMSE, STRATEGIES, curves
from manymodes.studies.active_learning.tasks import NOISE, Task
from manymodes.studies.frame.comparison import Part
from manymodes.studies.frame.pictures import drawn
from manymodes.studies.frame.result import Figure, Measured
from manymodes.studies.frame.work import Record

_BINS = np.linspace(-1.0, 1.0, 21)
_MOST_DOTS = 600


def _colors() -> dict[str, str]:
    return dict(zip(STRATEGIES, (canvas.GREY, *canvas.qualitative(4)[1:]), strict=True))


def score_curves(task: Task, records: Sequence[Record], whole: dict[str, Measured], slug: str) -> Figure:
    """Return log-likelihood and RMSE over the number of rows, by strategy.

    Args:
        task: The pool.
        records: What was measured, one record a seed.
        whole: Scores of the mixture that knows the whole pool, by name.
        slug: End of the name of the file.
    """

    def draw(*axes: Any) -> None:
        for ax, what in zip(axes, (LOG_SCORE, RMSE), strict=True):
            for strategy, color in _colors().items():
                _band(ax, np.array(task.n_rows), curves(records, strategy, what), color, strategy)
            ax.axhline(whole[what].mean, color=canvas.INK, lw=1.0, ls="--", label="whole pool")
            unit = ", nats" if what == LOG_SCORE else f", {task.unit}" if task.unit else ""
            canvas.finish(ax, "rows measured", f"{what}{unit}")
            ax.set_xticks(task.n_rows)
            ax.get_legend().remove()
        handles, labels = axes[0].get_legend_handles_labels()
        axes[0].figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)

    caption = (
        f"{task.name[:1].upper()}{task.name[1:]}: scores on test rows over the rows that were measured, by how they "
        "were chosen; bands are a standard error over seeds. The dashed line is the mixture that learned from the "
        "whole pool."
    )
    return drawn(f"curves-{slug}", caption, draw, n_columns=2, size=(10.0, 4.2))


def kinds(task: Task, records: Sequence[Record], pool: np.ndarray[Any, Any], slug: str) -> Figure:
    """Return which share of the chosen rows is of every kind, by strategy, beside the pool.

    Args:
        task: The pool.
        records: What was measured, one record a seed.
        pool: Features of the pool, (N, F).
        slug: End of the name of the file.
    """

    def draw(ax: Any) -> None:
        width = 0.8 / len(STRATEGIES)
        for number, (strategy, color) in enumerate(_colors().items()):
            shares = [shares_of(task, record[f"{strategy}: chosen"]) for record in records]
            values = [Measured.over(column) for column in np.array(shares).T]
            at = np.arange(len(task.groups)) + (number - 1.5) * width
            bars = [value.error or 0.0 for value in values]
            ax.bar(at, [value.mean for value in values], width, yerr=bars, color=color, label=strategy, capsize=2)
        of_pool = shares_of(task, pool)
        ax.hlines(of_pool, np.arange(len(of_pool)) - 0.45, np.arange(len(of_pool)) + 0.45, color=canvas.INK, lw=1.2)
        ax.set_xticks(range(len(task.groups)), task.groups)
        canvas.finish(ax, "", "share of the chosen rows")

    caption = (
        f"{task.name[:1].upper()}{task.name[1:]}: which rows were chosen, all rounds together; bars have a standard "
        "error over seeds, lines are the shares of the pool."
    )
    return drawn(f"chosen-{slug}", caption, draw, size=(9.0, 3.8))


def shares_of(task: Task, X: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return which share of rows is of every kind, (G,)."""
    return np.bincount(task.group(X), minlength=len(task.groups)) / len(X)


def noise_and_ignorance(records: Sequence[Record], part: Part) -> Figure:
    """Return the simulation, what an ensemble says of it at the start, and which places every strategy chose."""

    def draw(rows: Any, said: Any, chosen: Any) -> None:
        rows.plot(part.X[:_MOST_DOTS, 0], part.y[:_MOST_DOTS], ".", ms=3, color=canvas.INK)
        canvas.finish(rows, "", "y")
        for name, color in (("noise", canvas.BLUE), ("ignorance", canvas.ATOM)):
            _band(said, PLACES, np.array([record[name] for record in records]), color, name, marker="")
        said.set_ylim(bottom=0)
        canvas.finish(said, "", "standard deviation")
        for strategy, color in _colors().items():
            places = np.concatenate([record[f"{strategy}: chosen"][:, 0] for record in records])
            style = {"histtype": "step", "density": True, "lw": 1.8}
            chosen.hist(places, _BINS, color=color, label=strategy, **style)
        canvas.finish(chosen, "x", "density of choices")

    said_on_the_right = float(np.mean([record["noise"][PLACES > 0] for record in records]))
    taken = " With few rows it takes ignorance for noise." if said_on_the_right > 2 * NOISE else ""
    caption = (
        "Above: rows of the simulation. On the left two answers are right and far apart, which is noise: no further "
        "row takes it away. On the right a curve bends, which is easy once it is known. In the middle: what the "
        "ensemble holds for noise and for ignorance after the first rows, mean over seeds; on the right the noise is "
        f"{NOISE:g}, and the ensemble says {said_on_the_right:.2f}.{taken} Below: where strategies had rows measured, "
        "all rounds and seeds."
    )
    return drawn("noise-and-ignorance", caption, draw, n_rows=3, size=(9.0, 7.2), sharex=True)


def _band(ax: Any, x: Any, values: Any, color: str, label: str, marker: str = "o") -> None:
    """Draw the mean over seeds, of (seeds, N), in a band of a standard error."""
    mean = values.mean(0)
    if len(values) > 1:
        error = values.std(0, ddof=1) / len(values) ** 0.5
        ax.fill_between(x, mean - error, mean + error, color=color, alpha=0.2, lw=0)
    ax.plot(x, mean, f"{marker}-", ms=3.5, lw=1.7, color=color, label=label)
