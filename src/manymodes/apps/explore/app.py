"""The addresses of an explorer."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from manymodes import _checks
from manymodes.apps.explore.page import explorer_page
from manymodes.apps.explore.session import Session
from manymodes.estimators.model_file import MODEL_FILE

_MOST_JSON = 100_000
_SECONDS_BETWEEN = 0.1  # looks for news
_NAME = re.compile(r"[^A-Za-z0-9._ -]")


def make_app(session: Session, most_bytes: int, shown: str | None = None) -> Starlette:
    """Return an explorer.

    Args:
        session: What happens in it.
        most_bytes: Bytes that an upload may have.
        shown: A page to show in place of the start; None for the start.
    """

    async def start(_: Request) -> Response:
        return HTMLResponse(explorer_page() if shown is None else shown)

    async def state(_: Request) -> Response:
        return JSONResponse(session.state())

    async def table(request: Request) -> Response:
        name = _NAME.sub("_", Path(request.query_params.get("name", "table.csv")).name)[-100:]
        file = session.uploads / name
        await _keep(request, file, most_bytes)
        return await _done(lambda: session.take_table(file))

    async def fit(request: Request) -> Response:
        asked = await _json(request)
        return await _done(lambda: session.fit(*asked))

    async def stop(_: Request) -> Response:
        return await _done(session.stop)

    async def events(_: Request) -> Response:
        return StreamingResponse(_news(session), media_type="text/event-stream")

    async def report(_: Request) -> Response:
        return _file(session.output / "report.html", "text/html", download=False)

    async def download(request: Request) -> Response:
        names = {"model": MODEL_FILE, "report": "report.html", "summary": "summary.json"}
        name = names.get(request.path_params["what"])
        if name is None:
            raise HTTPException(404)
        return _file(session.output / name, "application/octet-stream", download=True)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        session.close()

    return Starlette(
        routes=[
            Route("/", start),
            Route("/state", state),
            Route("/table", table, methods=["POST"]),
            Route("/fit", fit, methods=["POST"]),
            Route("/stop", stop, methods=["POST"]),
            Route("/events", events),
            Route("/report", report),
            Route("/download/{what}", download),
        ],
        exception_handlers={_checks.InputError: _refused, HTTPException: _unknown},
        lifespan=lifespan,
    )


async def _keep(request: Request, file: Path, most_bytes: int) -> None:
    """Write the body of a request into a file, unless it is too large."""
    try:
        with file.open("wb") as stream:
            async for part in request.stream():
                stream.write(part)
                _refuse_large(stream.tell(), most_bytes)
    except (_checks.InputError, ClientDisconnect):
        file.unlink(missing_ok=True)
        raise


def _refuse_large(size: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise _checks.InputError(f"a table must have at most {most_bytes:,} bytes; this one has more.")


async def _json(request: Request) -> tuple[list[str], list[str], str]:
    """Return what a fit is asked for."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_JSON:
            raise _checks.InputError(f"a question must have at most {_MOST_JSON:,} bytes; this one has more.")
    try:
        asked: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise _checks.InputError("the body must be JSON.") from None
    if not isinstance(asked, dict):
        raise _checks.InputError("the body must be an object with targets, drop and preset.")
    targets, drop, preset = asked.get("targets", []), asked.get("drop", []), asked.get("preset", "default")
    if not all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in (targets, drop)):
        raise _checks.InputError("targets and drop must be lists of names of columns.")
    if not isinstance(preset, str):
        raise _checks.InputError("preset must be a name: fast, default or best.")
    return targets, drop, preset


async def _done(act: Callable[[], None]) -> Response:
    """Act in a thread, so that the page stays alive, and answer that it is done."""
    await asyncio.to_thread(act)
    return JSONResponse({"done": True})


async def _news(session: Session) -> AsyncIterator[str]:
    """Yield the state of a session whenever it changes, as server-sent events."""
    seen = -1
    while True:
        state = session.state()
        if state["version"] != seen:
            seen = state["version"]
            yield f"data: {json.dumps(state, allow_nan=False)}\n\n"
        await asyncio.sleep(_SECONDS_BETWEEN)


def _file(file: Path, kind: str, *, download: bool) -> Response:
    if not file.is_file():
        raise _checks.InputError("there is no model yet; fit one first.")
    return FileResponse(file, media_type=kind, filename=file.name if download else None)


async def _refused(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=400)


async def _unknown(_: Request, error: Exception) -> Response:
    code = getattr(error, "status_code", 404)
    sentence = "this address takes other requests." if code == 405 else "there is nothing at this address."
    return JSONResponse({"error": sentence}, status_code=code)
