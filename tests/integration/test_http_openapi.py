"""The API page: complete, true to what is answered, and readable without the internet."""

from __future__ import annotations

import re
from itertools import chain
from typing import Any

import pytest

from gateway import errors
from gateway.api.errors import status_of
from gateway.api.legacy.rest import PREFIX, ROUTES
from gateway.api.operations import COMMON_ERRORS, OPERATIONS
from tests.fixtures.app import Api

Json = dict[str, Any]

TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}


def faults(value: object, schema: Json, document: Json, at: str = "$") -> list[str]:
    """Say where a value does not fit a schema; knows the words our documents use."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return faults(value, document["components"]["schemas"][name], document, at)
    if "anyOf" in schema:
        tried = [faults(value, choice, document, at) for choice in schema["anyOf"]]
        return [] if [] in tried else [f"{at}: none of {len(tried)}", *chain(*tried)]
    found: list[str] = []
    kind = schema.get("type")
    if kind is not None and (
        not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")
    ):
        return [f"{at}: not a {kind}"]
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{at}: not in {schema['enum']}")
    if isinstance(value, dict):
        known = schema.get("properties", {})
        found += [
            f"{at}.{name}: missing" for name in schema.get("required", []) if name not in value
        ]
        other = schema.get("additionalProperties", True)
        for name, element in value.items():
            part = known.get(name, other)
            if part is True and known:
                found.append(f"{at}.{name}: not documented")
            elif isinstance(part, dict):
                found += faults(element, part, document, f"{at}.{name}")
    if isinstance(value, list):
        part = schema.get("items", {})
        found += [fault for each in value for fault in faults(each, part, document, f"{at}[]")]
    return found


@pytest.fixture
async def document(api: Api) -> Json:
    answer = await api.fetch("/openapi.json")
    assert answer.status == 200
    body: Json = answer.body
    return body


async def test_every_route_that_is_served_is_in_the_document(api: Api, document: Json) -> None:
    """But the files of the API page, which mean nothing to anybody else."""
    shown = {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }
    operations = {("POST", operation.path) for operation in OPERATIONS}
    rest = {(route.method, route.path) for route in ROUTES}
    served = {route.path for route in api.app.routes} - {path for _, path in operations}
    pages = {path for path in served - {PREFIX} if not path.startswith("/docs/")}

    assert document["openapi"] == "3.1.0"
    assert shown == operations | rest | {("GET", path) for path in pages}
    assert {"/health", "/ready", "/metrics", "/openapi.json", "/docs"} == pages


async def test_no_operation_has_the_id_of_another(document: Json) -> None:
    ids = [shown["operationId"] for path in document["paths"].values() for shown in path.values()]

    assert len(set(ids)) == len(ids)


async def test_operations_are_described(document: Json) -> None:
    for operation in OPERATIONS:
        shown = document["paths"][operation.path]["post"]
        assert shown["summary"]
        assert shown["description"]
        assert shown["operationId"] == operation.name


async def test_examples_fit_the_schemas(document: Json) -> None:
    for operation in OPERATIONS:
        shown = document["paths"][operation.path]["post"]
        contents = [shown["requestBody"]["content"]]
        contents += [answer["content"] for answer in shown["responses"].values()]
        for content in contents:
            part = content["application/json"]
            examples = [one["value"] for one in part.get("examples", {}).values()]
            for example in [part["example"]] if "example" in part else examples:
                assert faults(example, part["schema"], document) == [], operation.name


async def test_the_schema_check_finds_faults(document: Json) -> None:
    schema = {"$ref": "#/components/schemas/CheckResponse"}

    assert "$.allowed: missing" in faults({}, schema, document)
    assert faults({"allowed": 1}, schema, document)[-1] == "$.allowed: not a boolean"


async def test_every_error_of_an_operation_is_documented(document: Json) -> None:
    for operation in OPERATIONS:
        responses = document["paths"][operation.path]["post"]["responses"]
        for error in (*COMMON_ERRORS, *operation.errors):
            content = responses[str(status_of(error))]["content"]["application/json"]
            assert error.code in content["examples"], (operation.name, error)


def test_every_error_belongs_to_an_operation() -> None:
    """But those of the start, of a route that is none, and of renaming a customer."""
    apart = {
        errors.SettingError,
        errors.StartError,
        errors.RouteNotFoundError,
        errors.CustomerExistsError,
    }
    documented = {error for operation in OPERATIONS for error in operation.errors}
    every = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.GatewayError)
    }

    assert every - apart == documented | set(COMMON_ERRORS)


async def test_every_reference_leads_somewhere(document: Json) -> None:
    names = set(re.findall(r"#/components/schemas/(\w+)", str(document)))

    assert names <= set(document["components"]["schemas"])


async def test_keys_a_client_requires_are_required(document: Json) -> None:
    schemas = document["components"]["schemas"]

    assert {"allowed", "customer_id", "balance", "flag"} <= set(
        schemas["CheckResponse"]["required"]
    )
    assert {"licenses", "flags", "metadata"} <= set(schemas["CustomerView"]["required"])
    assert "list" in schemas["CustomerListResponse"]["required"]


async def test_the_page_needs_nothing_from_elsewhere(api: Api) -> None:
    page = await api.client.get("/docs")
    wanted = re.findall(r'(?:src|href|url)[=:] ?"([^"]+)"', page.text)

    assert len(wanted) == 4
    for path in wanted:
        assert path.startswith("/docs/")
        assert (await api.client.get(path)).status_code == 200


async def test_the_page_reads_the_same_document_in_older_words(api: Api, document: Json) -> None:
    older = (await api.fetch("/docs/openapi.json")).body

    assert older["openapi"] == "3.0.3"
    assert set(older["paths"]) == set(document["paths"])
    assert "'type': 'null'" not in str(older)


async def test_answers_fit_the_document(api: Api, document: Json) -> None:
    await api.call("features.create", feature_id="f", name="F", type="metered", consumable=True)
    for operation in ("features.get", "features.list", "plans.list", "customers.list"):
        answer = await api.call(operation, feature_id="f")
        shown = document["paths"][f"/v1/{operation}"]["post"]["responses"]["200"]
        schema = shown["content"]["application/json"]["schema"]
        assert faults(answer.body, schema, document) == [], operation
