"""Joint densities by the chain rule: one dimension after another, each a mixture given those before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution
from torch.types import _size

from manymodes import _checks
from manymodes.distributions.component import Kind
from manymodes.distributions.conditionals import Conditionals, first_of, in_order, keeps_members
from manymodes.distributions.incomplete import Incomplete
from manymodes.distributions.mixture import Mixture
from manymodes.distributions.pooled import Pooled
from manymodes.distributions.randomness import default_generator
from manymodes.distributions.sampled import SampledDensity
from manymodes.distributions.shapes import slices

_N_PATHS = 512  # over which moments are averaged
_ROUND = 2**24  # numbers at a time, so that memory does not grow with the samples


@final
class Autoregressive(SampledDensity):
    r"""A joint density as a product of one-dimensional mixtures, each given the target dimensions before it.

    .. math:: p(y | x) = \prod_d p(y_d | x, y_1 \dots y_{d-1})

    Where dimensions depend on each other along curves, a single mixture needs many components to follow them; this
    needs few in each dimension. Density and samples are exact. Its marginals, and so cdf, quantiles, modes and regions,
    have no closed form and are not answered. The mean is that of the conditional means over 512 samples of a fixed
    seed, with a standard error of at most 0.045 standard deviations, and the variance likewise.

    Args:
        conditionals: The mixtures, as a function of the targets before.
        context: What they are told of each row, ``batch_shape`` + (C,). Members, where there are any, come first.
        target_dim: Number of target dimensions, D.
        order: Target dimensions in the order of the product, as the conditionals have it; None for 0, 1, ...
        kind: ``"real"``, or ``"count"`` where conditionals are distributions of integers.
        validate_args: Whether NaN in targets is refused; shapes always are checked.

    Raises:
        ValueError: An order that does not name every dimension once, or a context without the members' axis.

    References:
        Uria, Murray and Larochelle (2013), RNADE: the real-valued neural autoregressive density-estimator, NeurIPS,
        section 3.
    """

    def __init__(
        self,
        conditionals: Conditionals,
        context: Tensor,
        *,
        target_dim: int,
        order: Sequence[int] | None = None,
        kind: Kind = "real",
        validate_args: bool | None = None,
    ) -> None:
        target_dim = _checks.integer_at_least("target_dim", target_dim, 1)
        self.order = in_order(order, target_dim)
        n_members = conditionals.n_members
        if n_members is not None and tuple(context.shape[:1]) != (n_members,):
            _checks.matches_shape("context", context.shape, (n_members, "...", "C"), "to match the members")
        self._conditionals, self._context, self._kind = conditionals, context, kind
        self._shift, self._scale = context.new_zeros(target_dim), context.new_ones(target_dim)
        super().__init__(context.shape[:-1], torch.Size([target_dim]), validate_args=False)
        self._validate_args = Distribution._validate_args if validate_args is None else validate_args

    # --- what it is ---

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kind of each target dimension."""
        return (self._kind,) * self.event_shape[0]

    @property
    def dtype(self) -> torch.dtype:
        """Precision of samples."""
        return self._shift.dtype

    @property
    def device(self) -> torch.device:
        """Where samples are."""
        return self._shift.device

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether samples can carry gradients: where targets have a density."""
        return self.has_density

    def conditionals(self, value: Tensor) -> Mixture:
        """Return the mixture of every target dimension given those before it, ``batch_shape`` (S..., N, D).

        Its ``event_shape`` is (1,).

        Args:
            value: Targets, (S..., N, D).

        Raises:
            ValueError: Targets of another shape.
            TypeError: Targets that are not exact.
        """
        z = self._inside(value)
        mixture = self._mixture(z)
        components = mixture.components.affine(self._shift[:, None, None], self._scale[:, None, None])
        components = components.transformed(lambda part: self._outside(part, z))
        return Mixture(
            Categorical(logits=self._outside(mixture.logits, z), validate_args=False),
            components,
            validate_args=self._validate_args,
        )

    # --- torch's interface ---

    def expand(self, batch_shape: _size, _instance: Any = None) -> Autoregressive:
        """Return the distribution with its batch shape expanded; members stay in front.

        Raises:
            ValueError: A shape that does not begin with the members.
        """
        shape = torch.Size(batch_shape)
        n_members = self._conditionals.n_members
        if n_members is not None and (len(shape) != len(self.batch_shape) or shape[0] != n_members):
            raise _checks.InputError(
                f"batch_shape must have the {n_members} members in front and {len(self.batch_shape)} axes; got "
                f"{_checks.shape_text(shape)}. Take one member, or pooled(0)."
            )
        return self._remade(context=self._context.expand(*shape, -1))

    def log_prob(self, value: Tensor | Incomplete) -> Tensor:
        """Return log p(y) in nats, (S..., N), for targets ``value`` of shape (S..., N, D).

        Raises:
            ValueError: Targets of another shape.
            TypeError: Targets that are not exact.
        """
        z = self._inside(value)
        density = self._mixture(z).log_prob(z.unsqueeze(-1)).sum(-1)
        return self._outside(density, z) - self._scale.log().sum()

    # --- distributions made from this one ---

    def affine(self, shift: Tensor | float, scale: Tensor | float) -> Autoregressive:
        """Return the distribution of ``shift + scale * Y``, with the exact Jacobian.

        Args:
            shift: Added, a number or (D,), in the units of the result.
            scale: Factor > 0, a number or (D,).

        Raises:
            ValueError: A factor that is not > 0, or counts, which stay as they are.
        """
        self.check_affine(shift, scale)
        added, factor = (torch.as_tensor(value).to(self._shift).expand(self.event_shape) for value in (shift, scale))
        if not self.has_density and bool(((added != 0) | (factor != 1)).any()):
            raise _checks.InputError("affine needs targets with a density; counts stay as they are.")
        return self._remade(shift=added + factor * self._shift, scale=factor * self._scale)

    def pooled(self, dim: int = 0) -> Pooled:
        """Return the density of a member drawn at random, each with the same probability; ``members`` keeps them.

        Args:
            dim: The axis of ``batch_shape`` that counts members, which is the first.

        Raises:
            ValueError: Another axis.
        """
        if not self.batch_shape or dim not in (0, -len(self.batch_shape)):
            raise _checks.InputError(f"dim must be 0, the axis of members in front of all others; got {dim}.")
        return Pooled(self)

    def to(self, where: torch.dtype | torch.device | str) -> Autoregressive:
        """Return the same prediction in another precision, say ``torch.float64``, or on another device.

        The conditionals are worked out in the precision and at the place that they have.
        """
        return self._remade(shift=self._shift.to(where), scale=self._scale.to(where))

    def __getitem__(self, index: Any) -> Autoregressive:
        """Return the predictions of some rows; of members either one or all, as an index that begins so.

        Raises:
            ValueError: An index that mixes members, whose conditionals differ.
        """
        conditionals, n_members = self._conditionals, self._conditionals.n_members
        if n_members is not None:
            first = first_of(index, len(self.batch_shape))
            if isinstance(first, int):
                conditionals = conditionals.member(first)
            elif not keeps_members(first, n_members):
                raise _checks.InputError(f"index must begin with the number of one member or a colon; got {first!r}.")
        places = torch.arange(self.batch_shape.numel(), device=self._context.device).reshape(self.batch_shape)[index]
        context = self._context.reshape(-1, self._context.shape[-1])[places]
        return self._remade(conditionals=conditionals, context=context)

    # --- private ---

    def _inside(self, value: Tensor | Incomplete) -> Tensor:
        """Return targets in the units of the conditionals, with the members' axis in front."""
        if isinstance(value, Incomplete):
            raise TypeError(
                "y must be a tensor of exact targets for an autoregressive density; got Incomplete, which a mixture "
                "takes."
            )
        y: Tensor = self.check_target(value)
        z = (y - self._shift) / self._scale
        z = z.expand(torch.broadcast_shapes(z.shape, self.batch_shape + self.event_shape))
        return z if self._conditionals.n_members is None else z.movedim(self._n_samples(z), 0)

    def _outside(self, value: Tensor, z: Tensor) -> Tensor:
        """Return what was worked out of targets ``z`` with the members' axis where it belongs."""
        return value if self._conditionals.n_members is None else value.movedim(0, self._n_samples(z))

    def _n_samples(self, z: Tensor) -> int:
        """Return the number of sample axes of targets."""
        return z.dim() - 1 - len(self.batch_shape)

    def _mixture(self, z: Tensor, dims: slice = slice(None)) -> Mixture:
        """Return the mixtures of some dimensions given targets as ``_inside`` has them."""
        context = self._context
        if self._conditionals.n_members is not None:
            context = context.reshape(len(context), *(1,) * self._n_samples(z), *context.shape[1:])
        mixture = self._conditionals(context, z.to(context), dims)
        for where in (self.dtype, self.device):
            mixture = mixture if mixture.logits.to(where) is mixture.logits else mixture.to(where)
        return mixture

    def _drawn(self, how: str, sample_shape: torch.Size, generator: torch.Generator | None) -> Tensor:
        width = self._context.shape[-1] + self.event_shape[0]
        size = max(1, _ROUND // max(1, self.batch_shape.numel() * width))
        rounds = slices(sample_shape.numel(), size if how == "sample" else max(sample_shape.numel(), 1))
        parts = [self._in_turn(how, part.stop - part.start, generator) for part in rounds]
        return torch.cat(parts).reshape(sample_shape + self.batch_shape + self.event_shape)

    def _in_turn(self, how: str, n_samples: int, generator: torch.Generator | None) -> Tensor:
        """Return samples, (S, N, D), drawn one dimension after another."""
        n_members = self._conditionals.n_members
        shape = (n_samples, *self.batch_shape)
        if n_members is not None:
            shape = (n_members, n_samples, *self.batch_shape[1:])
        columns = list(self._shift.new_zeros(self.event_shape[0], *shape))
        for dim in self.order:
            mixture = self._mixture(torch.stack(columns, -1), slice(dim, dim + 1))
            columns[dim] = getattr(mixture, how)(generator=generator)[..., 0, 0]
        z = torch.stack(columns, -1)
        return self._shift + self._scale * self._outside(z, z)

    @torch.no_grad()
    def _estimated_moments(self) -> tuple[Tensor, Tensor]:
        """Return averages over paths of the conditional moments, by the laws of total mean and variance."""
        paths = self.sample((_N_PATHS,), generator=default_generator(None, self.device))
        size = max(1, _ROUND // max(1, self.batch_shape.numel() * (self._context.shape[-1] + self.event_shape[0])))
        means, variances = [], []
        for part in paths.split(size):
            z = self._inside(part)
            mixture = self._mixture(z)
            means.append(self._outside(mixture.mean.squeeze(-1), z))
            variances.append(self._outside(mixture.variance.squeeze(-1), z))
        mean = torch.cat(means)
        centre = mean.mean(0)
        variance = torch.cat(variances).mean(0) + (mean - centre).square().mean(0)
        return self._shift + self._scale * centre, self._scale.square() * variance

    def _remade(
        self,
        *,
        conditionals: Conditionals | None = None,
        context: Tensor | None = None,
        shift: Tensor | None = None,
        scale: Tensor | None = None,
    ) -> Autoregressive:
        new = Autoregressive(
            self._conditionals if conditionals is None else conditionals,
            self._context if context is None else context,
            target_dim=self.event_shape[0],
            order=self.order,
            kind=self._kind,
            validate_args=self._validate_args,
        )
        new._shift = self._shift if shift is None else shift
        new._scale = self._scale if scale is None else scale
        return new

    def __repr__(self) -> str:
        return f"Autoregressive(batch_shape={tuple(self.batch_shape)}, event_shape={tuple(self.event_shape)})"
