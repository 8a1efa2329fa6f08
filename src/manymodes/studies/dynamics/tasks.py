"""The two systems, the ways to plan on them, and what happens when one is at work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from manymodes.datasets import DoubleWell, SlippingCart, System, make_double_well, make_slipping_cart
from manymodes.dynamics import CrossEntropyPlanner, Dynamics, Episodes, TransitionModel, rollout, run_episodes
from manymodes.studies.frame.result import Measured
from manymodes.studies.frame.work import Record, Work

Array = NDArray[np.float64]
Records = Sequence[Record]

CERTAIN, MEAN, QUANTILE, CVAR = "mean state", "mean return", "10 % quantile", "10 % CVaR"
WAYS: Mapping[str, str] = {CERTAIN: "mean_state", MEAN: "mean", QUANTILE: "quantile", CVAR: "cvar"}
KNOWN = (CERTAIN, MEAN, CVAR)  # which also plan with the exact density
LEVEL = 0.1  # share of the worst cases, of particles and of episodes
N_SEEDS, N_EPISODES, N_STEPS = 10, 10, 30
N_LOGGED, N_JUDGED = 4000, 4000
_OTHER_ROWS = 10_000  # added to a seed: rows that judge


class Task(NamedTuple):
    """A system and what is to be done with it.

    Attributes:
        name: What it is called.
        system: The system itself.
        make: What simulates logged transitions.
        beyond: What must not happen, in words.
        still: A state and an action that particles do all along, so that chance alone moves them apart.
        n_shown: Steps of that to show.
    """

    name: str
    system: System
    make: Callable[..., Any]
    beyond: str
    still: tuple[tuple[float, ...], tuple[float, ...]]
    n_shown: int


WELL, CART = "double well", "cart on ice"
_GOAL = DoubleWell().goal
TASKS = (
    Task(
        WELL,
        DoubleWell(kick_probability=0.06),
        make_double_well,
        "past the barrier",
        ((_GOAL,), (_GOAL**3 - _GOAL,)),
        31,
    ),
    Task(CART, SlippingCart(), make_slipping_cart, "over the edge", ((2.2, 0.6), (-0.8,)), 11),
)


def exact(way: str) -> str:
    """Return what a way to plan with the exact density is called."""
    return f"{way}, exact density"


# --- what is measured ---


def played(work: Work, task: Task, seed: int) -> Record:
    """Return how well a model is learned, and what happens in episodes planned in every way."""
    system = task.system
    model = learned(work, seed, *task.make(work.pick(N_LOGGED, 300), system=system, random_state=seed))
    record: dict[str, Any] = dict(_likelihoods(task, model, seed, work.pick(N_JUDGED, 300)))
    for way in WAYS:
        record |= _outcome(way, task, episodes(work, model, system, seed, objective=WAYS[way]))
    for way in KNOWN:
        record |= _outcome(exact(way), task, episodes(work, system, system, seed, objective=WAYS[way]))
    return record | _shown(work, task, model, seed)


def learned(work: Work, seed: int, states: Array, actions: Array, next_states: Array) -> TransitionModel:
    """Return a model of logged transitions."""
    model = TransitionModel(hidden_sizes=work.pick((32, 32), (16, 16)), n_components=4, random_state=seed)
    return model.fit(states, actions, next_states, n_steps=work.pick(2000, 40), batch_size=128, compile=False)


def episodes(
    work: Work, model: Dynamics, system: System, seed: int, *, objective: str, penalty: float = 0.0
) -> Episodes:
    """Return episodes in which a model is planned with: those of one seed meet the same luck, whatever the plans."""
    planner = CrossEntropyPlanner(
        model,
        system.reward,
        *system.action_range,
        objective=objective,
        level=LEVEL,
        penalty=penalty,
        horizon=work.pick(12, 4),
        n_candidates=work.pick(24, 10),
        n_elites=4,
        n_rounds=2,
        n_particles=work.pick(20, 4),
    )
    n_episodes, n_steps = work.pick((N_EPISODES, N_STEPS), (3, 5))
    return run_episodes(planner, system, n_episodes=n_episodes, n_steps=n_steps, random_state=seed)


def ever_failed(system: System, states: Array) -> NDArray[np.bool_]:
    """Return in which episodes a state, (N, T + 1, D), was one to be avoided, (N,)."""
    return np.asarray(system.failed(torch.from_numpy(np.asarray(states, dtype=float))).numpy().any(-1))


def _outcome(way: str, task: Task, happened: Episodes) -> dict[str, Any]:
    return {
        f"{way}: returns": happened.returns,
        f"{way}: failed": float(ever_failed(task.system, happened.states).mean()),
        f"{way}: states": happened.states,
    }


def _likelihoods(task: Task, model: TransitionModel, seed: int, n_rows: int) -> Record:
    """Return the mean negative log-likelihoods of other transitions, by the exact density and by the model."""
    states, actions, next_states = task.make(n_rows, system=task.system, random_state=_OTHER_ROWS + seed)
    y = torch.from_numpy(next_states)
    return {
        f"nll, {name}": -float(each.predict_distribution(states, actions).log_prob(y).mean())
        for name, each in (("exact", task.system), ("model", model))
    }


def _shown(work: Work, task: Task, model: TransitionModel, seed: int) -> dict[str, Any]:
    """Return where particles go while nothing is replanned, by the model and in truth."""
    state, action = task.still
    done = np.tile(action, (N_STEPS, 1))
    paths = {
        f"particles, {name}": rollout(each, state, done, n_particles=work.pick(400, 40), random_state=seed).numpy()
        for name, each in (("model", model), ("exact", task.system))
    }
    beyond = {f"{name}: beyond": float(ever_failed(task.system, path).mean()) for name, path in paths.items()}
    return {**beyond, **{name: path[:40] for name, path in paths.items()}}


# --- what is made of it ---


def tail(returns: Array) -> float:
    """Return the mean of the worst tenth of returns, of one at least."""
    return float(np.sort(returns)[: max(1, round(LEVEL * len(returns)))].mean())


def value(records: Records, way: str, what: str) -> Measured:
    """Return the mean return, the ``"tail"`` or the share ``"failed"`` of a way to plan, over seeds."""
    return Measured.over(_numbers(records, way, what))


def difference(records: Records, way: str, other: str, what: str) -> Measured:
    """Return by how much a way to plan exceeds another, over seeds, pair by pair."""
    pairs = zip(_numbers(records, way, what), _numbers(records, other, what), strict=True)
    return Measured.over(first - second for first, second in pairs)


def _numbers(records: Records, way: str, what: str) -> list[float]:
    if what == "failed":
        return [float(record[f"{way}: failed"]) for record in records]
    returns = [np.asarray(record[f"{way}: returns"]) for record in records]
    return [tail(each) if what == "tail" else float(each.mean()) for each in returns]
