"""The service's addresses, and what is answered there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from manymodes import _checks
from manymodes.apps.service.batching import BATCH, Batcher
from manymodes.apps.service.bodies import Disconnected, receive_body
from manymodes.apps.service.limits import Limits
from manymodes.apps.service.models import Served
from manymodes.apps.service.openapi import document
from manymodes.apps.service.operations import OPERATIONS, Operation
from manymodes.apps.service.questions import Question, read_body
from manymodes.apps.service.refusals import BUSY, RETRY_AFTER, UNKNOWN, Refusal, error_body, shown

_BODY_IS_READ = "manymodes.body_is_read"
_LARGE_BODY = 1 << 14  # bytes that take too long to read beside other requests


class Service:
    """Models behind addresses.

    Args:
        models: The models by their names.
        limits: What it bears.
    """

    def __init__(self, models: Mapping[str, Served], limits: Limits) -> None:
        self.models, self.limits = models, limits
        self.batchers: dict[str, Batcher] = {}
        self._document = json.dumps(document(models, limits)).encode()

    @asynccontextmanager
    async def running(self, _: Starlette) -> AsyncIterator[None]:
        """Answer questions for as long as the context lasts, and then those that still wait."""
        with ThreadPoolExecutor(1, "manymodes") as worker:
            self.batchers = {name: Batcher(served, worker, self.limits) for name, served in self.models.items()}
            yield
            self.batchers = {}

    # --- what there is ---

    async def live(self, _: Request) -> Response:
        """Answer that the process runs."""
        return _json({"status": "live"})

    async def ready(self, _: Request) -> Response:
        """Answer whether models take questions now."""
        full = [name for name, batcher in self.batchers.items() if batcher.is_full]
        if full or not self.batchers:
            reason = f"too many requests wait for {_checks.quoted(full)}" if full else "it is about to start or to stop"
            raise Refusal(BUSY, f"the service must be ready to take requests; {reason}. Try again later.", RETRY_AFTER)
        return _json({"status": "ready", "models": list(self.models)})

    async def openapi(self, _: Request) -> Response:
        """Answer with the description of all addresses."""
        return Response(self._document, media_type="application/json")

    async def list_models(self, _: Request) -> Response:
        """Answer with the models."""
        known = ("name", "targets")
        return _json({"models": [{name: getattr(served, name) for name in known} for served in self.models.values()]})

    async def describe_model(self, request: Request) -> Response:
        """Answer with what there is to know of a model."""
        return _json(self._model(request).description())

    # --- questions ---

    async def ask(self, request: Request) -> Response:
        """Answer a question to a model."""
        served, operation = self._model(request), self._operation(request)
        body = await receive_body(request.headers, request.receive, self.limits)
        request.scope[_BODY_IS_READ] = True
        if len(body) > _LARGE_BODY:
            asked, columns = await asyncio.to_thread(read_body, body, operation, served, self.limits)
        else:
            asked, columns = read_body(body, operation, served, self.limits)
        question = Question(operation, asked, columns, asyncio.get_running_loop().create_future())
        entries = await self._answer(served.name, question, request)
        return Response(f'{{"{operation.key}": [{", ".join(entries)}]}}', media_type="application/json")

    async def _answer(self, name: str, question: Question, request: Request) -> list[str]:
        """Return the answers to a question; a long one is given up where its client goes away."""
        answer = self.batchers[name].answer(question)
        if question.cost <= BATCH:
            return await answer
        answering = asyncio.ensure_future(answer)
        leaving = asyncio.ensure_future(request.receive())
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                raise Disconnected
            return answering.result()
        finally:
            answering.cancel()
            leaving.cancel()

    def _model(self, request: Request) -> Served:
        name = request.path_params["name"]
        if name not in self.models:
            raise Refusal(UNKNOWN, f"the address must name one of {_checks.quoted(self.models)}; got {shown(name)}.")
        return self.models[name]

    def _operation(self, request: Request) -> Operation:
        name = request.path_params["operation"]
        if name not in OPERATIONS:
            raise Refusal(UNKNOWN, f"the address must end with one of {_checks.quoted(OPERATIONS)}; got {shown(name)}.")
        return OPERATIONS[name]


def make_app(models: Mapping[str, Served], limits: Limits) -> Starlette:
    """Return the service as an ASGI application."""
    service = Service(models, limits)
    routes = [
        Route("/v1/models/{name}/{operation}", service.ask, methods=["POST"]),
        Route("/v1/models/{name}", service.describe_model),
        Route("/v1/models", service.list_models),
        Route("/health/live", service.live),
        Route("/health/ready", service.ready),
        Route("/openapi.json", service.openapi),
    ]
    handlers: dict[Any, Any] = {
        Refusal: _refused,
        HTTPException: _no_such_address,
        Disconnected: _gone,
        Exception: _failed,
    }
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=service.running)
    app.router.redirect_slashes = False
    return app


def _json(value: Any) -> Response:
    return Response(json.dumps(value), media_type="application/json")


async def _refused(request: Request, refusal: Refusal) -> Response:
    headers = refusal.headers
    may_have_body = "content-length" in request.headers or "transfer-encoding" in request.headers
    if may_have_body and _BODY_IS_READ not in request.scope:
        headers = headers | {"connection": "close"}  # or else what is left of the body would come for ever
    return Response(refusal.body, refusal.status, headers, "application/json")


async def _no_such_address(request: Request, error: HTTPException) -> Response:
    path = shown(request.url.path)
    if error.status_code != HTTPStatus.METHOD_NOT_ALLOWED:
        return await _refused(request, Refusal(UNKNOWN, f"there is nothing at {path}; see /openapi.json."))
    allowed = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
    sentence = f"{path} takes {allowed}; got {shown(request.method)}."
    return await _refused(request, Refusal(error.status_code, sentence, {"allow": allowed}))


async def _gone(_: Request, __: Disconnected) -> Response:
    return Response(status_code=499)  # which nobody reads


async def _failed(_: Request, __: Exception) -> Response:
    sentence = "the service failed to answer, and what went wrong is written in its log."
    return Response(error_body(sentence), HTTPStatus.INTERNAL_SERVER_ERROR, media_type="application/json")
