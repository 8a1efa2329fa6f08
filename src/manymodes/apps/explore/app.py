"""The addresses of an explorer."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from manymodes import _checks
from manymodes.apps.explore.page import explorer_page
from manymodes.apps.explore.session import Session
from manymodes.apps.fit import REPORT_FILE
from manymodes.estimators.model_file import MODEL_FILE
from manymodes.estimators.presets import PRESETS
from manymodes.estimators.targets.families import FAMILIES

_MOST_JSON = 100_000
_SECONDS_BETWEEN = 0.2  # looks for news
_NAME = re.compile(r"[^\w. -]", re.ASCII)
_USUAL_NAME = "table.csv"


def make_app(session: Session, most_bytes: int, shown: str | None = None) -> Starlette:
    """Return an explorer.

    Args:
        session: What happens in it.
        most_bytes: Bytes that an upload may have.
        shown: A page to show in place of the start; None for the start.
    """
    addresses = _Addresses(session, most_bytes, shown)
    return Starlette(
        routes=[
            Route("/", addresses.start),
            Route("/state", addresses.state),
            Route("/table", addresses.table, methods=["POST"]),
            Route("/fit", addresses.fit, methods=["POST"]),
            Route("/stop", addresses.stop, methods=["POST"]),
            Route("/events", addresses.events),
            Route("/report", addresses.report),
            Route("/download/{what}", addresses.download),
        ],
        exception_handlers={_checks.InputError: _refused, HTTPException: _unknown},
    )


class _Addresses:
    """What is answered at each address."""

    def __init__(self, session: Session, most_bytes: int, shown: str | None) -> None:
        self._session, self._most_bytes, self._shown = session, most_bytes, shown

    async def start(self, _: Request) -> Response:
        return HTMLResponse(explorer_page() if self._shown is None else self._shown)

    async def state(self, _: Request) -> Response:
        return JSONResponse(self._session.state())

    async def table(self, request: Request) -> Response:
        file = self._session.new_upload(_file_name(request.query_params.get("name", "")))
        try:
            await _keep(request, file, self._most_bytes)
            return await _done(lambda: self._session.take_table(file))
        except BaseException:
            self._session.discard(file)
            raise

    async def fit(self, request: Request) -> Response:
        asked = await _asked(request)
        return await _done(lambda: self._session.fit(*asked))

    async def stop(self, _: Request) -> Response:
        return await _done(self._session.stop)

    async def events(self, _: Request) -> Response:
        return StreamingResponse(_news(self._session), media_type="text/event-stream")

    async def report(self, _: Request) -> Response:
        return _file(self._session.output / REPORT_FILE, "text/html", download=False)

    async def download(self, request: Request) -> Response:
        name = {"model": MODEL_FILE, "report": REPORT_FILE}.get(request.path_params["what"])
        if name is None:
            raise HTTPException(404)
        return _file(self._session.output / name, "application/octet-stream", download=True)


def _file_name(asked: str) -> str:
    """Return a name for a file that is handed in: that of its owner, without what could lead elsewhere."""
    name = _NAME.sub("_", Path(asked).name)[-100:]
    return name if name.strip(". ") else _USUAL_NAME


async def _keep(request: Request, file: Path, most_bytes: int) -> None:
    """Write the body of a request into a file, unless it is too large."""
    with file.open("wb") as stream:
        async for part in request.stream():
            stream.write(part)
            if stream.tell() > most_bytes:
                raise _checks.InputError(
                    f"a table must have at most {most_bytes:,} bytes; this one has more. Start manymodes explore with "
                    "a larger --max-upload-mb."
                )


async def _asked(request: Request) -> tuple[list[str], list[str], str, str]:
    """Return what a fit is asked for: targets, columns to leave out, a preset and a family."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_JSON:
            raise _checks.InputError(f"a question must have at most {_MOST_JSON:,} bytes; this one has more.")
    try:
        asked: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise _checks.InputError("the body must be JSON; got something else.") from None
    if not isinstance(asked, dict):
        kind = type(asked).__name__
        raise _checks.InputError(f"the body must be an object with targets, drop and preset; got a {kind}.")
    targets, drop, preset = asked.get("targets", []), asked.get("drop", []), asked.get("preset", "default")
    for name, given in (("targets", targets), ("drop", drop)):
        if not isinstance(given, list) or not all(isinstance(column, str) for column in given):
            raise _checks.InputError(f"{name} must be a list of names of columns; got something else.")
    family = asked.get("family", "normal")
    for name, given, options in (("preset", preset, PRESETS), ("family", family, FAMILIES)):
        if not isinstance(given, str):
            raise _checks.InputError(f"{name} must be one of {_checks.quoted(options)}; got no name.")
    return targets, drop, preset, family


async def _done(act: Callable[[], None]) -> Response:
    """Act in a thread, so that the page stays alive, and answer that it is done."""
    await asyncio.to_thread(act)
    return JSONResponse({"done": True})


async def _news(session: Session) -> AsyncIterator[str]:
    """Yield the state of a session whenever it changes, as server-sent events; the table only when it is another."""
    version = tables = -1
    while True:
        state = session.state()
        if state["version"] != version:
            if state["tables"] == tables:
                state.pop("table", None)
            version, tables = state["version"], state["tables"]
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
