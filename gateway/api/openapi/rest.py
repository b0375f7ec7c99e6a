"""The REST routes in the document: what their operations take and answer, in both shapes.

A caller that names 1.2 gets the shapes of 1.2, every other one those of today, so a body fits
either.
"""

from __future__ import annotations

import re
from typing import Any

from gateway.api.legacy import messages as old
from gateway.api.legacy.operations import OLDER
from gateway.api.legacy.rest import PREFIX, QUERY, ROUTES, Route
from gateway.api.openapi import answers, links
from gateway.api.openapi.parameters import parameters, security
from gateway.api.operation import Operation
from gateway.api.versions import Version

Json = dict[str, Any]

TAG = "rest"
"""What the REST routes are grouped under."""

_NULL = {"type": "null"}
_TEXT = {"type": "string"}
_NAMED = re.compile(r"\{(\w+)\}")

_SEVERAL: dict[str, tuple[Any, ...]] = {
    "balances.check@1.2": (old.FeatureVerdict, old.ProductVerdict),
    "entities.create@1.2": (old.Entity, old.EntityPage),
}
"""Operations that answer in several shapes."""


def requests() -> list[Any]:
    """Return the types of all bodies."""
    return [shape.request for route in ROUTES for shape in _shapes(route)]


def responses() -> list[Any]:
    """Return the types of all answers."""
    return [kind for route in ROUTES for kind in _answered(route)]


def paths(schemas: Json) -> Json:
    """Return what is served under each path; ``schemas`` are those of ``requests``."""
    found: Json = {}
    for route in ROUTES:
        found.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return found


def _shapes(route: Route) -> list[Operation]:
    """Return an operation as it is today and as 1.2 has it, where that differs."""
    today = route.operation
    older = OLDER.get((today.name, Version.V1_2), today)
    return [today] if older == today else [today, older]


def _answered(route: Route) -> list[Any]:
    kinds: list[Any] = []
    for shape in _shapes(route):
        if shape.request is not old.UnsupportedRequest:
            kinds += _SEVERAL.get(shape.name, (shape.response,))
    return kinds


def _operation(route: Route, schemas: Json) -> Json:
    name = _identity(route)
    shapes = _shapes(route)
    named = _NAMED.findall(route.path)
    fields = _fields(shapes, schemas)
    queried = [one for one in fields if one in QUERY and one not in named]
    if route.method == "POST":
        queried = [one for one in queried if one == "expand"]
    described: Json = {
        "operationId": name,
        "summary": route.operation.summary,
        "description": f"As `POST /v1/{route.operation.base}`. {route.operation.description}",
        "tags": [TAG],
        "parameters": [
            *(_place(one, fields.get(one, _TEXT)) for one in named),
            # Deleting twice is deleting once, and a replayed answer would delete nothing.
            *parameters(route.operation, "AnyVersion", is_keyed=route.method != "DELETE"),
            *(_query(one, fields[one]) for one in queried),
        ],
        "security": security(route.operation),
        "responses": links.added(name, answers.responses(shapes, _answered(route))),
    }
    if route.method == "POST":
        described["requestBody"] = _body(route, shapes, schemas, {*named, *queried})
    return described


def _identity(route: Route) -> str:
    words = re.findall(r"\w+", route.path.removeprefix(PREFIX))
    return "_".join((route.method.lower(), *words))


def _fields(shapes: list[Operation], schemas: Json) -> Json:
    fields: Json = {}
    for shape in shapes:
        for name, schema in _struct(shape, schemas)["properties"].items():
            fields.setdefault(name, schema)
    return fields


def _struct(shape: Operation, schemas: Json) -> Json:
    schema: Json = schemas[shape.request.__name__]
    return schema


def _place(name: str, schema: Json) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": _plain(schema)}


def _query(name: str, schema: Json) -> Json:
    if name == "expand":
        schema, text = {"type": "string"}, "What to show as well, with commas between"
        return {"name": name, "in": "query", "description": text, "schema": schema}
    return {"name": name, "in": "query", "schema": _plain(schema)}


def _plain(schema: Json) -> Json:
    """Return a schema without null, which no path or query can say."""
    choices = [one for one in schema.get("anyOf", [schema]) if one != _NULL]
    return choices[0] if len(choices) == 1 else {"anyOf": choices}


def _body(route: Route, shapes: list[Operation], schemas: Json, taken: set[str]) -> Json:
    bodies = [_renamed(route, _struct(shape, schemas), taken) for shape in shapes]
    is_required = all(body["required"] for body in bodies)
    if route.many:
        several = old.EntitiesCreateRequest
        schema = _plain(schemas[several.__name__]["properties"][route.many])
        bodies.append(schema)
    return {"required": is_required, "content": answers.shown(bodies)}


def _renamed(route: Route, schema: Json, taken: set[str]) -> Json:
    """Return what is sent in the body: what stands in the path or the query is not, and some
    fields have another name.
    """
    names = {name: sent for sent, name in route.renamed.items()}
    kept = {name: one for name, one in schema["properties"].items() if name not in taken}
    return {
        "type": "object",
        "properties": {names.get(name, name): one for name, one in kept.items()},
        "required": [
            names.get(name, name)
            for name in schema["required"]
            if name in kept and name not in route.nulls
        ],
    }
