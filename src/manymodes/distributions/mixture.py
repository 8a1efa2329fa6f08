"""The mixture: what every network of this package returns."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, MixtureSameFamily
from torch.types import _size

from manymodes import _checks
from manymodes.distributions import reduction
from manymodes.distributions.caching import cached
from manymodes.distributions.component import Component
from manymodes.distributions.incomplete import Incomplete
from manymodes.distributions.log_weights import LogWeights
from manymodes.distributions.prediction import Prediction
from manymodes.distributions.reparameterise import with_gradient
from manymodes.distributions.shapes import common_shape
from manymodes.distributions.transformed import through
from manymodes.distributions.transforms import Transform


class Mixture(Prediction, MixtureSameFamily):
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
        _checks.instance("mixture_distribution", mixture_distribution, Categorical, " of the weights")
        if not isinstance(component_distribution, Component):
            raise TypeError(
                "component_distribution must be a manymodes.distributions.Component; "
                f"got {type(component_distribution).__name__}."
            )
        n_components = component_distribution.batch_shape[-1]
        _checks.matches_shape(
            "mixture_distribution's weights",
            mixture_distribution.param_shape,
            ("N",) * len(mixture_distribution.batch_shape) + (n_components,),
            "to match the components",
        )
        shape = common_shape([mixture_distribution.batch_shape, component_distribution.batch_shape[:-1]])
        if shape != component_distribution.batch_shape[:-1]:
            component_distribution = component_distribution.expand(shape + torch.Size([n_components]))
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

    @cached
    def logits(self) -> Tensor:
        """Log-weights that sum to one, (N, K)."""
        weights = self.mixture_distribution
        if isinstance(weights, LogWeights):
            return weights.logits.expand(self.components.batch_shape)
        # Made from probabilities, torch's own logits turn a weight of 0 into one of eps.
        made_from_probs = weights._param is weights.__dict__.get("probs")
        logits = weights.probs.log() if made_from_probs else weights.logits
        return torch.log_softmax(logits, -1).expand(self.components.batch_shape)

    @property
    def weights(self) -> Tensor:
        """Weights of the components, (N, K); they sum to one."""
        return self.logits.exp()

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

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether samples can carry gradients: where every dimension has a density."""
        return self.has_density

    def rsample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., N, D), with gradients in all parameters, weights included.

        By implicit reparameterisation, see ``distributions.reparameterise``.

        Raises:
            ValueError: Counts or atoms, which no small change of a parameter moves.
        """
        if not self.has_rsample:
            raise _checks.InputError("rsample needs components with a density; counts and atoms do not move smoothly.")
        return with_gradient(self.logits, self.components, self.sample(sample_shape, generator=generator))

    def log_prob(self, value: Tensor | Incomplete) -> Tensor:
        """Return log p(y) in nats, (S..., N), for targets ``value`` of shape (S..., N, D).

        Targets that are missing, censored or rounded in some dimensions are handed in as ``Incomplete``.
        """
        parts = self.component_log_prob(value)
        if self.components.everywhere and isinstance(value, Tensor):
            return torch.logsumexp(parts, -1)
        # Where no component can be, a gradient of logsumexp would not be a number.
        nowhere = (parts == -torch.inf).all(-1, keepdim=True)
        total = torch.logsumexp(parts.masked_fill(nowhere, 0.0), -1)
        return total.masked_fill(nowhere.squeeze(-1), -torch.inf)

    # --- the components' share ---

    def component_log_prob(self, value: Tensor | Incomplete) -> Tensor:
        """Return log(w_k p_k(y)), (S..., N, K), for targets of shape (S..., N, D)."""
        value = self.check_target(value)
        if isinstance(value, Incomplete):
            return self.logits + self.components.interval_log_prob(value.low.unsqueeze(-2), value.high.unsqueeze(-2))
        return self.logits + self.components.log_prob(value.unsqueeze(-2))

    def responsibilities(self, value: Tensor | Incomplete) -> Tensor:
        """Return p(k | y), (S..., N, K): the share of each component in the density at y; the weights where it is 0."""
        parts = self.component_log_prob(value)
        nowhere = (parts == -torch.inf).all(-1, keepdim=True)
        return torch.softmax(torch.where(nowhere, self.logits, parts), -1)

    # --- distributions made from this one ---

    def affine(self, shift: Tensor | float, scale: Tensor | float) -> Mixture:
        """Return the distribution of ``shift + scale * Y``.

        Args:
            shift: Added, a number or (D,), in the units of the result.
            scale: Factor > 0, a number or (D,).

        Raises:
            ValueError: A factor that is not > 0.
        """
        self.check_affine(shift, scale)
        return self.with_components(self.components.affine(shift, scale))

    def marginal(self, dims: int | list[int]) -> Mixture:
        """Return the joint distribution of the chosen target dimensions, say ``0`` or ``[0, 2]``.

        Raises:
            ValueError: No dimension, one that is not there, or one twice.
        """
        return self.with_components(self.components.marginal(self.dims(dims)))

    def conditional(self, dims: int | list[int], value: Tensor) -> Mixture:
        r"""Return the distribution of the other target dimensions, in their order, given some.

        .. math:: p(y_b | y_a) = \sum_k \frac{w_k p_k(y_a)}{\sum_j w_j p_j(y_a)} \, p_k(y_b | y_a)

        Args:
            dims: The given dimensions a, say ``0`` or ``[2, 0]``; at least one must be left.
            value: Their values, (N, len(dims)), in the order of ``dims``.

        Where no component can have such values the weights stay as they are.

        Raises:
            ValueError: Dimensions that are not there or all of them, or values of another shape.
        """
        _checks.instance("value", value, Tensor)
        asked = self.dims(dims, some_left=True)
        _checks.ends_with_shape("value", value.shape, (*self.batch_shape, len(asked)), "to match dims")
        if bool(value.isnan().any()):
            raise _checks.InputError("value must not hold NaN; take the marginal of what is missing instead.")
        given = sorted(asked)  # blocks of a product stay together
        value = value[..., [asked.index(dim) for dim in given]]
        parts = self.marginal(given).component_log_prob(value)
        nowhere = (parts == -torch.inf).all(-1, keepdim=True)
        weights = Categorical(logits=torch.where(nowhere, self.logits, parts), validate_args=False)
        components = self.components.condition(given, value)
        return Mixture(weights, components.expand(parts.shape), validate_args=self._validate_args)

    def through(self, transform: Transform) -> Mixture:
        """Return the distribution of ``transform.forward(Y)``, with the exact Jacobian; atoms move without one.

        Raises:
            ValueError: Angles or counts, which no transform may change.
        """
        return self.with_components(through(self.components, transform))

    def pooled(self, dim: int = 0) -> Mixture:
        """Return one mixture of all members along a batch axis, each with the same weight.

        Args:
            dim: The axis of ``batch_shape`` that counts members.

        Raises:
            ValueError: An axis that is not there.
        """
        n_axes = len(self.batch_shape)
        if not -n_axes <= dim < n_axes:
            raise _checks.InputError(f"dim must name one of the {n_axes} axes of batch_shape; got {dim}.")
        logits, components = reduction.pooled_axis(self.logits, self.components, dim % n_axes)
        return self._remade(logits, components)

    def tempered(self, temperature: float, *, spread: float | None = None) -> Mixture:
        """Return the mixture with log-weights divided by a temperature and spreads times a factor.

        Below 1 it is sharper, above 1 broader; locations stay.

        Args:
            temperature: Divides the log-weights.
            spread: Factor of the spreads; None for the square root of the temperature.

        Raises:
            ValueError: A number that is not > 0, or components whose spread cannot change.

        References:
            Ha and Eck (2018), A neural representation of sketch drawings, ICLR, eq. 8.
        """
        temperature = _checks.positive("temperature", temperature)
        factor = temperature**0.5 if spread is None else _checks.positive("spread", spread)
        components = self.components if factor == 1 else self.components.widened(factor)
        return self._remade(torch.log_softmax(self.logits / temperature, -1), components)

    def pruned(self, max_kl: float = 1e-3) -> Mixture:
        """Return the mixture q without its lightest components, such that KL(q || p) <= ``max_kl`` nats.

        Raises:
            ValueError: ``max_kl`` that is not > 0.
        """
        return self._remade(*reduction.pruned(self.logits, self.components, max_kl))

    def merged(self, max_kl: float = 1e-3) -> Mixture:
        """Return a mixture q with similar normals merged, such that KL(p || q) <= ``max_kl`` nats.

        See ``distributions.reduction`` for the bound.

        Raises:
            ValueError: ``max_kl`` that is not > 0, or components that are not normal.
        """
        return self._remade(*reduction.merged(self.logits, self.components, max_kl))

    def to(self, where: torch.dtype | torch.device | str) -> Mixture:
        """Return the same mixture in another precision, say ``torch.float64``, or on another device."""
        logits, has_moved = self.logits.to(where), []

        def move(value: Tensor) -> Tensor:
            moved = value.to(where)
            has_moved.append(moved is not value)
            return moved

        components = self.components.transformed(move)
        if logits is self.logits and not any(has_moved):
            return self
        if logits.dtype != self.logits.dtype:
            logits = torch.log_softmax(logits, -1)  # summed to one in the other precision only
        return self._remade(logits, components)

    def __getitem__(self, index: Any) -> Mixture:
        """Return the predictions of some rows: whatever indexes a tensor of ``batch_shape``."""
        rows = torch.arange(self.batch_shape.numel(), device=self.logits.device).reshape(self.batch_shape)[index]
        components = self.components.transformed(lambda value: value.reshape(-1, *value.shape[-2:])[rows])
        return self._remade(self.logits.reshape(-1, self.n_components)[rows], components)

    def with_components(self, components: Component) -> Mixture:
        """Return the mixture of other components with the same weights."""
        return Mixture(self.mixture_distribution, components, validate_args=self._validate_args)

    def entropy(self) -> Tensor:
        """Refuse: a mixture's entropy has no closed form; ``distributions.entropy`` estimates it, with its error."""
        raise _checks.InputError("the entropy of a mixture has no closed form; use manymodes.distributions.entropy.")

    # --- private ---

    def _remade(self, logits: Tensor, components: Component) -> Mixture:
        return Mixture(LogWeights(logits), components, validate_args=self._validate_args)

    def __repr__(self) -> str:
        return (
            f"Mixture(n_components={self.n_components}, family={type(self.components).__name__}, "
            f"batch_shape={tuple(self.batch_shape)}, event_shape={tuple(self.event_shape)})"
        )
