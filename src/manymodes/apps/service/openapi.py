"""The OpenAPI document: every address of every model, with schemas made from what the models know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import manymodes
from manymodes.apps.service import schemas
from manymodes.apps.service.limits import Limits
from manymodes.apps.service.models import Served
from manymodes.apps.service.operations import OPERATIONS, Operation

_JSON = "application/json"


def document(models: Mapping[str, Served], limits: Limits) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of a service."""
    paths: dict[str, Any] = {
        "/health/live": {"get": _get("Whether the process runs.")},
        "/health/ready": {"get": _get("Whether models take requests now.")},
        "/openapi.json": {"get": _get("This document.")},
        "/v1/models": {"get": _get("The models.")},
    }
    rows = {}
    for number, served in enumerate(models.values()):
        address, row = f"/v1/models/{quote(served.name, safe='')}", f"Row{number}"
        rows[row] = _row(served)
        paths[address] = {"get": _get(f"What there is to know of the model {served.name}.")}
        for operation in OPERATIONS.values():
            paths[f"{address}/{operation.name}"] = {"post": _post(operation, served, row, limits)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "manymodes",
            "version": manymodes.__version__,
            "description": "Distributions predicted for rows of features. Where a number is not finite, null stands.",
        },
        "paths": paths,
        "components": {"schemas": {"Error": schemas.ERROR, **rows}, "responses": {"Error": _response(_ERROR)}},
    }


_ERROR = {"$ref": "#/components/schemas/Error"}


def _row(served: Served) -> dict[str, Any]:
    row = schemas.record({feature.name: feature.schema for feature in served.features})
    return {**row, "description": f"A row of features of the model {served.name}; others are ignored."}


def _post(operation: Operation, served: Served, row: str, limits: Limits) -> dict[str, Any]:
    rows = {
        "type": "array",
        "items": {"$ref": f"#/components/schemas/{row}"},
        "minItems": 1,
        "maxItems": limits.rows,
    }
    body = {
        "type": "object",
        "properties": {"rows": rows, **operation.options(served)},
        "required": ["rows", *operation.required(served)],
        "minProperties": 1 + operation.fewest,
        "additionalProperties": False,
    }
    answer = schemas.record({operation.key: schemas.listed(operation.entry(served))})
    return {
        "summary": operation.summary,
        "requestBody": {"required": True, "content": {_JSON: {"schema": body}}},
        "responses": _responses(answer),
    }


def _get(summary: str) -> dict[str, Any]:
    return {"summary": summary, "responses": _responses({"type": "object"})}


def _responses(answer: dict[str, Any]) -> dict[str, Any]:
    return {"200": _response(answer, "The answer."), "default": {"$ref": "#/components/responses/Error"}}


def _response(schema: dict[str, Any], description: str = "What was wrong, in one sentence.") -> dict[str, Any]:
    return {"description": description, "content": {_JSON: {"schema": schema}}}
