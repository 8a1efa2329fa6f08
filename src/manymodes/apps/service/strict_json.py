"""JSON as RFC 8259 has it, and no more: Python's own reader takes NaN, infinity and keys that are there twice."""

from __future__ import annotations

import json
import math
from typing import Any

from manymodes import _checks
from manymodes.apps.service.refusals import UNREADABLE, Refusal, shown


def parse(body: bytes) -> Any:
    """Return what a body of JSON holds.

    Raises:
        Refusal: What is no JSON, or no UTF-8; numbers that are not finite, keys that are there twice.
    """
    try:
        return _DECODER.decode(body.decode())
    except UnicodeDecodeError as error:
        sentence = f"the body must be UTF-8; got something else at byte {error.start}."
    except json.JSONDecodeError as error:
        reason = error.msg[:1].lower() + error.msg[1:]
        sentence = f"the body must be JSON; {reason} at line {error.lineno}, column {error.colno}."
    except RecursionError:
        sentence = "the body must be JSON of a few levels; got one that nests too deeply."
    except ValueError:  # of Python's limit for integers
        sentence = "the body must hold numbers of at most 4300 digits; got a longer one."
    raise Refusal(UNREADABLE, sentence)


def finite(value: Any) -> Any:
    """Return nested lists of numbers with null for those that are not finite, which JSON does not know."""
    if isinstance(value, list):
        return [finite(part) for part in value]
    return value if math.isfinite(value) else None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = shown(next(name for name in names if names.count(name) > 1))
        raise Refusal(UNREADABLE, f"the body must hold every key of an object once; got {repeated} more than once.")
    return found


def _refuse_constant(name: str) -> float:
    raise Refusal(UNREADABLE, f"the body must hold finite numbers; got {name}. Where nothing is known, write null.")


def _number(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise Refusal(UNREADABLE, f"the body must hold numbers within ±{_checks.LARGEST:g}; got {text[:20]}.")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_number)
