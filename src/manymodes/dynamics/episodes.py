"""A planner at work: plan, do the first action, look where the system is, plan again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from manymodes import _checks
from manymodes.dynamics.planning import CrossEntropyPlanner
from manymodes.training.randomness import as_seed

Floats = NDArray[np.float64]


class Controlled(Protocol):
    """What a planner can act on, say ``datasets.SlippingCart``."""

    def start(self, n_rows: int, rng: np.random.Generator) -> Floats:
        """Return states to begin with, (N, D)."""

    def step(self, states: Any, actions: Any, rng: np.random.Generator) -> Floats:
        """Return the next states, (N, D), after actions (N, A)."""


@dataclass(frozen=True, eq=False)
class Episodes:
    """What happened in N episodes of T steps.

    Attributes:
        states: Where the system was, (N, T + 1, D).
        actions: What was done, (N, T, A).
        rewards: What the steps were worth, (N, T).
    """

    states: Floats
    actions: Floats
    rewards: Floats

    @property
    def returns(self) -> Floats:
        """Sums of rewards, (N,)."""
        return np.asarray(self.rewards.sum(-1))


def run_episodes(
    planner: CrossEntropyPlanner,
    system: Controlled,
    *,
    n_episodes: int = 10,
    n_steps: int = 30,
    random_state: int | None = None,
) -> Episodes:
    """Return what happens when a planner acts on copies of a system, planning anew in each step.

    Every plan begins with what is left of the one before. The system draws its chances from a generator of its own, so
    that planners with the same seed meet the same luck as long as they do the same.

    Args:
        planner: The planner; its reward counts.
        system: What it acts on.
        n_episodes: Number of copies of the system, N.
        n_steps: Steps of each, T.
        random_state: Seed; None draws a fresh one.

    Raises:
        ValueError: No episodes or no steps.
    """
    n_episodes = _checks.integer_at_least("n_episodes", n_episodes, 1)
    n_steps = _checks.integer_at_least("n_steps", n_steps, 1)
    seed = as_seed(random_state)
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    states, actions, before = [system.start(n_episodes, rng)], [], None
    for _ in range(n_steps):
        plan = planner.plan(states[-1], before=before, random_state=generator)
        actions.append(plan.actions[:, 0].double().numpy())
        states.append(system.step(states[-1], actions[-1], rng))
        before = plan.shifted()
    path, done = np.stack(states, 1), np.stack(actions, 1)
    rewards = planner.reward(*(torch.from_numpy(part) for part in (path[:, :-1], done, path[:, 1:])))
    return Episodes(path, done, rewards.double().numpy())
