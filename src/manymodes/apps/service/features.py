"""The features of a model: what a JSON value of each must be, and how rows of values become columns."""

from __future__ import annotations

import datetime
import math
import re
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymodes import _checks
from manymodes.apps.service.refusals import shown
from manymodes.estimators.tables.encoding import ColumnCode, TableEncoder

_CLOCK = r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?"
_OFFSET = r"(Z|[+-]\d\d:\d\d)"
_FIXED_OFFSET = re.compile(r"(?:UTC)?([+-])(\d\d):(\d\d)")


@dataclass(frozen=True)
class Feature:
    """A feature as requests give it.

    Attributes:
        code: How its values become numbers.
    """

    code: ColumnCode

    @property
    def name(self) -> str:
        """Its name."""
        return self.code.name

    @property
    def kind(self) -> str:
        """``"number"``, ``"category"``, ``"time"``, or ``"unused"`` where it was the same in every row of the fit."""
        return "unused" if self.code.is_empty or self.code.is_constant else self.code.kind

    @cached_property
    def schema(self) -> dict[str, Any]:
        """JSON schema of a value."""
        if self.kind == "unused":
            return {"type": ["number", "string", "boolean", "null"], "description": _UNUSED}
        options = self._schemas
        if self.code.has_missing:
            options = [*options, {"type": "null"}]
        return options[0] if len(options) == 1 else {"anyOf": options}

    def read(self, value: Any, row: int) -> Any:
        """Return a value of JSON as a column holds it.

        Args:
            value: The value.
            row: Number of its row, for messages.

        Raises:
            ValueError: Another kind than that of the fit, or a missing value where the fit had none.
        """
        if type(value) is float and self._is_number and abs(value) <= _checks.LARGEST:  # the usual case
            return value
        if self.kind == "unused" and not isinstance(value, (list, dict)):
            return 0.0
        if value is None and self.code.has_missing:
            return math.nan if self._is_number else None
        read = None if value is None else self._read(value)
        if read is None:
            raise _checks.InputError(
                f"feature {self.name!r} must be {self._rule}; got {shown(value)} in {_checks.row(row)}."
            )
        return read

    def column(self, values: list[Any]) -> NDArray[Any]:
        """Return values as a column of a table, (N,)."""
        if self._is_number:
            return np.array(values, dtype=np.float64)
        if self.code.kind == "time" and self._zone is None:
            return np.array(values, dtype="datetime64[us]")
        column = np.empty(len(values), dtype=object)
        column[:] = values
        return column

    # --- what kind of values ---

    @cached_property
    def _is_number(self) -> bool:
        code = self.code
        return self.kind in ("number", "unused") or (code.kind == "category" and not isinstance(code.levels[0], str))

    @cached_property
    def _zone(self) -> datetime.tzinfo | None:
        return zone_of(self.code.zone) if self.code.zone else None

    def _read(self, value: Any) -> Any:
        """Return what a value that is not null becomes; None where it is of another kind."""
        if self._is_number:
            is_number = isinstance(value, (int, float)) and abs(value) <= _checks.LARGEST
            return float(value) if is_number else None
        if not isinstance(value, str):
            return None
        return value if self.code.kind == "category" else self._time(value)

    def _time(self, text: str) -> datetime.datetime | None:
        if re.fullmatch(_CLOCK + (_OFFSET if self._zone else ""), text, re.ASCII) is None:
            return None
        try:
            time = datetime.datetime.fromisoformat(text)
            return time if self._zone is None else time.astimezone(self._zone)
        except (ValueError, OverflowError):
            return None

    @property
    def _schemas(self) -> list[dict[str, Any]]:
        if self.code.kind == "time":
            pattern = f"^{_CLOCK}{_OFFSET if self._zone else ''}$"
            return [{"type": "string", "format": "date-time" if self._zone else "local-date-time", "pattern": pattern}]
        number = {"type": "number", "minimum": -_checks.LARGEST, "maximum": _checks.LARGEST}
        known: dict[str, Any] = {"enum": list(self.code.levels), "description": "What the fit had."}
        if self._is_number:
            return [known, number] if self.code.kind == "category" else [number, {"type": "boolean"}]
        return [known, {"type": "string", "description": "What the fit did not have is like none of them."}]

    @property
    def _rule(self) -> str:
        rule = f"a number within ±{_checks.LARGEST:g}" if self._is_number else "text"
        if self.kind == "unused":
            rule = "a number, text, true, false or null"
        elif self.code.kind == "time":
            example = "with its UTC offset, say '2024-05-31T17:00:00Z'" if self._zone else "say '2024-05-31T17:00:00'"
            rule = f"a point in time, {example}"
        return f"{rule}, or null" if self.code.has_missing and self.kind != "unused" else rule


_UNUSED = "The same in every row of the fit, so its value changes nothing."


def features_of(encoder: TableEncoder) -> list[Feature]:
    """Return the features of a model, in the order of its fit.

    Raises:
        ValueError: A time zone that this computer does not know.
    """
    features = [Feature(code) for code in encoder.columns]
    for code in encoder.columns:
        if code.zone:
            zone_of(code.zone)
    return features


def zone_of(name: str) -> datetime.tzinfo:
    """Return a time zone by its name, or by its offset, say UTC+02:00.

    Raises:
        ValueError: A name that this computer does not know.
    """
    if name == "UTC":
        return datetime.UTC
    if (fixed := _FIXED_OFFSET.fullmatch(name)) is not None:
        sign, hours, minutes = fixed.groups()
        offset = datetime.timedelta(hours=int(hours), minutes=int(minutes))
        return datetime.timezone(-offset if sign == "-" else offset, name)
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        raise _checks.InputError(
            f"the time zone {name!r} of the model must be known here; install the package tzdata."
        ) from None


def read_rows(features: Sequence[Feature], rows: Any) -> list[list[Any]]:
    """Return rows of JSON as the values of each feature.

    Raises:
        ValueError: What are no rows, or lack a feature, or hold values of another kind than those of the fit.
    """
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            raise _checks.InputError(f"{_checks.row(place)} must be an object of features by name; got {shown(row)}.")
    columns = []
    for feature in features:
        name, read = feature.name, feature.read
        try:
            columns.append([read(row[name], place) for place, row in enumerate(rows)])
        except KeyError:
            _refuse_missing(name, rows)
    return columns


def _refuse_missing(name: str, rows: list[dict[str, Any]]) -> None:
    place = next(place for place, row in enumerate(rows) if name not in row)
    if not rows[place]:
        raise _checks.InputError(f"{_checks.row(place)} must hold every feature, {name!r} first; got none.")
    near = [text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}..." for text in rows[place]]
    _checks.known_columns([name], near, _checks.row(place))


_LONGEST_NAME = 40
