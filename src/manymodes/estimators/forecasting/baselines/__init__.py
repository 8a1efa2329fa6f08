"""Baselines of forecasts: what a forecaster has to beat, with the same series, rolling origins and results."""

from manymodes.estimators.forecasting.baselines.base import ForecastBaseline
from manymodes.estimators.forecasting.baselines.linear_quantiles import LinearQuantileRegression
from manymodes.estimators.forecasting.baselines.naive import SeasonalNaive
from manymodes.estimators.forecasting.baselines.smoothing import ExponentialSmoothing

__all__ = ["ExponentialSmoothing", "ForecastBaseline", "LinearQuantileRegression", "SeasonalNaive"]
