"""The document itself, built from the tables the router uses and from the message structs.

Schemas are what the decoders and encoders use; errors are grouped by status with every code an
operation can answer with, each with an example.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from gateway import metrics
from gateway.api.health import Health
from gateway.api.openapi import answers, limits, links, rest
from gateway.api.openapi.answers import JSON_TYPE, REFERENCE
from gateway.api.openapi.parameters import PARAMETERS, parameters, security
from gateway.api.operation import Operation
from gateway.api.resources.examples import KEY
from gateway.messages.common import ErrorBody
from gateway.release import package_version

Json = dict[str, Any]

_INTRODUCTION = """\
Ask with `balances.check` whether a customer or one of its entities may use a feature, and say with
`balances.track` what was used. Every operation is a POST with a JSON body; the key of the
environment goes into the `Authorization` header. Amounts are exact decimals. The REST routes are
older ways to say the same.
"""

_BEARERS = {
    "secretKey": f"A secret key such as `{KEY}`",
    "publishableKey": "A key for web pages (`am_pk_...`), which only reads",
    "accessToken": "A token for one customer (`am_jwt_...`), of `keys.mint`",
    "refreshToken": "What the next tokens of a customer are got with",
}


def document(operations: Iterable[Operation]) -> Json:
    """Return the document."""
    operations = tuple(operations)
    schemas = _schemas(operations)
    paths: Json = {operation.path: {"post": _operation(operation)} for operation in operations}
    for path, methods in rest.paths(schemas).items():
        paths[path] = paths.get(path, {}) | methods
    tags = [*dict.fromkeys(o.resource for o in operations), rest.TAG, "health"]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tallygate",
            "version": package_version(),
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"secretKey": []}],
        "tags": [{"name": name} for name in tags],
        "paths": paths | _pages(),
        "components": {
            "schemas": schemas,
            "parameters": PARAMETERS,
            "headers": answers.HEADERS,
            "securitySchemes": {
                name: {"type": "http", "scheme": "bearer", "description": meaning}
                for name, meaning in _BEARERS.items()
            },
        },
    }


def _schemas(operations: tuple[Operation, ...]) -> Json:
    requests = [operation.request for operation in operations] + rest.requests()
    responses = [operation.response for operation in operations]
    types = [ErrorBody, Health, *requests, *rest.responses(), *responses]
    _, components = msgspec.json.schema_components(types, ref_template=REFERENCE)
    _, asked = msgspec.json.schema_components(requests, ref_template=REFERENCE)
    _, answered = msgspec.json.schema_components(responses, ref_template=REFERENCE)
    limits.narrow(components, asked)
    limits.complete(components, answered)
    return components


def _operation(operation: Operation) -> Json:
    content = answers.content((operation.request,), operation.example.request)
    responses = answers.responses(
        (operation,), (operation.response,), example=operation.example.response
    )
    return {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": operation.description,
        "tags": [operation.resource],
        "parameters": parameters(operation),
        "security": security(operation),
        "requestBody": {
            # An empty body reads as an empty object.
            "required": limits.is_required(operation.request),
            "content": content,
        },
        "responses": links.added(operation.name, responses),
    }


def _pages() -> Json:
    """Return the routes that need no key."""
    health = {JSON_TYPE: {"schema": {"$ref": REFERENCE.format(name="Health")}}}
    metric_type = metrics.MEDIA_TYPE.decode()
    pages = {
        "/health": ("State of the gateway", {"200": ("The state", health)}),
        "/ready": (
            "Whether requests can be answered",
            {"200": ("They can", health), "503": ("Not all parts answer", health)},
        ),
        "/metrics": (
            "What Prometheus reads",
            {"200": ("The metrics", {metric_type: {"schema": {"type": "string"}}})},
        ),
        "/openapi.json": (
            "This document",
            {"200": ("The document", {JSON_TYPE: {"schema": {"type": "object"}}})},
        ),
        "/docs": (
            "This document as a page, which needs nothing from elsewhere",
            {"200": ("The page", {"text/html": {"schema": {"type": "string"}}})},
        ),
    }
    return {path: {"get": _page(path, *said)} for path, said in pages.items()}


def _page(path: str, summary: str, statuses: dict[str, tuple[str, Json]]) -> Json:
    return {
        "operationId": path.strip("/").partition(".")[0],
        "summary": summary,
        "tags": ["health"],
        "security": [],
        "responses": {
            status: {"description": reason, "content": content}
            for status, (reason, content) in statuses.items()
        }
        | answers.wrong_method(),
    }
