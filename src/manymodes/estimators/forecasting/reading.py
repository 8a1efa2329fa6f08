"""Series as they come, arrays or long data frames, as one panel: values on a regular grid, NaN where missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from manymodes import _checks
from manymodes.estimators.forecasting.arrays import array_exogenous, read_arrays
from manymodes.estimators.forecasting.clock import Clock
from manymodes.estimators.forecasting.long_frames import is_long, long_exogenous, read_long
from manymodes.estimators.forecasting.series import Columns, Panel, Track, followed


def read_panel(
    data: Any, exogenous: Any, columns: Columns, *, fill_gaps: bool = False, clock: Clock | None = None
) -> Panel:
    """Return series of any kind as a panel.

    Args:
        data: One series, (T,) or (T, D); a list of such, or a mapping of names to such; or a long frame.
        exogenous: What is known beside them, of the same kind: arrays (T', E), aligned at the first row; or a long
            frame of all its other columns.
        columns: Names of the columns of long frames.
        fill_gaps: Whether gaps are taken as missing values.
        clock: The grid that times must lie on; None finds it.

    Raises:
        ValueError: Times that do not ascend, come twice, leave gaps or follow no step; no series; no known value.
        TypeError: What is no series.
    """
    panel = read_long(data, columns, fill_gaps, clock) if is_long(data, columns) else read_arrays(data)
    return panel if exogenous is None else with_exogenous(panel, exogenous, columns)


def with_exogenous(panel: Panel, exogenous: Any, columns: Columns, *, begins: str = "start") -> Panel:
    """Return the panel with what is known beside its series, put after what is there already.

    Args:
        panel: The series.
        exogenous: What is known, see ``read_panel``.
        columns: Names of the columns of long frames.
        begins: Where arrays begin: at the ``"start"`` of a series, or after its ``"end"``.

    Raises:
        ValueError: Series of which nothing is known, or other columns than those that are there already.
        TypeError: What is no table.
    """
    if panel.clock.unit != "place":
        names, tracks = long_exogenous(panel, exogenous, columns)
    else:
        names, tracks = array_exogenous(panel, exogenous, begins)
    if panel.covariates and names != panel.covariates:
        _checks.known_columns(panel.covariates, names, "exogenous")
        order = [names.index(name) for name in panel.covariates]
        names, tracks = panel.covariates, [Track(track.start, track.values[:, order]) for track in tracks]
    together = [followed(panel.clock, series.known, track) for series, track in zip(panel, tracks, strict=True)]
    series = [replace(series, known=track) for series, track in zip(panel, together, strict=True)]
    return replace(panel, series=tuple(series), covariates=names)
