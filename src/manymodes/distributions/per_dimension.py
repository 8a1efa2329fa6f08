"""What a mixture says of each target dimension by itself: moments, probabilities, quantiles, regions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import moments
from manymodes.distributions.component import Component
from manymodes.distributions.line import Line
from manymodes.distributions.quantiles import tail_quantile
from manymodes.distributions.regions import find_region
from manymodes.distributions.results import Region


class PerDimension(ABC):
    """The marginal quantities of a mixture with ``batch_shape`` (N,) and ``event_shape`` (D,). Abstract.

    Everything here is exact and, where nothing else is said, differentiable. Targets are (S..., N, D), and so is what
    is returned.
    """

    batch_shape: torch.Size
    event_shape: torch.Size

    @property
    @abstractmethod
    def components(self) -> Component:
        """The K components, ``batch_shape`` (N, K)."""

    @property
    @abstractmethod
    def logits(self) -> Tensor:
        """Log-weights, (N, K)."""

    @property
    @abstractmethod
    def weights(self) -> Tensor:
        """Weights of the components, (N, K)."""

    @abstractmethod
    def check_target(self, value: Any) -> Any:
        """Return targets as floating-point numbers, or refuse what does not fit."""

    def wrapped(self, value: Tensor) -> Tensor:
        """Return targets, or differences of them, with angles taken around the circle into [-pi, pi)."""
        angle = torch.tensor([kind == "angle" for kind in self.components.kinds], device=value.device)
        around = torch.remainder(value + torch.pi, 2 * torch.pi) - torch.pi
        return torch.where(angle, around, value)

    # --- moments ---

    @property
    def mean(self) -> Tensor:
        """Mean of each target dimension, (N, D); of angles, their mean direction."""
        return moments.mean(self.weights, self.components)

    @property
    def variance(self) -> Tensor:
        """Variance of each target dimension, (N, D); of angles, the circular variance, from 0 to 1."""
        return moments.central_moment(self.weights, self.components, 2)

    @property
    def stddev(self) -> Tensor:
        """Standard deviation of each target dimension, (N, D); of angles, the circular one, in radians."""
        return moments.standard_deviation(self.variance, self.components)

    @property
    def component_stddev(self) -> Tensor:
        """Standard deviation of each component, (N, K, D), likewise."""
        return moments.standard_deviation(self.components.variance, self.components)

    def central_moment(self, order: int) -> Tensor:
        """Return E[(Y - E Y)^order] of each target dimension, (N, D), for orders 2 to 4; infinite if there is none.

        Raises:
            ValueError: Another order, or an order above 2 where a target is an angle.
        """
        return moments.central_moment(self.weights, self.components, order)

    @property
    def skewness(self) -> Tensor:
        """Third standardised moment of each target dimension, (N, D); 0 where nothing varies."""
        return moments.standardised(self.weights, self.components, 3)

    @property
    def kurtosis(self) -> Tensor:
        """Excess kurtosis of each target dimension, (N, D): the fourth standardised moment less the 3 of a normal."""
        return moments.standardised(self.weights, self.components, 4) - 3

    @property
    def median(self) -> Tensor:
        """Median of each target dimension, (N, D)."""
        return self.icdf(0.5)

    # --- probabilities ---

    def cdf(self, value: Tensor) -> Tensor:
        """Return P(Y_d <= y_d) of every target dimension by itself, (S..., N, D)."""
        value = self.check_target(value)
        return self._weighted(self.components.cdf(value.unsqueeze(-2)))

    def sf(self, value: Tensor) -> Tensor:
        """Return P(Y_d > y_d) of every target dimension by itself, (S..., N, D), accurate in the upper tail."""
        value = self.check_target(value)
        return self._weighted(self.components.sf(value.unsqueeze(-2)))

    def probability(self, low: Tensor | float, high: Tensor | float) -> Tensor:
        """Return P(low <= Y_d <= high) of every target dimension by itself, (S..., N, D).

        Args:
            low: Lower ends, a number or targets; -inf for none.
            high: Upper ends, likewise; inf for none.

        Raises:
            ValueError: An upper end below its lower end, or shapes that do not fit.
        """
        low, high = self._targets("low", low), self._targets("high", high)
        if not bool((low <= high).all()):
            index = tuple((low > high).nonzero()[0].tolist())
            raise _checks.InputError(f"low must be <= high; got {low[index]:g} and {high[index]:g} at {index}.")
        before = torch.nextafter(low, torch.full_like(low, -torch.inf))  # a closed interval holds its lower end
        below = self.cdf(before)
        return torch.where(below > 0.5, self.sf(before) - self.sf(high), self.cdf(high) - below).clamp(0.0, 1.0)

    def exceedance(self, threshold: Tensor | float) -> Tensor:
        """Return P(Y_d >= threshold) of every target dimension by itself, (S..., N, D), accurate when it is tiny."""
        at = self._targets("threshold", threshold)
        return self.sf(torch.nextafter(at, torch.full_like(at, -torch.inf)))

    # --- quantiles and what follows from them ---

    def icdf(self, value: Tensor | float) -> Tensor:
        """Return the quantile of every target dimension by itself, (S..., N, D): the smallest y with F(y) >= value.

        Found by safeguarded Newton steps inside a bracket, see ``distributions.quantiles``; carries no gradient.

        Args:
            value: A level in [0, 1], or levels that broadcast like targets, say (Q, 1, 1).

        Raises:
            ValueError: A level outside [0, 1], or a shape that does not fit.
        """
        level = self._levels(value)
        return self._tail_quantile(level, level > 0.5)

    def icdf_around_mean(self, value: Tensor | float) -> Tensor:
        """Return quantiles, (S..., N, D), as ``icdf`` does, but of angles those of a circle cut opposite to their mean.

        So the interval between two quantiles of an angle is one arc, wherever it lies. Ends of it may be beyond -pi or
        pi.

        Args:
            value: A level in [0, 1], or levels that broadcast like targets, say (Q, 1, 1).

        Raises:
            ValueError: A level outside [0, 1], or a shape that does not fit.
        """
        if "angle" not in self.components.kinds:
            return self.icdf(value)
        level = self._levels(value)
        is_angle = torch.tensor([kind == "angle" for kind in self.components.kinds], device=level.device)
        mean = self.mean
        below = self.cdf(self.wrapped(mean - torch.pi)).to(level.dtype)  # P(Y <= cut), where counting begins
        turned = self.icdf(torch.where(is_angle, torch.remainder(level + below, 1.0), level))
        return torch.where(is_angle, mean + self.wrapped(turned - mean), turned)

    def isf(self, value: Tensor | float) -> Tensor:
        """Return y with P(Y_d > y_d) = value, (S..., N, D): ``icdf(1 - value)``, accurate for tiny values too.

        Args:
            value: A probability in [0, 1], or several that broadcast like targets.

        Raises:
            ValueError: A probability outside [0, 1], or a shape that does not fit.
        """
        level = self._levels(value)
        return self._tail_quantile(level, level <= 0.5)

    def central_interval(self, level: float = 0.9) -> tuple[Tensor, Tensor]:
        """Return the quantiles that leave half of 1 - level on each side, (N, D) both.

        Raises:
            ValueError: A level outside (0, 1).
        """
        tail = 0.5 * (1 - _checks.number_between("level", level, 0.0, 1.0))
        return self.icdf(tail), self.isf(tail)

    def expected_shortfall(self, level: float, *, tail: Literal["upper", "lower"] = "upper") -> Tensor:
        """Return the mean of the outermost 1 - level of every target dimension, (N, D): CVaR at ``level``.

        Args:
            level: Probability in [0, 1) of what is less extreme, say 0.95.
            tail: Which side is feared.

        Raises:
            ValueError: A level outside [0, 1), or another tail.

        References:
            Rockafellar and Uryasev (2000), Optimization of conditional value-at-risk, Journal of Risk 2(3).
        """
        level = _checks.number_between("level", level, 0.0, 1.0, including=(0.0,))
        upper = _checks.one_of("tail", tail, {"upper": True, "lower": False})
        share = torch.tensor(1 - level, dtype=self.logits.dtype, device=self.logits.device)
        if level == 0:
            return self.mean
        quantile = self.isf(1 - level) if upper else self.icdf(1 - level)
        beyond = self.sf(quantile) if upper else self.cdf(quantile)
        return moments.expected_shortfall(self.weights, self.components, quantile, beyond, share, upper=upper)

    def highest_density_region(self, level: float | Tensor = 0.9, *, dim: int | None = None) -> Region:
        """Return the smallest set that holds a probability, as disjoint intervals: several where there are modes.

        Exact, see ``distributions.regions``; carries no gradient.

        Args:
            level: Probability in (0, 1), a number or one per prediction, (N,).
            dim: Target dimension; may be left out where there is one only.

        Raises:
            ValueError: A level outside (0, 1), or several dimensions and none chosen.
        """
        if dim is None and self.event_shape[0] > 1:
            raise _checks.InputError(
                f"dim must name one of the {self.event_shape[0]} target dimensions; got None. For the joint density, "
                "see highest_density_level."
            )
        wanted = torch.as_tensor(level, dtype=self.logits.dtype, device=self.logits.device)
        if wanted.dim():
            _checks.matches_shape("level", wanted.shape, tuple(self.batch_shape), "or be a number")
        if not bool(((wanted > 0) & (wanted < 1)).all()):
            raise _checks.InputError(f"level must be a number > 0 and < 1; got {level}.")
        with torch.no_grad():
            line = Line.of(self.logits, self.components.marginal(self.dims(dim or 0)))
            region = find_region(line, wanted.to(line.logits.dtype).expand(self.batch_shape).reshape(-1))
        return region.reshaped(self.batch_shape)

    def dims(self, dims: int | list[int], *, some_left: bool = False) -> list[int]:
        """Return target dimensions as numbers from 0, or refuse what they cannot be."""
        if not isinstance(dims, (int, list, tuple)) or not all(isinstance(dim, int) for dim in _listed(dims)):
            raise TypeError(f"dims must be an integer or a list of integers; got {dims!r}.")
        chosen = _listed(dims)
        target_dim = self.event_shape[0]
        if not chosen or any(not -target_dim <= dim < target_dim for dim in chosen):
            raise _checks.InputError(f"dims must name target dimensions from 0 to {target_dim - 1}; got {dims}.")
        chosen = [dim % target_dim for dim in chosen]
        if len(set(chosen)) < len(chosen):
            raise _checks.InputError(f"dims must name each target dimension once; got {dims}.")
        if some_left and len(chosen) == target_dim:
            raise _checks.InputError(f"dims must leave at least one of the {target_dim} target dimensions; got {dims}.")
        return chosen

    # --- private ---

    def _weighted(self, parts: Tensor) -> Tensor:
        return (self.weights.unsqueeze(-1) * parts).sum(-2)

    def _tail_quantile(self, level: Tensor, upper: Tensor) -> Tensor:
        tail = torch.where(level > 0.5, 1 - level, level).to(self.logits.dtype)
        return tail_quantile(self.weights, self.components, tail, upper)

    def _levels(self, value: Tensor | float) -> Tensor:
        # In double precision: float32 rounds 1 - 1e-9 to 1.
        levels = torch.as_tensor(value, dtype=torch.float64, device=self.logits.device)
        if levels.numel() and not bool(((levels >= 0) & (levels <= 1)).all()):
            raise _checks.InputError(f"q must be a number from 0 to 1; got {value}.")
        expected = self.batch_shape + self.event_shape
        if levels.dim() == 0:
            return levels.expand(expected)
        tail = levels.shape[max(levels.dim() - len(expected), 0) :]
        if len(tail) < len(expected) or any(
            size not in (1, wanted) for size, wanted in zip(tail, expected, strict=True)
        ):
            text = _checks.shape_text(["...", *expected])
            raise _checks.InputError(
                f"q must be a number or have shape {text}, where any size may be 1; "
                f"got {_checks.shape_text(levels.shape)}."
            )
        return levels.expand(levels.shape[: levels.dim() - len(expected)] + expected)

    def _targets(self, name: str, value: Tensor | float) -> Tensor:
        """Return a number or targets as targets of this distribution, (S..., N, D)."""
        expected = self.batch_shape + self.event_shape
        targets = torch.as_tensor(value, dtype=self.logits.dtype, device=self.logits.device)
        if targets.dim():
            _checks.ends_with_shape(name, targets.shape, expected, "or be a number")
        if bool(targets.isnan().any()):
            raise _checks.InputError(f"{name} must be a number; got NaN.")
        return targets.expand(torch.broadcast_shapes(targets.shape, expected))


def _listed(dims: int | Sequence[int]) -> list[int]:
    return [dims] if isinstance(dims, int) else list(dims)
