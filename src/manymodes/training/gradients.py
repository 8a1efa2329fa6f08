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
from manymodes.nn.inputs import Inputs, parts_of
from manymodes.objectives import Objective
from manymodes.training.execution import PLAIN, Execution, is_traced
from manymodes.training.rows.data import Rows

Gradients = Sequence[Tensor | None]
_Pass = Callable[[Any, Tensor | Incomplete, Tensor | None, Tensor | None], tuple[Tensor, Gradients]]


class Backward:
    """Losses of a batch, and gradients of parameters, which may be changed in place.

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
        self._compiled: dict[tuple[Any, ...], _Pass] = {}

    def __call__(self, batch: Rows) -> tuple[Tensor, Gradients]:
        """Return the losses of the members, (M,), and the gradient of each parameter, None where it has none."""
        with self._execution.both_ways():
            return self._by_compiled_code(batch) if self._execution.compiled else self._as_it_is(batch)

    def _as_it_is(self, batch: Rows) -> tuple[Tensor, Gradients]:
        for parameter in self._parameters:
            parameter.grad = None
        losses = self._losses(batch)
        if not losses.requires_grad:
            raise _checks.InputError("objective must depend on the prediction; got a number without a gradient.")
        losses.sum().backward()  # not grad(): what a module hangs on its parameters' gradients goes on working
        return losses.detach(), [parameter.grad for parameter in self._parameters]

    def _by_compiled_code(self, batch: Rows) -> tuple[Tensor, Gradients]:
        parts = (batch.x, batch.y, batch.weight, batch.place)
        shapes = (part.shape for part in parts_of(batch.x).values())
        kind = (*shapes, batch.y.shape, *(dropout.is_active for dropout in self._dropouts))
        if kind in self._compiled:
            losses, gradients = self._compiled[kind](*parts)
        else:
            with _tracing():
                self._compiled[kind] = self._compile(batch)
                losses, gradients = self._compiled[kind](*parts)
        if losses.is_cuda:
            losses = losses.clone()  # the next run of a CUDA graph overwrites what this one returned
        return losses, list(_of_their_own(gradients))

    def _pass(
        self, x: Inputs, y: Tensor | Incomplete, weight: Tensor | None, place: Tensor | None
    ) -> tuple[Tensor, Gradients]:
        losses = self._losses(Rows(x, y, weight, place))
        return losses.detach(), torch.autograd.grad(losses.sum(), self._parameters, allow_unused=True)

    def _losses(self, rows: Rows) -> Tensor:
        return member_losses(self._network, rows, self._objective, self._execution)

    def _compile(self, batch: Rows) -> _Pass:
        """Return the pass for batches of one kind; where it is known throughout, nothing else is looked at later."""
        known = is_traced(self._network, self._objective) and isinstance(batch.y, Tensor)
        options: dict[str, Any] = {"guard_filter_fn": torch.compiler.keep_tensor_guards_unsafe} if known else {}
        if self._network.device.type == "cuda":
            options["triton.cudagraphs"] = True
        own = MethodType(_with_code_of_its_own(type(self)._pass), self)
        compiled: _Pass = torch.compile(own, dynamic=False, fullgraph=known, options=options)
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


def _of_their_own(gradients: Gradients) -> Iterator[Tensor | None]:
    """Yield gradients no two of which, and no two numbers of which, are one in memory, as compiled code may return."""
    seen: set[int] = set()
    for gradient in gradients:
        if gradient is None or (gradient.is_contiguous() and gradient.data_ptr() not in seen):
            own = gradient
        else:
            own = gradient.clone(memory_format=torch.contiguous_format)
        if own is not None:
            seen.add(own.data_ptr())
        yield own


def member_losses(
    network: MixtureDensityNetwork, rows: Rows, objective: Objective, execution: Execution = PLAIN
) -> Tensor:
    """Return the objective of each member on rows of its own in scaled units, (M,); without members, (1,).

    An objective that averages over everything, as one number, is asked member by member.
    """
    n_members = network.n_members
    y, weight = rows.of_steps(0 if n_members is None else 1)
    with execution.forward(network):
        features = network.features_of(rows.x, steps_as_rows=True)
        if y.shape[-2] != features.shape[-2]:
            _refuse_steps(rows.y, features.shape[-2] / y.shape[-2])
        if n_members is None and weight is not None and rows.y.dim() > 2 and not torch.compiler.is_compiling():
            real = (weight > 0).nonzero().squeeze(-1)  # heads and likelihoods of other steps would be thrown away
            features, y, weight = features[real], y[real], weight[real] * (len(real) / len(weight))
        distribution = network.density_of(features, rows.place)
    if n_members is None:
        return _scalar(objective(distribution, y, weight)).reshape(1)
    loss = objective(distribution, y, weight)
    if isinstance(loss, Tensor) and loss.shape == (n_members,):
        return loss
    weights = weight if weight is not None else [None] * n_members
    return torch.stack([_scalar(objective(distribution[m], y[m], weights[m])) for m in range(n_members)])


def _refuse_steps(y: Tensor | Incomplete, factor: float) -> None:
    """Refuse targets whose steps, one without any, are not those of the backbone, which gives so many times as many."""
    n_steps = y.shape[-2] if y.dim() > 2 else 1
    wanted = round(factor * n_steps)
    shape = ("N", y.shape[-1]) if wanted == 1 else ("N", wanted, y.shape[-1])
    got = ("N", *y.shape[-2:]) if y.dim() > 2 else ("N", y.shape[-1])
    raise _checks.InputError(
        f"y must have shape {_checks.shape_text(shape)} for features at {_checks.counted(wanted, 'step')} of each row, "
        f"as the backbone gives them; got {_checks.shape_text(got)}."
    )


def _scalar(loss: Any) -> Tensor:
    """Return what an objective gave for one member, if it is one number with a gradient."""
    if isinstance(loss, Tensor) and loss.numel() == 1:
        return loss.reshape(())
    got = f"shape {_checks.shape_text(loss.shape)}" if isinstance(loss, Tensor) else repr(loss)
    raise _checks.InputError(f"objective must return one number as a tensor, say a mean over rows; got {got}.")
