"""What was a season ago comes again, with the errors that this made in the past."""

from __future__ import annotations

from typing import final

import numpy as np
import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Mixture
from manymodes.estimators.forecasting.baselines.base import (
    ForecastBaseline,
    Steps,
    around_quantiles,
    mid_levels,
    values_of,
)
from manymodes.estimators.forecasting.series import Panel
from manymodes.estimators.tables.numbers import Floats


@final
class SeasonalNaive(ForecastBaseline):
    """The last season again, with the quantiles of past errors at each step; paths are past errors of whole horizons.

    Args:
        horizon: Steps to forecast, H.
        season: Steps of the cycle.
        n_levels: Quantiles of the errors that stand for them.
    """

    def __init__(self, horizon: int = 24, *, season: int = 24, n_levels: int = 39) -> None:
        self.horizon = horizon
        self.season = season
        self.n_levels = n_levels

    def _learn(self, panel: Panel) -> None:
        season = _checks.integer_at_least("season", self.season, 1)
        values = values_of(panel)
        _checks.rows_at_least(len(values), season + self.horizon + 1, "a season, a horizon and one error")
        over = np.arange(season, len(values) - self.horizon + 1)
        actual = values[over[:, None] + np.arange(self.horizon)]
        self.errors_ = torch.from_numpy(actual - self._points(values, over))  # (origins, H)
        levels = mid_levels(_checks.integer_at_least("n_levels", self.n_levels, 2))
        self.quantiles_ = torch.quantile(self.errors_, levels, dim=0).T  # (H, K)

    def _forecasts(self, panel: Panel, over: Steps, n_paths: int, generator: torch.Generator) -> tuple[Mixture, Tensor]:
        points = torch.from_numpy(self._points(values_of(panel), over))  # (N, H)
        drawn = torch.randint(len(self.errors_), (n_paths, len(over)), generator=generator)
        return around_quantiles(points.unsqueeze(-1) + self.quantiles_), points + self.errors_[drawn]

    def _points(self, values: Floats, over: Steps) -> Floats:
        """Return the values of the last season before each origin, over and over, (N, H)."""
        points: Floats = values[over[:, None] - self.season + np.arange(self.horizon) % self.season]
        return points
