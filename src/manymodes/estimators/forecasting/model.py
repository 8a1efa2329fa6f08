"""A fitted network with what makes its answers those of series: units of windows, and dependence over steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from manymodes.distributions import Mixture, joined
from manymodes.estimators.forecasting.dependence import Dependence, normal_scores
from manymodes.estimators.forecasting.windows import Level, Past, Units, View, inputs_of, units_of
from manymodes.estimators.tables.numbers import Floats
from manymodes.nn import MixtureDensityNetwork

_STEPS = 40_000  # of windows that a network sees at a time, which bounds the memory


@dataclass(eq=False)
class WindowModel:
    """What predicts: windows in, distributions out, both in the units of the series.

    Attributes:
        network: Predicts targets in the units of windows and steps.
        view: How series are looked at.
        widths: Typical distance of each step from the last known value, in units of windows, (H, D).
        levels: Level and spread of each series by its name.
        dependence: Of errors of one path at its steps; None where paths are rolled forward.
    """

    network: MixtureDensityNetwork
    view: View
    widths: Floats
    levels: dict[Any, Level]
    dependence: Dependence | None = None

    def density(self, past: Past) -> Mixture:
        """Return the distribution of every step of windows, ``batch_shape`` (N, H)."""
        return joined([self._rows(part) for part in _parts(past, max(_STEPS // self.view.horizon, 1))])

    def member_density(self, past: Past) -> Mixture:
        """Return what members say, each of windows of its own, ``batch_shape`` (N, H): N / M rows for each member."""
        network, units = self.network, units_of(past, self.view)
        scaled = network.scale_input(inputs_of(past, units, self.view))
        apart = {name: part.unflatten(0, (network.n_members or 1, -1)) for name, part in scaled.items()}
        mixture = network.scaled_distribution(apart).to(torch.float64)
        scaling = network.target_scaling
        components = mixture.components.affine(scaling.loc, scaling.scale)
        components = components.transformed(lambda value: value.flatten(0, 1))
        logits = mixture.logits.flatten(0, 1)
        own = Mixture(torch.distributions.Categorical(logits=logits, validate_args=False), components)
        return self._in_user_units(own, units)

    @torch.no_grad()
    def member_scores(self, past: Past, targets: Floats, rows: Tensor) -> Tensor:
        """Return normal scores of targets of windows under what each member says of its own, (M n, H, D).

        Args:
            past: Windows.
            targets: Values of their next steps, (N, H, D).
            rows: Numbers of the windows of each member, (M, n).
        """
        scores = []
        for part in rows.split(max(_STEPS // (self.view.horizon * len(rows)), 1), -1):
            index = part.flatten().numpy()
            mixture = self.member_density(Past(*(value[index] for value in vars(past).values())))
            scores.append(normal_scores(mixture, torch.from_numpy(targets[index])).unflatten(0, part.shape))
        return torch.cat(scores, 1).flatten(0, 1)

    def _rows(self, past: Past) -> Mixture:
        units = units_of(past, self.view)
        return self._in_user_units(self.network(inputs_of(past, units, self.view)).to(torch.float64), units)

    def _in_user_units(self, mixture: Mixture, units: Units) -> Mixture:
        loc, scale = (part.unsqueeze(-2) for part in units)  # (N, 1, 1, D)
        widths = torch.from_numpy(self.widths)[:, None]  # (H, 1, D)
        return mixture.with_components(mixture.components.affine(loc, scale * widths))


def training_targets(past: Past, targets: Floats, view: View, widths: Floats | None = None) -> tuple[Floats, Floats]:
    """Return targets in units of windows and steps, (N, H, D), NaN where missing, and the widths of steps, (H, D).

    Args:
        past: Windows.
        targets: Values of their next steps, (N, H, D).
        view: How series are looked at.
        widths: Widths of steps, (H, D); None takes those of these targets.
    """
    loc, scale = (part.numpy() for part in units_of(past, view))
    z = (targets - loc) / scale
    if widths is None:
        count = np.maximum((~np.isnan(z)).sum(0), 1)
        widths = np.sqrt(np.nansum(z**2, 0) / count)
        widths = np.where(widths > 0, widths, 1.0)
    return z / widths, widths


def levels_to_lists(levels: Mapping[Any, Level]) -> list[dict[str, Any]]:
    """Return levels as JSON can hold them."""
    return [
        {"name": name, "loc": level.loc.tolist(), "spread": level.spread.tolist()} for name, level in levels.items()
    ]


def levels_from_lists(entries: list[dict[str, Any]]) -> dict[Any, Level]:
    """Return levels that ``levels_to_lists`` wrote."""
    return {entry["name"]: Level(np.array(entry["loc"]), np.array(entry["spread"])) for entry in entries}


def _parts(past: Past, size: int) -> Iterator[Past]:
    for first in range(0, max(len(past), 1), size):
        yield Past(*(part[first : first + size] for part in vars(past).values()))
