"""What every prediction answers, whatever it is made of: the base of ``Mixture`` and ``Recalibrated``."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.types import _size

from manymodes import _checks
from manymodes.distributions.caching import cached
from manymodes.distributions.incomplete import Incomplete
from manymodes.distributions.modes import find_modes
from manymodes.distributions.per_dimension import PerDimension
from manymodes.distributions.randomness import default_generator
from manymodes.distributions.ranks import find_ranks
from manymodes.distributions.results import Modes


class Prediction(PerDimension, Distribution):
    """A distribution of targets for every row: ``batch_shape`` (N,), ``event_shape`` (D,). Abstract.

    All that follows takes one: metrics, calibration, decisions, plots. Beside what ``PerDimension`` says of each target
    dimension it has a joint density, samples, modes, marginals and conditionals.
    """

    # --- modes and regions ---

    @property
    def mode(self) -> Tensor:
        """Location of the highest mode of the joint density, (N, D), or of an atom that holds more than its basin."""
        modes = self.modes()
        if not self.batch_shape.numel():
            return self.logits.new_empty(self.batch_shape + self.event_shape)
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
        return self._modes

    @cached
    def _modes(self) -> Modes:
        return find_modes(self.logits, self.components)

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
        generator = default_generator(generator, self.logits.device)
        with torch.no_grad():
            heights = self.log_prob(self.sample((n_samples,), generator=generator))
            return heights.sort(0).values[min(int((1 - level) * n_samples), n_samples - 1)]

    def highest_density_rank(
        self, y: Tensor, *, n_samples: int = 10_000, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return the probability of what is denser than targets, (S..., N): the smallest level whose region holds them.

        In one dimension exact, the inverse of ``highest_density_region``; atoms count as denser than all beside them.
        In several it is the share of samples with a higher ``log_prob``, with a standard error of at most
        0.5 / sqrt(n_samples). See ``distributions.ranks``; carries no gradient.

        Args:
            y: Targets, (S..., N, D).
            n_samples: Samples of each prediction, in several dimensions.
            generator: Source of randomness; None takes a fixed seed.

        Raises:
            ValueError: Targets of another shape, or in one dimension counts beside a density.
            TypeError: Targets that are not exact.
        """
        return find_ranks(self, y, n_samples=n_samples, generator=generator).low

    # --- density and samples ---

    @abstractmethod
    def log_prob(self, value: Tensor | Incomplete) -> Tensor:
        """Return log p(y) in nats, (S..., N), for targets ``value`` of shape (S..., N, D)."""

    @abstractmethod
    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., N, D)."""

    @property
    def has_density(self) -> bool:
        """Whether every target dimension has a density, and none lies on integers or atoms."""
        return all(kind in ("real", "angle") for group in self.components.groups for kind in group.kinds)

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
            return value.to(self.logits.dtype)
        return value

    # --- distributions made from this one ---

    @abstractmethod
    def marginal(self, dims: int | list[int]) -> Prediction:
        """Return the joint distribution of the chosen target dimensions, say ``0`` or ``[0, 2]``."""

    @abstractmethod
    def conditional(self, dims: int | list[int], value: Tensor) -> Prediction:
        """Return the distribution of the other target dimensions, in their order, given some."""

    @abstractmethod
    def to(self, where: torch.dtype | torch.device | str) -> Self:
        """Return the same prediction in another precision, say ``torch.float64``, or on another device."""

    @abstractmethod
    def __getitem__(self, index: Any) -> Self:
        """Return the predictions of some rows: whatever indexes a tensor of ``batch_shape``."""
