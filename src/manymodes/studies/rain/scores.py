"""How good forecasts of rain are, by scores that suit densities, point masses and a handful of numbers alike.

A log score is a density for some forecasts and a probability for others, which nothing makes comparable; what a gauge
reads is a step of 0.1 mm for all of them, and so is its probability. The CRPS and Brier scores need no density at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from manymodes import metrics
from manymodes.distributions import Incomplete, Prediction
from manymodes.studies.frame.work import Record

Array = NDArray[np.float64]

STEP = 0.1  # millimetres, of the gauge
HEAVY, VERY_HEAVY = 10.0, 30.0  # millimetres in three days
N_BINS = 10
_SIMULATIONS = 200
COMMON: Mapping[str, tuple[str, float]] = {
    "crps": ("CRPS, mm", -math.inf),
    "reading": ("log-probability of the reading", math.inf),
    "rain": ("Brier score of rain", -math.inf),
    "heavy": (f"of {HEAVY:.0f} mm", -math.inf),
    "very_heavy": (f"of {VERY_HEAVY:.0f} mm", -math.inf),
    "chance_error": ("error of the chance of rain", -math.inf),
    "below": ("below zero", -math.inf),
}


def common_scores(prediction: Prediction, y: Array) -> Record:
    """Return scores of predictions, ``batch_shape`` (N,), for amounts y, (N,), but for the CRPS; and what to draw.

    Negative amounts are read as no rain. ``chance`` holds the probabilities of rain, (N,), ``happened`` whether there
    was any, and ``pit`` the PITs.
    """
    amount = torch.as_tensor(y)[:, None].to(prediction.logits.dtype)
    chance = prediction.exceedance(STEP / 2)[:, 0].numpy()
    cell = Incomplete(torch.where(amount < STEP / 2, -torch.inf, amount - STEP / 2), amount + STEP / 2)
    events = {"rain": STEP / 2, "heavy": HEAVY, "very_heavy": VERY_HEAVY}
    brier = {name: float(metrics.brier_score(prediction, amount, low=least).mean()) for name, least in events.items()}
    return {
        "reading": float(prediction.log_prob(cell).mean()),
        **brier,
        "chance_error": chance_error(chance, y > STEP / 2),
        "below": float(prediction.probability(-math.inf, -STEP / 2).mean()),
        "chance": chance,
        "happened": y > STEP / 2,
        "pit": metrics.pit(prediction, amount)[:, 0].numpy(),
    }


def ensemble_scores(members: Array, y: Array) -> Record:
    """Return the same of forecasts that are M equally likely numbers each, (N, M), the CRPS included."""
    events = {"rain": STEP / 2, "heavy": HEAVY, "very_heavy": VERY_HEAVY}
    shares = {name: (members >= least).mean(1) for name, least in events.items()}
    happened = {name: y >= least for name, least in events.items()}
    return {
        "crps": float(_crps(members, y).mean()),
        **{name: float(np.square(shares[name] - happened[name]).mean()) for name in events},
        "chance_error": chance_error(shares["rain"], happened["rain"]),
        "below": 0.0,
        "chance": shares["rain"],
    }


def _crps(members: Array, y: Array) -> Array:
    """Return E|Y - y| - E|Y - Y'| / 2 of each row, (N,); the second mean by sorting."""
    ordered = np.sort(members, 1)
    size = members.shape[1]
    weight = (2 * np.arange(size) - size + 1) / size**2
    return np.asarray(np.abs(ordered - y[:, None]).mean(1) - ordered @ weight)


def chance_error(chance: Array, happened: NDArray[np.bool_]) -> float:
    """Return how far chances are from shares, on average over bins of about equally many rows."""
    said, seen, count = binned(chance, happened)
    return float((np.abs(said - seen) * count).sum() / count.sum())


def chance_floor(chance: Array) -> float:
    """Return the error that such chances are expected to have where they are right, simulated with a fixed seed."""
    generator = np.random.default_rng(0)
    return float(np.mean([chance_error(chance, generator.random(len(chance)) < chance) for _ in range(_SIMULATIONS)]))


def binned(chance: Array, happened: NDArray[np.bool_]) -> tuple[Array, Array, Array]:
    """Return of bins of chances their mean, the share of rows where it happened, and the number of rows.

    Chances that are equal share a bin, so that there may be fewer than ``N_BINS``.
    """
    edges = np.unique(np.quantile(chance, np.arange(1, N_BINS) / N_BINS))
    number = np.searchsorted(edges, chance, side="right")
    count = np.bincount(number).astype(float)
    there = count > 0
    said, seen = (np.bincount(number, values)[there] / count[there] for values in (chance, happened.astype(float)))
    return said, seen, count[there]
