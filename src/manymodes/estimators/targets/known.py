"""The targets of a fit as they come: exact, missing, or known to lie between two ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_array
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Incomplete
from manymodes.estimators.tables.numbers import Floats, refuse_same, target_name, target_table, unmasked

_ALLOW = ", or pass allow_missing_targets=True"


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets of N rows and D columns.

    Attributes:
        values: Values that are known exactly, (N, D); NaN elsewhere.
        low: Lower end of where each may lie, (N, D): the value itself, or -inf.
        high: Upper end, likewise.
        names: Their names, if they came with any.
        ndim: Number of axes that they came with, 1 or 2.
    """

    values: Floats
    low: Floats
    high: Floats
    names: list[str] | None
    ndim: int

    @classmethod
    def exact(cls, values: Floats, names: list[str] | None) -> Targets:
        """Return targets, (N, D), that are all known."""
        return cls(values, values, values, names, 2)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def are_exact(self) -> bool:
        """Whether nothing is missing or censored."""
        return not bool(np.isnan(self.values).any())

    def take(self, rows: NDArray[np.intp]) -> Targets:
        """Return some rows."""
        return Targets(self.values[rows], self.low[rows], self.high[rows], self.names, self.ndim)

    def matched(self, names: list[str] | None) -> Targets:
        """Return the columns of these names, in their order, where there are several and both sides have names.

        Raises:
            ValueError: A name that is not there.
        """
        if names is None or self.names is None or len(names) == 1:
            return self
        _checks.known_columns(names, self.names, "y")
        index = [self.names.index(name) for name in names]
        return Targets(self.values[:, index], self.low[:, index], self.high[:, index], names, self.ndim)

    def tensor(self, rounding: float | None = None) -> Tensor | Incomplete:
        """Return the targets as a likelihood takes them.

        Args:
            rounding: Step to which exact values were rounded; None for none.
        """
        low, high = torch.from_numpy(self.low.copy()), torch.from_numpy(self.high.copy())
        if rounding is None:
            return low if self.are_exact else Incomplete(low, high)
        half = torch.from_numpy(np.where(np.isnan(self.values), 0.0, 0.5 * rounding))
        return Incomplete(low - half, high + half)


def read_targets(
    estimator: BaseEstimator, y: Any, y_lower: Any = None, y_upper: Any = None, *, allow_missing: bool = False
) -> Targets:
    """Return the targets of a fit or of a score.

    Args:
        estimator: Who asks, for messages.
        y: Targets, (N,) or (N, D); NaN where nobody knows.
        y_lower: Lower ends of targets that are known to be no smaller, of the same shape; NaN where there is none.
        y_upper: Upper ends, likewise.
        allow_missing: Whether NaN is legal where no end is given.

    Raises:
        ValueError: Targets that are missing, infinite or huge; ends that contradict them or one another.
    """
    values, names = _read(estimator, y, "y")
    low, high = (
        np.full_like(values, np.nan) if end is None else _matched(*_read(estimator, end, name), values, names, name)
        for end, name in ((y_lower, "y_lower"), (y_upper, "y_upper"))
    )
    is_censored = ~(np.isnan(low) & np.isnan(high))
    columns = values[:, None] if values.ndim == 1 else values
    missing = np.isnan(values) & ~is_censored
    if missing.any() and not allow_missing:
        _refuse_missing(missing.reshape(columns.shape), names)
    _refuse_infinite(columns, names)
    low, high = (np.where(np.isnan(end), far, end) for end, far in ((low, -np.inf), (high, np.inf)))
    _refuse_crossed(values, low, high)
    unknown = np.isnan(values) | is_censored
    low, high = (np.where(unknown, end, values).reshape(columns.shape) for end in (low, high))
    exact = np.where(unknown, np.nan, values).reshape(columns.shape)
    return Targets(exact, low, high, names, values.ndim)


def refuse_unvaried(targets: Targets) -> None:
    """Refuse targets one of which never changes, as far as it is known: it has no density."""
    for d, (low, high) in enumerate(zip(targets.low.T, targets.high.T, strict=True)):
        ends = np.concatenate([low[np.isfinite(low)], high[np.isfinite(high)]])
        if not len(ends):
            raise _checks.InputError(f"{target_name(d, targets.names)} must be known in some rows; got none.")
        refuse_same(ends, d, targets.names, len(low))


def _read(estimator: BaseEstimator, y: Any, name: str) -> tuple[Floats, list[str] | None]:
    if y is None:
        kind = type(estimator).__name__
        raise _checks.InputError(f"{kind} requires y to be passed, but the target y is None.")
    table = target_table(y, allow_missing=True)
    if table is not None:
        return table.values, table.names
    if isinstance(y, Tensor):
        y = y.detach().cpu().double().numpy()
    if isinstance(y, (int, float)) or getattr(y, "ndim", 1) == 0:
        raise _checks.InputError(f"{name} must have shape (N,) or (N, D); got {y!r}.")
    values = check_array(
        unmasked(y) if isinstance(y, np.ma.MaskedArray) else y,
        dtype=np.float64,
        ensure_2d=False,
        ensure_min_samples=0,
        ensure_all_finite="allow-nan" if name == "y" else False,
        input_name=name,
        estimator=estimator,
    )
    if values.ndim not in (1, 2):
        raise _checks.InputError(f"{name} must have shape (N,) or (N, D); got {_checks.shape_text(values.shape)}.")
    return values, None


def _matched(end: Floats, own_names: list[str] | None, values: Floats, names: list[str] | None, name: str) -> Floats:
    """Return bounds in the shape of y, their columns in its order where both have names."""
    if own_names is not None and names is not None and len(names) > 1 and end.ndim == 2:
        _checks.known_columns(names, own_names, name)
        end = end[:, [own_names.index(own) for own in names]]
    if end.size == values.size and len(end) == len(values):
        return end.reshape(values.shape)
    raise _checks.InputError(
        f"{name} must have shape {_checks.shape_text(values.shape)} to match y; got {_checks.shape_text(end.shape)}."
    )


def _named(d: int, names: Sequence[str] | None) -> str:
    return f"Column {d} of y" if names is None else f"Column {names[d]!r}"


def _refuse_missing(missing: NDArray[np.bool_], names: Sequence[str] | None) -> None:
    d = int(missing.any(0).argmax())
    count, first = int(missing[:, d].sum()), int(missing[:, d].argmax())
    raise _checks.InputError(
        f"{_named(d, names)} has {_checks.counted(count, 'missing value')} (NaN; first: {_checks.row(first)}), and a "
        f"target may have none; drop those rows{_ALLOW}."
    )


def _refuse_infinite(columns: Floats, names: Sequence[str] | None) -> None:
    wild = np.abs(columns) > _checks.LARGEST
    if wild.any():
        d = int(wild.any(0).argmax())
        raise _checks.InputError(
            f"{_named(d, names)} must be finite and within ±{_checks.LARGEST:g}; got another value first in "
            f"{_checks.row(int(wild[:, d].argmax()))}. Drop those rows, or hand in a bound as y_lower or y_upper."
        )


def _refuse_crossed(values: Floats, low: Floats, high: Floats) -> None:
    for wrong, rule in (
        (low > high, "y_lower must be <= y_upper"),
        ((values < low) | (values > high), "y must lie between y_lower and y_upper where it is given"),
    ):
        if wrong.any():
            place = tuple(np.argwhere(wrong)[0])
            raise _checks.InputError(
                f"{rule}; got y={values[place]:g}, y_lower={low[place]:g} and y_upper={high[place]:g} first in "
                f"{_checks.row(int(place[0]))}."
            )
