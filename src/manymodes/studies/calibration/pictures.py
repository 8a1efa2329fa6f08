"""Pictures of calibration before and after corrections: errors, PITs, levels, sets, groups, weeks, rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from manymodes.plots import canvas
from manymodes.studies.calibration.in_time import SOURCES
from manymodes.studies.calibration.repairs import (
    AS_IS,
    BY_GROUP,
    BY_SPREAD,
    INTERVALS,
    LEVEL,
    LEVELS,
    MAP,
    PREDICTED,
    REGIONS,
    REPAIRS,
    TEMPERATURE,
)
from manymodes.studies.calibration.rows import Trouble
from manymodes.studies.frame.comparison import Comparison
from manymodes.studies.frame.in_time import Array
from manymodes.studies.frame.pictures import drawn
from manymodes.studies.frame.result import Figure, Measured
from manymodes.studies.frame.work import Record

_PIT_BINS = 20
_IN_GROUPS = (PREDICTED, INTERVALS, BY_SPREAD, BY_GROUP)


def errors(compared: Mapping[str, Comparison]) -> Figure:
    """Return calibration errors of all models on all tables, before and after corrections."""

    def draw(*axes: Any) -> None:
        for ax, (name, found) in zip(axes, compared.items(), strict=True):
            models = list(found.records)[::-1]
            for place, (repair, color) in enumerate(zip(REPAIRS, canvas.qualitative(len(REPAIRS)), strict=True)):
                values = [found.value(model, f"{repair}: calibration_error") for model in models]
                _dots(ax, values, color, repair, above=0.2 * (1 - place))
            ax.axvline(found.value(models[0], f"{AS_IS}: floor").mean, color=canvas.GREY, lw=1.0, ls="--", label="luck")
            ax.set_yticks(range(len(models)), models)
            ax.set_xlim(left=0)
            ax.set_title(name)
            canvas.finish(ax, "calibration error", "")
        _one_legend(axes)

    caption = (
        "The mean error of stated probabilities, before and after corrections fitted to rows held out; bars are two "
        "standard errors over repetitions. The dashed line is what luck leaves of right probabilities on as many rows."
    )
    return drawn("errors", caption, draw, n_columns=len(compared), size=(10.5, 4.0), sharey=True)


def pits(found: Comparison, models: Sequence[str]) -> Figure:
    """Return histograms of PITs, all repetitions together, a column a model and a row a correction."""

    def draw(*axes: Any) -> None:
        for number, ax in enumerate(axes):
            repair, model = list(REPAIRS)[number // len(models)], models[number % len(models)]
            ax.hist(
                _pits(found, model, repair), _PIT_BINS, range=(0, 1), density=True, color=canvas.tints(3)[1], ec="w"
            )
            ax.axhline(1, color=canvas.INK, lw=0.8)
            ax.set_title(f"{model}, {repair}", fontsize="small")
            canvas.finish(ax, "PIT", "density")
            ax.label_outer()

    caption = (
        f"Where the targets of {found.problem.name} fall within their predictions: the PIT is the stated probability "
        "of less. Flat is calibrated. A hill in the middle says that predictions are too wide, hills at the ends that "
        "they are too narrow, a slope that they are off to one side. A temperature can only widen or narrow; a map "
        "bends the histogram towards flat, on average over all rows, as finely as the rows held out allow."
    )
    n_rows, n_columns = len(REPAIRS), len(models)
    return drawn("pits", caption, draw, n_rows=n_rows, n_columns=n_columns, size=(10.0, 6.6), sharex=True, sharey=True)


def levels(compared: Mapping[str, Comparison], models: Sequence[str]) -> Figure:
    """Return how many more targets central intervals hold than they say, over their level."""

    def draw(*axes: Any) -> None:
        for ax, (name, found) in zip(axes, compared.items(), strict=True):
            ax.axhline(0, color=canvas.INK, lw=0.8)
            for model, color in zip(models, canvas.qualitative(len(models)), strict=True):
                for repair, style in ((AS_IS, "-"), (MAP, "--")):
                    more = over_levels(_pits(found, model, repair))
                    ax.plot(LEVELS, more, style, color=color, lw=1.6, label=f"{model}, {repair}")
            ax.set_title(name)
            canvas.finish(ax, "level of the interval", "share inside, less the level" if ax is axes[0] else "")
        _one_legend(axes)

    caption = (
        "Share of targets inside central intervals, less what the interval says, over all levels and repetitions. "
        "Above zero intervals are too wide, below too narrow. Dashed lines are the same models with the map."
    )
    return drawn("levels", caption, draw, n_columns=len(compared), size=(10.5, 4.4))


def over_levels(pit: Array) -> Array:
    """Return the share of targets inside central intervals, less their levels, (Q,)."""
    return np.array([(np.abs(2 * pit - 1) <= level).mean() - level for level in LEVELS])


def sets_along(found: Comparison, models: Sequence[str], x: Array, observed: tuple[Array, Array]) -> Figure:
    """Return conformal intervals and regions of the first repetition along the flow."""

    def draw(*axes: Any) -> None:
        for ax, model in zip(axes, models, strict=True):
            record = found.records[model][0]
            low, high = record[f"{REGIONS}: low"], record[f"{REGIONS}: high"]
            step = x[1] - x[0]
            for piece in range(low.shape[1]):
                there = ~np.isnan(low[:, piece])
                name = "region" if piece == 0 else None
                heights = (high - low)[there, piece]
                ax.bar(x[there], heights, step, low[there, piece], color=canvas.tints(3)[0], lw=0, label=name)
            for number, end in enumerate((record[f"{INTERVALS}: low"], record[f"{INTERVALS}: high"])):
                ax.plot(x, end[:, 0], color=canvas.ATOM, lw=1.4, label="interval" if number == 0 else None)
            canvas.observed(ax, *observed, label=None)
            ax.set_title(model)
            ax.set_ylim(0, 1.4 * observed[1].max())
            canvas.finish(ax, "flow, vehicles an hour", "speed, mph")
            ax.label_outer()
        _one_legend(axes)

    caption = (
        "Conformal sets of 90 % along the flow. An interval between two quantiles has to hold the empty speeds between "
        "a jam and free traffic wherever both are likely; a region falls into two pieces there. Both hold the same "
        "share of new readings."
    )
    return drawn("sets", caption, draw, n_columns=len(models), size=(10.5, 4.2), sharey=True)


def groups(compared: Mapping[str, Comparison], troubles: Sequence[Trouble], models: Sequence[str]) -> Figure:
    """Return the share of targets inside sets of 90 % within groups, a column a table and a row a model."""

    def draw(*axes: Any) -> None:
        for number, ax in enumerate(axes):
            model, trouble = models[number // len(troubles)], troubles[number % len(troubles)]
            for place, (name, color) in enumerate(zip(_IN_GROUPS, canvas.qualitative(len(_IN_GROUPS)), strict=True)):
                _dots(
                    ax, in_groups(compared[trouble.name].records[model], name), color, name, above=0.27 - 0.18 * place
                )
            ax.axvline(LEVEL, color=canvas.INK, lw=0.8)
            ax.set_yticks(range(len(trouble.groups)), trouble.groups)
            ax.set_title(f"{trouble.name}, {model}", fontsize="medium")
            canvas.finish(ax, "share inside" if number // len(troubles) == len(models) - 1 else "", "")
        _one_legend(axes)

    caption = (
        "Share of targets inside sets of 90 % within groups of rows; bars are two standard errors over repetitions. "
        "Ninety per cent of all rows may be more in one group and less in another; sets that are fitted group by group "
        "make up for that, each by fewer rows."
    )
    n_rows, n_columns = len(models), len(troubles)
    return drawn("groups", caption, draw, n_rows=n_rows, n_columns=n_columns, size=(10.5, 2.9 * n_rows), sharex="col")


def in_groups(records: Sequence[Record], name: str) -> list[Measured]:
    """Return the share inside a kind of sets in each group, over repetitions."""
    return [Measured.over(column) for column in np.array([record[f"{name}: groups"] for record in records]).T]


def weeks(found: Comparison, models: Sequence[str]) -> Figure:
    """Return the share of targets inside intervals of 90 % week by week after what was learned."""

    def draw(*axes: Any) -> None:
        for ax, model in zip(axes, models, strict=True):
            for source, color in zip(SOURCES, (canvas.GREY, *canvas.qualitative(3)), strict=True):
                shares = np.array([record[f"{source}: weeks"] for record in found.records[model]])
                _band(ax, np.arange(1, shares.shape[1] + 1), shares, color, source)
            ax.axhline(LEVEL, color=canvas.INK, lw=0.8)
            ax.set_ylim(0, 1)
            ax.set_title(model)
            canvas.finish(ax, "week that is judged", "share inside")
            ax.label_outer()
        _one_legend(axes)

    caption = (
        "Share of targets inside intervals of 90 %, week by week, by which rows the intervals were corrected with; "
        "bands are a standard error over the days on which learning ended. The first week begins 30 days after it."
    )
    return drawn("weeks", caption, draw, n_columns=len(models), size=(10.5, 4.2), sharey=True)


def gains(found: Comparison, models: Sequence[str], sizes: Sequence[int]) -> Figure:
    """Return what corrections gain over how many rows they are fitted to."""

    def draw(*axes: Any) -> None:
        for ax, model in zip(axes, models, strict=True):
            for repair, color in zip((TEMPERATURE, MAP), canvas.qualitative(3)[1:], strict=True):
                values = np.array([record[f"{repair}: gained"] for record in found.records[model]])
                _band(ax, np.array(sizes[: values.shape[1]]), values, color, repair)
            ax.axhline(0, color=canvas.INK, lw=0.8)
            ax.set_xscale("log")
            ax.set_xticks(sizes, [str(size) for size in sizes])
            ax.minorticks_off()
            ax.set_title(model)
            canvas.finish(ax, "rows held out", "gain, nats")
            ax.label_outer()
        _one_legend(axes)

    caption = (
        f"What corrections add to the log-likelihood on {found.problem.name}, over how many rows they are fitted to; "
        "bands are a standard error over repetitions."
    )
    return drawn("gains", caption, draw, n_columns=len(models), size=(10.5, 3.8), sharey=True)


# --- pieces ---


def _pits(found: Comparison, model: str, repair: str) -> Array:
    """Return the PITs of all repetitions one after another."""
    return np.concatenate([record[f"{repair}: pit"] for record in found.records[model]])


def _dots(ax: Any, values: Sequence[Measured], color: str, label: str, *, above: float) -> None:
    """Draw numbers one above another, with two standard errors, a little above or below their places."""
    means, bars = [value.mean for value in values], [2 * (value.error or 0.0) for value in values]
    places = np.arange(len(means)) + above
    ax.errorbar(means, places, xerr=bars, fmt="o", ms=4.5, color=color, capsize=2, elinewidth=0.9, label=label)


def _band(ax: Any, x: Array, values: Array, color: str, label: str) -> None:
    """Draw the mean of repetitions, (seeds, N), in a band of a standard error."""
    mean = values.mean(0)
    if len(values) > 1:
        error = values.std(0, ddof=1) / len(values) ** 0.5
        ax.fill_between(x, mean - error, mean + error, color=color, alpha=0.2, lw=0)
    ax.plot(x, mean, "o-", ms=3.5, lw=1.6, color=color, label=label)


def _one_legend(axes: Sequence[Any]) -> None:
    """Draw one legend below all axes in place of one for each."""
    handles, labels = axes[0].get_legend_handles_labels()
    for ax in axes:
        if ax.get_legend() is not None:
            ax.get_legend().remove()
    n_columns = len(labels) if len(labels) <= 5 else -(-len(labels) // 2)
    axes[0].figure.legend(handles, labels, loc="outside lower center", ncols=n_columns, frameon=False)
