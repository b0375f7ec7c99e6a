"""What an operation can answer: each status with its schema, its headers and its codes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import msgspec

from gateway.api.errors import ENV_UNKNOWN, status_of
from gateway.api.operation import Operation, always
from gateway.api.operations import COMMON_ERRORS
from gateway.errors import GatewayError, IdempotencyKeyError, MethodNotAllowedError

Json = dict[str, Any]

REFERENCE = "#/components/schemas/{name}"

JSON_TYPE = "application/json"

CHECK = "balances.check"
"""The one operation that can be answered without what it needs."""

_REASONS = {
    400: "The request is not valid, or breaks a rule",
    401: "The key is missing or not known",
    403: "The key may not do this",
    404: "Something the request names does not exist",
    405: "The route answers another method",
    408: "The request did not come in time; the connection is closed",
    409: "It exists already, or is in use",
    413: "The body is too large",
    429: "Too many calls, where calls are limited; try again later",
    431: "The headers are too large; the connection is closed",
    500: "A fault of the gateway",
    503: "A store is unavailable; try again",
}

_WHOLE: Json = {"type": "integer", "minimum": 0}

HEADERS: dict[str, Json] = {
    "x-request-id": {
        "description": "The id of the request, as in the log; the caller's if it sent one",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.:-]{1,128}$"},
    },
    "idempotency-replayed": {
        "description": "The answer to the first call under this idempotency key",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "x-tallygate-degraded": {
        "description": "The part without which the check was answered",
        "schema": {"type": "string"},
    },
    "allow": {
        "description": "The methods the route answers",
        "required": True,
        "schema": {"type": "string"},
    },
    "retry-after": {"description": "Seconds to wait", "schema": _WHOLE},
    "ratelimit-limit": {
        "description": "Calls of a window, if they are limited",
        "schema": _WHOLE,
    },
    "ratelimit-remaining": {"description": "Calls left in the window", "schema": _WHOLE},
    "ratelimit-reset": {"description": "Seconds until the window ends", "schema": _WHOLE},
}
"""Every header of an answer that means something to its caller."""

_RATES = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset")

_UNREAD = {408, 431}
"""Statuses of requests of which nothing was read, so that they have no id."""

_HEADERS_OF = {
    405: ("allow",),
    429: ("retry-after", *_RATES),
    503: ("retry-after",),
}


def responses(
    operations: Iterable[Operation], kinds: Iterable[Any], *, example: Json | None = None
) -> Json:
    """Return the answers of an operation, whose successes are of some types; several operations
    are the shapes it has in several versions.
    """
    operations, kinds = tuple(operations), tuple(kinds)
    named = operations[0]
    answers: Json = {}
    if kinds:
        answers[str(named.status)] = _success(named, "Done", kinds, example)
        if named.queues:
            queued = example and {**example, "balance": None, "deductions": []}
            answers["202"] = _success(named, "Done; the balance is left out", kinds, queued)
        elif named.base == CHECK:
            undecided = "Allowed by `on_outage` of the feature, for it could not be decided"
            answers["202"] = _success(named, undecided, kinds, example)
    return answers | _failures(operations)


def wrong_method() -> Json:
    """Return the answer to a method the route does not answer."""
    return _failure(405, {MethodNotAllowedError.code: _example(MethodNotAllowedError)})


def content(kinds: Iterable[Any], example: object = None) -> Json:
    """Return a body that has one of some types."""
    return shown([_reference(kind) for kind in kinds], example)


@cache
def _reference(kind: Any) -> Json:  # noqa: ANN401 - a struct or a list of them
    (schema,), _ = msgspec.json.schema_components((kind,), ref_template=REFERENCE)
    return schema


def shown(schemas: list[Json], example: object = None) -> Json:
    """Return a body that fits one of some schemas."""
    unique = [one for index, one in enumerate(schemas) if one not in schemas[:index]]
    body: Json = {"schema": unique[0] if len(unique) == 1 else {"anyOf": unique}}
    return {JSON_TYPE: body if example is None else {**body, "example": example}}


def headers(*names: str) -> Json:
    """Return what is said of headers by name."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _success(operation: Operation, description: str, kinds: tuple[Any, ...], example: Any) -> Json:  # noqa: ANN401 - any JSON value
    names = ["x-request-id", *_RATES]
    if operation.reads is not always:
        names.append("idempotency-replayed")
    if operation.base == CHECK:
        names.append("x-tallygate-degraded")
    return {
        "description": description,
        "headers": headers(*names),
        "content": content(kinds, example),
    }


def _failures(operations: tuple[Operation, ...]) -> Json:
    by_status: dict[int, dict[str, Json]] = {}
    errors = [*COMMON_ERRORS, *(error for operation in operations for error in operation.errors)]
    if any(operation.reads is not always for operation in operations):
        errors.append(IdempotencyKeyError)
    for error in dict.fromkeys(errors):
        by_status.setdefault(status_of(error), {}).setdefault(error.code, _example(error))
    failures: Json = {}
    for status, examples in sorted(by_status.items()):
        failures |= _failure(status, examples)
    return failures


def _failure(status: int, examples: dict[str, Json]) -> Json:
    schema = {"$ref": REFERENCE.format(name="ErrorBody")}
    answer = {
        "description": f"{_REASONS[status]}: {', '.join(f'`{code}`' for code in examples)}",
        "headers": headers(*_HEADERS_OF.get(status, ()))
        | ({} if status in _UNREAD else headers("x-request-id")),
        "content": {JSON_TYPE: {"schema": schema, "examples": examples}},
    }
    return {str(status): answer}


def _example(error: type[GatewayError]) -> Json:
    shown = {"message": error().message, "code": error.code, "env": ENV_UNKNOWN}
    return {"summary": _summary(error), "value": shown}


def _summary(error: type[GatewayError]) -> str:
    return (error.__doc__ or error.code).strip().splitlines()[0]
