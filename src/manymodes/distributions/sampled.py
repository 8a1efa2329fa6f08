"""Joint densities without marginals in closed form: samples answer what they can, the rest is refused in a sentence."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.types import _size

from manymodes import _checks
from manymodes.distributions.caching import cached
from manymodes.distributions.joint_density import JointDensity
from manymodes.distributions.mixture import Mixture


class NoAnswerError(_checks.InputError, AttributeError):
    """What a ``Mixture`` answers and this density does not; ``hasattr`` says so, too."""


class SampledDensity(JointDensity):
    """A joint density that one can evaluate and draw from, and nothing else. Abstract."""

    arg_constraints = {}  # noqa: RUF012 - torch's own form
    support = constraints.independent(constraints.real, 1)  # the space that holds every target

    # --- moments ---

    @property
    def mean(self) -> Tensor:
        """Mean of each target dimension, (N, D), estimated from samples of a fixed seed; carries no gradient."""
        return self._moments[0]

    @property
    def variance(self) -> Tensor:
        """Variance of each target dimension, (N, D), estimated likewise."""
        return self._moments[1]

    @cached
    def _moments(self) -> tuple[Tensor, Tensor]:
        return self._estimated_moments()

    @abstractmethod
    def _estimated_moments(self) -> tuple[Tensor, Tensor]:
        """Return mean and variance of each target dimension, (N, D) each, without a gradient."""

    # --- samples ---

    @property
    @abstractmethod
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether samples can carry gradients."""

    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., N, D)."""
        with torch.no_grad():
            return self._drawn("sample", torch.Size(sample_shape), generator)

    def rsample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., N, D), with gradients, by implicit reparameterisation of every step.

        Raises:
            ValueError: Counts, which no small change of a parameter moves.
        """
        if not self.has_rsample:
            raise _checks.InputError("rsample needs components with a density; counts and atoms do not move smoothly.")
        return self._drawn("rsample", torch.Size(sample_shape), generator)

    @abstractmethod
    def _drawn(self, how: str, sample_shape: torch.Size, generator: torch.Generator | None) -> Tensor:
        """Return samples, by the method ``how``, ``"sample"`` or ``"rsample"``, of what this density is made of."""

    # --- distributions made from this one ---

    @abstractmethod
    def affine(self, shift: Tensor | float, scale: Tensor | float) -> SampledDensity:
        """Return the distribution of ``shift + scale * Y``, for numbers or tensors (D,)."""

    @abstractmethod
    def expand(self, batch_shape: _size, _instance: Any = None) -> SampledDensity:
        """Return the distribution with its batch shape expanded."""

    # --- what it does not answer ---

    @property
    def mode(self) -> Tensor:
        """Refuse: no mode is known."""
        self._refuse("mode")

    def cdf(self, value: Tensor) -> Tensor:
        """Refuse: no marginal has a closed form."""
        self._refuse("cdf")

    def icdf(self, value: Tensor) -> Tensor:
        """Refuse: no marginal has a closed form."""
        self._refuse("icdf")

    def entropy(self) -> Tensor:
        """Refuse: it has no closed form."""
        self._refuse("entropy")

    def __getattr__(self, name: str) -> Any:
        """Refuse what a ``Mixture`` answers in a sentence, anything else as Python does."""
        if hasattr(Mixture, name):
            self._refuse(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _refuse(self, name: str) -> NoReturn:
        raise NoAnswerError(
            f"{name} is nothing that an autoregressive density knows; it has log_prob, samples, and the mean and "
            "variance of many samples."
        )
