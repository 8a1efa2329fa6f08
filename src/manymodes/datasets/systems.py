"""Systems under control: a state, an action, and a known density of what comes next.

Whatever takes a learned transition density, see ``manymodes.dynamics``, takes such a system, which has the exact one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.distributions import Categorical

from manymodes import _checks
from manymodes.datasets.truth import Floats, Simulated, Truth
from manymodes.distributions import DiagonalNormal, Mixture

Values = ArrayLike | Tensor


class Parts(NamedTuple):
    """What may happen: weights (N, K), locations and scales (N, K, D) of normals."""

    weights: Tensor
    loc: Tensor
    scale: Tensor


class System(ABC):
    """A system in steps of time, whose next state is a mixture of normals given its state and the action; abstract.

    Attributes:
        state_names: Names of the D parts of a state, with their units.
        action_names: Names of the A parts of an action.
        state_range: Lowest and highest states of logged transitions.
        action_range: Lowest and highest actions.
    """

    state_names: ClassVar[tuple[str, ...]]
    action_names: ClassVar[tuple[str, ...]]
    state_range: ClassVar[tuple[tuple[float, ...], tuple[float, ...]]]
    action_range: ClassVar[tuple[tuple[float, ...], tuple[float, ...]]]

    def predict_distribution(self, states: Values, actions: Values) -> Mixture:
        """Return the exact density of the next state, ``batch_shape`` (N,), ``event_shape`` (D,).

        Args:
            states: States, (N, D), arrays or tensors.
            actions: Actions, (N, A).

        Raises:
            ValueError: Shapes that do not fit.
        """
        weights, loc, scale = self._parts(*self._checked(states, actions))
        return Mixture(Categorical(weights, validate_args=False), DiagonalNormal(loc, scale, validate_args=False))

    def step(self, states: Values, actions: Values, rng: np.random.Generator) -> Floats:
        """Return one next state of each row, (N, D).

        Args:
            states: States, (N, D).
            actions: Actions, (N, A).
            rng: Where chance comes from.

        Raises:
            ValueError: Shapes that do not fit.
        """
        weights, loc, scale = (part.double().numpy() for part in self._parts(*self._checked(states, actions)))
        reached = rng.uniform(size=(len(weights), 1)) > weights.cumsum(-1)[:, :-1]
        rows, happened = np.arange(len(weights)), reached.sum(-1)
        noise = rng.standard_normal((len(weights), loc.shape[-1]))
        return np.asarray(loc[rows, happened] + scale[rows, happened] * noise)

    def transitions(self, n_rows: int, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
        """Return random states (N, D), random actions (N, A) and the next states (N, D), all in their ranges."""
        states = rng.uniform(*self.state_range, (n_rows, len(self.state_names)))
        actions = rng.uniform(*self.action_range, (n_rows, len(self.action_names)))
        return states, actions, self.step(states, actions, rng)

    @abstractmethod
    def start(self, n_rows: int, rng: np.random.Generator) -> Floats:
        """Return states to begin with, (N, D)."""

    @abstractmethod
    def reward(self, states: Tensor, actions: Tensor, next_states: Tensor) -> Tensor:
        """Return what a step is worth, (...), for tensors (..., D), (..., A), (..., D)."""

    @abstractmethod
    def failed(self, states: Tensor) -> Tensor:
        """Return which states, (..., D), are those to be avoided, (...)."""

    @abstractmethod
    def _parts(self, states: Tensor, actions: Tensor) -> Parts:
        """Return what may happen."""

    def _checked(self, states: Values, actions: Values) -> tuple[Tensor, Tensor]:
        state, action = as_floats(states), as_floats(actions)
        _checks.matches_shape("states", state.shape, ("N", len(self.state_names)), "as states of the system")
        _checks.matches_shape("actions", action.shape, ("N", len(self.action_names)), "as actions on the system")
        _checks.same_rows("states", len(state), "actions", len(action))
        return state, action


def logged(system: System, n_rows: int, return_density: bool, random_state: int | None) -> Simulated:
    """Return random transitions, and the truth of them, of states and actions side by side, where it is asked for."""
    n_rows = _checks.integer_at_least("n_rows", n_rows, 1)
    found = system.transitions(n_rows, np.random.default_rng(random_state))
    if not _checks.boolean("return_density", return_density):
        return found
    n_states, n_actions = len(system.state_names), len(system.action_names)
    truth = Truth(n_states + n_actions, lambda X: system.predict_distribution(*X.split([n_states, n_actions], -1)))
    return (*found, truth)


def as_floats(values: Values) -> Tensor:
    """Return values as a tensor of real numbers: those of arrays in double precision, of tensors in their own."""
    if isinstance(values, Tensor) and values.is_floating_point():
        return values
    return torch.from_numpy(np.array(values, dtype=np.float64))  # a copy: views may run backwards, or be read-only
