"""Where parameters may lie, and how targets may be scaled: what a family declares and a head reads."""

from __future__ import annotations

from enum import Enum

from torch import Tensor
from torch.distributions import constraints
from torch.distributions.constraints import Constraint


class Scaling(Enum):
    """How a target may be scaled before it is modelled, from the freest to the strictest."""

    AFFINE = 0  # shifted and scaled
    SCALE = 1  # scaled only: positive quantities
    NONE = 2  # left as it is: counts and angles


class _Positive(Constraint):
    """Positive numbers; each instance is a meaning of its own, for which heads have a map of its own."""

    def check(self, value: Tensor) -> Tensor:
        return value > 0


real = constraints.real
scale = constraints.positive  # a width in the units of the target; heads keep it above their floor
rate = _Positive()  # a size that ranges over orders of magnitude; heads use a logarithmic link
concentration = _Positive()  # an inverse squared width; heads keep it below their floor to the power -2
degrees_of_freedom = constraints.greater_than(1.0)  # above 1, so that the mean exists
scale_tril = constraints.lower_cholesky

_WORDS: dict[Constraint, str] = {
    real: "a number",
    scale: "positive",
    rate: "positive",
    concentration: "positive",
    degrees_of_freedom: "greater than 1",
    scale_tril: "lower triangular with a positive diagonal",
}


def rule(constraint: Constraint) -> str:
    """Return a constraint in words, for messages."""
    return _WORDS[constraint]
