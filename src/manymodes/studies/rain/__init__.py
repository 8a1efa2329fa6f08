"""Rain: a quarter of the amounts are exactly zero, which a density cannot be, and a point mass is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from manymodes.datasets import Table as Data
from manymodes.distributions import Prediction
from manymodes.estimators import MDNRegressor
from manymodes.studies.frame import models
from manymodes.studies.frame.comparison import READING, READING_MODES, Comparison, Model, Models, Part, Problem, compare
from manymodes.studies.frame.pictures import score_dots
from manymodes.studies.frame.result import Block, Cell, Result, Section, Table
from manymodes.studies.frame.work import Record, Work
from manymodes.studies.rain.pictures import AMOUNTS, LEVELS, chances, pits, three_days, two_months
from manymodes.studies.rain.scores import COMMON, Array, chance_error, chance_floor, common_scores, ensemble_scores

ZERO_GAMMA = "gamma mixture with zero"
ZERO_LOG_NORMAL, ZERO_NORMAL = "log-normal mixture with zero", "normal mixture with zero"
_FAMILIES: Mapping[str, str] = {ZERO_GAMMA: "gamma", ZERO_LOG_NORMAL: "log_normal", ZERO_NORMAL: "normal"}
RAW, CLIMATE = "the forecast itself", "amounts of the past"
_FIRST_YEAR, _N_YEARS = 2009, 5
_N_PAST = 200  # numbers that stand for the past
_DAYS = (0.05, 0.5, 0.95)  # of the forecast's mean, in the year that is shown, which days are
_MM_AN_INCH = 25.4


class Year(NamedTuple):
    """What is learned from before a year, and the year.

    Attributes:
        part: Features and amounts, the year's in random order, so that the first rows stand for all.
        members: The forecast of the year, (N, M), millimetres, in that order.
        order: Where each day of the year stands in that order, (N,).
        dates: The days in their own order, (N,).
    """

    part: Part
    members: Array
    order: NDArray[np.int64]
    dates: NDArray[np.datetime64]


def study(work: Work) -> Result:
    """Compare models with a point mass, the usual ones and the forecast itself on one year after another."""
    data, seeds = work.table("rain-innsbruck"), work.seeds(_N_YEARS)
    years = {seed: year_of(work, data, seed) for seed in seeds}
    usual, with_zero = models.standard(work, preset="fast"), _with_zero(work)
    both = {**with_zero, **usual}
    problem = Problem("rain", lambda seed: years[seed].part, both, mode_rows=work.pick(60, 10), look=_look)
    compared = compare(work, problem, seeds)
    plain = {name: [_plain(work, name, seed, years[seed]) for seed in seeds] for name in (RAW, CLIMATE)}
    everything = Comparison(problem, {**compared.records, **plain})
    return Result(
        title="Rain: one time in four there is none",
        problem=[
            "Will it rain, and how much? One time in four the answer is: not at all, exactly zero. A density "
            "cannot say so, because it gives every single number no probability; a point mass can. So the forecast "
            "should be a chance of rain, together with a density of the amount if it rains.",
            f"{len(data.y)} forecasts for Innsbruck, from 2000 to 2013: eleven runs of a weather model, five to eight "
            "days ahead, and the precipitation of three days that the gauge then measured, in steps of 0.1 mm (the "
            "table RainIbk of the R package crch). Sums of successive days overlap, so rows drawn at random would be "
            "half known. Models therefore learn from all years before the one that judges: "
            f"{_listed(sorted(int(str(year.dates[0])[:4]) for year in years.values()))}.",
            "Inputs are the square roots of the eleven numbers, sorted, because no run is like itself on the next day, "
            "and the season, as sine and cosine of the day of the year.",
            f"{models.WHO} The networks have the preset 'fast'. All of these are densities. Beside them stand mixtures "
            "with a point mass at zero, whose other components are gamma, log-normal or normal; the eleven runs as "
            "they are; and the amounts of the past, whatever the forecast.",
        ],
        conclusions=[
            *Comparison(problem, {name: compared.records[name] for name in (ZERO_GAMMA, *usual)}).conclusions("crps"),
            *of_zero(everything),
            of_spikes(everything, list(usual)),
            of_the_forecast(everything),
            families(everything),
        ],
        sections=[
            Section("Scores", _scores(everything)),
            Section("What they predict", _pictures(everything, years[seeds[0]])),
            Section("Why log-likelihoods stand in two tables", _likelihoods(compared, usual, with_zero)),
        ],
    )


def _listed(numbers: Sequence[int]) -> str:
    *first, last = map(str, numbers)
    return f"{', '.join(first)} and then {last}" if first else last


# --- what is measured ---


def year_of(work: Work, data: Data, seed: int) -> Year:
    """Return the year that a seed stands for: they come round after the last one."""
    dates = data.extras["date"].astype("datetime64[D]")
    judged = dates.astype("datetime64[Y]").astype(int) + 1970
    year = _FIRST_YEAR + seed % _N_YEARS
    before, now = np.flatnonzero(judged < year)[-work.pick(len(dates), 500) :], np.flatnonzero(judged == year)
    shuffled = np.random.default_rng(seed).permutation(now)
    angle = 2 * np.pi * (dates - dates.astype("datetime64[Y]")).astype(float) / 365.25
    X = np.column_stack([np.sqrt(np.sort(data.X, 1)), np.sin(angle), np.cos(angle)])
    part = Part(X[before], data.y[before], X[shuffled], data.y[shuffled])
    return Year(part, data.X[shuffled], np.argsort(shuffled), dates[now])


def _with_zero(work: Work) -> Models:
    settings: dict[str, Any] = {"preset": "fast", "atoms": (0.0,)}
    if work.quick:
        settings |= {"max_epochs": 15, "n_members": 2}

    def model(family: str) -> Callable[[int], Model]:
        return lambda seed: MDNRegressor(family=family, random_state=seed, **settings)

    names = work.pick(tuple(_FAMILIES), (ZERO_GAMMA, ZERO_NORMAL))
    return {name: model(_FAMILIES[name]) for name in names}


def _look(model: Model, prediction: Prediction, part: Part) -> Record:
    amounts = torch.from_numpy(AMOUNTS)[:, None, None].to(prediction.logits.dtype)
    shown = prediction[_shown_days(part)]
    levels = torch.tensor(LEVELS, dtype=prediction.logits.dtype)[:, None, None]
    return {
        **common_scores(prediction, part.y_test),
        "quantiles": prediction.icdf(levels)[..., 0].T.numpy(),
        "curves": shown.sf(amounts)[..., 0].T.numpy(),
    }


def _shown_days(part: Part) -> list[int]:
    """Return rows that judge, whose forecasts are of little, some and much rain."""
    forecast = part.X_test[:, :-2].mean(1)
    order = np.argsort(forecast)
    return [int(order[int(share * len(order))]) for share in _DAYS]


def _plain(work: Work, name: str, seed: int, year: Year) -> Record:
    """Return the scores of forecasts that are plain numbers."""
    past = np.quantile(year.part.y, (np.arange(_N_PAST) + 0.5) / _N_PAST)
    members = year.members if name == RAW else np.tile(past, (len(year.members), 1))
    return work.step(f"rain, {name}, seed {seed}", lambda: ensemble_scores(members, year.part.y_test))


# --- what to conclude ---


def of_zero(compared: Comparison) -> list[str]:
    """Return sentences on what the point mass is worth beside models that have none."""
    gain = compared.difference(ZERO_GAMMA, models.MDN, "reading")
    chance = {name: _all_years(compared, name, "chance") for name in (ZERO_GAMMA, models.MDN, models.GAUSSIAN, RAW)}
    happened = _all_years(compared, ZERO_GAMMA, "happened")
    off = {name: f"{chance_error(values, happened):.1%}" for name, values in chance.items()}
    below = {name: compared.value(name, "below").mean for name in (models.MDN, models.GAUSSIAN)}
    told = (
        f"The log-probability of what the gauge reads, to 0.1 mm, changes by {gain} nats when a {models.MDN} has "
        "gammas and a point mass in place of normals."
    )
    if gain.mean > 0:
        told += " Normals have to squeeze one of them onto zero, and pay for it."
    return [
        told,
        f"The chance of rain, in ten groups of days by chance, is off by {off[ZERO_GAMMA]} with the point mass, "
        f"{off[models.MDN]} with a mixture of normals, {off[models.GAUSSIAN]} with one Gaussian, and {off[RAW]} where "
        "it is the share of the eleven runs that have rain. Were chances right and days independent, luck would make "
        f"{chance_floor(chance[ZERO_GAMMA]):.1%}.",
        f"To less than no rain, one Gaussian gives {below[models.GAUSSIAN]:.0%} of the probability and the mixture of "
        f"normals {below[models.MDN]:.1%}; gammas cannot.",
    ]


def of_spikes(compared: Comparison, densities: Sequence[str]) -> str:
    """Return a sentence on what the log-likelihood of densities rewards where many targets are exactly zero."""
    likely, read = (
        max(densities, key=lambda name: compared.value(name, what).mean) for what in ("log_score", "reading")
    )
    if likely == read:
        return (
            f"Among densities the {likely} is the most likely, and gives the highest probability to what the gauge "
            "reads, too."
        )
    return (
        f"Among densities the {likely} is the most likely, but the {read} gives the highest probability to what the "
        "gauge reads: a density may be as high as it likes at exactly zero, which wins likelihood and says nothing."
    )


def of_the_forecast(compared: Comparison) -> str:
    """Return a sentence on what is gained over the eleven runs and over the past."""
    own, raw, past = (compared.value(name, "crps") for name in (ZERO_GAMMA, RAW, CLIMATE))
    order = "worse than" if raw.mean > past.mean else "better than"
    return (
        f"By CRPS the eleven runs as they are reach {raw} mm, which is {order} the amounts of the past ({past}); "
        f"learned from, they reach {own}."
    )


def families(compared: Comparison) -> str:
    """Return a sentence on which family suits the amounts beside the point mass."""
    likely = {name: compared.value(name, "log_score").mean for name in _FAMILIES if name in compared.records}
    best = max(likely, key=likely.__getitem__)
    gaps = [f"{compared.difference(best, name, 'log_score')} nats to the {name}" for name in likely if name != best]
    return f"Beside the point mass, the {best} is the most likely; the difference is {' and '.join(gaps)}."


# --- what to show ---


def _scores(compared: Comparison) -> list[Block]:
    rows: list[list[Cell]] = [[name, *(compared.value(name, what) for what in COMMON)] for name in compared.records]
    headings = dict(COMMON.values())
    return [
        Table(
            "Years not learned from, by scores that suit all, mean over years.", ["forecast", *headings], rows, headings
        ),
        "All but the log-probability are better when lower. The reading of the gauge is a step of 0.1 mm, and its "
        "log-probability, in nats, is of one kind for all models; plain numbers have none. Brier scores are mean "
        "squared errors of the probability that any rain falls, that 10 mm fall, and that 30 mm fall. The error of the "
        "chance of rain is its mean distance from the share of days with rain, over ten groups of days with similar "
        "chances. 'Below zero' is the probability that is given to negative amounts; for all scores but the CRPS they "
        "count as no rain. Errors are large because years differ; models are judged on the same ones, and their "
        "differences are known better.",
        score_dots(compared, "crps", "crps", "CRPS, mm"),
    ]


def _pictures(compared: Comparison, year: Year) -> list[Block]:
    shown = [ZERO_GAMMA, models.MDN, models.GAUSSIAN]
    first = {name: value[year.order] for name, value in _arrays(compared, ZERO_GAMMA).items()}
    y, happened = year.part.y_test, _all_years(compared, ZERO_GAMMA, "happened")
    names = ("little rain forecast", "some rain forecast", "much rain forecast")
    days = dict(zip(names, y[_shown_days(year.part)].tolist(), strict=True))
    return [
        two_months(first, y[year.order], year.dates),
        three_days(compared, shown, days),
        chances({name: compared.records[name] for name in (*shown, RAW)}, happened),
        pits({name: compared.records[name] for name in shown}),
    ]


def _arrays(compared: Comparison, model: str) -> dict[str, Array]:
    """Return what was kept of every day of the first year."""
    return {name: compared.first(model, name) for name in ("quantiles", "chance")}


def _all_years(compared: Comparison, model: str, what: str) -> NDArray[Any]:
    """Return what was kept of every day, (N,), of all years one after another."""
    return np.concatenate([record[what] for record in compared.records[model]])


def _likelihoods(compared: Comparison, usual: Models, with_zero: Models) -> list[Block]:
    densities, zeros = (
        Comparison(compared.problem, {name: compared.records[name] for name in each}) for each in (usual, with_zero)
    )
    return [
        "The log-likelihood of a density has a unit: it is per millimetre, and were rain measured in inches, every one "
        f"would grow by log {_MM_AN_INCH} = {np.log(_MM_AN_INCH):.2f} nats. The probability of a point mass has none, "
        "and would stay. A mean over dry and wet days of one model is therefore in no unit that a mean of the other "
        "shares, and which is larger says nothing. Within a table below, log-likelihoods may be compared.",
        densities.table("Densities, mean over years. On dry days the narrowest component decides."),
        zeros.table("Point masses at zero, mean over years. On dry days the likelihood is a probability."),
        READING,
        f"{READING_MODES} A point mass counts as a mode, too; the best mode is dry wherever the point mass is the "
        "heaviest place.",
    ]
