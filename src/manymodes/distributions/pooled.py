"""Members of an ensemble pooled into one density where no single mixture holds them all."""

from __future__ import annotations

import math
from typing import Any, final

import torch
from torch import Tensor
from torch.types import _size

from manymodes.distributions.component import Kind
from manymodes.distributions.incomplete import Incomplete
from manymodes.distributions.sampled import SampledDensity


@final
class Pooled(SampledDensity):
    r"""The density of a member drawn at random, each with the same probability.

    .. math:: p(y | x) = \tfrac1M \sum_m p_m(y | x)

    Args:
        members: Densities of ``batch_shape`` (M, N), ``event_shape`` (D,).

    Attributes:
        members: The same.
    """

    def __init__(self, members: SampledDensity) -> None:
        self.members = members
        super().__init__(members.batch_shape[1:], members.event_shape, validate_args=False)
        self._validate_args = members._validate_args

    @property
    def n_members(self) -> int:
        """Number of members, M."""
        return int(self.members.batch_shape[0])

    # --- what it is ---

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kind of each target dimension."""
        return self.members.kinds

    @property
    def dtype(self) -> torch.dtype:
        """Precision of samples."""
        return self.members.dtype

    @property
    def device(self) -> torch.device:
        """Where samples are."""
        return self.members.device

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether samples of the members can carry gradients."""
        return self.members.has_rsample

    # --- torch's interface ---

    def expand(self, batch_shape: _size, _instance: Any = None) -> Pooled:
        """Return the distribution with its batch shape expanded, by no further axes."""
        return Pooled(self.members.expand(torch.Size([self.n_members, *batch_shape])))

    def log_prob(self, value: Tensor | Incomplete) -> Tensor:
        """Return log p(y) in nats, (S..., N), for targets ``value`` of shape (S..., N, D)."""
        if isinstance(value, Incomplete):
            return self.members.log_prob(value)  # which refuses it
        y: Tensor = self.check_target(value)
        axis = y.dim() - 1 - len(self.batch_shape)
        return torch.logsumexp(self.members.log_prob(y.unsqueeze(axis)), axis) - math.log(self.n_members)

    # --- distributions made from this one ---

    def affine(self, shift: Tensor | float, scale: Tensor | float) -> Pooled:
        """Return the distribution of ``shift + scale * Y``, see ``Autoregressive.affine``."""
        return Pooled(self.members.affine(shift, scale))

    def to(self, where: torch.dtype | torch.device | str) -> Pooled:
        """Return the same prediction in another precision or on another device, see ``Autoregressive.to``."""
        return Pooled(self.members.to(where))

    def __getitem__(self, index: Any) -> Pooled:
        """Return the predictions of some rows: whatever indexes a tensor of ``batch_shape``."""
        return Pooled(self.members[(slice(None), *(index if isinstance(index, tuple) else (index,)))])

    # --- private ---

    def _estimated_moments(self) -> tuple[Tensor, Tensor]:
        mean, variance = self.members.mean, self.members.variance
        centre = mean.mean(0)
        return centre, variance.mean(0) + (mean - centre).square().mean(0)

    def _drawn(self, how: str, sample_shape: torch.Size, generator: torch.Generator | None) -> Tensor:
        if not self.batch_shape:  # one row, so that all draws of a member can be told
            return Pooled(self.members[:, None])._drawn(how, sample_shape, generator).squeeze(-2)
        shape = sample_shape + self.batch_shape
        chosen = torch.randint(self.n_members, shape, generator=generator, device=self.device).flatten()
        order = chosen.argsort()
        places = torch.arange(self.batch_shape.numel(), device=self.device).expand(sample_shape.numel(), -1).flatten()
        parts = []
        for member, own in enumerate(order.split(chosen.bincount(minlength=self.n_members).tolist())):
            rows = torch.unravel_index(places[own], self.batch_shape)
            parts.append(getattr(self.members[(member, *rows)], how)(generator=generator))
        return torch.cat(parts)[order.argsort()].reshape(shape + self.event_shape)

    def __repr__(self) -> str:
        return f"Pooled({self.members!r})"
