r"""How much probability lies where the density is higher than at a target: regions, seen from the target.

.. math:: r(y) = P\{\, p(Y) > p(y) \,\}

is the smallest level whose region holds y. On the line it is exact: both stretches beside every maximum are crossed by
the level p(y) once or not at all, and the cdf tells what lies between. Atoms are more probable than any place beside
them, and counts are ranked by their probabilities, as regions take them. There ranks jump, by the probability of y
itself. In several dimensions samples are counted.

References:
    Hyndman (1996), Computing and graphing highest density regions, The American Statistician 50.
    Harrison, Sutton, Carvalho and Hobson (2015), Validation of Bayesian posterior distributions using a
    multidimensional Kolmogorov-Smirnov test, MNRAS 451.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.types import _size

from manymodes import _checks
from manymodes.distributions.atoms import take_apart
from manymodes.distributions.component import Component
from manymodes.distributions.lattice import stretches
from manymodes.distributions.levels import above
from manymodes.distributions.line import Line
from manymodes.distributions.randomness import default_generator
from manymodes.distributions.regions import slopes_beside
from manymodes.distributions.results import Atoms
from manymodes.distributions.shapes import slices
from manymodes.distributions.turning import find_extrema

_CHUNK = 2**20  # values of (targets, components) at a time, which bounds the memory
_MOST_SAMPLES = 2**25  # numbers in the samples at a time, likewise
_RUN = 500  # samples of each row whose densities are worked out at a time


class Ranked(Protocol):
    """What ranks are asked of: a ``Prediction``, which is made with the help of this file."""

    batch_shape: torch.Size
    event_shape: torch.Size

    @property
    def logits(self) -> Tensor:
        """Log-weights, (N, K)."""

    @property
    def components(self) -> Component:
        """Components, ``batch_shape`` (N, K)."""

    def check_target(self, value: Any) -> Any:
        """Return targets, or refuse them."""

    def wrapped(self, value: Tensor) -> Tensor:
        """Return targets with angles taken around the circle."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log-densities, (S..., N)."""

    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., N, D)."""

    def __getitem__(self, index: Any) -> Ranked:
        """Return some rows."""


class Ranks(NamedTuple):
    """Where targets stand among all that their predictions hold possible.

    Attributes:
        low: Probability of what is denser, (S..., N).
        high: The same with the probability of the target itself, and of what is as dense; equal for densities.
    """

    low: Tensor
    high: Tensor


def find_ranks(
    prediction: Ranked, y: Tensor, *, n_samples: int = 10_000, generator: torch.Generator | None = None
) -> Ranks:
    """Return the ranks of targets (S..., N, D), (S..., N); see ``Prediction.highest_density_rank``."""
    _checks.instance("y", y, Tensor)
    _checks.integer_at_least("n_samples", n_samples, 1)
    y = prediction.wrapped(prediction.check_target(y))
    with torch.no_grad():
        if prediction.event_shape[0] > 1:
            return _by_samples(prediction, y, n_samples, generator)
        components = prediction.components.transformed(lambda value: value.double())
        line = Line.of(prediction.logits.double(), components)
        shape = torch.broadcast_shapes(y.shape[:-1], prediction.batch_shape)
        flat = y.squeeze(-1).double().expand(shape).reshape(shape.numel() // max(len(line), 1), len(line))
        ranks = _on_the_line(line, flat)
        return Ranks(*(end.reshape(shape).to(prediction.logits.dtype) for end in ranks))


def _by_samples(prediction: Ranked, y: Tensor, n_samples: int, generator: torch.Generator | None) -> Ranks:
    """Return ranks among samples, those of as many rows at once as memory should hold."""
    generator = default_generator(generator, prediction.logits.device)
    at = prediction.log_prob(y)
    batch = prediction.batch_shape
    if not batch or not batch.numel():
        return _among(prediction.log_prob(prediction.sample((n_samples,), generator=generator)), at)
    size = max(1, _MOST_SAMPLES * batch[0] // (n_samples * batch.numel() * y.shape[-1]))
    n_axes = len(batch)
    parts = []
    for rows in slices(batch[0], size):
        some = prediction[rows]
        samples = some.sample((n_samples,), generator=generator)
        heights = torch.cat([some.log_prob(run) for run in samples.split(_RUN)])
        parts.append(_among(heights, at.movedim(-n_axes, 0)[rows].movedim(0, -n_axes)))
    return Ranks(*(torch.cat(ends, -n_axes) for ends in zip(*parts, strict=True)))


def _on_the_line(line: Line, y: Tensor) -> Ranks:
    """Return the ranks of targets (S, N) among mixtures on the line."""
    parts = take_apart(line)
    low, high = torch.ones_like(y), torch.ones_like(y)
    if parts.spread is not None and y.numel():
        within = _counts(parts.spread, y) if parts.kind == "count" else _density(parts.spread, y)
        before, share = parts.atoms.mass.sum(-1), parts.share.exp()
        low, high = ((before + share * end).clamp(0.0, 1.0) for end in within)
    return _among_atoms(parts.atoms, y, Ranks(low, high))


def _among(heights: Tensor, at: Tensor) -> Ranks:
    """Return the ranks of log-densities (S..., ...) among those of samples, (R, ...)."""
    n_samples, n_rows = len(heights), heights[0].numel()
    ordered = heights.reshape(n_samples, n_rows).T.contiguous().sort(-1).values
    flat = at.reshape(at.numel() // max(n_rows, 1), n_rows).T.contiguous()
    up_to, below = (torch.searchsorted(ordered, flat, right=right) for right in (True, False))
    low, high = ((1 - count.to(at.dtype) / n_samples).T.reshape(at.shape) for count in (up_to, below))
    return Ranks(low, high)


def _among_atoms(atoms: Atoms, y: Tensor, beside: Ranks) -> Ranks:
    """Return ranks (S, N), those of targets on an atom among the atoms, which come first."""
    on = (y.unsqueeze(-1) == atoms.location) & atoms.mask  # (S, N, A)
    after = atoms.mass.cumsum(-1)
    ends = (torch.where(on, end, 0.0).sum(-1) for end in (after - atoms.mass, after))
    low, high = (torch.where(on.any(-1), end, other) for end, other in zip(ends, beside, strict=True))
    return Ranks(low, high)


def _density(line: Line, y: Tensor) -> Ranks:
    width = len(line.logits) * len(y)
    parts = [_denser(line.take(rows), y[:, rows]) for rows in slices(len(line), max(1, _CHUNK // width))]
    rank = torch.cat(parts, -1)
    return Ranks(rank, rank)


def _denser(line: Line, y: Tensor) -> Tensor:
    """Return the probability of what is denser than targets, (S, N)."""
    peak, valley = find_extrema(line, share=0.3 * torch.finfo(y.dtype).eps ** 0.5)
    row = torch.arange(y.shape[-1], device=y.device).expand_as(y).flatten()
    log_level = line.log_prob(y).flatten()
    here = line.take(row)
    somewhere = torch.where(log_level == -torch.inf, 0.0, log_level)
    _, mass, _ = above(here, slopes_beside(here, peak[row], valley[row], somewhere), somewhere)
    return torch.where(log_level == -torch.inf, 1.0, mass.clamp_max(1.0)).reshape(y.shape)


def _counts(line: Line, y: Tensor) -> Ranks:
    """Return ranks among integers, the more probable first, and of equal ones the smaller."""
    parts = []
    for stretch in stretches(line):
        mass, order = stretch.log_prob.exp().sort(dim=-1, descending=True, stable=True)  # (n, W)
        after = mass.cumsum(-1)
        place = order.argsort(-1)
        column = y[:, stretch.rows] - stretch.integer[:, 0]  # (S, n)
        there = (column >= 0) & (column < mass.shape[-1]) & (column == column.round())
        index = place.T.gather(0, torch.where(there, column, 0.0).long())
        ends = (end.T.gather(0, index) for end in (after - mass, after))
        parts.append([torch.where(there, end, 1.0) for end in ends])
    low, high = (torch.cat(ends, -1) for ends in zip(*parts, strict=True))
    return Ranks(low, high)
