"""The targets of a fit as they come: exact, missing, or known to lie between two ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_array
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from manymodes import _checks
from manymodes.distributions import Incomplete
from manymodes.estimators.tables.numbers import Floats, refuse_same, target_name, target_table, unmasked
from manymodes.nn.steps import unpacked

_ALLOW = ", or pass allow_missing_targets=True"


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets of N rows and D columns; where they stand at every step of sequences, each real step has one.

    Attributes:
        values: Values that are known exactly, (N, D); NaN elsewhere.
        low: Lower end of where each may lie, (N, D): the value itself, or -inf.
        high: Upper end, likewise.
        names: Their names, if they came with any.
        ndim: Number of axes that they came with, 1 or 2; 3 with steps.
        steps: Which steps are real, (N, T): ``values`` then has their targets one after another. None without steps.
    """

    values: Floats
    low: Floats
    high: Floats
    names: list[str] | None
    ndim: int
    steps: NDArray[np.bool_] | None = None

    @classmethod
    def exact(cls, values: Floats, names: list[str] | None) -> Targets:
        """Return targets, (N, D), that are all known."""
        return cls(values, values, values, names, 2)

    def __len__(self) -> int:
        return len(self.values if self.steps is None else self.steps)

    @property
    def are_exact(self) -> bool:
        """Whether nothing is missing or censored."""
        return not bool(np.isnan(self.values).any())

    def matched(self, names: list[str] | None) -> Targets:
        """Return the columns of these names, in their order, where there are several and both sides have names.

        Raises:
            ValueError: A name that is not there.
        """
        if names is None or self.names is None or len(names) == 1:
            return self
        _checks.known_columns(names, self.names, "y")
        index = [self.names.index(name) for name in names]
        return replace(
            self, values=self.values[:, index], low=self.low[:, index], high=self.high[:, index], names=names
        )

    def tensor(self, rounding: float | None = None) -> Tensor | Incomplete:
        """Return the targets as a likelihood takes them.

        Args:
            rounding: Step to which exact values were rounded; None for none.
        """
        half = 0.0 if rounding is None else np.where(np.isnan(self.values), 0.0, 0.5 * rounding)
        low, high = self._placed(self.low - half, -np.inf), self._placed(self.high + half, np.inf)
        if rounding is None and self.are_exact:
            return low.nan_to_num(neginf=0.0)  # of padded steps, which count for nothing
        return Incomplete(low, high)

    def _placed(self, ends: Floats, padding: float) -> Tensor:
        """Return ends of targets, (N, D), or (N, T, D) with something else at padded steps."""
        if self.steps is None:
            return torch.from_numpy(ends)
        placed = np.full((*self.steps.shape, ends.shape[1]), padding)
        placed[self.steps] = ends
        return torch.from_numpy(placed)


def read_targets(
    estimator: BaseEstimator,
    y: Any,
    y_lower: Any = None,
    y_upper: Any = None,
    *,
    allow_missing: bool = False,
    real_steps: NDArray[np.bool_] | None = None,
) -> Targets:
    """Return the targets of a fit or of a score.

    Args:
        estimator: Who asks, for messages.
        y: Targets, (N,) or (N, D); NaN where nobody knows. For a backbone of the user's own also (N, T, D).
        y_lower: Lower ends of targets that are known to be no smaller, of the same shape; NaN where there is none.
        y_upper: Upper ends, likewise.
        allow_missing: Whether NaN is legal where no end is given.
        real_steps: Which steps of padded sequences are real, (N, T); None for all.

    Raises:
        ValueError: Targets that are missing, infinite or huge; ends that contradict them or one another.
    """
    values, names = _read(estimator, y, "y")
    if values.ndim == 3:
        if y_lower is not None or y_upper is not None:
            raise _checks.InputError("y_lower and y_upper must be left out with targets at every step.")
        steps = np.ones(values.shape[:2], dtype=bool) if real_steps is None else real_steps
        _checks.matches_shape("y", values.shape, (*steps.shape, "D"), "to match the steps of X")
        if isinstance(y, PackedSequence) and not np.array_equal(unpacked(y)[1].numpy(), steps.sum(1)):
            raise _checks.InputError("y must be packed as X is, sequence by sequence; got other lengths.")
        own = read_targets(estimator, values[steps], allow_missing=allow_missing)
        return replace(own, names=names, ndim=3, steps=steps)
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
    if isinstance(y, PackedSequence):
        y = unpacked(y)[0]
    if isinstance(y, Tensor):
        y = y.detach().cpu().double().numpy()
    if isinstance(y, (int, float)) or getattr(y, "ndim", 1) == 0:
        raise _checks.InputError(f"{name} must have shape (N,) or (N, D); got {y!r}.")
    values = check_array(
        unmasked(y) if isinstance(y, np.ma.MaskedArray) else y,
        dtype=np.float64,
        ensure_2d=False,
        allow_nd=True,
        ensure_min_samples=0,
        ensure_all_finite="allow-nan" if name == "y" else False,
        input_name=name,
        estimator=estimator,
    )
    has_steps = values.ndim == 3 and name == "y" and getattr(estimator, "backbone", None) is not None
    if values.ndim not in (1, 2) and not has_steps:
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
