"""What predicted angles do to a robot arm: where the hand ends up, which branches are found, which candidates hold."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manymodes.datasets import make_robot_arm, robot_arm_position, robot_arm_ranges, robot_arm_solutions
from manymodes.distributions import Prediction
from manymodes.inverse import error_by_count, solution_agreement, solve, success_at
from manymodes.studies.frame.answers import modes_of
from manymodes.studies.frame.comparison import Part

Floats = NDArray[np.float64]

NEAR, APART = 0.05, 0.1  # radians: when a branch is found, and when two branches are told apart
RIGHT, REFINED = 0.01, 1e-6  # distance of the hand from its goal that counts as success, as proposed and once refined
N_CANDIDATES = 8


def draw(seed: int, n_rows: int, n_test: int, n_links: int) -> Part:
    """Return positions and angles of an arm; of two links with all valid answers of the test rows."""
    X, y = make_robot_arm(n_rows, n_links=n_links, random_state=seed)
    X_test, y_test = make_robot_arm(n_test, n_links=n_links, random_state=seed + 20_000)
    return Part(X, y, X_test, y_test, robot_arm_solutions(X_test) if n_links == 2 else None)


def look(prediction: Prediction, part: Part, *, n_solved: int) -> dict[str, Any]:
    """Return what predictions of angles do to the arm: numbers, and arrays for pictures.

    Args:
        prediction: Densities of angles of the test rows, ``batch_shape`` (N,).
        part: The rows.
        n_solved: Rows, the first ones, of which candidates are ranked and refined.
    """
    modes = modes_of(prediction)
    location, counted = modes.location.double(), modes.counted
    best, mean = location[:, 0], prediction.mean.double()
    reached = off(location, torch.as_tensor(part.X_test).unsqueeze(1)) <= RIGHT  # (N, J)
    found: dict[str, Any] = {
        "rms_mean": _root_mean_square(off(mean, part.X_test)),
        "rms_mode": _root_mean_square(off(best, part.X_test)),
        "on_goal": float(reached[counted].double().mean()),
        "mean": mean.numpy(),
        "mode": best.numpy(),
        "modes": torch.where(counted.unsqueeze(-1), location, torch.nan).numpy(),
        "mass": modes.mass.double().numpy(),
    }
    if part.true_modes is not None:
        found |= branches(location, counted, torch.as_tensor(part.true_modes))._asdict()
    return found | candidates(prediction[:n_solved], part)


def off(angles: Tensor, X: Floats | Tensor) -> Tensor:
    """Return how far angles (..., D) put the hand from positions (..., 2)."""
    distance: Tensor = torch.linalg.vector_norm(robot_arm_position(angles) - torch.as_tensor(X), dim=-1)
    return distance


def _root_mean_square(error: Tensor) -> float:
    return float(error.square().mean().sqrt())


class Branches(NamedTuple):
    """How many of the valid answers are found.

    Attributes:
        both: Share of points with two branches, far enough apart, of which both are found.
        branch_precision: Share of modes that are near a branch.
        left_out: Share of points whose branches are too near each other to be told apart.
    """

    both: float
    branch_precision: float
    left_out: float


def branches(location: Tensor, counted: Tensor, true: Tensor) -> Branches:
    """Return which branches have a mode within ``NEAR`` in both angles, the shorter way round.

    Args:
        location: Modes, (N, J, 2).
        counted: Which of them count, (N, J).
        true: Valid answers, (N, 2, 2), filled up with NaN.
    """
    there = ~true.isnan().any(-1)  # (N, 2)
    close = there.all(-1) & (_gap(true[:, 0], true[:, 1]) < APART)
    location, counted, true, there = (part[~close] for part in (location, counted, true, there))
    match = (_gap(location.unsqueeze(2), true.unsqueeze(1)) <= NEAR) & counted.unsqueeze(-1)  # (N, J, 2)
    return Branches(
        both=float(match.any(1)[there.all(-1)].all(-1).double().mean()),
        branch_precision=float(match.any(-1)[counted].double().mean()),
        left_out=float(close.double().mean()),
    )


def _gap(one: Tensor, other: Tensor) -> Tensor:
    """Return the largest of the differences of angles (..., D), the shorter way round."""
    return (torch.remainder(one - other + math.pi, 2 * math.pi) - math.pi).abs().amax(-1)


def candidates(prediction: Prediction, part: Part) -> dict[str, Any]:
    """Return how good candidate solutions are, as the model proposes them and refined through the forward function."""
    goals = torch.as_tensor(part.X_test[: prediction.batch_shape[0]])
    asked: dict[str, Any] = {
        "n_candidates": N_CANDIDATES,
        "n_samples": 2 * N_CANDIDATES,
        "bounds": robot_arm_ranges(part.y.shape[1]),
    }
    density = prediction.to(torch.float64)
    proposed = solve(density, robot_arm_position, goals, refine=None, rank="density", **asked)
    refined = solve(density, robot_arm_position, goals, **asked)
    found: dict[str, Any] = {
        "success_1": float(success_at(proposed, RIGHT).double().mean()),
        "success_all": float(success_at(proposed, RIGHT, N_CANDIDATES).double().mean()),
        "refined": float(success_at(refined, REFINED).double().mean()),
        "diversity": float(refined.within(REFINED).diversity.nanmean()),
        "errors": error_by_count(proposed).mean(0).numpy(),
        "candidates": refined.y.numpy(),
    }
    if part.true_modes is not None:
        known = torch.as_tensor(part.true_modes[: len(goals)])
        found["refined_recall"] = solution_agreement(refined.within(REFINED), known, NEAR).summary()["recall"]
    return found
