"""The REST routes in the document: what is in the path is not in the body, and both shapes are
there.
"""

from __future__ import annotations

from typing import Any

import pytest

from gateway.api.openapi import document
from gateway.api.operations import OPERATIONS

Json = dict[str, Any]


@pytest.fixture(scope="module")
def paths() -> Json:
    shown: Json = document(OPERATIONS)["paths"]
    return shown


def names(operation: Json, place: str) -> set[str]:
    return {one["name"] for one in operation["parameters"] if one.get("in") == place}


def schemas(content: Json) -> list[Json]:
    schema = content["application/json"]["schema"]
    choices: list[Json] = schema.get("anyOf", [schema])
    return choices


def test_what_is_in_the_path_is_not_in_the_body(paths: Json) -> None:
    create = paths["/v1/customers/{customer_id}/entities"]["post"]
    today, older, several = schemas(create["requestBody"]["content"])

    assert names(create, "path") == {"customer_id"}
    assert today["required"] == ["id", "feature_id"]
    assert "customer_id" not in today["properties"]
    assert "entities" in older["properties"]
    assert several["type"] == "array"


def test_a_query_says_what_a_get_can_ask(paths: Json) -> None:
    listing = paths["/v1/customers"]["get"]

    assert {"limit", "offset", "search", "start_cursor"} <= names(listing, "query")
    assert "requestBody" not in listing


def test_an_answer_has_the_shape_of_today_or_of_1_2(paths: Json) -> None:
    answer = paths["/v1/check"]["post"]["responses"]["200"]["content"]

    assert [one["$ref"].rpartition("/")[2] for one in schemas(answer)] == [
        "CheckResponse",
        "FeatureVerdict",
        "ProductVerdict",
    ]


def test_what_is_always_refused_has_no_success(paths: Json) -> None:
    assert min(paths["/v1/referrals/code"]["post"]["responses"]) == "400"
