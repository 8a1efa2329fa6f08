r"""Exponential smoothing with a damped trend and a season, as a model in state space.

.. math:: y_t = l_{t-1} + \phi b_{t-1} + s_{t-m} + e_t, \quad
    l_t = l_{t-1} + \phi b_{t-1} + \alpha e_t, \quad b_t = \phi b_{t-1} + \beta e_t, \quad s_t = s_{t-m} + \gamma e_t

with independent normal errors e. Forecasts are normal, in closed form.

References:
    Hyndman, Koehler, Ord and Snyder (2008), Forecasting with exponential smoothing: chapter 5 (likelihood), table 6.1
    (variances of class 1).
"""

from __future__ import annotations

import math
from typing import NamedTuple, final

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Mixture
from manymodes.estimators.forecasting.baselines.base import ForecastBaseline, Steps, normals, values_of
from manymodes.estimators.forecasting.series import Panel
from manymodes.estimators.tables.numbers import Floats

_START = (0.5, 0.1, 0.3, 0.9)  # shares of what is possible, and the damping
_BOUNDS = ((1e-4, 0.9999), (1e-4, 0.9999), (1e-4, 0.9999), (0.8, 0.98))  # customary for the damping


class Smoothing(NamedTuple):
    """Weights of the latest error, and the damping of the trend."""

    level: float
    trend: float
    season: float
    damping: float

    @classmethod
    def from_shares(cls, level: float, trend: float, season: float, damping: float) -> Smoothing:
        """Return weights from shares of the most that is customary: trend < level, season < 1 - level."""
        return cls(level, trend * level, season * (1 - level), damping)


class States(NamedTuple):
    """States after each step, and the errors of one step ahead.

    Attributes:
        errors: What came less what was expected, (T,).
        levels: Levels after 0, 1, ... T steps, (T + 1,).
        trends: Trends, (T + 1,).
        seasons: The m seasonal values before each step, the oldest first: those of the next m steps are entries t to
            t + m - 1, (T + m,).
    """

    errors: Floats
    levels: Floats
    trends: Floats
    seasons: Floats


def filtered(values: Floats, start: tuple[float, float, Floats], by: Smoothing) -> States:
    """Return the states along a series, (T,).

    Args:
        values: The series.
        start: Level, trend and the m seasonal values before the first step.
        by: Weights.
    """
    level, trend, first = start
    seasons = first.tolist()
    errors, levels, trends = [], [level], [trend]
    for t, value in enumerate(values.tolist()):  # plain numbers: far faster than arrays of one
        drift = by.damping * trend
        error = value - level - drift - seasons[t]
        level += drift + by.level * error
        trend = drift + by.trend * error
        seasons.append(seasons[t] + by.season * error)
        errors.append(error)
        levels.append(level)
        trends.append(trend)
    return States(*map(np.array, (errors, levels, trends, seasons)))


@final
class ExponentialSmoothing(ForecastBaseline):
    """Additive errors, damped trend and season; weights by maximum likelihood, states from the first two seasons.

    Args:
        horizon: Steps to forecast, H.
        season: Steps of the cycle, m.

    Attributes:
        weights_: Weights of the latest error, and the damping.
        scale_: Standard deviation of the errors of one step ahead.
    """

    def __init__(self, horizon: int = 24, *, season: int = 24) -> None:
        self.horizon = horizon
        self.season = season

    def _learn(self, panel: Panel) -> None:
        season = _checks.integer_at_least("season", self.season, 2)
        values = values_of(panel)
        _checks.rows_at_least(len(values), 3 * season, "two seasons to start from and one to learn from")
        cycles = values[: 2 * season].reshape(2, season)
        level = float(cycles.mean())
        self.start_ = level, 0.0, cycles.mean(0) - level

        def loss(shares: Floats) -> float:
            errors = filtered(values, self.start_, Smoothing.from_shares(*shares)).errors[2 * season :]
            return 0.5 * math.log(float(np.mean(errors**2)) + 1e-300)  # minus the likelihood of the best scale

        found = minimize(loss, np.array(_START), method="L-BFGS-B", bounds=_BOUNDS, options={"maxiter": 60})
        self.weights_ = Smoothing.from_shares(*found.x)
        self.scale_ = math.exp(float(found.fun))

    def _forecasts(self, panel: Panel, over: Steps, n_paths: int, generator: torch.Generator) -> tuple[Mixture, Tensor]:
        states = filtered(values_of(panel), self.start_, self.weights_)
        steps = np.arange(self.horizon)
        damped = self._damped()
        mean = (
            states.levels[over][:, None]
            + states.trends[over][:, None] * damped
            + states.seasons[over[:, None] + steps % self.season]
        )  # (N, H)
        loc, lasting = torch.from_numpy(mean), torch.from_numpy(self._lasting())
        scale = self.scale_ * lasting.square().cumsum(0).sqrt()  # (H,)
        shocks = torch.randn(n_paths, len(over), self.horizon, generator=generator, dtype=torch.float64)
        lag = steps[:, None] - steps
        follow = torch.where(torch.from_numpy(lag >= 0), lasting[np.abs(lag)], 0.0)  # (H, H)
        paths: Tensor = loc + self.scale_ * shocks @ follow.T
        return normals(loc.unsqueeze(-1), scale.unsqueeze(-1)), paths

    def _damped(self) -> Floats:
        """Return how many trends each step lies above the level: phi + phi^2 + ..., (H,)."""
        total: Floats = np.cumsum(self.weights_.damping ** np.arange(1, self.horizon + 1))
        return total

    def _lasting(self) -> Floats:
        """Return how much of an error is seen 0, 1, ... steps later, (H,)."""
        by, lag = self.weights_, np.arange(self.horizon)
        later = by.level + by.trend * np.r_[0.0, self._damped()[:-1]] + by.season * (lag % self.season == 0)
        lasting: Floats = np.where(lag == 0, 1.0, later)
        return lasting
