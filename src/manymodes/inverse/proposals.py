"""Proposed solutions: the modes of a density and samples of it, with their outcomes, and refined."""

from __future__ import annotations

import torch
from torch import Tensor

from manymodes.distributions import Prediction
from manymodes.inverse.candidates import Candidates
from manymodes.inverse.refinement import Problem, refined


def proposals(
    distribution: Prediction, problem: Problem, n_samples: int, generator: torch.Generator, *, how: str | None
) -> Candidates:
    """Return modes and samples, taken into the bounds and refined, with their outcomes, (N, P), in any order.

    Args:
        distribution: Densities of solutions.
        problem: What is wanted of each row, (N, F).
        n_samples: Number of samples of each row.
        generator: Their source.
        how: How they are refined, one of ``refinement.WAYS``; None for not at all.
    """
    modes, like = distribution.modes(), distribution.logits
    atoms = modes.atoms.location.unsqueeze(-1).expand(*modes.atoms.location.shape, modes.location.shape[-1])
    samples = distribution.sample((n_samples,), generator=generator)  # (S, N, D)
    log_prob = distribution.log_prob(samples).T
    nothing = torch.zeros_like(log_prob)
    log_prob = torch.cat([modes.log_density, torch.full_like(modes.atoms.mass, torch.inf), log_prob], -1)
    mask = torch.cat([modes.mask, modes.atoms.mask, nothing == 0], -1)
    from_mode = torch.arange(mask.shape[-1], device=like.device) < mask.shape[-1] - n_samples
    places = torch.cat([modes.location, atoms, samples.movedim(0, 1)], -2).to(problem.x.dtype)
    y, x, error = _outcomes(problem, problem.box.inside(places), mask, how)
    return Candidates(
        y=y,
        x=x,
        error=error,
        log_prob=log_prob.masked_fill(~mask, -torch.inf),
        mass=torch.cat([modes.mass, modes.atoms.mass, nothing], -1),
        from_mode=mask & from_mode,
        mask=mask,
        is_angle=problem.box.is_angle,
    )


def _outcomes(problem: Problem, y: Tensor, mask: Tensor, how: str | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return proposals, refined, with their outcomes and errors: (N, P, D), (N, P, F) and (N, P)."""
    each, start = problem.take(mask.nonzero()[:, 0]), y[mask]
    end, outcome = (start, each.forward(start)) if how is None else refined(each, start, how)
    x = problem.x.new_full((*mask.shape, problem.x.shape[-1]), torch.nan)
    error = x.new_full(mask.shape, torch.inf)
    y = torch.full_like(y, torch.nan)
    y[mask], x[mask], error[mask] = end, outcome, each.error(outcome)
    return y, x, error
