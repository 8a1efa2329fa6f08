"""JSON schemas of what comes in and goes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from manymodes import _checks

NUMBER: dict[str, Any] = {"type": ["number", "null"]}
NUMBERS: dict[str, Any] = {"type": "array", "items": NUMBER}
TARGET: dict[str, Any] = {"type": "number", "minimum": -_checks.LARGEST, "maximum": _checks.LARGEST}
TARGET_OR_NONE: dict[str, Any] = {"anyOf": [TARGET, {"type": "null"}]}
END: dict[str, Any] = TARGET_OR_NONE
LEVEL: dict[str, Any] = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1, "default": 0.9}


def by_target(targets: Sequence[str], value: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object that holds something for every target."""
    return record(dict.fromkeys(targets, value))


def some_targets(targets: Sequence[str], value: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object that holds something for some targets, and nothing else."""
    return {"type": "object", "properties": dict.fromkeys(targets, value), "additionalProperties": False}


def record(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object with all of some properties."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def listed(items: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


ATOMS = listed(record({"location": NUMBER, "mass": NUMBER}))
REGION = record(
    {"intervals": listed(record({"low": NUMBER, "high": NUMBER, "mass": NUMBER})), "atoms": ATOMS, "log_level": NUMBER}
)
ERROR = record({"error": {"type": "string"}})


def modes(targets: Sequence[str]) -> dict[str, Any]:
    """Return the schema of the modes of a row."""
    of_targets = by_target(targets, NUMBER)
    mode = record({"location": of_targets, "log_density": NUMBER, "mass": NUMBER, "spread": of_targets})
    return record({"modes": listed(mode), "atoms": ATOMS})
