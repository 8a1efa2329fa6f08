r"""Retrieval: components centred on the targets of neighbouring training rows, beside those of the head.

.. math:: p(y | x) = g(x) \, p_\mathrm{head}(y | x) + (1 - g(x)) \sum_{i \in N(x)} w_i(x) \, \mathcal N(y; y_i, s(x)^2),
    \qquad w_i \propto \exp(-\tau \lVert e(x) - e(x_i) \rVert^2)

with a gate g, widths s and an embedding e that the network learns, and N(x) the nearest training rows in the embedding.
All of them are components of one mixture. The training rows become part of the network, and so of its files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Categorical

from manymodes import _checks
from manymodes.distributions import DiagonalNormal, Mixture
from manymodes.distributions.reduction import concatenated
from manymodes.nn.members import linear

_MOST_DISTANCES = 20_000_000  # in memory at once, when neighbours are searched
_FIRST_GATE = 2.0  # before softmax: at first the head speaks
_KEY_FEATURES = 32


class Retrieval(nn.Module):
    """A memory of training rows, and what a network needs to consult it.

    While training, each step looks for neighbours among a random sample of ``n_candidates`` rows, whose embeddings are
    those of the last ``refresh``; the row itself and those that a member holds out are left out.

    Args:
        in_features: Number of features that the backbone returns.
        n_rows: Number of rows to remember, R.
        row_features: Number of input columns, F.
        target_dim: Number of target dimensions, D.
        n_neighbors: Number of nearest rows whose targets become components.
        n_candidates: Number of rows that a training step considers.
        min_scale: Smallest width, or one for each target dimension, in standardised units.
        n_members: Number of members side by side, M; None for no member axis.
    """

    rows: Tensor
    targets: Tensor
    keys: Tensor
    allowed: Tensor
    _min_scale: Tensor

    def __init__(
        self,
        in_features: int,
        *,
        n_rows: int,
        row_features: int,
        target_dim: int,
        n_neighbors: int = 24,
        n_candidates: int = 2048,
        min_scale: float | Sequence[float] = 1e-3,
        n_members: int | None = None,
    ) -> None:
        super().__init__()
        self._n_rows = _checks.integer_at_least("n_rows", n_rows, 2)
        self.n_neighbors = min(_checks.integer_at_least("n_neighbors", n_neighbors, 1), n_rows - 1)
        self._n_candidates = max(_checks.integer_at_least("n_candidates", n_candidates, 2), self.n_neighbors + 1)
        given = list(min_scale) if isinstance(min_scale, Sequence) else [min_scale]
        least = [_checks.positive("min_scale", scale) for scale in given]
        with torch.device("cpu"):  # no state of the network: also there while it is made without memory
            self.register_buffer("_min_scale", torch.tensor(least, dtype=torch.float64), persistent=False)
        leading = () if n_members is None else (n_members,)
        self.embed = linear(in_features, _KEY_FEATURES, n_members)
        self.judge = linear(in_features, 1 + target_dim, n_members)  # gate and widths
        self.sharpness = nn.Parameter(torch.zeros(*leading, 1))
        self.register_buffer("rows", torch.zeros(n_rows, row_features))
        self.register_buffer("targets", torch.zeros(n_rows, target_dim))
        self.register_buffer("keys", torch.zeros(*leading, n_rows, _KEY_FEATURES))
        self.register_buffer("allowed", torch.ones(*leading, n_rows, dtype=torch.bool))

    @torch.no_grad()
    def remember(self, rows: Tensor, targets: Tensor, index: Tensor) -> None:
        """Take training rows, (R, F), and targets, (R, D), in scaled units; members may consult those in ``index``."""
        self.rows.copy_(rows)
        self.targets.copy_(targets)
        self.allowed.zero_().scatter_(-1, index, True)

    @torch.no_grad()
    def refresh(self, backbone: nn.Module, chunk: int = 4096) -> None:
        """Embed the remembered rows as the backbone sees them now."""
        leading = self.keys.shape[:-2]
        was_training = backbone.training
        backbone.eval()
        parts = [self.embed(backbone(part.expand(*leading, *part.shape))) for part in self.rows.split(chunk)]
        self.keys.copy_(torch.cat(parts, -2))
        backbone.train(was_training)

    def open(self) -> None:
        """Let every member consult every row: for predictions."""
        self.allowed.fill_(value=True)

    def forward(self, features: Tensor, mixture: Mixture, place: Tensor | None = None) -> Mixture:
        """Return the head's mixture with the neighbours' components beside its own.

        Args:
            features: What the backbone returns, (..., N, in_features).
            mixture: What the head makes of them, normal components.
            place: Numbers of the rows among those remembered, (..., N), which are left out for themselves.
        """
        weights, index = self._neighbours(self.embed(features).to(self.keys.dtype), place)
        judged = self.judge(features).to(self.keys.dtype)
        log_gate = F.logsigmoid(judged[..., :1] + _FIRST_GATE)
        log_rest = F.logsigmoid(-judged[..., :1] - _FIRST_GATE)
        loc = self.targets[index]  # (..., N, neighbours, D)
        scale = (self._min_scale.to(judged) + F.softplus(judged[..., 1:] - 1.0)).unsqueeze(-2).expand_as(loc)
        near = DiagonalNormal(loc, scale, validate_args=False)
        logits = torch.cat([mixture.logits + log_gate, weights + log_rest], -1)
        components = concatenated([mixture.components, near])
        return Mixture(Categorical(logits=logits, validate_args=False), components, validate_args=False)

    def _neighbours(self, queries: Tensor, place: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return log-weights and numbers of the nearest rows, (..., N, neighbours) each."""
        if self.training and self._n_rows > self._n_candidates:
            candidates = torch.randint(self._n_rows, (self._n_candidates,), device=queries.device)
        else:
            candidates = torch.arange(self._n_rows, device=queries.device)
        keys = self.keys[..., candidates, :]
        forbidden = ~self.allowed[..., candidates].unsqueeze(-2)
        parts, places = _chunks(queries, place, len(candidates))
        with torch.no_grad():
            found = []
            for part, own in zip(parts, places, strict=True):
                distance = torch.cdist(part, keys)
                hidden = forbidden if own is None else forbidden | (candidates == own.unsqueeze(-1))
                found.append(distance.masked_fill(hidden, torch.inf).topk(self.n_neighbors, largest=False))
            nearest = torch.cat([one.indices for one in found], -2)
            too_few = torch.cat([one.values for one in found], -2).isinf()  # rows that are allowed: hidden ones fill up
            too_few &= ~too_few.all(-1, keepdim=True)
        distance = (queries.unsqueeze(-2) - _taken(keys, nearest)).square().sum(-1).masked_fill(too_few, torch.inf)
        sharpness = F.softplus(self.sharpness).unsqueeze(-1)
        return torch.log_softmax(-sharpness * distance, -1), candidates[nearest]


def _chunks(
    queries: Tensor, place: Tensor | None, n_candidates: int
) -> tuple[Sequence[Tensor], Sequence[Tensor | None]]:
    """Return queries, (..., N, d), and their numbers in parts whose distances fit into memory."""
    if torch.compiler.is_compiling():  # a traced network must take any number of rows
        return [queries], [place]
    chunk = max(1, _MOST_DISTANCES // (n_candidates * math.prod(queries.shape[:-2])))
    parts = queries.split(chunk, -2)
    return parts, [None] * len(parts) if place is None else place.split(chunk, -1)


def _taken(keys: Tensor, index: Tensor) -> Tensor:
    """Return the keys, (..., R, d), of each row's neighbours, (..., N, neighbours): (..., N, neighbours, d)."""
    flat = index.flatten(-2).unsqueeze(-1).expand(*index.shape[:-2], -1, keys.shape[-1])
    taken: Tensor = keys.gather(-2, flat).unflatten(-2, index.shape[-2:])
    return taken
