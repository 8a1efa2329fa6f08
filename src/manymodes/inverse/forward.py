"""Forward functions, of tensors or of arrays: their outcomes, and how outcomes change with solutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from manymodes import _checks


class Linear(NamedTuple):
    """Outcomes, (M, F), and their derivatives, (M, F, D)."""

    outcome: Tensor
    jacobian: Tensor


class Forward:
    """A forward function of M solutions at a time, (M, D), with outcomes (M, F).

    Args:
        function: What the user handed in; each of its outcomes depends on one solution only.
        n_outcomes: Number of outcomes, F.
        arrays: Whether it takes and returns arrays.
    """

    def __init__(self, function: Callable[[Any], Any], n_outcomes: int, *, arrays: bool) -> None:
        if not callable(function):
            raise TypeError(f"forward must be a function of solutions; got {function!r}.")
        self._function, self._n_outcomes, self._arrays = function, n_outcomes, arrays

    @property
    def has_gradient(self) -> bool:
        """Whether outcomes are tensors, which know derivatives."""
        return not self._arrays

    def __call__(self, y: Tensor) -> Tensor:
        """Return outcomes, (M, F), without a gradient."""
        with torch.no_grad():
            return self._outcome(y)

    def linear(self, y: Tensor) -> Linear:
        """Return outcomes and their derivatives, by reverse differentiation for all outcomes at once."""
        with torch.enable_grad():
            y = y.detach().clone().requires_grad_()
            outcome = self._with_gradient(y)
            unit = torch.eye(self._n_outcomes, dtype=outcome.dtype, device=y.device)
            directions = unit.unsqueeze(1).expand(-1, len(y), -1)  # (F, M, F)
            (jacobian,) = torch.autograd.grad(outcome, y, directions, is_grads_batched=True)
        return Linear(outcome.detach(), jacobian.movedim(0, 1))

    def differences(self, y: Tensor, unit: Tensor) -> Linear:
        """Return outcomes and their derivatives from central differences.

        Args:
            y: Solutions, (M, D).
            unit: How large changes of them usually are, (M, D).
        """
        step = torch.finfo(y.dtype).eps ** (1 / 3) * torch.maximum(unit, y.abs())  # least rounding and truncation
        moves = torch.diag_embed(step).movedim(1, 0)  # (D, M, D)
        places = torch.cat([y.unsqueeze(0), y + moves, y - moves])
        outcome = self(places.flatten(0, 1)).unflatten(0, places.shape[:2])  # (1 + 2 D, M, F)
        here, after, before = outcome.split([1, len(moves), len(moves)])
        width = (y + step) - (y - step)  # as it is after rounding
        return Linear(here.squeeze(0), ((after - before) / width.T.unsqueeze(-1)).permute(1, 2, 0))

    def pull(self, y: Tensor, x: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Return outcomes, and the gradient of half the squared error, (M, D), by one backward pass."""
        with torch.enable_grad():
            y = y.detach().clone().requires_grad_()
            outcome = self._with_gradient(y)
            (slope,) = torch.autograd.grad(0.5 * ((outcome - x) / scale).square().sum(), y)
        return outcome.detach(), slope

    def _with_gradient(self, y: Tensor) -> Tensor:
        outcome = self._outcome(y)
        if not outcome.requires_grad:
            raise _checks.InputError(
                "forward must have a gradient to refine solutions; take refine='finite_differences' or None."
            )
        return outcome

    def _outcome(self, y: Tensor) -> Tensor:
        if self._arrays:
            given = np.asarray(self._function(y.cpu().numpy()), dtype=np.float64)
            outcome = torch.as_tensor(given, device=y.device)
        else:
            outcome = self._function(y)
            _checks.instance("what forward returns", outcome, Tensor, ", as x is one")
        expected = (len(y), self._n_outcomes)
        _checks.matches_shape("what forward returns", outcome.shape, expected, "to match its solutions and x")
        return outcome.to(y.dtype)
