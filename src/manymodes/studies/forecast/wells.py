"""A particle on top of a barrier between two wells: two futures, whose probabilities are known."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from manymodes.datasets import make_double_well_paths
from manymodes.distributions import Mixture
from manymodes.estimators import MDNForecaster, cluster_paths
from manymodes.studies.forecast.electricity import GAUSSIAN, MDN
from manymodes.studies.frame.result import Cell, Table
from manymodes.studies.frame.work import Record, Work

Array = NDArray[np.float64]

HORIZON = 50
STARTS = (0.0, 0.3)
EDGES = np.linspace(-1.8, 1.8, 37)  # bins, with everything beyond in one more on each side
_MIDDLE = len(EDGES) // 2 + 1  # the first bin right of the barrier
_REACH = 1.5  # paths that are learned from begin anywhere up to here


class Wells(NamedTuple):
    """What was measured.

    Attributes:
        truth: Histograms of true paths after the last step, one for each start, (2, B).
        records: By model: ``shares``, histograms (2, B), and of the mixture paths from the top.
    """

    truth: Array
    records: Mapping[str, Record]

    def distance(self, model: str, start: int) -> float:
        """Return the total variation distance of a histogram from the truth."""
        return float(np.abs(np.asarray(self.records[model]["shares"])[start] - self.truth[start]).sum() / 2)

    def right(self, start: int, model: str | None = None) -> float:
        """Return the probability of the right well, in truth or as a model has it."""
        shares = self.truth if model is None else np.asarray(self.records[model]["shares"])
        return float(shares[start, _MIDDLE:].sum())

    def table(self) -> Table:
        """Return how far from the truth models are."""
        columns = ["forecast", *(f"{text} from {s:g}" for s in STARTS for text in ("distance", "in the right well"))]
        rows: list[list[Cell]] = [
            [name, *(v for i in range(len(STARTS)) for v in (self.distance(name, i), self.right(i, name)))]
            for name in self.records
        ]
        rows.append(["truth", *(v for i in range(len(STARTS)) for v in (0.0, self.right(i)))])
        ideals = {columns[place]: -np.inf for place in (1, 3)}
        ideals |= {columns[2 + 2 * i]: self.right(i) for i in range(len(STARTS))}
        caption = (
            f"Where the particle is after {HORIZON} steps, in bins of a tenth: total variation distance from the "
            "histogram of 200,000 true paths, 0 for no difference and 1 for nothing in common, and the probability of "
            "the right well."
        )
        return Table(caption, columns, rows, ideals, aside=("truth",))


def wells(work: Work) -> Wells:
    """Fit two forecasters to true paths, and let them go on from two places that they have to judge."""
    truth = work.step("double well, truth", lambda: {"shares": _truth(work)})["shares"]
    settings: dict[str, dict[str, Any]] = {
        MDN: {"n_components": 5, "n_members": work.pick(4, 2)},
        GAUSSIAN: {"n_components": 1, "n_members": 1},
    }
    records = {
        name: work.step(f"double well, {name}", lambda own=own: _measured(work, own))  # type: ignore[misc]
        for name, own in settings.items()
    }
    return Wells(np.asarray(truth), records)


def shares(prediction: Mixture) -> Array:
    """Return the probability of each bin, (B,), of one prediction in one dimension."""
    below = prediction.cdf(torch.from_numpy(EDGES)[:, None]).flatten().numpy()
    return np.diff(np.r_[0.0, below, 1.0])


def histogram(values: Array) -> Array:
    """Return the share of values in each bin, (B,)."""
    return np.bincount(np.searchsorted(EDGES, values), minlength=len(EDGES) + 1) / len(values)


def _truth(work: Work) -> Array:
    n_paths = work.pick(200_000, 5000)
    ends = [
        make_double_well_paths(n_paths, HORIZON, start=start, random_state=10_000 + number)[:, -1]
        for number, start in enumerate(STARTS)
    ]
    return np.stack([histogram(end) for end in ends])


def _measured(work: Work, own: Mapping[str, Any]) -> Record:
    started = time.perf_counter()
    model = MDNForecaster(
        HORIZON,
        context=1,
        mode="autoregressive",
        scaling="panel",
        objective="nll",
        dropout=0.0,
        n_steps=work.pick(1500, 20),
        batch_size=work.pick(512, 128),
        max_windows=60_000,
        n_particles=work.pick(4000, 40),
        random_state=work.random_state,
        **own,
    )
    model.fit(training_paths(work.pick(300, 20), 100, work.random_state))
    seconds = time.perf_counter() - started
    ends = [model.predict_distribution(series=np.array([start]))[-1] for start in STARTS]
    paths = model.sample_paths(work.pick(300, 60), series=np.array([STARTS[0]]), random_state=work.random_state)[..., 0]
    found = cluster_paths(paths)
    return {
        "seconds": seconds,
        "shares": np.stack([shares(end) for end in ends]),
        "paths": paths,
        "scenarios": found.paths[..., 0],
        "probability": found.probability,
        "members": found.members,
    }


def training_paths(n_paths: int, n_steps: int, seed: int) -> list[Array]:
    """Return true paths from places all over the landscape, each (n_steps + 1,)."""
    starts = np.random.default_rng(seed).uniform(-_REACH, _REACH, n_paths)
    return [
        make_double_well_paths(1, n_steps, start=float(start), random_state=seed * n_paths + number)[0]
        for number, start in enumerate(starts)
    ]
