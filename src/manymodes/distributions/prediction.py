"""What every prediction answers, whatever it is made of: the base of ``Mixture`` and ``Recalibrated``."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from manymodes.distributions.caching import cached
from manymodes.distributions.component import Kind
from manymodes.distributions.joint_density import JointDensity
from manymodes.distributions.modes import find_modes
from manymodes.distributions.per_dimension import PerDimension
from manymodes.distributions.ranks import find_ranks
from manymodes.distributions.results import Modes


class Prediction(JointDensity, PerDimension):
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

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kind of each target dimension: ``"real"``, ``"angle"``, ``"count"`` or ``"atom"``."""
        return self.components.kinds

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the parameters."""
        return self.logits.dtype

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.logits.device

    @property
    def has_density(self) -> bool:
        """Whether every target dimension has a density, and none lies on integers or atoms."""
        return all(kind in ("real", "angle") for group in self.components.groups for kind in group.kinds)

    # --- distributions made from this one ---

    @abstractmethod
    def marginal(self, dims: int | list[int]) -> Prediction:
        """Return the joint distribution of the chosen target dimensions, say ``0`` or ``[0, 2]``."""

    @abstractmethod
    def conditional(self, dims: int | list[int], value: Tensor) -> Prediction:
        """Return the distribution of the other target dimensions, in their order, given some."""
