"""Oil temperature and load of a transformer: all models forecast from the same origins, judged week by week."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manymodes.datasets import Table as Data
from manymodes.estimators import MDNForecaster
from manymodes.estimators.forecasting.backtest import Backtest
from manymodes.estimators.forecasting.baselines import ExponentialSmoothing, LinearQuantileRegression, SeasonalNaive
from manymodes.studies.frame.result import Cell, Measured, Table
from manymodes.studies.frame.work import Record, Work

Array = NDArray[np.float64]
Series = Mapping[str, Array]  # times ``ds`` and values ``y``

MDN, GAUSSIAN = "mixture forecaster", "one Gaussian"
LINEAR, SMOOTHING, NAIVE = "linear quantile regression", "exponential smoothing", "seasonal naive"
MODELS = (MDN, GAUSSIAN, LINEAR, SMOOTHING, NAIVE)
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)

_LEARNED, _END = 11_520, 14_400  # rows of the customary twelve and four months, and of the four that judge
STRIDE = 23  # hours from one origin to the next: all hours of the day come round
_WEEK = 168
_SPACE = "\u00a0"  # at which no line is broken
_SEEDS = {GAUSSIAN: 3}  # a network alone depends on its seed; of the mixture eight are averaged
_SCORES = ("crps", "coverage", "energy_score", "crps_by_step")
_N_STEPS = {24: 400, 96: 240}  # of the fit: a longer horizon is learned by heart sooner


class Case(NamedTuple):
    """A column of the table at one horizon.

    Attributes:
        name: What the column holds.
        column: Its name in the file.
        unit: Of the values.
        horizon: Hours ahead, H.
    """

    name: str
    column: str
    unit: str
    horizon: int

    def __str__(self) -> str:
        return f"{self.name}, {self.horizon} hours"


class Judged(NamedTuple):
    """What was measured of all models in one case.

    Attributes:
        case: The case.
        records: What was measured, by model.
        recent: The hours before each origin that is shown, (J, C).
    """

    case: Case
    records: Mapping[str, Record]
    recent: Array

    def value(self, model: str, what: str) -> Measured:
        """Return the mean over weeks of a score."""
        return Measured.over(self.weekly(model, what))

    def difference(self, first: str, second: str, what: str) -> Measured:
        """Return the mean over weeks of how much more the first model has."""
        return Measured.over(self.weekly(first, what) - self.weekly(second, what))

    def weekly(self, model: str, what: str) -> Array:
        """Return the mean score of the forecasts of each week, about: of as many forecasts as that is."""
        scores = np.asarray(self.records[model][what])
        n_weeks = max(len(scores) * STRIDE // _WEEK, 1)
        return np.array([part.mean() for part in np.array_split(scores, n_weeks)])

    def best_other(self, what: str = "crps") -> str:
        """Return the model with the lowest score of those that are not the mixture."""
        return min((model for model in self.records if model != MDN), key=lambda model: self.value(model, what).mean)


def cases(work: Work) -> list[Case]:
    """Return what is forecast; a quick look takes one horizon."""
    columns = (("oil temperature", "OT", "degrees"), ("load", "HUFL", "units of load"))
    return [Case(*column, horizon) for column in columns for horizon in work.pick((24, 96), (24,))]


def judged(work: Work, data: Data, case: Case) -> Judged:
    """Fit every model to the first 16 months and judge it on the 4 months after."""
    series = series_of(data, case.column)
    first = work.pick(0, 10_520)
    until = work.pick(_END, _LEARNED + 300)
    whole, learned = (_part(series, first, end) for end in (until, _LEARNED))
    records = {}
    for name, make in _models(work, case.horizon).items():
        of_seeds = []
        for seed in work.seeds(_SEEDS.get(name, 1)):
            key = f"{case}, {name}, seed {seed}"
            compute = lambda make=make, seed=seed: _measured(work, make(seed), learned, whole, first)  # noqa: E731
            of_seeds.append(work.step(key, compute))
        records[name] = averaged(of_seeds)
    over = np.asarray(records[MDN]["shown_over"], dtype=int)
    return Judged(case, records, np.stack([series["y"][at - _recent(case.horizon) : at] for at in over]))


def averaged(of_seeds: Sequence[Record]) -> Record:
    """Return the record of the first seed with scores averaged over all of them."""
    return {**of_seeds[0], **{name: np.mean([record[name] for record in of_seeds], 0) for name in _SCORES}}


def series_of(data: Data, column: str) -> Series:
    """Return a column of the table with its times."""
    names = [*data.feature_names, *data.target_names]
    values = np.column_stack([data.X, data.y])
    return {"ds": data.extras["date"], "y": values[:, names.index(column)]}


def scores_table(of_series: Sequence[Judged]) -> Table:
    """Return the scores of all models for one series, at all horizons."""
    headings = {"crps": "CRPS", "coverage": f"inside 90{_SPACE}%", "energy_score": "energy score"}
    ideals = {"crps": -np.inf, "coverage": 0.9, "energy_score": -np.inf}
    columns = [
        (one, what, f"{text}, {one.case.horizon}{_SPACE}h") for one in of_series for what, text in headings.items()
    ]
    rows: list[list[Cell]] = [
        [model, *(one.value(model, what) for one, what, _ in columns)] for model in of_series[0].records
    ]
    case = of_series[0].case
    caption = f"The {case.name}, in {case.unit}: four months that no model has seen, mean over weeks."
    return Table(caption, ["model", *(text for *_, text in columns)], rows, {t: ideals[w] for _, w, t in columns})


def _models(work: Work, horizon: int) -> dict[str, Callable[[int], Any]]:
    context = work.pick(168, 48)

    def network(seed: int, **own: Any) -> MDNForecaster:
        settings = {"n_steps": work.pick(_N_STEPS.get(horizon, 200), 20), "dropout": 0.3, "lr": 1e-3, **own}
        return MDNForecaster(horizon, context=context, scaling="window", random_state=seed, **settings)

    return {
        MDN: lambda seed: network(seed, n_members=work.pick(8, 2)),
        GAUSSIAN: lambda seed: network(seed, n_components=1, n_members=1),
        LINEAR: lambda seed: LinearQuantileRegression(
            horizon,
            context=context,
            scaling="window",
            n_steps=work.pick(1000, 40),
            random_state=seed,
        ),
        SMOOTHING: lambda seed: ExponentialSmoothing(horizon),
        NAIVE: lambda seed: SeasonalNaive(horizon),
    }


def _measured(work: Work, model: Any, learned: Series, whole: Series, first: int) -> Record:
    started = time.perf_counter()
    model.fit(learned)
    seconds = time.perf_counter() - started
    seen = model.backtest(whole, stride=STRIDE, n_paths=work.pick(40, 10), random_state=work.random_state)
    scores = seen.scores()
    over = first + np.searchsorted(whole["ds"], seen.origin.astype(whole["ds"].dtype))
    shown = _shown(len(seen))
    return {
        "seconds": seconds,
        "over": over,
        **{name: scores[name] for name in ("crps", "coverage", "energy_score")},
        "crps_by_step": seen.by_step()["crps"],
        "shown_over": over[shown],
        "quantiles": _quantiles(seen, shown),
        "came": seen.targets[shown, :, 0],
        **(_day(model, _part(whole, 0, over[shown[1]] - first)) if isinstance(model, MDNForecaster) else {}),
    }


def _day(model: MDNForecaster, past: Series) -> Record:
    """Return many paths from the second of the origins that are shown."""
    return {"paths": model.sample_paths(300, series=past, random_state=0)[..., 0]}


def _quantiles(seen: Backtest, rows: list[int]) -> Array:
    """Return quantiles of the forecasts that are shown, (J, Q, H)."""
    some = seen.distribution[rows]
    return np.stack([some.icdf(level)[..., 0].numpy() for level in LEVELS], 1)


def _shown(n_origins: int) -> list[int]:
    """Return which of the origins are shown: a quarter, half and three quarters of the way."""
    return [n_origins * quarter // 4 for quarter in (1, 2, 3)]


def _recent(horizon: int) -> int:
    return max(48, horizon)


def _part(series: Series, first: int, end: int) -> Series:
    return {name: values[first:end] for name, values in series.items()}
