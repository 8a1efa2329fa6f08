"""The medoid: of the modes of a density the one that is nearest to all of them."""

from __future__ import annotations

import torch
from torch import Tensor

from manymodes.distributions.prediction import Prediction

_LEAST_MASS = 0.05  # of a mode that may be the answer


@torch.no_grad()
def medoid(distribution: Prediction) -> Tensor:
    r"""Return the mode that is nearest to all modes, by their masses, (N, D).

    .. math:: \arg\min_{i:\, m_i \ge 0.05} \sum_j m_j \, \lVert (y_i - y_j) / s \rVert

    Between two answers, the mean and the median may be one that never happens; a mode is one that does, and unlike
    the highest mode the medoid minds where the others are. Atoms count as modes. Distances are taken in units of the
    mean distance of each target dimension, so that the user's do not matter; angles are taken around the circle.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).

    Raises:
        ValueError: As ``Mixture.modes``.

    References:
        Kaufman and Rousseeuw (1987), Clustering by means of medoids.
    """
    modes = distribution.modes()
    atoms = modes.atoms.location.unsqueeze(-1).expand(*modes.atoms.location.shape, modes.location.shape[-1])
    place = torch.cat([modes.location, atoms], -2).nan_to_num(0.0)  # (N, J, D)
    mass = torch.cat([modes.mass, modes.atoms.mass], -1)  # 0 where there is none
    gap = distribution.wrapped(place.unsqueeze(-2) - place.unsqueeze(-3)).abs()  # (N, J, J, D)
    pair = (mass.unsqueeze(-1) * mass.unsqueeze(-2)).unsqueeze(-1)
    unit = (pair * gap).sum((-2, -3), keepdim=True)
    distance = torch.linalg.vector_norm(gap / torch.where(unit > 0, unit, 1.0), dim=-1)
    total = (mass.unsqueeze(-2) * distance).sum(-1)
    likely = (mass >= _LEAST_MASS) | (mass == mass.amax(-1, keepdim=True))
    chosen = total.masked_fill(~likely, torch.inf).argmin(-1)
    index = chosen[..., None, None].expand(*chosen.shape, 1, place.shape[-1])
    found: Tensor = place.gather(-2, index).squeeze(-2)
    return found
