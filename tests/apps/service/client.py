"""A client of an application in the same process, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import httpx2


class Client:
    """Sends requests to an ASGI application, one at a time or many at once; a context manager."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.loop = asyncio.new_event_loop()
        self.lifespan = app.router.lifespan_context(app)
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        self.http = httpx2.AsyncClient(transport=transport, base_url="http://service")

    def __enter__(self) -> Client:
        self.run(self.lifespan.__aenter__())
        return self

    def __exit__(self, *error: Any) -> None:
        self.run(self.lifespan.__aexit__(*error))
        self.run(self.http.aclose())
        self.loop.close()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def get(self, path: str) -> httpx2.Response:
        return self.run(self.http.get(path))

    def post(self, path: str, **content: Any) -> httpx2.Response:
        return self.run(self.http.post(path, **content))

    def request(self, method: str, path: str, **content: Any) -> httpx2.Response:
        return self.run(self.http.request(method, path, **content))

    def at_once(self, *questions: tuple[str, Any]) -> list[httpx2.Response]:
        """Post bodies to their paths, all before any is answered."""

        async def ask() -> list[httpx2.Response]:
            return await asyncio.gather(*(self.http.post(path, json=body) for path, body in questions))

        return self.run(ask())
