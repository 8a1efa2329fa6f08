"""Corrections of predicted densities by rows held out, after which they still are densities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self, final

import torch
from torch import Tensor

from manymodes import _checks, metrics
from manymodes.calibration import pit_maps
from manymodes.calibration.held_out import held_out_targets, refuse_impossible
from manymodes.calibration.temperature import fit_temperature
from manymodes.distributions import Mixture, PITMap, Prediction, Recalibrated
from manymodes.distributions.randomness import default_generator

LEAST_ROWS = 20
KINDS = {"auto": pit_maps.best, "beta": pit_maps.beta, "spline": pit_maps.spline, "temperature": None}


@final
@dataclass(frozen=True)
class Recalibration:
    """A function from a mixture to a better prediction of the same targets, fitted by ``fit_recalibration``.

    Attributes:
        temperature: Divides log-weights, > 0: below 1 likely components become likelier, see ``Mixture.tempered``.
        spread: Factor of the components' spreads, > 0.
        maps: Maps of the conditional cdfs after that, one for each target dimension in turn, see
            ``distributions.Recalibrated``; None where there are none, and predictions stay mixtures.

    Raises:
        ValueError: A temperature or spread that is not > 0.
    """

    temperature: float = 1.0
    spread: float = 1.0
    maps: tuple[PITMap, ...] | None = None

    def __post_init__(self) -> None:
        _checks.positive("temperature", self.temperature)
        _checks.positive("spread", self.spread)

    def __call__(self, distribution: Mixture) -> Prediction:
        """Return the corrected prediction.

        Raises:
            TypeError: A distribution that is no mixture.
        """
        _checks.instance("distribution", distribution, Mixture)
        if (self.temperature, self.spread) != (1.0, 1.0):
            distribution = distribution.tempered(self.temperature, spread=self.spread)
        return distribution if self.maps is None else Recalibrated(distribution, self.maps)

    @property
    def changes_nothing(self) -> bool:
        """Whether predictions come back as they are: nothing was to be gained on the rows held out."""
        return (self.temperature, self.spread, self.maps) == (1.0, 1.0, None)

    def to_dict(self) -> dict[str, Any]:
        """Return the correction as numbers and lists, to be kept in a file of JSON."""
        maps = (
            None if self.maps is None else [{"knots": m.knots.tolist(), "slopes": m.slopes.tolist()} for m in self.maps]
        )
        return {"temperature": self.temperature, "spread": self.spread, "maps": maps}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the correction that ``to_dict`` wrote."""
        _checks.written_by("to_dict", values, ("temperature", "spread", "maps"))
        maps = values["maps"]
        kept = None if maps is None else tuple(PITMap(m["knots"], m["slopes"]) for m in maps)
        return cls(values["temperature"], values["spread"], kept)

    def __repr__(self) -> str:
        maps = "none" if self.maps is None else ", ".join(f"{len(m.knots)} knots" for m in self.maps)
        return f"Recalibration(temperature={self.temperature:.3g}, spread={self.spread:.3g}, maps={maps})"


def fit_recalibration(
    distribution: Mixture,
    y: Tensor,
    *,
    kind: str = "auto",
    min_slope: float = 0.02,
    generator: torch.Generator | None = None,
) -> Recalibration:
    """Return the correction that fits targets best that the model was not fitted to.

    Give it rows that are held out, or predictions of every row by a model that was fitted to others
    (``estimators.RecalibratedRegressor`` does that): on the rows of its fit a model looks too good to need correction.

    Args:
        distribution: Predictions of the rows, ``batch_shape`` (N,), ``event_shape`` (D,).
        y: Their targets, (N, D).
        kind: ``"temperature"``, two numbers, after which predictions stay mixtures of the same family; ``"beta"``, maps
            of the conditional cdfs with three parameters, for shift, spread and skewness; ``"spline"``, any smooth
            monotone maps, as fine as the rows allow; ``"auto"``, a temperature, then for a single
            target the map that scores best on folds of the rows, each only where it gains more than a standard error,
            or anything and a test says that the prediction is not calibrated. With maps of several targets, what is
            asked of later ones by themselves takes up to half a second a row.
        min_slope: Least slope of maps, in (0, 1): densities fall to no less than this share.
        generator: Source of randomness for folds and for what is spread over jumps of a cdf; None takes a fixed seed.

    Raises:
        ValueError: Fewer than 20 rows, targets that do not fit, another kind, or a floor outside (0, 1); maps of
            angles, or a temperature of a family whose spread cannot change.
        TypeError: A distribution that is no mixture, or targets that are not exact.

    Example:
        >>> from torch.distributions import Categorical
        >>> from manymodes.distributions import DiagonalNormal
        >>> y = torch.randn(500, 1, generator=torch.Generator().manual_seed(0))
        >>> components = DiagonalNormal(torch.zeros(500, 1, 1), torch.full((500, 1, 1), 2.0))
        >>> too_wide = Mixture(Categorical(torch.ones(500, 1)), components)
        >>> fit_recalibration(too_wide, y)
        Recalibration(temperature=1, spread=0.5..., maps=none)
    """
    _checks.instance("distribution", distribution, Mixture)
    fit = _checks.one_of("kind", kind, KINDS)
    min_slope = _checks.number_between("min_slope", min_slope, 0.0, 1.0)
    y = held_out_targets("fit_recalibration", distribution, y, "no correction", at_least=LEAST_ROWS)
    refuse_impossible(distribution, y)
    if fit is not None and kind != "auto":
        Recalibrated(distribution, [PITMap.identity()] * distribution.event_shape[0])  # refuses angles
    temperature = spread = 1.0
    if kind == "temperature" or (kind == "auto" and _can_widen(distribution)):
        temperature, spread = fit_temperature(distribution, y)
    found = Recalibration(temperature, spread)
    if fit is None or (kind == "auto" and (y.shape[-1] > 1 or "angle" in distribution.components.kinds)):
        return found
    levels = _levels(found(distribution), y, generator)
    maps = tuple(pit_maps.floored(fit(column), min_slope) for column in levels)
    if kind == "auto" and all(pit_map.changes_nothing for pit_map in maps):
        return found
    return Recalibration(temperature, spread, maps)


def _can_widen(distribution: Mixture) -> bool:
    try:
        distribution.components.widened(1.0)
    except _checks.InputError:
        return False
    return True


def _levels(distribution: Prediction, y: Tensor, generator: torch.Generator | None) -> list[pit_maps.Array]:
    """Return the conditional PIT of every target dimension, (N,) each, its rows shuffled."""
    generator = default_generator(generator, y.device)
    with torch.no_grad():
        levels = [metrics.pit(given, target, generator=generator) for given, target in _in_turn(distribution, y)]
    order = torch.randperm(len(y), generator=generator, device=generator.device)
    return [level[order].double().cpu().numpy().reshape(-1) for level in levels]


def _in_turn(distribution: Prediction, y: Tensor) -> Iterator[tuple[Prediction, Tensor]]:
    """Yield the distribution of each target dimension given those before it, with its targets, (N, 1)."""
    for d in range(y.shape[-1]):
        first = distribution.marginal(list(range(d + 1)))
        yield first.conditional(list(range(d)), y[..., :d]) if d else first, y[..., [d]]
