"""Losses of all members of a network and their gradients, in one pass that can be compiled."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import CodeType, FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn

from manymodes import _checks
from manymodes.distributions import Incomplete
from manymodes.nn import MixtureDensityNetwork
from manymodes.nn.backbones import Dropout
from manymodes.objectives import Objective
from manymodes.training.execution import Execution, is_traced, products
from manymodes.training.rows.data import Rows

Gradients = tuple[Tensor | None, ...]
_Pass = Callable[[Tensor, Tensor | Incomplete, Tensor | None, Tensor | None], tuple[Tensor, Gradients]]


class Backward:
    """Losses of a batch, and gradients of parameters.

    Where the execution says so, the pass is compiled when it is first used for a shape of batches, and once more when
    dropout has faded; on a GPU it is captured as one CUDA graph, too. torch keeps compiled code on disk and takes it
    from there when the same sizes come again.

    Args:
        network: The network.
        objective: What is minimised, in scaled units.
        parameters: What gradients are taken of.
        execution: Precision, and whether to compile.
    """

    def __init__(
        self,
        network: MixtureDensityNetwork,
        objective: Objective,
        parameters: Sequence[nn.Parameter],
        execution: Execution,
    ) -> None:
        self._network, self._objective, self._parameters = network, objective, list(parameters)
        self._execution = execution
        self._dropouts = [module for module in network.modules() if isinstance(module, Dropout)]
        self._compiled: dict[tuple[torch.Size, torch.Size, bool], _Pass] = {}

    def __call__(self, batch: Rows) -> tuple[Tensor, Gradients]:
        """Return the losses of the members, (M,), and the gradient of each parameter, None where it has none."""
        parts = (batch.x, batch.y, batch.weight, batch.place)
        if not self._execution.compiled:
            return self._pass(*parts)
        kind = (batch.x.shape, batch.y.shape, any(dropout.is_active for dropout in self._dropouts))
        if kind in self._compiled:
            losses, gradients = self._compiled[kind](*parts)
        else:
            with _tracing():
                self._compiled[kind] = self._compile()
                losses, gradients = self._compiled[kind](*parts)
        return losses.clone(), gradients  # what a CUDA graph returns is overwritten by its next run

    def _pass(
        self, x: Tensor, y: Tensor | Incomplete, weight: Tensor | None, place: Tensor | None
    ) -> tuple[Tensor, Gradients]:
        rows = Rows(x, y, weight, place)
        losses = member_losses(self._network, rows, self._objective, self._execution.precision)
        return losses.detach(), torch.autograd.grad(losses.sum(), self._parameters, allow_unused=True)

    def _compile(self) -> _Pass:
        options: dict[str, Any] = {}
        if is_traced(self._network, self._objective):  # then nothing but the shapes of a batch can change
            options["guard_filter_fn"] = torch.compiler.keep_tensor_guards_unsafe
        if self._network.device.type == "cuda":
            options["triton.cudagraphs"] = True
        own = MethodType(_with_code_of_its_own(type(self)._pass), self)
        compiled: _Pass = torch.compile(own, dynamic=False, options=options)
        return compiled


def _with_code_of_its_own(function: Any) -> FunctionType:
    """Return a copy of a function: what torch compiles belongs to a code object, and must not serve another network."""
    code: CodeType = function.__code__.replace()
    return FunctionType(code, function.__globals__, function.__name__, function.__defaults__, function.__closure__)


@contextmanager
def _tracing() -> Iterator[None]:
    """Let torch trace gradients, too, and keep to itself what it finds deprecated in its own compiler."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import torch._dynamo  # takes a second, which fits that are not compiled need not wait

        with torch._dynamo.config.patch(trace_autograd_ops=True):
            yield


def member_losses(network: MixtureDensityNetwork, rows: Rows, objective: Objective, precision: str = "full") -> Tensor:
    """Return the objective of each member on rows of its own in scaled units, (M,); without members, (1,).

    An objective that averages over everything, as one number, is asked member by member.
    """
    with products(network, precision):
        distribution = network.scaled_distribution(rows.x, rows.place)
    n_members = network.n_members
    if n_members is None:
        return _scalar(objective(distribution, rows.y, rows.weight)).reshape(1)
    loss = objective(distribution, rows.y, rows.weight)
    if isinstance(loss, Tensor) and loss.shape == (n_members,):
        return loss
    weights = rows.weight if rows.weight is not None else [None] * n_members
    return torch.stack([_scalar(objective(distribution[m], rows.y[m], weights[m])) for m in range(n_members)])


def _scalar(loss: Any) -> Tensor:
    """Return what an objective gave for one member, if it is one number with a gradient."""
    if isinstance(loss, Tensor) and loss.numel() == 1:
        return loss.reshape(())
    got = f"shape {_checks.shape_text(loss.shape)}" if isinstance(loss, Tensor) else repr(loss)
    raise _checks.InputError(f"objective must return one number as a tensor, say a mean over rows; got {got}.")
