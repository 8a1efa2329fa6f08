"""What baselines of forecasts share: one series of one target in, forecasts from rolling origins out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Categorical

from manymodes import _checks
from manymodes.distributions import DiagonalNormal, Mixture
from manymodes.estimators.forecasting.backtest import Backtest
from manymodes.estimators.forecasting.reading import read_panel
from manymodes.estimators.forecasting.series import Columns, Panel
from manymodes.estimators.forecasting.windows import targets_of
from manymodes.estimators.tables.numbers import Floats
from manymodes.training.randomness import seeded

Steps = NDArray[np.int64]


class ForecastBaseline(ABC):
    """Forecasts one series of one target without gaps; abstract.

    What is learned is kept as ``fit`` found it: later values open new origins, but teach nothing.
    """

    horizon: int

    def fit(self, series: Any) -> Self:
        """Learn from a series, (T,), or a long frame with the columns ``ds`` and ``y``.

        Raises:
            ValueError: Several series, several targets, missing values, or too few steps.
        """
        panel = self._read(series)
        _checks.integer_at_least("horizon", self.horizon, 1)
        self.n_steps_ = len(panel.series[0])
        self._learn(panel)
        return self

    def backtest(
        self, series: Any, *, stride: int | None = None, n_paths: int = 100, random_state: int = 0
    ) -> Backtest:
        """Return forecasts from rolling origins after the fit, and what came, see ``MDNForecaster.backtest``.

        Args:
            series: The series of the fit, gone on for at least a horizon.
            stride: Steps from one origin to the next; None for the horizon.
            n_paths: Paths of each forecast.
            random_state: Seed of the paths.
        """
        stride = self.horizon if stride is None else _checks.integer_at_least("stride", stride, 1)
        n_paths = _checks.integer_at_least("n_paths", n_paths, 2)
        panel = self._read(series)
        over = np.arange(len(panel.series[0]) - self.horizon, self.n_steps_ - 1, -stride)[::-1]
        if not len(over):
            raise _checks.InputError(
                f"series must go on for at least horizon = {self.horizon} steps after the {self.n_steps_} of the fit; "
                f"got {len(panel.series[0])} in all."
            )
        with torch.no_grad():
            distribution, paths = self._forecasts(panel, over, n_paths, seeded(random_state))
        one = panel.series[0]
        return Backtest(
            series=[one.name] * len(over),
            origin=panel.clock.times(one.start + over * panel.clock.step),
            distribution=distribution,
            paths=paths.unsqueeze(-1).numpy(),
            targets=targets_of(panel, [(0, over)], self.horizon),
        )

    @abstractmethod
    def _learn(self, panel: Panel) -> None:
        """Learn from a panel of one series."""

    @abstractmethod
    def _forecasts(self, panel: Panel, over: Steps, n_paths: int, generator: torch.Generator) -> tuple[Mixture, Tensor]:
        """Return the distributions of the next steps, ``batch_shape`` (N, H), and paths, (S, N, H).

        Args:
            panel: A panel of one series.
            over: How many of its steps are over at each origin, (N,).
            n_paths: Number of paths, S.
            generator: Source of randomness.
        """

    def _read(self, series: Any) -> Panel:
        panel = read_panel(series, None, Columns("unique_id", "ds", ("y",)))
        if len(panel) > 1 or len(panel.targets) > 1:
            raise _checks.InputError(
                f"series must be one series of one target for {type(self).__name__}; got "
                f"{_checks.counted(len(panel), 'series', 'series')} of {_checks.counted(len(panel.targets), 'target')}."
            )
        values = panel.series[0].values[:, 0]
        if np.isnan(values).any():
            place = int(np.isnan(values).argmax())
            raise _checks.InputError(
                f"series must have no missing values for {type(self).__name__}; got one in {_checks.row(place)}."
            )
        return panel


def values_of(panel: Panel) -> Floats:
    """Return the values of the one series of a panel, (T,)."""
    return panel.series[0].values[:, 0]


def normals(loc: Tensor, scale: Tensor, weights: Tensor | None = None) -> Mixture:
    """Return mixtures of normals in one dimension from means and scales, (N, H, K), with weights (K,), or equal."""
    logits = torch.zeros_like(loc) if weights is None else weights.log().expand_as(loc)
    components = DiagonalNormal(loc.unsqueeze(-1), scale.expand_as(loc).unsqueeze(-1), validate_args=False)
    return Mixture(Categorical(logits=logits, validate_args=False), components, validate_args=False)


def around_quantiles(quantiles: Tensor, min_scale: float = 1e-3) -> Mixture:
    """Return mixtures with a normal around each of K quantiles, (N, H, K), of levels (k - 1/2) / K.

    Quantiles that cross are sorted (Chernozhukov, Fernandez-Val and Galichon 2010). Scales are half the mean distance
    of a quantile from its neighbours: enough to fill the gaps, and too little to widen intervals that count.

    Args:
        quantiles: Quantiles.
        min_scale: Smallest scale, in units of the mean distance of the outermost quantiles.
    """
    ordered = quantiles.sort(-1).values
    last = ordered.shape[-1] - 1
    index = torch.arange(last + 1)
    below, above = (index - 1).clamp_min(0), (index + 1).clamp_max(last)
    spacing = (ordered[..., above] - ordered[..., below]) / (above - below)
    floor = min_scale * (ordered[..., -1:] - ordered[..., :1]).mean()
    return normals(ordered, (0.5 * spacing).clamp_min(max(float(floor), 1e-12)))


def mid_levels(n_levels: int) -> Tensor:
    """Return K levels, each in the middle of an equal share of the probability, (K,)."""
    return (torch.arange(n_levels, dtype=torch.float64) + 0.5) / n_levels
