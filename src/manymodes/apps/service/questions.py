"""A request's body as a question: rows of features, an operation, and what it asks beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from manymodes import _checks
from manymodes.apps.service.features import read_rows
from manymodes.apps.service.limits import Limits
from manymodes.apps.service.models import Served
from manymodes.apps.service.operations import Asked, Operation
from manymodes.apps.service.refusals import TOO_LARGE, UNUSABLE, Refusal, shown
from manymodes.apps.service.strict_json import parse


@dataclass(eq=False)
class Question:
    """What one request asks of a model, and what is known of the answer.

    Attributes:
        operation: What is asked for.
        asked: Its settings, and what it is given for each row.
        columns: Values of each feature, F lists of N.
        future: Holds the answers in the end: JSON for each row.
        entries: Answers so far.
        first: Number of the first row that nobody works on yet.
    """

    operation: Operation
    asked: Asked
    columns: Sequence[list[Any]]
    future: asyncio.Future[list[str]]
    entries: list[str] = field(default_factory=list)
    first: int = 0

    @property
    def n_rows(self) -> int:
        """Number of rows, N."""
        return len(self.columns[0])

    @property
    def cost(self) -> int:
        """How much all rows take, in rows of quick answers."""
        return self.n_rows * self.operation.cost


def read_body(body: bytes, operation: Operation, served: Served, limits: Limits) -> tuple[Asked, Sequence[list[Any]]]:
    """Return what a body asks, and its rows as the values of each feature.

    Raises:
        Refusal: A body that is none of this operation, or has more rows than the limits allow.
    """
    value = parse(body)
    try:
        rows = _rows(value, limits)
        options = {name: option for name, option in value.items() if name != "rows"}
        _refuse_unknown(options, list(operation.options(served)))
        columns = read_rows(served.features, rows)
        return operation.read(options, served, len(rows)), columns
    except (_checks.InputError, TypeError) as error:
        raise Refusal(UNUSABLE, str(error)) from None


def _rows(value: Any, limits: Limits) -> list[Any]:
    if not isinstance(value, dict):
        raise _checks.InputError(f'the body must be an object with "rows"; got {shown(value)}.')
    rows = value.get("rows")
    if not isinstance(rows, list) or not rows:
        got = "none" if "rows" not in value else "an empty list" if rows == [] else shown(rows)
        raise _checks.InputError(f"rows must be a list of at least one object of features; got {got}.")
    if len(rows) > limits.rows:
        raise Refusal(TOO_LARGE, f"rows must be at most {limits.rows}; got {len(rows)}. Send them in several requests.")
    return rows


def _refuse_unknown(options: dict[str, Any], known: list[str]) -> None:
    for name in options:
        if name not in known:
            allowed = _checks.quoted(["rows", *known])
            raise _checks.InputError(f"the body may hold {allowed} only; got {shown(name)}.")
