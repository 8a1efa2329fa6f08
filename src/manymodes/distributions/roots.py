"""Roots of many functions at once, each inside a bracket that it never leaves."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_WORTH_IT = 0.6
_MAX_STEPS = 200  # halving alone takes about 64


def bracketed_root(
    f: Callable[[Tensor, Tensor], tuple[Tensor, Tensor | None]],
    low: Tensor,
    high: Tensor,
    *,
    enough: float = 0.0,
    share: float = 0.0,
) -> Tensor:
    """Return where functions cross zero, to the last digits or until their values are small enough.

    Newton's steps where a slope is given, else regula falsi with Illinois weights. A step that leaves the bracket
    halves it, and so does one of Newton's that is more than half as long as the one before, or every third one of the
    others: the search is as sure as bisection.

    Args:
        f: Values at points (A,) of the functions that a second argument, (A,), names, and their slopes or None. Values
            at the ends have opposite signs, or one of them is zero; where both are, the middle is returned, and
            otherwise some point between.
        low: Ends, (N,), on either side of the others.
        high: The other ends, (N,).
        enough: Absolute value at which a search ends.
        share: Width of the bracket, or length of a step, at which it ends too, as a share of the first bracket.

    References:
        Dowell and Jarratt (1971), A modified regula falsi method, BIT 11; Press et al., Numerical Recipes, section 9.4.
    """
    root = 0.5 * low + 0.5 * high
    active = (high != low).nonzero().squeeze(-1)
    a, b = low[active], high[active]
    (value_a, _), (value_b, slope_b) = f(a, active), f(b, active)
    if bool(((value_a == 0) & (value_b == 0)).any()):  # as on a flat top: its middle stays
        others = ((value_a != 0) | (value_b != 0)).nonzero().squeeze(-1)
        active, a, b, value_a, value_b = (part[others] for part in (active, a, b, value_a, value_b))
        slope_b = None if slope_b is None else slope_b[others]
    eps = torch.finfo(low.dtype).eps
    least = torch.where(_by_ratio(a, b), 0.0, max(eps, share) * (b - a).abs())
    moved, done = (b - a).abs(), torch.zeros_like(active, dtype=torch.bool)
    for number in range(_MAX_STEPS):
        if len(active) == 0:
            break
        middle = _middle(a, b)
        slope = (value_b - value_a) / (b - a) if slope_b is None else slope_b
        tolerance = 2 * eps * torch.minimum(a.abs(), b.abs()) + least
        guess = b - value_b / slope
        step = guess - b  # a step too short to matter goes a little further, so that the bracket closes behind it
        guess = torch.where(step.abs() < tolerance, b + tolerance * step.sign(), guess)
        trusted = (guess > torch.minimum(a, b)) & (guess < torch.maximum(a, b))
        trusted = trusted & (torch.tensor(number % 3 != 2) if slope_b is None else (guess - b).abs() <= 0.5 * moved)
        x = torch.where(done, b, torch.where(trusted, guess, middle))
        value, slope_x = f(x, active)
        crossed = (value > 0) != (value_b > 0)
        # Illinois: an end that stays twice counts half.
        a, value_a = torch.where(crossed, b, a), torch.where(crossed, value_b, 0.5 * value_a)
        moved = (x - b).abs()
        b, value_b, slope_b = x, value, slope_x
        done = done | (value.abs() <= enough) | ((b - a).abs() <= 2 * tolerance) | value.isnan()
        root[active] = x
        left = int((~done).sum())
        if left <= _WORTH_IT * len(active):  # setting aside what is done costs, too
            index = (~done).nonzero().squeeze(-1)
            active, a, b, value_a, value_b, moved, least, done = (
                part[index] for part in (active, a, b, value_a, value_b, moved, least, done)
            )
            slope_b = None if slope_b is None else slope_b[index]
    return root


def _by_ratio(a: Tensor, b: Tensor) -> Tensor:
    """Return which brackets lie on one side of 0 and are far wider than their distance from it."""
    small, large = torch.minimum(a.abs(), b.abs()), torch.maximum(a.abs(), b.abs())
    return (a * b.sign() > 0) & (large > 1e3 * small)


def _middle(a: Tensor, b: Tensor) -> Tensor:
    """Return the middle of brackets; by ratio where one end is far nearer to 0: a root may be at 1e-100."""
    small, large = torch.minimum(a.abs(), b.abs()), torch.maximum(a.abs(), b.abs())
    return torch.where(_by_ratio(a, b), a.sign() * small.sqrt() * large.sqrt(), 0.5 * a + 0.5 * b)
