"""Whether uncertainty ranks rows by their errors: what is gained by leaving the uncertain ones to somebody else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manymodes import _checks
from manymodes.distributions.results import Table


@dataclass(frozen=True, eq=False, repr=False)
class RiskCoverage(Table):
    """Mean error of the most certain rows, for every number of them.

    Attributes:
        coverage: Share of rows that are answered, (N,), from 1 / N to 1.
        risk: Mean error of that share, the most certain rows, (N,).
        oracle: The same, had the rows with the smallest errors been the most certain, (N,): no order is better.
    """

    coverage: Tensor
    risk: Tensor
    oracle: Tensor

    @property
    def area(self) -> float:
        """Area under the curve: the mean risk over all shares."""
        return float(self.risk.mean())

    @property
    def oracle_area(self) -> float:
        """Area under the curve of the best order."""
        return float(self.oracle.mean())

    @property
    def random_area(self) -> float:
        """Area that a random order is expected to have: the mean error."""
        return float(self.risk[-1])

    @property
    def gain(self) -> float:
        """Share of what the best order gains over a random one, from 1 down to below 0; NaN if errors are equal."""
        possible = self.random_area - self.oracle_area
        return (self.random_area - self.area) / possible if possible > 0 else float("nan")

    def at(self, coverage: float) -> float:
        """Return the mean error of the most certain share of rows, rounded to whole ones, and at least one.

        The others are those that ``decisions.reject`` leaves to a person, where their share is asked.
        """
        share = _checks.number_between("coverage", coverage, 0.0, 1.0, including=(1.0,))
        n_rows = len(self.risk)
        left = round(round((1 - share) * n_rows, 9))  # a half is one, for all that 1 - share is rounded
        return float(self.risk[max(n_rows - left, 1) - 1])

    def to_dict(self) -> dict[str, list[Any]]:
        """Return the curve as columns, one share a line."""
        return {name: getattr(self, name).tolist() for name in ("coverage", "risk", "oracle")}

    def __repr__(self) -> str:
        return (
            f"RiskCoverage(n_rows={len(self.risk)}, area={self.area:.4g}, oracle={self.oracle_area:.4g}, "
            f"random={self.random_area:.4g}, gain={self.gain:.2f})"
        )


def risk_coverage(error: Any, uncertainty: Any) -> RiskCoverage:
    """Return the mean error of the most certain rows, as a curve over their share, and its area (AURC).

    Where rows are equally uncertain, their order is random, and the curve is what is expected of it.

    Args:
        error: Errors, (N,), say absolute or squared ones, or scores; lower is better.
        uncertainty: What orders the rows, (N,), say standard deviations or entropies; lower is more certain.

    Raises:
        ValueError: No rows, different numbers of them, or values that are not finite.

    References:
        El-Yaniv and Wiener (2010), On the foundations of noise-free selective classification, JMLR 11; Geifman, Uziel
        and El-Yaniv (2019), Bias-reduced uncertainty estimation for deep neural classifiers, ICLR, section 3.

    Example:
        >>> risk_coverage([1.0, 2.0, 4.0], [0.1, 0.3, 0.2])
        RiskCoverage(n_rows=3, area=1.944, oracle=1.611, random=2.333, gain=0.54)
    """
    errors, order = numbers_of_rows("error", error), numbers_of_rows("uncertainty", uncertainty)
    _checks.same_rows("error", len(errors), "uncertainty", len(order))
    if len(errors) == 0:
        raise _checks.InputError("error must have at least 1 row; got none.")
    _, tied = np.unique(order, return_inverse=True)
    alike = np.bincount(tied, errors) / np.bincount(tied)  # equally uncertain rows each count as their mean
    n_rows = np.arange(1, len(errors) + 1)
    risk, oracle = (np.cumsum(values) / n_rows for values in (alike[np.sort(tied)], np.sort(errors)))
    coverage = n_rows / len(errors)
    return RiskCoverage(torch.from_numpy(coverage), torch.from_numpy(risk), torch.from_numpy(oracle))


def numbers_of_rows(name: str, value: Any) -> NDArray[np.float64]:
    """Return finite numbers, (N,), of what holds one for each row, (N,) or (N, 1), or refuse it."""
    try:
        numbers = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value).astype(np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must hold one number for each row; got {type(value).__name__}.") from None
    if numbers.ndim == 2 and numbers.shape[1] == 1:
        numbers = numbers[:, 0]
    _checks.matches_shape(name, numbers.shape, ("N",), "with one number for each row")
    if not np.isfinite(numbers).all():
        row = int((~np.isfinite(numbers)).nonzero()[0][0])
        raise _checks.InputError(f"{name} must hold finite numbers; got {numbers[row]} in {_checks.row(row)}.")
    return numbers
