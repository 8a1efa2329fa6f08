"""JSON schemas, as far as the service's own document uses them: values that they allow, and whether they allow one."""

from __future__ import annotations

import datetime
import math
import re
from typing import Any

from hypothesis import strategies as st

KEYWORDS = {
    *("$ref", "type", "enum", "anyOf", "properties", "required", "additionalProperties", "minProperties", "items"),
    *("minItems", "maxItems", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format", "pattern"),
    *("default", "description"),
}
MOST_ROWS, LARGEST = 4, 1e6
TYPES = {
    "null": type(None),
    "boolean": bool,
    "string": str,
    "number": (int, float),
    "integer": int,
    "array": list,
    "object": dict,
}

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


class Schemas:
    """The schemas of a document.

    Args:
        document: An OpenAPI document.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return a schema that no reference stands for."""
        assert set(schema) <= KEYWORDS, set(schema) - KEYWORDS
        if "$ref" not in schema:
            return schema
        found: Any = self.document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return found

    def allows(self, schema: dict[str, Any], value: Any) -> bool:
        """Return whether a schema allows a value."""
        schema = self.resolved(schema)
        if "anyOf" in schema:
            return any(self.allows(option, value) for option in schema["anyOf"])
        if "enum" in schema:
            return any(
                value == option and isinstance(value, bool) == isinstance(option, bool) for option in schema["enum"]
            )
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(isinstance(value, TYPES[name]) and (name == "boolean") == isinstance(value, bool) for name in types):
            return False
        if isinstance(value, dict):
            return self._allows_object(schema, value)
        if isinstance(value, list):
            fits = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf)
            return fits and all(self.allows(schema["items"], item) for item in value)
        if isinstance(value, str):
            return re.search(schema.get("pattern", ""), value, re.ASCII) is not None
        return value is None or isinstance(value, bool) or _in_range(schema, value)

    def _allows_object(self, schema: dict[str, Any], value: dict[str, Any]) -> bool:
        known = schema.get("properties", {})
        if len(value) < schema.get("minProperties", 0) or not set(schema.get("required", ())) <= set(value):
            return False
        if schema.get("additionalProperties") is False and not set(value) <= set(known):
            return False
        return all(self.allows(known[name], part) for name, part in value.items() if name in known)

    def values(self, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
        """Return what draws values that a schema allows; numbers are no larger than ``LARGEST``."""
        schema = self.resolved(schema)
        if "anyOf" in schema:
            return st.one_of([self.values(option) for option in schema["anyOf"]])
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        return st.one_of([getattr(self, f"_{name}")(schema) for name in types])

    def _null(self, _: dict[str, Any]) -> st.SearchStrategy[Any]:
        return st.none()

    def _boolean(self, _: dict[str, Any]) -> st.SearchStrategy[Any]:
        return st.booleans()

    def _string(self, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
        if "format" not in schema:
            return st.text(max_size=8)
        years = datetime.datetime(1900, 1, 1), datetime.datetime(2100, 1, 1)
        offset = {"date-time": "Z", "local-date-time": ""}[schema["format"]]
        return st.datetimes(*years).map(lambda time: time.isoformat() + offset)

    def _integer(self, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
        return st.integers(schema["minimum"], min(schema["maximum"], 50 if schema["minimum"] else 2**32 - 1))

    def _number(self, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
        low = max(schema.get("minimum", schema.get("exclusiveMinimum", -LARGEST)), -LARGEST)
        high = min(schema.get("maximum", schema.get("exclusiveMaximum", LARGEST)), LARGEST)
        open_ends = {"exclude_min": "exclusiveMinimum" in schema, "exclude_max": "exclusiveMaximum" in schema}
        whole = st.integers(math.ceil(low), math.floor(high)).filter(lambda number: _in_range(schema, number))
        numbers = st.floats(low, high, allow_nan=False, **open_ends)
        return numbers if open_ends["exclude_min"] else numbers | whole

    def _array(self, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
        most = min(schema.get("maxItems", MOST_ROWS), MOST_ROWS)
        return st.lists(self.values(schema["items"]), min_size=schema.get("minItems", 0), max_size=most)

    def _object(self, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
        parts = {name: self.values(part) for name, part in schema["properties"].items()}
        required = {name: parts.pop(name) for name in schema.get("required", ())}
        found = st.fixed_dictionaries(required, optional=parts)
        return found.filter(lambda value: len(value) >= schema.get("minProperties", 0))


def _in_range(schema: dict[str, Any], value: float) -> bool:
    inside = schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf)
    return inside and schema.get("exclusiveMinimum", -math.inf) < value < schema.get("exclusiveMaximum", math.inf)


def spoiled(value: Any) -> st.SearchStrategy[Any]:
    """Return what draws a value like another with one part replaced by anything, or left out."""
    if isinstance(value, dict) and value:
        inside = st.sampled_from(sorted(value)).flatmap(
            lambda name: st.one_of(
                spoiled(value[name]).map(lambda part: value | {name: part}),
                st.just({key: part for key, part in value.items() if key != name}),
                st.text(max_size=5).map(lambda key: value | {key: 1}),
            )
        )
    elif isinstance(value, list) and value:
        inside = st.integers(0, len(value) - 1).flatmap(
            lambda i: spoiled(value[i]).map(lambda part: [*value[:i], part, *value[i + 1 :]])
        )
    else:
        return ANYTHING
    return st.one_of(ANYTHING, inside, inside, inside)
