"""Every mode on the line, for mixtures of every family, against maxima of the density on a fine grid."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical

from manymodes.distributions import (
    Beta,
    Component,
    Concatenation,
    DiagonalNormal,
    Gamma,
    Laplace,
    Log,
    Logistic,
    Logit,
    LogNormal,
    Mixture,
    Modes,
    StudentT,
    Transformed,
    Truncated,
    VonMises,
    YeoJohnson,
)
from manymodes.distributions.line import Line
from manymodes.distributions.turning import find_extrema

FLAT = 1e-10  # of log-density: what rises by less is rounding on the grid
TINY = torch.finfo(torch.float64).tiny


class Draw:
    """Random parameters, (N, K, 1) each, from one seed."""

    def __init__(self, n: int, k: int, seed: int) -> None:
        self.shape = (n, k, 1)
        self._generator = torch.Generator().manual_seed(seed)

    def even(self, low: float, high: float, shape: tuple[int, ...] | None = None) -> Tensor:
        return low + (high - low) * torch.rand(shape or self.shape, generator=self._generator, dtype=torch.float64)

    def normal(self, shape: tuple[int, ...] | None = None) -> Tensor:
        return torch.randn(shape or self.shape, generator=self._generator, dtype=torch.float64)

    def places(self, spread: float = 3.0) -> Tensor:
        """Locations: far apart in most rows, close in some, and different in the last digits only in a few."""
        kind, loc = self.even(0, 1, (self.shape[0], 1, 1)), spread * self.normal()
        gap = torch.where(kind < 0.25, 0.1, torch.where(kind < 0.35, 1e-9, 1.0))
        return torch.where(kind < 0.35, loc[:, :1] + gap * (loc - loc[:, :1]), loc)

    def widths(self) -> Tensor:
        return self.even(-3.5, 1.2).exp()

    def shapes(self) -> Tensor:
        """Concentrations from 0.2 to 50, some of them exactly 1."""
        return torch.where(self.even(0, 1) < 0.15, 1.0, self.even(-1.5, 4).exp())

    def logits(self) -> Tensor:
        """Log-weights, some of them tiny."""
        shape = self.shape[:-1]
        return self.normal(shape) - 15 * (self.even(0, 1, shape) < 0.1)


def normals(draw: Draw) -> DiagonalNormal:
    return DiagonalNormal(draw.places(), draw.widths())


def seam_or_anywhere(draw: Draw) -> Tensor:
    """Angles, a fifth of them at -pi or pi."""
    ends = math.pi * draw.normal().sign()
    return torch.where(draw.even(0, 1) < 0.2, ends, draw.even(-7, 7))


ZOO: dict[str, Callable[[Draw], Component]] = {
    "normal": normals,
    "student": lambda draw: StudentT(1 + draw.even(-7, 4).exp(), draw.places(), draw.widths()),
    "laplace": lambda draw: Laplace(draw.places(), draw.widths()),
    "logistic": lambda draw: Logistic(draw.places(), draw.widths()),
    "lognormal": lambda draw: LogNormal(draw.places(1.5), draw.widths()),
    "gamma": lambda draw: Gamma(draw.shapes(), draw.even(-2, 2).exp()),
    "beta": lambda draw: Beta(draw.shapes(), draw.shapes(), -1.0, 3.0),
    "von mises": lambda draw: VonMises(seam_or_anywhere(draw), draw.even(-4, 5).exp()),
    "truncated normal": lambda draw: Truncated(DiagonalNormal(draw.places(), draw.even(0.6, 3.0)), -1.0, 2.0),
    "normal truncated far out": lambda draw: Truncated(
        DiagonalNormal(draw.places(0.5), draw.even(0.6, 2.0)), 20.0, math.inf
    ),
    "truncated logistic": lambda draw: Truncated(Logistic(draw.places(), draw.widths()), -1.0, 2.0),
    "logistic truncated far out": lambda draw: Truncated(
        Logistic(draw.places(), draw.even(0.1, 2.0)), -math.inf, -15.0
    ),
    "log": lambda draw: Transformed(DiagonalNormal(draw.places(1.5), draw.widths()), Log()),
    "logit": lambda draw: Transformed(normals(draw), Logit.on(-1.0, 3.0)),
    "yeo and johnson": lambda draw: Transformed(normals(draw), YeoJohnson(power=0.3)),
    "normal and lognormal": lambda draw: Concatenation(normals(draw), LogNormal(draw.places(1.5), draw.widths())),
}
every_family = pytest.mark.parametrize("name", ZOO)
linear = pytest.mark.parametrize("name", [name for name in ZOO if name != "von mises"])


def drawn(name: str, n: int = 14, seed: int = 0, scale: float = 1.0, shift: float = 0.0) -> Mixture:
    """Return random mixtures of one family, with 2 to 8 components of each group that have weight."""
    draw = Draw(n, 8, seed)
    components = ZOO[name](draw)
    sizes = (2 + torch.arange(n) % 7).unsqueeze(-1)
    extra = (torch.arange(8) >= sizes).repeat(1, components.batch_shape[-1] // 8)
    logits = torch.cat([draw.logits() for _ in range(components.batch_shape[-1] // 8)], -1)
    mixture = Mixture(Categorical(logits=logits.masked_fill(extra, -math.inf)), components)
    return mixture if (scale, shift) == (1, 0) else mixture.affine(shift, scale)


def alone(components: Component, weights: list[float] | None = None) -> Mixture:
    """Return a mixture of given components, equally likely by default."""
    size = components.batch_shape
    probs = torch.tensor(weights or [1 / size[-1]] * size[-1], dtype=torch.float64)
    return Mixture(Categorical(probs=probs.expand(size)), components)


def column(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).reshape(1, -1, 1)


def fine_grid(mixture: Mixture, n: int = 120) -> Tensor:
    """Return points of every row, (P, N), ascending: quantiles of components, what lies between, ends of supports."""
    parts, like = mixture.components, mixture.logits.unsqueeze(-1)
    levels = torch.cat([torch.logspace(-12, -3, 20).double(), torch.linspace(0.002, 0.5, n).double()])
    share = levels.reshape(-1, 1, 1, 1).expand(-1, *like.shape)
    quantiles = torch.cat([parts.icdf(share), parts.isf(share)]).squeeze(-1)  # (Q, N, K)
    quantiles = quantiles.permute(0, 2, 1).flatten(0, 1)
    low, high = parts.icdf(torch.full_like(like, 0.5)).squeeze(-1).aminmax(dim=-1)
    between = low + (high - low) * torch.linspace(0, 1, 3 * n, dtype=torch.float64).unsqueeze(-1)
    ends = []
    for end in parts.ends():
        step = torch.maximum(end.abs() * 2e-16, torch.full_like(end, TINY))
        ends += [end.squeeze(-1).T, (end - step).squeeze(-1).T, (end + step).squeeze(-1).T]
    points = torch.cat([quantiles, between, *ends])
    if "angle" in parts.kinds:
        around = torch.linspace(-math.pi, math.pi, 4 * n, dtype=torch.float64)[:, None].expand(-1, len(like))
        points = torch.cat([points, around]).clamp(-math.pi, math.pi)
    return torch.where(points.isfinite(), points, low).sort(0).values


def turns(height: Tensor, flat: float = FLAT) -> tuple[Tensor, Tensor]:
    """Return where a sequence, (P, N), turns from rising to falling and back by more than ``flat``: two masks."""
    n_points, n_rows = height.shape
    rows = torch.arange(n_rows)
    top, bottom = torch.zeros(2, n_points, n_rows, dtype=torch.bool)
    rising = torch.ones(n_rows, dtype=torch.bool)
    at, extreme = torch.zeros(n_rows, dtype=torch.long), height[0].clone()
    for i in range(1, n_points):
        here = height[i]
        beyond = torch.where(rising, here > extreme, here < extreme)
        turned = torch.where(rising, here < extreme - flat, here > extreme + flat)
        top[at[turned & rising], rows[turned & rising]] = True
        bottom[at[turned & ~rising], rows[turned & ~rising]] = True
        at = torch.where(beyond | turned, i, at)
        extreme = torch.where(beyond | turned, here, extreme)
        rising = rising ^ turned
    top[at[rising], rows[rising]] = True
    return top, bottom


def log_density(mixture: Mixture, points: Tensor) -> Tensor:
    return mixture.log_prob(points.unsqueeze(-1)).clamp_min(-3000.0)  # (P, N)


def assert_modes_are_those_of_a_grid(mixture: Mixture, modes: Modes) -> None:
    """No maximum of a grid is missed, and between two modes the density is lower than at both."""
    found = modes.location[..., 0].sort(-1).values.T  # (J, N), NaN last
    steps = torch.linspace(0, 1, 42, dtype=torch.float64)[:, None, None]
    gaps = (found[:-1] + steps * (found[1:] - found[:-1])).flatten(0, 1)
    points = torch.cat([fine_grid(mixture), found, gaps])
    points = torch.where(points.isnan(), points[:1], points).sort(0).values
    if "angle" in mixture.components.kinds:  # the circle is cut where the density is lowest
        points = points.clamp(-math.pi, math.pi - 1e-15)
        lowest = log_density(mixture, points).argmin(0)
        points = points.gather(0, (torch.arange(len(points))[:, None] + lowest) % len(points))
    height = log_density(mixture, points)
    top, _ = turns(height)
    same = (points.unsqueeze(-1) == found.T).any(-1)  # (P, N)
    for row in range(points.shape[1]):
        at, is_mode = height[:, row].numpy(), same[:, row].numpy()
        for i in top[:, row].nonzero().squeeze(-1).tolist():
            below = np.flatnonzero(at < at[i] - FLAT)
            left, right = below[below < i].max(initial=-1), below[below > i].min(initial=len(at))
            assert is_mode[left + 1 : right].any(), (row, points[i, row].item(), found[:, row].tolist())
        places = np.flatnonzero(is_mode)
        places = places[np.append(True, points[places[1:], row] != points[places[:-1], row])]
        assert len(places) == modes.count[row]
        for i, j in itertools.pairwise(places):
            assert at[i : j + 1].min() <= min(at[i], at[j]), (row, points[[i, j], row].tolist())


@every_family
def test_every_maximum_of_a_fine_grid_is_a_mode_and_no_two_modes_share_one(name):
    mixture = drawn(name)
    assert_modes_are_those_of_a_grid(mixture, mixture.modes())


SHIFTED = [name for name in ZOO if name not in ("von mises", "lognormal", "gamma", "log", "normal and lognormal")]


@pytest.mark.parametrize(("scale", "shift"), [(1e-6, 0.0), (1e6, 0.0), (1e-6, 1.0), (1e3, 1e9)])
@pytest.mark.parametrize("name", SHIFTED)
def test_modes_move_along_with_shifts_and_scales(name, scale, shift):
    mixture, moved = drawn(name, n=14, seed=1), drawn(name, 14, 1, scale, shift)
    before, after = mixture.modes(), moved.modes()
    far = 4e-16 * abs(shift) / scale  # what the shift rounds off, in the old units
    for row in range(14):
        own = before.location[row, before.mask[row], 0]
        back = (after.location[row, after.mask[row], 0] - shift) / scale
        near = (own[:, None] - back).abs() < 1e-6 + 100 * far
        lonely = [i for i in range(len(own)) if not near[i].any()]
        assert not lonely, (row, own[lonely].tolist(), back.tolist())


@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("name", ["lognormal", "gamma", "log"])
def test_modes_of_positive_targets_move_along_with_scales(name, scale):
    mixture, moved = drawn(name, n=14, seed=2), drawn(name, 14, 2, scale)
    before, after = mixture.modes(), moved.modes()
    assert torch.equal(before.count, after.count)
    assert (before.location * scale - after.location).abs().nan_to_num().max() < 1e-6 * scale


@every_family
def test_masses_are_the_probabilities_between_the_minima_and_sum_to_one(name):
    mixture = drawn(name, n=14, seed=3)
    modes = mixture.modes()
    torch.testing.assert_close(modes.mass.sum(-1), torch.ones(14, dtype=torch.float64), rtol=0, atol=1e-9)
    points = fine_grid(mixture)
    height = log_density(mixture, points)
    for row in range(14):
        order = modes.location[row, modes.mask[row], 0].argsort()
        places, masses = modes.location[row, modes.mask[row], 0][order], modes.mass[row, modes.mask[row]][order]
        cuts = []
        for low, high in itertools.pairwise(places):
            inner = torch.linspace(0, 1, 801, dtype=torch.float64) * (high - low) + low
            inner = torch.cat([inner, points[(points[:, row] > low) & (points[:, row] < high), row]]).sort().values
            cuts.append(inner[log_density(mixture[row : row + 1], inner[:, None])[:, 0].argmin()])
        if "angle" in mixture.components.kinds:
            if len(places) < 2:
                continue
            across = points[(points[:, row] < places[0]) | (points[:, row] > places[-1]), row]
            outer = across[log_density(mixture[row : row + 1], across[:, None])[:, 0].argmin()]
            below = mixture[row : row + 1].cdf(torch.stack([*cuts, outer]).reshape(-1, 1, 1)).flatten()
            between = below[:-1].diff()
            first_and_last = torch.stack([below[0] - below[-1], below[-1] - below[-2]])
            expected = torch.cat([first_and_last[:1] % 1, between, first_and_last[1:] % 1])
        else:
            ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
            inside = [mixture[row : row + 1].cdf(cut.reshape(1, 1)).flatten() for cut in cuts]
            expected = torch.cat([ends[:1], *inside, ends[1:]]).diff()
        assert (masses - expected).abs().max() < 2e-3, (row, masses.tolist(), expected.tolist())
    assert height.isfinite().all()


def test_a_maximum_beside_a_pole_of_another_component_is_found():
    mixture = drawn("gamma", n=14, seed=3)[6:7]
    line = Line.of(mixture.logits, mixture.components)
    maximum, minimum = find_extrema(line)
    grid = torch.logspace(-4, 3, 20_001, dtype=torch.float64)
    height = line.log_prob(grid.unsqueeze(-1)).squeeze(-1)
    inner = (height[1:-1] > height[:-2]) & (height[1:-1] > height[2:])
    found = maximum[0][1:]  # the first one is the pole
    torch.testing.assert_close(grid[1:-1][inner], found, rtol=1e-3, atol=0.0)
    assert minimum.shape == (1, len(found))
