"""Rolling origins: forecasts as they would have been made in the past, beside what came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from torch import Tensor

from manymodes import _checks, metrics
from manymodes.distributions import Mixture, joined
from manymodes.distributions.results import Table
from manymodes.estimators.forecasting.answers import ForecastMixin
from manymodes.estimators.forecasting.reading import read_panel
from manymodes.estimators.forecasting.series import Panel
from manymodes.estimators.forecasting.windows import Origins, targets_of
from manymodes.estimators.tables.numbers import Floats
from manymodes.training.randomness import seeded


@dataclass(frozen=True, eq=False, repr=False)
class Backtest(Table):
    """Forecasts from N origins of one series or several.

    Attributes:
        series: Name of the series of each forecast, N of them.
        origin: Time of its first step, or the number of steps before it, (N,).
        distribution: What was forecast, ``batch_shape`` (N, H), ``event_shape`` (D,).
        paths: Paths, (S, N, H, D).
        targets: What came, (N, H, D), NaN where it is missing.
    """

    series: list[Any]
    origin: NDArray[Any]
    distribution: Mixture
    paths: Floats
    targets: Floats

    def __len__(self) -> int:
        return len(self.series)

    def scores(self, level: float = 0.9) -> dict[str, Floats]:
        """Return scores of each forecast, (N,), averaged over its steps; NaN where nothing is known.

        ``crps`` is added up over targets, ``log_score`` is that of the joint density of a step, of steps all of whose
        targets are known; ``coverage`` is the share of targets in central intervals. ``energy_score`` is that of whole
        paths, over all steps and targets at once, where all are known. Scores are in the units of the targets.

        Args:
            level: Probability of the intervals.
        """
        level = _checks.number_between("level", level, 0.0, 1.0)
        return {
            "crps": self._average(metrics.crps),
            "log_score": self._average(metrics.log_score),
            "coverage": self._average(lambda density, y: metrics.coverage(density, y, level).mean(-1)),
            "energy_score": _energy(self.paths, self.targets),
        }

    def by_step(self, level: float = 0.9) -> dict[str, Floats]:
        """Return the scores of each step, (H,), averaged over forecasts: all of ``scores`` but that of paths."""
        return {
            "crps": self._average(metrics.crps, axis=0),
            "log_score": self._average(metrics.log_score, axis=0),
            "coverage": self._average(lambda density, y: metrics.coverage(density, y, level).mean(-1), axis=0),
        }

    def to_dict(self) -> dict[str, list[Any]]:
        """Return one line for each forecast: its series, its origin and its scores."""
        scores = {name: values.tolist() for name, values in self.scores().items()}
        return {"series": list(self.series), "origin": self.origin.tolist(), **scores}

    def __repr__(self) -> str:
        means = ", ".join(f"{name} {np.nanmean(values):.4g}" for name, values in self.scores().items())
        return f"Backtest({_checks.counted(len(self), 'forecast')} of {self.targets.shape[1]} steps: {means})"

    def _average(self, score: Callable[[Mixture, Tensor], Tensor], axis: int = 1) -> Floats:
        """Return the mean of a score of steps over one axis of (N, H), where the targets are known."""
        targets = torch.from_numpy(self.targets)
        known = ~targets.isnan().any(-1)
        values = torch.full(known.shape, torch.nan, dtype=torch.float64)
        values[known] = score(self.distribution[known], targets[known])
        mean: Floats = values.nanmean(axis).numpy()
        return mean


def backtest(
    forecaster: ForecastMixin,
    series: Any,
    exogenous: Any,
    *,
    n_origins: int | None,
    stride: int | None,
    refit: int,
    n_paths: int,
    random_state: int,
) -> Backtest:
    """Return forecasts from origins in the past, see ``MDNForecaster.backtest``."""
    horizon = _checks.integer_at_least("horizon", forecaster.horizon, 1) if refit else forecaster._steps(None)
    stride = horizon if stride is None else _checks.integer_at_least("stride", stride, 1)
    n_paths = _checks.integer_at_least("n_paths", n_paths, 2)
    if n_origins is not None:
        _checks.integer_at_least("n_origins", n_origins, 1)
    elif refit:
        raise _checks.InputError("n_origins must be a number with refit=True, since each origin takes a fit; got None.")
    generator = seeded(random_state)
    if refit:
        panel = read_panel(series, exogenous, forecaster._columns(), fill_gaps=forecaster.fill_gaps)
        counts = _counts_before_end(panel, horizon, stride, int(n_origins or 1))
        parts = []
        for place, count in enumerate(counts):
            if place % refit == 0:
                model = _refitted(forecaster, panel, count)
            parts.append(_from_origin(model, panel, count, n_paths, generator))
        return _together(parts)
    panel = forecaster._open(series, exogenous)
    origins = _after_fit(forecaster, panel, stride, n_origins)
    distribution = forecaster._distribution(panel, origins, horizon)
    return _result(panel, origins, distribution, forecaster._paths(panel, origins, n_paths, horizon, generator))


def _after_fit(forecaster: ForecastMixin, panel: Panel, stride: int, n_origins: int | None) -> Origins:
    """Return origins of each series, the last ones, from the end of what the fit saw of it on."""
    ends = {one.name: forecaster.panel_.end(one) for one in forecaster.panel_}
    origins = []
    for number, one in enumerate(panel):
        since_fit = (ends.get(one.name, one.start) - one.start) // panel.clock.step
        first, last = max(since_fit, forecaster.context_), len(one) - forecaster.horizon
        over = np.arange(last, first - 1, -stride)[:n_origins][::-1]
        if len(over):
            origins.append((number, over))
    if not origins:
        raise _checks.InputError(
            f"series must go on for at least horizon = {forecaster.horizon} steps after those of the fit; got none "
            "that does; fit to a shorter part, or set refit=True."
        )
    return origins


def _counts_before_end(panel: Panel, horizon: int, stride: int, n_origins: int) -> list[int]:
    """Return the counts of the last origins of which a whole horizon is over in some series."""
    step = panel.clock.step
    last = max(panel.end(one) for one in panel) - horizon * step
    return [last - number * stride * step for number in reversed(range(n_origins))]


def _refitted(forecaster: ForecastMixin, panel: Panel, count: int) -> ForecastMixin:
    """Return a copy that is fitted to what was over at an origin."""
    least = forecaster.horizon + (forecaster.context or 1)  # others have just begun, and wait
    begun = [one.until(over) for one, over in zip(panel, _over(panel, count), strict=True) if over >= least]
    if not begun:
        raise _checks.InputError(
            f"series must have at least {_checks.counted(least, 'step')} before the first origin, "
            f"{panel.clock.text(count)}; lower n_origins or stride."
        )
    model: ForecastMixin = clone(forecaster)._fit_panel(panel.with_series(begun))
    return model


def _from_origin(model: ForecastMixin, panel: Panel, count: int, n_paths: int, generator: torch.Generator) -> Backtest:
    """Return the forecasts from one origin of the series that are known before it and go on after it."""
    over = _over(panel, count)
    origins = [
        (number, np.array([over[number]]))
        for number, one in enumerate(panel)
        if model.context_ <= over[number] < len(one)
    ]
    distribution = model._distribution(panel, origins, model.horizon)
    return _result(panel, origins, distribution, model._paths(panel, origins, n_paths, model.horizon, generator))


def _over(panel: Panel, count: int) -> list[int]:
    """Return how many steps of each series are over at a count."""
    return [min((count - one.start) // panel.clock.step, len(one)) for one in panel]


def _result(panel: Panel, origins: Origins, distribution: Mixture, paths: Floats) -> Backtest:
    names = [panel.series[number].name for number, over in origins for _ in over]
    counts = np.concatenate([panel.series[number].start + over * panel.clock.step for number, over in origins])
    targets = targets_of(panel, origins, paths.shape[2])
    return Backtest(names, panel.clock.times(counts), distribution, paths, targets)


def _together(parts: list[Backtest]) -> Backtest:
    return Backtest(
        [name for part in parts for name in part.series],
        np.concatenate([part.origin for part in parts]),
        joined([part.distribution for part in parts]),
        np.concatenate([part.paths for part in parts], 1),
        np.concatenate([part.targets for part in parts]),
    )


def _energy(paths: Floats, targets: Floats) -> Floats:
    """Return the energy score of whole paths, (N,), each path paired with the next; NaN where a target is missing."""
    flat = paths.reshape(*paths.shape[:2], -1)
    near = np.linalg.norm(flat - targets.reshape(len(targets), -1), axis=-1).mean(0)
    apart = np.linalg.norm(flat - np.roll(flat, 1, axis=0), axis=-1).mean(0)
    score: Floats = near - 0.5 * apart
    return score
