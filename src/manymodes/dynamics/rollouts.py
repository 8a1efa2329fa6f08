"""Particles that follow a sequence of actions, step by step, each on a path of its own."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.datasets.systems import Values, as_floats
from manymodes.distributions import Mixture
from manymodes.dynamics.transitions import TransitionModel
from manymodes.training.randomness import seeded

Members = Literal["kept", "fresh"]
Seed = int | torch.Generator | None


class Dynamics(Protocol):
    """Whatever says how the next state is distributed: a learned model, or the exact density of a system."""

    def predict_distribution(self, states: Any, actions: Any) -> Mixture:
        """Return the density of next states, ``batch_shape`` (N,), for states (N, D) and actions (N, A)."""


def rollout(
    model: Dynamics,
    state: Values,
    actions: Values,
    *,
    n_particles: int = 100,
    members: Members = "kept",
    random_state: Seed = None,
) -> Tensor:
    """Return where particles go that follow a sequence of actions whatever happens, (S, T + 1, D).

    Args:
        model: A ``TransitionModel``, or whatever has ``predict_distribution``.
        state: Where all begin, (D,), which is the first of the T + 1 states.
        actions: What is done in each step, (T, A).
        n_particles: Number of particles, S; of a ``TransitionModel`` a multiple of its members.
        members: ``"kept"`` where a particle follows one member of the ensemble all along, so that what a member
            believes stays consistent; ``"fresh"`` where it gets one at random in each step.
        random_state: Seed, or a generator, which moves on; None draws a fresh seed.

    Raises:
        ValueError: Shapes that do not fit, or a number of particles that does not.

    References:
        Chua, Calandra, McAllister and Levine (2018), section 5.1: trajectory sampling, of which ``"kept"`` is TS-inf
        and ``"fresh"`` TS1, there with random members and here with as many particles for each.
    """
    start, done = as_floats(state), as_floats(actions)
    _checks.matches_shape("state", start.shape, ("D",), "as one state")
    _checks.matches_shape("actions", done.shape, ("T", "A"), "as a sequence")
    for name, value in (("state", start), ("actions", done)):
        check_finite(name, value)
    n_particles = particles_of(model, n_particles)
    fresh = is_fresh(members)
    generator = as_generator(random_state)
    path = [start.expand(n_particles, 1, -1)]  # (S, 1, D)
    for action in done.to(start.dtype):
        path.append(advance(model, path[-1], action.unsqueeze(0), generator, fresh=fresh))
    return torch.stack([states.squeeze(1) for states in path], 1)


def advance(
    model: Dynamics, states: Tensor, actions: Tensor, generator: torch.Generator, *, fresh: bool = False, alike: int = 1
) -> Tensor:
    """Return where particles (S, R, D) of R rows are after one action of each row, (R, A).

    Args:
        model: What says how the next state is distributed; a ``TransitionModel`` has as many particles for each member,
            one block after another.
        states: Where they are.
        actions: What is done.
        generator: Where chance comes from.
        fresh: Whether particles change members first.
        alike: Number of rows, one after another, to which the same happens: the same component of the mixture, in the
            order of components, as far as probabilities agree. What differs between such rows is then rather what was
            done than luck.
    """
    n_particles, n_rows, _ = states.shape
    luck = torch.rand((n_particles, n_rows // alike, 1), generator=generator, dtype=states.dtype)
    luck = luck.expand(-1, -1, alike).reshape(n_particles, n_rows, 1)
    every = actions.expand(n_particles, *actions.shape)
    if not isinstance(model, TransitionModel):
        flat = model.predict_distribution(states.flatten(0, 1), every.flatten(0, 1))
        return _drawn(flat, luck.flatten(0, 1), generator).reshape(states.shape).to(states.dtype)
    order = torch.randperm(n_particles, generator=generator) if fresh else None
    here = states if order is None else states[order]
    blocks = (model.n_members, -1)
    density = model.each(*(part.unflatten(0, blocks).flatten(1, 2) for part in (here, every)))
    after = _drawn(density, luck.unflatten(0, blocks).flatten(1, 2), generator).reshape(here.shape)
    return after if order is None else after[order.argsort()]


def _drawn(density: Mixture, luck: Tensor, generator: torch.Generator) -> Tensor:
    """Return a sample of each row, (..., D), whose component is a quantile of the weights at ``luck``, (..., 1)."""
    weights = density.mixture_distribution.probs  # as they are, without the logs that ``density.weights`` goes through
    reached = weights.cumsum(-1)[..., :-1] < luck
    drawn: Tensor = density.components.sample_at(reached.sum(-1), generator)
    return drawn


def check_finite(name: str, value: Tensor) -> None:
    """Refuse states or actions that are not finite."""
    if not bool(value.isfinite().all()):
        raise _checks.InputError(f"{name} must be finite; got NaN or infinity. Leave those out.")


def particles_of(model: Dynamics, n_particles: int) -> int:
    """Return a number of particles that the members of a model can share."""
    n_particles = _checks.integer_at_least("n_particles", n_particles, 1)
    if isinstance(model, TransitionModel) and n_particles % model.n_members:
        raise _checks.InputError(
            f"n_particles must be a multiple of the model's {model.n_members} members; got {n_particles}."
        )
    return n_particles


def is_fresh(members: str) -> bool:
    """Return whether particles change members, by the name of that."""
    return _checks.one_of("members", members, {"kept": False, "fresh": True})


def as_generator(random_state: Seed) -> torch.Generator:
    """Return a generator itself, or one with a seed."""
    return random_state if isinstance(random_state, torch.Generator) else seeded(random_state)
