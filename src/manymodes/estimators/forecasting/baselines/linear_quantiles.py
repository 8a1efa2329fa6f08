"""Every quantile of every step as a linear function of the window: the strongest simple forecast of many series."""

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
from manymodes.estimators.forecasting.calendar import cycles_of
from manymodes.estimators.forecasting.dependence import Dependence, normal_scores, paths_at
from manymodes.estimators.forecasting.series import Panel
from manymodes.estimators.forecasting.windows import Level, View, inputs_of, past_of, targets_of, units_of
from manymodes.training.randomness import seeded

_CHECKS = 20  # times that the held-out end is looked at
_WARM = 0.3  # share of the steps before the learning rate is highest


@final
class LinearQuantileRegression(ForecastBaseline):
    r"""K quantiles of each step, linear in the window and the calendar, fitted to all steps and levels at once.

    Windows, their units and the calendar are those of ``MDNForecaster``; so are the rows: the end of the series is held
    out to choose among weights on the way, and to tell how errors of one path hang together. What is minimised is the
    mean over levels of

    .. math:: \rho_q(y - \hat y_q), \qquad \rho_q(e) = \max(q e, (q - 1) e)

    with all of it convex, by Adam on batches of rows.

    Args:
        horizon: Steps to forecast, H.
        context: Steps that it sees, C.
        n_levels: Quantiles, K, of levels (k - 1/2) / K.
        scaling: ``"series"`` or ``"window"``, see ``MDNForecaster``.
        n_steps: Steps of the fit.
        batch_size: Windows in a step.
        lr: Highest learning rate.
        validation_fraction: Share of the series, its end, that is held out; at least two horizons.
        random_state: Seed of the batches.

    References:
        Koenker and Bassett (1978), Regression quantiles. Zeng, Chen, Zhang and Xu (2023), Are transformers effective
        for time series forecasting? (linear maps of windows less their last value).
    """

    def __init__(
        self,
        horizon: int = 24,
        *,
        context: int = 168,
        n_levels: int = 19,
        scaling: str = "series",
        n_steps: int = 1000,
        batch_size: int = 512,
        lr: float = 5e-3,
        validation_fraction: float = 0.1,
        random_state: int = 0,
    ) -> None:
        self.horizon = horizon
        self.context = context
        self.n_levels = n_levels
        self.scaling = scaling
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.lr = lr
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def _learn(self, panel: Panel) -> None:
        series, n_steps = panel.series[0], len(values_of(panel))
        share = _checks.number_between("validation_fraction", self.validation_fraction, 0.0, 1.0)
        n_held = max(2 * self.horizon, round(share * (n_steps - self.context)))
        _checks.rows_at_least(n_steps, self.context + self.horizon + n_held, "a window, a horizon and a held-out end")
        begin = n_steps - n_held
        cycles = cycles_of(panel.clock, series.start, panel.end(series))
        self._view = View(self.context, self.horizon, cycles, _checks.one_of("scaling", self.scaling, _SCALINGS))
        self._levels = {series.name: Level.of(series.values[:begin])}
        learned, held = np.arange(self.context, begin - self.horizon + 1), np.arange(begin, n_steps - self.horizon + 1)
        rows, later = (self._rows(panel, over) for over in (learned, held))
        self.weights_ = self._fitted(rows, later)
        y = torch.from_numpy(targets_of(panel, [(0, held)], self.horizon))
        with torch.no_grad():
            scores = normal_scores(self._density(panel, held), y)
        self._dependence = Dependence.of(scores, torch.from_numpy(held >= np.median(held)))

    def _forecasts(self, panel: Panel, over: Steps, n_paths: int, generator: torch.Generator) -> tuple[Mixture, Tensor]:
        mixture = self._density(panel, over)
        scores = self._dependence.draw(n_paths, len(over), self.horizon, generator)
        return mixture, paths_at(mixture, scores).squeeze(-1)

    def _density(self, panel: Panel, over: Steps) -> Mixture:
        return around_quantiles(self._quantiles(panel, over))

    def _quantiles(self, panel: Panel, over: Steps) -> Tensor:
        """Return quantiles in the units of the series, (N, H, K), which may cross."""
        x, loc, scale = self._inputs(panel, over)
        scaled = (x @ self.weights_).unflatten(-1, (self.horizon, -1))
        quantiles: Tensor = loc + scale * scaled.double()
        return quantiles

    def _inputs(self, panel: Panel, over: Steps) -> tuple[Tensor, Tensor, Tensor]:
        """Return features with a constant, (N, F), and the units of each window, (N, 1, 1)."""
        past = past_of(panel, [(0, over)], self._levels, self._view)
        units = units_of(past, self._view)
        inputs = inputs_of(past, units, self._view)
        parts = [inputs["steps"].flatten(1), *([inputs["future"][:, 0]] if "future" in inputs else [])]
        x = torch.cat([*parts, torch.ones(len(over), 1)], -1)
        return x.float(), units.loc, units.scale

    def _rows(self, panel: Panel, over: Steps) -> tuple[Tensor, Tensor]:
        x, loc, scale = self._inputs(panel, over)
        y = torch.from_numpy(targets_of(panel, [(0, over)], self.horizon))
        return x, ((y - loc) / scale).squeeze(-1).float()

    def _fitted(self, rows: tuple[Tensor, Tensor], held: tuple[Tensor, Tensor]) -> Tensor:
        """Return the weights, (F, H K), that do best on held-out rows of those on the way."""
        (x, y), generator = rows, seeded(self.random_state)
        levels = mid_levels(self.n_levels).float()
        weights = torch.zeros(x.shape[1], self.horizon * self.n_levels)
        weights[-1] = torch.quantile(y[:: max(len(y) // 2000, 1)], levels, dim=0).T.flatten()  # the constant
        weights.requires_grad_()
        adam = torch.optim.Adam([weights], lr=self.lr, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(adam, self.lr, total_steps=self.n_steps, pct_start=_WARM)
        best, kept = np.inf, weights.detach().clone()
        for step in range(1, self.n_steps + 1):
            some = torch.randint(len(x), (self.batch_size,), generator=generator)
            adam.zero_grad()
            pinball(x[some], y[some], weights, levels).backward()
            adam.step()
            schedule.step()
            if step % max(self.n_steps // _CHECKS, 1) == 0:
                with torch.no_grad():
                    now = float(pinball(*held, weights, levels))
                if now < best:
                    best, kept = now, weights.detach().clone()
        return kept


_SCALINGS = {"series": "series", "window": "window"}


def pinball(x: Tensor, y: Tensor, weights: Tensor, levels: Tensor) -> Tensor:
    """Return the mean over rows, steps and levels of the loss whose minimum is the quantile.

    Args:
        x: Features, (N, F).
        y: Targets, (N, H).
        weights: Weights, (F, H K).
        levels: Levels, (K,).
    """
    error = y.unsqueeze(-1) - (x @ weights).unflatten(-1, (y.shape[1], -1))
    return torch.maximum(levels * error, (levels - 1) * error).mean()
