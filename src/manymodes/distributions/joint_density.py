"""What every prediction answers at least: the log-density of all target dimensions together, and samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.types import _size

from manymodes import _checks
from manymodes.distributions.component import Kind
from manymodes.distributions.incomplete import Incomplete
from manymodes.distributions.randomness import default_generator


class JointDensity(ABC, Distribution):
    """A distribution of targets for every row: ``batch_shape`` (N,), ``event_shape`` (D,). Abstract.

    Scores of the joint density take one; whatever asks for cdfs, modes or marginals takes a ``Prediction``.
    """

    # --- what it is ---

    @property
    @abstractmethod
    def kinds(self) -> tuple[Kind, ...]:
        """Kind of each target dimension: ``"real"``, ``"angle"``, ``"count"`` or ``"atom"``."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """Precision of samples."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where samples are."""

    @property
    def has_density(self) -> bool:
        """Whether every target dimension has a density, and none lies on integers or atoms."""
        return all(kind in ("real", "angle") for kind in self.kinds)

    # --- density and samples ---

    @abstractmethod
    def log_prob(self, value: Tensor | Incomplete) -> Tensor:
        """Return log p(y) in nats, (S..., N), for targets ``value`` of shape (S..., N, D)."""

    @abstractmethod
    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., N, D)."""

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
        generator = default_generator(generator, self.device)
        with torch.no_grad():
            heights = self.log_prob(self.sample((n_samples,), generator=generator))
            return heights.sort(0).values[min(int((1 - level) * n_samples), n_samples - 1)]

    def check_target(self, value: Any) -> Any:
        """Return targets as floating-point numbers, or refuse what does not fit, see the class's description."""
        if not isinstance(value, Incomplete):
            _checks.instance("y", value, Tensor, ", see torch.as_tensor")
        expected = self.batch_shape + self.event_shape
        _checks.ends_with_shape("y", value.shape, expected, "to match batch_shape + event_shape")
        if self._validate_args and isinstance(value, Tensor) and bool(value.isnan().any()):
            raise _checks.InputError(
                "y must not hold NaN; drop the rows with missing targets, or use Incomplete.missing."
            )
        if isinstance(value, Tensor) and not value.is_floating_point():
            return value.to(self.dtype)
        return value

    def check_affine(self, shift: Tensor | float, scale: Tensor | float) -> None:
        """Refuse a shift or a scale, a number or (D,) each, that ``affine`` cannot take.

        Raises:
            ValueError: Another shape, or a scale that is not > 0.
        """
        for name, value in (("shift", shift), ("scale", scale)):
            if torch.as_tensor(value).dim():
                _checks.matches_shape(name, torch.as_tensor(value).shape, tuple(self.event_shape), "or be a number")
        if not bool((torch.as_tensor(scale, dtype=torch.float64) > 0).all()):
            raise _checks.InputError(f"scale must be > 0 in every dimension; got {scale}.")

    # --- distributions made from this one ---

    @abstractmethod
    def affine(self, shift: Tensor | float, scale: Tensor | float) -> JointDensity:
        """Return the distribution of ``shift + scale * Y``, for numbers or tensors (D,)."""

    @abstractmethod
    def to(self, where: torch.dtype | torch.device | str) -> Self:
        """Return the same prediction in another precision, say ``torch.float64``, or on another device."""

    @abstractmethod
    def __getitem__(self, index: Any) -> Self:
        """Return the predictions of some rows: whatever indexes a tensor of ``batch_shape``."""
