r"""Where to look for the best next: how promising candidates are, as Bayesian optimisation ranks them.

Predictions are those of the candidates, and ``best`` is the best target that was seen. The density of a network holds
noise, too: where that is large, an improvement may be luck that does not last. Members of an ensemble tell both apart,
and ``thompson`` follows one member at a time.

References:
    Jones, Schonlau and Welch (1998), Efficient global optimization of expensive black-box functions, J. Global
    Optimization 13, eq. 14 (expected improvement); Kushner (1964), A new method of locating the maximum point of an
    arbitrary multipeak curve in the presence of noise, J. Basic Engineering 86 (probability of improvement); Thompson
    (1933), On the likelihood that one unknown probability exceeds another, Biometrika 25.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.decisions.partial import expected_excess, on_a_line, per_row
from manymodes.distributions import Mixture, Prediction
from manymodes.distributions.randomness import default_generator
from manymodes.distributions.uncertainty import listed


def expected_improvement(distribution: Prediction, best: Tensor | float, *, maximise: bool = True) -> Tensor:
    """How much candidates are expected to improve on the best target so far, (N, D); exact, in the units of y.

    Args:
        distribution: Predictions of the candidates, ``batch_shape`` (N,).
        best: The best target so far: a number, one per row, (N,), or (N, D).
        maximise: Whether larger is better.

    Raises:
        ValueError: Angles, or a ``best`` of another shape or that is not finite.
    """
    upper = _checks.boolean("maximise", maximise)
    on_a_line("expected_improvement", distribution)
    return expected_excess(distribution, per_row("best", best, distribution), tail="upper" if upper else "lower")


def probability_of_improvement(distribution: Prediction, best: Tensor | float, *, maximise: bool = True) -> Tensor:
    """How probable it is that candidates are better than the best target so far, (N, D); exact.

    Arguments are those of ``expected_improvement``.
    """
    upper = _checks.boolean("maximise", maximise)
    on_a_line("probability_of_improvement", distribution)
    at = per_row("best", best, distribution)
    return distribution.sf(at) if upper else distribution.cdf(torch.nextafter(at, torch.full_like(at, -torch.inf)))


def thompson(
    members: Mixture | Sequence[Mixture],
    n: int = 1,
    *,
    maximise: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return rows to try next, (n,): each is what one member of an ensemble, drawn at random, holds to be the best.

    A member stands for a whole function that may be the true one, so its mean is compared over all rows, without noise.
    Members that agree name the same row again and again; where they do not, so are the rows.

    Args:
        members: Predictions of the candidates: a mixture with ``batch_shape`` (M, N), or M of ``batch_shape`` (N,); one
            target dimension.
        n: Number of draws.
        maximise: Whether larger is better.
        generator: Source of randomness; None takes a fixed seed.

    Raises:
        ValueError: No members or no rows, several target dimensions, or angles.
    """
    n = _checks.integer_at_least("n", n, 1)
    upper = _checks.boolean("maximise", maximise)
    found = listed(members)
    on_a_line("thompson", found[0])
    shape = (*found[0].batch_shape, *found[0].event_shape)
    if shape[0] == 0 or shape[1] != 1:
        raise _checks.InputError(
            f"members must describe at least 1 row and one target dimension; got {_checks.shape_text(shape)}."
        )
    with torch.no_grad():
        means = torch.stack([member.mean.squeeze(-1) for member in found])  # (M, N)
    favourite = (means if upper else -means).argmax(-1)
    generator = default_generator(generator, means.device)
    return favourite[torch.randint(len(found), (n,), generator=generator, device=means.device)]
