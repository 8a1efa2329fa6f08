"""Taxis: where a trip ends, given where and when it began; two outputs, many places, and a map to show them on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from manymodes import metrics
from manymodes.datasets import Table as Data
from manymodes.distributions import Mixture, Prediction
from manymodes.estimators import MDNRegressor
from manymodes.estimators.baselines import GaussianNetwork
from manymodes.metrics.modes import MIN_MASS
from manymodes.metrics.uniformity import distance_from_uniform
from manymodes.studies.frame import models
from manymodes.studies.frame.answers import Found, answers_table, modes_of, near, worth
from manymodes.studies.frame.comparison import READING, READING_MODES, Comparison, Model, Models, Part, Problem, compare
from manymodes.studies.frame.in_time import held_out, random_rows
from manymodes.studies.frame.pictures import score_dots
from manymodes.studies.frame.result import Block, Cell, Result, Section, Table
from manymodes.studies.frame.work import Record, Work
from manymodes.studies.taxi.maps import (
    AIRPORT,
    KM_A_DEGREE,
    PLACES,
    densities,
    heaviest,
    in_km,
    kept_maps,
    regions,
    the_city,
    to_km,
)

_NEAR = 1.0  # kilometres
_SHARE = 0.2  # of the trips that judge
DIAGONAL, ROUND = f"{models.MDN}, uncorrelated", f"{models.GAUSSIAN}, uncorrelated"
_ON_THE_MAP: Mapping[str, tuple[str, float]] = {
    "energy": ("energy score, km", -math.inf),
    "rms": ("RMS distance to mean, km", -math.inf),
    "region_error": ("calibration error of regions", -math.inf),
    "inside_region": ("inside 90 % region", 0.9),
}


def study(work: Work) -> Result:
    """Compare models on random splits of the trips."""
    data = _trips(work)
    usual, others = _models(work)
    both = {**usual, **others}
    problem = Problem("taxi trips", lambda seed: _part(data, seed), both, mode_rows=0, look=_look(work))
    compared = compare(work, problem, work.seeds(5))
    per_km2 = math.log(math.prod(KM_A_DEGREE))
    return Result(
        title="Taxis: where will the trip end?",
        problem=[
            "A taxi picks somebody up. Where will it go? From an airport to one of several parts of the city, from a "
            "station to offices near by or to the next station; never to the average of these, which may be a river. "
            "The answer is a density on the map.",
            f"{len(data.y)} trips by yellow cab in New York, January 2016, with both ends in the box of the map: "
            "place of the pick-up, weekday and hour are given, the place of the drop-off is asked for (Dutordoir et "
            "al. 2018 asked the same of a larger table). A fifth of the trips, drawn at random, judges, again for "
            "every seed.",
            f"Models work in degrees, so log-likelihoods are per square degree; per square kilometre they are "
            f"{per_km2:.2f} nats lower. Distances are in kilometres on a flat map, where one degree of longitude is "
            f"{KM_A_DEGREE[0]} km and one of latitude {KM_A_DEGREE[1]} km, as they are at 40.75° north; within the "
            "city that is off by 0.2 % at most.",
            f"{models.WHO} The networks have the preset 'fast', mixtures ten components each, and all normals have "
            "correlations between the two outputs, except where a model is called uncorrelated. Trees predict "
            "longitude and latitude one by one.",
        ],
        conclusions=[
            *Comparison(problem, {name: compared.records[name] for name in usual}).conclusions(),
            correlations(compared),
            _from_the_airport(compared),
            *worth(compared, models.MDN, "a kilometre"),
            means_alone(compared),
        ],
        sections=[
            Section("The city", [the_city(data)]),
            Section("Where trips end", _maps(compared, data)),
            Section("Scores", _scores(compared)),
        ],
    )


def _trips(work: Work) -> Data:
    data = work.table("nyc-taxi-yellow")
    return data._replace(X=data.X[: work.pick(None, 500)], y=data.y[: work.pick(None, 500)])


def _part(data: Data, seed: int) -> Part:
    return held_out(data.X, data.y, random_rows(len(data.y), _SHARE, seed), seed)


def _models(work: Work) -> tuple[Models, Models]:
    """Return the usual models, with correlations between the outputs, and two of them without."""
    settings: dict[str, Any] = {"preset": "fast", "n_components": work.pick(10, 3)}
    if work.quick:
        settings |= {"max_epochs": 15, "n_members": 2}
    others: Models = {
        DIAGONAL: lambda seed: MDNRegressor(**settings, random_state=seed),
        ROUND: lambda seed: GaussianNetwork(MDNRegressor(**settings), random_state=seed),
    }
    return models.standard(work, 2, covariance_type="full", **settings), others


def _look(work: Work) -> Callable[[Model, Prediction, Part], Record]:
    n_rows, n_samples = work.pick(60, 3), work.pick(300, 100)

    def look(model: Model, prediction: Prediction, part: Part) -> Record:
        few, y_few = prediction[:n_rows], part.y_test[:n_rows]
        modes = modes_of(few)
        modes_km = Found(torch.from_numpy(to_km(modes.location)), modes.mass)
        return {
            "mse_mode": near(few, modes, y_few, _NEAR)["square_mode"],  # square degrees, as that of the mean
            "n_modes": float(modes.counted.sum(-1).double().mean()),
            **near(in_km(few), modes_km, to_km(y_few), _NEAR),
            **_on_the_map(in_km(prediction), torch.from_numpy(to_km(part.y_test)), n_samples),
            **kept_maps(model),
        }

    return look


def _on_the_map(prediction: Mixture, y: Tensor, n_samples: int) -> Record:
    """Return scores in kilometres, of predictions and targets, (N, 2), on the map."""
    rank = metrics.hpd_rank(prediction, y, n_samples=n_samples)
    return {
        "energy": float(metrics.energy_score(prediction, y).mean()),
        "rms": float((prediction.mean - y).square().sum(-1).mean().sqrt()),
        "region_error": float(distance_from_uniform(rank.numpy())),
        "inside_region": float((rank <= 0.9).double().mean()),
    }


# --- what to conclude ---


def correlations(compared: Comparison) -> str:
    """Return a sentence on what correlations between the two outputs are worth."""
    gain = compared.difference(models.MDN, DIAGONAL, "log_score")
    alone = compared.difference(models.GAUSSIAN, ROUND, "log_score")
    told = (
        f"Correlations within components change the mixture's log-likelihood by {gain} nats, and that of one Gaussian "
        f"by {alone}."
    )
    if not gain.mean > 0:
        return told
    return f"{told} Streets and rivers of this city run aslant, and upright components have to be many to follow them."


def means_alone(compared: Comparison) -> str:
    """Return a sentence on how little the models' means differ beside their densities."""
    rms = {model: compared.value(model, "rms").mean for model in compared.records}
    best, worst = min(rms, key=rms.__getitem__), max(rms, key=rms.__getitem__)
    scores = [compared.value(model, "log_score").mean for model in compared.records]
    return (
        f"The means of all models miss by {rms[best]:.2f} km ({best}) to {rms[worst]:.2f} km ({worst}), root mean "
        f"square; their log-likelihoods are up to {max(scores) - min(scores):.2f} nats apart. What tells them apart is "
        "the shape of the density, not its mean."
    )


def _from_the_airport(compared: Comparison) -> str:
    count, mass = heaviest(compared, models.MDN)
    if count == 0:
        return f"From {PLACES[AIRPORT].name} no single mode holds enough to count: trips end everywhere."
    return (
        f"From {PLACES[AIRPORT].name} the mixture sees {count} {'place' if count == 1 else 'places'} with at least "
        f"{MIN_MASS:.0%} of the probability each; the heaviest holds {mass:.0%}. The trips that judge have "
        f"{compared.value(models.MDN, 'n_modes')} such places on average."
    )


# --- what to show ---


def _maps(compared: Comparison, data: Data) -> list[Block]:
    return [
        densities(compared, models.MDN),
        regions(compared, [models.MDN, DIAGONAL, models.GAUSSIAN, models.NEIGHBOURS], data),
    ]


def _scores(compared: Comparison) -> list[Block]:
    rows: list[list[Cell]] = [
        [model, *(compared.value(model, name) for name in _ON_THE_MAP)] for model in compared.records
    ]
    headings = dict(_ON_THE_MAP.values())
    return [
        compared.table("Trips not learned from, mean over splits; likelihood and squared errors in degrees."),
        READING,
        READING_MODES,
        "Modes of several outputs are those that components climb to; there may be more.",
        score_dots(compared, "log-likelihood", label="log-likelihood per square degree, nats"),
        Table("The same trips in kilometres, jointly.", ["model", *headings], rows, headings),
        "The energy score is what the CRPS is for one output: lower is better. Regions are the smallest sets that hold "
        "a probability; nine trips in ten should end inside those of 90 %.",
        answers_table(compared, "Answers of one place: the share of trips that end within a kilometre of it; km²."),
    ]
