"""Links lead to operations that are there, from and to fields that are there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.api.openapi import document
from gateway.api.operations import OPERATIONS

Json = dict[str, Any]


@pytest.fixture(scope="module")
def shown() -> Json:
    return document(OPERATIONS)


def operations(shown: Json) -> dict[str, Json]:
    found = (each for methods in shown["paths"].values() for each in methods.values())
    return {each["operationId"]: each for each in found}


def links(shown: Json) -> Iterator[tuple[Json, Json]]:
    for source in operations(shown).values():
        for link in source["responses"].get("200", {}).get("links", {}).values():
            yield source, link


def fields(shown: Json, content: Json) -> set[str]:
    """Return the fields of a body, in any of its shapes."""
    schema = content["application/json"]["schema"]
    found: set[str] = set()
    for choice in schema.get("anyOf", [schema]):
        name = choice.get("$ref", "").rpartition("/")[2]
        found |= set(shown["components"]["schemas"].get(name, choice).get("properties", ()))
    return found


def test_every_link_leads_to_an_operation_and_its_fields(shown: Json) -> None:
    every = operations(shown)
    assert sum(1 for _ in links(shown)) > 50
    for _, link in links(shown):
        target = every[link["operationId"]]
        if "requestBody" in link:
            assert set(link["requestBody"]) <= fields(shown, target["requestBody"]["content"])
        places = {one["name"] for one in target["parameters"] if one.get("in") == "path"}
        assert set(link.get("parameters", ())) <= places | {"entity_id"}


def test_every_link_takes_what_is_there(shown: Json) -> None:
    for source, link in links(shown):
        for expression in (link.get("requestBody") or link["parameters"]).values():
            place, _, pointer = expression.partition("#/")
            if place == "$request.path.customer_id":
                continue
            content = {
                "$request.body": source["requestBody"]["content"],
                "$response.body": source["responses"]["200"]["content"],
            }[place]
            assert pointer.partition("/")[0] in fields(shown, content), expression
