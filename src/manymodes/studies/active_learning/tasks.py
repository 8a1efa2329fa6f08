"""Pools of rows to choose from: one with a known truth, where noise is no ignorance, and a real one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Categorical

from manymodes.datasets import Table, Truth
from manymodes.distributions import DiagonalNormal, Mixture
from manymodes.studies.frame.comparison import Part
from manymodes.studies.frame.in_time import Array
from manymodes.studies.frame.work import Work

NOISE, APART, TURNS = 0.1, 1.0, 1.5  # of the simulation: noise, half the gap of both answers, waves of the curve
RARE = 1 / 8  # of its pool: rows on the curve, which are half of the test rows
_HOURS = (6, 10, 16, 20)  # where parts of the day begin


@dataclass(frozen=True)
class Task:
    """A pool, and how many rows are measured.

    Attributes:
        name: What it is called.
        unit: Unit of the target.
        draw: Returns a pool and test rows, given a seed.
        n_start: Rows to start with, drawn at random.
        n_batch: Rows that are measured in every round.
        n_rounds: Number of rounds.
        groups: Names of the kinds of rows.
        group: Function of features that returns the number of each row's kind.
    """

    name: str
    unit: str
    draw: Callable[[int], Part]
    n_start: int
    n_batch: int
    n_rounds: int
    groups: tuple[str, ...] = ()
    group: Callable[[Array], Any] = field(default=lambda X: np.zeros(len(X), dtype=np.int64))

    @property
    def n_rows(self) -> list[int]:
        """Rows that are known before each round, and after the last."""
        return [self.n_start + number * self.n_batch for number in range(self.n_rounds + 1)]


SIMULATED, BIKES = "noise and a curve", "bikes"


def tasks(work: Work) -> list[Task]:
    """Return the pools."""
    bikes, n_rounds = work.table("bike-sharing"), work.pick(5, 1)
    n_pool, n_test = work.pick((1000, 1000), (100, 80))
    hours = ("0 to 5 h", "6 to 9 h", "10 to 15 h", "16 to 19 h", "20 to 23 h")
    hour = bikes.feature_names.index("hr")
    return [
        Task(
            SIMULATED,
            "",
            lambda seed: simulated(seed, n_pool, n_test),
            30,
            20,
            n_rounds,
            ("two answers", "a curve"),
            lambda X: (X[:, 0] >= 0).astype(np.int64),
        ),
        Task(
            BIKES,
            "bicycles",
            lambda seed: _random(bikes, seed, n_pool, n_test),
            60,
            work.pick(60, 20),
            n_rounds,
            hours,
            lambda X: np.searchsorted(np.array(_HOURS) - 0.5, X[:, hour]),
        ),
    ]


def truth(X: Tensor) -> Mixture:
    """Return the densities of the simulation, ``batch_shape`` (N,), for features (N, 1)."""
    curve = 0.8 * torch.sin(2 * torch.pi * TURNS * X)
    loc = torch.where(X < 0, torch.tensor([[-APART, APART]], dtype=X.dtype), curve).unsqueeze(-1)  # (N, 2, 1)
    parts = DiagonalNormal(loc, torch.full_like(loc, NOISE), validate_args=False)
    return Mixture(Categorical(logits=torch.zeros_like(loc[..., 0])), parts)


def simulated(seed: int, n_pool: int, n_test: int) -> Part:
    """Return rows with two answers far apart, and on a curve: those are rare in the pool, and half of the tests."""
    density, rng = Truth(1, truth), np.random.default_rng(seed)
    share = np.repeat([RARE, 0.5], [n_pool, n_test])
    sign = np.where(rng.random(n_pool + n_test) < share, 1.0, -1.0)
    X = (sign * rng.random(n_pool + n_test))[:, None]
    y = density(X).sample(generator=torch.Generator().manual_seed(seed))[:, 0].numpy()
    return Part(X[:n_pool], y[:n_pool], X[n_pool:], y[n_pool:], density=density)


def _random(data: Table, seed: int, n_pool: int, n_test: int) -> Part:
    """Return random rows of a table."""
    pool, test = np.split(np.random.default_rng(seed).permutation(len(data.y))[: n_pool + n_test], [n_pool])
    return Part(data.X[pool], data.y[pool], data.X[test], data.y[test])
