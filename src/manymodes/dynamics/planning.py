r"""Planning by the cross-entropy method: sequences of actions are drawn, judged by their particles, drawn anew.

In each round C sequences are drawn from a normal for every action, and judged; the next normal is fitted to the best of
them. Judgement is of the returns :math:`R = \sum_t r(s_t, a_t, s_{t+1})` of particles that follow a sequence.

References:
    Rubinstein (1999), The cross-entropy method for combinatorial and continuous optimization, Methodology and Computing
    in Applied Probability 1; Chua, Calandra, McAllister and Levine (2018), Deep reinforcement learning in a handful of
    trials using probabilistic dynamics models, NeurIPS, for planning through an ensemble.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from manymodes import _checks
from manymodes.datasets.systems import Values, as_floats
from manymodes.dynamics.returns import OBJECTIVES
from manymodes.dynamics.rollouts import (
    Dynamics,
    Members,
    Seed,
    advance,
    as_generator,
    check_finite,
    is_fresh,
    particles_of,
)
from manymodes.dynamics.transitions import TransitionModel

Reward = Callable[[Tensor, Tensor, Tensor], Tensor]

_NARROWEST = 0.02  # of the range of actions: the spread of the last rounds


@dataclass(frozen=True, eq=False)
class Plan:
    """Sequences of actions for N states.

    Attributes:
        actions: What to do in the steps to come, (N, T, A).
        value: What the objective found for the best sequences drawn, the penalty included, (N,). They were chosen by
            it, so it promises too much: ask ``rollout`` what the actions are worth.
    """

    actions: Tensor
    value: Tensor

    def shifted(self) -> Tensor:
        """Return what is left after the first step, the last action again at the end, (N, T, A)."""
        return torch.cat([self.actions[:, 1:], self.actions[:, -1:]], 1)


@dataclass(frozen=True, eq=False)
class CrossEntropyPlanner:
    """Looks for sequences of actions that are good by a model.

    Objectives are the ``"mean"`` of the particles' returns, their ``"quantile"``, their ``"cvar"`` (the mean of the
    worst share), and ``"mean_state"``: no particles, the state moves to the mean of the next state, as if that was
    certain.

    Attributes:
        model: A ``TransitionModel``, or whatever has ``predict_distribution``.
        reward: What a step is worth, a function of tensors of states (..., D), actions (..., A) and next states
            (..., D) that returns (...).
        low: Lowest actions, (A,).
        high: Highest actions, (A,).
        horizon: Steps to plan, T.
        objective: What to maximise.
        level: Share of the worst particles, of ``"quantile"`` and ``"cvar"``.
        penalty: What a unit of ``TransitionModel.disagreement`` costs in each step; 0 does not ask.
        n_candidates: Sequences drawn in each round, C.
        n_elites: How many of them the next round learns from.
        n_rounds: Number of rounds.
        n_particles: Particles of each sequence, S.
        members: Whether particles keep their member of the ensemble, see ``rollout``.

    Raises:
        ValueError: Settings out of range, bounds that do not fit, or a penalty for a model without members.

    Example:
        >>> from manymodes.datasets import DoubleWell
        >>> well = DoubleWell()
        >>> planner = CrossEntropyPlanner(well, well.reward, *well.action_range, objective="cvar", horizon=5)
        >>> planner.plan([[1.0]], random_state=0).actions.shape
        torch.Size([1, 5, 1])
    """

    model: Dynamics
    reward: Reward
    low: ArrayLike
    high: ArrayLike
    horizon: int = 12
    objective: str = "mean"
    level: float = 0.1
    penalty: float = 0.0
    n_candidates: int = 64
    n_elites: int = 8
    n_rounds: int = 4
    n_particles: int = 20
    members: Members = "kept"

    def __post_init__(self) -> None:
        for name in ("horizon", "n_rounds"):
            _checks.integer_at_least(name, getattr(self, name), 1)
        _checks.integer_at_least("n_candidates", self.n_candidates, 2)
        _checks.integer_at_least("n_elites", self.n_elites, 1, self.n_candidates)
        _checks.one_of("objective", self.objective, OBJECTIVES)
        _checks.number_between("level", self.level, 0.0, 1.0)
        penalty = _checks.number_between("penalty", self.penalty, 0.0, math.inf, including=(0.0,))
        if penalty and not isinstance(self.model, TransitionModel):
            raise _checks.InputError("penalty must be 0 for a model without members; take a TransitionModel.")
        is_fresh(self.members)
        if self.objective != "mean_state":
            particles_of(self.model, self.n_particles)
        low, high = self._bounds(torch.float64)
        _checks.matches_shape("high", high.shape, tuple(low.shape), "to match low")
        if low.dim() != 1 or not bool((low < high).all() & low.isfinite().all() & high.isfinite().all()):
            raise _checks.InputError("low must hold a finite number below that of high for each part of an action.")

    @torch.no_grad()
    def plan(self, states: Values, *, before: Tensor | None = None, random_state: Seed = None) -> Plan:
        """Return a plan for each of several states, all in one batch and in single precision.

        Args:
            states: Where the system is, (N, D), one row for each of N copies of it.
            before: Sequences to begin with, (N, T, A), say ``Plan.shifted`` of the step before; None begins in the
                middle of the range of actions.
            random_state: Seed, or a generator, which moves on; None draws a fresh seed.

        Raises:
            ValueError: States or sequences of another shape or not finite, or a reward of another shape.
        """
        generator, start = as_generator(random_state), as_floats(states).float()
        _checks.matches_shape("states", start.shape, ("N", "D"), "with one row for each copy of the system")
        check_finite("states", start)
        low, high = self._bounds(start.dtype)
        size = (len(start), self.horizon, len(low))
        centre = ((low + high) / 2).expand(size)
        if before is not None:
            _checks.instance("before", before, Tensor, ", as a plan has it")
            _checks.matches_shape("before", before.shape, size, "as a plan has it")
            check_finite("before", before)
            centre = before.to(start.dtype)
        spread = ((high - low) / 2).expand(size)
        value = start.new_zeros(len(start))
        for _ in range(self.n_rounds):
            noise = torch.randn((size[0], self.n_candidates, *size[1:]), generator=generator)
            noise[:, 0] = 0.0  # the centre itself is judged, too
            drawn = (centre.unsqueeze(1) + spread.unsqueeze(1) * noise).clamp(low, high)  # (N, C, T, A)
            best = self._value(start, drawn, generator).topk(self.n_elites, -1)
            elites = drawn.take_along_dim(best.indices[:, :, None, None], 1)
            centre, value = elites.mean(1), best.values.mean(-1)
            spread = elites.std(1, correction=0).maximum(_NARROWEST * (high - low))
        return Plan(centre, value)

    def _value(self, start: Tensor, drawn: Tensor, generator: torch.Generator) -> Tensor:
        """Return what sequences (N, C, T, A) are worth, (N, C)."""
        certain = self.objective == "mean_state"
        n_particles = 1 if certain else self.n_particles
        rows = drawn.flatten(0, 1)  # (R, T, A), R = N C
        states = start.repeat_interleave(self.n_candidates, 0).expand(n_particles, -1, -1)  # (S, R, D)
        returns, doubt = states.new_zeros(n_particles, len(rows)), states.new_zeros(len(rows))
        for step, actions in enumerate(rows.unbind(1)):
            if self.penalty:
                # Another particle is asked in each step, and so others of each member: all would take M times as long.
                one = states[step * n_particles // self.horizon]
                doubt = doubt + cast(TransitionModel, self.model).disagreement(one, actions)
            after = self._after(states, actions, generator, certain=certain)
            reward = self.reward(states, actions.expand(n_particles, *actions.shape), after)
            _checks.instance("reward", reward, Tensor)
            _checks.matches_shape("reward", reward.shape, returns.shape, "for states of shape (S, R, D)")
            returns, states = returns + reward, after
        worth = OBJECTIVES[self.objective](_worst_if_unknown(returns), self.level) - self.penalty * doubt
        return _worst_if_unknown(worth).reshape(drawn.shape[:2])

    def _after(self, states: Tensor, actions: Tensor, generator: torch.Generator, *, certain: bool) -> Tensor:
        if certain:
            mean: Tensor = self.model.predict_distribution(states[0], actions).mean.to(states.dtype)
            return mean.unsqueeze(0)
        fresh = is_fresh(self.members)
        return advance(self.model, states, actions, generator, fresh=fresh, alike=self.n_candidates)

    def _bounds(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        return as_floats(self.low).to(dtype), as_floats(self.high).to(dtype)


def _worst_if_unknown(value: Tensor) -> Tensor:
    """Return numbers with minus infinity for NaN, which would count as the largest number of all."""
    return value.masked_fill(value.isnan(), -torch.inf)
