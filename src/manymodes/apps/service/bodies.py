"""Bodies of requests as they arrive: read no further than the limits allow."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import Receive

from manymodes.apps.service.limits import Limits
from manymodes.apps.service.refusals import TOO_LARGE, TOO_SLOW, UNREADABLE, WRONG_KIND, Refusal, shown


class Disconnected(Exception):  # noqa: N818 - nobody is left to be told of an error
    """The client went away."""


async def receive_body(headers: Headers, receive: Receive, limits: Limits) -> bytes:
    """Return the body of a request.

    Raises:
        Refusal: A body that is no JSON by its headers, too large, or too slow.
        Disconnected: The client went away.
    """
    _check_headers(headers, limits)
    try:
        async with asyncio.timeout(limits.arrival_seconds):
            return await _received(receive, limits)
    except TimeoutError:
        sentence = f"a body must arrive within {limits.arrival_seconds:g} s; this one took longer."
        raise Refusal(TOO_SLOW, sentence) from None


async def _received(receive: Receive, limits: Limits) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        body += message.get("body", b"")
        if len(body) > limits.body_bytes:
            raise _too_large(limits, "more")
        if not message.get("more_body", False):
            return bytes(body)


def _check_headers(headers: Headers, limits: Limits) -> None:
    kind, _, parameters = headers.get("content-type", "").partition(";")
    if kind.strip().lower() != "application/json":
        got = shown(kind) if kind else "none"
        raise Refusal(WRONG_KIND, f"content-type must be application/json; got {got}.")
    charset = parameters.strip().lower().replace('"', "")
    if charset.startswith("charset=") and charset not in ("charset=utf-8", "charset=utf8"):
        raise Refusal(WRONG_KIND, f"the body must be UTF-8; got {shown(charset)}.")
    if (coding := headers.get("content-encoding", "identity").lower()) != "identity":
        raise Refusal(WRONG_KIND, f"the body must not be compressed; got content-encoding {shown(coding)}.")
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise Refusal(UNREADABLE, f"content-length must be a number; got {shown(length)}.")
    if len(length) > _MOST_DIGITS or int(length) > limits.body_bytes:
        raise _too_large(limits, length[:_MOST_DIGITS])


_MOST_DIGITS = 18


def _too_large(limits: Limits, got: str) -> Refusal:
    sentence = f"a body must have at most {limits.body_bytes} bytes; got {got}. Send the rows in several requests."
    return Refusal(TOO_LARGE, sentence)
