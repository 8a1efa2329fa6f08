"""A cart on a road that ends at an edge; on the ice before it, wheels may slip."""

from __future__ import annotations

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
class SlippingCart(System):
    r"""A cart at x with velocity v, pushed by a force a from -1 to 1, that may slip.

    .. math:: p(x', v' | x, v, a) = N(x'; x + v\, dt, s_x^2)\, [(1 - q)\, N(v'; m_1, s_v^2) + q\, N(v'; m_0, s_v^2)],
        \qquad m_g = v + (g_g a - c v)\, dt

    with the full effect :math:`g_1 = 1` of the push where wheels grip, and nearly none where they slip. They slip on
    ice, which begins at a place, and the harder the push the likelier: :math:`q = 0.02 + \iota(x) (0.3 + 0.4 |a|)`,
    with :math:`\iota` rising from 0 to 1 where the ice begins.

    Attributes:
        dt: Time of a step.
        drag: What slows the cart, c.
        ice: Where the ice begins; it ends beyond the edge.
        grip: Effect of a push on slipping wheels, as a share.
        goal: Where the cart is to stop.
        edge: Where the road ends.
        loss: What a step beyond the edge costs.
        position_noise: Standard deviation of x' in a step.
        velocity_noise: That of v'.
    """

    dt: float = 0.2
    drag: float = 0.1
    ice: float = 1.6
    grip: float = 0.1
    goal: float = 2.8
    edge: float = 3.0
    loss: float = 5.0
    position_noise: float = 0.01
    velocity_noise: float = 0.03

    state_names: ClassVar[tuple[str, ...]] = ("position", "velocity")
    action_names: ClassVar[tuple[str, ...]] = ("force",)
    state_range: ClassVar[tuple[tuple[float, ...], tuple[float, ...]]] = ((-0.5, -1.0), (4.0, 2.0))
    action_range: ClassVar[tuple[tuple[float, ...], tuple[float, ...]]] = ((-1.0,), (1.0,))

    def __post_init__(self) -> None:
        for name in ("dt", "position_noise", "velocity_noise"):
            _checks.positive(name, getattr(self, name))

    def start(self, n_rows: int, rng: np.random.Generator) -> Floats:
        """Return carts at rest at 0, (N, 2)."""
        return np.zeros((n_rows, 2))

    def reward(self, states: Tensor, actions: Tensor, next_states: Tensor) -> Tensor:
        """Return minus the distance from the goal, and a loss beyond the edge."""
        return -(next_states[..., 0] - self.goal).abs() - self.loss * self.failed(next_states)

    def failed(self, states: Tensor) -> Tensor:
        """Return which carts are beyond the edge."""
        return states[..., 0] > self.edge

    def slip_probability(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return how probable it is that wheels slip, (...)."""
        iced = torch.sigmoid((states[..., 0] - self.ice) / 0.05)
        return 0.02 + iced * (0.3 + 0.4 * actions[..., 0].abs())

    def _parts(self, states: Tensor, actions: Tensor) -> Parts:
        position, velocity = states.unbind(-1)
        push, slips = actions[..., 0], self.slip_probability(states, actions)
        place = position + velocity * self.dt
        rolling = velocity * (1 - self.drag * self.dt)
        outcomes = [torch.stack([place, rolling + grip * push * self.dt], -1) for grip in (1.0, self.grip)]
        loc = torch.stack(outcomes, -2)  # (N, 2, 2)
        scale = loc.new_tensor([self.position_noise, self.velocity_noise]).expand_as(loc)
        return Parts(torch.stack([1 - slips, slips], -1), loc, scale)


def make_slipping_cart(
    n_rows: int = 1000,
    *,
    system: SlippingCart | None = None,
    return_density: bool = False,
    random_state: int | None = None,
) -> Simulated:
    """Return logged transitions of a ``SlippingCart``: states (N, 2), forces (N, 1) and next states (N, 2).

    States and forces are uniform, and rows do not follow one another.

    Args:
        n_rows: Number of rows, N.
        system: The system; None for the usual one.
        return_density: Whether the true conditional density is returned too, of states and actions side by side,
            (N, 3).
        random_state: Seed; None draws a fresh one.

    Raises:
        ValueError: No rows.

    Example:
        >>> states, actions, next_states = make_slipping_cart(5, random_state=0)
        >>> SlippingCart().predict_distribution(states, actions).modes().count.shape
        torch.Size([5])
    """
    return logged(system or SlippingCart(), n_rows, return_density, random_state)
