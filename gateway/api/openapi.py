"""The OpenAPI 3.1 document, built from the operations table and the message structs alone.

Schemas are what the decoders and encoders use; errors are grouped by status with every code an
operation can answer with, each with an example.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

from gateway.api.errors import ENV_UNKNOWN, status_of
from gateway.api.examples import KEY
from gateway.api.health import Health
from gateway.api.operation import Operation, always
from gateway.api.operations import COMMON_ERRORS
from gateway.api.permits import is_public
from gateway.engine.claims import KEY_MAX
from gateway.engine.durability import LEVELS
from gateway.errors import GatewayError
from gateway.messages.common import ErrorBody

Json = dict[str, Any]

_REASONS = {
    400: "The request is not valid, or breaks a rule",
    401: "The key is missing or not known",
    403: "The key may not do this",
    404: "Something the request names does not exist",
    405: "The route answers another method",
    409: "It exists already, or is in use",
    413: "The body is too large",
    429: "Too many calls, where calls are limited; try again later",
    500: "A fault of the gateway",
    503: "A store is unavailable; try again",
}

_REFERENCE = "#/components/schemas/{name}"

_INTRODUCTION = """\
Ask with `balances.check` whether a customer or one of its entities may use a feature, and say with
`balances.track` what was used. Every operation is a POST with a JSON body; the key of the
environment goes into the `Authorization` header. Amounts are exact decimals.
"""


def package_version() -> str:
    """Return the version of this installation."""
    try:
        return version("tallygate")
    except PackageNotFoundError:
        return "0"


def document(operations: Iterable[Operation]) -> Json:
    """Return the document."""
    operations = tuple(operations)
    schemas = _schemas(operations)
    paths: Json = {operation.path: {"post": _operation(operation)} for operation in operations}
    paths["/health"] = {"get": _probe("health", "State of the gateway", (200,))}
    paths["/ready"] = {"get": _probe("ready", "Whether requests can be answered", (200, 503))}
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
        "tags": [{"name": name} for name in dict.fromkeys(o.resource for o in operations)],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": {
                "ApiVersion": _version_parameter(),
                "IdempotencyKey": _key_parameter(),
                "Durability": _durability_parameter(),
            },
            "securitySchemes": {
                "secretKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": f"A secret key such as `{KEY}`",
                },
                "publishableKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key for web pages (`am_pk_...`), which only reads",
                },
            },
        },
    }


def _schemas(operations: tuple[Operation, ...]) -> Json:
    types: list[Any] = [ErrorBody, Health]
    for operation in operations:
        types += [operation.request, operation.response]
    _, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    return components


def _operation(operation: Operation) -> Json:
    return {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": operation.description,
        "tags": [operation.resource],
        "parameters": _parameters(operation),
        "security": [{"secretKey": []}, *([{"publishableKey": []}] * is_public(operation))],
        "requestBody": {
            "required": True,
            "content": _content(operation.request, operation.example.request),
        },
        "responses": {**_successes(operation), **_failures(operation)},
    }


def _parameters(operation: Operation) -> list[Json]:
    names = ["ApiVersion"]
    if operation.reads is not always:
        names += ["IdempotencyKey", "Durability"]
    parameters: list[Json] = [{"$ref": f"#/components/parameters/{name}"} for name in names]
    if operation.name == "balances.check":
        parameters.append(
            {
                "name": "expand",
                "in": "query",
                "description": "`balance.feature` adds the feature to the balance",
                "schema": {"type": "string"},
                "example": "balance.feature",
            }
        )
    return parameters


def _key_parameter() -> Json:
    return {
        "name": "idempotency-key",
        "in": "header",
        "description": "The same call sent again under it is carried out once, and replayed",
        "schema": {"type": "string", "minLength": 1, "maxLength": KEY_MAX},
    }


def _durability_parameter() -> Json:
    return {
        "name": "x-durability",
        "in": "header",
        "description": "What the change must have reached before the answer; never less than set",
        "schema": {"enum": list(LEVELS)},
    }


def _version_parameter() -> Json:
    return {
        "name": "x-api-version",
        "in": "header",
        "description": (
            "2.1 or later, or a date; left out, or newer than known, is the newest. 1.2 has shapes "
            "of its own"
        ),
        "schema": {"type": "string"},
        "example": "2.3.0",
    }


def _successes(operation: Operation) -> Json:
    content = _content(operation.response, operation.example.response)
    answers: Json = {str(operation.status): {"description": "Done", "content": content}}
    if operation.queues:
        example = {**operation.example.response, "balance": None, "deductions": []}
        queued = _content(operation.response, example)
        answers["202"] = {"description": "Done; the balance is left out", "content": queued}
    return answers


def _failures(operation: Operation) -> Json:
    by_status: dict[int, dict[str, Json]] = {}
    for error in dict.fromkeys((*COMMON_ERRORS, *operation.errors)):
        example = {"message": error().message, "code": error.code, "env": ENV_UNKNOWN}
        codes = by_status.setdefault(status_of(error), {})
        codes.setdefault(error.code, {"summary": _summary(error), "value": example})
    return {
        str(status): {
            "description": f"{_REASONS[status]}: {', '.join(f'`{code}`' for code in codes)}",
            **_retry_header(status),
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/ErrorBody"},
                    "examples": codes,
                }
            },
        }
        for status, codes in sorted(by_status.items())
    }


def _summary(error: type[GatewayError]) -> str:
    return (error.__doc__ or error.code).strip().splitlines()[0]


def _retry_header(status: int) -> Json:
    if status not in {429, 503}:
        return {}
    schema = {"type": "integer"}
    return {"headers": {"Retry-After": {"description": "Seconds to wait", "schema": schema}}}


def _content(kind: Any, example: Json | list[Json]) -> Json:  # noqa: ANN401 - a struct or a list of them
    (schema,), _ = msgspec.json.schema_components((kind,), ref_template=_REFERENCE)
    return {"application/json": {"schema": schema, "example": example}}


def _probe(name: str, summary: str, statuses: tuple[int, ...]) -> Json:
    schema = {"$ref": "#/components/schemas/Health"}
    content = {"application/json": {"schema": schema}}
    reasons = {200: "The state", 503: "Not all parts answer"}
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["health"],
        "security": [],
        "responses": {
            str(status): {"description": reasons[status], "content": content} for status in statuses
        },
    }
