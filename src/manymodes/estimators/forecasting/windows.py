"""Windows on series: what a network sees of the past and of the steps to come, in units of each window's own.

Every row is one origin of one series: the ``context`` steps before it, what is known of the ``horizon`` steps from it
on, and as targets their values. Nothing in the inputs or in their units comes from the origin on but what is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

from manymodes import _checks
from manymodes.estimators.forecasting.calendar import calendar
from manymodes.estimators.forecasting.clock import Clock
from manymodes.estimators.forecasting.series import Panel, Series
from manymodes.estimators.tables.numbers import Floats
from manymodes.nn.scaling import bent

Origins = list[tuple[int, NDArray[np.int64]]]  # places of series in a panel, and steps that are over at each origin

SCALINGS = {"series": False, "window": True, "panel": False}  # whether the spread is that of the window
EVERY = ""  # the name of the level of all series, where they have one
_REACH = 4.0  # spreads of a series up to which it counts how far off a window is; beyond, its logarithm
_BELIEVED = 4  # steps that the spread of the series counts for beside those of a window: short windows tell little


@dataclass(frozen=True)
class View:
    """How series are looked at.

    Attributes:
        context: Steps before the origin that a network sees, C.
        horizon: Steps from it on that it predicts, H.
        cycles: Cycles of the calendar that it is told, see ``calendar``.
        scaling: ``"series"``, ``"window"`` or ``"panel"``: whose spread is the unit.
        has_gaps: Whether it is told which values are missing.
    """

    context: int
    horizon: int
    cycles: tuple[str, ...] = ()
    scaling: str = "series"
    has_gaps: bool = False


class Level(NamedTuple):
    """Level and spread of a series, (D,) each, from what was known of it when the network was fitted."""

    loc: Floats
    spread: Floats

    @classmethod
    def of(cls, values: Floats) -> Level:
        """Return those of values (T, D); where only one value is known, or all are alike, the spread is its size."""
        known = ~np.isnan(values)
        count = np.maximum(known.sum(0), 1)
        loc = np.where(known, values, 0.0).sum(0) / count
        spread = np.sqrt((np.where(known, values - loc, 0.0) ** 2).sum(0) / count)
        size = np.where(loc != 0, np.abs(loc), 1.0)
        return cls(loc, np.where(spread > 1e-12 * size, spread, size))


@dataclass(frozen=True, eq=False)
class Past:
    """What is known at some origins, in the units of the series.

    Attributes:
        values: The steps before each origin, (N, C, D), NaN where missing.
        loc: Level of each series, (N, D).
        spread: Spread of each series, (N, D).
        known: What is known of those steps and of the next ones, (N, C + H, E).
        calendar: Clock hands of the next steps, (N, H, G).
    """

    values: Floats
    loc: Floats
    spread: Floats
    known: Floats
    calendar: Floats

    def __len__(self) -> int:
        return len(self.values)


class Units(NamedTuple):
    """A target of a window is ``(y - loc) / scale``, (N, 1, D) each."""

    loc: Tensor
    scale: Tensor


def past_of(panel: Panel, origins: Origins, levels: Mapping[Any, Level], view: View) -> Past:
    """Return what is known at some origins.

    Args:
        panel: The series.
        origins: Places of series in the panel, and for each how many steps of it are over at its origins.
        levels: Level and spread of each series by its name; others get those of what is over at their first origin.
        view: How series are looked at.

    Raises:
        ValueError: Covariates that are missing at a step that is needed.
    """
    parts = []
    for number, over in origins:
        series = panel.series[number]
        name = EVERY if view.scaling == "panel" else series.name
        level = levels.get(name) or Level.of(series.values[: over[0]])
        values = _windows(series.values, over - view.context, view.context)
        known = _known(panel, series, over, view)
        counts = series.start + (over[:, None] + np.arange(view.horizon)) * panel.clock.step
        n_rows, n_targets = len(over), values.shape[-1]
        parts.append(
            (
                values,
                np.broadcast_to(level.loc, (n_rows, n_targets)),
                np.broadcast_to(level.spread, (n_rows, n_targets)),
                known,
                calendar(panel.clock, counts, view.cycles),
            )
        )
    return Past(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def targets_of(panel: Panel, origins: Origins, horizon: int) -> Floats:
    """Return the values of the steps from some origins on, (N, H, D), NaN where missing or not over yet."""
    return np.concatenate([_windows(panel.series[number].values, over, horizon) for number, over in origins])


def units_of(past: Past, view: View) -> Units:
    """Return the units of every window: its last known value is 0, and its spread or that of the series is 1.

    The last value is the best single guess of a series that wanders; a network takes away what it adds to the noise of
    others.
    """
    last = _last_known(past.values, past.loc)
    scale = past.spread
    if SCALINGS[view.scaling]:
        known = ~np.isnan(past.values)
        count = np.maximum(known.sum(1), 1)
        middle = np.where(known, past.values, 0.0).sum(1) / count
        off = np.where(known, (past.values - middle[:, None]) / past.spread[:, None], 0.0)
        scale = past.spread * np.sqrt(((off**2).sum(1) + _BELIEVED) / (count + _BELIEVED))
    return Units(*(torch.from_numpy(np.ascontiguousarray(part[:, None])) for part in (last, scale)))


def inputs_of(past: Past, units: Units, view: View) -> dict[str, Tensor]:
    """Return what a network sees, in the units of each window.

    ``steps``, (N, C, D), or (N, C, 2 D + E) with what is missing and known of them; ``level``, (N, 2 D): how far the
    window's units are from those of the series; and, where anything is known of them, ``future``, (N, H, G + E).
    """
    values, (loc, scale) = torch.from_numpy(past.values), units
    z = (values - loc) / scale
    parts = [z.nan_to_num(nan=0.0)]
    if view.has_gaps:
        parts.append(z.isnan().to(z.dtype))
    if past.known.shape[-1]:
        parts.append(torch.from_numpy(past.known[:, : view.context]))
    spread = torch.from_numpy(past.spread)
    level = [(loc[:, 0] - torch.from_numpy(past.loc)) / spread, (scale[:, 0] / spread).log()]
    inputs = {"steps": torch.cat(parts, -1), "level": bent(torch.cat(level, -1), _REACH)}
    future = np.concatenate([past.calendar, past.known[:, view.context :]], -1)
    if future.shape[-1]:
        inputs["future"] = torch.from_numpy(future)
    return inputs


def _windows(values: Floats, first: NDArray[np.int64], length: int) -> Floats:
    """Return the values from some places on, (N, length, D), NaN where there are none."""
    before, after = max(-int(first.min()), 0), max(int(first.max()) + length - len(values), 0)
    padded = np.pad(values, ((before, after), (0, 0)), constant_values=np.nan) if before or after else values
    views = sliding_window_view(padded, length, axis=0)  # (T - length + 1, D, length)
    return np.ascontiguousarray(views[first + before].transpose(0, 2, 1))


def _last_known(values: Floats, otherwise: Floats) -> Floats:
    """Return the last known value of each window, (N, D)."""
    known = ~np.isnan(values)
    place = values.shape[1] - 1 - known[:, ::-1].argmax(1)  # (N, D)
    last = np.take_along_axis(values, place[:, None], 1)[:, 0]
    return np.where(known.any(1), last, otherwise)


def _known(panel: Panel, series: Series, over: NDArray[np.int64], view: View) -> Floats:
    """Return what is known of the steps of windows and after, (N, C + H, E)."""
    length = view.context + view.horizon
    if not panel.covariates:
        return np.empty((len(over), length, 0))
    first, last = int(over.min()) - view.context, int(over.max()) + view.horizon
    step, begin = panel.clock.step, series.start + first * panel.clock.step
    if series.known is None:
        raise _checks.InputError(
            f"exogenous must be handed in, as in the fit, with {_checks.quoted(panel.covariates)}; got none."
        )
    values = series.known.window(panel.clock, begin, last - first)
    missing = np.isnan(values)
    if missing.any():
        _refuse_missing(panel, series, missing, begin, step)
    return _windows(values, over - view.context - first, length)


def _refuse_missing(panel: Panel, series: Series, missing: NDArray[np.bool_], begin: int, step: int) -> None:
    place = int(missing.any(1).argmax())
    count, ends = begin + place * step, panel.end(series)
    column = panel.covariates[int(missing[place].argmax())]
    if count >= ends:
        ahead, when = (count - ends) // step + 1, _when(panel.clock, count)
        raise _checks.InputError(
            f"exogenous must be known for {_checks.counted(missing[(ends - begin) // step :].shape[0], 'step')} after "
            f"{series.label}; got no {column!r} for step {ahead}{when}."
        )
    raise _checks.InputError(
        f"exogenous must have no missing values where {series.label} has rows; got no {column!r} in row "
        f"{(count - series.start) // step + 1} of it{_when(panel.clock, count)}; fill it in."
    )


def _when(clock: Clock, count: int) -> str:
    return "" if clock.unit == "place" else f", {clock.text(count)}"
