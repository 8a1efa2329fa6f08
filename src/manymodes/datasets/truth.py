"""The truth that simulated targets come from: the conditional density as a function of inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Mixture

Floats = NDArray[np.float64]
Simulated = tuple[Any, ...]  # (X, y), or (X, y, density) where that was asked for: arrays and a Truth


@dataclass(frozen=True)
class Truth:
    """The true distribution of targets, a function of inputs: ``density(X)``.

    It is a ``Mixture`` whatever the simulation, so that whatever takes a prediction takes the truth. The valid answers,
    for ``metrics.mode_agreement``, are its modes: ``density(X).modes().location``.

    Attributes:
        n_features: Number of inputs, F.
        build: What makes the distributions of inputs (N, F).
    """

    n_features: int
    build: Callable[[Tensor], Mixture]

    def __call__(self, X: ArrayLike | Tensor) -> Mixture:
        """Return the true distributions, ``batch_shape`` (N,), ``event_shape`` (D,), in double precision.

        Args:
            X: Inputs, (N, F).

        Raises:
            ValueError: Inputs of another shape, that are not finite, or that cannot occur.
        """
        inputs = torch.as_tensor(np.asarray(X, dtype=np.float64))
        _checks.matches_shape("X", inputs.shape, ("N", self.n_features), "to match the simulation")
        wrong = (~inputs.isfinite()).any(-1).nonzero()
        if len(wrong):
            raise _checks.InputError(f"X must hold finite numbers; {_checks.row(int(wrong[0]))} does not.")
        return self.build(inputs)


def simulated(X: Floats, y: Floats, truth: Truth, return_density: bool) -> Simulated:
    """Return what a simulator was asked for."""
    return (X, y, truth) if _checks.boolean("return_density", return_density) else (X, y)


def refuse_impossible(possible: Tensor) -> None:
    """Refuse inputs that no target could have led to.

    Args:
        possible: Which rows could, (N,).

    Raises:
        ValueError: A row that could not.
    """
    wrong = (~possible).nonzero()
    if len(wrong):
        raise _checks.InputError(f"X must hold inputs that can occur; {_checks.row(int(wrong[0]))} cannot.")
