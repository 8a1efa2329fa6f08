"""A particle between two wells, pushed by a force and kicked from time to time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor

from manymodes import _checks
from manymodes.datasets.systems import Parts, System, logged
from manymodes.datasets.truth import Floats, Simulated


@final
@dataclass(frozen=True)
class DoubleWell(System):
    r"""A particle at x with wells at -1 and 1 and a barrier between them at 0; the action a is a force from -1 to 1.

    .. math:: p(x' | x, a) = (1 - q)\, N(x'; m, s^2) + \tfrac q2 N(x'; m - k, s^2 + r^2) + \tfrac q2 N(x'; m + k,
        s^2 + r^2), \qquad m = x + (x - x^3 + a)\, dt, \quad s^2 = \sigma^2 dt

    The step of the explicit Euler and Maruyama method, with a kick to either side in a share q of the steps. Kicks do
    not move the mean, and one from near the barrier leads past it.

    Attributes:
        dt: Time of a step.
        noise: Strength of the noise, sigma, per square root of time.
        kick_probability: Probability of a kick in a step, q.
        kick: How far a kick leads, k.
        kick_spread: Standard deviation of that, r.
        goal: Where the particle is to be held, near the barrier.
        loss: What a step beyond the barrier costs.
    """

    dt: float = 0.1
    noise: float = 0.3
    kick_probability: float = 0.04
    kick: float = 0.7
    kick_spread: float = 0.1
    goal: float = 0.4
    loss: float = 10.0

    state_names: ClassVar[tuple[str, ...]] = ("x",)
    action_names: ClassVar[tuple[str, ...]] = ("force",)
    state_range: ClassVar[tuple[tuple[float, ...], tuple[float, ...]]] = ((-2.2,), (2.2,))
    action_range: ClassVar[tuple[tuple[float, ...], tuple[float, ...]]] = ((-1.0,), (1.0,))

    def __post_init__(self) -> None:
        _checks.positive("dt", self.dt)
        _checks.positive("noise", self.noise)
        _checks.number_between("kick_probability", self.kick_probability, 0.0, 1.0, including=(0.0, 1.0))
        _checks.number_between("kick_spread", self.kick_spread, 0.0, math.inf, including=(0.0,))

    def start(self, n_rows: int, rng: np.random.Generator) -> Floats:
        """Return states at the bottom of the right well, (N, 1)."""
        return np.ones((n_rows, 1))

    def reward(self, states: Tensor, actions: Tensor, next_states: Tensor) -> Tensor:
        """Return minus the distance from the goal, and a loss beyond the barrier."""
        return -(next_states[..., 0] - self.goal).abs() - self.loss * self.failed(next_states)

    def failed(self, states: Tensor) -> Tensor:
        """Return which states are beyond the barrier, in the left well."""
        return states[..., 0] < 0.0

    def potential(self, x: Floats) -> Floats:
        """Return the height of the landscape, x^4 / 4 - x^2 / 2, whose slope is the pull without a force."""
        return x**4 / 4 - x**2 / 2

    def _parts(self, states: Tensor, actions: Tensor) -> Parts:
        middle = states + (states - states**3 + actions) * self.dt  # (N, 1)
        loc = torch.stack([middle, middle - self.kick, middle + self.kick], -2)  # (N, 3, 1)
        still, either = 1 - self.kick_probability, self.kick_probability / 2
        calm = self.noise * math.sqrt(self.dt)
        kicked = math.hypot(calm, self.kick_spread)
        weights = middle.new_tensor([still, either, either]).expand(len(middle), 3)
        return Parts(weights, loc, middle.new_tensor([[calm], [kicked], [kicked]]).expand_as(loc))


def make_double_well(
    n_rows: int = 1000,
    *,
    system: DoubleWell | None = None,
    return_density: bool = False,
    random_state: int | None = None,
) -> Simulated:
    """Return logged transitions of a ``DoubleWell``: states (N, 1), forces (N, 1) and next states (N, 1).

    States and forces are uniform, and rows do not follow one another.

    Args:
        n_rows: Number of rows, N.
        system: The system; None for the usual one.
        return_density: Whether the true conditional density is returned too, of states and actions side by side,
            (N, 2).
        random_state: Seed; None draws a fresh one.

    Raises:
        ValueError: No rows.

    Example:
        >>> states, actions, next_states = make_double_well(5, random_state=0)
        >>> DoubleWell().predict_distribution(states, actions).batch_shape
        torch.Size([5])
    """
    return logged(system or DoubleWell(), n_rows, return_density, random_state)


def make_double_well_paths(
    n_paths: int,
    n_steps: int,
    *,
    start: float = 0.0,
    system: DoubleWell | None = None,
    random_state: int | None = None,
) -> Floats:
    """Return paths of a ``DoubleWell`` that nobody pushes, (n_paths, n_steps + 1); the first column is the start.

    From the top of the barrier, at 0, both wells are as likely.

    Args:
        n_paths: Number of paths.
        n_steps: Number of steps of each.
        start: Where all paths begin.
        system: The system; None for the usual one.
        random_state: Seed; None draws a fresh one.

    Raises:
        ValueError: No paths, no steps, or a start that is not finite.
    """
    shape = _checks.integer_at_least("n_paths", n_paths, 1), _checks.integer_at_least("n_steps", n_steps, 1) + 1
    rng, well = np.random.default_rng(random_state), system or DoubleWell()
    paths = np.full(shape, _checks.number_between("start", start, -math.inf, math.inf))
    for step in range(1, shape[1]):
        here = paths[:, step - 1 : step]
        paths[:, step : step + 1] = well.step(here, np.zeros_like(here), rng)
    return paths
