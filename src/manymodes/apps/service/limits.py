"""What a service bears."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a service bears before it refuses.

    Attributes:
        body_bytes: Bytes of a body.
        rows: Rows of a request.
        seconds: Seconds until a request is answered.
        arrival_seconds: Seconds until a request has arrived: its head, and then its body.
        waiting: Requests that wait for the same model.
    """

    body_bytes: int = 1 << 20
    rows: int = 1000
    seconds: float = 30.0
    arrival_seconds: float = 10.0
    waiting: int = 1000
