"""Pictures of forecasts: fans, scores along the horizon, both wells, scenarios."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from manymodes.plots import canvas
from manymodes.studies.forecast.electricity import LEVELS, LINEAR, MDN, Array, Judged
from manymodes.studies.forecast.wells import EDGES, HORIZON, STARTS, Wells
from manymodes.studies.frame.pictures import drawn
from manymodes.studies.frame.result import Figure
from manymodes.studies.frame.work import Record

_BEFORE = 48  # hours before the origin that a fan shows
_THIN = 60  # paths that are drawn one by one


def fans(judged: Judged) -> Figure:
    """Return forecasts from three origins by the mixture, above, and by linear quantile regression."""
    models = (MDN, LINEAR)

    def draw(*axes: Any) -> None:
        for number, ax in enumerate(axes):
            model, place = models[number // 3], number % 3
            _fan(ax, judged.records[model], judged.recent[place], place)
            ax.set_title(f"{model}, origin {place + 1}")
            canvas.finish(ax, "hours from the origin", judged.case.name)
            ax.label_outer()
            _without_legend(ax)
        _legend_below(axes[0])

    caption = (
        f"The {judged.case.name} from three origins of the months that judge: a quarter, half and three quarters of "
        "the way. The dark band should hold what comes half of the time, the pale one nine times in ten. Width "
        "follows how restless the last week was."
    )
    name = f"fans-{judged.case.column.lower()}-{judged.case.horizon}"
    return drawn(name, caption, draw, n_rows=2, n_columns=3, size=(11.0, 6.4), sharex=True, sharey="col")


def _fan(ax: Any, record: Record, recent: Array, place: int) -> None:
    quantiles, came = np.asarray(record["quantiles"])[place], np.asarray(record["came"])[place]
    hours = np.arange(len(came))
    before = recent[-_BEFORE:]
    for outer, tint in zip(range(len(LEVELS) // 2), canvas.tints(2), strict=True):
        low, high = quantiles[outer], quantiles[len(LEVELS) - 1 - outer]
        share = LEVELS[len(LEVELS) - 1 - outer] - LEVELS[outer]
        ax.fill_between(hours, low, high, color=tint, lw=0, label=f"{share:.0%}")
    ax.plot(hours, quantiles[len(LEVELS) // 2], color=canvas.BLUE, lw=1.4, label="median")
    ax.plot(np.arange(-len(before), 0), before, color=canvas.GREY, lw=1.2, label="before")
    ax.plot(hours, came, color=canvas.INK, lw=1.2, label="what came")
    ax.axvline(0, color=canvas.GREY, lw=0.8, ls=":")


def by_step(all_judged: Sequence[Judged]) -> Figure:
    """Return the CRPS of every model at each step, one panel a case."""

    def draw(*axes: Any) -> None:
        for ax, judged in zip(axes, all_judged, strict=True):
            names = list(judged.records)
            for name, color in zip(names, canvas.qualitative(len(names)), strict=True):
                crps = np.asarray(judged.records[name]["crps_by_step"])
                lw = 2.4 if name == MDN else 1.3
                ax.plot(np.arange(1, len(crps) + 1), crps, color=color, lw=lw, label=name)
            ax.set_title(str(judged.case))
            ax.set_ylim(bottom=0)
            canvas.finish(ax, "hours ahead", f"CRPS, {judged.case.unit}")
            _without_legend(ax)
        _legend_below(axes[0])

    caption = (
        "CRPS at each hour of the forecast; lower is better. In the first hours the last values tell much; later it is "
        "the course of the day, the level and the spread of the last week."
    )
    n_rows = -(-len(all_judged) // 2)
    return drawn("by-step", caption, draw, n_rows=n_rows, n_columns=2, size=(10.5, 3.6 * n_rows + 0.4))


def both_wells(wells: Wells) -> Figure:
    """Return the histograms of where the particle is in the end, one panel a start."""
    width = EDGES[1] - EDGES[0]
    middles = np.r_[EDGES[0] - width / 2, EDGES + width / 2]

    def draw(*axes: Any) -> None:
        for number, ax in enumerate(axes):
            ax.bar(middles, wells.truth[number] / width, width, color=canvas.tints(3)[0], label="truth")
            for name, color in zip(wells.records, canvas.qualitative(len(wells.records)), strict=True):
                density = np.asarray(wells.records[name]["shares"])[number] / width
                ax.step(middles, density, where="mid", color=color, lw=1.8, label=name)
            ax.set_title(f"from {STARTS[number]:g}")
            canvas.finish(ax, f"place after {HORIZON} steps", "density")
            _without_legend(ax)
        _legend_below(axes[0])

    caption = (
        "Where the particle is in the end: bars of the truth, lines of what is forecast, one step after another. From "
        "the top of the barrier both wells are equally likely; from 0.3 the right one is more likely."
    )
    return drawn("wells", caption, draw, n_columns=2, size=(10.5, 4.2), sharey=True)


def scenarios(wells: Wells) -> Figure:
    """Return paths of the particle from the top of the barrier, grouped."""
    record = wells.records[MDN]
    lead = [np.full((len(record["probability"]), 1), STARTS[0]), np.asarray(record["scenarios"])]
    caption = (
        f"Paths from the top of the barrier as the mixture has them, {_THIN} of 300, put into groups by cluster_paths, "
        "which finds their number. Thick: the path in the middle of each group. No mean of them all would be a path "
        "that is ever taken."
    )

    def draw(ax: Any) -> None:
        paths = np.column_stack([np.full(len(record["paths"]), STARTS[0]), np.asarray(record["paths"])])
        _grouped(ax, paths, np.asarray(record["members"]), np.hstack(lead), np.asarray(record["probability"]))
        canvas.finish(ax, "step", "place")

    return drawn("scenarios", caption, draw, size=(9.0, 4.4))


def day_scenarios(judged: Judged) -> Figure:
    """Return paths of a forecast in three groups, with what came."""
    from manymodes.estimators import cluster_paths

    record = judged.records[MDN]
    paths = np.asarray(record["paths"])
    found, own = cluster_paths(paths, 3), cluster_paths(paths)
    said = "one group: that the paths do not fall apart" if len(own) == 1 else f"{len(own)} groups"

    def draw(ax: Any) -> None:
        _grouped(ax, paths, found.members, found.paths[..., 0], found.probability)
        ax.plot(np.asarray(record["came"])[1], color=canvas.INK, lw=1.6, label="what came")
        canvas.finish(ax, "hours from the origin", judged.case.name)

    caption = (
        f"The {judged.case.name} of a day, from origin 2, as three scenarios that were asked for: each is a path in "
        f"the middle of its group, with the share of paths like it. Left to itself, cluster_paths finds {said}."
    )
    return drawn("day-scenarios", caption, draw, size=(9.0, 4.4))


def _grouped(ax: Any, paths: Array, members: Any, middles: Array, probability: Array) -> None:
    colors = canvas.qualitative(len(middles))
    for path, member in zip(paths[:_THIN], members[:_THIN], strict=True):
        ax.plot(path, color=colors[member], lw=0.5, alpha=0.45)
    for middle, color, share in zip(middles, colors, probability, strict=True):
        ax.plot(middle, color=color, lw=2.6, label=f"{share:.0%} of paths")


def _without_legend(ax: Any) -> None:
    legend = ax.get_legend()
    if legend is not None:
        legend.remove()


def _legend_below(ax: Any) -> None:
    handles, labels = ax.get_legend_handles_labels()
    ax.figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
