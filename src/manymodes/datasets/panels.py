r"""Integrals over panels, one formula a row: probabilities, moments and quantiles of densities known by a formula.

A panel lies between two places. It is integrated by Gauss and Legendre's rule after

.. math:: y = a + (b - a)(3 s^2 - 2 s^3),

which makes jumps, kinks and poles of the order of a square root at places harmless: :math:`1 / \sqrt{y - a}` becomes
smooth in s. Up to a target inside, :math:`y = a + (b - a) s^2` is taken from the nearer end, and quantiles by Newton's
steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from manymodes.distributions.roots import bracketed_root
from manymodes.distributions.shapes import slices

Formula = Callable[[Tensor, Tensor], Tensor]  # of targets (..., R, 1) and what is known of rows, (R, P): (..., R, 1)
Moment = Callable[[Tensor], Tensor]

_VALUES = 2**21  # numbers worked on at a time, which bounds the memory
_GAUSS = [torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(24)]
_S, _SHARES = 0.5 * (1 + _GAUSS[0]), 0.5 * _GAUSS[1]


class Formulas(NamedTuple):
    """What is known: log-densities, up to a constant of each row, and the cdf where there is a formula, else None."""

    log_density: Formula
    cdf: Formula | None = None


def each_once(places: Tensor) -> Tensor:
    """Return places (R, E) in order, each once, the last one filling up."""
    ordered = places.sort(-1).values
    last = ordered[:, -1:]
    ordered = torch.where(pad(ordered.diff(dim=-1) == 0, (1, 0)), last, ordered).sort(-1).values
    return ordered[:, : int((ordered < last).sum(-1).max()) + 1] if len(ordered) else ordered


def probabilities(formulas: Formulas, parameters: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Return the probabilities of panels, (R, E - 1), and the logs of the integrals of densities, (R, 1).

    Those are 0 where the formula of the cdf says so; neither is finite where a density is 0 everywhere.
    """
    if formulas.cdf is not None:
        masses = formulas.cdf(places.T.unsqueeze(-1), parameters).squeeze(-1).T.diff(dim=-1).clamp_min(0.0)
        return masses, torch.where(masses.sum(-1, keepdim=True) > 0, 0.0, torch.nan)
    tables = []
    for rows in slices(len(places), max(1, _VALUES // (len(_S) * places.shape[-1]))):
        nodes, shares = _nodes(places[rows])  # (Q, n, E - 1)
        log_height = _at_nodes(formulas.log_density, nodes, parameters[rows]) + shares.log()
        top = log_height.amax((0, 2)).clamp_min(torch.finfo(nodes.dtype).min).unsqueeze(-1)
        masses = (log_height - top).exp().sum(0)
        total = masses.sum(-1, keepdim=True)
        tables.append((masses / total, top + total.log()))
    masses, log_norm = (torch.cat(parts) for parts in zip(*tables, strict=True))
    return masses, log_norm


def moments(g: Moment, formulas: Formulas, parameters: Tensor, places: Tensor, log_norm: Tensor) -> Tensor:
    """Return the integrals of g(y) p(y) over panels, (..., E - 1)."""
    nodes, shares = _nodes(places)
    log_height = _at_nodes(formulas.log_density, nodes, parameters) - log_norm
    return (g(nodes) * (log_height + shares.log()).exp()).sum(0)


@dataclass(frozen=True, eq=False)
class Panels:
    """The panels of R rows; targets are (S, R).

    Attributes:
        formulas: Densities and perhaps cdfs.
        parameters: What they know of rows, (R, P).
        places: Ends of panels, ascending, (R, E).
        log_norm: Logs of the integrals of densities, (R, 1).
        masses: Integrals of g p over panels, (R, E - 1).
        g: What the density p is multiplied by; None for 1.
    """

    formulas: Formulas
    parameters: Tensor
    places: Tensor
    log_norm: Tensor
    masses: Tensor
    g: Moment | None = None

    def beyond(self, value: Tensor, *, upper: bool) -> Tensor:
        """Return the integrals of g p above targets, or up to them, (S, R)."""
        at = torch.minimum(torch.maximum(value, self.places[:, 0]), self.places[:, -1])
        panel = _first_that_reaches(at, self.places)
        before = self._before(panel, upper=upper)
        size = max(1, _VALUES // len(_S))
        runs = zip(*(part.flatten().split(size) for part in (at, panel, self._rows(at))), strict=True)
        inside = torch.cat([at.new_empty(0), *(self._inside(*run, upper=upper) for run in runs)])
        return before + inside.reshape(at.shape)

    def quantile(self, level: Tensor, *, upper: bool) -> Tensor:
        """Return the places with probabilities (S, R) above them, or up to them."""
        panel = _first_that_reaches(level, self._sums[1].flip(-1) if upper else self._sums[0])
        panel = self.masses.shape[-1] - 1 - panel if upper else panel
        size = max(1, _VALUES // len(_S))
        parts = (level - self._before(panel, upper=upper), panel, self._rows(level))
        runs = zip(*(part.flatten().split(size) for part in parts), strict=True)
        return torch.cat([level.new_empty(0), *(self._solved(*run, upper=upper) for run in runs)]).reshape(level.shape)

    def _rows(self, values: Tensor) -> Tensor:
        return torch.arange(len(self.places), device=values.device).expand_as(values)

    @cached_property
    def _sums(self) -> tuple[Tensor, Tensor]:
        """Integrals up to places, and above them, (R, E) each."""
        return pad(self.masses.cumsum(-1), (1, 0)), pad(self.masses.flip(-1).cumsum(-1).flip(-1), (0, 1))

    def _before(self, panel: Tensor, *, upper: bool) -> Tensor:
        """Return the integrals up to panels (S, R), from the side where counting begins."""
        return self._sums[upper].T.gather(0, panel + 1 if upper else panel)

    # --- numbers (A,) in panels (A,) of rows (A,) ---

    def _height(self, y: Tensor, row: Tensor) -> Tensor:
        log_density = _without_poles(self.formulas.log_density(y.unsqueeze(-1), self.parameters[row]))
        return (log_density - self.log_norm[row]).squeeze(-1).exp()

    def _inside(self, at: Tensor, panel: Tensor, row: Tensor, *, upper: bool) -> Tensor:
        """Return the integrals between targets and the upper, or lower, ends of their panels."""
        whole, low, high = self.masses[row, panel], self.places[row, panel], self.places[row, panel + 1]
        if self.formulas.cdf is not None and self.g is None:
            first = self._sums[0][row, panel]
            part = self.formulas.cdf(at.unsqueeze(-1), self.parameters[row]).squeeze(-1) - first
            return whole - part if upper else part
        from_low = at - low < high - at
        start = torch.where(from_low, low, high)
        s, shares = (part.to(at).unsqueeze(-1) for part in (_S, 2 * _S * _SHARES))
        y = start + (at - start) * s.square()  # (Q, A)
        height = self._height(y, row) if self.g is None else self.g(y) * self._height(y, row)
        part = (at - start).abs() * (shares * height).sum(0)
        return torch.where(from_low == (not upper), part, whole - part)

    def _solved(self, missing: Tensor, panel: Tensor, row: Tensor, *, upper: bool) -> Tensor:
        """Return the places in panels with a probability between them and the ends where counting begins."""
        sign = -1.0 if upper else 1.0

        def excess(y: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
            gap = self._inside(y, panel[which], row[which], upper=upper) - missing[which]
            return sign * gap, self._height(y, row[which])

        low, high = self.places[row, panel], self.places[row, panel + 1]
        first, last = (high, low) if upper else (low, high)
        found = bracketed_root(excess, low, high)
        full = missing >= self.masses[row, panel]
        return torch.where(missing <= 0, first, torch.where(full, last, found))


def _first_that_reaches(values: Tensor, ordered: Tensor) -> Tensor:
    """Return the panel whose upper end is the first of ``ordered``, (R, E), that reaches values (S, R)."""
    found = torch.searchsorted(ordered.contiguous(), values.T.contiguous()).T - 1
    return found.clamp(0, ordered.shape[-1] - 2)


def _nodes(places: Tensor) -> tuple[Tensor, Tensor]:
    """Return the nodes of all panels and what their heights count, (Q, ..., E - 1) each."""
    s, shares = (part.to(places).reshape(-1, *(1,) * places.dim()) for part in (_S, 6 * _S * (1 - _S) * _SHARES))
    low, high, width = places[..., :-1], places[..., 1:], places.diff(dim=-1)
    from_low, from_high = s.square() * (3 - 2 * s), (1 - s).square() * (1 + 2 * s)  # in widths
    return torch.where(s < 0.5, low + from_low * width, high - from_high * width), shares * width


def _at_nodes(log_density: Formula, nodes: Tensor, parameters: Tensor) -> Tensor:
    """Return log-densities at nodes (Q, ..., E - 1)."""
    log_height = log_density(nodes.movedim(-1, 0).unsqueeze(-1), parameters).squeeze(-1).movedim(0, -1)
    return _without_poles(log_height)


def _without_poles(log_density: Tensor) -> Tensor:
    """Return log-densities with nothing in place of a pole, that only rounding can meet."""
    return log_density.masked_fill(log_density == torch.inf, -torch.inf)
