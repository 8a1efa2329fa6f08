"""Special functions that torch lacks: SciPy's values, with gradients in every argument.

torch 2.13 has neither the regularised incomplete beta function nor the gradient of the incomplete gamma function in its
shape. Values come from SciPy, on the CPU and in float64, whatever the device and precision of the arguments. The
gradient of a cdf in its variable is the density; in a shape parameter it is a central difference of sixth order,
good to about 1e-10 of the value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import special
from torch import Tensor

_STEP = 2e-2  # of the parameter: differences of sixth order err by about _STEP^6 = 6e-11
_DIFFERENCES = ((1, 0.75), (2, -0.15), (3, 1 / 60))  # offsets in steps and their weights (Fornberg 1988)

_FALLING = ("gammaincc", "betaincc", "pdtrc")  # survival functions: their derivative is minus the density

Values = np.ndarray[Any, np.dtype[np.float64]]


def evaluate(function: str, *arguments: Tensor) -> Tensor:
    """Return ``scipy.special.<function>`` of tensors that broadcast; without a gradient."""
    values = getattr(special, function)(*(argument.detach().cpu().double().numpy() for argument in arguments))
    like = arguments[0]
    return torch.as_tensor(np.asarray(values), dtype=like.dtype, device=like.device)


def cumulative(function: str, log_density: Callable[..., Tensor], value: Tensor, *shapes: Tensor) -> Tensor:
    """Return a cdf or survival function of SciPy's, with gradients.

    Args:
        function: Name in ``scipy.special``; its arguments are the shapes first and the value last.
        log_density: Log of the derivative of the cdf, a function of the value and the shapes.
        value: Where, any shape.
        shapes: Shape parameters > 0 that broadcast against ``value``.
    """
    falling = function in _FALLING
    result: Tensor = _Cumulative.apply(  # type: ignore[no-untyped-call]
        function, log_density, -1.0 if falling else 1.0, value, *shapes
    )
    return result


class _Cumulative(torch.autograd.Function):
    @staticmethod
    def forward(
        function: str, log_density: Callable[..., Tensor], sign: float, value: Tensor, *shapes: Tensor
    ) -> Tensor:
        return evaluate(function, *shapes, value)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.function, ctx.log_density, ctx.sign = inputs[:3]
        ctx.save_for_backward(*inputs[3:])

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        """Map over a batch: it comes first in every tensor, which then broadcast."""
        rank = max(value.dim() - (dim is not None) for value, dim in zip(inputs[3:], in_dims[3:], strict=True))
        moved = []
        for value, dim in zip(inputs[3:], in_dims[3:], strict=True):
            if dim is not None:
                first = value.movedim(dim, 0)
                value = first.reshape(len(first), *(1,) * (rank - first.dim() + 1), *first.shape[1:])
            moved.append(value)
        return _Cumulative.apply(*inputs[:3], *moved), 0  # type: ignore[no-untyped-call]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        value, *shapes = ctx.saved_tensors
        gradients: list[Tensor | None] = [None] * (1 + len(shapes))
        if ctx.needs_input_grad[3]:
            slope = ctx.sign * ctx.log_density(value, *shapes).exp()
            gradients[0] = (grad * torch.where(slope.isnan(), 0.0, slope)).sum_to_size(value.shape)
        for i, shape in enumerate(shapes):
            if ctx.needs_input_grad[4 + i]:
                slope = _Once.apply(_difference(ctx.function, shapes, i, value), value, *shapes)  # type: ignore[no-untyped-call]
                gradients[1 + i] = (grad * slope).sum_to_size(shape.shape)
        return None, None, None, *gradients


class _Once(torch.autograd.Function):
    """A gradient in a shape, which is a number here and no function: a second one is refused, not taken for 0."""

    @staticmethod
    def forward(ctx: Any, slope: Tensor, *_: Tensor) -> Tensor:
        return slope.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        raise NotImplementedError("second derivatives in the shape of a cdf that SciPy evaluates are not known")


def _difference(function: str, shapes: list[Tensor], i: int, value: Tensor) -> Tensor:
    """Return the derivative in one shape, through that of the logarithm, which is smooth in the tails too."""
    shape, total = shapes[i].double(), torch.zeros((), dtype=torch.float64, device=value.device)
    step = _STEP * torch.minimum(shape, shape.sqrt())  # a cdf changes over the square root of a large shape
    for offset, weight in _DIFFERENCES:
        for sign in (1, -1):
            moved = [other.double() for other in shapes]
            moved[i] = shape + sign * offset * step
            total = total + sign * weight * evaluate(function, *moved, value.double()).log()
    slope = evaluate(function, *(other.double() for other in shapes), value.double()) * total / step
    return slope.nan_to_num(0.0, 0.0, 0.0).to(value.dtype)


def normal_cdf(z: Tensor) -> Tensor:
    """Return the standard normal cdf, accurate in both tails.

    ``torch.special.ndtr`` of torch 2.13 works out (1 + erf) / 2, which is off by 3e-8 at z = -6 and 0 at z = -9.
    """
    probability: Tensor = 0.5 * torch.special.erfc(-math.sqrt(0.5) * z)
    return probability


def log_normal_cdf(z: Tensor) -> Tensor:
    """Return the logarithm of the standard normal cdf, with a right gradient however far out.

    That of ``torch.special.log_ndtr`` of torch 2.13 is exp of a difference of squares: in float32 it is off by 8 % at
    z = -3000 and by all of it at -1e5; farther out it is not a number.
    """
    lower = z < -1
    near = torch.log1p(-0.5 * torch.special.erfc(math.sqrt(0.5) * torch.where(lower, -1.0, z)))
    tail = torch.where(lower, z, -1.0)
    far = torch.special.erfcx(-math.sqrt(0.5) * tail).log() - math.log(2) - 0.5 * tail.square()
    return torch.where(lower, far, near)
