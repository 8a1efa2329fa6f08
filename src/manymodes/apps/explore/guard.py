"""Who may use an explorer: this computer's own pages, or, where others can reach it, who has its token."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; "
    "frame-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)


class Guard:
    """Lets requests through that come from the explorer's own page.

    A page of another site must not steer an explorer: it is refused by its origin, and a name of the host that is none
    of the explorer's own is refused, too (a site may let its name point to this computer).

    Args:
        app: What is guarded.
        hosts: Names that the host may have in requests, without the port; empty for any.
        token: What a request must know; None where only this computer can reach the explorer.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str], token: str | None) -> None:
        self._app, self._hosts, self._token = app, frozenset(hosts), token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, is_get = Headers(scope=scope), scope["method"] == "GET"
        answer = self._refusal(headers) or self._without_token(scope, headers, is_get=is_get)
        await (answer or self._app)(scope, receive, _with_policy(send))

    def _refusal(self, headers: Headers) -> Response | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        try:
            name = urlsplit(f"//{host}").hostname or ""
            is_own = origin is None or urlsplit(origin).netloc == host
        except ValueError:
            name, is_own = "", False
        if self._hosts and name not in self._hosts:
            return _refused("the address of this page must be the one that manymodes explore printed.")
        return None if is_own else _refused("requests must come from the page itself, and not from another site.")

    def _without_token(self, scope: Scope, headers: Headers, *, is_get: bool) -> Response | None:
        """Return what is said to who does not know the token, or how it is kept from now on; None for who does."""
        if self._token is None:
            return None
        cookie = cookie_name(scope)
        if self._is_token(cookie_parser(headers.get("cookie", "")).get(cookie, "")):
            return None
        if not self._is_token(parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]):
            return _refused("the address must end in the token that manymodes explore printed, ?token=....")
        if not is_get:
            return None
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie(cookie, self._token, httponly=True, samesite="lax")
        return answer

    def _is_token(self, asked: str) -> bool:
        return hmac.compare_digest(asked.encode(), (self._token or "").encode())


def cookie_name(scope: Scope) -> str:
    """Return the name of the cookie that keeps the token: browsers share cookies among all ports of a host."""
    _, port = scope.get("server") or ("", 0)
    return f"manymodes-token-{port}"


def _refused(sentence: str) -> Response:
    return JSONResponse({"error": sentence}, status_code=403)


def _with_policy(send: Send) -> Send:
    """Return what sends answers that browsers let load nothing from elsewhere."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["content-security-policy"] = POLICY
            headers["x-content-type-options"] = "nosniff"
            headers["referrer-policy"] = "no-referrer"
            headers["cache-control"] = "no-store"
        await send(message)

    return sending
