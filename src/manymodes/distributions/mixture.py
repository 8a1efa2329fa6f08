"""The mixture: what every network of this package returns."""

from __future__ import annotations

from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, MixtureSameFamily
from torch.types import _size

from manymodes import _checks
from manymodes.distributions.component import Component
from manymodes.distributions.families import Normal
from manymodes.distributions.modes import Modes, find_modes
from manymodes.distributions.quantiles import tail_quantile


class Mixture(MixtureSameFamily):
    r"""A mixture of K components per example, over targets of D dimensions.

    .. math:: p(y) = \sum_k w_k \, p_k(y)

    It is a ``torch.distributions.MixtureSameFamily`` with ``batch_shape`` (N,), or any other, and
    ``event_shape`` (D,), also for D = 1. Targets have shape (N, D), or (S, N, D) with sample
    dimensions in front; a batch size of 1 in a target is broadcast, nothing else is.

    Args:
        mixture_distribution: Weights, ``batch_shape`` (N,), over K categories.
        component_distribution: Components, ``batch_shape`` (N, K), ``event_shape`` (D,).
        validate_args: Whether NaN in targets is refused; shapes always are checked.

    Raises:
        ValueError: Weights and components of different shapes.
        TypeError: Components that are not a ``Component``.

    Example:
        >>> from manymodes.distributions import DiagonalNormal
        >>> loc = torch.tensor([[[-1.0], [1.0]]])  # (N, K, D)
        >>> density = Mixture(Categorical(torch.tensor([[0.5, 0.5]])), DiagonalNormal(loc, loc.abs() / 4))
        >>> density.mean, density.modes().count
        (tensor([[0.]]), tensor([2]))
    """

    def __init__(
        self,
        mixture_distribution: Categorical,
        component_distribution: Component,
        *,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(component_distribution, Component):
            raise TypeError(
                "component_distribution must be a manymodes.distributions.Component; "
                f"got {type(component_distribution).__name__}."
            )
        super().__init__(mixture_distribution, component_distribution, validate_args=validate_args)

    # --- parts ---

    @property
    def components(self) -> Component:
        """The K components, ``batch_shape`` (N, K)."""
        return cast(Component, self.component_distribution)

    @property
    def n_components(self) -> int:
        """Number of components, K."""
        return int(self.components.batch_shape[-1])

    @cached_property
    def logits(self) -> Tensor:
        """Log-weights that sum to one, (N, K)."""
        weights = self.mixture_distribution
        # Made from probabilities, torch's own logits turn a weight of 0 into one of eps.
        made_from_probs = weights._param is weights.__dict__.get("probs")
        logits = weights.probs.log() if made_from_probs else weights.logits
        return torch.log_softmax(logits, -1).expand(self.components.batch_shape)

    @property
    def weights(self) -> Tensor:
        """Weights of the components, (N, K); they sum to one."""
        return self.logits.exp()

    # --- point predictions beside the inherited mean and variance ---

    @property
    def median(self) -> Tensor:
        """Median of each target dimension, (N, D)."""
        return self.icdf(0.5)

    @property
    def mode(self) -> Tensor:
        """Location of the highest mode of the joint density, (N, D)."""
        return self.modes().location[..., 0, :]

    def modes(self) -> Modes:
        """Return the modes of the joint density reached by ascent from every component mean.

        A mode that no component's mean climbs to is not found. Carries no gradient.

        Raises:
            TypeError: Components that are not normal.
        """
        if not isinstance(self.components, Normal):
            raise TypeError(f"modes are found for normal components; got {type(self.components).__name__}.")
        return find_modes(self.logits, self.components)

    # --- torch's interface ---

    def expand(self, batch_shape: _size, _instance: Distribution | None = None) -> Mixture:
        """Return the mixture with its batch shape expanded."""
        new = self._get_checked_instance(Mixture, _instance)  # type: ignore[no-untyped-call]
        expanded: Mixture = super().expand(batch_shape, _instance=new)  # type: ignore[no-untyped-call]
        return expanded

    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., N, D); only the chosen component of each is drawn from."""
        with torch.no_grad():
            n_samples = torch.Size(sample_shape).numel()
            flat = self.weights.reshape(-1, self.n_components)  # (N, K)
            index = torch.multinomial(flat, max(n_samples, 1), replacement=True, generator=generator)
            index = index[:, :n_samples].T.reshape(torch.Size(sample_shape) + self.batch_shape)  # (S..., N)
            return self.components.sample_at(index, generator)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(y) in nats, (S..., N), for targets ``value`` of shape (S..., N, D)."""
        return torch.logsumexp(self.component_log_prob(value), -1)

    def cdf(self, value: Tensor) -> Tensor:
        """Return P(Y_d <= y_d) of every target dimension by itself, (S..., N, D)."""
        self.check_target(value)
        return (self.weights.unsqueeze(-1) * self.components.cdf(value.unsqueeze(-2))).sum(-2)

    def icdf(self, value: Tensor | float) -> Tensor:
        """Return the quantile of every target dimension by itself, (S..., N, D).

        Found by safeguarded Newton steps inside a bracket, see ``distributions.quantiles``; carries no gradient.

        Args:
            value: A level in [0, 1], or levels that broadcast like targets, say (Q, 1, 1).

        Raises:
            ValueError: A level outside [0, 1], or a shape that does not fit.
        """
        level = self._levels(value)
        return self._tail_quantile(level, level > 0.5)

    def isf(self, value: Tensor | float) -> Tensor:
        """Return y with P(Y_d > y_d) = value, (S..., N, D): ``icdf(1 - value)``, accurate for tiny values too.

        Args:
            value: A probability in [0, 1], or several that broadcast like targets.

        Raises:
            ValueError: A probability outside [0, 1], or a shape that does not fit.
        """
        level = self._levels(value)
        return self._tail_quantile(level, level <= 0.5)

    # --- the components' share ---

    def component_log_prob(self, value: Tensor) -> Tensor:
        """Return log(w_k p_k(y)), (S..., N, K), for targets of shape (S..., N, D)."""
        self.check_target(value)
        return self.logits + self.components.log_prob(value.unsqueeze(-2))

    def responsibilities(self, value: Tensor) -> Tensor:
        """Return p(k | y), (S..., N, K): the share of each component in the density at y."""
        return torch.softmax(self.component_log_prob(value), -1)

    # --- distributions made from this one ---

    def affine(self, shift: Tensor | float, scale: Tensor | float) -> Mixture:
        """Return the distribution of ``shift + scale * Y``.

        Args:
            shift: Added, a number or (D,), in the units of the result.
            scale: Factor > 0, a number or (D,).

        Raises:
            ValueError: A factor that is not > 0.
        """
        if not bool((torch.as_tensor(scale) > 0).all()):
            raise _checks.InputError(f"scale must be > 0 in every dimension; got {scale}.")
        return self.with_components(self.components.affine(shift, scale))

    def marginal(self, dims: int | list[int]) -> Mixture:
        """Return the joint distribution of the chosen target dimensions, say ``0`` or ``[0, 2]``.

        Raises:
            ValueError: No dimension, or one that is not there.
        """
        chosen = [dims] if isinstance(dims, int) else list(dims)
        target_dim = self.event_shape[0]
        if not chosen or any(not -target_dim <= dim < target_dim for dim in chosen):
            raise _checks.InputError(f"dims must name target dimensions from 0 to {target_dim - 1}; got {dims}.")
        return self.with_components(self.components.marginal(chosen))

    def to(self, where: torch.dtype | torch.device | str) -> Mixture:
        """Return the same mixture in another precision, say ``torch.float64``, or on another device."""
        weights = Categorical(logits=self.logits.to(where), validate_args=False)
        components = self.components.transformed(lambda value: value.to(where))
        return Mixture(weights, components, validate_args=self._validate_args)

    def __getitem__(self, index: Any) -> Mixture:
        """Return the predictions of some rows: whatever indexes a tensor of ``batch_shape``."""
        rows = torch.arange(self.batch_shape.numel(), device=self.logits.device).reshape(self.batch_shape)[index]
        components = self.components.transformed(lambda value: value.reshape(-1, *value.shape[-2:])[rows])
        logits = self.logits.reshape(-1, self.n_components)[rows]
        weights = Categorical(logits=logits, validate_args=False)
        return Mixture(weights, components, validate_args=self._validate_args)

    def with_components(self, components: Component) -> Mixture:
        """Return the mixture of other components with the same weights."""
        return Mixture(self.mixture_distribution, components, validate_args=self._validate_args)

    def check_target(self, value: Tensor) -> None:
        """Refuse targets that do not fit this distribution, see the class's description."""
        _checks.instance("y", value, Tensor)
        expected = self.batch_shape + self.event_shape
        _checks.ends_with_shape("y", value.shape, expected, "to match batch_shape + event_shape")
        if self._validate_args and bool(value.isnan().any()):
            raise _checks.InputError("y must not hold NaN; drop the rows with missing targets.")

    # --- private ---

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

    def __repr__(self) -> str:
        return (
            f"Mixture(n_components={self.n_components}, family={type(self.components).__name__}, "
            f"batch_shape={tuple(self.batch_shape)}, event_shape={tuple(self.event_shape)})"
        )
