"""A model's forward pass for a fixed number of rows, written out as a list of tensor operations.

For a few rows, most of the time of a forward pass goes to the Python around it: modules, checks, distributions that are
built on the way. Written out, the same operations run in the same order, and return the same numbers, bit for bit.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_aggregate
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from manymodes.distributions import Mixture
from manymodes.distributions.log_weights import LogWeights
from manymodes.distributions.together import parameters
from manymodes.estimators.predictions import checked, finite_numbers

_VIEWS: Final = (torch.ops.aten.expand.default, torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default)
_UNFORESEEN: Final = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)


class TracedDensity:
    """p(y | x) for encoded rows, (N, E), as ``estimators.predictions.checked`` returns it; written out for one N.

    Args:
        density: Returns the mixture for rows, whatever they hold by the same operations.
        x: Some rows, as many as the pass is written out for; other numbers of them go the usual way.

    Raises:
        RuntimeError: A density whose operations depend on what rows hold, as far as that can be told.
    """

    @torch.no_grad()
    def __init__(self, density: Callable[[Tensor], Mixture], x: Tensor) -> None:
        def numbers(x: Tensor) -> list[Tensor]:
            mixture = density(x)
            total = torch.stack([value.sum() for value in finite_numbers(mixture)]).sum()
            return [total, mixture.logits, *parameters(mixture)]

        self._density, self._shape = density, x.shape
        self._components = density(x).components
        self._numbers = traced(numbers, x)
        others = x + torch.linspace(-3.0, 3.0, len(x), dtype=x.dtype).unsqueeze(-1)
        if not all(_same(*pair) for pair in zip(self._numbers(others), numbers(others), strict=True)):
            raise RuntimeError("the density cannot be written out: other rows have other numbers then")

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Mixture:
        """Return p(y | x).

        Raises:
            ValueError: Rows so far from the training data that the network overflowed.
        """
        if x.shape != self._shape:
            return checked(self._density(x))
        total, logits, *values = self._numbers(x)
        if not math.isfinite(total):  # some number is not finite, and the check tells whose
            return checked(self._density(x))
        components = self._components.transformed(lambda _: values.pop(0))
        return Mixture(LogWeights(logits), components, validate_args=True)


@torch.no_grad()
def traced(function: Callable[[Tensor], Sequence[Tensor]], x: Tensor) -> Callable[[Tensor], Sequence[Tensor]]:
    """Return a function of tensors like x as those of its operations that depend on x, one after another.

    What Python reads from x without torch, say by ``tolist``, is taken for a constant.

    Raises:
        RuntimeError: Operations that depend on what x holds, draw random numbers, or write to what stays the same.
    """
    recorder = _Recorder(x)
    with recorder:
        results = function(x)
    return recorder.function(results)


class _Recorder(TorchDispatchMode):
    """Writes the operations on what depends on a tensor into a graph; all else is constant.

    Args:
        x: The tensor.
    """

    def __init__(self, x: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._graph, self._constants = fx.Graph(), nn.Module()
        self._known: dict[int, tuple[Tensor, fx.Node]] = {}  # constants; kept, so that no other tensor has their id
        self._places: set[int] = set()  # in memory, of constants
        self._varying = {id(x): (x, self._graph.placeholder("x"))}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        varies = any(id(value) in self._varying for value in tree_leaves((args, kwargs)))
        self._refuse_unforeseen(func, args, kwargs, varies=varies)
        result = func(*args, **kwargs)
        if varies:
            self._write(func, args, kwargs, result)
        return result

    def function(self, results: Sequence[Tensor]) -> Callable[[Tensor], Sequence[Tensor]]:
        """Return the function of x with these results."""
        self._graph.output([self._node(result) for result in results])
        self._erase_unused()
        forward: Callable[[Tensor], Sequence[Tensor]] = fx.GraphModule(self._constants, self._graph).forward
        return forward

    def _write(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        if func in _VIEWS and (result.shape, result.stride()) == (args[0].shape, args[0].stride()):
            self._varying[id(result)] = result, self._node(args[0])  # a view of all of it, as it is
            return
        node = self._graph.call_function(func, map_aggregate(args, self._node), map_aggregate(kwargs, self._node))
        if isinstance(result, Tensor):
            self._varying[id(result)] = result, node
            return
        if not isinstance(result, (tuple, list)):
            raise RuntimeError(f"{func} cannot be written out: it returns no tensor")  # noqa: TRY004 - like all such
        for place, part in enumerate(result):
            self._varying[id(part)] = part, self._graph.call_function(operator.getitem, (node, place))

    def _node(self, value: Any) -> Any:
        """Return what stands for a tensor in the graph; anything else as it is."""
        if not isinstance(value, Tensor):
            return value
        if id(value) not in self._varying and id(value) not in self._known:
            name = f"constant_{len(self._known)}"
            self._constants.register_buffer(name, value.detach())
            self._known[id(value)] = value, self._graph.get_attr(name)
            self._places |= {_place(value)} - {0}  # which is where all tensors without numbers are
        return (self._varying.get(id(value)) or self._known[id(value)])[1]

    def _erase_unused(self) -> None:
        """Erase what no result needs; what writes in place stays."""
        for node in reversed(list(self._graph.nodes)):
            writes = getattr(getattr(node.target, "_schema", None), "is_mutable", False)
            if node.op in ("call_function", "get_attr") and not node.users and not writes:
                self._graph.erase_node(node)

    def _refuse_unforeseen(self, func: Any, args: Any, kwargs: Any, *, varies: bool) -> None:
        depends = torch.Tag.nondeterministic_seeded in func.tags
        if varies and func is torch.ops.aten.index.Tensor:  # whose shape depends on masks only
            depends = any(id(index) in self._varying and index.dtype == torch.bool for index in args[1])
        elif varies:
            depends |= any(tag in func.tags for tag in _UNFORESEEN)
        for value in _written(func, args, kwargs):
            depends |= _place(value) in self._places or (varies and id(value) not in self._varying)
        if depends:
            raise RuntimeError(f"{func} cannot be written out: what it does depends on the values that it is given")


def _written(func: Any, args: Any, kwargs: Any) -> list[Tensor]:
    """Return the tensors that an operation writes to."""
    named = {argument.name: value for argument, value in zip(func._schema.arguments, args, strict=False)} | kwargs
    written = [named.get(part.name) for part in func._schema.arguments if part.alias_info and part.alias_info.is_write]
    return [value for value in tree_leaves(written) if isinstance(value, Tensor)]


def _place(value: Tensor) -> int:
    return value.untyped_storage().data_ptr()


def _same(first: Tensor, second: Tensor) -> bool:
    return first.shape == second.shape and torch.allclose(first, second, rtol=0.0, atol=0.0, equal_nan=True)
