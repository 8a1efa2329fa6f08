"""Probabilities of what is given: targets, or ends of intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from manymodes import _checks
from manymodes.apps.service import schemas
from manymodes.apps.service.models import Served
from manymodes.apps.service.operations.operation import (
    Asked,
    Operation,
    Predicted,
    as_number,
    by_target,
    listed,
)
from manymodes.apps.service.refusals import shown
from manymodes.estimators.tables.numbers import Floats


class LogProb(Operation):
    """Log-density of given targets."""

    name, key = "log_prob", "log_prob"
    summary = "Log p(y | x) of the joint density, in nats; null where it is minus infinity."

    def options(self, served: Served) -> dict[str, Any]:
        """Return targets for each row."""
        value = schemas.TARGET_OR_NONE if served.allows_missing_targets else schemas.TARGET
        return {"targets": {"type": "array", "items": schemas.by_target(served.targets, value)}}

    def required(self, served: Served) -> list[str]:
        """Return the targets."""
        return ["targets"]

    def entry(self, served: Served) -> dict[str, Any]:
        """Return a number."""
        return schemas.NUMBER

    def read(self, options: Mapping[str, Any], served: Served, n_rows: int) -> Asked:
        """Return the targets of each row."""
        targets = options.get("targets")
        if not isinstance(targets, list):
            raise _checks.InputError(f"targets must be a list of one object for each row; got {shown(targets)}.")
        _checks.same_rows("rows", n_rows, "targets", len(targets))
        read = [_targets_of_row(targets[row], row, served) for row in range(n_rows)]
        return Asked((), np.array(read, dtype=np.float64))

    def answer(self, predicted: Predicted, asked: Asked) -> list[Any]:
        """Return the log-densities."""
        return listed(predicted.log_prob(predicted.rows, asked.of_rows))


def _targets_of_row(targets: Any, row: int, served: Served) -> list[float]:
    where = f"targets of {_checks.row(row)}"
    if not isinstance(targets, dict):
        raise _checks.InputError(f"{where} must be an object of targets by name; got {shown(targets)}.")
    return [_target(targets, name, where, may_lack=served.allows_missing_targets) for name in served.targets]


def _target(targets: dict[str, Any], name: str, where: str, *, may_lack: bool) -> float:
    if may_lack and name in targets and targets[name] is None:
        return np.nan
    number = as_number(targets.get(name))
    if number is None:
        rule = f"a number within ±{_checks.LARGEST:g}{' or null' if may_lack else ''}"
        got = shown(targets[name]) if name in targets else "none"
        raise _checks.InputError(f"{where} must hold {name!r}, {rule}; got {got}.")
    return number


class Probability(Operation):
    """Probability of an interval."""

    name, key = "probability", "probabilities"
    fewest = 1
    summary = "P(low <= y <= high | x) of every target by itself; null, or a target that is not named, means no end."

    def options(self, served: Served) -> dict[str, Any]:
        """Return the ends: for all rows, for each of them, or for some targets by name."""
        number, per_row = schemas.END, {"type": "array", "items": schemas.END}
        named = schemas.some_targets(served.targets, {"anyOf": [number, per_row]})
        end = {"anyOf": [number, per_row, named] if len(served.targets) == 1 else [{"type": "null"}, named]}
        return {"low": end, "high": end}

    def entry(self, served: Served) -> dict[str, Any]:
        """Return a number for every target."""
        return schemas.by_target(served.targets, schemas.NUMBER)

    def read(self, options: Mapping[str, Any], served: Served, n_rows: int) -> Asked:
        """Return the ends for each row."""
        if not options:
            raise _checks.InputError("low or high must be given; got neither.")
        low, high = (
            _ends(name, options.get(name), default, served, n_rows)
            for name, default in (("low", -np.inf), ("high", np.inf))
        )
        if bool((low > high).any()):
            row, d = np.argwhere(low > high)[0]
            raise _checks.InputError(
                f"low must be <= high; got {low[row, d]:g} and {high[row, d]:g} in {_checks.row(int(row))}."
            )
        return Asked((), np.stack([low, high], 1))

    def answer(self, predicted: Predicted, asked: Asked) -> list[Any]:
        """Return the probabilities."""
        assert asked.of_rows is not None  # noqa: S101
        low, high = asked.of_rows[:, 0], asked.of_rows[:, 1]
        return by_target(predicted, predicted.predict_probability(predicted.rows, low, high))


def _ends(name: str, value: Any, default: float, served: Served, n_rows: int) -> Floats:
    """Return the ends of intervals, (N, D)."""
    targets = served.targets
    if value is not None and not isinstance(value, dict):
        if len(targets) > 1:
            raise _checks.InputError(
                f"{name} must be an object of ends by target, since there are {len(targets)}; got {shown(value)}."
            )
        value = {targets[0]: value}
    ends = np.full((n_rows, len(targets)), default)
    for target, end in (value or {}).items():
        if target not in targets:
            raise _checks.InputError(f"{name} must name targets, {_checks.quoted(targets)}; got {shown(target)}.")
        listed = end if isinstance(end, list) else [end] * n_rows
        _checks.same_rows("rows", n_rows, name, len(listed))
        ends[:, list(targets).index(target)] = [_end(name, number, default) for number in listed]
    return ends


def _end(name: str, value: Any, default: float) -> float:
    number = default if value is None else as_number(value)
    if number is None:
        raise _checks.InputError(
            f"{name} must be a number within ±{_checks.LARGEST:g}, or null for no end; got {shown(value)}."
        )
    return number
