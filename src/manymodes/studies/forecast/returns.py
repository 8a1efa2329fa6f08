"""Daily returns of four stock indices: nothing is known of tomorrow but how wild it will be, and what goes together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Categorical

from manymodes import metrics
from manymodes.datasets import Table as Data
from manymodes.distributions import FullNormal, Mixture, Prediction
from manymodes.estimators import MDNForecaster
from manymodes.estimators.baselines import UnconditionalDensity
from manymodes.studies.forecast.electricity import MDN
from manymodes.studies.frame.result import Cell, Measured, Table
from manymodes.studies.frame.work import Record, Work

Array = NDArray[np.float64]

DIAGONAL, ONE = "the same without correlations", "one Gaussian, full covariance"
ALWAYS, ALWAYS_ONE = "the same mixture every day", "the same Gaussian every day"
MODELS = (MDN, DIAGONAL, ONE, ALWAYS, ALWAYS_ONE)
_LEARNED = 1300  # days, of 1,859
_MONTH = 20  # days of trading

_HEADINGS = {"log_score": "log-likelihood", "crps": "CRPS, sum of four", "coverage": "inside 90 %"}


class Returns(NamedTuple):
    """What was measured, by model: scores of each day that judges, (N,)."""

    records: Mapping[str, Record]

    def monthly(self, model: str, what: str) -> Array:
        """Return the mean score of each month; a last part of one is left out."""
        scores = np.asarray(self.records[model][what])
        n_months = len(scores) // _MONTH
        means: Array = scores[: n_months * _MONTH].reshape(n_months, _MONTH).mean(1)
        return means

    def value(self, model: str, what: str) -> Measured:
        """Return the mean of a score over months."""
        return Measured.over(self.monthly(model, what))

    def difference(self, first: str, second: str, what: str = "log_score") -> Measured:
        """Return how much more of a score the first model has, over months."""
        return Measured.over(self.monthly(first, what) - self.monthly(second, what))

    def table(self) -> Table:
        """Return the scores of all models."""
        rows: list[list[Cell]] = [[model, *(self.value(model, what) for what in _HEADINGS)] for model in self.records]
        ideals = dict(zip(_HEADINGS.values(), (np.inf, -np.inf, 0.9), strict=True))
        caption = "Returns of the next day, in percent: days that no model has learned from, mean over months."
        return Table(caption, ["model", *_HEADINGS.values()], rows, ideals)


def returns(work: Work, data: Data) -> Returns:
    """Fit every model to the first 1,300 days and judge its density of each day after."""
    series = np.vstack([data.X, data.y[-1:]])  # row t of y is row t + 1 of X
    n_learned, end = work.pick((_LEARNED, len(series)), (400, 600))
    forecasters: dict[str, Mapping[str, Any]] = {
        MDN: {"n_members": work.pick(4, 2)},
        DIAGONAL: {"n_members": work.pick(4, 2), "covariance_type": "diag"},
        ONE: {"n_components": 1, "n_members": 1},
    }
    always: dict[str, Callable[[Array], Prediction]] = {ALWAYS: _mixture, ALWAYS_ONE: _gaussian}
    learned, whole = series[:n_learned], series[:end]
    records = {
        name: work.step(f"returns, {name}", lambda own=own: _forecast(work, own, learned, whole))  # type: ignore[misc]
        for name, own in forecasters.items()
    }
    for name, fit in always.items():
        compute = lambda fit=fit: _scores(fit(learned).expand((end - n_learned,)), whole[n_learned:])  # noqa: E731
        records[name] = work.step(f"returns, {name}", compute)
    return Returns(records)


def _forecast(work: Work, own: Mapping[str, Any], learned: Array, whole: Array) -> Record:
    settings = {"n_steps": work.pick(300, 20), "dropout": 0.3, "random_state": work.random_state, **own}
    model = MDNForecaster(1, context=work.pick(20, 10), scaling="window", **settings).fit(learned)
    seen = model.backtest(whole, stride=1, n_paths=2)
    return _scores(seen.distribution[:, 0], seen.targets[:, 0])


def _scores(prediction: Prediction, y: Array) -> Record:
    targets = torch.from_numpy(y)
    return {
        "log_score": prediction.log_prob(targets).numpy(),
        "crps": metrics.crps(prediction, targets).numpy(),
        "coverage": metrics.coverage(prediction, targets, 0.9).double().mean(-1).numpy(),
    }


def _gaussian(y: Array) -> Mixture:
    loc = torch.from_numpy(y.mean(0))[None, None]
    lower: Tensor = torch.linalg.cholesky(torch.from_numpy(np.cov(y.T)))[None, None]
    return Mixture(Categorical(logits=torch.zeros(1, 1, dtype=loc.dtype)), FullNormal(loc, lower))


def _mixture(y: Array) -> Prediction:
    model = UnconditionalDensity(random_state=0).fit(np.zeros((len(y), 1)), y)
    return model.predict_distribution(np.zeros((1, 1)))
