"""Arrays as panels of series without times: one array, a list of them, or a mapping of names to them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from manymodes import _checks
from manymodes.estimators.forecasting.clock import Clock
from manymodes.estimators.forecasting.series import Panel, Series, Track, label_of, refuse_wild, trimmed
from manymodes.estimators.tables.numbers import Floats, is_mapping


def read_arrays(data: Any) -> Panel:
    """Return one array, (T,) or (T, D), a list of such or a mapping of names to such, as a panel.

    Raises:
        ValueError: No series, other shapes, different numbers of targets, or no known value.
        TypeError: What is no array of numbers.
    """
    named, is_single = _arrays(data, "series")
    values = {name: _matrix(f"{label_of(name, is_single)}", value) for name, value in named.items()}
    flat = {value.ndim == 1 for value in values.values()}
    widths = {1 if value.ndim == 1 else value.shape[1] for value in values.values()}
    if len(widths) > 1:
        raise _checks.InputError(f"every series must have the same number of targets; got {sorted(widths)}.")
    series = [
        trimmed(Series(0, value.reshape(len(value), -1), name, label_of(name, is_single)), Clock())
        for name, value in values.items()
    ]
    targets = tuple(f"y{d}" for d in range(widths.pop()))
    return Panel(tuple(series), Clock(), targets, is_single=is_single, is_flat=flat == {True})


def array_exogenous(panel: Panel, exogenous: Any, begins: str) -> tuple[tuple[str, ...], list[Track]]:
    """Return names of covariates, and those of every series of a panel, in its order.

    Args:
        panel: The series.
        exogenous: Arrays, (T', E), in the container that the series came in.
        begins: Whether arrays begin at the ``"start"`` of a series, or after its ``"end"``.

    Raises:
        ValueError: Other series than those of the panel, or other numbers of columns.
    """
    named, is_single = _arrays(exogenous, "exogenous")
    if is_single != panel.is_single or (not is_single and set(named) != {series.name for series in panel}):
        raise _checks.InputError(
            f"exogenous must hold one array for each series, as series does; got {_checks.counted(len(named), 'array')}"
            f" for {_checks.counted(len(panel), 'series', 'series')}."
        )
    tracks = []
    for series in panel:
        values = _matrix(f"exogenous of {series.label}", named[series.name])
        start = 0 if begins == "start" else panel.end(series) + series.padding * panel.clock.step
        tracks.append(Track(start, values.reshape(len(values), -1)))
    widths = {track.values.shape[1] for track in tracks}
    if len(widths) > 1 or (panel.covariates and widths != {len(panel.covariates)}):
        wanted = f"{len(panel.covariates)}, as in the fit" if panel.covariates else "the same for every series"
        raise _checks.InputError(f"exogenous must have as many columns as before ({wanted}); got {sorted(widths)}.")
    return tuple(f"x{e}" for e in range(widths.pop())), tracks


def _arrays(data: Any, role: str) -> tuple[dict[Any, Any], bool]:
    """Return arrays by name, those of a list by place, and whether there is one that is no list."""
    if is_mapping(data):
        names = [name.item() if isinstance(name, np.generic) else name for name in data]
        named, is_single = dict(zip(names, data.values(), strict=True)), False
    elif isinstance(data, (list, tuple)) and not (data and all(np.ndim(value) == 0 for value in data)):
        named, is_single = dict(enumerate(data)), False
    else:
        named, is_single = {0: data}, True
    if not named:
        raise _checks.InputError(f"{role} must hold at least 1 series; got none.")
    return named, is_single


def _matrix(label: str, values: Any) -> Floats:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(np.float64), np.nan)
    if isinstance(values, np.ndarray) and values.dtype.kind in "mMc":  # would become numbers, or lose a part
        raise TypeError(f"{label} must be an array of real numbers; got {values.dtype}.")
    try:
        array = np.array(values, dtype=np.float64)  # a copy: what is done to theirs later changes no forecast
    except (TypeError, ValueError):
        raise TypeError(
            f"{label} must be an array of numbers or a long data frame; got {type(values).__name__}."
        ) from None
    if array.ndim not in (1, 2) or not array.size:
        raise _checks.InputError(
            f"{label} must have shape (T,) or (T, D), one row a step; got {_checks.shape_text(array.shape)}."
        )
    refuse_wild(label, array)
    return array
