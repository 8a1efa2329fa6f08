"""Simulated conditional densities whose truth is known: how far from it does every estimator stay?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from manymodes import datasets, metrics
from manymodes.distributions import Prediction
from manymodes.plots import canvas
from manymodes.studies.frame import models
from manymodes.studies.frame.comparison import READING, READING_MODES, Comparison, Part, Problem, compare
from manymodes.studies.frame.pictures import drawn
from manymodes.studies.frame.result import Cell, Figure, Measured, Result, Section, Table
from manymodes.studies.frame.work import Record, Work

SIMULATORS: Mapping[str, Callable[..., Any]] = {
    "econ": datasets.make_econ,
    "skew normal": datasets.make_skew_normal,
    "linear Gaussian": datasets.make_linear_gaussian,
    "linear Student-t, 5 inputs": partial(datasets.make_linear_student_t, n_features=5),
    "linear Student-t, 10 inputs": partial(datasets.make_linear_student_t, n_features=10),
    "jumping path": datasets.make_arma_jump,
    "5 clusters": datasets.make_gaussian_mixture,
    "10 clusters": partial(datasets.make_gaussian_mixture, n_components=10),
    "5 clusters, 2 to 2": partial(datasets.make_gaussian_mixture, n_features=2, n_targets=2),
    "5 clusters, 4 to 4": partial(datasets.make_gaussian_mixture, n_features=4, n_targets=4),
    "ring": datasets.make_ring,
    "inverse sinusoid": datasets.make_inverse_sinusoid,
    "five-fold inverse": datasets.make_toy_inverse,
    "crossing sinusoids": partial(datasets.make_two_sinusoids, noise=0.05),
}
_QUICK = ("econ", "five-fold inverse")
_WITHOUT_TRUTH = "jump diffusion"
_TOLERANCE = 0.2  # standard deviations of the target that a mode may be away from a true one
_DISTANCES: Mapping[str, str] = {"hellinger": "Hellinger distance", "wasserstein": "Wasserstein distance"}
_SHORT = "mean over seeds"


def study(work: Work) -> Result:
    """Compare the usual models on every simulated density."""
    names = work.pick(tuple(SIMULATORS), _QUICK)
    seeds = work.seeds(2)
    compared = {name: compare(work, _problem(work, name), seeds) for name in names}
    more = {} if work.quick else {_WITHOUT_TRUTH: compare(work, _without_truth(work), seeds)}
    tables = [each.table(f"{_title(name)}, {_SHORT}.", more=_DISTANCES) for name, each in {**compared, **more}.items()]
    return Result(
        title="How far from the truth?",
        problem=[
            "On real data nobody knows the density that targets come from. Here they are simulated, so everybody does. "
            f"Of every problem {_n_rows(work)} rows teach; the prediction for other rows is compared with the true "
            "conditional density itself.",
            "Three distances: the regret, in nats, is what the log-likelihood loses against the truth (the mean of the "
            "Kullback-Leibler divergence, up to the chance of the test rows, which is the same for all models); the "
            "Hellinger distance lies between 0, the same density, and 1, no overlap; the Wasserstein distance is how "
            "far probability has to be moved, in the units of the target, summed over targets.",
            "The problems are those of Rothfuss and others (2019) and the two inverse problems of the literature: from "
            "plain regression with growing noise to clusters, rings and inverses with up to five answers.",
            models.WHO,
        ],
        conclusions=_conclusions(compared),
        sections=[
            Section("All problems", [_matrix(compared), *_pictures(compared), READING, READING_MODES]),
            Section("Problem by problem", tables),
        ],
    )


def _n_rows(work: Work) -> int:
    return work.pick(1000, 150)


def _title(name: str) -> str:
    return name[0].upper() + name[1:]


def _problem(work: Work, name: str) -> Problem:
    make = SIMULATORS[name]
    part = _draw(make, work, 0)
    target_dim = part.y.reshape(len(part.y), -1).shape[1]
    return Problem(
        name,
        lambda seed: _draw(make, work, seed),
        models.standard(work, target_dim, preset="fast", covariance_type="full" if target_dim > 1 else "diag"),
        tolerance=(_TOLERANCE * part.y_test.reshape(len(part.y_test), -1).std(0)).tolist(),
        mode_rows=work.pick(200 if target_dim == 1 else 40, 40),
        look=lambda model, prediction, part: _distances(work, prediction, part),
    )


def _draw(make: Callable[..., Any], work: Work, seed: int) -> Part:
    X, y, density = make(_n_rows(work), return_density=True, random_state=seed)
    X_test, y_test = make(work.pick(2000, 200), random_state=seed + 10_000)
    return Part(X, y, X_test, y_test, density=density)


def _without_truth(work: Work) -> Problem:
    """Return the problem whose density has no closed form: it is judged by scores alone."""

    def draw(seed: int) -> Part:
        first, second = (
            datasets.make_jump_diffusion(n, random_state=s) for n, s in ((1000, seed), (2000, seed + 10_000))
        )
        return Part(*first, *second)

    return Problem(_WITHOUT_TRUTH, draw, models.standard(work, preset="fast"), mode_rows=200)


def _distances(work: Work, prediction: Prediction, part: Part) -> Record:
    assert part.density is not None  # noqa: S101  # for the type checker
    rows = slice(0, work.pick(300, 20))
    truth = part.density(part.X_test[rows])
    own = prediction[rows].to(torch.float64)
    return {name: float(getattr(metrics, name)(own, truth).mean()) for name in _DISTANCES}


def _matrix(compared: Mapping[str, Comparison]) -> Table:
    """Return the regret of all models on all problems."""
    names = list(next(iter(compared.values())).records)
    rows: list[list[Cell]] = [
        [problem, *(each.value(model, "regret") for model in names)] for problem, each in compared.items()
    ]
    mean_rank: list[Cell] = ["mean rank", *_mean_ranks(compared).values()]
    return Table(
        "Regret in nats of every model on every problem, mean over seeds.", ["problem", *names], [*rows, mean_rank]
    )


def _mean_ranks(compared: Mapping[str, Comparison]) -> dict[str, float]:
    """Return the mean rank of every model by regret, 1 for one that is always nearest to the truth."""
    names = list(next(iter(compared.values())).records)
    regrets = np.array([[each.value(model, "regret").mean for model in names] for each in compared.values()])
    ranks = (regrets[:, :, None] > regrets[:, None, :]).sum(-1) + 1
    return dict(zip(names, ranks.mean(0).tolist(), strict=True))


def _conclusions(compared: Mapping[str, Comparison]) -> list[str]:
    ranks = _mean_ranks(compared)
    nearest = {name: each.best("regret") for name, each in compared.items()}
    own = [name for name, model in nearest.items() if model == models.MDN]
    told = [
        f"By regret the {models.MDN} is nearest to the truth on {len(own)} of {len(nearest)} problems; its mean rank "
        f"among {len(ranks)} models is {ranks[models.MDN]:.2g}, that of the next best, {_second(ranks)}."
    ]
    others = {name: model for name, model in nearest.items() if model != models.MDN}
    if others:
        listed = "; ".join(f"{model} on {name}" for name, model in others.items())
        told.append(f"Others are nearer elsewhere: {listed}.")
    worst = {model: max(each.value(model, "regret").mean for each in compared.values()) for model in ranks}
    told.append(
        f"At its worst the {models.MDN} loses {worst[models.MDN]:.2g} nats; the others lose from "
        f"{min(_without(worst)):.2g} to {max(_without(worst)):.2g}."
    )
    return told


def _second(ranks: Mapping[str, float]) -> str:
    model = min((name for name in ranks if name != models.MDN), key=lambda name: ranks[name])
    return f"{model}, is {ranks[model]:.2g}"


def _without(worst: Mapping[str, float]) -> list[float]:
    return [value for model, value in worst.items() if model != models.MDN]


def _pictures(compared: Mapping[str, Comparison]) -> list[Figure]:
    return [
        _picture(
            compared,
            "regret",
            "regret, nats (the scale is linear up to 0.1)",
            "What every model loses against the truth; further left is better.",
        ),
        _picture(
            compared,
            "hellinger",
            "Hellinger distance",
            "How far every model is from the truth, between 0, the same density, and 1, no overlap.",
        ),
    ]


def _picture(compared: Mapping[str, Comparison], what: str, label: str, caption: str) -> Figure:
    names = list(next(iter(compared.values())).records)
    problems = list(compared)[::-1]

    def draw(ax: Any) -> None:
        for model, color in zip(names, canvas.qualitative(len(names)), strict=True):
            distances: list[Measured] = [compared[problem].value(model, what) for problem in problems]
            size = 8 if model == models.MDN else 5
            ax.plot([each.mean for each in distances], range(len(problems)), "o", color=color, ms=size, label=model)
        if what == "regret":
            ax.set_xscale("symlog", linthresh=0.1)
        ax.set_yticks(range(len(problems)), problems)
        ax.grid(axis="y", color="#eeeeee")
        canvas.finish(ax, label, "")

    return drawn(what, caption, draw, size=(9.5, 1.2 + 0.35 * len(problems)))
