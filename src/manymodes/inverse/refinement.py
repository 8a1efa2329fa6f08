r"""Refining solutions until the forward function confirms them: damped Gauss-Newton steps, or gradient steps.

With residuals :math:`r = (f(y) - x) / s`, their derivatives A per usual change u of y, and a damping that falls after
each success and rises after each failure (Levenberg 1944, Marquardt 1963),

.. math:: \Delta y = -u\, A^\top (A A^\top + \lambda I)^{-1} r = -u\, (A^\top A + \lambda I)^{-1} A^\top r ,

of which the smaller system is solved, with the damping relative to the mean of its diagonal. Where there is a continuum
of solutions that leads to a near one. Dimensions at an end that the gradient pushes out are held there; whatever else
leaves the bounds is taken back (Bertsekas 1982, Projected Newton methods, SIAM J. Control and Optimization 20). A step
counts where the error falls, so none grows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from manymodes.inverse.box import Box
from manymodes.inverse.forward import Forward

_MAX_STEPS, _MAX_GRADIENT_STEPS = 60, 500
_FIRST_DAMPING, _EASING, _TIGHTENING = 1e-2, 0.1, 10.0
_HOPELESS = 1e9  # of the damping: no step, however short, lowers the error
_AT_ONCE = 4_000_000  # numbers in the derivatives of so many solutions at a time, which bounds the memory


class Problem(NamedTuple):
    """What is wanted of M solutions.

    Attributes:
        forward: The forward function.
        x: Wanted outcomes, (M, F).
        scale: Units of outcomes, (F,).
        unit: How large changes of solutions usually are, (M, D).
        box: Where solutions may lie.
    """

    forward: Forward
    x: Tensor
    scale: Tensor
    unit: Tensor
    box: Box

    def residual(self, outcome: Tensor) -> Tensor:
        """Return differences from the wanted outcomes, in their units, (M, F)."""
        return (outcome - self.x) / self.scale

    def error(self, outcome: Tensor) -> Tensor:
        """Return how far outcomes are from the wanted ones, (M,); infinite where there is none."""
        size = torch.linalg.vector_norm(self.residual(outcome), dim=-1)
        return torch.where(size.isnan(), torch.inf, size)

    def take(self, rows: Tensor) -> Problem:
        """Return what is wanted of some solutions."""
        return self._replace(x=self.x[rows], unit=self.unit[rows])


Propose = Callable[[Problem, Tensor, Tensor], Tensor]  # steps, (M, D), from solutions (M, D) and their damping (M,)


def refined(problem: Problem, y: Tensor, how: str) -> tuple[Tensor, Tensor]:
    """Return better solutions and their outcomes, (M, D) and (M, F).

    Args:
        problem: What is wanted.
        y: Solutions to begin with, (M, D), inside the box.
        how: One of ``WAYS``.
    """
    if not len(y):
        return y, problem.x
    propose, max_steps = WAYS[how]
    size = max(1, _AT_ONCE // (y.shape[-1] * max(problem.x.shape[-1], 1)))
    parts = [
        _descended(problem.take(rows), y[rows], propose, max_steps)
        for rows in torch.arange(len(y), device=y.device).split(size)
    ]
    solutions, outcomes = zip(*parts, strict=True)
    return torch.cat(solutions), torch.cat(outcomes)


def _descended(problem: Problem, y: Tensor, propose: Propose, max_steps: int) -> tuple[Tensor, Tensor]:
    y, outcome = y.clone(), problem.forward(y)
    error = problem.error(outcome)
    eps = torch.finfo(y.dtype).eps
    enough = 8 * eps * (problem.x / problem.scale).abs().amax(-1)
    damping = torch.full_like(error, _FIRST_DAMPING)
    moving = (error > enough).nonzero().squeeze(-1)
    for _ in range(max_steps):
        if not len(moving):
            break
        part, here = problem.take(moving), y[moving]
        trial = part.box.inside(here + propose(part, here, damping[moving]))
        reached = part.forward(trial)
        now = part.error(reached)
        better = now < error[moving]
        settled = better & ((trial - here).abs() <= 4 * eps * part.unit).all(-1)
        gained = moving[better]
        y[gained], outcome[gained], error[gained] = trial[better], reached[better], now[better]
        damping[moving] *= torch.where(better, _EASING, _TIGHTENING).to(damping)
        damping.clamp_min_(eps)
        moving = moving[~settled & (error > enough)[moving] & (damping[moving] < _HOPELESS)]
    return y, outcome


def _gauss_newton(problem: Problem, y: Tensor, damping: Tensor) -> Tensor:
    return _damped(problem, y, damping, *problem.forward.linear(y))


def _by_differences(problem: Problem, y: Tensor, damping: Tensor) -> Tensor:
    return _damped(problem, y, damping, *problem.forward.differences(y, problem.unit))


def _damped(problem: Problem, y: Tensor, damping: Tensor, outcome: Tensor, jacobian: Tensor) -> Tensor:
    """Return damped Gauss-Newton steps, (M, D); what cannot be solved gives none."""
    residual = problem.residual(outcome).unsqueeze(-1)  # (M, F, 1)
    slopes = jacobian / problem.scale.unsqueeze(-1) * problem.unit.unsqueeze(-2)  # (M, F, D)
    downhill = -(slopes.mT @ residual).squeeze(-1)
    slopes = slopes.masked_fill(problem.box.stops(y, downhill).unsqueeze(-2), 0.0)
    few_outcomes = slopes.shape[-2] <= slopes.shape[-1]
    matrix = slopes @ slopes.mT if few_outcomes else slopes.mT @ slopes
    level = damping * matrix.diagonal(dim1=-2, dim2=-1).mean(-1) + torch.finfo(y.dtype).tiny
    matrix = matrix + level[:, None, None] * torch.eye(matrix.shape[-1], dtype=y.dtype, device=y.device)
    if few_outcomes:
        step: Tensor = slopes.mT @ torch.linalg.solve_ex(matrix, residual).result
    else:
        step = torch.linalg.solve_ex(matrix, slopes.mT @ residual).result
    return -problem.unit * step.squeeze(-1).nan_to_num(0.0, 0.0, 0.0)


def _downhill(problem: Problem, y: Tensor, damping: Tensor) -> Tensor:
    r"""Return gradient steps of length :math:`|r|^2 / |g|^2`, right for one outcome (Polyak 1987), and damped."""
    outcome, slope = problem.forward.pull(y, problem.x, problem.scale)
    pull = -slope * problem.unit
    pull = torch.where(problem.box.stops(y, pull), 0.0, pull)
    length = problem.error(outcome).square() / pull.square().sum(-1) / (1 + damping)
    return problem.unit * (length.unsqueeze(-1) * pull).nan_to_num(0.0, 0.0, 0.0)


WAYS: dict[str, tuple[Propose, int]] = {
    "gauss_newton": (_gauss_newton, _MAX_STEPS),
    "finite_differences": (_by_differences, _MAX_STEPS),
    "gradient": (_downhill, _MAX_GRADIENT_STEPS),
}
