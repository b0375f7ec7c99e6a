"""Limits of fields: said where the rules know them, and only of what callers send."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from gateway.api.openapi import limits
from gateway.api.openapi.answers import REFERENCE
from gateway.api.resources import shapes
from gateway.errors import InvalidInputsError
from gateway.messages.balances import CheckRequest, CheckResponse, TrackRequest
from gateway.messages.features import FeatureListRequest
from gateway.messages.grants import BalanceListRequest, BatchTrackRequest

Json = dict[str, Any]

TYPES = (CheckRequest, CheckResponse, TrackRequest, BalanceListRequest)


@pytest.fixture
def schemas() -> Json:
    _, components = msgspec.json.schema_components(TYPES, ref_template=REFERENCE)
    limits.narrow(components, ["CheckRequest", "TrackRequest", "BalanceListRequest"])
    return components


def field(schemas: Json, struct: str, name: str) -> Json:
    shown: Json = schemas[struct]["properties"][name]
    return shown


def test_an_id_has_its_form(schemas: Json) -> None:
    pattern = re.compile(field(schemas, "CheckRequest", "customer_id")["pattern"])

    assert pattern.search("org:123_a-B")
    for wrong in ("", "a b", "x" * 256, "a/b"):
        assert not pattern.search(wrong)
        with pytest.raises(InvalidInputsError):
            shapes.customer_id(wrong)


def test_what_is_held_inside_a_request_has_limits_too(schemas: Json) -> None:
    assert field(schemas, "LockRequest", "lock_id") == {
        "type": "string",
        "minLength": 1,
        "maxLength": 256,
    }


def test_a_field_that_may_be_left_out_may_be_null(schemas: Json) -> None:
    value = field(schemas, "TrackRequest", "value")

    assert value == {"anyOf": [{"type": "number"}, {"type": "null"}]}


def test_an_integer_is_one_however_it_is_written(schemas: Json) -> None:
    limit, null = field(schemas, "BalanceListRequest", "limit")["anyOf"]

    assert limit == {"type": "integer", "minimum": 1, "maximum": 200}
    assert null == {"type": "null"}


def test_answers_stay_as_they_are(schemas: Json) -> None:
    assert field(schemas, "CheckResponse", "customer_id") == {"type": "string"}
    assert field(schemas, "CheckResponse", "entity_id") == {"type": "string"}


def test_what_an_answer_leaves_out_may_be_null(schemas: Json) -> None:
    limits.complete(schemas, ["CheckResponse"])

    assert {"type": "null"} in field(schemas, "CheckResponse", "entity_id")["anyOf"]
    assert field(schemas, "CheckResponse", "customer_id") == {"type": "string"}
    assert field(schemas, "Balance", "held")["anyOf"] == [{"type": "number"}, {"type": "null"}]


def test_a_body_is_required_unless_an_empty_object_says_enough() -> None:
    assert limits.is_required(CheckRequest)
    assert limits.is_required(BatchTrackRequest)
    assert not limits.is_required(FeatureListRequest)
