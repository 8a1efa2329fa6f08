"""From a density of solutions to candidates: proposed, refined, told apart, spread out and ranked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Prediction
from manymodes.distributions.randomness import default_generator
from manymodes.inverse.box import Box
from manymodes.inverse.candidates import Candidates
from manymodes.inverse.forward import Forward
from manymodes.inverse.proposals import proposals
from manymodes.inverse.ranking import best_of, far_apart, ranked, told_apart
from manymodes.inverse.refinement import WAYS, Problem

Refine = Literal["auto", "gauss_newton", "gradient", "finite_differences"] | None
Bound = ArrayLike | Tensor

_SIX_DIGITS = 1e-6  # of the largest wanted outcome: so right are solutions that are simply right
_APART = 0.01  # of the spread of y: solutions that are nearer are one


def solve(
    distribution: Prediction,
    forward: Callable[[Any], Any],
    x: Tensor | NDArray[Any],
    *,
    n_candidates: int = 8,
    n_samples: int = 0,
    refine: Refine = "auto",
    rank: Literal["error", "density"] = "error",
    diverse: bool = True,
    tolerance: float | None = None,
    separation: Bound | None = None,
    scale: Bound | None = None,
    bounds: tuple[Bound, Bound] | None = None,
    generator: torch.Generator | None = None,
) -> Candidates:
    r"""Return ranked candidate solutions y of f(y) = x for every wanted outcome x.

    The modes of the density, and samples of it if there are to be any, are refined through the forward function f.
    Those that end at one place become one. The error is :math:`\lVert (f(y) - x) / s \rVert` with the scale s.

    By error, solutions within the tolerance come first, the most probable of them before others; then those that are
    wrong, by their error. By density, it is the order in which the model proposes them, whatever comes of them: the
    one that tells how good the model is by itself, above all with ``refine=None``.

    Args:
        distribution: Densities of solutions given x, ``batch_shape`` (N,), ``event_shape`` (D,).
        forward: The forward function, of M solutions at a time: (M, D) -> (M, F), each of its rows by itself. It takes
            and returns tensors where x is one, and arrays in double precision where x is one.
        x: Wanted outcomes, (N, F).
        n_candidates: How many candidates of each row are returned at most.
        n_samples: How many samples of each row are tried beside the modes.
        refine: ``"gauss_newton"``, damped and with derivatives from torch; ``"gradient"``, by many small steps, for
            very many outcomes or solutions; ``"finite_differences"``, Gauss-Newton with 2 D more calls a step, where
            there is no gradient; None, not at all; ``"auto"`` takes Gauss-Newton for tensors, and None for arrays and
            where solutions are counts.
        rank: ``"error"`` or ``"density"``, see above.
        diverse: Whether right solutions are kept far apart where there are more than ``n_candidates``, each the
            farthest from those before, and not the most probable ones.
        tolerance: Error up to which a solution is right; None takes 1e-6 of the largest wanted outcome.
        separation: Distance in every dimension below which solutions are one, in the units of y: a number, or one for
            each dimension, (D,); None takes 1 % of each prediction's standard deviation.
        scale: Unit in which errors of outcomes count, a number or one for each outcome, (F,); None takes 1.
        bounds: Lowest and highest solutions, numbers or (D,) each, which no candidate leaves; angles are told in the
            turn that begins there. None for any, with angles in [-pi, pi).
        generator: Source of samples; None takes a fixed seed.

    Raises:
        ValueError: Shapes that do not fit, outcomes that are not finite, settings out of range, or a forward function
            without the gradient that was asked for.
        TypeError: No prediction, no function, or a forward function that returns something else.

    Example:
        >>> from torch.distributions import Categorical
        >>> from manymodes.distributions import DiagonalNormal, Mixture
        >>> loc = torch.tensor([[[-1.3], [1.5]]])  # about the square roots of 2
        >>> weights = Categorical(torch.tensor([[0.4, 0.6]]))
        >>> density = Mixture(weights, DiagonalNormal(loc, torch.full_like(loc, 0.1)))
        >>> solve(density, lambda y: y**2, torch.tensor([[2.0]])).y.squeeze(-1)
        tensor([[ 1.4142, -1.4142]])
    """
    n_candidates = _checks.integer_at_least("n_candidates", n_candidates, 1)
    by_error = _checks.one_of("rank", rank, {"error": True, "density": False})
    n_samples = _checks.integer_at_least("n_samples", n_samples, 0)
    diverse = _checks.boolean("diverse", diverse)
    # Also where somebody has switched gradients off: derivatives of the forward function are needed.
    with torch.inference_mode(mode=False), torch.no_grad():
        problem = _problem(distribution, forward, x, scale, bounds)
        how = _way(refine, problem.forward, distribution)
        enough = _enough(tolerance, problem) if by_error else torch.inf
        apart = _separation(separation, problem.unit)
        generator = default_generator(generator, distribution.logits.device)
        found = proposals(distribution, problem, n_samples, generator, how=how)
        found = told_apart(ranked(found, enough), apart)
        if diverse:
            return far_apart(found, n_candidates, enough, problem.unit)
        return best_of(found, n_candidates)


# --- what is asked ---


def _problem(
    distribution: Prediction, forward: Callable[[Any], Any], x: Any, scale: Bound | None, bounds: Any
) -> Problem:
    """Return what is wanted of each row, N of them."""
    _checks.instance("distribution", distribution, Prediction)
    arrays = isinstance(x, np.ndarray)
    if not arrays:
        _checks.instance("x", x, Tensor, " or an array, as forward takes them")
    like = distribution.logits
    dtype = torch.float64 if arrays else like.dtype
    wanted = torch.as_tensor(x).to(like.device, dtype).clone()
    expected = (*distribution.batch_shape, "F")
    _checks.matches_shape("x", wanted.shape, expected, "to have the rows of the distribution")
    if not bool(wanted.isfinite().all()):
        raise _checks.InputError("x must hold finite numbers; drop the other rows of it and of the distribution.")
    units = torch.as_tensor(1.0 if scale is None else scale, dtype=dtype, device=like.device).clone()
    if units.dim():
        _checks.matches_shape("scale", units.shape, tuple(wanted.shape[-1:]), "or be a number")
    if not bool((units > 0).all()):
        raise _checks.InputError(f"scale must be > 0 for every outcome; got {units.tolist()}.")
    is_angle = torch.tensor([kind == "angle" for kind in distribution.components.kinds], device=like.device)
    return Problem(
        Forward(forward, wanted.shape[-1], arrays=arrays),
        wanted,
        units.expand(wanted.shape[-1]),
        _unit(distribution, is_angle, dtype),
        Box.of(bounds, is_angle, dtype),
    )


def _unit(distribution: Prediction, is_angle: Tensor, dtype: torch.dtype) -> Tensor:
    """Return how large changes of solutions usually are, (N, D): their spread, or 1 where there is none."""
    spread = distribution.stddev.to(dtype)
    spread = torch.where(is_angle, spread.clamp_max(1.0), spread)
    return torch.where(spread.isfinite() & (spread > 0), spread, 1.0)


def _way(refine: Any, forward: Forward, distribution: Prediction) -> str | None:
    """Return how solutions are refined, or refuse what cannot be."""
    if refine is None:
        return None
    _checks.one_of("refine", refine, {**WAYS, "auto": None})
    whole = "count" in distribution.components.kinds
    if refine == "auto":
        return "gauss_newton" if forward.has_gradient and not whole else None
    if whole:
        raise _checks.InputError(f"refine must be None or 'auto' where solutions are counts; got {refine!r}.")
    if refine != "finite_differences" and not forward.has_gradient:
        raise _checks.InputError(
            f"refine must be 'finite_differences', 'auto' or None where x is an array; got {refine!r}."
        )
    return str(refine)


def _enough(tolerance: float | None, problem: Problem) -> float:
    """Return the error up to which a solution is right."""
    if tolerance is not None:
        return _checks.positive("tolerance", tolerance)
    return _SIX_DIGITS * float((problem.x / problem.scale).abs().amax()) if problem.x.numel() else 1.0


def _separation(separation: Bound | None, unit: Tensor) -> Tensor:
    if separation is None:
        return _APART * unit
    apart = torch.as_tensor(separation, dtype=unit.dtype, device=unit.device)
    if apart.dim():
        _checks.matches_shape("separation", apart.shape, tuple(unit.shape[-1:]), "or be a number")
    if not bool((apart >= 0).all()):
        raise _checks.InputError(f"separation must be >= 0 in every dimension; got {separation}.")
    return apart.expand(unit.shape)
