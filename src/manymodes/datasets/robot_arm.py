r"""A planar robot arm, seen backward: from where its hand is to the angles of its joints.

Forward, the angles have one answer. Backward, an arm of two links has up to two, elbow up and elbow down, and one of
three links a continuum of them.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from manymodes import _checks
from manymodes.datasets.truth import Floats

Angles = TypeVar("Angles", Floats, Tensor)

_LENGTHS = {2: (0.8, 0.2), 3: (0.5, 0.3, 0.2)}  # of the links, by their number
_FIRST, _OTHERS = (0.3, 1.2), (0.5 * math.pi, 1.5 * math.pi)  # ranges of angles, in radians


def make_robot_arm(n_rows: int = 1000, *, n_links: int = 2, random_state: int | None = None) -> tuple[Floats, Floats]:
    r"""Return positions of a robot arm's hand, X (N, 2), and the angles of its joints in radians, y (N, 2) or (N, 3).

    .. math:: \theta_1 \sim U(0.3, 1.2), \qquad \theta_2 \sim U(\pi/2, 3\pi/2), \qquad
        x_1 = L_1 \cos \theta_1 - L_2 \cos(\theta_1 + \theta_2), \quad
        x_2 = L_1 \sin \theta_1 - L_2 \sin(\theta_1 + \theta_2)

    without noise. Two links are 0.8 and 0.2 long; 68.8 % of the hand's positions are reached by two pairs of angles.
    The third link of an arm with three, 0.5, 0.3 and 0.2 long, has an angle like that of the second, and its hand is
    reached by a continuum of angles.

    Args:
        n_rows: Number of rows, N.
        n_links: Number of links, 2 or 3.
        random_state: Seed; None draws a fresh one.

    Raises:
        ValueError: No rows, or another number of links.

    References:
        Bishop (1994), Mixture density networks, section 6, for two links.

    Example:
        >>> X, y = make_robot_arm(5, random_state=0)
        >>> bool(np.allclose(robot_arm_position(y), X))
        True
    """
    n_rows = _checks.integer_at_least("n_rows", n_rows, 1)
    low, high = robot_arm_ranges(n_links)
    y = np.random.default_rng(random_state).uniform(low, high, (n_rows, n_links))
    return robot_arm_position(y), y


def robot_arm_ranges(n_links: int = 2) -> tuple[Floats, Floats]:
    """Return the lowest and the highest angle of each joint in radians, (D,) each.

    Args:
        n_links: Number of links, D, 2 or 3.

    Raises:
        ValueError: Another number of links.
    """
    n_links = _checks.integer_at_least("n_links", n_links, 2, 3)
    low, high = zip(_FIRST, *[_OTHERS] * (n_links - 1), strict=True)
    return np.array(low), np.array(high)


def robot_arm_position(angles: Angles) -> Angles:
    """Return where the hand is, (..., 2), for angles in radians, (..., D), of 2 or 3 joints; arrays or tensors."""
    return robot_arm_joints(angles)[..., -1, :]


def robot_arm_joints(angles: Angles) -> Angles:
    """Return where the joints and the hand are, (..., D + 1, 2), the shoulder at (0, 0) first.

    Args:
        angles: In radians, (..., D), of an arm with D = 2 or 3 links, as an array or a tensor.

    Raises:
        ValueError: Another number of angles.
    """
    n_links = _checks.integer_at_least("the number of angles", angles.shape[-1] if angles.ndim else 0, 2, 3)
    # An angle of pi is a straight joint, so that every other link points against the sum of the angles up to it.
    reach = [(-1) ** link * length for link, length in enumerate(_LENGTHS[n_links])]
    if isinstance(angles, Tensor):
        direction = angles.cumsum(-1)
        steps = torch.stack([direction.cos(), direction.sin()], -1) * angles.new_tensor(reach).unsqueeze(-1)
        return torch.cat([torch.zeros_like(steps[..., :1, :]), steps.cumsum(-2)], -2)
    direction = np.cumsum(angles, -1)
    steps = np.stack([np.cos(direction), np.sin(direction)], -1) * np.array(reach)[:, None]
    return np.concatenate([np.zeros_like(steps[..., :1, :]), steps.cumsum(-2)], -2)


def robot_arm_solutions(X: ArrayLike, *, first_angle: ArrayLike | None = None) -> Floats:
    r"""Return all angles that put the hand at positions, (N, 2, D): those within their ranges, NaN in place of others.

    With the distance r of the hand from the shoulder (of three links, from the elbow) and the lengths a and b of the
    links between, the second angle is :math:`\pm \arccos((a^2 + b^2 - r^2) / 2ab)`, the law of cosines. Solutions that
    exist come first; of two, the one with the smaller angle at the last joint.

    Args:
        X: Positions of the hand, (N, 2).
        first_angle: None for the arm of two links, D = 2. For that of three, D = 3, the first angle in radians, a
            number or (N,), which leaves two solutions of the continuum.

    Raises:
        ValueError: Positions of another shape, or that are not finite.
    """
    hand = np.asarray(X, dtype=np.float64)
    _checks.matches_shape("X", hand.shape, ("N", 2), "as positions of a hand")
    if not np.isfinite(hand).all():
        raise _checks.InputError("X must hold finite numbers; drop the other rows.")
    if first_angle is None:
        return _within_ranges(_two_links(hand, *_LENGTHS[2]))
    first = np.broadcast_to(np.asarray(first_angle, dtype=np.float64), len(hand))
    long, *others = _LENGTHS[3]
    elbow = long * np.stack([np.cos(first), np.sin(first)], -1)
    rest = _two_links(hand - elbow, *others)  # the first of these is the direction of the second link
    rest[..., 0] += math.pi - first[:, None]
    return _within_ranges(np.concatenate([np.broadcast_to(first[:, None, None], (len(hand), 2, 1)), rest], -1))


def _two_links(hand: Floats, long: float, short: float) -> Floats:
    """Return both pairs of angles of two links, (N, 2, 2), NaN where they do not reach the hand, (N, 2)."""
    cosine = (long**2 + short**2 - np.square(hand).sum(-1)) / (2 * long * short)
    inner = np.arccos(np.where(np.abs(cosine) <= 1, cosine, np.nan))
    second = np.stack([inner, 2 * math.pi - inner], -1)
    turned = np.arctan2(-short * np.sin(second), long - short * np.cos(second))  # of the hand, were the first angle 0
    return np.stack([np.arctan2(hand[:, 1:], hand[:, :1]) - turned, second], -1)


def _within_ranges(angles: Floats) -> Floats:
    """Return angles, (N, 2, D), turned to lie in their ranges; those that do not are NaN, and come last."""
    low, high = robot_arm_ranges(angles.shape[-1])
    turned = low + np.mod(angles - low, 2 * math.pi)
    turned = np.where((turned <= high).all(-1, keepdims=True), turned, np.nan)
    last = np.isnan(turned[..., 0]).argsort(axis=-1, kind="stable")
    return np.take_along_axis(turned, last[..., None], 1)
