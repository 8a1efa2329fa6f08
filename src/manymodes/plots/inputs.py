"""What every picture is handed: a prediction, an input x and, if there are any, observed targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Categorical

from manymodes import _checks
from manymodes.distributions import Mixture, Prediction

Array = NDArray[np.float64]


class AlongX(NamedTuple):
    """Predictions of one target dimension in ascending order of x.

    Attributes:
        mixture: Their marginals, ``batch_shape`` (N,), ``event_shape`` (1,), in double precision.
        x: The input, (N,).
        y: Observed targets, (N,), or None.
    """

    mixture: Mixture
    x: Array
    y: Array | None


def along_x(distribution: Prediction, x: Any, y: Any, dim: int, *, several: bool = True) -> AlongX:
    """Return one target dimension of predictions, sorted by x, or refuse what does not fit.

    Args:
        distribution: Predictions, ``batch_shape`` (N,), ``event_shape`` (D,).
        x: Input, (N,).
        y: Observed targets, (N,) or (N, D), or None.
        dim: Target dimension.
        several: Whether x must have two distinct values at least.
    """
    check_rows(distribution)
    n_rows, target_dim = distribution.batch_shape[0], distribution.event_shape[0]
    dim = _checks.integer_at_least("dim", dim, 0, target_dim - 1)
    x = finite("x", x)
    _checks.matches_shape("x", x.shape, (n_rows,), "to match the rows of distribution")
    if several and x.min() == x.max():
        raise _checks.InputError(
            f"x must have at least two distinct values; got {x[0]:g} only. For single rows, see ridgeline."
        )
    order = np.argsort(x, kind="stable")
    mixture = on_the_line(distribution.marginal(dim))[torch.from_numpy(order)]
    return AlongX(mixture, x[order], None if y is None else _targets(y, n_rows, target_dim, dim)[order])


def check_rows(distribution: object) -> None:
    """Refuse what is not a prediction with ``batch_shape`` (N,) for some N > 0."""
    _checks.instance("distribution", distribution, Prediction, ", as predict_distribution or a network returns it")
    shape = distribution.batch_shape  # type: ignore[attr-defined]
    if len(shape) != 1:
        raise _checks.InputError(
            f"distribution must have batch_shape (N,); got {_checks.shape_text(shape)}. Of members, take one, "
            "distribution[0], or all as one mixture, distribution.pooled(0)."
        )
    if shape[0] == 0:
        raise _checks.InputError("distribution must have at least one row; got none.")


def finite(name: str, value: Any) -> Array:
    """Return numbers as an array, or refuse what is not finite."""
    numbers = array(value) if isinstance(value, Tensor) else np.asarray(value)
    if numbers.dtype.kind in "OUS":
        numbers = _converted(name, numbers)
    if numbers.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be an array of numbers; got {numbers.dtype}.")
    numbers = numbers.astype(np.float64)
    if not np.isfinite(numbers).all():
        place = np.argwhere(~np.isfinite(numbers))[0]
        where = f" in {_checks.row(int(place[0]))}" if len(place) else ""
        raise _checks.InputError(f"{name} must be finite; got {numbers[tuple(place)]}{where}.")
    return numbers


def _converted(name: str, values: NDArray[Any]) -> Array:
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError):
        first = next((value for value in values.ravel().tolist() if not isinstance(value, (int, float))), values)
        raise TypeError(f"{name} must be an array of numbers; got {first!r} in it.") from None


def in_0_1(name: str, levels: Sequence[float]) -> list[float]:
    """Return distinct probabilities in descending order, so that what is drawn last lies inside."""
    if isinstance(levels, (str, bytes)) or not isinstance(levels, (Sequence, np.ndarray)) or not len(levels):
        raise TypeError(f"{name} must be a list of numbers > 0 and < 1; got {levels!r}.")
    return sorted({_checks.number_between(name, level, 0.0, 1.0) for level in levels}, reverse=True)


def on_the_line(distribution: Prediction) -> Mixture:
    """Return a prediction of one target dimension as a mixture, on the CPU, in double precision, without gradients."""

    def settled(value: Tensor) -> Tensor:
        return value.detach().to("cpu", torch.float64)

    weights = Categorical(logits=settled(distribution.logits), validate_args=False)
    return Mixture(weights, distribution.components.transformed(settled), validate_args=False)


def array(value: Tensor) -> Array:
    """Return a tensor as an array in double precision."""
    numbers: Array = value.detach().to("cpu", torch.float64).numpy()
    return numbers


def _targets(y: Any, n_rows: int, target_dim: int, dim: int) -> Array:
    targets = finite("y", y)
    if targets.shape == (n_rows, target_dim):
        return targets[:, dim]
    _checks.matches_shape("y", targets.shape, (n_rows,), "to match the rows of distribution")
    return targets
