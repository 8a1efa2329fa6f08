"""The mixture: what every network of this package returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, MixtureSameFamily
from torch.types import _size

from manymodes import _checks
from manymodes.distributions import moments, reduction
from manymodes.distributions.caching import cached
from manymodes.distributions.component import Component
from manymodes.distributions.incomplete import Incomplete
from manymodes.distributions.line import Line
from manymodes.distributions.modes import find_modes
from manymodes.distributions.quantiles import tail_quantile
from manymodes.distributions.regions import find_region
from manymodes.distributions.reparameterise import with_gradient
from manymodes.distributions.results import Modes, Region
from manymodes.distributions.transformed import through
from manymodes.distributions.transforms import Transform


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

    @cached
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

    # --- moments of each target dimension ---

    @property
    def mean(self) -> Tensor:
        """Mean of each target dimension, (N, D); of angles, their mean direction."""
        return moments.mean(self.weights, self.components)

    @property
    def variance(self) -> Tensor:
        """Variance of each target dimension, (N, D); of angles, the circular variance, from 0 to 1."""
        return moments.central_moment(self.weights, self.components, 2)

    def central_moment(self, order: int) -> Tensor:
        """Return E[(Y - E Y)^order] of each target dimension, (N, D), for orders 2 to 4; infinite if there is none.

        Raises:
            ValueError: Another order, or an order above 2 where a target is an angle.
        """
        return moments.central_moment(self.weights, self.components, order)

    @property
    def skewness(self) -> Tensor:
        """Third standardised moment of each target dimension, (N, D)."""
        return self.central_moment(3) / self.variance**1.5

    @property
    def kurtosis(self) -> Tensor:
        """Fourth standardised moment of each target dimension, less the 3 of a normal, (N, D)."""
        return self.central_moment(4) / self.variance.square() - 3

    @property
    def median(self) -> Tensor:
        """Median of each target dimension, (N, D)."""
        return self.icdf(0.5)

    # --- modes and regions ---

    @property
    def mode(self) -> Tensor:
        """Location of the highest mode of the joint density, (N, D), or of an atom that holds more than its basin."""
        modes = self.modes()
        if not modes.atoms.mask.shape[-1]:
            return modes.location[..., 0, :]
        if not modes.mask.shape[-1]:
            return modes.atoms.location[..., :1]
        atom = modes.atoms.mask[..., :1] & (modes.atoms.mass[..., :1] > modes.mass[..., :1])
        return torch.where(atom, modes.atoms.location[..., :1], modes.location[..., 0, :])

    def modes(self) -> Modes:
        """Return the modes of the joint density, the highest first.

        In one dimension every mode, certified (see ``distributions.turning``); of counts, the integers more probable
        than their neighbours; atoms are listed apart. In several dimensions those that components and the ridges
        between them climb to (see ``distributions.ascent``). Carries no gradient.

        Raises:
            ValueError: Atoms in a joint density of several dimensions, or counts beside a density in one.
        """
        return find_modes(self.logits, self.components)

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
        if not bool(((wanted > 0) & (wanted < 1)).all()):
            raise _checks.InputError(f"level must be a number > 0 and < 1; got {level}.")
        with torch.no_grad():
            line = Line.of(self.logits, self.marginal(dim or 0).components)
            region = find_region(line, wanted.expand(self.batch_shape).reshape(-1))
        return region.reshaped(self.batch_shape)

    def highest_density_level(
        self, level: float = 0.9, *, n_samples: int = 10_000, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return the log-density on the border of the joint highest-density region, (N,), estimated from samples.

        A target belongs to the region where ``log_prob`` is at least that. The region holds ``level`` up to a standard
        error of sqrt(level * (1 - level) / n_samples).

        Args:
            level: Probability in (0, 1).
            n_samples: Samples of each prediction.
            generator: Source of randomness; None takes a fixed seed.
        """
        _checks.number_between("level", level, 0.0, 1.0)
        _checks.integer_at_least("n_samples", n_samples, 1)
        if generator is None:
            generator = torch.Generator(self.logits.device).manual_seed(0)
        with torch.no_grad():
            heights = self.log_prob(self.sample((n_samples,), generator=generator))
            return heights.sort(0).values[min(int((1 - level) * n_samples), n_samples - 1)]

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
        return all(kind in ("real", "angle") for group in self.components.groups for kind in group.kinds)

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

    def cdf(self, value: Tensor) -> Tensor:
        """Return P(Y_d <= y_d) of every target dimension by itself, (S..., N, D)."""
        self.check_target(value)
        return self._weighted(self.components.cdf(value.unsqueeze(-2)))

    def sf(self, value: Tensor) -> Tensor:
        """Return P(Y_d > y_d) of every target dimension by itself, (S..., N, D), accurate in the upper tail."""
        self.check_target(value)
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
            raise _checks.InputError(f"low must be <= high; got {low.max():g} and {high.min():g}.")
        before = torch.nextafter(low, torch.full_like(low, -torch.inf))  # a closed interval holds its lower end
        upper, lower = self.sf(before) - self.sf(high), self.cdf(high) - self.cdf(before)
        return torch.where(self.cdf(before) > 0.5, upper, lower).clamp(0.0, 1.0)

    def exceedance(self, threshold: Tensor | float) -> Tensor:
        """Return P(Y_d >= threshold) of every target dimension by itself, (S..., N, D), accurate when it is tiny."""
        at = self._targets("threshold", threshold)
        return self.sf(torch.nextafter(at, torch.full_like(at, -torch.inf)))

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

    def central_interval(self, level: float = 0.9) -> tuple[Tensor, Tensor]:
        """Return the quantiles that leave half of 1 - level on each side, (N, D) both.

        Raises:
            ValueError: A level outside (0, 1).
        """
        tail = 0.5 * (1 - _checks.number_between("level", level, 0.0, 1.0))
        return self.icdf(tail), self.isf(tail)

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

    def component_log_prob(self, value: Tensor | Incomplete) -> Tensor:
        """Return log(w_k p_k(y)), (S..., N, K), for targets of shape (S..., N, D)."""
        self.check_target(value)
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
        if not bool((torch.as_tensor(scale, dtype=torch.float64) > 0).all()):
            raise _checks.InputError(f"scale must be > 0 in every dimension; got {scale}.")
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

        Raises:
            ValueError: Dimensions that are not there or all of them, or values of another shape.
        """
        _checks.instance("value", value, Tensor)
        asked = self.dims(dims, some_left=True)
        given = sorted(asked)  # blocks of a product stay together
        value = value[..., [asked.index(dim) for dim in given]] if value.shape[-1:] == (len(asked),) else value
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

    def tempered(self, temperature: float) -> Mixture:
        """Return the mixture with log-weights divided by a temperature and spreads times its square root.

        Below 1 it is sharper, above 1 broader; locations stay.

        Raises:
            ValueError: A temperature that is not > 0, or components whose spread cannot change.

        References:
            Ha and Eck (2018), A neural representation of sketch drawings, ICLR, eq. 8.
        """
        temperature = _checks.positive("temperature", temperature)
        return self._remade(self.logits / temperature, self.components.widened(temperature**0.5))

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
        return self._remade(self.logits.to(where), self.components.transformed(lambda value: value.to(where)))

    def __getitem__(self, index: Any) -> Mixture:
        """Return the predictions of some rows: whatever indexes a tensor of ``batch_shape``."""
        rows = torch.arange(self.batch_shape.numel(), device=self.logits.device).reshape(self.batch_shape)[index]
        flat = self.components.expand(self.logits.shape)
        components = flat.transformed(lambda value: value.reshape(-1, *value.shape[-2:])[rows])
        return self._remade(self.logits.reshape(-1, self.n_components)[rows], components)

    def with_components(self, components: Component) -> Mixture:
        """Return the mixture of other components with the same weights."""
        return Mixture(self.mixture_distribution, components, validate_args=self._validate_args)

    def check_target(self, value: Tensor | Incomplete) -> None:
        """Refuse targets that do not fit this distribution, see the class's description."""
        if not isinstance(value, Incomplete):
            _checks.instance("y", value, Tensor)
        expected = self.batch_shape + self.event_shape
        _checks.ends_with_shape("y", value.shape, expected, "to match batch_shape + event_shape")
        if self._validate_args and isinstance(value, Tensor) and bool(value.isnan().any()):
            raise _checks.InputError(
                "y must not hold NaN; drop the rows with missing targets, or use Incomplete.missing."
            )

    def dims(self, dims: int | list[int], *, some_left: bool = False) -> list[int]:
        """Return target dimensions as numbers from 0, or refuse what they cannot be."""
        chosen = [dims] if isinstance(dims, int) else list(dims)
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

    def _remade(self, logits: Tensor, components: Component) -> Mixture:
        weights = Categorical(logits=logits, validate_args=False)
        return Mixture(weights, components, validate_args=self._validate_args)

    def _targets(self, name: str, value: Tensor | float) -> Tensor:
        """Return a number or targets as targets of this distribution, (S..., N, D)."""
        expected = self.batch_shape + self.event_shape
        targets = torch.as_tensor(value, dtype=self.logits.dtype, device=self.logits.device)
        if targets.dim():
            _checks.ends_with_shape(name, targets.shape, expected, "or be a number")
        if bool(targets.isnan().any()):
            raise _checks.InputError(f"{name} must be a number; got NaN.")
        return targets.expand(torch.broadcast_shapes(targets.shape, expected))

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


def pool(mixtures: Sequence[Mixture], weights: Sequence[float] | None = None) -> Mixture:
    """Return one mixture of several predictions of the same targets, say of an ensemble or of different models.

    Args:
        mixtures: Predictions of one ``batch_shape`` (N,) and ``event_shape`` (D,); families may differ.
        weights: Weight of each, >= 0; None weighs all alike.

    Raises:
        ValueError: No prediction, other shapes, or weights that cannot be.
    """
    if not mixtures:
        raise _checks.InputError("mixtures must hold at least 1 prediction; got none.")
    first = mixtures[0]
    for i, mixture in enumerate(mixtures):
        shape, wanted = (*mixture.batch_shape, *mixture.event_shape), (*first.batch_shape, *first.event_shape)
        _checks.matches_shape(f"the targets of prediction {i + 1}", shape, wanted, "to match those of the first")
    share = torch.as_tensor([1.0] * len(mixtures) if weights is None else weights, dtype=torch.float64)
    if share.shape != (len(mixtures),) or not bool(((share >= 0) & share.isfinite()).all()) or share.sum() == 0:
        raise _checks.InputError(f"weights must be {len(mixtures)} numbers >= 0, not all 0; got {weights}.")
    parts = [m.logits + log.to(m.logits) for m, log in zip(mixtures, (share / share.sum()).log(), strict=True)]
    components = reduction.concatenated([mixture.components for mixture in mixtures])
    return first._remade(torch.cat(parts, -1), components)
