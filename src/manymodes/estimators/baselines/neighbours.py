"""The density of the targets of similar rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from manymodes.distributions import Mixture
from manymodes.estimators.baselines.base import StandardisedBaseline, mixture_of, most_likely
from manymodes.training.randomness import seeded

_COUNTS = (4, 8, 16, 32, 64, 128)
_BANDWIDTHS = np.geomspace(0.02, 2.0, 16).tolist()
_LEAST_SPREAD = 0.1  # of the target's: a few neighbours that happen to agree prove little
_MAX_JUDGED = 2000  # rows that choose two numbers


class _Choice(NamedTuple):
    n_neighbours: int
    bandwidth: float


class NearestNeighbours(StandardisedBaseline):
    r"""A kernel density of the targets of the k nearest rows in standardised features.

    .. math:: p(y | x) = 0.99 \sum_{i \in N_k(x)} w_i(x) \, \mathrm{Normal}(y; y_i, (h s(x))^2) + 0.01 \, p_0(y),
        \qquad w_i \propto e^{-2 (d_i / d_k)^2}

    with :math:`d_i` the distance to neighbour i, :math:`s(x)` the spread of the neighbours' targets in each dimension
    and :math:`p_0` the normal of all training targets. Both k (4 to 128, doubling) and h are those with the highest
    leave-one-out likelihood of the training rows, of at most 2,000 of them.

    Args:
        min_scale: Smallest scale of a component, as a share of the target's standard deviation.
        random_state: Seed of which rows choose k and h where there are more than 2,000; None draws a fresh one.

    Attributes:
        n_neighbours_: The number of neighbours that was chosen, k.
        bandwidth_: The width of the kernel that was chosen, h.

    References:
        Rosenblatt (1969), Conditional probability density and regression estimators.
        Loftsgaarden and Quesenberry (1965), A nonparametric estimate of a multivariate density function.
    """

    def __init__(self, *, min_scale: float = 1e-3, random_state: int | np.random.RandomState | None = None) -> None:
        self.min_scale = min_scale
        self.random_state = random_state

    def _learn_scaled(self, x: Tensor, y: Tensor) -> None:
        counts = [count for count in _COUNTS if count < len(y)] or [len(y) - 1]
        self.neighbours_, self.targets_ = NearestNeighbors(n_neighbors=counts[-1]).fit(x.numpy()), y
        judged = torch.randperm(len(y), generator=seeded(self._seed()))[:_MAX_JUDGED]
        distance, index = self._nearest_others(x[judged], judged, counts[-1])

        def candidates() -> Iterator[tuple[_Choice, Mixture]]:
            for count in counts:
                for bandwidth in _BANDWIDTHS:
                    yield _Choice(count, bandwidth), self._kernel_density(distance, index, count, bandwidth)

        self.n_neighbours_, self.bandwidth_ = most_likely(candidates(), y[judged])

    def _scaled_density(self, x: Tensor) -> Mixture:
        distance, index = self.neighbours_.kneighbors(x.numpy(), self.n_neighbours_)
        return self._kernel_density(
            torch.as_tensor(distance), torch.as_tensor(index), self.n_neighbours_, self.bandwidth_
        )

    def _nearest_others(self, x: Tensor, own: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Return distances and numbers of the nearest training rows without the row itself, (N, count) each."""
        distance, index = map(torch.as_tensor, self.neighbours_.kneighbors(x.numpy(), count + 1))
        itself = index == own[:, None]
        itself[:, -1] |= ~itself.any(-1)  # hidden behind many equal rows: leave out the last of them
        others = ~itself
        return distance[others].reshape(-1, count), index[others].reshape(-1, count)

    def _kernel_density(self, distance: Tensor, index: Tensor, count: int, bandwidth: float) -> Mixture:
        targets, reach = self.targets_[index[:, :count]], distance[:, count - 1 : count]  # (N, k, D), (N, 1)
        spread = (targets.var(1, correction=0, keepdim=True) + _LEAST_SPREAD**2).sqrt()
        nearness = torch.exp(-2 * (distance[:, :count] / reach.clamp_min(torch.finfo(reach.dtype).tiny)).square())
        scale = (bandwidth * spread).clamp_min(self.min_scale_)
        return self._with_background(mixture_of(targets, scale, nearness))
