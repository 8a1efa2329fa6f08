"""What a request got wrong: one sentence and the status code that goes with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

UNREADABLE, UNKNOWN, TOO_SLOW, TOO_LARGE, WRONG_KIND, UNUSABLE = 400, 404, 408, 413, 415, 422
BUSY, RETRY_AFTER = 503, {"retry-after": "1"}


class Refusal(Exception):  # noqa: N818 - it is an answer
    """An answer that is no success.

    Args:
        status: Status code of HTTP.
        sentence: What was wrong, and what to do.
        headers: Headers of the answer.
    """

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, dict(headers or {})

    @property
    def body(self) -> bytes:
        """The answer as JSON."""
        return error_body(self.sentence)


def error_body(sentence: str) -> bytes:
    """Return a sentence as every error is answered, in JSON."""
    return json.dumps({"error": sentence}).encode()


def shown(value: Any) -> str:
    """Return a value of JSON as a sentence shows it, shortened."""
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    try:
        text = json.dumps(value)
    except ValueError:  # an integer of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


_LONGEST = 40
