"""What is measured of a model before and after it is corrected by rows held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manymodes import metrics
from manymodes.calibration import ConformalSets, fit_conformal, fit_recalibration
from manymodes.distributions import Mixture, Prediction
from manymodes.studies.calibration.rows import Case
from manymodes.studies.frame.in_time import Array
from manymodes.studies.frame.work import Record

LEVEL = 0.9
LEVELS = tuple(round(0.05 * i, 2) for i in range(1, 20))

AS_IS, TEMPERATURE, MAP = "as it is", "temperature", "map"
REPAIRS: Mapping[str, str | None] = {AS_IS: None, TEMPERATURE: "temperature", MAP: "auto"}

PREDICTED, INTERVALS, REGIONS = "predicted intervals", "conformal intervals", "conformal regions"
BY_SPREAD, BY_GROUP = "by predicted spread", "by group"
MOST_REGIONS = 300  # rows that regions are found for: of a hundred components that takes long
SETS = (PREDICTED, INTERVALS, REGIONS, BY_SPREAD, BY_GROUP)


def targets(y: Array, like: Prediction) -> Tensor:
    """Return targets as predictions take them, (N, 1)."""
    return torch.as_tensor(y).reshape(-1, 1).to(like.logits.dtype)


def repairs(held: Mixture, prediction: Mixture, case: Case) -> Record:
    """Return scores before and after corrections of densities, and where targets fall within them."""
    y = targets(case.part.y_test, prediction)
    found: dict[str, float | Array] = {}
    for name, kind in REPAIRS.items():
        correct = None if kind is None else fit_recalibration(held, targets(case.y_held, held), kind=kind)
        after = prediction if correct is None else correct(prediction)
        found |= {f"{name}: {what}": value for what, value in _scores(after, y).items()}
    return found


def _scores(prediction: Prediction, y: Tensor) -> dict[str, float | Array]:
    low, high = (prediction.icdf(0.5 + sign * LEVEL / 2) for sign in (-1, 1))
    calibration = metrics.calibration_error(prediction, y)
    return {
        "log_score": float(prediction.log_prob(y).mean()),
        "crps": float(metrics.crps(prediction, y).mean()),
        "calibration_error": calibration.error,
        "floor": calibration.noise_floor,
        "inside": float(((y >= low) & (y <= high)).double().mean()),
        "width": float((high - low).mean()),
        "pit": metrics.pit(prediction, y)[:, 0].numpy(),
    }


# --- sets ---


def sets(held: Mixture, prediction: Mixture, case: Case, n_groups: int) -> Record:
    """Return how many targets sets of 90 % hold, in all and in groups, and how long they are."""
    y_held, y = targets(case.y_held, held), targets(case.part.y_test, prediction)
    conformal: dict[str, tuple[ConformalSets, NDArray[np.int64] | None]] = {
        INTERVALS: (fit_conformal(held, y_held, LEVEL, kind="central"), None),
        REGIONS: (fit_conformal(held, y_held, LEVEL), None),
        BY_SPREAD: (fit_conformal(held, y_held, LEVEL, kind="central", adaptive=True), None),
        BY_GROUP: (fit_conformal(held, y_held, LEVEL, kind="central", groups=case.group_held), case.group),
    }
    low, high = (prediction.icdf(0.5 + sign * LEVEL / 2) for sign in (-1, 1))
    found = _of_sets(PREDICTED, ((y >= low) & (y <= high))[:, 0], (high - low)[:, 0], case, n_groups)
    for name, (fitted, groups) in conformal.items():
        rows = slice(0, MOST_REGIONS if name == REGIONS else None)
        region = fitted.predict(prediction[rows], groups=groups)
        inside = ((y[rows] >= region.low) & (y[rows] <= region.high)).any(-1)
        found |= _of_sets(name, inside, (region.high - region.low).nansum(-1), case, n_groups)
    return found


def _of_sets(name: str, inside: Tensor, length: Tensor, case: Case, n_groups: int) -> dict[str, float | Array]:
    hits, group = inside.double().numpy(), case.group[: len(inside)]
    shares = np.array(
        [hits[group == number].mean() if (group == number).any() else np.nan for number in range(n_groups)]
    )
    return {f"{name}: inside": float(hits.mean()), f"{name}: length": float(length.mean()), f"{name}: groups": shares}


def sets_along(held: Mixture, y_held: Array, shown: Mixture) -> Record:
    """Return conformal intervals and regions of predictions along an input, ends (N, J) each."""
    found: dict[str, Array] = {}
    for name, kind in ((INTERVALS, "central"), (REGIONS, "region")):
        region = fit_conformal(held, targets(y_held, held), LEVEL, kind=kind).predict(shown)
        found |= {f"{name}: low": region.low.numpy(), f"{name}: high": region.high.numpy()}
    return found


# --- how many rows it takes ---


def by_rows(held: Mixture, prediction: Mixture, case: Case, sizes: Sequence[int], n_draws: int) -> Record:
    """Return the log-likelihood gained by corrections fitted to so many of the rows held out, mean over draws."""
    y_held, y = targets(case.y_held, held), targets(case.part.y_test, prediction)
    before, rng = prediction.log_prob(y), np.random.default_rng(len(y))
    orders = [torch.from_numpy(rng.permutation(len(y_held))) for _ in range(n_draws)]

    def gain(rows: Tensor, kind: str) -> float:
        after = fit_recalibration(held[rows], y_held[rows], kind=kind)(prediction)
        return float((after.log_prob(y) - before).mean())

    return {
        f"{name}: gained": np.array([np.mean([gain(order[:size], kind) for order in orders]) for size in sizes])
        for name, kind in REPAIRS.items()
        if kind is not None
    }
