"""The medoid: of many draws from a density the one that is nearest to all others, an answer that does happen."""

from __future__ import annotations

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions.mixture import Mixture

_MOST_DISTANCES = 2**22  # worked on at a time


@torch.no_grad()
def medoid(distribution: Mixture, *, n_samples: int = 100, generator: torch.Generator | None = None) -> Tensor:
    r"""Return the draw with the smallest mean distance to all draws of the joint density, (N, D).

    Between two modes the mean and the median may be answers that never happen; a draw is one that does. Each target
    dimension counts in units of the mean distance between its draws, so that units do not matter; angles count by their
    chords.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        n_samples: Draws of each prediction, at least 2.
        generator: Source of randomness; None takes a fixed seed.

    References:
        Kaufman and Rousseeuw (1987), Clustering by means of medoids.
    """
    n_samples = _checks.integer_at_least("n_samples", n_samples, 2)
    if generator is None:
        generator = torch.Generator(distribution.logits.device).manual_seed(0)
    draws = distribution.sample((n_samples,), generator=generator).movedim(0, -2)  # (N, S, D)
    flat = draws.reshape(-1, *draws.shape[-2:])
    places = _on_a_line(flat, [kind == "angle" for kind in distribution.components.kinds])
    chosen = [
        torch.cdist(part, part).mean(-1).argmin(-1) for part in places.split(max(1, _MOST_DISTANCES // n_samples**2))
    ]
    index = torch.cat(chosen).reshape(-1, 1, 1).expand(-1, 1, flat.shape[-1])
    found: Tensor = flat.gather(-2, index).squeeze(-2).reshape(*draws.shape[:-2], draws.shape[-1])
    return found


def _on_a_line(draws: Tensor, angular: list[bool]) -> Tensor:
    """Return draws, (N, S, D), in units of their distances, angles as points of a circle, (N, S, D + angles)."""
    columns = []
    for column, is_angle in zip(draws.unbind(-1), angular, strict=True):
        parts = [column.cos(), column.sin()] if is_angle else [column - column.mean(-1, keepdim=True)]
        gap = torch.stack([part - part.roll(1, -1) for part in parts]).norm(dim=0).mean(-1, keepdim=True)
        columns += [part / torch.where(gap > 0, gap, 1.0) for part in parts]
    return torch.stack(columns, -1)
