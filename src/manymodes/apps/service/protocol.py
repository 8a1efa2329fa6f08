"""HTTP/1.1 as uvicorn speaks it, with guards that it lacks: heads that are too long or too slow, errors as JSON."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from manymodes.apps.service.refusals import error_body

_LONGEST_HEAD = 1 << 16
_OFFER = re.compile(rb"\r\nupgrade:", re.IGNORECASE)


class GuardedProtocol(HttpToolsProtocol):
    """A connection whose requests have heads of bounded length, which arrive within bounded time.

    Args:
        arrival_seconds: Seconds until the head of a request has arrived.
        **uvicorn: What uvicorn hands to its own protocol.
    """

    def __init__(self, *, arrival_seconds: float, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._arrival_seconds = arrival_seconds
        self._head_bytes = 0
        self._expiry: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._head_is_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what arrives before a head is complete."""
        if self._expiry is None and self._head_bytes == 0 and self._is_idle:
            self._expect_head()
        if self._expiry is not None:
            self._head_bytes += len(data)
            data = _without_offer(data)
        super().data_received(data)
        if self._expiry is not None and self._head_bytes > _LONGEST_HEAD:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"a head must have at most {_LONGEST_HEAD} bytes.")

    def on_headers_complete(self) -> None:
        """Stop waiting for the head, and start what answers."""
        self._head_is_there()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(HTTPStatus.BAD_REQUEST, "the request must be HTTP/1.1; got something else.")

    @property
    def _is_idle(self) -> bool:
        """Whether nothing is being answered or received."""
        return self.cycle is None or (self.cycle.response_complete and not self.cycle.more_body)

    def _expect_head(self) -> None:
        self._expiry = self.loop.call_later(self._arrival_seconds, self._too_slow)

    def _head_is_there(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry, self._head_bytes = None, 0

    def _too_slow(self) -> None:
        sentence = f"a head must arrive within {self._arrival_seconds:g} s; this one took longer."
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, sentence)

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        self._head_is_there()
        if self.transport.is_closing():
            return
        body = error_body(sentence)
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
        self.transport.write(f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
        self.transport.close()


def _without_offer(data: bytes) -> bytes:
    """Return what arrives without an offer to change the protocol: the parser would drop the body that follows it.

    Java's own client makes such an offer with every first request.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    return _OFFER.sub(b"\r\nx-offer:", head) + end + rest
