"""The same models on the same problem, over several seeds: how likely, how near, how calibrated, how many answers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from manymodes import metrics
from manymodes.distributions import Prediction
from manymodes.estimators.predictions import as_tensor
from manymodes.studies.frame.result import Cell, Measured, Table
from manymodes.studies.frame.work import Record, Work

Model = Any  # an estimator with fit and predict_distribution
Models = Mapping[str, Callable[[int], Model]]


class Part(NamedTuple):
    """Rows to learn from and rows to judge by.

    Attributes:
        X: Features, (N, F).
        y: Targets, (N,) or (N, D).
        X_test: Features that judge.
        y_test: Targets that judge.
        true_modes: Valid answers of the rows that judge, (N, T, D), filled up with NaN; None for the modes of
            ``density``, or where nobody knows.
        density: The true conditional density as a function of features; None where nobody knows.
    """

    X: Any
    y: NDArray[np.float64]
    X_test: Any
    y_test: NDArray[np.float64]
    true_modes: NDArray[np.float64] | None = None
    density: Callable[[Any], Any] | None = None


@dataclass(frozen=True)
class Problem:
    """What models are compared on.

    Attributes:
        name: What it is called in tables.
        draw: Returns the rows of a repetition, given its seed.
        models: Functions from a seed to a model, by name, see ``models.standard``.
        tolerance: How near a mode has to be to a valid answer, in units of y, a number or one per target.
        mode_rows: Rows whose modes are counted, the first ones: finding them takes time; 0 leaves modes out.
        kind: How calibration is judged: ``"central"``, or ``"region"``, which also fits angles and many targets.
        look: More to measure: a function of the fitted model, its predictions and the rows, which returns numbers
            (columns of the table where they are named there) and arrays, kept for pictures.
    """

    name: str
    draw: Callable[[int], Part]
    models: Models
    tolerance: float | Sequence[float] | None = None
    mode_rows: int = 500
    kind: Any = "central"
    look: Callable[[Model, Prediction, Part], Record] | None = None


_HEADINGS: Mapping[str, str] = {
    "log_score": "log-likelihood",
    "regret": "regret",
    "mse_mean": "MSE of mean",
    "mse_mode": "MSE of best mode",
    "crps": "CRPS",
    "calibration_error": "calibration error",
    "coverage_90": "inside 90 %",
    "n_modes": "modes",
    "recall": "modes found",
    "precision": "of them right",
    "seconds": "seconds",
}
_IDEALS: Mapping[str, float] = {
    "log_score": math.inf,
    "regret": -math.inf,
    "mse_mean": -math.inf,
    "mse_mode": -math.inf,
    "crps": -math.inf,
    "calibration_error": -math.inf,
    "coverage_90": 0.9,
    "recall": math.inf,
    "precision": math.inf,
}
READING = (
    "Log-likelihood is the mean of log p(y | x) over test rows, in nats; higher is better, and all other errors are "
    "better when lower. MSE is the mean squared error, summed over targets, of two answers: the mean of the predicted "
    "density, and its highest mode. The calibration error is the mean error of predicted probabilities. About 90 % of "
    "targets should fall inside the central 90 % interval. Numbers behind ± are standard errors over repetitions; the "
    "best of a column is bold."
)
READING_MODES = (
    "A mode counts where it holds at least 5 % of the probability. 'Modes' is their mean number per row; where valid "
    "answers are known, 'modes found' is the share of them that has a mode near by, and 'of them right' the share of "
    "modes that has a valid answer near by."
)


@dataclass(frozen=True)
class Comparison:
    """What was measured of every model.

    Attributes:
        problem: What they were compared on.
        records: What was measured, by model, one record per seed.
    """

    problem: Problem
    records: Mapping[str, Sequence[Record]] = field(repr=False)

    def value(self, model: str, what: str) -> Measured:
        """Return a measured number of a model over seeds."""
        return Measured.over(record.get(what, math.nan) for record in self.records[model])

    def first(self, model: str, what: str) -> Any:
        """Return what was measured, say an array for a picture, for the first seed."""
        return self.records[model][0][what]

    def best(self, what: str = "log_score") -> str:
        """Return the model that is best by a number."""
        sign = 1 if _IDEALS[what] == math.inf else -1
        return max(self.records, key=lambda model: sign * self.value(model, what).mean)

    def difference(self, first: str, second: str, what: str) -> Measured:
        """Return a number of the first model less that of the second, of the same seeds."""
        pairs = zip(self.records[first], self.records[second], strict=True)
        return Measured.over(one.get(what, math.nan) - other.get(what, math.nan) for one, other in pairs)

    def conclusions(self, what: str = "log_score", of: str = "") -> list[str]:
        """Return who is best by a number and how far the first model is from the best other one, in a sentence.

        Args:
            what: Name of the number.
            of: Where, say ``" on bikes"``; nothing where it is plain.
        """
        own, heading = next(iter(self.records)), _HEADINGS[what]
        sign = 1 if _IDEALS[what] == math.inf else -1
        others = [model for model in self.records if model != own]
        rival = max(others, key=lambda model: sign * self.value(model, what).mean)
        gap = self.difference(own, rival, what)
        ahead = sign * gap.mean > 0
        clear = gap.error is not None and abs(gap.mean) > 2 * gap.error
        order = ("ahead of" if ahead else "behind") if clear else ("level with" if gap.error is not None else "beside")
        return [
            f"By {heading}{of} the {own} reaches {self.value(own, what)} and is {order} the {rival}, the best of the "
            f"others, with {self.value(rival, what)}; the difference is {gap}."
        ]

    def table(self, caption: str, *, more: Mapping[str, str] | None = None) -> Table:
        """Return the table of all models.

        Args:
            caption: What it shows.
            more: Headings of numbers of ``Problem.look`` by name.
        """
        known = set().union(*(record for records in self.records.values() for record in records))
        headings = {name: text for name, text in {**_HEADINGS, **(more or {})}.items() if name in known}
        rows: list[list[Cell]] = [[model, *(self.value(model, name) for name in headings)] for model in self.records]
        best = {text: _IDEALS[name] for name, text in headings.items() if name in _IDEALS}
        return Table(caption, ["model", *headings.values()], rows, best)


def compare(work: Work, problem: Problem, seeds: Sequence[int]) -> Comparison:
    """Fit every model to every repetition and judge it on the test rows; each is one step of the study."""
    records: dict[str, list[Record]] = {}
    for seed in seeds:
        part = problem.draw(seed)
        for name, make in problem.models.items():
            key = f"{problem.name}, {name}, seed {seed}"
            record = work.step(key, lambda make=make, seed=seed, part=part: _judged(problem, make(seed), part))  # type: ignore[misc]
            records.setdefault(name, []).append(record)
    return Comparison(problem, records)


def _judged(problem: Problem, model: Model, part: Part) -> Record:
    started = time.perf_counter()
    model.fit(part.X, part.y)
    seconds = time.perf_counter() - started
    with torch.no_grad():
        prediction = model.predict_distribution(part.X_test)
        record = {**scores(problem, prediction, part), "seconds": seconds}
        if problem.look is not None:
            record |= problem.look(model, prediction, part)
    return record


def scores(problem: Problem, prediction: Prediction, part: Part) -> dict[str, float]:
    """Return the scores that every study reports, of predictions for the test rows."""
    y = as_tensor(part.y_test).reshape(len(part.y_test), -1).to(prediction.logits.dtype)
    log_prob = prediction.log_prob(y)
    calibration = metrics.calibration_error(prediction, y, kind=problem.kind)
    found = {
        "log_score": float(log_prob.mean()),
        "mse_mean": float(metrics.squared_error(prediction, y).sum(-1).mean()),
        "calibration_error": calibration.error,
        "calibration_floor": calibration.noise_floor,
    }
    if part.density is not None:
        truth = part.density(part.X_test)
        found["regret"] = float((truth.log_prob(y.double()) - log_prob).mean())
    if problem.kind == "central":
        found["coverage_90"] = float(metrics.coverage(prediction, y, 0.9).double().mean())
        found["crps"] = float(metrics.crps(prediction, y).mean())
    if problem.mode_rows:
        found |= _of_modes(problem, prediction[: problem.mode_rows], y[: problem.mode_rows], part)
    return found


def _of_modes(problem: Problem, prediction: Prediction, y: torch.Tensor, part: Part) -> dict[str, float]:
    found = {
        "mse_mode": float(metrics.point_error(prediction, y, "mode").square().sum(-1).mean()),
        "n_modes": float(metrics.n_modes(prediction).double().mean()),
    }
    true = _answers(part, len(y))
    if true is not None and problem.tolerance is not None:
        true = true.to(y.dtype)
        agreement = metrics.mode_agreement(prediction, true, problem.tolerance).summary()
        found |= {name: agreement[name] for name in ("recall", "precision")}
    return found


def _answers(part: Part, n_rows: int) -> torch.Tensor | None:
    """Return the valid answers of the first test rows, (N, T, D), filled up with NaN."""
    if part.true_modes is not None:
        return torch.as_tensor(part.true_modes[:n_rows])
    if part.density is None:
        return None
    modes = part.density(part.X_test[:n_rows]).modes()
    there = modes.mask & (modes.mass >= metrics.modes.MIN_MASS)
    return torch.where(there.unsqueeze(-1), modes.location, torch.nan)
