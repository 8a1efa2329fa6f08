"""Rounds of choosing rows, having them measured and learning from them, by several strategies from the same start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from manymodes import metrics
from manymodes.decisions import acquire
from manymodes.distributions import split_uncertainty
from manymodes.estimators import MDNRegressor
from manymodes.studies.active_learning.tasks import SIMULATED, Task
from manymodes.studies.frame.comparison import Part
from manymodes.studies.frame.in_time import Array
from manymodes.studies.frame.result import Measured
from manymodes.studies.frame.work import Record, Work

Rows = NDArray[np.int64]

RANDOM, TOTAL = "at random", "total variance"
EPISTEMIC, INFORMATION = "epistemic variance", "mutual information"
STRATEGIES = (RANDOM, TOTAL, EPISTEMIC, INFORMATION)
_OF_ACQUIRE: Mapping[str, str] = {RANDOM: "random", EPISTEMIC: "epistemic", INFORMATION: "bald"}

N_MEMBERS = 10  # fewer tell rows apart so badly that a whole batch falls in one place
_HURRY: dict[str, Any] = {"n_members": 2, "max_epochs": 5}

LOG_SCORE, RMSE, REGRET = "log-likelihood", "RMSE", "regret"
PLACES = np.linspace(-1.0, 1.0, 201)  # of the simulation, at which uncertainty is kept


def learned(work: Work, task: Task, seed: int) -> Record:
    """Return scores round by round and the rows that were chosen, by strategy."""
    part = task.draw(seed)
    order = np.random.default_rng(seed + 1000).permutation(len(part.y))
    begin: Rows = order[: task.n_start].astype(np.int64)
    first = _fitted(work, part, begin, seed)
    found: dict[str, Any] = dict(_uncertainty(first)) if task.name == SIMULATED else {}
    for strategy in STRATEGIES:
        known, model = begin, first
        scores = [scored(model, part)]
        for number in range(task.n_rounds):
            left = np.setdiff1d(np.arange(len(part.y)), known)
            chosen = choose(model, part.X[left], task.n_batch, strategy, seed=1000 * seed + number)
            known = np.concatenate([known, left[chosen]])
            model = _fitted(work, part, known, seed)
            scores.append(scored(model, part))
        found |= {f"{strategy}: {what}": np.array([each[what] for each in scores]) for what in scores[0]}
        found[f"{strategy}: chosen"] = part.X[known[task.n_start :]]
    return found


def _fitted(work: Work, part: Part, rows: Rows, seed: int) -> MDNRegressor:
    settings: dict[str, Any] = work.pick({"n_members": N_MEMBERS, "hidden_sizes": (64, 64)}, _HURRY)
    return MDNRegressor(preset="fast", random_state=seed, **settings).fit(part.X[rows], part.y[rows])


def choose(model: Any, X: Array, n: int, strategy: str, *, seed: int) -> Rows:
    """Return the rows of a pool that a strategy asks for, (n,).

    Args:
        model: An ensemble.
        X: Features of the rows that are left, (N, F).
        n: How many rows to choose.
        strategy: One of ``STRATEGIES``.
        seed: Of what is random.
    """
    if strategy == TOTAL:  # acquire knows no such thing: it would be a bad choice
        variance = model.predict_distribution(X).variance.sum(-1)
        return np.asarray(variance.topk(n).indices.numpy(), dtype=np.int64)
    return acquire(model, X, n, _OF_ACQUIRE[strategy], random_state=seed)


def scored(model: Any, part: Part) -> dict[str, float]:
    """Return the scores of a model on test rows."""
    prediction = model.predict_distribution(part.X_test)
    y = torch.as_tensor(part.y_test)[:, None]
    log_prob = prediction.log_prob(y)
    found = {
        LOG_SCORE: float(log_prob.mean()),
        RMSE: float(metrics.squared_error(prediction, y).mean().sqrt()),
    }
    if part.density is not None:
        found[REGRET] = float((part.density(part.X_test).log_prob(y) - log_prob).mean())
    return found


def _uncertainty(model: MDNRegressor) -> Record:
    """Return what an ensemble holds for noise and what for ignorance, as standard deviations along the simulation."""
    split = split_uncertainty(model.predict_members(PLACES[:, None]), modes=False)
    return {
        "noise": split.aleatoric_variance[:, 0].sqrt().numpy(),
        "ignorance": split.epistemic_variance[:, 0].sqrt().numpy(),
    }


# --- what came out ---


def curves(records: Sequence[Record], strategy: str, what: str) -> Array:
    """Return a score before each round and after the last, (seeds, rounds + 1)."""
    return np.array([record[f"{strategy}: {what}"] for record in records])


def gap(records: Sequence[Record], strategy: str, what: str, *, last: bool = False) -> Measured:
    """Return a score of a strategy less that of random rows, mean over rounds or after the last one, over seeds."""
    differences = curves(records, strategy, what) - curves(records, RANDOM, what)
    return Measured.over(differences[:, -1] if last else differences[:, 1:].mean(1))


def rows_needed(records: Sequence[Record], strategy: str, what: str, n_rows: Sequence[int]) -> Measured | None:
    """Return after how many rows a strategy reaches what random rows reach in the end; None where it never does.

    Counted along the mean over seeds, straight between rounds; errors are of the jackknife over seeds, and left out
    where it does not get there without some seed.
    """
    reached = _reached(records, strategy, what, n_rows)
    if reached is None:
        return None
    n = len(records)
    without = [_reached([*records[:i], *records[i + 1 :]], strategy, what, n_rows) for i in range(n)] if n > 1 else []
    known = [each for each in without if each is not None]
    if not known or len(known) < n:
        return Measured(reached)
    return Measured(reached, float(np.sqrt((n - 1) * np.var(known))))


def _reached(records: Sequence[Record], strategy: str, what: str, n_rows: Sequence[int]) -> float | None:
    sign = 1.0 if what == LOG_SCORE else -1.0
    curve = sign * curves(records, strategy, what).mean(0)
    wanted = sign * curves(records, RANDOM, what).mean(0)[-1]
    if curve[0] >= wanted:
        return float(n_rows[0])
    there = np.flatnonzero(curve >= wanted)
    if not len(there):
        return None
    after = int(there[0])
    share = (wanted - curve[after - 1]) / (curve[after] - curve[after - 1])
    return float(n_rows[after - 1] + share * (n_rows[after] - n_rows[after - 1]))
